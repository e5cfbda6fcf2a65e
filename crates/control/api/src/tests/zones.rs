//! Zones.

use serde_json::json;

use super::client;

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
