use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::RuleId;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// Ids in rising order.
fn ids() -> impl FnMut() -> RuleId {
    let mut last = 0_u128;
    move || {
        last += 1;
        RuleId::from_bytes(last.to_be_bytes())
    }
}

fn drafts(phase: Phase, rules: &Value) -> Result<Vec<RuleDraft>, ShapeError> {
    RuleDraft::read_list(&At::body(&json!({ "rules": rules })), phase, Kind::Zone).map(Option::unwrap_or_default)
}

fn put(phase: Phase, rules: &Value) -> RulesetPut {
    RulesetPut { rules: Some(drafts(phase, rules).unwrap()), ..RulesetPut::default() }
}

fn ruleset(phase: Phase, rules: &Value, new_id: &mut dyn FnMut() -> RuleId) -> Ruleset {
    let draft = RulesetDraft {
        name: "default".into(),
        description: String::new(),
        kind: Kind::Zone,
        phase,
        rules: drafts(phase, rules).unwrap(),
    };
    Ruleset::new(RulesetId::from_bytes([9; 16]), draft, new_id, NOW).unwrap()
}

fn block(reference: &str, expression: &str) -> Value {
    json!({"action": "block", "expression": expression, "ref": reference})
}

fn names(ruleset: &Ruleset) -> Vec<&str> {
    ruleset.rules.iter().map(|rule| rule.reference.as_str()).collect()
}

#[test]
fn a_put_keeps_ids_by_id_then_by_ref_and_raises_only_what_changed() {
    let mut new_id = ids();
    let phase = Phase::FirewallCustom;
    let mut all = ruleset(phase, &json!([block("a", "x"), block("b", "y"), block("", "z")]), &mut new_id);
    let before: Vec<RuleId> = all.rules.iter().map(|rule| rule.id).collect();
    assert_eq!(all.rules[2].reference, before[2].to_string(), "the ref is the id where none was given");
    let later = NOW.plus_secs(60);
    let third = json!({"id": before[2].to_string(), "action": "log", "expression": "z"});
    let changed = all.put(put(phase, &json!([third, block("b", "y"), block("new", "n")])), &mut new_id, later).unwrap();
    assert!(changed);
    assert_eq!(all.version, 2);
    let now: Vec<_> = all.rules.iter().map(|rule| (rule.id, rule.version, rule.last_updated)).collect();
    assert_eq!(now[..2], [(before[2], 2, later), (before[1], 1, NOW)]);
    assert!(!before.contains(&now[2].0));
}

#[test]
fn an_id_is_claimed_before_a_ref_of_the_same_rule() {
    let mut new_id = ids();
    let phase = Phase::FirewallCustom;
    let mut all = ruleset(phase, &json!([block("a", "x")]), &mut new_id);
    let id = all.rules[0].id;
    let renamed = json!({"id": id.to_string(), "ref": "b", "action": "block", "expression": "x"});
    all.put(put(phase, &json!([block("a", "fresh"), renamed])), &mut new_id, NOW).unwrap();
    assert_eq!((all.rules[1].id, names(&all)), (id, vec!["a", "b"]));
    assert_ne!(all.rules[0].id, id);
}

#[test]
fn twice_the_same_id_or_ref_is_refused_with_its_place() {
    let mut new_id = ids();
    let phase = Phase::FirewallCustom;
    let mut all = ruleset(phase, &json!([block("a", "x")]), &mut new_id);
    let before = all.clone();
    let own = json!({"id": all.rules[0].id.to_string(), "action": "block", "expression": "x"});
    for (rules, pointer) in [
        (json!([own, own]), "/rules/1/id"),
        (json!([block("c", "x"), block("c", "y")]), "/rules/1/ref"),
        (json!([own, block("a", "y")]), "/rules/1/ref"),
    ] {
        let error = all.put(put(phase, &rules), &mut new_id, NOW).unwrap_err();
        assert!(matches!(&error, RulesetError::Shape(shape) if shape.pointer == pointer), "{error:?}");
    }
    assert_eq!(all, before);
}

#[test]
fn a_put_that_brings_no_rules_keeps_them_and_an_empty_list_removes_them() {
    let mut new_id = ids();
    let mut all = ruleset(Phase::FirewallCustom, &json!([block("a", "x")]), &mut new_id);
    let body = json!({"description": "mine", "kind": "zone", "version": "9"});
    let described = RulesetPut::read(&At::body(&body), all.phase, all.kind).unwrap();
    assert!(all.put(described.clone(), &mut new_id, NOW).unwrap());
    assert!(!all.put(described, &mut new_id, NOW).unwrap());
    assert_eq!((all.version, all.rules.len(), all.description.as_str()), (2, 1, "mine"));
    assert!(all.put(put(all.phase, &json!([])), &mut new_id, NOW).unwrap());
    assert!(all.rules.is_empty());
}

#[test]
fn an_entry_point_is_made_by_its_first_put() {
    let body = json!({"rules": [{"action": "redirect", "expression": "true",
        "action_parameters": {"from_list": {"name": "moved", "key": "http.request.full_uri"}}}]});
    let put = RulesetPut::read(&At::body(&body), Phase::Redirect, Scope::Account.entry_point()).unwrap();
    let draft = put.into_entry_point(Phase::Redirect, Scope::Account);
    let made = Ruleset::new(RulesetId::from_bytes([1; 16]), draft, &mut ids(), NOW).unwrap();
    assert_eq!((made.name.as_str(), made.kind, made.version, made.rules.len()), ("default", Kind::Root, 1, 1));
}

#[test]
fn one_rule_is_put_where_its_position_says() {
    let mut new_id = ids();
    let phase = Phase::FirewallCustom;
    let mut all = ruleset(phase, &json!([block("a", "x"), block("b", "x")]), &mut new_id);
    let (a, b) = (all.rules[0].id, all.rules[1].id);
    for (name, position) in [
        ("first", json!({"before": ""})),
        ("last", json!({"after": ""})),
        ("before-b", json!({"before": b.to_string()})),
        ("after-a", json!({"after": a.to_string()})),
        ("second", json!({"index": 2})),
        ("default", Value::Null),
    ] {
        let body = json!({"action": "block", "expression": "x", "ref": name, "position": position});
        let position = Position::read(&At::body(&body)).unwrap();
        let draft = RuleDraft::read(&At::body(&body), phase, Kind::Zone).unwrap();
        all.insert(draft, position, &mut new_id, NOW).unwrap();
    }
    assert_eq!(names(&all), ["first", "second", "a", "after-a", "before-b", "b", "last", "default"]);
    assert_eq!(all.version, 7);
    for (body, pointer) in [
        (json!({"position": {"before": "", "index": 1}}), "/position"),
        (json!({"position": {"index": 0}}), "/position/index"),
        (json!({"position": {"after": "7"}}), "/position/after"),
    ] {
        assert_eq!(Position::read(&At::body(&body)).unwrap_err().pointer, pointer);
    }
    let body = block("x", "x");
    let draft = RuleDraft::read(&At::body(&body), phase, Kind::Zone).unwrap();
    assert!(all.insert(draft.clone(), Some(Position::Index(10)), &mut new_id, NOW).is_err());
    assert!(all.insert(draft, Some(Position::Before(RuleId::from_bytes([0; 16]))), &mut new_id, NOW).is_err());
}

#[test]
fn a_patch_changes_what_it_names_and_may_move_the_rule() {
    let mut new_id = ids();
    let phase = Phase::FirewallCustom;
    let answer = json!({"response": {"status_code": 429, "content": "no", "content_type": "text/plain"}});
    let rule = json!({"action": "block", "expression": "x", "ref": "a", "action_parameters": answer, "enabled": false});
    let mut all = ruleset(phase, &json!([rule, block("b", "y")]), &mut new_id);
    let id = all.rules[0].id;
    let patch = |all: &mut Ruleset, body: Value| {
        let rule = all.rules.iter().find(|rule| rule.id == id).unwrap();
        let draft = RuleDraft::patching(rule, &At::body(&body), phase, Kind::Zone)?;
        all.patch(id, draft, Position::read(&At::body(&body))?, NOW)
    };
    assert!(patch(&mut all, json!({"expression": "z", "position": {"after": ""}})).unwrap());
    assert_eq!(names(&all), ["b", "a"]);
    let body = &all.rules[1].body;
    assert_eq!((body.expression.as_str(), body.enabled, &body.action_parameters), ("z", false, &answer.as_object().cloned()));
    assert!(!patch(&mut all, json!({"expression": "z"})).unwrap(), "nothing changed");
    assert!(patch(&mut all, json!({"enabled": null, "action": "log"})).unwrap());
    let body = &all.rules[1].body;
    assert_eq!((body.enabled, &body.action_parameters, body.action), (true, &None, Action::Log));
    assert!(patch(&mut all, json!({"ref": "b"})).is_err(), "another has that ref");
    assert!(patch(&mut all, json!({"position": {"before": id.to_string()}})).is_err(), "not beside itself");
    all.remove(id, NOW).unwrap();
    assert_eq!(all.remove(id, NOW), Err(RulesetError::NoRule(id)));
    assert_eq!(names(&all), ["b"]);
}

#[test]
fn a_ruleset_is_of_a_kind_and_phase_its_scope_has() {
    let read = |kind: &str, phase: &str, scope| {
        let body = json!({"name": "n", "kind": kind, "phase": phase});
        RulesetDraft::read(&At::body(&body), scope).map(drop).map_err(|error| error.pointer)
    };
    assert_eq!(read("zone", "http_ratelimit", Scope::Zone), Ok(()));
    assert_eq!(read("root", "http_request_redirect", Scope::Account), Ok(()));
    assert_eq!(read("custom", "http_request_firewall_custom", Scope::Account), Ok(()));
    assert_eq!(read("root", "http_ratelimit", Scope::Zone), Err("/kind".into()));
    assert_eq!(read("managed", "http_ratelimit", Scope::Account), Err("/kind".into()));
    assert_eq!(read("zone", "ddos_l7", Scope::Zone), Err("/phase".into()));
}

proptest! {
    /// Whatever order the rules come back in, each that has a ref keeps its id; refs and ids stay unique; the same PUT again
    /// changes nothing.
    #[test]
    fn ids_stay_with_their_refs(first in prop::collection::hash_set(0..12_u8, 0..8), second in prop::collection::vec(0..12_u8, 0..8)) {
        let mut new_id = ids();
        let phase = Phase::FirewallCustom;
        let rules = |numbers: &mut dyn Iterator<Item = u8>| -> Value { numbers.map(|n| block(&format!("r{n}"), "x")).collect() };
        let mut all = ruleset(phase, &rules(&mut first.iter().copied()), &mut new_id);
        let before = all.clone();
        let distinct = second.iter().collect::<std::collections::HashSet<_>>().len() == second.len();
        let incoming = put(phase, &rules(&mut second.iter().copied()));
        match all.put(incoming.clone(), &mut new_id, NOW) {
            Ok(_) => prop_assert!(distinct),
            Err(_) => {
                prop_assert!(!distinct);
                prop_assert_eq!(&all, &before);
                return Ok(());
            }
        }
        prop_assert_eq!(names(&all).len(), second.len());
        for rule in &all.rules {
            if let Some(old) = before.rules.iter().find(|old| old.reference == rule.reference) {
                prop_assert_eq!((old.id, old.version), (rule.id, rule.version));
            }
        }
        let unique = all.rules.iter().map(|rule| rule.id).collect::<std::collections::HashSet<_>>().len();
        prop_assert_eq!(unique, all.rules.len());
        let version = all.version;
        prop_assert!(!all.put(incoming, &mut new_id, NOW).unwrap());
        prop_assert_eq!(all.version, version);
    }

    /// What a rule tells of itself, read again, is the same rule.
    #[test]
    fn what_is_told_reads_the_same(expression in "[ -~]{1,40}", description in ".{0,20}", enabled: bool, logging: Option<bool>) {
        prop_assume!(!expression.trim().is_empty());
        let rule = json!({"action": "log", "expression": expression, "description": description, "enabled": enabled,
            "logging": logging.map(|enabled| json!({"enabled": enabled}))});
        let read = RuleDraft::read(&At::body(&rule), Phase::FirewallCustom, Kind::Zone).unwrap();
        let again = RuleDraft::read(&At::body(&Value::Object(read.body.members())), Phase::FirewallCustom, Kind::Zone).unwrap();
        prop_assert_eq!(read.body, again.body);
    }
}
