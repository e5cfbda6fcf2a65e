//! What is kept and told: settings, rulesets, lists, access rules, private routes, the trace, invitations.

use poterne_model::{
    AccessRuleId, At, AuditId, ListId, ListItemId, ListOperationId, MembershipId, RouteId, RulesetId, Timestamp, UserId,
    VirtualNetworkId, ZoneId,
    access_rule::{AccessConfiguration, AccessMode, AccessRule, AccessScope, AccessTarget},
    list::{ItemDraft, List, ListItem, ListKind, ListWrite},
    private_network::{Route, VirtualNetwork},
    ruleset::{Kind, Phase, RuleDraft, Ruleset, RulesetPut, Scope},
};
use serde_json::json;

use super::{ACCOUNT, Engine, Fixture, OTHER, TUNNEL, ZONE, begun, tunnel, zone};
use crate::{
    Actor, AuditEvent, AuditFilter, CookieSecret, Membership, MembershipStatus, Person, RULESET_VERSIONS_MAX, RulesetOwner,
    SignedHead, StoreError, TicketKey, Touched, ZoneSigning,
};

on_both! {
    what_a_zone_sets_is_its_own_and_goes_with_it,
    zones_keys_are_due_and_go_with_their_zone,
    secrets_of_cookies_are_kept_in_their_order,
    keys_of_tickets_are_kept_in_their_order,
    versions_of_rulesets_are_kept_up_to_a_bound,
    items_are_written_in_batches_and_found,
    a_scope_has_one_access_rule_for_the_same,
    routes_are_told_of_after_they_are_deleted,
    the_trace_is_filtered_and_read_on_from_any_event,
    a_person_who_was_only_invited_goes_with_their_invitation,
}

async fn what_a_zone_sets_is_its_own_and_goes_with_it(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = store.write().await.unwrap();
    session.insert_zone(&zone(4, ACCOUNT, "example.org", poterne_model::ZoneStatus::Pending)).await.unwrap();
    session.put_zone_setting(ZONE, "ssl", &json!("strict"), 7_000_000).await.unwrap();
    session.put_zone_setting(ZONE, "ssl", &json!("off"), 8_000_000).await.unwrap();
    session.put_zone_setting(ZONE, "nel", &json!({ "enabled": true }), 8_000_000).await.unwrap();
    session.commit().await.unwrap();
    let mut session = store.write().await.unwrap();
    let settings = session.zone_settings(ZONE).await.unwrap();
    let ssl = settings.get(poterne_model::setting::find("ssl").unwrap(), Timestamp::from_secs(9));
    assert_eq!((ssl.value, ssl.modified_on), (json!("off"), Some(Timestamp::from_secs(8))));
    let mut again = settings.clone();
    assert!(again.set("nel", &At::body(&json!({ "enabled": true })), Timestamp::from_secs(9)).unwrap().is_none());
    assert_eq!(
        session
            .zone_settings_of(ZONE, "nel")
            .await
            .unwrap()
            .all(Timestamp::from_secs(9))
            .filter(|one| one.modified_on.is_some())
            .count(),
        1
    );
    assert_eq!(session.zone_setting(ZONE, "nel").await.unwrap(), Some(json!({ "enabled": true })));
    assert_eq!(session.zone_settings(ZoneId::from_bytes([4; 16])).await.unwrap(), Default::default());
    session.delete_zone(ZONE).await.unwrap();
    assert_eq!(session.zone_settings(ZONE).await.unwrap(), Default::default());
}

async fn secrets_of_cookies_are_kept_in_their_order(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let secret = |number: u32| CookieSecret {
        number,
        made_at: i64::from(number) * 1_000_000,
        sealed: vec![u8::try_from(number).unwrap(); 3],
        wrapped: vec![9, 8, 7],
    };
    let mut session = store.write().await.unwrap();
    assert_eq!(session.cookie_secrets().await.unwrap(), []);
    session.put_cookie_secrets(&[secret(5), secret(4)]).await.unwrap();
    let change = session.commit().await.unwrap();
    let mut session = store.write().await.unwrap();
    assert_eq!(session.touched_since(change - 1, 10).await.unwrap().unwrap(), [Touched::Node]);
    assert_eq!(session.cookie_secrets().await.unwrap(), [secret(5), secret(4)]);
    session.put_cookie_secrets(&[secret(6), secret(5)]).await.unwrap();
    assert_eq!(session.cookie_secrets().await.unwrap(), [secret(6), secret(5)], "and no others");
}

async fn keys_of_tickets_are_kept_in_their_order(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let key = |starts_at: u64| TicketKey { starts_at, sealed: vec![1, 2], wrapped: vec![9, 8, 7] };
    let mut session = store.write().await.unwrap();
    session.put_ticket_keys(&[key(12), key(0)]).await.unwrap();
    let change = session.commit().await.unwrap();
    let mut session = store.write().await.unwrap();
    assert_eq!(session.touched_since(change - 1, 10).await.unwrap().unwrap(), [Touched::Node]);
    assert_eq!(session.ticket_keys().await.unwrap(), [key(0), key(12)]);
    session.put_ticket_keys(&[key(12), key(24)]).await.unwrap();
    assert_eq!(session.ticket_keys().await.unwrap(), [key(12), key(24)], "and no others");
}

async fn zones_keys_are_due_and_go_with_their_zone(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = store.write().await.unwrap();
    // Version, the wrapping key's name, and what it wraps.
    let head = SignedHead { signed: vec![1, 2, 3], algorithm: 13, wrapped: [&[1][..], &[7; 8], &[9; 40]].concat() };
    let kept = ZoneSigning { zone: ZONE, keyset: "{}".into(), head, next_at: 50, modified_at: 7 };
    session.put_zone_signing(&kept, true).await.unwrap();
    session.insert_zone_key(ZONE, 0, b"sealed 0").await.unwrap();
    session.insert_zone_key(ZONE, 1, b"sealed 1").await.unwrap();
    session.delete_zone_key(ZONE, 0).await.unwrap();
    let change = session.commit().await.unwrap();
    let mut session = store.write().await.unwrap();
    assert_eq!(session.touched_since(change - 1, 10).await.unwrap().unwrap(), [Touched::Zone(ZONE)]);
    assert_eq!(session.zone_signing(ZONE).await.unwrap().as_ref(), Some(&kept));
    assert_eq!(session.signed_heads().await.unwrap().remove(&ZONE).as_ref(), Some(&kept.head));
    assert_eq!(session.zone_keys(ZONE).await.unwrap().into_iter().collect::<Vec<_>>(), [(1, b"sealed 1".to_vec())]);
    for (now, node_key, due) in [(49, [7; 8], 0), (50, [7; 8], 1), (0, [8; 8], 1)] {
        assert_eq!(session.zone_signings_due(now, node_key, 10).await.unwrap().len(), due, "{now}");
    }
    session.put_zone_signing(&ZoneSigning { next_at: 60, ..kept.clone() }, false).await.unwrap();
    assert!(session.zone_signings_due(50, [7; 8], 10).await.unwrap().is_empty());
    session.delete_zone_signing(ZONE).await.unwrap();
    assert!(session.zone_keys(ZONE).await.unwrap().is_empty() && session.zone_signing(ZONE).await.unwrap().is_none());
    session.put_zone_signing(&kept, false).await.unwrap();
    session.insert_zone_key(ZONE, 1, b"sealed 1").await.unwrap();
    session.delete_zone(ZONE).await.unwrap();
    assert!(session.zone_keys(ZONE).await.unwrap().is_empty() && session.signed_heads().await.unwrap().is_empty());
}

async fn versions_of_rulesets_are_kept_up_to_a_bound(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = store.write().await.unwrap();
    let (of_zone, of_account) = (RulesetOwner::Zone(ZONE), RulesetOwner::Account(ACCOUNT));
    let rule = json!([{ "action": "block", "expression": "ip.src in $of_fice" }]);
    let drafts = |phase| RuleDraft::read_list(&At::body(&json!({ "rules": rule })), phase, Kind::Zone).unwrap().unwrap();
    let put = RulesetPut { rules: Some(drafts(Phase::FirewallCustom)), ..RulesetPut::default() };
    let mut id = || poterne_model::RuleId::from_bytes([9; 16]);
    let new = |number: u8, scope, put: RulesetPut, id: &mut dyn FnMut() -> _| {
        let draft = put.into_entry_point(Phase::FirewallCustom, scope);
        Ruleset::new(RulesetId::from_bytes([number; 16]), draft, id, Timestamp::from_secs(1)).unwrap()
    };
    let mut first = new(1, Scope::Zone, put, &mut id);
    session.insert_ruleset(of_zone, &first).await.unwrap();
    let second = new(2, Scope::Zone, RulesetPut::default(), &mut id);
    assert!(matches!(session.insert_ruleset(of_zone, &second).await, Err(StoreError::Conflict("ruleset"))));
    session.insert_ruleset(of_account, &new(3, Scope::Account, RulesetPut::default(), &mut id)).await.unwrap();
    assert_eq!(session.entry_point(of_zone, Phase::FirewallCustom).await.unwrap().as_ref(), Some(&first));
    assert_eq!(session.entry_point(of_account, Phase::FirewallCustom).await.unwrap().unwrap().kind, Kind::Root);
    assert_eq!(session.ruleset(of_account, first.id).await.unwrap(), None, "a zone's is no account's");
    for _ in 0..RULESET_VERSIONS_MAX {
        first.version += 1;
        first.description = first.version.to_string();
        session.update_ruleset(&first).await.unwrap();
    }
    let versions = session.ruleset_versions(first.id).await.unwrap();
    let numbers = (versions.len(), versions[0].version, versions.last().unwrap().version);
    assert_eq!(numbers, (100, 101, 2));
    assert_eq!(session.ruleset_version(first.id, 7).await.unwrap().unwrap().description, "7");
    assert_eq!(session.ruleset_version(first.id, 1).await.unwrap(), None);
    assert_eq!(session.rules_with(ACCOUNT, "$of_fice").await.unwrap().len(), 1);
    assert!(session.rules_with(ACCOUNT, "$of%").await.unwrap().is_empty(), "signs of patterns mean themselves");
    assert_eq!((session.ruleset_count(of_zone).await.unwrap(), session.rulesets(of_account).await.unwrap().len()), (1, 1));
    session.delete_zone(ZONE).await.unwrap();
    assert_eq!(session.ruleset_count(of_zone).await.unwrap(), 0);
}

async fn items_are_written_in_batches_and_found(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = store.write().await.unwrap();
    let at = Timestamp::from_secs(3);
    let list = List {
        id: ListId::from_bytes([1; 16]),
        name: "bad".into(),
        kind: ListKind::Ip,
        description: String::new(),
        created_on: at,
        modified_on: at,
    };
    session.insert_list(ACCOUNT, &list).await.unwrap();
    let same = List { id: ListId::from_bytes([2; 16]), ..list.clone() };
    assert!(matches!(session.insert_list(ACCOUNT, &same).await, Err(StoreError::Conflict("list"))));
    session.insert_list(OTHER, &same).await.unwrap();
    let item = |number: u8| {
        let body = json!({ "ip": format!("192.0.2.{number}"), "comment": (number == 7).then_some("A_Bot") });
        let draft = ItemDraft::read(&At::body(&body), ListKind::Ip).unwrap();
        let id = ListItemId::from_bytes([number; 16]);
        ListItem { id, value: draft.value, comment: draft.comment, created_on: at, modified_on: at }
    };
    // Two whole batches and what is left over.
    let write = ListWrite { inserted: (0..123).map(item).collect(), ..ListWrite::default() };
    session.write_list(&list, &write).await.unwrap();
    assert_eq!(session.list(ACCOUNT, list.id).await.unwrap(), Some((list.clone(), 123)));
    assert_eq!(session.list(OTHER, list.id).await.unwrap(), None);
    assert_eq!(session.lists(OTHER).await.unwrap(), [(same, 0)]);
    let keys: Vec<String> = (60..200).map(|number| format!("192.0.2.{number}")).collect();
    assert_eq!(session.list_items_of(&list, &keys).await.unwrap().len(), 63);
    assert!(session.list_items_of(&list, &[]).await.unwrap().is_empty());
    assert_eq!(session.list_items_all(&list).await.unwrap()["192.0.2.9"], item(9));
    let part = session.list_items(&list, Some("192.0.2.12"), None, 2).await.unwrap();
    assert_eq!(part, [item(120), item(121)], "by key, as text");
    assert_eq!(session.list_items(&list, None, Some("a_b"), 9).await.unwrap(), [item(7)]);
    assert!(session.list_items(&list, None, Some("a%b"), 9).await.unwrap().is_empty());
    let changed = ListItem { comment: Some("new".into()), ..item(1) };
    let removed = (2..110).map(|number| item(number).id).collect();
    let write = ListWrite { updated: vec![changed.clone()], removed, ..ListWrite::default() };
    session.write_list(&list, &write).await.unwrap();
    assert_eq!(session.list_item(&list, changed.id).await.unwrap(), Some(changed));
    assert_eq!(session.list(ACCOUNT, list.id).await.unwrap().unwrap().1, 15);
    let operation = ListOperationId::from_bytes([9; 16]);
    session.insert_list_operation(ACCOUNT, operation, 4_000_000).await.unwrap();
    let done = session.list_operation(ACCOUNT, operation).await.unwrap().unwrap();
    assert_eq!(done.completed, Some(Timestamp::from_secs(4)));
    assert!(session.list_operation(OTHER, operation).await.unwrap().is_none());
    session.delete_list(list.id).await.unwrap();
    assert!(session.list_items_all(&list).await.unwrap().is_empty());
}

async fn a_scope_has_one_access_rule_for_the_same(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = store.write().await.unwrap();
    let rule = |id: u8, scope| AccessRule {
        id: AccessRuleId::from_bytes([id; 16]),
        scope,
        mode: AccessMode::Block,
        configuration: AccessConfiguration { target: AccessTarget::Ip, value: "192.0.2.1".into() },
        notes: "n".into(),
        created_on: Timestamp::from_secs(1),
        modified_on: Timestamp::from_secs(1),
    };
    let (of_zone, of_account) = (AccessScope::Zone(ZONE), AccessScope::Account(ACCOUNT));
    session.insert_access_rule(&rule(1, of_zone)).await.unwrap();
    session.insert_access_rule(&rule(2, of_account)).await.unwrap();
    assert!(matches!(session.insert_access_rule(&rule(3, of_zone)).await, Err(StoreError::Conflict("access rule"))));
    let changed = AccessRule { mode: AccessMode::Whitelist, ..rule(1, of_zone) };
    session.update_access_rule(&changed).await.unwrap();
    assert_eq!(session.access_rules(of_zone).await.unwrap(), std::slice::from_ref(&changed));
    assert_eq!(session.access_rule_for(of_zone, &changed.configuration).await.unwrap(), Some(changed.clone()));
    assert_eq!(session.access_rule(of_account, changed.id).await.unwrap(), None);
    session.delete_zone(ZONE).await.unwrap();
    assert_eq!((session.access_rule_count(of_zone).await.unwrap(), session.access_rule_count(of_account).await.unwrap()), (0, 1));
    session.delete_access_rule(AccessRuleId::from_bytes([2; 16])).await.unwrap();
    assert!(session.access_rules(of_account).await.unwrap().is_empty());
}

async fn routes_are_told_of_after_they_are_deleted(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = store.write().await.unwrap();
    session.insert_tunnel(&tunnel(TUNNEL, "web")).await.unwrap();
    let at = Timestamp::from_secs(1);
    let network = VirtualNetwork::first(VirtualNetworkId::from_bytes([1; 16]), at);
    session.put_virtual_network(ACCOUNT, &network).await.unwrap();
    let renamed = VirtualNetwork { comment: "c".into(), ..network.clone() };
    session.put_virtual_network(ACCOUNT, &renamed).await.unwrap();
    assert_eq!(session.virtual_networks(ACCOUNT).await.unwrap(), [renamed]);
    let route = |id: u8, net: &str| Route {
        id: RouteId::from_bytes([id; 16]),
        network: net.parse().unwrap(),
        tunnel: TUNNEL,
        virtual_network: network.id,
        comment: String::new(),
        created_at: at,
        deleted_at: None,
    };
    session.insert_private_route(ACCOUNT, &route(1, "10.0.0.0/8")).await.unwrap();
    session.insert_private_route(ACCOUNT, &route(2, "10.0.0.1")).await.unwrap();
    let same = session.insert_private_route(ACCOUNT, &route(3, "10.0.0.0/8")).await;
    assert!(matches!(same, Err(StoreError::Conflict("route"))));
    let gone = Route { deleted_at: Some(Timestamp::from_secs(2)), ..route(1, "10.0.0.0/8") };
    session.update_private_route(ACCOUNT, &gone).await.unwrap();
    session.insert_private_route(ACCOUNT, &route(3, "10.0.0.0/8")).await.unwrap();
    assert_eq!(session.private_route_count(TUNNEL).await.unwrap(), 2);
    assert_eq!(session.private_routes(ACCOUNT).await.unwrap(), [gone, route(2, "10.0.0.1"), route(3, "10.0.0.0/8")]);
    assert_eq!(session.delete_private_routes_of(ACCOUNT, TUNNEL, 3_000_000).await.unwrap(), 2);
    assert_eq!(session.private_route_count(TUNNEL).await.unwrap(), 0);
    assert!(session.private_routes(OTHER).await.unwrap().is_empty());
}

async fn the_trace_is_filtered_and_read_on_from_any_event(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = store.write().await.unwrap();
    let event = |id: u8, at: i64, action: &str| AuditEvent {
        id: AuditId::from_bytes([id; 16]),
        at,
        account: (id != 9).then_some(ACCOUNT),
        zone: (id == 2).then(|| (ZONE, "example.com".into())),
        actor: Actor {
            kind: "user".into(),
            email: Some("a@example.com".into()),
            ip: Some("192.0.2.1".into()),
            ..Actor::default()
        },
        door: "API".into(),
        ray: None,
        action: action.into(),
        resource_kind: "zone".into(),
        resource: "r".into(),
        old_value: None,
        new_value: Some("{}".into()),
    };
    let events = [event(1, 5, "add"), event(2, 6, "set"), event(3, 6, "set"), event(4, 7, "delete"), event(9, 8, "set")];
    for event in &events {
        session.insert_audit(event).await.unwrap();
    }
    let mut ids = async |filter: AuditFilter, offset, count| {
        let found = session.audit(&filter, offset, count).await.unwrap();
        let ids: Vec<u8> = found.iter().map(|event| event.id.as_bytes()[0]).collect();
        (ids, session.audit_count(&filter).await.unwrap())
    };
    let all = AuditFilter::default;
    assert_eq!(ids(all(), 1, 2).await, (vec![4, 3], 5));
    let after = Some((6, AuditId::from_bytes([3; 16])));
    assert_eq!(ids(AuditFilter { after, ..all() }, 0, 9).await, (vec![2, 1], 5));
    assert_eq!(ids(AuditFilter { after, ascending: true, ..all() }, 0, 9).await, (vec![4, 9], 5));
    assert_eq!(ids(AuditFilter { action: Some("set".into()), in_accounts: true, ..all() }, 0, 9).await, (vec![3, 2], 2));
    assert_eq!(ids(AuditFilter { zone_name: Some("example.com".into()), ..all() }, 0, 9).await, (vec![2], 1));
    assert_eq!(ids(AuditFilter { actor_email: Some("b@example.com".into()), ..all() }, 0, 9).await, (vec![], 0));
    assert_eq!(
        ids(AuditFilter { actor_ip: Some("192.0.2.1".into()), account: Some(ACCOUNT), ..all() }, 0, 1).await,
        (vec![4], 4)
    );
    assert_eq!(ids(AuditFilter { since: Some(6), before: Some(7), ..all() }, 0, 9).await, (vec![3, 2], 2));
}

async fn a_person_who_was_only_invited_goes_with_their_invitation(engine: Engine) {
    let Fixture { store, .. } = &begun(engine).await;
    let mut session = store.write().await.unwrap();
    let person = |id: u8, password: Option<&str>| Person {
        id: UserId::from_bytes([id; 16]),
        email: format!("{id}@example.com"),
        first_name: None,
        last_name: None,
        password: password.map(str::to_owned),
        suspended: false,
        second_factor: false,
        created_at: 1,
        modified_at: 1,
    };
    for (id, password) in [(1, None), (2, Some("argon2id")), (3, None)] {
        session.insert_person(&person(id, password)).await.unwrap();
    }
    let membership = Membership {
        id: MembershipId::from_bytes([1; 16]),
        account: ACCOUNT,
        person: person(3, None).id,
        status: MembershipStatus::Pending,
        roles: vec!["DNS".into()],
        created_at: 1,
        modified_at: 1,
    };
    session.insert_membership(&membership).await.unwrap();
    for (id, stays) in [(1, false), (2, true), (3, true)] {
        let id = person(id, None).id;
        session.delete_person_unless_used(id).await.unwrap();
        assert_eq!(session.person(id).await.unwrap().is_some(), stays, "{id}");
    }
    session.delete_membership(membership.id).await.unwrap();
    session.delete_person_unless_used(membership.person).await.unwrap();
    assert!(session.person(membership.person).await.unwrap().is_none());
}
