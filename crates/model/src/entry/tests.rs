//! Drafts that become records, and those that do not.

use super::*;
use crate::rdata::Field;

fn in_zone<T>(with: impl FnOnce(&Place<'_>) -> T) -> T {
    let apex = Name::parse("example.com").unwrap();
    let edge = Edge { addresses: &[], allows: &|_| false };
    with(&Place { apex: &apex, tunnel_domain: None, edge, to_ascii: Hosts::default().to_ascii })
}

fn draft(name: &str, rtype: &str, content: &str) -> Draft {
    let text = |text: &str| Some(text.to_owned());
    Draft { name: text(name), rtype: text(rtype), content: text(content), ..Draft::default() }
}

fn complete(draft: Draft) -> Result<Entry, EntryError> {
    in_zone(|place| draft.complete(place))
}

#[test]
fn what_is_missing_has_its_default() {
    let entry = complete(draft("WWW", "a", "192.0.2.1")).unwrap();
    assert_eq!((entry.name.as_str(), entry.ttl_secs, entry.proxied), ("www.example.com", 1, false));
    assert_eq!((entry.comment, entry.tags, entry.settings), (None, vec![], Settings::default()));
    for (draft, member) in [
        (Draft { name: None, ..draft("", "A", "192.0.2.1") }, "name"),
        (draft("a", "", "192.0.2.1"), "type"),
        (draft("a", "A", ""), "content"),
    ] {
        assert_eq!(complete(draft).unwrap_err(), EntryError::Missing(member));
    }
}

#[test]
fn a_change_keeps_what_is_missing() {
    let whole = Draft {
        comment: Some("note".into()),
        tags: Some(vec!["a".into()]),
        ttl_secs: Some(120),
        ..draft("mx", "MX", "mx.example.net")
    };
    let standing = complete(Draft { priority: Some(10), ..whole }).unwrap();
    let change = |draft: Draft| in_zone(|place| draft.over(&standing, place));
    assert_eq!(change(Draft::default()).unwrap(), standing);
    let moved = change(Draft { content: Some("mx2.example.net".into()), ..Draft::default() }).unwrap();
    assert_eq!((moved.rdata.content(), moved.rdata.priority(), moved.ttl_secs), ("mx2.example.net".into(), Some(10), 120));
    let preferred = change(Draft { priority: Some(5), ..Draft::default() }).unwrap();
    assert_eq!((preferred.rdata.content(), preferred.rdata.priority()), ("mx.example.net".into(), Some(5)));
    let bare = change(Draft { comment: Some(String::new()), tags: Some(vec![]), ..Draft::default() }).unwrap();
    assert_eq!((bare.comment, bare.tags), (None, vec![]));
    let error = change(Draft { rtype: Some("A".into()), ..Draft::default() }).unwrap_err();
    assert_eq!(error, EntryError::TypeFixed { standing: Rtype::Mx, wanted: Rtype::A });
}

#[test]
fn members_go_before_content_where_the_type_has_them() {
    let data: Fields = [("flags", "0"), ("tag", "issue"), ("value", "ca.example")]
        .map(|(name, text)| (name.to_owned(), Field::Text(text.to_owned())))
        .into();
    let both = |rtype: &str, content: &str| complete(Draft { data: Some(data.clone()), ..draft("a", rtype, content) });
    assert_eq!(both("CAA", "").unwrap().rdata.content(), r#"0 issue "ca.example""#);
    assert_eq!(both("A", "192.0.2.1").unwrap().rdata.content(), "192.0.2.1");
    assert_eq!(both("A", "").unwrap_err(), EntryError::Missing("content"));
}

#[test]
fn proxied_records_are_automatic_and_tunnels_always_proxied() {
    let proxied = |draft| Draft { proxied: Some(true), ttl_secs: Some(120), ..draft };
    let entry = complete(proxied(draft("www", "A", "192.0.2.1"))).unwrap();
    assert_eq!((entry.ttl_secs, entry.proxied), (TTL_AUTOMATIC, true));
    assert_eq!(complete(proxied(draft("www", "TXT", "x"))).unwrap_err().code(), 9004);
    assert_eq!(complete(proxied(draft("www", "A", "10.0.0.1"))).unwrap_err().code(), 9004);
    let tunnel = draft("www", "CNAME", "3d539f97-cd3a-4d8e-833b-65e9099c7a8d.cfargotunnel.com");
    let entry = complete(Draft { proxied: Some(false), ttl_secs: Some(120), ..tunnel }).unwrap();
    assert!(entry.proxied && entry.ttl_secs == TTL_AUTOMATIC);
}

#[test]
fn attributes_out_of_bounds_are_refused_with_their_code() {
    let a = || draft("www", "A", "192.0.2.1");
    for ttl_secs in [0, 2, 29, 86_401] {
        assert_eq!(complete(Draft { ttl_secs: Some(ttl_secs), ..a() }).unwrap_err(), EntryError::Ttl(ttl_secs));
    }
    let comment = |text: String| complete(Draft { comment: Some(text), ..a() });
    assert!(comment("é".repeat(COMMENT_CHARS_MAX)).is_ok());
    assert!(matches!(comment("é".repeat(COMMENT_CHARS_MAX + 1)), Err(EntryError::Comment(_))));
    assert!(matches!(comment("a\nb".into()), Err(EntryError::Comment(_))));
    let tags = |tags: &[&str]| complete(Draft { tags: Some(tags.iter().map(|tag| (*tag).to_owned()).collect()), ..a() });
    assert_eq!(tags(&["owner:dns team", "x", "x"]).unwrap().tags, ["owner:dns team", "x"]);
    for wrong in ["", ":v", "a b:c", "é"] {
        assert!(matches!(tags(&[wrong]), Err(EntryError::Tag(_))), "{wrong:?}");
    }
    assert_eq!(tags(&["CF-proxied:true"]).unwrap_err(), EntryError::ReservedTag("CF-proxied:true".into()));
    assert_eq!(tags(&["x"; TAGS_MAX + 1]).unwrap_err(), EntryError::Tags(TAGS_MAX + 1));
    let settings = Settings { ipv4_only: Some(true), ipv6_only: Some(true), flatten_cname: None };
    assert_eq!(complete(Draft { settings: Some(settings), ..a() }).unwrap_err(), EntryError::NoFamily);
    assert_eq!(complete(draft("a..b", "A", "192.0.2.1")).unwrap_err().code(), 9000);
    assert_eq!(complete(draft("a", "TYPE731", "\\# 0")).unwrap_err(), EntryError::NotOffered(Rtype::Unknown(731)));
}
