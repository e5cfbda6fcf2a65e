//! Rules of an account before those of its zone, rulesets that rules execute, what they pass over, and bulk redirects.

use super::*;
use crate::{Host, Redirect};

fn id(number: u8) -> RulesetId {
    RulesetId::from_bytes([number; 16])
}

/// A ruleset of that kind; its rules' ids begin with its number.
fn of_kind(number: u8, kind: Kind, phase: Phase, rules: &Value) -> Ruleset {
    let rules = RuleDraft::read_list(&At::body(&json!({ "rules": rules })), phase, kind).unwrap().unwrap();
    let draft = RulesetDraft { name: "r".into(), description: String::new(), kind, phase, rules };
    let mut last = 0_u8;
    let mut ids = || {
        last += 1;
        RuleId::from_bytes(std::array::from_fn(|at| if at == 0 { number } else { last }))
    };
    Ruleset::new(id(number), draft, &mut ids, Timestamp::from_secs(0)).unwrap()
}

fn execute(number: u8, expression: &str) -> Value {
    rule("execute", expression, json!({ "id": id(number).to_string() }))
}

fn block(path: &str) -> Value {
    json!({ "action": "block", "expression": format!("starts_with(http.request.uri.path, \"{path}\")") })
}

fn rules(entry_points: &[Ruleset], customs: &[Ruleset], lists: Vec<NamedList>) -> Program {
    compiled(&ZoneRules::of(UrlNormalization::default(), entry_points, customs, lists))
}

fn both(account: &Program, zone: &Program, path: &str) -> Outcome {
    with(path, "", |facts| Programs { account: Some(account), zone: Some(zone) }.request(facts))
}

/// Which rule of which ruleset blocks.
fn blocked(outcome: Outcome) -> Option<(u8, u8)> {
    match outcome {
        Outcome::Blocked { rule, .. } => Some((rule.as_bytes()[0], rule.as_bytes()[1])),
        Outcome::Goes(_) => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_accounts_rules_are_asked_before_the_zones() {
    let phase = Phase::FirewallCustom;
    let root = of_kind(
        1,
        Kind::Root,
        phase,
        &json!([
            execute(2, "cf.zone.plan eq \"ENT\" and cf.zone.name eq \"example.com\""),
            execute(3, "cf.zone.name eq \"other.test\"")
        ]),
    );
    let skips = |path: &str, what: Value| rule("skip", &format!("http.request.uri.path eq \"{path}\""), what);
    let custom = of_kind(
        2,
        Kind::Custom,
        phase,
        &json!([
            skips("/a/ruleset", json!({ "ruleset": "current" })),
            skips("/a/phase", json!({ "phase": "current" })),
            skips("/a/products", json!({ "products": ["waf"], "phases": ["http_ratelimit"] })),
            block("/a"),
        ]),
    );
    let other = of_kind(3, Kind::Custom, phase, &json!([block("/")]));
    let unreached = of_kind(4, Kind::Custom, phase, &json!([block("/")]));
    let account = rules(&[root], &[custom, other, unreached], Vec::new());
    let zone = rules(&[of_kind(5, Kind::Zone, phase, &json!([block("/a"), block("/z")]))], &[], Vec::new());
    for (path, by) in [
        ("/", None),
        ("/a", Some((2, 4))),
        ("/a/ruleset", Some((5, 1))),
        ("/a/phase", None),
        ("/a/products", Some((2, 4))),
        ("/z", Some((5, 2))),
    ] {
        assert_eq!(blocked(both(&account, &zone, path)), by, "{path}");
    }
    let alone = |path: &str| with(path, "", |facts| Programs { account: Some(&account), zone: None }.request(facts));
    assert_eq!((blocked(alone("/x/../%61")), blocked(alone("/z"))), (Some((2, 4)), None), "paths are in normal form");
}

#[test]
fn the_zone_has_the_last_word_where_the_last_rule_wins() {
    let phase = Phase::LateTransform;
    let sets = |value: &str| rule("rewrite", "true", json!({ "headers": { "x-who": { "operation": "set", "value": value } } }));
    let custom = of_kind(2, Kind::Custom, phase, &json!([sets("account")]));
    let account = rules(&[of_kind(1, Kind::Root, phase, &json!([execute(2, "true")]))], &[custom], Vec::new());
    let zone = rules(&[of_kind(3, Kind::Zone, phase, &json!([sets("zone")]))], &[], Vec::new());
    let Outcome::Goes(went) = both(&account, &zone, "/") else { panic!("it is ended") };
    let mut headers = HeaderMap::new();
    change_fields(&mut headers, went.fields);
    assert_eq!(headers["x-who"], "zone");
    assert!(!went.asks_answer);
}

#[test]
fn phases_are_passed_over_by_name() {
    let sets =
        |phase| (phase, json!([rule("rewrite", "true", json!({ "headers": { "x-a": { "operation": "set", "value": "1" } } }))]));
    let skip = |path: &str, phases: Value| {
        rule("skip", &format!("starts_with(http.request.uri.path, \"{path}\")"), json!({ "phases": phases }))
    };
    let program = program(&[
        (
            Phase::FirewallCustom,
            json!([
                skip("/a", json!(["http_request_late_transform"])),
                skip("/a/b", json!(["http_response_headers_transform", "http_request_sbfm"]))
            ]),
        ),
        sets(Phase::LateTransform),
        sets(Phase::ResponseHeadersTransform),
    ]);
    for (path, expected) in [("/", (1, true)), ("/a", (0, true)), ("/a/b", (0, false))] {
        let went = going(&program, path, "");
        assert_eq!((went.fields.len(), went.asks_answer), expected, "{path}");
    }
}

fn lists() -> Vec<NamedList> {
    let redirect = |source: &str, target: &str| Redirect {
        source: source.into(),
        target: target.into(),
        status: 308,
        subpaths: true,
        keeps_suffix: true,
        keeps_query: true,
        ..Redirect::default()
    };
    let moved = vec![
        redirect("www.example.com/old", "https://new.test/x?from=old"),
        redirect("http://www.example.com/", "https://never.test/"),
    ];
    let host = |name: &str| Host { name: Name::parse(name).unwrap(), excludes_exact: false };
    vec![
        NamedList { name: "moved".into(), items: Items::Redirects(moved) },
        NamedList { name: "ours".into(), items: Items::Hosts(vec![host("*.example.com")]) },
        NamedList { name: "ports".into(), items: Items::Numbers(vec![443, 8443]) },
    ]
}

#[test]
fn a_list_of_redirects_leads_elsewhere_after_the_firewall() {
    let from = |expression: &str| {
        rule("redirect", expression, json!({ "from_list": { "name": "moved", "key": "http.request.full_uri" } }))
    };
    let root = of_kind(1, Kind::Root, Phase::Redirect, &json!([from("http.request.full_uri in $moved")]));
    let account = rules(&[root], &[], lists());
    let zone = rules(&[of_kind(2, Kind::Zone, Phase::FirewallCustom, &json!([block("/old/secret")]))], &[], Vec::new());
    let told = |path: &str, query: &str| match with(path, query, |facts| {
        Programs { account: Some(&account), zone: Some(&zone) }.request(facts)
    }) {
        Outcome::Redirect { status, location, .. } => Some((status, location.to_str().unwrap().to_owned())),
        Outcome::Goes(_) => None,
        other => panic!("{other:?}"),
    };
    assert_eq!(told("/old", ""), Some((308, "https://new.test/x?from=old".into())));
    assert_eq!(told("/old/a%20b", "q=1"), Some((308, "https://new.test/x/a%20b?from=old&q=1".into())));
    assert_eq!(told("/other", ""), None);
    assert!(matches!(both(&account, &zone, "/old/secret"), Outcome::Blocked { .. }));
    // Nothing of it is in force without the list.
    let root = of_kind(1, Kind::Root, Phase::Redirect, &json!([from("true")]));
    assert_eq!(ZoneRules::of(UrlNormalization::default(), &[root], &[], Vec::new()), ZoneRules::default());
}

#[test]
fn hosts_and_numbers_are_looked_for_in_lists_too() {
    let blocks = |expression: &str| json!([{ "action": "block", "expression": expression }]);
    let is_met = |expression: &str| {
        let zone = of_kind(1, Kind::Zone, Phase::FirewallCustom, &blocks(expression));
        let rules = ZoneRules::of(UrlNormalization::default(), &[zone], &[], lists());
        (!rules.rules.is_empty()).then(|| blocked(asked(&compiled(&rules), "/old", "")).is_some())
    };
    assert_eq!(is_met("http.host in $ours"), Some(true));
    assert_eq!(is_met("http.referer in $ours"), Some(false));
    assert_eq!(is_met("cf.edge.server_port in $ports"), Some(true));
    assert_eq!(is_met("http.request.full_uri in $moved"), Some(true));
    assert_eq!(is_met("ip.src in $ours"), None, "a list of another kind");
    assert_eq!(is_met("ip.src.asnum in $ports"), None, "a field that is not filled");
}

#[test]
fn what_is_executed_has_room_and_executes_nothing_itself() {
    let phase = Phase::FirewallCustom;
    let customs: Vec<Ruleset> =
        (0..20).map(|number| of_kind(100 + number, Kind::Custom, phase, &json!([execute(2, "true"), block("/")]))).collect();
    let all: Vec<Value> = (0..20).map(|number| execute(100 + number, "true")).collect();
    let root = of_kind(1, Kind::Root, phase, &json!(all));
    let travels = ZoneRules::of(UrlNormalization::default(), &[root], &customs, Vec::new());
    assert_eq!((travels.rules.len(), travels.executed.len()), (definition::EXECUTED_MAX, definition::EXECUTED_MAX));
    assert!(travels.executed.iter().all(|executed| executed.rules.len() == 1), "one that executes is left out");
    let lacking = of_kind(1, Kind::Root, phase, &json!([execute(100, "cf.client.bot")]));
    assert_eq!(ZoneRules::of(UrlNormalization::default(), &[lacking], &customs, Vec::new()), ZoneRules::default());
}
