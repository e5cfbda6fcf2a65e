use std::net::IpAddr;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{At, PolicyId, Timestamp};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const A: AccountId = AccountId::from_bytes([0xa; 16]);
const B: AccountId = AccountId::from_bytes([0xb; 16]);
const Z: ZoneId = ZoneId::from_bytes([1; 16]);
const Y: ZoneId = ZoneId::from_bytes([2; 16]);
const U: UserId = UserId::from_bytes([9; 16]);
const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

fn policy(effect: &str, resources: Value, groups: &[&str]) -> Policy {
    let groups: Vec<Value> = groups.iter().map(|name| json!({"id": group::by_name(name).unwrap().id()})).collect();
    let body = json!({"effect": effect, "resources": resources, "permission_groups": groups});
    Policy::read(&At::body(&body), PolicyId::from_bytes([0; 16])).unwrap()
}

fn terms(policies: Vec<Policy>) -> Terms {
    Terms { policies, ..Terms::default() }
}

fn all_zones() -> Value {
    json!({"com.cloudflare.api.account.zone.*": "*"})
}

#[test]
fn the_least_that_dns_tools_ask_for_gives_that_and_no_more() {
    let tool =
        terms(vec![policy("allow", json!({format!("com.cloudflare.api.account.zone.{Z}"): "*"}), &["Zone Read", "DNS Write"])]);
    let may = |permission, target| tool.may(permission, target, HOME, NOW);
    assert!(may(Subject::Zones.to_read(), Target::Zone(A, Z)) && may(Subject::DnsRecords.to_edit(), Target::Zone(A, Z)));
    assert!(may(Subject::DnsRecords.to_read(), Target::Zone(A, Z)), "who may edit may read");
    assert!(!may(Subject::Zones.to_edit(), Target::Zone(A, Z)));
    assert!(!may(Subject::DnsRecords.to_edit(), Target::Zone(A, Y)));
    assert!(!may(Subject::Zones.to_edit(), Target::NewZone(A)));
    assert!(!may(Subject::DnsRecords.to_edit(), Target::Account(A)), "records are a zone's");
}

#[test]
fn an_account_does_not_bring_its_zones_and_nested_zones_are_of_that_account() {
    let account = format!("com.cloudflare.api.account.{A}");
    let whole = terms(vec![policy("allow", json!({&account: "*"}), &["Cloudflare Tunnel Write", "DNS Write"])]);
    assert!(whole.may(Subject::Tunnels.to_edit(), Target::Account(A), HOME, NOW));
    assert!(whole.may(Subject::PrivateRoutes.to_read(), Target::Account(A), HOME, NOW));
    assert!(!whole.may(Subject::Tunnels.to_edit(), Target::Account(B), HOME, NOW));
    assert!(!whole.may(Subject::DnsRecords.to_edit(), Target::Zone(A, Z), HOME, NOW));
    let nested = terms(vec![policy("allow", json!({&account: all_zones()}), &["DNS Write", "Zone Write"])]);
    assert!(nested.may(Subject::DnsRecords.to_edit(), Target::Zone(A, Z), HOME, NOW));
    assert!(nested.may(Subject::Zones.to_edit(), Target::NewZone(A), HOME, NOW));
    assert!(!nested.may(Subject::DnsRecords.to_edit(), Target::Zone(B, Z), HOME, NOW));
}

#[test]
fn a_denial_wins_in_any_order_and_reaches_the_zones_of_an_account() {
    let allow = policy("allow", all_zones(), &["DNS Write", "Zone Read"]);
    let deny = policy("deny", json!({format!("com.cloudflare.api.account.{A}"): "*"}), &["DNS Write"]);
    for policies in [vec![allow.clone(), deny.clone()], vec![deny, allow]] {
        let both = terms(policies);
        assert!(!both.may(Subject::DnsRecords.to_edit(), Target::Zone(A, Z), HOME, NOW));
        assert!(both.may(Subject::DnsRecords.to_read(), Target::Zone(A, Z), HOME, NOW), "only editing was denied");
        assert!(both.may(Subject::DnsRecords.to_edit(), Target::Zone(B, Z), HOME, NOW));
        assert!(both.may(Subject::Zones.to_read(), Target::Zone(A, Z), HOME, NOW));
    }
}

#[test]
fn a_token_holds_in_its_time_from_its_networks_and_for_its_owner() {
    let body = json!({"request_ip": {"in": ["192.0.2.0/24"], "not_in": ["192.0.2.128/25"]}});
    let token = Terms {
        condition: Condition::read(&At::body(&body)).unwrap(),
        not_before: Some(NOW),
        expires_on: Some(NOW.plus_secs(60)),
        ..terms(vec![policy("allow", all_zones(), &["Zone Read"])])
    };
    let may = |address: &str, secs| {
        token.may(Subject::Zones.to_read(), Target::Zone(A, Z), address.parse().unwrap(), NOW.plus_secs(secs))
    };
    assert!(may("192.0.2.7", 0) && may("::ffff:192.0.2.7", 59));
    assert!(!may("192.0.2.7", -1) && !may("192.0.2.7", 60));
    assert!(!may("192.0.2.200", 1) && !may("198.51.100.1", 1) && !may("2001:db8::1", 1));
    let owned = Terms { owner: Some(A), ..terms(token.policies.clone()) };
    assert!(owned.may(Subject::Zones.to_read(), Target::Zone(A, Z), HOME, NOW));
    assert!(!owned.may(Subject::Zones.to_read(), Target::Zone(B, Y), HOME, NOW));
    let user = terms(vec![policy("allow", json!({format!("com.cloudflare.api.user.{U}"): "*"}), &["API Tokens Write"])]);
    assert!(user.may(Subject::UserTokens.to_edit(), Target::User(U), HOME, NOW));
    assert!(!user.may(Subject::UserTokens.to_edit(), Target::User(UserId::from_bytes([8; 16])), HOME, NOW));
}

#[test]
fn a_denial_of_what_is_not_known_denies_everything_there() {
    let mut deny = policy("deny", json!({format!("com.cloudflare.api.account.zone.{Z}"): "*"}), &["DNS Read"]);
    deny.groups = [crate::PermissionGroupId::from_bytes([0; 16])].into();
    let token = terms(vec![policy("allow", all_zones(), &["Zone Read"]), deny]);
    assert!(!token.may(Subject::Zones.to_read(), Target::Zone(A, Z), HOME, NOW));
    assert!(token.may(Subject::Zones.to_read(), Target::Zone(A, Y), HOME, NOW));
}

#[test]
fn what_was_written_is_told_in_its_order_and_spelling() {
    let written = ["192.0.2.7/32", "192.0.2.7", "198.51.100.9/24"];
    let condition = Condition::read(&At::body(&json!({ "request_ip": { "in": written } }))).unwrap();
    assert_eq!(condition.within.iter().map(ToString::to_string).collect::<Vec<_>>(), written);
    let kept: Condition = serde_json::from_value(serde_json::to_value(&condition).unwrap()).unwrap();
    assert_eq!(kept, condition);
    assert!(kept.holds("198.51.100.200".parse().unwrap()));
    let [first, second] = ["Zone Read", "DNS Write"].map(|name| group::by_name(name).unwrap().id());
    let forth = policy("allow", all_zones(), &["Zone Read", "DNS Write", "Zone Read"]);
    assert_eq!(forth.groups, [first, second]);
    let back = Policy { id: PolicyId::from_bytes([9; 16]), ..policy("allow", all_zones(), &["DNS Write", "Zone Read"]) };
    let id = forth.id;
    assert_eq!(terms(vec![back]).keeping_ids(&terms(vec![forth])).policies[0].id, id, "another order is the same policy");
}

#[test]
fn a_policy_that_is_repeated_keeps_its_id() {
    let numbered =
        |number: u8, group: &str| Policy { id: PolicyId::from_bytes([number; 16]), ..policy("allow", all_zones(), &[group]) };
    let before = terms(vec![numbered(1, "DNS Read"), numbered(2, "DNS Read"), numbered(3, "Zone Read")]);
    let after = terms(vec![numbered(7, "Zone Read"), numbered(8, "DNS Read"), numbered(9, "DNS Write")]).keeping_ids(&before);
    let ids: Vec<u8> = after.policies.iter().map(|policy| policy.id.as_bytes()[0]).collect();
    assert_eq!(ids, [3, 1, 9]);
}

#[test]
fn what_is_not_of_the_grammar_is_refused_with_its_place() {
    let good = json!([{"id": group::by_name("DNS Read").unwrap().id()}]);
    for (resources, groups, pointer) in [
        (json!({}), good.clone(), "/resources"),
        (json!({"com.cloudflare.api.account.x": "*"}), good.clone(), "/resources/com.cloudflare.api.account.x"),
        (json!({"com.cloudflare.edge.r2": "*"}), good.clone(), "/resources/com.cloudflare.edge.r2"),
        (json!({"com.cloudflare.api.account.zone.*": "all"}), good.clone(), "/resources/com.cloudflare.api.account.zone.*"),
        (
            json!({"com.cloudflare.api.account.*": {"com.cloudflare.api.user.*": "*"}}),
            good,
            "/resources/com.cloudflare.api.account.*/com.cloudflare.api.user.*",
        ),
        (all_zones(), json!([]), "/permission_groups"),
        (all_zones(), json!([{"id": "00".repeat(16)}]), "/permission_groups/0/id"),
        (all_zones(), json!([{"name": "DNS Read"}]), "/permission_groups/0/id"),
    ] {
        let body = json!({"effect": "allow", "resources": resources, "permission_groups": groups});
        let error = Policy::read(&At::body(&body), PolicyId::from_bytes([0; 16])).unwrap_err();
        assert_eq!(error.pointer, pointer, "{error}");
    }
    let body = json!({"request_ip": {"in": ["home"]}});
    assert_eq!(Condition::read(&At::body(&body)).unwrap_err().pointer, "/request_ip/in/0");
}

#[test]
fn each_phase_has_its_subject() {
    use ruleset::{Phase, Scope};
    assert_eq!(Subject::of_phase(Phase::FirewallCustom, Scope::Zone), Subject::ZoneRulesets);
    assert_eq!(Subject::of_phase(Phase::CacheSettings, Scope::Zone), Subject::CacheSettings);
    assert_eq!(Subject::of_phase(Phase::CacheSettings, Scope::Account), Subject::AccountRulesets);
    assert_eq!(Subject::DnsRecords.to_edit().to_string(), "#dns_records:edit");
}

fn any_resource() -> impl Strategy<Value = Resource> {
    let account = prop_oneof![Just(Selector::All), Just(Selector::One(A)), Just(Selector::One(B))];
    let zone = prop_oneof![Just(Selector::All), Just(Selector::One(Z)), Just(Selector::One(Y))];
    prop_oneof![
        account.clone().prop_map(Resource::Account),
        zone.clone().prop_map(Resource::Zone),
        (account, zone).prop_map(|(account, zone)| Resource::ZoneOf(account, zone)),
        Just(Resource::User(U)),
    ]
}

fn any_policy(effect: Effect) -> impl Strategy<Value = Policy> {
    let groups = prop::collection::btree_set((0..GROUPS.len()).prop_map(|index| GROUPS[index].id()), 1..4);
    (prop::collection::btree_set(any_resource(), 1..4), groups).prop_map(move |(resources, groups)| Policy {
        id: PolicyId::from_bytes([0; 16]),
        effect,
        resources,
        groups: groups.into_iter().collect(),
    })
}

fn every_question() -> impl Iterator<Item = (Permission, Target)> {
    let targets =
        [Target::User(U), Target::Account(A), Target::Account(B), Target::Zone(A, Z), Target::Zone(B, Y), Target::NewZone(A)];
    let permissions = Subject::ALL.iter().flat_map(|subject| [subject.to_read(), subject.to_edit()]);
    permissions.flat_map(move |permission| targets.map(|target| (permission, target)))
}

proptest! {
    /// Whatever policies there are: one that denies never gives anything, one that allows never takes anything, and their order
    /// says nothing.
    #[test]
    fn denials_only_narrow_and_allowances_only_widen(
        allowing in prop::collection::vec(any_policy(Effect::Allow), 0..4),
        denying in prop::collection::vec(any_policy(Effect::Deny), 0..3),
        one_more in any_policy(Effect::Deny),
        one_gift in any_policy(Effect::Allow),
    ) {
        let base: Vec<Policy> = allowing.into_iter().chain(denying).collect();
        let with = |policy: &Policy| terms(base.iter().chain([policy]).cloned().collect());
        let reversed = terms(base.iter().rev().cloned().collect());
        let (narrower, wider) = (with(&one_more), with(&one_gift));
        let base = terms(base);
        for (permission, target) in every_question() {
            let may = |terms: &Terms| terms.may(permission, target, HOME, NOW);
            prop_assert!(!may(&narrower) || may(&base), "{permission} {target:?} was widened by a denial");
            prop_assert!(may(&wider) || !may(&base), "{permission} {target:?} was narrowed by an allowance");
            prop_assert_eq!(may(&reversed), may(&base));
            if permission.right == Right::Edit && may(&base) {
                prop_assert!(base.may(permission.subject.to_read(), target, HOME, NOW), "editing without reading");
            }
        }
    }

    /// Resources that are told read the same, except that an account told whole and by zone at once keeps only the whole.
    #[test]
    fn resources_that_are_told_read_the_same(resources in prop::collection::btree_set(any_resource(), 1..6)) {
        let told = Value::Object(resource::write(&resources));
        let read = resource::read(&At::body(&told)).unwrap();
        let lost = |resource: &&Resource| matches!(resource, Resource::ZoneOf(account, _) if resources.contains(&Resource::Account(*account)));
        let expected: std::collections::BTreeSet<Resource> = resources.iter().filter(|resource| !lost(resource)).copied().collect();
        prop_assert_eq!(read, expected);
    }
}
