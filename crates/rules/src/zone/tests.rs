//! What rules of all phases make of requests.

use http::{HeaderMap, Version};
use poterne_model::{
    At, RulesetId, Timestamp,
    ruleset::{Action, Kind, RuleDraft, Ruleset, RulesetDraft},
};
use serde_json::{Value, json};

use super::*;
use crate::{Answer, Items, NamedList, definition, definition::Unobeyed, listed::ITEMS_MAX};

mod levels;

fn ruleset(phase: Phase, rules: &Value) -> Ruleset {
    let rules = RuleDraft::read_list(&At::body(&json!({ "rules": rules })), phase, Kind::Zone).unwrap().unwrap();
    let draft = RulesetDraft { name: "default".into(), description: String::new(), kind: Kind::Zone, phase, rules };
    let mut last = 0_u8;
    let mut ids = || {
        last += 1;
        RuleId::from_bytes([last; 16])
    };
    Ruleset::new(RulesetId::from_bytes([9; 16]), draft, &mut ids, Timestamp::from_secs(0)).unwrap()
}

fn rule(action: &str, expression: &str, parameters: Value) -> Value {
    json!({ "action": action, "expression": expression, "action_parameters": parameters })
}

fn program(rulesets: &[(Phase, Value)]) -> Program {
    let rulesets: Vec<Ruleset> = rulesets.iter().map(|(phase, rules)| ruleset(*phase, rules)).collect();
    compiled(&ZoneRules::of(UrlNormalization::default(), &rulesets, &[], Vec::new()))
}

fn compiled(rules: &ZoneRules) -> Program {
    let body = postcard::to_stdvec(rules).unwrap();
    assert_eq!(postcard::from_bytes::<ZoneRules>(&body).as_ref(), Ok(rules), "they travel");
    let (program, refused) = Program::compile(rules);
    assert_eq!(refused, []);
    program
}

fn with<T>(path: &str, query: &str, ask: impl FnOnce(&Facts<'_>) -> T) -> T {
    let headers = HeaderMap::from_iter([(HeaderName::from_static("x-visitor"), HeaderValue::from_static("ann"))]);
    ask(&Facts {
        method: "GET",
        version: Version::HTTP_11,
        secure: true,
        host: "www.example.com",
        path,
        query,
        raw_path: path,
        raw_query: query,
        headers: &headers,
        source: "192.0.2.7".parse().unwrap(),
        local: "198.51.100.1:443".parse().unwrap(),
        ray: "0",
        zone: "example.com",
        ja4: None,
        tls: [None; 2],
        certificate: None,
        at: std::time::Duration::ZERO,
        answer: None,
    })
}

fn asked(program: &Program, path: &str, query: &str) -> Outcome {
    with(path, query, |facts| program.request(facts))
}

fn going(program: &Program, path: &str, query: &str) -> Going {
    match asked(program, path, query) {
        Outcome::Goes(going) => *going,
        other => panic!("{other:?}"),
    }
}

fn location(program: &Program, path: &str, query: &str) -> Option<(u16, String)> {
    match asked(program, path, query) {
        Outcome::Redirect { status, location, .. } => Some((status, location.to_str().unwrap().to_owned())),
        Outcome::Goes(_) => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_redirect_that_matches_wins() {
    let to = |target: Value, status: u16, keeps: bool| json!({ "from_value": { "target_url": target, "status_code": status, "preserve_query_string": keeps } });
    let program = program(&[(
        Phase::DynamicRedirect,
        json!([
            rule("redirect", "http.request.uri.path eq \"/old\"", to(json!({ "value": "https://example.com/new" }), 301, false)),
            rule(
                "redirect",
                "starts_with(http.request.uri.path, \"/old\")",
                to(
                    json!({ "expression": "concat(\"https://example.com\", http.request.uri.path, \"?from=\", http.host, \"#top\")" }),
                    308,
                    true
                )
            ),
            rule("redirect", "http.request.uri.path eq \"/none\"", to(json!({ "expression": "http.referer" }), 302, false)),
            rule(
                "redirect",
                "http.request.uri.path eq \"/split\"",
                to(json!({ "expression": "concat(\"/a\", url_decode(\"%0d%0aset-cookie:b\"))" }), 302, false)
            ),
        ]),
    )]);
    assert_eq!(location(&program, "/old", "a=1"), Some((301, "https://example.com/new".into())));
    let expected = "https://example.com/old/x?from=www.example.com&a=1#top";
    assert_eq!(location(&program, "/old/x", "a=1"), Some((308, expected.into())));
    assert_eq!(location(&program, "/%6fld", ""), Some((301, "https://example.com/new".into())), "paths are in normal form");
    assert_eq!(location(&program, "/new", ""), None);
    assert_eq!(location(&program, "/split", ""), Some((302, "/a%0D%0Aset-cookie:b".into())));
    let Outcome::Failed(trouble) = asked(&program, "/none", "") else { panic!("a redirect to nothing") };
    assert_eq!((trouble.what, trouble.what.code()), (TroubleKind::Nothing, 1037));
}

#[test]
fn later_phases_see_what_rewrites_wrote_and_raw_fields_what_came() {
    let program = program(&[
        (
            Phase::Transform,
            json!([
                rule(
                    "rewrite",
                    "starts_with(http.request.uri.path, \"/img/\")",
                    json!({ "uri": { "path": { "expression": "regex_replace(http.request.uri.path, \"^/img/\", \"/static/\")" } } })
                ),
                rule("rewrite", "http.request.uri.path eq \"/img/a b\"", json!({ "uri": { "path": { "value": "/never" } } })),
                rule("rewrite", "http.request.uri.query contains \"drop\"", json!({ "uri": { "query": { "value": "" } } })),
                rule(
                    "rewrite",
                    "http.request.uri.path eq \"/relative\"",
                    json!({ "uri": { "path": { "expression": "\"x\"" } } })
                ),
                rule(
                    "rewrite",
                    "http.request.uri.path eq \"/long\"",
                    json!({ "uri": { "path": { "expression": "concat(http.request.uri.path, http.request.uri.query)" } } })
                ),
            ]),
        ),
        (
            Phase::LateTransform,
            json!([rule(
                "rewrite",
                "http.request.uri.path wildcard \"/static/*\" and raw.http.request.uri.path wildcard \"/img/*\"",
                json!({ "headers": {
                "X-Path": { "operation": "set", "expression": "http.request.uri.path" },
                "X-Visitor": { "operation": "add", "expression": "http.request.headers[\"x-visitor\"][0]" },
                "X-Absent": { "operation": "set", "expression": "http.referer" },
                "X-Gone": { "operation": "remove" },
            } })
            )]),
        ),
    ]);
    let went = going(&program, "/img/x.png", "v=1");
    assert_eq!(
        (went.target.as_deref(), went.path.as_str(), went.query.as_str()),
        (Some("/static/x.png?v=1"), "/static/x.png", "v=1")
    );
    let mut headers = HeaderMap::new();
    for (name, value) in [("x-path", "forged"), ("x-visitor", "ann"), ("x-absent", "forged"), ("x-gone", "1")] {
        headers.insert(name, value.parse().unwrap());
    }
    change_fields(&mut headers, went.fields);
    assert_eq!(headers["x-path"], "/static/x.png");
    assert_eq!(headers.get_all("x-visitor").iter().count(), 2);
    assert!(!headers.contains_key("x-absent") && !headers.contains_key("x-gone"), "what is not there is not what was forged");
    assert_eq!(going(&program, "/a", "drop").target.as_deref(), Some("/a"));
    assert_eq!(going(&program, "/a", "keep").target, None);
    let trouble = |path: &str, query: &str| match asked(&program, path, query) {
        Outcome::Failed(trouble) => trouble.what.code(),
        other => panic!("{other:?}"),
    };
    assert_eq!((trouble("/relative", ""), trouble("/long", &"a".repeat(9000))), (1035, 1036));
}

#[test]
fn the_scope_of_normalization_says_what_the_origin_gets() {
    let of = |scope: &str, kind: &str| {
        let normalization = UrlNormalization::read(&At::body(&json!({ "type": kind, "scope": scope }))).unwrap();
        let block =
            ruleset(Phase::FirewallCustom, &json!([{ "action": "block", "expression": "http.request.uri.path eq \"/admin\"" }]));
        compiled(&ZoneRules::of(normalization, &[block], &[], Vec::new()))
    };
    let (both, incoming) = (of("both", "cloudflare"), of("incoming", "rfc3986"));
    for path in ["/%61dmin", "/x/../admin", "/./admin"] {
        for program in [&both, &incoming] {
            assert!(matches!(asked(program, path, ""), Outcome::Blocked { answer: None, .. }), "{path}");
        }
    }
    assert!(matches!(asked(&both, "//admin", ""), Outcome::Blocked { .. }));
    assert_eq!(going(&incoming, "//admin", "").target, None);
    assert_eq!(going(&both, "//a/%62", "q").target.as_deref(), Some("/a/b?q"));
    assert_eq!((going(&incoming, "/a/%62", "q").target, going(&incoming, "/a/%62", "q").path), (None, "/a/b".into()));
    assert_eq!(asked(&both, "/100%", ""), Outcome::BadPath(PathError::Escape));
}

#[test]
fn settings_and_routes_are_the_last_ones_part_by_part() {
    let program = program(&[
        (
            Phase::ConfigSettings,
            json!([
                rule("set_config", "true", json!({ "ssl": "flexible" })),
                rule("set_config", "not ssl", json!({ "ssl": "full" }))
            ]),
        ),
        (
            Phase::Origin,
            json!([
                rule("route", "true", json!({ "host_header": "inner.example.com", "origin": { "port": 8443 } })),
                rule(
                    "route",
                    "true",
                    json!({ "sni": { "value": "sni.example.com" }, "origin": { "host": "origin.example.net", "port": 9443 } })
                ),
            ]),
        ),
    ]);
    let went = going(&program, "/", "");
    let name = |text: &str| Some(Name::parse(text).unwrap());
    let expected = Route {
        host_header: name("inner.example.com"),
        sni: name("sni.example.com"),
        host: name("origin.example.net"),
        port: Some(9443),
    };
    assert_eq!((went.ssl, went.route), (Some(SslMode::Flexible), expected));
}

#[test]
fn a_firewall_blocks_skips_and_logs_in_order() {
    let answer = json!({ "response": { "status_code": 451, "content": "no", "content_type": "text/plain" } });
    let program = program(&[(
        Phase::FirewallCustom,
        json!([
            { "action": "log", "expression": "starts_with(http.request.uri.path, \"/a\")" },
            rule("skip", "http.request.uri.path eq \"/a/open\"", json!({ "ruleset": "current" })),
            { "action": "block", "expression": "starts_with(http.request.uri.path, \"/off\")", "enabled": false },
            rule("block", "starts_with(http.request.uri.path, \"/a/\")", answer),
            { "action": "managed_challenge", "expression": "true" },
            { "action": "block", "expression": "ip.src.country eq \"FR\"" },
            { "action": "block", "expression": "not ip.src.country in {\"FR\"}" },
        ]),
    )]);
    assert_eq!(going(&program, "/a/open", "").logged, [RuleId::from_bytes([1; 16])]);
    assert_eq!(going(&program, "/off", "").logged, []);
    let Outcome::Blocked { answer: Some(answer), rule } = asked(&program, "/a/b", "") else { panic!("it passes") };
    assert_eq!((answer.status, answer.content.as_str(), rule), (451, "no", RuleId::from_bytes([4; 16])));
}

#[test]
fn answers_are_changed_by_what_they_are() {
    let program = program(&[(
        Phase::ResponseHeadersTransform,
        json!([rule(
            "rewrite",
            "http.response.code eq 404 and http.request.uri.path eq \"/x\"",
            json!({ "headers": {
            "x-kind": { "operation": "set", "expression": "http.response.content_type.media_type" },
            "x-powered-by": { "operation": "remove" },
        } })
        )]),
    )]);
    assert!(program.has_response_rules());
    let headers = HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))]);
    let changes = |status| {
        with("/x", "", |facts| program.response(&Facts { answer: Some(Answer { status, headers: &headers }), ..*facts })).unwrap()
    };
    let kind = (HeaderName::from_static("x-kind"), FieldChange::Set(HeaderValue::from_static("text/html")));
    assert_eq!(changes(404), [kind, (HeaderName::from_static("x-powered-by"), FieldChange::Remove)]);
    assert_eq!(changes(200), []);
    assert!(going(&program, "/x", "").fields.is_empty());
}

#[test]
fn a_rule_that_does_not_compile_is_told_and_left_out() {
    let of = |expression: &str, id| Definition {
        id: RuleId::from_bytes([id; 16]),
        phase: Phase::FirewallCustom,
        expression: expression.into(),
        act: Act::Block(None),
    };
    let rules = ZoneRules { rules: vec![of("http.hst eq \"a\"", 1), of("true", 2)], ..ZoneRules::default() };
    let (program, refused) = Program::compile(&rules);
    assert_eq!(refused.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [RuleId::from_bytes([1; 16])]);
    assert!(matches!(asked(&program, "/", ""), Outcome::Blocked { .. }));
}

#[test]
fn whatever_is_saved_is_read_and_what_is_not_obeyed_says_why() {
    let read = |phase: Phase, rule: Value| {
        let kind = if phase == Phase::Redirect { Kind::Root } else { Kind::Zone };
        let draft = RuleDraft::read(&At::body(&rule), phase, kind).unwrap();
        definition::read(phase, &draft.body).map(|reading| reading.act.map(drop))
    };
    let lacking = |field: &str| Ok(Err(Unobeyed::Lacking(crate::Lacking { fields: vec![field.into()], lists: vec![] })));
    for (phase, rule, expected) in [
        (Phase::FirewallCustom, json!({"action": "block", "expression": "cf.client.bot"}), lacking("cf.client.bot")),
        (
            Phase::LateTransform,
            rule("rewrite", "true", json!({"headers": {"x-country": {"operation": "set", "expression": "ip.geoip.country"}}})),
            lacking("ip.geoip.country"),
        ),
        (
            Phase::CacheSettings,
            rule("set_cache_settings", "true", json!({"cache": true})),
            Ok(Err(Unobeyed::Phase(Phase::CacheSettings))),
        ),
        (
            Phase::ConfigSettings,
            rule("set_config", "true", json!({"bic": true})),
            Ok(Err(Unobeyed::Parameters(Action::SetConfig))),
        ),
        (
            Phase::FirewallCustom,
            json!({"action": "challenge", "expression": "true"}),
            Ok(Err(Unobeyed::Action(Action::Challenge))),
        ),
        (Phase::FirewallCustom, rule("skip", "true", json!({"products": ["waf"], "phases": ["http_ratelimit"]})), Ok(Ok(()))),
        (
            Phase::FirewallCustom,
            rule("skip", "true", json!({"rulesets": ["efb7b8c949ac4650a09736fc376e9aee"]})),
            Ok(Err(Unobeyed::Parameters(Action::Skip))),
        ),
        (
            Phase::FirewallCustom,
            rule("execute", "true", json!({"id": "efb7b8c949ac4650a09736fc376e9aee"})),
            Ok(Err(Unobeyed::Ruleset("efb7b8c949ac4650a09736fc376e9aee".to_owned()))),
        ),
        (Phase::FirewallCustom, json!({"action": "log", "expression": "true"}), Ok(Ok(()))),
        (
            Phase::Redirect,
            rule(
                "redirect",
                "http.request.full_uri in $moved",
                json!({"from_list": {"name": "moved", "key": "http.request.full_uri"}}),
            ),
            Ok(Err(Unobeyed::Lacking(crate::Lacking { fields: vec![], lists: vec!["moved".into(), "moved".into()] }))),
        ),
    ] {
        assert_eq!(read(phase, rule.clone()), expected, "{rule}");
        if let Ok(Err(why)) = expected {
            assert!(!why.to_string().is_empty());
        }
    }
    let limit = json!({"characteristics": ["ip.src"], "period": 60, "requests_per_period": 10, "mitigation_timeout": 60, "counting_expression": "http.response.cod eq 401"});
    for (phase, rule, pointer) in [
        (Phase::FirewallCustom, json!({"action": "log", "expression": "http.hst"}), "/expression"),
        (
            Phase::Ratelimit,
            json!({"action": "block", "expression": "true", "ratelimit": limit}),
            "/ratelimit/counting_expression",
        ),
        (
            Phase::Transform,
            rule("rewrite", "true", json!({"uri": {"path": {"expression": "http.request.headers.names"}}})),
            "/action_parameters/uri/path/expression",
        ),
        (
            Phase::DynamicRedirect,
            rule("redirect", "true", json!({"from_value": {"target_url": {"expression": "concat("}}})),
            "/action_parameters/from_value/target_url/expression",
        ),
        (
            Phase::LateTransform,
            rule("rewrite", "true", json!({"headers": {"X~a": {"operation": "set", "expression": "http.response.code"}}})),
            "/action_parameters/headers/X~0a/expression",
        ),
    ] {
        assert_eq!(read(phase, rule).unwrap_err().pointer, pointer);
    }
}

#[test]
fn rules_look_into_lists_of_addresses_as_far_as_there_is_room() {
    let rules = ruleset(
        Phase::FirewallCustom,
        &json!([
            rule("skip", "ip.src in $offices", json!({ "ruleset": "current" })),
            { "action": "block", "expression": "ip.src in $bad or http.host in $hosts" },
            { "action": "block", "expression": "ip.src in $bad", "enabled": false },
            { "action": "block", "expression": "not ip.src in $bad" },
        ]),
    );
    let asked_for = ZoneRules::lists_of(std::slice::from_ref(&rules), &[]);
    assert_eq!(asked_for.iter().map(String::as_str).collect::<Vec<_>>(), ["bad", "hosts", "offices"]);
    let list = |name: &str, networks: &[&str]| NamedList {
        name: name.into(),
        items: Items::Networks(networks.iter().map(|network| network.parse().unwrap()).collect()),
    };
    let of = |lists| ZoneRules::of(UrlNormalization::default(), std::slice::from_ref(&rules), &[], lists);
    assert_eq!(of(Vec::new()).rules, [], "nobody is blocked for want of a list");
    let known = of(vec![list("offices", &["198.51.100.0/24"]), list("bad", &["192.0.2.0/24", "2001:db8::/32"])]);
    assert_eq!(known.rules.len(), 2, "a list of hosts is none of addresses");
    assert!(matches!(asked(&compiled(&known), "/", ""), Outcome::Goes(_)), "the visitor is in the list");
    let known = of(vec![list("offices", &["192.0.2.7/32"]), list("bad", &[])]);
    assert!(matches!(asked(&compiled(&known), "/", ""), Outcome::Goes(_)), "skipped");
    let known = of(vec![list("bad", &["203.0.113.0/24"])]);
    assert!(matches!(asked(&compiled(&known), "/", ""), Outcome::Blocked { .. }));
    let huge = list("bad", &vec!["203.0.113.0/24"; ITEMS_MAX + 1]);
    assert_eq!(of(vec![huge]), ZoneRules::default());
}
