//! Records: batches, and how many there are.

use serde_json::{Value, json};

use super::client;

#[tokio::test]
async fn ten_thousand_records_with_one_bad_leave_nothing() {
    let client = client().await;
    let zone = client.zone("example.com").await;
    let path = format!("{zone}/dns_records");
    client.ask("POST", &path, json!({ "type": "A", "name": "taken", "content": "192.0.2.1" })).await.result();
    let record = |n: u32| json!({ "type": "A", "name": format!("n{n}"), "content": std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).to_string() });
    let batch = async |good: u32, bad: Value| {
        let mut posts: Vec<Value> = (0..good).map(record).collect();
        posts.push(bad);
        let told = client.ask("POST", &format!("{path}/batch"), json!({ "posts": posts })).await;
        assert_eq!(client.get(&format!("{path}/usage")).await.result()["record_usage"], 1);
        (told.status, told.codes(), told.body["errors"][0]["source"]["pointer"].as_str().unwrap_or_default().to_owned())
    };
    let refused = batch(9_999, json!({ "type": "A", "name": "bad", "content": "192.0.2.256" })).await;
    assert_eq!(refused, (400, vec![9005], "/posts/9999".to_owned()));
    let refused = batch(20, json!({ "type": "CNAME", "name": "taken", "content": "x.example.org" })).await;
    assert_eq!(refused, (400, vec![81053], "/posts/20".to_owned()));
    let refused = batch(20, json!({ "type": "A", "name": "n7", "content": "10.0.0.7" })).await;
    assert_eq!(refused, (400, vec![81058], "/posts/20".to_owned()), "within the batch, too");
    let log = client.get(&format!("/accounts/{}/audit_logs?action.type=rec_add", client.account)).await;
    assert_eq!(log.body["result_info"]["total_count"], 1, "nothing was traced that was not done");
    let gone = "0".repeat(32);
    let told = client.ask("POST", &format!("{path}/batch"), json!({ "posts": [record(1)], "deletes": [{ "id": gone }] })).await;
    assert_eq!(
        (told.status, told.codes(), &told.body["errors"][0]["source"]["pointer"]),
        (404, vec![81044], &json!("/deletes/0"))
    );
}
