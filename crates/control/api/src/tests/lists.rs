//! Lists and their items.

use serde_json::{Value, json};

use super::{Client, client};

async fn made(client: &Client, name: &str, kind: &str) -> String {
    let base = format!("/accounts/{}/rules/lists", client.account);
    let made = client.ask("POST", &base, json!({ "name": name, "kind": kind, "description": "d" })).await;
    format!("{base}/{}", made.result()["id"].as_str().unwrap())
}

async fn write(client: &Client, method: &str, list: &str, body: Value) {
    let told = client.ask(method, &format!("{list}/items"), body).await;
    let operation = told.result()["operation_id"].as_str().unwrap();
    let path = format!("/accounts/{}/rules/lists/bulk_operations/{operation}", client.account);
    assert_eq!(client.get(&path).await.result()["status"], "completed");
}

#[tokio::test]
async fn lists_are_made_described_and_deleted_unless_a_rule_names_them() {
    let client = client().await;
    let list = made(&client, "office", "ip").await;
    let base = format!("/accounts/{}/rules/lists", client.account);
    let again = client.ask("POST", &base, json!({ "name": "office", "kind": "asn" })).await;
    assert_eq!((again.status, again.codes()), (400, vec![10_000_409]));
    let wrong = client.ask("POST", &base, json!({ "name": "Office", "kind": "ip" })).await;
    assert_eq!(wrong.body["errors"][0]["source"]["pointer"], "/name");
    assert_eq!(client.ask("PUT", &list, json!({ "description": "ours" })).await.result()["description"], "ours");
    let zone = client.zone("example.com").await;
    let entry = format!("{zone}/rulesets/phases/http_request_firewall_custom/entrypoint");
    let rules = json!({ "rules": [{ "action": "block", "expression": "not ip.src in $office" }] });
    client.ask("PUT", &entry, rules).await.result();
    assert_eq!(client.get(&list).await.result()["num_referencing_filters"], 1);
    assert_eq!(client.get(&base).await.result()[0]["num_referencing_filters"], 1);
    assert_eq!(client.ask("DELETE", &list, Value::Null).await.codes(), [10_000_409]);
    client.ask("PUT", &entry, json!({ "rules": [] })).await.result();
    assert_eq!(client.ask("DELETE", &list, Value::Null).await.result()["id"], list.rsplit('/').next().unwrap());
    assert_eq!(client.get(&list).await.status, 404);
    assert_eq!(client.get(&base).await.result(), &json!([]));
}

#[tokio::test]
async fn items_are_appended_replaced_searched_and_deleted() {
    let client = client().await;
    let list = made(&client, "bad", "ip").await;
    let items = format!("{list}/items");
    write(&client, "POST", &list, json!([{ "ip": "192.0.2.1" }, { "ip": "2001:db8::1", "comment": "A Bot" }])).await;
    write(&client, "POST", &list, json!([{ "ip": "192.0.2.1", "comment": "again" }, { "ip": "198.51.100.0/24" }])).await;
    let told = client.get(&items).await;
    let ips: Vec<_> = told.result().as_array().unwrap().iter().map(|item| item["ip"].as_str().unwrap()).collect();
    assert_eq!(ips, ["192.0.2.1", "198.51.100.0/24", "2001:db8::/64"]);
    assert_eq!(client.get(&list).await.result()["num_items"], 3);
    let first = &told.result()[0];
    let one = client.get(&format!("{items}/{}", first["id"].as_str().unwrap())).await;
    assert_eq!((one.result(), &one.result()["comment"]), (first, &json!("again")));
    for (search, count) in [("bot", 1), ("198.51", 1), ("%25", 0), ("_", 0), ("nothing", 0)] {
        let found = client.get(&format!("{items}?search={search}")).await;
        assert_eq!(found.result().as_array().unwrap().len(), count, "{search}");
    }
    let bad = client.ask("POST", &items, json!([{ "ip": "203.0.113.1" }, { "ip": "home" }])).await;
    assert_eq!((bad.status, &bad.body["errors"][0]["source"]["pointer"]), (400, &json!("/1/ip")));
    assert_eq!(client.get(&list).await.result()["num_items"], 3, "nothing half-written");
    write(&client, "DELETE", &list, json!({ "items": [{ "id": first["id"] }] })).await;
    write(&client, "PUT", &list, json!([{ "ip": "198.51.100.0/24" }, { "ip": "203.0.113.9" }])).await;
    let replaced = client.get(&items).await;
    assert_eq!(replaced.result()[0]["id"], told.result()[1]["id"], "what stays keeps its id");
    assert_eq!(replaced.result().as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn ten_thousand_items_are_read_by_cursor() {
    let client = client().await;
    let list = made(&client, "many", "ip").await;
    let ip = |number: u32| json!({ "ip": std::net::Ipv4Addr::from(0x0a00_0000 + number).to_string() });
    write(&client, "POST", &list, (0..10_000).map(ip).collect()).await;
    let (mut seen, mut cursor) = (std::collections::HashSet::new(), String::new());
    loop {
        let told = client.get(&format!("{list}/items?per_page=500&cursor={cursor}")).await;
        seen.extend(told.result().as_array().unwrap().iter().map(|item| item["ip"].to_string()));
        let Some(next) = told.body["result_info"]["cursors"]["after"].as_str() else { break };
        next.clone_into(&mut cursor);
    }
    assert_eq!(seen.len(), 10_000);
}

#[tokio::test]
async fn lists_have_their_own_permission() {
    let client = client().await;
    let list = made(&client, "office", "hostname").await;
    let reader = client.reader("Account Filter Lists Read").await;
    reader.get(&list).await.result();
    assert_eq!(reader.ask("DELETE", &list, Value::Null).await.codes(), [10000]);
    assert_eq!(client.reader("Account Rulesets Read").await.get(&list).await.codes(), [10000]);
    let unknown = format!("/accounts/{}/rules/lists/bulk_operations/{}", client.account, "0".repeat(32));
    assert_eq!(client.get(&unknown).await.status, 404);
}
