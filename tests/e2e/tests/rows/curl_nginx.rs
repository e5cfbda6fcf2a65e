//! The everyday pair.

use poterne_e2e::{Agent, Api, Curl, Kind, Nginx, Node, eventually};
use serde_json::{Value, json};

columns!(pages_and_bodies, rules_act_when_they_are_saved);

fn pages_and_bodies(kind: Kind) {
    let dir = tempfile::tempdir().unwrap();
    let nginx = Nginx::start(dir.path());
    let node = Node::leading_to(&nginx.url);
    assert!(node.get("/hello").is_error(530, 1033), "without an agent: {:?}", node.get("/hello"));

    let mut agent = Agent::connect(&node, kind);
    assert_eq!((node.get("/hello").status, node.get("/hello").text().as_str()), (200, "Hello, world\n"));
    assert_eq!(node.get("/absent").status, 404);
    let ask = |path, options: &[&str]| Curl::http(&node, &node.hostname, path).with(options).run();
    assert_eq!(ask("/hello", &["--head"]).status, 200, "HEAD has a head and no body");
    let seen = ask("/host", &["-H", "X-Forwarded-Proto: gopher", "-H", "CF-Connecting-IP: 192.0.2.1"]).text();
    assert_eq!(seen, format!("{}|http|127.0.0.1", node.hostname), "what a visitor forges is overwritten");
    let big = node.get("/big");
    assert_eq!((big.status, big.body.len()), (200, 16 << 20));
    assert!(big.body.iter().all(|byte| *byte == 7));
    let upload = dir.path().join("www/big");
    assert_eq!(ask("/hello", &["-T", upload.to_str().unwrap()]).status, 405, "nginx takes the body and refuses the method");

    for version in ["--http1.1", "--http2"] {
        let answer = Curl::https(&node, &node.hostname, "/hello").with(&[version]).run();
        assert_eq!((answer.status, answer.text().as_str()), (200, "Hello, world\n"), "{version}");
    }

    agent.kill();
    eventually("the loss is noticed", || node.get("/hello").is_error(530, 1033));
    let _agent = Agent::connect(&node, kind);
    assert_eq!(node.get("/hello").status, 200);
}

/// No pause anywhere: what a call has answered is obeyed.
fn rules_act_when_they_are_saved(kind: Kind) {
    let dir = tempfile::tempdir().unwrap();
    let nginx = Nginx::start(dir.path());
    let node = Node::leading_to(&nginx.url);
    let _agent = Agent::connect(&node, kind);
    let api = Api::of(&node);
    let phase = |phase: &str| format!("/zones/{}/rulesets/phases/{phase}/entrypoint", node.text("zone_id"));
    let rule = |action: &str, expression: &str, parameters: Value| json!({ "rules": [{ "action": action, "expression": expression, "action_parameters": parameters }] });
    let put = |name: &str, body: &Value| api.done("PUT", &phase(name), body);
    let ask = |path: &str, options: &[&str]| Curl::http(&node, &node.hostname, path).with(options).run();
    assert_eq!(ask("/old/hello", &[]).status, 404);

    let rewrite = json!({ "uri": { "path": { "expression": "regex_replace(http.request.uri.path, \"^/old/\", \"/\")" } } });
    put("http_request_transform", &rule("rewrite", "starts_with(http.request.uri.path, \"/old/\")", rewrite));
    assert_eq!((ask("/old/hello", &[]).status, ask("/old/hello", &[]).text().as_str()), (200, "Hello, world\n"));
    assert_eq!(ask("/old/../%6Fld//hello", &["--path-as-is"]).status, 200, "rules see the normal form, and so does the service");

    // The agent's ingress rules see the name that the rule gives.
    node.route("inner.poterne.localhost", &nginx.url);
    put("http_request_origin", &rule("route", "true", json!({ "host_header": "inner.poterne.localhost" })));
    eventually("the agent knows the name", || ask("/host", &[]).status == 200);
    let fields = json!({ "headers": { "X-Forwarded-Proto": { "operation": "set", "expression": "http.request.headers[\"x-kind\"][0]" } } });
    put("http_request_late_transform", &rule("rewrite", "true", fields));
    assert_eq!(ask("/host", &["-H", "X-Kind: gopher"]).text(), "inner.poterne.localhost|gopher|127.0.0.1");

    let fields = json!({ "headers": {
        "X-Status": { "operation": "set", "expression": "http.response.code" }, "Last-Modified": { "operation": "remove" } } });
    put("http_response_headers_transform", &rule("rewrite", "http.request.uri.path eq \"/hello\"", fields));
    let told = ask("/hello", &["--include"]).text();
    assert!(told.contains("x-status: 200") && !told.to_lowercase().contains("last-modified"), "{told}");

    let target = json!({ "from_value": { "status_code": 308, "preserve_query_string": true,
        "target_url": { "expression": "concat(\"https://\", http.host, \"/hello\")" } } });
    put("http_request_dynamic_redirect", &rule("redirect", "http.request.uri.path eq \"/moved\"", target));
    let told = ask("/moved?a=1", &["--include"]);
    assert_eq!(told.status, 308);
    assert!(told.text().contains(&format!("location: https://{}/hello?a=1\r\n", node.hostname)), "{}", told.text());

    put(
        "http_request_firewall_custom",
        &rule("block", "http.user_agent contains \"curl\" and ip.src in {127.0.0.0/8}", json!({})),
    );
    assert!(ask("/hello", &[]).is_error(403, 1020), "{:?}", ask("/hello", &[]));
    assert_eq!(ask("/hello", &["-A", "friend"]).status, 200);
    let bad =
        api.ask("PUT", &phase("http_request_firewall_custom"), &rule("block", "http.user_agnt eq \"x\"", json!({}))).unwrap();
    assert_eq!((bad.status, bad.codes()), (400, vec![20127]), "{}", bad.body);
    assert!(ask("/hello", &[]).is_error(403, 1020), "what was in force stays");
    put("http_request_firewall_custom", &json!({ "rules": [] }));
    assert_eq!(ask("/hello", &[]).status, 200);
}
