//! What is in force.

use serde_json::json;

use super::client;

#[tokio::test]
async fn what_is_only_stored_says_so() {
    let client = client().await;
    let zone = client.zone("example.com").await;
    let told = client.get(&format!("{zone}/poterne/features")).await;
    let of_zone = told.result().as_array().unwrap();
    assert!(of_zone.contains(&json!({ "id": "ssl", "type": "setting", "in_force": true })));
    for (id, kind) in [
        ("polish", "setting"),
        ("http_ratelimit", "phase"),
        ("access_rules", "object"),
        ("add_bot_protection_headers", "managed_header"),
    ] {
        assert!(of_zone.contains(&json!({ "id": id, "type": kind, "in_force": false })), "{id}");
    }
    for (id, kind) in [
        ("http3", "setting"),
        ("brotli", "setting"),
        ("add_security_headers", "managed_header"),
        ("http_request_firewall_custom", "phase"),
        ("url_normalization", "object"),
    ] {
        assert!(of_zone.contains(&json!({ "id": id, "type": kind, "in_force": true })), "{id}");
    }
    assert!(of_zone.iter().all(|feature| feature["id"] != "http_request_redirect"), "an account's phase");
    let told = client.get(&format!("/accounts/{}/poterne/features", client.account)).await;
    let of_account = told.result().as_array().unwrap();
    for (id, kind, in_force) in [
        ("http_request_redirect", "phase", true),
        ("http_request_firewall_custom", "phase", true),
        ("http_ratelimit", "phase", false),
        ("lists", "object", true),
    ] {
        assert!(of_account.contains(&json!({ "id": id, "type": kind, "in_force": in_force })), "{id}");
    }
    // Every setting that is told back is among them.
    let settings = client.get(&format!("{zone}/settings")).await;
    let counted = of_zone.iter().filter(|feature| feature["type"] == "setting").count();
    assert_eq!(settings.result().as_array().unwrap().len(), counted);
    assert_eq!(client.get(&format!("/zones/{}/poterne/features", "0".repeat(32))).await.status, 404);
}
