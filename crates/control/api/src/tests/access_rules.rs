//! Access rules.

use serde_json::{Value, json};

use super::client;

fn rule(mode: &str, target: &str, value: &str) -> Value {
    json!({ "mode": mode, "configuration": { "target": target, "value": value }, "notes": format!("for {value}") })
}

#[tokio::test]
async fn each_scope_has_its_rules_and_a_value_once() {
    let client = client().await;
    let zone = client.zone("example.com").await;
    for (owner, kind) in
        [(zone, None), (format!("/accounts/{}", client.account), Some("organization")), ("/user".into(), Some("user"))]
    {
        let base = format!("{owner}/firewall/access_rules/rules");
        let made = client.ask("POST", &base, rule("block", "ip", "192.0.2.7")).await;
        let object = made.result();
        assert_eq!((object["scope"]["type"].as_str(), &object["configuration"]["value"]), (kind, &json!("192.0.2.7")), "{owner}");
        assert_eq!(object["scope"]["email"].is_string(), kind == Some("user"));
        let path = format!("{base}/{}", object["id"].as_str().unwrap());
        let again = client.ask("POST", &base, rule("whitelist", "ip", "::ffff:192.0.2.7")).await;
        assert_eq!((again.status, again.codes()), (400, vec![10009]), "the same in other clothes");
        let patched = client.ask("PATCH", &path, json!({ "mode": "challenge" })).await;
        assert_eq!((&patched.result()["mode"], &patched.result()["notes"]), (&json!("challenge"), &json!("for 192.0.2.7")));
        assert_eq!(client.get(&path).await.result(), patched.result());
        let told = client.ask("PATCH", &path, rule("block", "ip", "192.0.2.8")).await;
        assert_eq!((told.status, &told.body["errors"][0]["source"]["pointer"]), (400, &json!("/configuration")));
        assert_eq!(client.get(&base).await.body["result_info"]["total_count"], 1);
        assert_eq!(client.ask("DELETE", &path, Value::Null).await.result()["id"], object["id"]);
        assert_eq!(client.ask("DELETE", &path, Value::Null).await.status, 404);
    }
}

#[tokio::test]
async fn rules_are_found_by_what_they_say() {
    let client = client().await;
    let base = format!("/accounts/{}/firewall/access_rules/rules", client.account);
    for (mode, target, value) in [
        ("block", "ip", "192.0.2.1"),
        ("block", "ip_range", "198.51.100.0/24"),
        ("whitelist", "country", "fr"),
        ("challenge", "asn", "as64500"),
    ] {
        client.ask("POST", &base, rule(mode, target, value)).await.result();
    }
    let found = async |query: &str| {
        let told = client.get(&format!("{base}?{query}")).await;
        let values =
            told.result().as_array().unwrap().iter().map(|rule| rule["configuration"]["value"].as_str().unwrap().to_owned());
        values.collect::<Vec<_>>()
    };
    assert_eq!(found("mode=block&order=configuration.value&direction=desc").await, ["198.51.100.0/24", "192.0.2.1"]);
    assert_eq!(found("configuration.target=country").await, ["FR"]);
    assert_eq!(found("notes=FOR%20AS64500").await, ["AS64500"]);
    assert_eq!(found("mode=block&configuration.target=asn").await, Vec::<String>::new());
    assert_eq!(found("mode=whitelist&configuration.target=asn&match=any").await.len(), 2);
    assert_eq!(found("per_page=3&page=2").await.len(), 1);
    assert_eq!(found("per_page=3&page=3").await.len(), 0);
    assert_eq!(client.get(&format!("{base}?mode=no")).await.status, 400);
}

#[tokio::test]
async fn a_scope_has_its_own_permission_and_rules_are_not_found_elsewhere() {
    let client = client().await;
    let zone = client.zone("example.com").await;
    let of_zone = format!("{zone}/firewall/access_rules/rules");
    let of_account = format!("/accounts/{}/firewall/access_rules/rules", client.account);
    let made = client.ask("POST", &of_zone, rule("block", "ip6", "2001:db8::1")).await;
    let id = made.result()["id"].as_str().unwrap();
    assert_eq!(client.get(&format!("{of_account}/{id}")).await.status, 404);
    let reader = client.reader("Firewall Services Read").await;
    reader.get(&format!("{of_zone}/{id}")).await.result();
    assert_eq!(reader.ask("DELETE", &format!("{of_zone}/{id}"), Value::Null).await.codes(), [10000]);
    assert_eq!(reader.get(&of_account).await.status, 404);
    assert_eq!(client.get(&format!("{of_zone}/short")).await.codes(), [7003, 7000]);
}
