//! Scans and their review; what is found is handed in here, as the scout would.

use poterne_control_app::{Found, PassedOver, ScanDone};
use poterne_model::{Name, Rdata, Rtype, ZoneId, rdata::Hosts};
use serde_json::json;

use super::{Client, client};

fn found(name: &str, rtype: Rtype, content: &str, wants_proxy: bool) -> Found {
    let rdata = Rdata::parse(rtype, content, None, Hosts::default()).unwrap();
    Found { name: Name::parse(name).unwrap(), rdata, ttl_secs: 3600, wants_proxy }
}

async fn scanned(client: &Client, path: &str) {
    client.ask("POST", &format!("{path}/dns_records/scan/trigger"), json!(null)).await.result();
    let due = client.app.scans_due(4).await.unwrap();
    assert_eq!(due.len(), 1);
    let id: ZoneId = path.rsplit('/').next().unwrap().parse().unwrap();
    let done = ScanDone {
        found: vec![
            found("example.com", Rtype::A, "9.9.9.9", true),
            found("www.example.com", Rtype::Cname, "example.com.", true),
            found("mail.example.com", Rtype::A, "9.9.9.8", false),
            found("lan.example.com", Rtype::A, "192.168.1.1", true),
            found("example.com", Rtype::Mx, "10 mail.example.com.", false),
            found("there.example.com", Rtype::Txt, "\"already\"", false),
            found("taken.example.com", Rtype::Cname, "example.net.", true),
        ],
        passed_over: vec![PassedOver { name: "x".into(), rtype: "TYPE13".into(), why: "odd".into() }],
        warnings: vec!["the parent has a DS".into()],
        name_servers: vec![Name::parse("ns.old.net").unwrap()],
        whole: false,
    };
    client.app.scan_done(id, done).await.unwrap();
}

#[tokio::test]
async fn what_a_scan_finds_is_reviewed_and_decided_about_as_a_whole() {
    let client = client().await;
    let path = client.zone("example.com").await;
    let (records, scan) = (format!("{path}/dns_records"), format!("{path}/dns_records/scan"));
    let state = format!("{path}/poterne/scan");
    assert_eq!(client.get(&state).await.result()["status"], "none");
    assert_eq!(client.get(&format!("{scan}/review")).await.result(), &json!([]));
    let nothing = client.ask("POST", &format!("{scan}/review"), json!({ "accepts": [] })).await;
    assert_eq!(nothing.result(), &json!({ "accepts": [], "rejects": [] }));
    for (name, content, rtype) in [("there", "already", "TXT"), ("taken", "9.9.9.1", "A")] {
        client.ask("POST", &records, json!({ "name": name, "type": rtype, "content": content })).await.result();
    }
    scanned(&client, &path).await;

    let told = client.get(&state).await;
    let told = told.result();
    assert_eq!((&told["status"], &told["proposed"], &told["whole"]), (&json!("ended"), &json!(5), &json!(false)));
    assert_eq!((&told["warnings"][0], &told["name_servers"]), (&json!("the parent has a DS"), &json!(["ns.old.net"])));
    let passed: Vec<&str> = told["passed_over"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(passed, ["x", "taken.example.com"], "what is there already is not even that");

    let review = client.get(&format!("{scan}/review")).await;
    let review = review.result().as_array().unwrap().clone();
    let at = |name: &str, rtype: &str| {
        review.iter().find(|record| record["name"] == name && record["type"] == rtype).unwrap_or_else(|| panic!("{name}"))
    };
    let apex = at("example.com", "A");
    assert_eq!((&apex["proxied"], &apex["ttl"]), (&json!(true), &json!(1)), "automatic where proxied");
    let mail = at("mail.example.com", "A");
    assert_eq!((&mail["proxied"], &mail["ttl"]), (&json!(false), &json!(3600)), "as it was where not");
    assert_eq!(at("lan.example.com", "A")["proxied"], json!(false), "the edge reaches no private address");

    // One that cannot be, and nothing comes.
    let www = at("www.example.com", "CNAME");
    let bad = json!({ "accepts": [apex, { "id": www["id"], "content": "not a name" }], "rejects": [{ "id": mail["id"] }] });
    let refused = client.ask("POST", &format!("{scan}/review"), bad).await;
    assert_eq!(
        (refused.status, &refused.body["errors"][0]["source"]["pointer"]),
        (400, &json!("/accepts/1")),
        "{}",
        refused.body
    );
    assert_eq!(client.get(&format!("{scan}/review")).await.result().as_array().unwrap().len(), 5);

    let mine = json!({ "accepts": [apex, { "id": www["id"], "proxied": false, "ttl": 120 }], "rejects": [{ "id": mail["id"] }] });
    let decided = client.ask("POST", &format!("{scan}/review"), mine).await;
    assert_eq!(decided.result()["accepts"][1]["ttl"], json!(120));
    assert_eq!(decided.result()["rejects"], json!([mail["id"]]), "as the SDKs read it");
    assert_eq!(client.get(&format!("{scan}/review")).await.result().as_array().unwrap().len(), 2);
    assert_eq!(client.get(&format!("{records}?name=www.example.com")).await.result()[0]["proxied"], json!(false));
    let gone = client.ask("POST", &format!("{scan}/review"), json!({ "rejects": [{ "id": mail["id"] }] })).await;
    assert_eq!(gone.status, 404);
}

#[tokio::test]
async fn a_scan_is_begun_once_and_needs_the_permission() {
    let client = client().await;
    let path = client.zone("example.com").await;
    let trigger = format!("{path}/dns_records/scan/trigger");
    let reader = client.reader("DNS Read").await;
    assert_eq!(reader.ask("POST", &trigger, json!(null)).await.status, 403);
    client.ask("POST", &trigger, json!({})).await.result();
    client.ask("POST", &trigger, json!({})).await.result();
    assert_eq!(client.app.scans_due(4).await.unwrap().len(), 1);
    assert_eq!(client.app.scans_due(4).await.unwrap().len(), 0, "whoever took it up has it");
    assert_eq!(reader.get(&format!("{path}/poterne/scan")).await.result()["status"], "running");
    let id: ZoneId = path.rsplit('/').next().unwrap().parse().unwrap();
    client.app.scan_done(id, ScanDone::default()).await.unwrap();
    let again = client.ask("POST", &trigger, json!({})).await;
    assert_eq!((again.status, again.headers["retry-after"].to_str().unwrap()), (429, "60"));
}

#[tokio::test]
async fn a_scan_without_a_review_makes_what_it_found() {
    let client = client().await;
    let made = client.ask("POST", "/zones", json!({ "name": "example.com", "jump_start": true })).await;
    let path = format!("/zones/{}", made.result()["id"].as_str().unwrap());
    assert_eq!(client.get(&format!("{path}/poterne/scan")).await.result()["status"], "running", "a new zone may ask for it");
    let scan = format!("{path}/dns_records/scan");
    let asked = client.ask("POST", &scan, json!(null));
    let (told, ()) = tokio::join!(asked, scanned(&client, &path));
    let told = told.result().clone();
    assert_eq!((&told["recs_added"], &told["total_records_parsed"]), (&json!(7), &json!(7)));
    assert_eq!(told["recs_added_by_type"], json!({ "A": 3, "CNAME": 2, "MX": 1, "TXT": 1 }));
}
