//! Rulesets, their entry points, rules and versions.

use serde_json::{Value, json};

use super::client;

fn rule(reference: &str, expression: &str) -> Value {
    json!({ "ref": reference, "action": "block", "expression": expression })
}

#[tokio::test]
async fn an_entry_point_is_made_by_its_first_put_and_rules_keep_their_ids() {
    let client = client().await;
    let zone = client.zone("example.com").await;
    let path = format!("{zone}/rulesets/phases/http_request_firewall_custom/entrypoint");
    let none = client.get(&path).await;
    assert_eq!((none.status, none.codes()), (404, vec![10003]));
    let put = client.ask("PUT", &path, json!({ "rules": [rule("a", "ip.src eq 192.0.2.1"), rule("b", "true")] })).await;
    let first = put.result();
    assert_eq!((&first["name"], &first["kind"], &first["version"]), (&json!("default"), &json!("zone"), &json!("1")));
    let (a, b) = (first["rules"][0]["id"].clone(), first["rules"][1]["id"].clone());
    let put = client.ask("PUT", &path, json!({ "rules": [rule("b", "true"), rule("c", "true"), rule("a", "false")] })).await;
    let rules = put.result()["rules"].as_array().unwrap();
    assert_eq!((&rules[0]["id"], &rules[2]["id"], &put.result()["version"]), (&b, &a, &json!("2")));
    assert_eq!((&rules[0]["version"], &rules[2]["version"]), (&json!("1"), &json!("2")));
    assert_eq!(client.get(&path).await.result(), put.result());
    let bad = client.ask("PUT", &path, json!({ "rules": [rule("a", "true"), rule("b", " ")] })).await;
    assert_eq!((bad.status, bad.codes()), (400, vec![20127]));
    assert_eq!(bad.body["errors"][0]["source"]["pointer"], "/rules/1/expression");
    assert_eq!(client.get(&path).await.result()["version"], "2", "nothing half-written");
    for (phase, status) in [("ddos_l7", 404), ("http_request_redirect", 404), ("http_nothing", 400)] {
        assert_eq!(client.get(&format!("{zone}/rulesets/phases/{phase}/entrypoint")).await.status, status, "{phase}");
    }
}

#[tokio::test]
async fn expressions_are_checked_when_they_are_saved() {
    let client = client().await;
    let zone = client.zone("example.com").await;
    let path = |phase: &str| format!("{zone}/rulesets/phases/{phase}/entrypoint");
    let firewall = path("http_request_firewall_custom");
    let bad = client.ask("PUT", &firewall, json!({ "rules": [rule("a", "true"), rule("b", "http.hst eq \"a\"")] })).await;
    assert_eq!((bad.status, bad.codes()), (400, vec![20127]));
    let error = &bad.body["errors"][0];
    assert_eq!(error["source"]["pointer"], "/rules/1/expression");
    let told = error["message"].as_str().unwrap();
    assert!(told.contains("did you mean http.host?") && told.contains("\nhttp.hst eq \"a\"\n^^^^^^^^"), "{told}");
    assert_eq!(client.get(&firewall).await.status, 404, "nothing half-written");
    // Whatever the phase, and wherever an expression stands.
    let target = json!({ "from_value": { "target_url": { "expression": "concat(http.host" }, "status_code": 301 } });
    let redirect = json!({ "rules": [{ "action": "redirect", "expression": "true", "action_parameters": target }] });
    let bad = client.ask("PUT", &path("http_request_dynamic_redirect"), redirect).await;
    assert_eq!((bad.status, bad.codes()), (400, vec![20127]));
    let at = "/rules/0/action_parameters/from_value/target_url/expression";
    assert_eq!(bad.body["errors"][0]["source"]["pointer"], at);
    let cache = json!({ "rules": [{ "action": "set_cache_settings", "expression": "http.host eq 1", "action_parameters": { "cache": true } }] });
    assert_eq!(client.ask("PUT", &path("http_request_cache_settings"), cache).await.codes(), [20127]);
    // What this node cannot fill is kept.
    let kept = json!({ "rules": [rule("a", "ip.src.country eq \"FR\" or cf.client.bot or ip.src in $office")] });
    let kept = client.ask("PUT", &firewall, kept).await;
    let base = format!("{zone}/rulesets/{}/rules", kept.result()["id"].as_str().unwrap());
    let bad = client.ask("POST", &base, rule("b", "len(http.host)")).await;
    assert_eq!((bad.codes(), &bad.body["errors"][0]["source"]["pointer"]), (vec![20127], &json!("/expression")));
    let many: Vec<Value> = (0..65).map(|n| rule(&n.to_string(), "http.host matches \"a\"")).collect();
    let bad = client.ask("PUT", &firewall, json!({ "rules": many })).await;
    assert_eq!((bad.status, &bad.body["errors"][0]["source"]["pointer"]), (400, &json!("/rules")));
}

#[tokio::test]
async fn rules_are_added_changed_moved_and_deleted_one_by_one_and_each_change_is_a_version() {
    let client = client().await;
    let zone = client.zone("example.com").await;
    let base = format!("{zone}/rulesets");
    let body = json!({ "name": "mine", "kind": "custom", "phase": "http_request_firewall_custom", "rules": [rule("a", "true")] });
    let made = client.ask("POST", &base, body).await;
    let path = format!("{base}/{}", made.result()["id"].as_str().unwrap());
    let a = made.result()["rules"][0]["id"].as_str().unwrap().to_owned();
    let mut first = rule("b", "false");
    first["position"] = json!({ "before": "" });
    let added = client.ask("POST", &format!("{path}/rules"), first).await;
    assert_eq!((&added.result()["rules"][0]["ref"], &added.result()["version"]), (&json!("b"), &json!("2")));
    let patch = json!({ "enabled": false, "position": { "index": 1 } });
    let patched = client.ask("PATCH", &format!("{path}/rules/{a}"), patch).await;
    assert_eq!((&patched.result()["rules"][0]["ref"], &patched.result()["rules"][0]["enabled"]), (&json!("a"), &json!(false)));
    let gone = client.ask("DELETE", &format!("{path}/rules/{a}"), Value::Null).await;
    assert_eq!(gone.result()["rules"].as_array().unwrap().len(), 1);
    assert_eq!(client.ask("DELETE", &format!("{path}/rules/{a}"), Value::Null).await.status, 404);
    let versions = client.get(&format!("{path}/versions")).await;
    let numbers: Vec<_> = versions.result().as_array().unwrap().iter().map(|one| one["version"].as_str().unwrap()).collect();
    assert_eq!(numbers, ["4", "3", "2", "1"]);
    assert_eq!(client.get(&format!("{path}/versions/1")).await.result()["rules"], made.result()["rules"]);
    assert_eq!(client.ask("DELETE", &format!("{path}/versions/4"), Value::Null).await.status, 400, "the newest one stays");
    assert_eq!(client.ask("DELETE", &format!("{path}/versions/2"), Value::Null).await.status, 204);
    assert_eq!(client.get(&format!("{path}/versions/2")).await.status, 404);
    let unchanged = client.ask("PUT", &path, json!({ "name": "mine" })).await;
    assert_eq!((&unchanged.result()["version"], unchanged.result()["rules"].as_array().unwrap().len()), (&json!("4"), 1));
    let deleted = client.ask("DELETE", &path, Value::Null).await;
    assert_eq!((deleted.status, &deleted.body), (204, &Value::Null));
    assert_eq!(client.get(&path).await.status, 404);
}

#[tokio::test]
async fn rulesets_are_listed_by_cursor_without_their_rules() {
    let client = client().await;
    let base = format!("/accounts/{}/rulesets", client.account);
    for number in 0..5 {
        let body = json!({ "name": format!("r{number}"), "kind": "custom", "phase": "http_ratelimit" });
        client.ask("POST", &base, body).await.result();
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let told = client.get(&format!("{base}?per_page=2&cursor={cursor}")).await;
        let part = told.result().as_array().unwrap();
        assert!(part.iter().all(|ruleset| ruleset.get("rules").is_none()));
        seen.extend(part.iter().map(|ruleset| ruleset["id"].to_string()));
        let info = &told.body["result_info"];
        assert_eq!(info["cursor"], info["cursors"]["after"]);
        let Some(next) = info["cursor"].as_str() else { break };
        next.clone_into(&mut cursor);
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 5);
}

#[tokio::test]
async fn what_is_executed_is_there_and_stays() {
    let client = client().await;
    let base = format!("/accounts/{}/rulesets", client.account);
    let phase = "http_request_firewall_custom";
    let body = json!({ "name": "shared", "kind": "custom", "phase": phase, "rules": [rule("a", "true")] });
    let made = client.ask("POST", &base, body).await;
    let id = made.result()["id"].as_str().unwrap().to_owned();
    let execute =
        |id: &str| json!({ "rules": [{ "action": "execute", "expression": "true", "action_parameters": { "id": id } }] });
    let entry = format!("{base}/phases/{phase}/entrypoint");
    let unknown = client.ask("PUT", &entry, execute(&"0".repeat(32))).await;
    assert_eq!((unknown.status, &unknown.body["errors"][0]["source"]["pointer"]), (400, &json!("/rules/0/action_parameters/id")));
    client.ask("PUT", &entry, execute("efb7b8c949ac4650a09736fc376e9aee")).await.result();
    assert_eq!(client.ask("PUT", &entry, execute(&id)).await.result()["kind"], "root");
    let told = client.ask("DELETE", &format!("{base}/{id}"), Value::Null).await;
    assert_eq!((told.status, told.codes()), (400, vec![10_000_409]), "{}", told.body);
    let again = json!({ "name": "x", "kind": "root", "phase": phase });
    assert_eq!(client.ask("POST", &base, again).await.codes(), [10_000_409], "a phase has one entry point");
}

#[tokio::test]
async fn a_phase_has_its_own_permission() {
    let client = client().await;
    let zone = client.zone("example.com").await;
    let path = |phase: &str| format!("{zone}/rulesets/phases/{phase}/entrypoint");
    client.ask("PUT", &path("http_request_firewall_custom"), json!({ "rules": [] })).await.result();
    client.ask("PUT", &path("http_request_dynamic_redirect"), json!({ "rules": [] })).await.result();
    let reader = client.reader("Dynamic URL Redirects Read").await;
    reader.get(&path("http_request_dynamic_redirect")).await.result();
    assert_eq!(reader.ask("PUT", &path("http_request_dynamic_redirect"), json!({})).await.codes(), [10000]);
    assert_eq!(reader.get(&path("http_request_firewall_custom")).await.codes(), [10000]);
    assert_eq!(reader.get(&format!("{zone}/rulesets")).await.result().as_array().unwrap().len(), 1);
    let told = reader.get(&format!("/zones/{}/rulesets", "0".repeat(32))).await;
    assert_eq!(told.status, 404);
}
