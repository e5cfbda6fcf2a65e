use serde_json::{Value, json};

use crate::{
    At,
    ruleset::{Kind, MANAGED, Phase, RuleDraft},
};

#[test]
fn the_referenced_parameters_are_taken_and_told_back() {
    let cache = json!({"cache": true, "edge_ttl": {"mode": "override_origin", "default": 60,
            "status_code_ttl": [{"status_code": 404, "value": -1}, {"status_code_range": {"from": 500, "to": 599}, "value": 0}]},
        "cache_key": {"custom_key": {"query_string": {"include": ["*"]}, "header": {"contains": {"accept": ["image"]}}}},
        "from_the_future": {"x": [1]}});
    for (phase, action, parameters) in [
        (
            Phase::DynamicRedirect,
            "redirect",
            json!({"from_value": {"status_code": 301, "target_url": {"value": "https://a.test/"}, "preserve_query_string": true}}),
        ),
        (Phase::Redirect, "redirect", json!({"from_list": {"name": "moved", "key": "http.request.full_uri"}})),
        (Phase::Transform, "rewrite", json!({"uri": {"path": {"value": "/x"}, "query": {"value": ""}}})),
        (Phase::LateTransform, "rewrite", json!({"headers": {"X-Name": {"operation": "set", "expression": "ip.src"}}})),
        (Phase::ResponseHeadersTransform, "rewrite", json!({"headers": {"Server": {"operation": "remove"}}})),
        (Phase::Origin, "route", json!({"host_header": "a.test", "sni": {"value": "b.test"}, "origin": {"port": 8443}})),
        (Phase::ConfigSettings, "set_config", json!({"ssl": "strict", "bic": false, "autominify": {"css": true}})),
        (Phase::CacheSettings, "set_cache_settings", cache),
        (Phase::FirewallCustom, "skip", json!({"phases": ["http_ratelimit", "http_request_sbfm"], "products": ["waf"]})),
        (Phase::FirewallCustom, "skip", json!({"ruleset": "current"})),
        (
            Phase::FirewallManaged,
            "execute",
            json!({"id": MANAGED[0].0, "overrides": {"action": "log", "rules": [{"id": MANAGED[1].0, "enabled": false}]}}),
        ),
        (Phase::ResponseCompression, "compress_response", json!({"algorithms": [{"name": "zstd"}, {"name": "auto"}]})),
        (Phase::CustomErrors, "serve_error", json!({"content": "oops", "content_type": "text/html", "status_code": 503})),
        (Phase::FirewallManaged, "score", json!({"increment": 5})),
        (Phase::LogCustomFields, "log_custom_field", json!({"request_fields": [{"name": "x-a"}]})),
    ] {
        let kind = if phase == Phase::Redirect { Kind::Root } else { Kind::Zone };
        let rule = json!({"action": action, "expression": "true", "action_parameters": parameters});
        let read = RuleDraft::read(&At::body(&rule), phase, kind).unwrap_or_else(|error| panic!("{action}: {error}"));
        assert_eq!(Value::Object(read.body.action_parameters.unwrap()), parameters);
    }
}

#[test]
fn what_is_out_of_shape_is_refused_with_its_place() {
    let headers =
        |name: &str, operation: Value| json!({"action": "rewrite", "action_parameters": {"headers": {name: operation}}});
    let set = json!({"operation": "set", "value": "x"});
    for (phase, mut rule, pointer) in [
        (Phase::FirewallCustom, json!({"action": "rewrite"}), "/action"),
        (Phase::FirewallCustom, json!({"action": "bloc"}), "/action"),
        (Phase::FirewallCustom, json!({"action": "block", "expression": " "}), "/expression"),
        (Phase::FirewallCustom, json!({"action": "block", "expression": "x".repeat(4097)}), "/expression"),
        (
            Phase::FirewallCustom,
            json!({"action": "block", "action_parameters": {"response": {"status_code": 500}}}),
            "/action_parameters/response/status_code",
        ),
        (Phase::FirewallCustom, json!({"action": "skip"}), "/action_parameters"),
        (
            Phase::FirewallCustom,
            json!({"action": "skip", "action_parameters": {"products": ["x"]}}),
            "/action_parameters/products/0",
        ),
        (
            Phase::FirewallCustom,
            json!({"action": "skip", "action_parameters": {"rules": {"x": []}}}),
            "/action_parameters/rules/x",
        ),
        (Phase::FirewallCustom, json!({"action": "log", "ratelimit": {"period": 10}}), "/ratelimit"),
        (Phase::Ratelimit, json!({"action": "block"}), "/ratelimit"),
        (Phase::FirewallManaged, json!({"action": "execute", "action_parameters": {"id": "x"}}), "/action_parameters/id"),
        (
            Phase::Transform,
            json!({"action": "rewrite", "action_parameters": {"uri": {"path": {"value": "x"}}}}),
            "/action_parameters/uri/path/value",
        ),
        (
            Phase::Transform,
            json!({"action": "rewrite", "action_parameters": {"uri": {"path": {"value": "/", "expression": "x"}}}}),
            "/action_parameters/uri/path",
        ),
        (Phase::LateTransform, headers("Host", set.clone()), "/action_parameters/headers/Host"),
        (Phase::LateTransform, headers("cf-ray", set.clone()), "/action_parameters/headers/cf-ray"),
        (Phase::LateTransform, headers("CDN-Loop", set.clone()), "/action_parameters/headers/CDN-Loop"),
        (
            Phase::ResponseHeadersTransform,
            headers("Transfer-Encoding", set.clone()),
            "/action_parameters/headers/Transfer-Encoding",
        ),
        (Phase::ResponseHeadersTransform, headers("a b", set), "/action_parameters/headers/a b"),
        (
            Phase::ResponseHeadersTransform,
            headers("a", json!({"operation": "set", "value": "x\r\ny: z"})),
            "/action_parameters/headers/a/value",
        ),
        (
            Phase::ResponseHeadersTransform,
            headers("a", json!({"operation": "remove", "value": "x"})),
            "/action_parameters/headers/a/value",
        ),
        (
            Phase::DynamicRedirect,
            json!({"action": "redirect", "action_parameters": {"from_value": {"target_url": {"value": "https://a"}, "status_code": 304}}}),
            "/action_parameters/from_value/status_code",
        ),
        (
            Phase::DynamicRedirect,
            json!({"action": "redirect", "action_parameters": {"from_list": {"name": "a", "key": "b"}}}),
            "/action_parameters",
        ),
        (
            Phase::Origin,
            json!({"action": "route", "action_parameters": {"origin": {"port": 0}}}),
            "/action_parameters/origin/port",
        ),
        (Phase::ConfigSettings, json!({"action": "set_config", "action_parameters": {}}), "/action_parameters"),
        (Phase::ConfigSettings, json!({"action": "set_config", "action_parameters": {"ssl": "on"}}), "/action_parameters/ssl"),
        (
            Phase::CacheSettings,
            json!({"action": "set_cache_settings", "action_parameters": {"edge_ttl": {"mode": "override_origin"}}}),
            "/action_parameters/edge_ttl/default",
        ),
        (
            Phase::CacheSettings,
            json!({"action": "set_cache_settings", "action_parameters": {"edge_ttl": {"mode": "respect_origin", "status_code_ttl": [{"value": 1}]}}}),
            "/action_parameters/edge_ttl/status_code_ttl/0",
        ),
        (Phase::FirewallCustom, json!({"action": "log", "action_parameters": {"x": "y".repeat(70_000)}}), "/action_parameters"),
        (Phase::FirewallCustom, json!({"action": "log", "logging": "on"}), "/logging"),
    ] {
        if rule.get("expression").is_none() {
            rule["expression"] = "true".into();
        }
        let error = RuleDraft::read_list(&At::body(&json!({ "rules": [rule] })), phase, Kind::Zone).unwrap_err();
        assert_eq!(error.pointer, format!("/rules/0{pointer}"), "{error}");
    }
}
