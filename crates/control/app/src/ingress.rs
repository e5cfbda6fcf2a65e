//! Editing a tunnel's ingress rules as JSON, so that keys this version does not know survive.

use poterne_model::Name;
use poterne_tunnel_proto::config::TunnelConfig;
use serde_json::{Map, Value, json};

use crate::{AppError, service::Service};

/// The configuration of a tunnel that was never given one: every request is answered 404 by the agent.
const EMPTY: &str = r#"{"ingress":[{"service":"http_status:404"}]}"#;

/// `config` (none: never configured) with `hostname` led to `service`: its rule is replaced, or put where no earlier wildcard hides
/// it and before the catch-all. None when nothing changes. The result is valid for agents.
pub(crate) fn with_rule(config: Option<&str>, hostname: &Name, service: &Service) -> Result<Option<String>, AppError> {
    service.origin.check()?;
    let before = config.unwrap_or(EMPTY);
    let damaged = |why: &dyn std::fmt::Display| AppError::Configuration(why.to_string());
    let mut root: Map<String, Value> = serde_json::from_str(before).map_err(|error| damaged(&error))?;
    let mut rules = match root.remove("ingress") {
        Some(Value::Array(rules)) if !rules.is_empty() => rules,
        None | Some(Value::Null | Value::Array(_)) => vec![json!({ "service": "http_status:404" })],
        Some(_) => return Err(damaged(&"ingress is not a list")),
    };
    let same = |rule: &Value| hostname_of(rule) == Some(hostname.as_str()) && !has_path(rule);
    let at = rules.iter().position(same).unwrap_or_else(|| {
        let catch_all = rules.len() - 1;
        let at = rules.iter().position(|rule| hides(rule, hostname)).unwrap_or(catch_all).min(catch_all);
        rules.insert(at, json!({ "hostname": hostname.as_str() }));
        at
    });
    let Value::Object(rule) = &mut rules[at] else { return Err(damaged(&"a rule is not an object")) };
    rule.insert("service".into(), service.url.as_str().into());
    service.origin.apply(rule);
    root.insert("ingress".into(), rules.into());
    let after = Value::Object(root).to_string();
    TunnelConfig::from_json(after.as_bytes()).map_err(|error| damaged(&error))?;
    let unchanged = config.is_some_and(|before| serde_json::from_str::<Value>(before).ok() == serde_json::from_str(&after).ok());
    Ok((!unchanged).then_some(after))
}

/// The service that a configuration's rule for all of `hostname` names, if there is one.
pub(crate) fn service_of(config: &str, hostname: &Name) -> Option<String> {
    let root: Value = serde_json::from_str(config).ok()?;
    let rule = root["ingress"].as_array()?.iter().find(|rule| hostname_of(rule) == Some(hostname.as_str()) && !has_path(rule))?;
    Some(rule["service"].as_str()?.to_owned())
}

/// The hostnames a configuration speaks of, in the order of its rules.
pub(crate) fn hostnames(config: &str) -> Vec<Name> {
    let Ok(root) = serde_json::from_str::<Value>(config) else { return Vec::new() };
    let rules = root["ingress"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut names: Vec<Name> = rules.iter().filter_map(|rule| Name::parse(hostname_of(rule)?).ok()).collect();
    names.dedup();
    names
}

fn hostname_of(rule: &Value) -> Option<&str> {
    rule["hostname"].as_str().filter(|hostname| !hostname.is_empty() && *hostname != "*")
}

fn has_path(rule: &Value) -> bool {
    rule["path"].as_str().is_some_and(|path| !path.is_empty())
}

/// Whether a wildcard rule would answer for all of `hostname`'s requests; the first match wins (tunnel-protocol §7.3).
fn hides(rule: &Value, hostname: &Name) -> bool {
    let suffix = hostname_of(rule).and_then(|pattern| pattern.strip_prefix('*'));
    suffix.is_some_and(|suffix| hostname.as_str().ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::OriginKeys;

    fn order(config: &str) -> Vec<String> {
        let root: Value = serde_json::from_str(config).unwrap();
        let rules = root["ingress"].as_array().unwrap();
        rules
            .iter()
            .map(|rule| format!("{} {}", rule["hostname"].as_str().unwrap_or("*"), rule["service"].as_str().unwrap()))
            .collect()
    }

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn rules_stand_before_what_would_hide_them() {
        let mut config = None::<String>;
        for (hostname, service) in [
            ("*.example.com", "http://any:1"),
            ("app.example.com", "http://app:2"),
            ("*.deep.example.com", "http://deep:3"),
            ("other.org", "http://other:4"),
        ] {
            config = with_rule(config.as_deref(), &name(hostname), &service.into()).unwrap();
        }
        assert_eq!(
            order(config.as_deref().unwrap()),
            [
                "app.example.com http://app:2",
                "*.deep.example.com http://deep:3",
                "*.example.com http://any:1",
                "other.org http://other:4",
                "* http_status:404"
            ]
        );
        assert_eq!(hostnames(config.as_deref().unwrap()).len(), 4);
    }

    #[test]
    fn a_rule_is_replaced_in_place_and_what_is_unknown_stays() {
        let config = r#"{"ingress":[{"hostname":"a.example.com","path":"^/api","service":"http://x:1"},{"hostname":"a.example.com","service":"http://x:2","originRequest":{"future":1}},{"service":"http_status:404"}],"later":true}"#;
        let after = with_rule(Some(config), &name("a.example.com"), &"http://x:3".into()).unwrap().unwrap();
        assert_eq!(order(&after), ["a.example.com http://x:1", "a.example.com http://x:3", "* http_status:404"]);
        assert!(after.contains("\"future\":1") && after.contains("\"later\":true"));
        assert_eq!(with_rule(Some(&after), &name("a.example.com"), &"http://x:3".into()).unwrap(), None);
    }

    #[test]
    fn a_service_no_agent_accepts_is_refused() {
        let error = with_rule(None, &name("a.example.com"), &"http://x:1/path".into()).unwrap_err();
        assert!(matches!(error, AppError::Configuration(_)));
    }

    #[test]
    fn what_the_agent_should_mind_is_set_kept_and_taken_away() {
        let set = |config: Option<&str>, origin: OriginKeys| {
            let service = Service { url: "https://nas:5001".into(), origin };
            with_rule(config, &name("nas.example.com"), &service).unwrap()
        };
        let rule = |config: &str| serde_json::from_str::<Value>(config).unwrap()["ingress"][0].clone();
        let first = OriginKeys { no_tls_verify: Some(true), http_host_header: Some("nas.home".into()), ..OriginKeys::default() };
        let first = set(None, first).unwrap();
        let expected = json!({ "hostname": "nas.example.com", "service": "https://nas:5001",
            "originRequest": { "noTLSVerify": true, "httpHostHeader": "nas.home" } });
        assert_eq!(rule(&first), expected);
        assert_eq!(set(Some(&first), OriginKeys::default()), None, "what is not named stays");
        let second = OriginKeys {
            no_tls_verify: Some(false),
            http_host_header: Some(String::new()),
            origin_server_name: Some("nas.home".into()),
            ca_pool: Some("/etc/home ca.pem".into()),
            http2_origin: Some(true),
            disable_chunked_encoding: Some(true),
        };
        let second = set(Some(&first), second).unwrap();
        let keys = json!({ "originServerName": "nas.home", "caPool": "/etc/home ca.pem", "http2Origin": true, "disableChunkedEncoding": true });
        assert_eq!(rule(&second)["originRequest"], keys);
        let none = OriginKeys {
            origin_server_name: Some(String::new()),
            ca_pool: Some(String::new()),
            http2_origin: Some(false),
            disable_chunked_encoding: Some(false),
            ..OriginKeys::default()
        };
        assert!(rule(&set(Some(&second), none).unwrap()).get("originRequest").is_none());
        for host in ["two words", "a\r\nX-Evil: 1", &"x".repeat(5000)] {
            let origin = OriginKeys { http_host_header: Some(host.into()), ..OriginKeys::default() };
            let service = Service { url: "http://x:1".into(), origin };
            let error = with_rule(None, &name("a.example.com"), &service).unwrap_err();
            assert!(matches!(error, AppError::OriginKey { key: "httpHostHeader", .. }), "{error}");
        }
    }
}
