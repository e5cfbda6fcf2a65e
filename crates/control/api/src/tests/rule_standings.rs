//! Which of a zone's stored rules are in force, and why others are not.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::client;

fn block(reference: &str, expression: &str) -> Value {
    json!({ "ref": reference, "action": "block", "expression": expression })
}

/// A state, and the reasons' codes and names.
type Stands = (String, Vec<(String, Option<String>)>);

/// By what the client calls them.
fn told(listed: &Value) -> BTreeMap<String, Stands> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let one = |rule: &Value| {
        let none = Vec::new();
        let reasons = rule["reasons"].as_array().unwrap_or(&none);
        let reasons = reasons.iter().map(|reason| (text(&reason["code"]).unwrap(), text(&reason["name"]))).collect();
        (text(&rule["ref"]).unwrap(), (text(&rule["state"]).unwrap(), reasons))
    };
    listed.as_array().unwrap().iter().map(one).collect()
}

#[tokio::test]
async fn each_rule_says_whether_it_is_in_force_and_why_not() {
    let client = client().await;
    let zone = client.zone("example.com").await;
    let at = format!("{zone}/poterne/rules");
    assert_eq!(client.get(&at).await.result(), &json!([]));
    let path = |phase: &str| format!("{zone}/rulesets/phases/{phase}/entrypoint");
    let lists = format!("/accounts/{}/rules/lists", client.account);
    client.ask("POST", &lists, json!({ "name": "office", "kind": "ip" })).await.result();
    client.ask("POST", &lists, json!({ "name": "hosts", "kind": "hostname" })).await.result();
    let rules = json!({ "rules": [
        block("plain", "http.host eq \"a.example.com\""),
        { "ref": "off", "action": "block", "expression": "true", "enabled": false },
        block("country", "ip.src.country eq \"FR\" and ip.src.country ne \"DE\" and cf.client.bot"),
        block("known", "ip.src in $office"),
        block("lists", "ip.src in $hosts or ip.src in $nowhere"),
        { "ref": "challenge", "action": "managed_challenge", "expression": "true" },
        { "ref": "products", "action": "skip", "expression": "true", "action_parameters": { "products": ["waf"] } },
        { "ref": "managed", "action": "skip", "expression": "true", "action_parameters": { "rulesets": [MANAGED] } },
        block("hosts", "http.host in $hosts"),
    ] });
    let firewall = client.ask("PUT", &path("http_request_firewall_custom"), rules).await;
    let cache = json!({ "rules": [{ "ref": "cached", "action": "set_cache_settings", "expression": "true", "action_parameters": { "cache": true } }] });
    client.ask("PUT", &path("http_request_cache_settings"), cache).await.result();
    let custom = json!({ "name": "mine", "kind": "custom", "phase": "http_request_firewall_custom", "rules": [block("executed", "true")] });
    client.ask("POST", &format!("{zone}/rulesets"), custom).await.result();

    let listed = client.get(&at).await;
    let state = |state: &str, reasons: &[(&str, &str)]| {
        let name = |name: &str| Some(name.to_owned()).filter(|name| !name.is_empty());
        (state.to_owned(), reasons.iter().map(|(code, of)| ((*code).to_owned(), name(of))).collect::<Vec<_>>())
    };
    let expected = BTreeMap::from([
        ("plain".to_owned(), state("in_force", &[])),
        ("off".to_owned(), state("off", &[])),
        ("country".to_owned(), state("dormant", &[("field", "cf.client.bot"), ("field", "ip.src.country")])),
        ("known".to_owned(), state("in_force", &[])),
        ("lists".to_owned(), state("dormant", &[("list", "hosts"), ("list", "nowhere")])),
        ("challenge".to_owned(), state("dormant", &[("action", "managed_challenge")])),
        ("products".to_owned(), state("in_force", &[])),
        ("managed".to_owned(), state("dormant", &[("parameters", "skip")])),
        ("hosts".to_owned(), state("in_force", &[])),
        ("cached".to_owned(), state("dormant", &[("phase", "http_request_cache_settings")])),
        ("executed".to_owned(), state("dormant", &[("ruleset", "")])),
    ]);
    assert_eq!(told(listed.result()), expected);
    let all = listed.result().as_array().unwrap();
    let of = |reference: &str| all.iter().find(|rule| rule["ref"] == reference).unwrap();
    let plain = of("plain");
    assert_eq!((&plain["id"], &plain["ruleset_id"]), (&firewall.result()["rules"][0]["id"], &firewall.result()["id"]));
    assert_eq!(
        (&plain["phase"], &plain["kind"], &plain["action"]),
        (&json!("http_request_firewall_custom"), &json!("zone"), &json!("block"))
    );
    let words = |reference: &str, at: usize| of(reference)["reasons"][at]["message"].as_str().unwrap().to_owned();
    assert_eq!(words("country", 1), "this node does not fill ip.src.country");
    assert!(
        words("lists", 0).starts_with("$hosts is a list of kind hostname with 0 items: what is looked for"),
        "{}",
        words("lists", 0)
    );
    assert_eq!(words("lists", 1), "the account has no list $nowhere: make one");

    // What a list is made for wakes its rules.
    client.ask("POST", &lists, json!({ "name": "nowhere", "kind": "ip" })).await.result();
    assert_eq!(told(client.get(&at).await.result())["lists"], state("dormant", &[("list", "hosts")]));
}

/// A ruleset that is the node's own, and not there.
const MANAGED: &str = "efb7b8c949ac4650a09736fc376e9aee";

#[tokio::test]
async fn an_accounts_rules_and_what_they_execute_are_told_too() {
    let client = client().await;
    let account = format!("/accounts/{}", client.account);
    let at = format!("{account}/poterne/rules");
    assert_eq!(client.get(&at).await.result(), &json!([]));
    let custom = |reference: &str| json!({ "name": reference, "kind": "custom", "phase": "http_request_firewall_custom", "rules": [block(reference, "true"), block(&format!("{reference}-bot"), "cf.client.bot")] });
    let mut ids = Vec::new();
    for reference in ["executed", "forgotten"] {
        let made = client.ask("POST", &format!("{account}/rulesets"), custom(reference)).await;
        ids.push(made.result()["id"].clone());
    }
    let execute = |reference: &str, id: &Value, expression: &str| json!({ "ref": reference, "action": "execute", "expression": expression, "action_parameters": { "id": id } });
    let rules = json!({ "rules": [
        execute("executes", &ids[0], "cf.zone.plan eq \"ENT\""),
        execute("lacks", &ids[1], "ip.src.country eq \"FR\""),
    ] });
    client.ask("PUT", &format!("{account}/rulesets/phases/http_request_firewall_custom/entrypoint"), rules).await.result();
    let managed = json!({ "rules": [execute("managed", &json!(MANAGED), "true")] });
    client.ask("PUT", &format!("{account}/rulesets/phases/http_request_firewall_managed/entrypoint"), managed).await.result();
    client.ask("POST", &format!("{account}/rules/lists"), json!({ "name": "moved", "kind": "redirect" })).await.result();
    let led = |reference: &str, list: &str| {
        json!({ "ref": reference, "action": "redirect", "expression": format!("http.request.full_uri in ${list}"),
        "action_parameters": { "from_list": { "name": list, "key": "http.request.full_uri" } } })
    };
    let redirects = json!({ "rules": [led("leads", "moved"), led("nowhere", "nowhere")] });
    client.ask("PUT", &format!("{account}/rulesets/phases/http_request_redirect/entrypoint"), redirects).await.result();
    let stands: BTreeMap<String, (String, Vec<String>)> = told(client.get(&at).await.result())
        .into_iter()
        .map(|(reference, (state, reasons))| (reference, (state, reasons.into_iter().map(|(code, _)| code).collect())))
        .collect();
    let state = |state: &str, codes: &[&str]| (state.to_owned(), codes.iter().map(ToString::to_string).collect::<Vec<_>>());
    for (reference, expected) in [
        ("executes", state("in_force", &[])),
        ("executed", state("in_force", &[])),
        ("executed-bot", state("dormant", &["field"])),
        ("lacks", state("dormant", &["field"])),
        ("forgotten", state("dormant", &["ruleset"])),
        ("managed", state("dormant", &["phase"])),
        ("leads", state("in_force", &[])),
        ("nowhere", state("dormant", &["list"])),
    ] {
        assert_eq!(stands[reference], expected, "{reference}");
    }
    assert_eq!(client.get(&format!("/accounts/{}/poterne/rules", "0".repeat(32))).await.status, 404);
}

#[tokio::test]
async fn they_are_listed_by_cursor_each_once_and_in_order() {
    let client = client().await;
    let zone = client.zone("example.com").await;
    for phase in ["http_request_firewall_custom", "http_ratelimit"] {
        let limit = json!({ "characteristics": ["ip.src", "cf.colo.id"], "period": 60, "requests_per_period": 9, "mitigation_timeout": 60 });
        let rule = |number: usize| {
            let mut rule = block(&format!("{phase}-{number}"), "true");
            if phase == "http_ratelimit" {
                rule["ratelimit"] = limit.clone();
            }
            rule
        };
        let rules: Vec<Value> = (0..12).map(rule).collect();
        client.ask("PUT", &format!("{zone}/rulesets/phases/{phase}/entrypoint"), json!({ "rules": rules })).await.result();
    }
    let whole = client.get(&format!("{zone}/poterne/rules?per_page=1000")).await;
    let whole = whole.result().as_array().unwrap();
    assert_eq!(whole.len(), 24);
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let told = client.get(&format!("{zone}/poterne/rules?per_page=5&cursor={cursor}")).await;
        seen.extend(told.result().as_array().unwrap().clone());
        let Some(next) = told.body["result_info"]["cursor"].as_str() else { break };
        next.clone_into(&mut cursor);
    }
    assert_eq!(seen, *whole);
    let order =
        |phase: &str| whole.iter().filter(|rule| rule["phase"] == phase).map(|rule| rule["ref"].to_string()).collect::<Vec<_>>();
    let expected: Vec<String> = (0..12).map(|number| format!("\"http_request_firewall_custom-{number}\"")).collect();
    assert_eq!(order("http_request_firewall_custom"), expected);
}

#[tokio::test]
async fn whoever_may_not_read_a_phase_does_not_see_its_rules() {
    let client = client().await;
    let zone = client.zone("example.com").await;
    let path = |phase: &str| format!("{zone}/rulesets/phases/{phase}/entrypoint");
    client.ask("PUT", &path("http_request_firewall_custom"), json!({ "rules": [block("secret", "true")] })).await.result();
    let target = json!({ "from_value": { "target_url": { "value": "https://example.com/" }, "status_code": 301 } });
    let redirect =
        json!({ "rules": [{ "ref": "seen", "action": "redirect", "expression": "true", "action_parameters": target }] });
    client.ask("PUT", &path("http_request_dynamic_redirect"), redirect).await.result();
    let at = format!("{zone}/poterne/rules");
    let reader = client.reader("Dynamic URL Redirects Read").await;
    let seen = told(reader.get(&at).await.result());
    assert_eq!(seen.into_keys().collect::<Vec<_>>(), ["seen"]);
    assert_eq!(client.reader("DNS Read").await.get(&at).await.codes(), [10000]);
    assert_eq!(client.get(&format!("/zones/{}/poterne/rules", "0".repeat(32))).await.status, 404);
}
