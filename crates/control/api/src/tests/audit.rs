//! Audit logs.

use serde_json::{Value, json};

use super::client;

#[tokio::test]
async fn whatever_is_changed_is_told_with_who_and_what() {
    let client = client().await;
    let zone = client.zone("example.com").await;
    client.ask("PATCH", &format!("{zone}/settings/ssl"), json!({ "value": "strict" })).await.result();
    client.ask("PATCH", &zone, json!({ "paused": true })).await.result();
    let path = format!("/accounts/{}/audit_logs", client.account);
    let found = async |query: &str| client.get(&format!("{path}?{query}")).await.result().as_array().unwrap().clone();
    let events = found("action.type=set").await;
    let event = &events[0];
    assert_eq!((events.len(), &event["oldValue"], &event["newValue"]), (1, &json!("\"full\""), &json!("\"strict\"")));
    assert_eq!((&event["actor"]["email"], &event["actor"]["ip"]), (&json!("admin@poterne.localhost"), &json!("203.0.113.9")));
    assert_eq!((&event["resource"]["id"], &event["metadata"]["zone_name"]), (&json!("ssl"), &json!("example.com")));
    for (query, count) in [
        ("zone.name=example.com", 3),
        ("zone.name=example.org", 0),
        ("actor.email=ADMIN@poterne.localhost&zone.name=example.com", 3),
        ("actor.ip=203.0.113.9&zone.name=example.com", 3),
        ("actor.ip=192.0.2.1", 0),
        ("before=1970-01-01", 0),
        ("since=1970-01-02", 0),
    ] {
        assert_eq!(found(query).await.len(), count, "{query}");
    }
    let id = event["id"].as_str().unwrap();
    assert_eq!(found(&format!("id={id}")).await.len(), 1);
    let (first, second) = (found("per_page=2&direction=asc").await, found("per_page=2&page=2&direction=asc").await);
    assert!(first.iter().all(|event| !second.contains(event)));
    assert_eq!(found("page=99").await.len(), 0);
    let mine = client.get("/user/audit_logs?zone.name=example.com").await;
    assert_eq!(mine.body["result_info"]["total_count"], 3);
    assert_eq!(client.get(&format!("{path}?direction=up")).await.status, 400);
    assert_eq!(client.reader("Account Settings Read").await.get(&path).await.codes(), [10000]);
}

#[tokio::test]
async fn the_second_version_is_read_by_cursor_and_filtered_by_what_it_tells() {
    let client = client().await;
    let zone = client.zone("example.com").await;
    for value in ["strict", "off", "flexible", "full", "strict"] {
        client.ask("PATCH", &format!("{zone}/settings/ssl"), json!({ "value": value })).await.result();
    }
    let path = format!("/accounts/{}/logs/audit?since=1970-01-01&before=2100-01-01T00:00:00Z", client.account);
    assert_eq!(client.get(&format!("/accounts/{}/logs/audit?since=1970-01-01", client.account)).await.status, 400);
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let told = client.get(&format!("{path}&limit=2&resource_type=zone_setting&cursor={cursor}")).await;
        seen.extend(told.result().as_array().unwrap().iter().cloned());
        assert!(told.result().as_array().unwrap().len() <= 2);
        let Some(next) = told.body["result_info"]["cursor"].as_str() else { break };
        next.clone_into(&mut cursor);
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.iter().all(|event| event["zone"]["name"] == "example.com" && event["actor"]["context"] == "api_token"));
    let ids: std::collections::HashSet<_> = seen.iter().map(|event| event["id"].to_string()).collect();
    assert_eq!(ids.len(), 5, "none twice");
    let made = client.get(&format!("{path}&action_type=create&zone_name=EXAMPLE.com")).await;
    assert_eq!((made.result().as_array().unwrap().len(), &made.result()[0]["resource"]["type"]), (1, &json!("zone")));
    let others = client.get(&format!("{path}&resource_type.not=zone_setting&resource_type.not=zone")).await;
    assert_eq!(others.result(), &json!([]), "there is nothing else");
    assert_eq!(client.get(&format!("{path}&cursor=eA")).await.status, 400);
    assert_eq!(client.ask("GET", "/user/audit_logs", Value::Null).await.status, 200);
}
