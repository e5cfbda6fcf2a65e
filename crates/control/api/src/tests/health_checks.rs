//! Health checks.

use poterne_control_app::{notice::Notice, outbox::Channel};
use poterne_control_wire::WireTime;
use poterne_feed::Event;
use poterne_model::{HealthCheckId, ZoneId, health_check::HealthStatus};
use serde_json::{Value, json};

use super::{Client, client};

fn check(name: &str) -> Value {
    json!({ "name": name, "address": "9.9.9.9", "type": "HTTPS", "interval": 30, "check_regions": ["WEU"],
        "http_config": { "path": "/health", "expected_codes": ["2xx", "302"], "header": { "Host": ["www.site.test"], "X-App-ID": ["k"] } } })
}

/// A node says how a check's origin is, of the version that the object shows.
async fn checked(client: &Client, zone: &str, object: &Value, why: Option<&str>) {
    let modified: WireTime = serde_json::from_value(object["modified_on"].clone()).unwrap();
    let event = Event::OriginChecked {
        zone: zone.trim_start_matches("/zones/").parse::<ZoneId>().unwrap(),
        check: object["id"].as_str().unwrap().parse::<HealthCheckId>().unwrap(),
        revision: modified.0.as_micros(),
        why: why.map(str::to_owned),
    };
    client.app.record_event(event).await.unwrap();
}

#[tokio::test]
async fn a_check_is_made_shown_changed_and_deleted() {
    let client = client().await;
    let zone = client.active_zone("site.test").await;
    let base = format!("{zone}/healthchecks");
    let made = client.ask("POST", &base, check("shop-1")).await.result().clone();
    let expected = json!({ "id": made["id"], "name": "shop-1", "description": "", "address": "9.9.9.9", "type": "HTTPS", "interval": 30,
        "timeout": 5, "retries": 2, "consecutive_fails": 1, "consecutive_successes": 1, "suspended": false, "check_regions": ["WEU"],
        "http_config": { "method": "GET", "path": "/health", "port": 0, "expected_codes": ["2xx", "302"], "expected_body": "",
            "follow_redirects": false, "allow_insecure": false, "header": { "Host": ["www.site.test"], "X-App-ID": ["k"] } },
        "tcp_config": null, "status": "unknown", "failure_reason": "", "created_on": made["created_on"], "modified_on": made["created_on"] });
    assert_eq!(made, expected);
    let one = format!("{base}/{}", made["id"].as_str().unwrap());
    assert_eq!(client.get(&one).await.result(), &made);
    let patched = client.ask("PATCH", &one, json!({ "http_config": { "port": 8443 }, "suspended": true })).await;
    let patched = patched.result();
    assert_eq!((&patched["http_config"]["path"], &patched["http_config"]["port"]), (&json!("/health"), &json!(8443)));
    assert_eq!(patched["status"], "suspended");
    let put = client.ask(
        "PUT",
        &one,
        json!({ "name": "db", "address": "db.site.test", "type": "TCP", "tcp_config": { "port": 5432 } }),
    );
    let put = put.await.result().clone();
    let tcp = json!({ "method": "connection_established", "port": 5432 });
    assert_eq!((&put["tcp_config"], &put["check_regions"], &put["suspended"]), (&tcp, &Value::Null, &json!(false)), "{put}");
    assert_eq!(client.get(&format!("{base}?per_page=1&page=2")).await.result(), &json!([]));
    assert_eq!(client.get(&base).await.body["result_info"]["total_count"], 1);
    assert_eq!(client.ask("DELETE", &one, Value::Null).await.result(), &json!({ "id": made["id"] }));
    assert_eq!(client.ask("DELETE", &one, Value::Null).await.status, 404);
    let traced = client.get(&format!("/accounts/{}/audit_logs?zone.name=site.test", client.account)).await;
    let traced = traced.result().to_string();
    assert!(traced.contains("health_check") && !traced.contains("[\"k\"]"), "fields' values are nobody's trace: {traced}");
}

#[tokio::test]
async fn what_is_wrong_is_told_at_its_place_and_there_is_a_bound() {
    let client = client().await;
    let base = format!("{}/healthchecks", client.zone("site.test").await);
    let mut body = check("shop-1");
    body["http_config"]["expected_codes"] = json!(["2xx", "nine"]);
    let told = client.ask("POST", &base, body).await;
    assert_eq!((told.status, &told.body["errors"][0]["source"]["pointer"]), (400, &json!("/http_config/expected_codes/1")));
    for (address, why) in [("10.0.0.1", "origins_allowed"), ("127.0.0.1", "loopback")] {
        let mut body = check("inside");
        body["address"] = json!(address);
        let told = client.ask("POST", &base, body).await;
        let error = &told.body["errors"][0];
        assert_eq!((told.status, &error["source"]["pointer"]), (400, &json!("/address")));
        assert!(error["message"].as_str().unwrap().contains(why), "{error}");
    }
    for number in 0..poterne_control_app::HEALTH_CHECKS_OF_ZONE_MAX {
        client.ask("POST", &base, check(&format!("n-{number}"))).await.result();
    }
    let told = client.ask("POST", &base, check("one-too-many")).await;
    let message = told.body["errors"][0]["message"].as_str().unwrap();
    assert!(told.status == 400 && message.contains("50"), "{message}");
}

#[tokio::test]
async fn a_check_has_its_own_permission_and_its_own_zone() {
    let client = client().await;
    let (zone, other) = (client.zone("site.test").await, client.zone("other.test").await);
    let made = client.ask("POST", &format!("{zone}/healthchecks"), check("shop-1")).await.result().clone();
    let id = made["id"].as_str().unwrap();
    assert_eq!(client.get(&format!("{other}/healthchecks/{id}")).await.status, 404);
    let one = format!("{zone}/healthchecks/{id}");
    let reader = client.reader("Health Checks Read").await;
    reader.get(&one).await.result();
    assert_eq!(reader.ask("PATCH", &one, json!({ "timeout": 3 })).await.codes(), [10000]);
    let stranger = client.reader("DNS Write").await;
    assert!(stranger.get(&one).await.status >= 400);
}

#[tokio::test]
async fn what_nodes_tell_is_shown_and_told_to_whom_it_concerns() {
    let client = client().await;
    let zone = client.active_zone("site.test").await;
    let base = format!("{zone}/healthchecks");
    let made = client.ask("POST", &base, check("shop-1")).await.result().clone();
    let one = format!("{base}/{}", made["id"].as_str().unwrap());
    let hook = json!({ "name": "ops", "url": "https://hooks.example.com/x" });
    let destinations = format!("/accounts/{}/alerting/v3/destinations/webhooks", client.account);
    let hook = client.ask("POST", &destinations, hook).await.result()["id"].clone();
    let policy = json!({ "name": "health", "alert_type": "health_check_status_notification", "enabled": true,
        "mechanisms": { "webhooks": [{ "id": hook }] },
        "filters": { "health_check_id": [made["id"]], "status": ["Unhealthy", "Healthy"] } });
    client.ask("POST", &format!("/accounts/{}/alerting/v3/policies", client.account), policy).await.result();
    let told = async || {
        let mut notices = Vec::new();
        for dispatch in client.app.outbox_take(Channel::Webhook, 9).await.unwrap() {
            if let Notice::HealthCheck { status, before, why, .. } = dispatch.notice.clone() {
                notices.push((status, before, why));
            }
            client.app.outbox_settle(&dispatch, &poterne_control_app::outbox::Attempt::Taken).await.unwrap();
        }
        notices
    };
    use HealthStatus::{Healthy, Unhealthy};
    checked(&client, &zone, &made, None).await;
    assert_eq!((&client.get(&one).await.result()["status"], told().await), (&json!("healthy"), Vec::new()), "no news");
    checked(&client, &zone, &made, Some("it answered 503")).await;
    let shown = client.get(&one).await.result().clone();
    assert_eq!((&shown["status"], &shown["failure_reason"]), (&json!("unhealthy"), &json!("it answered 503")));
    assert_eq!(shown["modified_on"], made["modified_on"], "nobody changed it");
    assert_eq!(told().await, [(Unhealthy, Healthy, Some("it answered 503".to_owned()))]);
    checked(&client, &zone, &made, Some("the connection was refused")).await;
    assert_eq!(client.get(&one).await.result()["failure_reason"], "the connection was refused");
    assert_eq!(told().await, [], "it is as it was");
    checked(&client, &zone, &made, None).await;
    assert_eq!(told().await, [(Healthy, Unhealthy, None)]);

    let renamed = client.ask("PATCH", &one, json!({ "name": "shop-2" })).await.result().clone();
    assert_eq!(renamed["status"], "healthy", "what is asked is the same");
    checked(&client, &zone, &made, Some("late")).await;
    assert_eq!(client.get(&one).await.result()["status"], "healthy", "of what the check said before nothing is kept");
    let changed = client.ask("PATCH", &one, json!({ "address": "9.9.9.10" })).await.result().clone();
    assert_eq!(changed["status"], "unknown");
    checked(&client, &zone, &changed, Some("it is not there")).await;
    assert_eq!(told().await, [(Unhealthy, HealthStatus::Unknown, Some("it is not there".to_owned()))]);
    client.ask("DELETE", &one, Value::Null).await.result();
    checked(&client, &zone, &changed, None).await;
}
