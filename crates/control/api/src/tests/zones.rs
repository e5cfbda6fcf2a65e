//! Zones.

use poterne_control_app::Settings;
use poterne_model::Name;
use serde_json::json;

use super::{client, client_of};

#[tokio::test]
async fn zones_are_made_found_paused_and_deleted() {
    let client = client().await;
    let made = client.ask("POST", "/zones", json!({ "name": "Example.COM", "jump_start": false })).await;
    let zone = made.result();
    assert_eq!((&zone["name"], &zone["status"], &zone["type"]), (&json!("example.com"), &json!("pending"), &json!("full")));
    assert!(made.body.to_string().len() < 8191, "small clients have small buffers");
    let path = format!("/zones/{}", zone["id"].as_str().unwrap());
    let again = client.ask("POST", "/zones", json!({ "name": "example.com", "account": { "id": client.account } })).await;
    assert_eq!((again.status, again.codes()), (400, vec![1061]));
    for query in ["/zones?name=example.com", "/zones/?name=EXAMPLE.com", "/zones?name=contains:ampl&per_page=1000"] {
        let told = client.get(query).await;
        assert_eq!(told.result().as_array().unwrap().len(), 1, "{query}");
    }
    assert_eq!(client.get("/zones?name=www.example.com").await.result(), &json!([]));
    let past = client.get("/zones?per_page=1&page=2").await;
    assert_eq!((past.result(), &past.body["result_info"]["total_count"]), (&json!([]), &json!(1)));
    assert_eq!(client.ask("PATCH", &path, json!({ "paused": true, "plan": { "id": "x" } })).await.result()["paused"], true);
    // Some clients send a body with every request.
    assert_eq!(client.ask("GET", &path, json!({})).await.result()["paused"], true);
    assert_eq!(client.ask("DELETE", &path, json!({})).await.result()["id"], zone["id"]);
    assert_eq!(client.get(&path).await.status, 404);
}

/// It is nowhere but where somebody asks for deleted zones, its name is free, and it comes back with what was in it.
#[tokio::test]
async fn a_deleted_zone_is_taken_back() {
    let client = client().await;
    let path = client.zone("example.com").await;
    let record = json!({ "type": "TXT", "name": "www", "content": "\"here\"", "ttl": 300 });
    client.ask("POST", &format!("{path}/dns_records"), record).await.result();
    client.ask("DELETE", &path, json!(null)).await.result();
    for gone in [path.clone(), format!("{path}/dns_records"), format!("{path}/settings/ssl")] {
        assert_eq!(client.get(&gone).await.status, 404, "{gone}");
    }
    for hidden in ["/zones", "/zones?name=example.com", "/zones?status=pending,active,moved"] {
        assert_eq!(client.get(hidden).await.result(), &json!([]), "{hidden}");
    }
    let told = client.get("/zones?status=deleted&name=example.com").await;
    let shown = &told.result()[0];
    assert_eq!((&shown["status"], &shown["name"]), (&json!("deleted"), &json!("example.com")));
    let [deleted, kept] = ["poterne_deleted_on", "poterne_kept_until"].map(|key| shown[key].as_str().unwrap().to_owned());
    assert!(deleted < kept, "{deleted} {kept}");
    assert_eq!(client.get("/zones?status=deleted&name=example.net").await.result(), &json!([]));
    let past = client.get("/zones?status=deleted&page=2&per_page=5").await;
    assert_eq!((past.result(), &past.body["result_info"]["total_count"]), (&json!([]), &json!(1)));

    let back = format!("{path}/poterne/restore");
    let reader = client.reader("Zone Read").await;
    assert_eq!(reader.get("/zones?status=deleted").await.result().as_array().unwrap().len(), 1);
    assert_eq!(reader.ask("POST", &back, json!({})).await.status, 403);
    // Its name is free, and taken; what took it goes for good.
    let other = client.zone("example.com").await;
    assert_ne!(other, path);
    let taken = client.ask("POST", &back, json!({})).await;
    assert_eq!((taken.status, taken.codes()), (400, vec![1061]));
    client.ask("DELETE", &format!("{other}?purge=true"), json!(null)).await.result();
    assert_eq!(client.ask("POST", &format!("{other}/poterne/restore"), json!({})).await.status, 404);
    assert_eq!(client.ask("POST", &back, json!({})).await.result()["status"], "pending");
    let records = client.get(&format!("{path}/dns_records")).await;
    assert_eq!(records.result()[0]["name"], "www.example.com");
    assert_eq!(client.ask("POST", &back, json!({})).await.status, 404, "it is there");
    // One that is deleted already goes for good, too.
    client.ask("DELETE", &path, json!(null)).await.result();
    client.ask("DELETE", &format!("{path}?purge=true"), json!(null)).await.result();
    assert_eq!(client.get("/zones?status=deleted").await.result(), &json!([]));
}

/// However many are deleted, few are kept.
#[tokio::test]
async fn few_deleted_zones_are_kept() {
    let client = client().await;
    for number in 0..poterne_control_app::ZONES_KEPT_MAX + 2 {
        let path = client.zone(&format!("zone-{number}.example")).await;
        client.ask("DELETE", &path, json!(null)).await.result();
    }
    let kept = client.get("/zones?status=deleted&per_page=50").await;
    assert_eq!(kept.result().as_array().unwrap().len(), poterne_control_app::ZONES_KEPT_MAX);
}

#[tokio::test]
async fn whoever_asks_learns_whether_a_change_is_live() {
    let client = client().await;
    client.ask("POST", "/zones", json!({ "name": "example.com" })).await.result();
    let path = format!("/accounts/{}/poterne/generation", client.account);
    let told = client.get(&path).await;
    // No node runs here: nothing can be obeyed, and that is what is said.
    assert_eq!((&told.result()["is_live"], &told.result()["nodes"]), (&json!(false), &json!([])));
    assert!(told.result()["change"].as_u64().unwrap() > 0);
    assert_eq!(client.get(&format!("{path}?wait=x")).await.status, 400);
}

#[tokio::test]
async fn a_look_at_the_delegation_may_be_asked_for_now_and_then() {
    let client = client().await;
    let path = client.zone("example.com").await;
    let asked = client.ask("PUT", &format!("{path}/activation_check"), json!(null)).await;
    assert_eq!(format!("/zones/{}", asked.result()["id"].as_str().unwrap()), path);
    let again = client.ask("PUT", &format!("{path}/activation_check"), json!({})).await;
    assert_eq!((again.status, again.headers["retry-after"].to_str().unwrap()), (429, "300"));
    assert!(again.body.to_string().contains("ask again in 300 seconds"), "{}", again.body);
    let reader = client.reader("Zone Read").await;
    assert_eq!(reader.ask("PUT", &format!("{path}/activation_check"), json!(null)).await.status, 403);
    assert_eq!(client.get(&path).await.result()["original_name_servers"], json!(null), "nobody looked yet");
}

#[tokio::test]
async fn a_partial_zone_tells_how_it_is_proven_and_where_its_names_lead() {
    let draft = json!({ "name": "example.org", "type": "partial" });
    let told = client().await.ask("POST", "/zones", draft.clone()).await;
    assert!(told.status == 400 && told.body.to_string().contains("cname_suffix"), "{}", told.body);
    let suffix = Name::parse("cdn.example.net").unwrap();
    let settings = Settings {
        cname_suffix: Some(suffix),
        nameservers: vec![Name::parse("ns1.example.net").unwrap()],
        ..Settings::default()
    };
    let client = client_of(settings).await;
    client.zone("example.com").await;
    let zone = client.ask("POST", "/zones", draft).await.result().clone();
    assert_eq!((&zone["type"], &zone["status"], &zone["name_servers"]), (&json!("partial"), &json!("pending"), &json!([])));
    assert_eq!((&zone["cname_suffix"], &zone["verification_key"]), (&json!("cdn.example.net"), &zone["id"]));
    let named = async |types: &str| {
        let list = client.get(&format!("/zones?type={types}")).await;
        list.result().as_array().unwrap().iter().map(|zone| zone["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(named("partial").await, ["example.org"]);
    assert_eq!(named("full").await, ["example.com"]);
    assert_eq!(named("internal").await, Vec::<String>::new());
    let path = format!("/zones/{}", zone["id"].as_str().unwrap());
    for (method, path, body) in [
        ("PATCH", path.clone(), json!({ "type": "full" })),
        ("PATCH", format!("{path}/dnssec"), json!({ "status": "active" })),
        ("POST", format!("{path}/secondary_dns/outgoing"), json!({ "name": "x", "peers": [] })),
        ("POST", "/zones".to_owned(), json!({ "name": "a.cdn.example.net" })),
    ] {
        assert_eq!(client.ask(method, &path, body).await.status, 400, "{method} {path}");
    }
    let lead = async |name: &str, content: &str| {
        let record = json!({ "type": "CNAME", "name": name, "content": content, "proxied": true, "ttl": 1 });
        client.ask("POST", &format!("{path}/dns_records"), record).await
    };
    let round = lead("www", "www.example.org.cdn.example.net").await;
    assert!(round.status == 400 && round.body.to_string().contains("comes back to"), "{}", round.body);
    assert_eq!(lead("one", "two.example.org.cdn.example.net").await.status, 200);
    assert_eq!(lead("two", "one.example.org.cdn.example.net").await.status, 400);
    let kept = client.ask("PATCH", &path, json!({ "type": "partial", "paused": true })).await;
    assert_eq!(kept.result()["paused"], true);
}
