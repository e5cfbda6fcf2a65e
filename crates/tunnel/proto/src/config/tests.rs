use proptest::prelude::*;

use super::*;

fn config(json: &str) -> Result<TunnelConfig, ConfigError> {
    TunnelConfig::from_json(json.as_bytes())
}

const WHOLE: &str = r#"{"ingress":[
    {"hostname":"app.example.org","path":"^/api/","service":"http://127.0.0.1:8000","originRequest":{"connectTimeout":7,"NoTLSVerify":true}},
    {"hostname":"*.example.org","service":"https://localhost"},
    {"service":"http_status:404"}],
  "originRequest":{"connectTimeout":9,"httpHostHeader":"inner"},
  "warp-routing":{"enabled":true,"maxActiveFlows":3},"somethingNew":1}"#;

#[test]
fn rules_are_read_merged_and_matched_in_order() {
    let config = config(WHOLE).unwrap();
    assert_eq!(config.warp_routing.max_active_flows, Some(3));
    let matcher = Matcher::new(&config).unwrap();
    let (index, first) = matcher.find("app.example.org:443", "/api/x");
    assert_eq!((index, first.origin.connect_timeout.as_secs(), first.origin.no_tls_verify), (0, 7, true));
    assert_eq!(first.origin.http_host_header, "inner");
    let (index, second) = matcher.find("app.example.org", "/x/api/");
    assert_eq!((index, second.origin.connect_timeout.as_secs(), second.origin.tls_timeout.as_secs()), (1, 9, 10));
    assert_eq!(matcher.find("a.b.example.org", "/").0, 1);
    for other in ["example.org", ".example.org", "notexample.org", "APP.example.org.test", "[::1]:80", ""] {
        assert_eq!(matcher.find(other, "/api/").0, 2, "{other}");
    }
}

#[test]
fn what_is_written_reads_the_same() {
    let config = config(WHOLE).unwrap();
    assert_eq!(TunnelConfig::from_json(&config.to_json()).unwrap(), config);
}

#[test]
fn an_empty_ingress_answers_503() {
    let matcher = Matcher::new(&config("{}").unwrap()).unwrap();
    assert_eq!(matcher.find("a", "/").1.rule.service, Service::HttpStatus(503));
}

#[test]
fn broken_rules_are_named_with_a_remedy() {
    for (json, said) in [
        (
            r#"{"ingress":[{"hostname":"a.test","service":"http://a"}]}"#,
            "ingress rule 1 (a.test): the last rule must match every request",
        ),
        (r#"{"ingress":[{"service":"http://a"},{"service":"http://b"}]}"#, "ingress rule 1: it matches every request"),
        (r#"{"ingress":[{"hostname":"a:80","service":"http://a"},{"service":"http://b"}]}"#, "hostname has a port"),
        (r#"{"ingress":[{"hostname":"a.*.b","service":"http://a"},{"service":"http://b"}]}"#, "'*' that is not its first label"),
        (r#"{"ingress":[{"path":"(","service":"http://a"},{"service":"http://b"}]}"#, "path is no regular expression"),
        (r#"{"ingress":[{"service":"http://a/x"}]}"#, "ingress rule 1: service: \"http://a/x\" has a path"),
        (r#"{"ingress":[{"service":"http_status:9"}]}"#, "a status from 100 to 999"),
        (r#"{"ingress":[{"originRequest":{"ipRules":[{"prefix":"x"}]},"service":"socks-proxy"}]}"#, "\"x\" is no prefix"),
        (r#"{"originRequest":{"connectTimeout":"30s"}}"#, "originRequest: connectTimeout is a text: write whole seconds"),
        (r#"{"originRequest":{"connectTimeout":1.5}}"#, "a number with a fraction"),
        (r#"{"ingress":"x"}"#, "ingress is a text: write a list"),
        ("[", "not JSON"),
    ] {
        let error = config(json).unwrap_err().to_string();
        assert!(error.contains(said), "{json}: {error}");
    }
}

#[test]
fn the_local_file_spells_durations_and_names_unknown_keys() {
    let document: Document = serde_json::from_str(
        r#"{"tunnel":"web","originRequest":{"connectTimeout":"1m30s"},"ingress":[{"service":"http://a","orignRequest":{}}]}"#,
    )
    .unwrap();
    let file = LocalFile::from_document(document).unwrap();
    assert_eq!(file.config.origin_request.connect_timeout, Some(Duration::from_secs(90)));
    assert_eq!(file.others, [("tunnel".to_owned(), Document::Text("web".into()))]);
    assert_eq!(file.unknown, ["ingress rule 1: orignRequest"]);
}

#[test]
fn the_edge_is_told_the_recorded_configuration() {
    let config = config(r#"{"ingress":[{"service":"http://127.0.0.1:18000"}]}"#).unwrap();
    let flags = [("loglevel", "debug"), ("metrics", "127.0.0.1:18082"), ("no-autoupdate", "true"), ("protocol", "quic")];
    let flags = flags.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let said: serde_json::Value = serde_json::from_slice(&config.local_configuration(&flags)).unwrap();
    let recorded: serde_json::Value = serde_json::from_str(
        r#"{"__configuration_flags":{"loglevel":"debug","metrics":"127.0.0.1:18082","no-autoupdate":"true","protocol":"quic"},
        "ingress":[{"service":"http://127.0.0.1:18000","originRequest":{}}],"warp-routing":{}}"#,
    )
    .unwrap();
    assert_eq!(said, recorded);
}

#[test]
fn durations_are_read_as_they_are_spelled() {
    for (text, millis) in [("1m30s", 90_000), ("500ms", 500), ("1.5h", 5_400_000), ("0", 0), ("2h45m", 9_900_000)] {
        assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
    }
    for text in ["", "30", "s", "1x", "-1s", "1e9h", "99999999999999999999h", "."] {
        assert_eq!(parse_duration(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(json in ".{0,200}", host in ".{0,20}", path in ".{0,20}") {
        let _ = config(&json);
        let _ = parse_duration(&json);
        let matcher = Matcher::new(&config(WHOLE).unwrap()).unwrap();
        let _ = matcher.find(&host, &path);
    }
}
