//! Checks of `poterne-control-wire` and of what `poterne-model` reads out of bodies.

use poterne_control_wire::{
    WireTime, access_rule, private_network,
    query::{
        Query,
        filter::{Order, TextFilter},
        page::{CursorPage, Page, PageLimits},
    },
    record::{Kept, RecordAnswer, parse_batch, parse_draft},
    setting::{read_items, read_value},
    token::TokenDraft,
};
use poterne_model::{
    At, Draft, Entry, Name, PolicyId, RecordId, RuleId, RulesetId, Timestamp, ZoneId,
    access_rule::AccessRuleDraft,
    entry::Place,
    list::{ItemDraft, ListDraft, ListKind, edit},
    permission::{Policy, resource},
    private_network::{RouteDraft, VirtualNetworkDraft},
    proxy::Edge,
    rdata::Hosts,
    ruleset::{Kind, Phase, Position, RuleDraft, Ruleset, RulesetDraft, RulesetPut, Scope},
    setting::{DnsSettings, ManagedHeaders, UrlNormalization, ZoneSettings, catalogue::CATALOGUE},
};
use serde_json::Value;

/// Bodies of the v4 API: none panics, and what was taken is taken again in the form it is told in.
pub fn bodies(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
    let body = At::body(&value);
    settings(&body);
    rulesets(&body);
    lists(&body);
    let _ = DnsSettings::default().patched(&body);
    let _ = ManagedHeaders::default().patched(&body);
    let _ = UrlNormalization::read(&body);
    let _ = RouteDraft::read(&body);
    let _ = VirtualNetworkDraft::read(&body);
    let _ = AccessRuleDraft::read(&body);
    let _ = TokenDraft::read(&body, None, &mut || PolicyId::from_bytes([0; 16]));
    if let Ok(policy) = Policy::read(&body, PolicyId::from_bytes([0; 16])) {
        let told = Value::Object(resource::write(&policy.resources));
        assert!(resource::read(&At::body(&told)).is_ok());
    }
}

fn settings(body: &At<'_>) {
    for setting in CATALOGUE {
        let before = setting.kind.default_value();
        if let Ok(normal) = setting.kind.normalise(body, &before) {
            assert_eq!(setting.kind.normalise(&At::body(&normal), &before).as_ref(), Ok(&normal), "{}", setting.id);
        }
        let _ = read_value(setting.id, body);
    }
    if let Ok(items) = read_items(body) {
        let _ = ZoneSettings::default().set_all(items, Timestamp::default());
    }
}

fn rulesets(body: &At<'_>) {
    let mut last = 0_u128;
    let mut new_id = || {
        last += 1;
        RuleId::from_bytes(last.to_be_bytes())
    };
    let _ = Position::read(body);
    for phase in Phase::ALL {
        if let Ok(draft) = RuleDraft::read(body, *phase, Kind::Root) {
            let told = Value::Object(draft.body.members());
            assert_eq!(RuleDraft::read(&At::body(&told), *phase, Kind::Root).expect("it was told").body, draft.body);
        }
    }
    let Ok(draft) = RulesetDraft::read(body, Scope::Account) else { return };
    let Ok(mut ruleset) = Ruleset::new(RulesetId::from_bytes([1; 16]), draft, &mut new_id, Timestamp::default()) else { return };
    let told = serde_json::to_value(poterne_control_wire::ruleset::RulesetObject::whole(&ruleset)).expect("a ruleset is told");
    let put = RulesetPut::read(&At::body(&told), ruleset.phase, ruleset.kind).expect("what was told is taken again");
    assert!(!ruleset.put(put, &mut new_id, Timestamp::default()).expect("it stands"), "and changes nothing");
}

fn lists(body: &At<'_>) {
    let _ = ListDraft::read(body);
    let _ = edit::read_ids(body);
    for kind in ListKind::ALL {
        let _ = edit::read_items(body, *kind);
        if let Ok(draft) = ItemDraft::read(body, *kind) {
            let told = Value::Object(draft.value.members());
            assert_eq!(ItemDraft::read(&At::body(&told), *kind).expect("it was told").value, draft.value);
        }
    }
}

/// Parameters, as `name=value` by line; instants among them.
pub fn query(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let pairs = text.lines().map(|line| line.split_once('=').unwrap_or((line, "")));
    let Ok(query) = Query::new(pairs.map(|(name, value)| (name.to_owned(), value.to_owned()))) else { return };
    if let Ok(page) = Page::read(&query, PageLimits::ZONES) {
        assert!(page.page >= 1 && (1..=50).contains(&page.per_page));
        let info = page.info(page.of(&[0; 7]).len(), 7);
        assert!(info.count <= 7 && (info.page <= info.total_pages || info.count == 0));
    }
    if let Ok(cursor) = CursorPage::read(&query, PageLimits::LIST_ITEMS) {
        let _ = cursor.info(0, cursor.after.as_deref());
    }
    let _ = Order::read(&query, &["name"]);
    let _ = access_rule::read_filter(&query);
    let _ = private_network::read_route_filter(&query);
    let _ = private_network::read_virtual_network_filter(&query);
    for filter in TextFilter::dotted(&query, "name") {
        let _ = filter.matches(text);
    }
    let _ = TextFilter::with_operator(text).matches(text);
    if let Ok(time) = WireTime::parse(text) {
        assert_eq!(WireTime::parse(&time.to_string()), Ok(time));
    }
}

/// A request for a record or a batch of them: what becomes a record is answered so that the answer, sent back, makes the same one.
pub fn record_request(data: &[u8]) {
    if let Ok(batch) = parse_batch(data) {
        batch.posts.into_iter().for_each(answered);
    }
    if let Ok(draft) = parse_draft(data) {
        answered(draft);
    }
}

fn answered(draft: Draft) {
    let apex = Name::parse("example.com").expect("a name");
    let edge = Edge { addresses: &[], allows: &|_| false };
    let place = Place { apex: &apex, tunnel_domain: None, edge, to_ascii: Hosts::default().to_ascii };
    let Ok(entry) = draft.clone().complete(&place) else { return };
    let answer = serde_json::to_vec(&RecordAnswer::from(kept(&entry, &apex))).expect("answers are JSON");
    let again = parse_draft(&answer).expect("an answer is a request");
    assert_eq!(again.clone().complete(&place).as_ref(), Ok(&entry));
    assert_eq!(again.over(&entry, &place).as_ref(), Ok(&entry));
    assert_eq!(Draft::default().over(&entry, &place).as_ref(), Ok(&entry));
    let read: RecordAnswer = serde_json::from_slice(&answer).expect("an agent reads it");
    assert_eq!(read, RecordAnswer::from(kept(&entry, &apex)));
}

fn kept<'a>(entry: &'a Entry, zone_name: &'a Name) -> Kept<'a> {
    Kept {
        id: RecordId::from_bytes([1; 16]),
        zone: ZoneId::from_bytes([2; 16]),
        zone_name,
        entry,
        proxiable: false,
        managed_by_tunnel: false,
        created_at: 0,
        modified_at: 0,
        comment_modified_at: None,
        tags_modified_at: None,
    }
}
