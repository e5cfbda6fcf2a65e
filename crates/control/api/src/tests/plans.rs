//! Plans, subscriptions, and where the node is.

use serde_json::{Value, json};

use super::client;

#[tokio::test]
async fn every_zone_has_the_one_plan_and_nothing_is_sold() {
    let client = client().await;
    let zone = client.zone("example.com").await;
    let plans = client.get(&format!("{zone}/available_plans")).await;
    let id = plans.result()[0]["id"].as_str().unwrap();
    assert_eq!(client.get(&format!("{zone}/available_plans/{id}")).await.result()["legacy_id"], "free");
    assert_eq!(client.get(&format!("{zone}/available_plans/other")).await.status, 404);
    assert_eq!(client.get(&format!("{zone}/available_rate_plans")).await.result()[0]["id"], "free");
    let path = format!("{zone}/subscription");
    let told = client.get(&path).await;
    assert_eq!((&told.result()["price"], &told.result()["rate_plan"]["id"]), (&json!(0), &json!("free")));
    for method in ["POST", "PUT"] {
        let same = client.ask(method, &path, json!({ "rate_plan": { "id": "free" }, "frequency": "monthly" })).await;
        assert_eq!(same.result(), told.result());
        let other = client.ask(method, &path, json!({ "rate_plan": { "id": "business" } })).await;
        assert_eq!((other.status, &other.body["errors"][0]["source"]["pointer"]), (400, &json!("/rate_plan/id")));
    }
    let reader = client.reader("Zone Read").await;
    assert_eq!(reader.ask("PUT", &path, json!({})).await.codes(), [10000]);
    for path in [format!("/accounts/{}/subscriptions", client.account), "/user/subscriptions".into()] {
        assert_eq!(client.get(&path).await.result(), &json!([]));
    }
}

#[tokio::test]
async fn anybody_may_ask_where_the_node_is() {
    let client = client().await;
    let told = client.send("GET", "/ips", &[], "").await;
    assert_eq!((&told.result()["ipv4_cidrs"], &told.result()["ipv6_cidrs"]), (&json!([]), &json!([])), "nothing was set here");
    assert_eq!(told.result()["etag"].as_str().unwrap().len(), 32);
    assert_eq!(client.send("POST", "/ips", &[], "").await.status, 405);
}

#[tokio::test]
async fn what_is_kept_whole_is_reset() {
    let client = client().await;
    let zone = client.zone("example.com").await;
    let url = format!("{zone}/url_normalization");
    let default = client.get(&url).await.result().clone();
    client.ask("PUT", &url, json!({ "type": "rfc3986", "scope": "incoming" })).await.result();
    client.ask("DELETE", &url, Value::Null).await.result();
    assert_eq!(client.get(&url).await.result(), &default);
    let managed = format!("{zone}/managed_headers");
    let default = client.get(&managed).await.result().clone();
    let on = json!({ "managed_request_headers": [{ "id": "remove_visitor_ip_headers", "enabled": true }] });
    client.ask("PATCH", &managed, on).await.result();
    client.ask("DELETE", &managed, Value::Null).await.result();
    assert_eq!(client.get(&managed).await.result(), &default);
    assert_eq!(client.reader("Zone Read").await.ask("DELETE", &managed, Value::Null).await.codes(), [10000]);
}
