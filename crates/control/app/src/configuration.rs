//! What the API's PUT of a tunnel's configuration is taken as (api-v4 §6.4).
//!
//! Whether agents would take it is decided by the very code they use, [`TunnelConfig::from_json`]: the catch-all that comes last,
//! services, paths that compile, keys and their types. Around that, here: the bounds that a tenant's text needs on a node that
//! compiles it for everybody, and a normal form. In it known keys are spelled as the API spells them (agents read any case), host names
//! are in lower case, and members that are null are gone; **keys that are not known stay as they came**, for an agent may know them.

use poterne_model::{At, ShapeError, shape::without_nulls};
use poterne_tunnel_proto::config::TunnelConfig;
use serde_json::{Map, Value};

/// Most ingress rules with a path: each is an expression to compile.
pub const PATHS_MAX: usize = 1000;

/// Longest path expression, in characters.
pub const PATH_CHARS_MAX: usize = 1000;

/// Longest configuration, in bytes.
pub const CONFIGURATION_BYTES_MAX: usize = 1024 * 1024;

const ROOT: &[&str] = &["ingress", "originRequest", "warp-routing"];

const RULE: &[&str] = &["hostname", "path", "service", "originRequest"];

const ORIGIN: &[&str] = &[
    "access",
    "bastionMode",
    "caPool",
    "connectTimeout",
    "disableChunkedEncoding",
    "http2Origin",
    "httpHostHeader",
    "ipRules",
    "keepAliveConnections",
    "keepAliveTimeout",
    "matchSNItoHost",
    "noHappyEyeballs",
    "noTLSVerify",
    "originServerName",
    "proxyAddress",
    "proxyPort",
    "proxyType",
    "tcpKeepAlive",
    "tlsTimeout",
];

const ACCESS: &[&str] = &["required", "teamName", "audTag", "environment"];

const WARP: &[&str] = &["enabled", "connectTimeout", "tcpKeepAlive", "maxActiveFlows"];

/// The configuration in the body of a PUT, `{"config": {…}}`, in normal form.
///
/// # Errors
/// Says which member is wrong; what agents would refuse is told in their words, at `/config`.
pub fn read_put(body: &At<'_>) -> Result<Value, ShapeError> {
    let config = body.required("config")?;
    let normal = normal_root(&config)?;
    let json = normal.to_string();
    if json.len() > CONFIGURATION_BYTES_MAX {
        let why = format!("the configuration takes {} bytes: at most {CONFIGURATION_BYTES_MAX} are kept", json.len());
        return Err(ShapeError::new(config.pointer(), why));
    }
    TunnelConfig::from_json(json.as_bytes()).map_err(|error| ShapeError::new(config.pointer(), error.to_string()))?;
    Ok(normal)
}

fn normal_root(at: &At<'_>) -> Result<Value, ShapeError> {
    let mut paths = 0;
    members(at, ROOT, |key, value| match key {
        "ingress" => value.items(usize::MAX)?.map(|rule| normal_rule(&rule, &mut paths)).collect(),
        "originRequest" => origin(value),
        "warp-routing" => members(value, WARP, |_, value| Ok(without_nulls(value.value))),
        _ => Ok(without_nulls(value.value)),
    })
}

fn normal_rule(at: &At<'_>, paths: &mut usize) -> Result<Value, ShapeError> {
    members(at, RULE, |key, value| match key {
        "hostname" => Ok(value.text(254)?.trim().trim_end_matches('.').to_lowercase().into()),
        "path" => {
            let path = value.text(PATH_CHARS_MAX)?;
            *paths += usize::from(!path.is_empty());
            if *paths > PATHS_MAX {
                return Err(value.wrong(format_args!("at most {PATHS_MAX} rules have a path, so join some: ^/(a|b)/")));
            }
            Ok(path.into())
        }
        "originRequest" => origin(value),
        _ => Ok(without_nulls(value.value)),
    })
}

fn origin(at: &At<'_>) -> Result<Value, ShapeError> {
    members(at, ORIGIN, |key, value| match key {
        "access" => members(value, ACCESS, |_, value| Ok(without_nulls(value.value))),
        "proxyType" => value.one_of(&["", "socks"]).map(Value::from),
        _ => Ok(without_nulls(value.value)),
    })
}

/// An object with its known keys spelled one way, and each value as `normal` has it.
fn members(
    at: &At<'_>,
    known: &[&str],
    mut normal: impl FnMut(&str, &At<'_>) -> Result<Value, ShapeError>,
) -> Result<Value, ShapeError> {
    let mut out = Map::new();
    for (key, value) in at.members()? {
        let spelled = known.iter().find(|known| known.eq_ignore_ascii_case(key)).copied().unwrap_or(key);
        if out.insert(spelled.to_owned(), normal(spelled, &value)?).is_some() {
            return Err(ShapeError::new(
                value.pointer(),
                format!("{} stands there twice: write {spelled} once", value.pointer()),
            ));
        }
    }
    Ok(Value::Object(out))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn put(config: Value) -> Result<Value, ShapeError> {
        read_put(&At::body(&json!({ "config": config })))
    }

    #[test]
    fn the_sdks_bodies_are_taken_and_told_back() {
        let config = json!({"ingress": [
                {"hostname": "app.example.com", "path": "^/api/", "service": "http://localhost:8080",
                    "originRequest": {"noTLSVerify": true, "connectTimeout": 10}},
                {"hostname": "", "service": "http_status:404"}],
            "originRequest": {"access": {"required": true, "teamName": "t", "audTag": ["a"]}}, "warp-routing": {"enabled": false}});
        assert_eq!(put(config.clone()), Ok(config));
        assert_eq!(put(json!({})), Ok(json!({})));
    }

    #[test]
    fn known_keys_are_spelled_one_way_and_unknown_ones_stay() {
        let config = json!({"Ingress": [{"Hostname": "App.Example.com.", "service": "http://a:1", "path": null,
                "originRequest": {"NoTLSVerify": true, "later": {"a": null, "b": 1}}}, {"service": "http_status:404", "x": 1}],
            "future": [1]});
        let normal = json!({"ingress": [{"hostname": "app.example.com", "service": "http://a:1",
                "originRequest": {"noTLSVerify": true, "later": {"b": 1}}}, {"service": "http_status:404", "x": 1}],
            "future": [1]});
        assert_eq!(put(config), Ok(normal));
        let twice = json!({"originRequest": {"noTLSVerify": true, "NOTLSVERIFY": false}});
        assert!(put(twice).unwrap_err().why.contains("write noTLSVerify once"));
    }

    #[test]
    fn what_agents_would_refuse_is_refused() {
        let rules = |rule: Value| json!({"ingress": [rule, {"service": "http_status:404"}]});
        for (config, pointer, said) in [
            (
                json!({"ingress": [{"hostname": "a.test", "service": "http://a"}]}),
                "/config",
                "the last rule must match every request",
            ),
            (rules(json!({"service": "http://b"})), "/config", "never reached"),
            (rules(json!({"hostname": "a.test", "service": "localhost"})), "/config", "no address of a service"),
            (rules(json!({"hostname": "a.test", "path": "(", "service": "http://a"})), "/config", "no regular expression"),
            (rules(json!({"hostname": "a.test", "path": "(a{1000}){1000}", "service": "http://a"})), "/config", "path"),
            (rules(json!({"path": "x".repeat(1001), "service": "http://a"})), "/config/ingress/0/path", "1001 characters"),
            (
                rules(json!({"service": "http://a", "originRequest": {"connectTimeout": "30s"}})),
                "/config",
                "connectTimeout is a text",
            ),
            (
                rules(json!({"service": "http://a", "originRequest": {"proxyType": "x"}})),
                "/config/ingress/0/originRequest/proxyType",
                "socks",
            ),
            (json!({"ingress": {}}), "/config/ingress", "write a list"),
            (json!({"originRequest": []}), "/config/originRequest", "write an object"),
            (json!({"future": "x".repeat(CONFIGURATION_BYTES_MAX)}), "/config", "bytes"),
            (json!(null), "/config", "missing"),
        ] {
            let error = put(config).unwrap_err();
            assert_eq!(error.pointer, pointer, "{error}");
            assert!(error.why.contains(said), "{error}");
        }
        let many = vec![json!({"hostname": "a.test", "path": "/", "service": "http://a"}); PATHS_MAX + 1];
        assert_eq!(put(json!({ "ingress": many })).unwrap_err().pointer, format!("/config/ingress/{PATHS_MAX}/path"));
    }

    proptest! {
        /// The normal form is its own, and agents read it.
        #[test]
        fn what_is_told_is_taken_again(hostname in "[A-Za-z.*]{0,12}", timeout in 0..100_u32, key in "[a-zA-Z]{1,12}") {
            let config = json!({"ingress": [{"hostname": hostname, "service": "http://a:1", "originRequest": {"connectTimeout": timeout}},
                {"service": "http_status:404"}], key: timeout});
            if let Ok(normal) = put(config) {
                prop_assert!(TunnelConfig::from_json(normal.to_string().as_bytes()).is_ok());
                prop_assert_eq!(put(normal.clone()), Ok(normal));
            }
        }
    }
}
