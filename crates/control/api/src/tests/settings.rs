//! Zone settings.

use serde_json::{Value, json};

use super::client;

#[tokio::test]
async fn settings_have_defaults_and_are_told_back_as_they_were_set() {
    let client = client().await;
    let zone = client.zone("example.com").await;
    let path = |id: &str| format!("{zone}/settings/{id}");
    let all = client.get(&format!("{zone}/settings")).await;
    let found = |id: &str| all.result().as_array().unwrap().iter().find(|setting| setting["id"] == id).unwrap().clone();
    assert_eq!(found("ssl"), json!({ "id": "ssl", "value": "full", "editable": true, "modified_on": null }));
    assert_eq!(found("ssl_recommender")["enabled"], false);
    let set = client.ask("PATCH", &path("ssl"), json!({ "value": "strict", "id": "ssl" })).await;
    assert_eq!((&set.result()["value"], set.result()["modified_on"].is_string()), (&json!("strict"), true));
    assert_eq!(client.get(&path("ssl")).await.result()["value"], "strict");
    let many = json!({ "items": [{ "id": "http3", "value": "off" }, { "id": "ssl_recommender", "enabled": true }] });
    client.ask("PATCH", &format!("{zone}/settings"), many).await.result();
    assert_eq!(client.get(&path("http3")).await.result()["value"], "off");
    assert_eq!(client.get(&path("ssl_recommender")).await.result()["enabled"], true);
    // Nothing half-written: the first of these is right.
    let bad = json!({ "items": [{ "id": "brotli", "value": "off" }, { "id": "ipv6", "value": true }] });
    let told = client.ask("PATCH", &format!("{zone}/settings"), bad).await;
    assert_eq!((told.status, told.codes()), (400, vec![1007]));
    assert_eq!(told.body["errors"][0]["source"]["pointer"], "/items/1/value");
    assert_eq!(client.get(&path("brotli")).await.result()["value"], "on");
    for method in ["GET", "PATCH"] {
        let told = client.ask(method, &path("brotil"), json!({ "value": "on" })).await;
        assert_eq!((told.status, told.codes()), (400, vec![1006]), "{}", told.body);
    }
    let events =
        client.app.audit_of_account(&poterne_control_app::Caller::Operator, client.app.account(), Default::default(), 0, 50);
    let events = events.await.unwrap().0;
    let event = events.iter().find(|event| event.resource == "ssl").unwrap();
    assert_eq!((event.old_value.as_deref(), event.new_value.as_deref()), (Some("\"full\""), Some("\"strict\"")));
}

#[tokio::test]
async fn development_mode_is_in_the_zone_too() {
    let client = client().await;
    let zone = client.zone("example.com").await;
    assert_eq!(client.get(&zone).await.result()["development_mode"], 0);
    let on = client.ask("PATCH", &format!("{zone}/settings/development_mode"), json!({ "value": "on" })).await;
    assert_eq!(on.result()["time_remaining"], 10_800);
    assert_eq!(client.get(&zone).await.result()["development_mode"], 10_800);
    assert_eq!(client.get("/zones").await.result()[0]["development_mode"], 10_800);
}

#[tokio::test]
async fn what_is_kept_whole_is_patched_and_told() {
    let client = client().await;
    let zone = client.zone("example.com").await;
    let dns = format!("{zone}/dns_settings");
    assert_eq!(client.get(&dns).await.result()["ns_ttl"], 86_400);
    let set = client.ask("PATCH", &dns, json!({ "ns_ttl": 300, "soa": { "retry": 900 } })).await;
    assert_eq!((&set.result()["ns_ttl"], &set.result()["soa"]["retry"]), (&json!(300), &json!(900)));
    assert_eq!(client.get(&dns).await.result()["soa"]["retry"], 900);
    let foreign = json!({ "internal_dns": { "reference_zone_id": "0".repeat(32) } });
    let told = client.ask("PATCH", &dns, foreign).await;
    assert_eq!((told.status, &told.body["errors"][0]["source"]["pointer"]), (400, &json!("/internal_dns/reference_zone_id")));
    let url = format!("{zone}/url_normalization");
    assert_eq!(client.get(&url).await.result(), &json!({ "type": "cloudflare", "scope": "both" }));
    let put = json!({ "type": "rfc3986", "scope": "incoming" });
    assert_eq!(client.ask("PUT", &url, put.clone()).await.result(), &put);
    assert_eq!(client.get(&url).await.result(), &put);
    let managed = format!("{zone}/managed_headers");
    let on = json!({ "managed_request_headers": [{ "id": "remove_visitor_ip_headers", "enabled": true }] });
    client.ask("PATCH", &managed, on).await.result();
    let told = client.get(&managed).await;
    let one = told.result()["managed_request_headers"].as_array().unwrap().iter().find(|one| one["enabled"] == true).unwrap();
    assert_eq!((&one["id"], &one["has_conflict"]), (&json!("remove_visitor_ip_headers"), &json!(false)));
}

#[tokio::test]
async fn whoever_may_read_zones_may_not_read_their_settings() {
    let client = client().await;
    let zone = client.zone("example.com").await;
    let reader = client.reader("Zone Read").await;
    let told = reader.get(&format!("{zone}/settings")).await;
    assert_eq!((told.status, told.codes()), (403, vec![10000]));
    let told = client.get(&format!("/zones/{}/settings", "0".repeat(32))).await;
    assert_eq!((told.status, &told.body["result"]), (404, &Value::Null));
}
