//! The reference's examples, and what must hold of any text.

use proptest::prelude::*;

use super::*;

fn parse(rtype: Rtype, content: &str, priority: Option<u16>) -> Result<Rdata, RdataError> {
    Rdata::parse(rtype, content, priority, Hosts::default())
}

fn fields(members: &[(&str, &str)]) -> Fields {
    members.iter().map(|(name, text)| ((*name).to_owned(), Field::Text((*text).to_owned()))).collect()
}

fn from_fields(rtype: Rtype, members: &[(&str, &str)], priority: Option<u16>) -> Result<Rdata, RdataError> {
    Rdata::from_fields(rtype, &fields(members), priority, Hosts::default())
}

/// (type, content submitted, priority, content shown, presentation)
const EXAMPLES: &[(Rtype, &str, Option<u16>, &str, &str)] = &[
    (Rtype::A, "192.0.2.1", None, "192.0.2.1", "192.0.2.1"),
    (Rtype::Aaaa, "2001:DB8:0:0:0:0:0:1", None, "2001:db8::1", "2001:db8::1"),
    (Rtype::Aaaa, "::ffff:192.0.2.1", None, "::ffff:192.0.2.1", "::ffff:192.0.2.1"),
    (Rtype::Caa, "0 issue letsencrypt.org", None, r#"0 issue "letsencrypt.org""#, r#"0 issue "letsencrypt.org""#),
    (Rtype::Cert, "PKIX 0 RSASHA256 AQID BA==", None, "1 0 8 AQIDBA==", "1 0 8 AQIDBA=="),
    (Rtype::Cname, "Web.Example.net.", None, "web.example.net", "web.example.net."),
    (Rtype::Dnskey, "257 3 ED25519 AQID", None, "257 3 15 AQID", "257 3 15 AQID"),
    (
        Rtype::Ds,
        "42 13 2 EEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEE",
        None,
        "42 13 2 EEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEE",
        "42 13 2 EEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEE",
    ),
    (Rtype::Https, r#"1 . alpn="h2,h3"  port=8443"#, None, r#"1 . alpn="h2,h3"  port=8443"#, r#"1 . alpn="h2,h3"  port=8443"#),
    (Rtype::Https, "0 foo.", None, "0 foo.", "0 foo."),
    (Rtype::Svcb, "1 Foo.example.com key667=hello", None, "1 Foo.example.com key667=hello", "1 foo.example.com. key667=hello"),
    (
        Rtype::Loc,
        "37 46 46 N 122 23 35 W 0 100 0 0",
        None,
        "37 46 46.000 N 122 23 35.000 W 0.00 100.00 0.00 0.00",
        "37 46 46.000 N 122 23 35.000 W 0.00 100.00 0.00 0.00",
    ),
    (
        Rtype::Loc,
        "42 21 54 N 71 06 18 W -24m 30m",
        None,
        "42 21 54.000 N 71 6 18.000 W -24.00 30.00 10000.00 10.00",
        "42 21 54.000 N 71 6 18.000 W -24.00 30.00 10000.00 10.00",
    ),
    (
        Rtype::Loc,
        "42 N 71 E 10",
        None,
        "42 0 0.000 N 71 0 0.000 E 10.00 1.00 10000.00 10.00",
        "42 0 0.000 N 71 0 0.000 E 10.00 1.00 10000.00 10.00",
    ),
    (Rtype::Mx, "mx.example.com.", Some(10), "mx.example.com", "10 mx.example.com."),
    (Rtype::Mx, "10 mx.example.com.", None, "mx.example.com", "10 mx.example.com."),
    (Rtype::Mx, ".", Some(0), ".", "0 ."),
    (
        Rtype::Naptr,
        r#"10 100 S SIP+D2U "" _sip._udp.example.com."#,
        None,
        r#"10 100 "S" "SIP+D2U" "" _sip._udp.example.com"#,
        r#"10 100 "S" "SIP+D2U" "" _sip._udp.example.com."#,
    ),
    (
        Rtype::Naptr,
        r#"1 2 "U" "E2U+sip" "!^.*$!sip:\\1@example.com!" ."#,
        None,
        r#"1 2 "U" "E2U+sip" "!^.*$!sip:\\1@example.com!" ."#,
        r#"1 2 "U" "E2U+sip" "!^.*$!sip:\\1@example.com!" ."#,
    ),
    (Rtype::Ns, "ns1.example.net.", None, "ns1.example.net", "ns1.example.net."),
    (Rtype::Openpgpkey, "AQ ID", None, "AQID", "AQID"),
    (Rtype::Ptr, "host.example.net", None, "host.example.net", "host.example.net."),
    (Rtype::Smimea, "3 0 0 0A 0B", None, "3 0 0 0A0B", "3 0 0 0A0B"),
    (Rtype::Srv, "1 0 5222 talk.example.com.", None, "0 5222 talk.example.com", "1 0 5222 talk.example.com."),
    (Rtype::Srv, "0 5222 talk.example.com", Some(1), "0 5222 talk.example.com", "1 0 5222 talk.example.com."),
    (Rtype::Srv, "0 0 0 .", None, "0 0 .", "0 0 0 ."),
    (Rtype::Sshfp, "4 9 abCD", None, "4 9 abCD", "4 9 abCD"),
    (Rtype::Tlsa, "3 1 0 0a0b", None, "3 1 0 0a0b", "3 1 0 0a0b"),
    (Rtype::Txt, "v=spf1 -all", None, "v=spf1 -all", r#""v=spf1 -all""#),
    (Rtype::Txt, r#""a" "é""#, None, r#""a" "é""#, r#""a\195\169""#),
    (Rtype::Uri, r#"1 ftp://example.com/a"#, Some(10), r#"1 "ftp://example.com/a""#, r#"10 1 "ftp://example.com/a""#),
    (Rtype::Uri, r#"10 1 "ftp://example.com/a b""#, None, r#"1 "ftp://example.com/a b""#, r#"10 1 "ftp://example.com/a b""#),
    (Rtype::Unknown(731), r"\# 6 ABCD EF01 2345", None, r"\# 6 abcdef012345", r"\# 6 abcdef012345"),
    (Rtype::Unknown(731), r"\# 0", None, r"\# 0", r"\# 0"),
];

#[test]
fn the_references_examples_are_shown_as_it_shows_them() {
    for (rtype, given, priority, content, presentation) in EXAMPLES {
        let rdata = parse(*rtype, given, *priority).unwrap_or_else(|error| panic!("{rtype} {given:?}: {error}"));
        assert_eq!(rdata.rtype(), *rtype);
        assert_eq!(rdata.content(), *content, "{rtype} {given:?}");
        assert_eq!(rdata.presentation(), *presentation, "{rtype} {given:?}");
        holds(&rdata);
    }
}

/// What holds of all data: its content, its presentation and its members stand for it.
fn holds(rdata: &Rdata) {
    let rtype = rdata.rtype();
    assert_eq!(parse(rtype, &rdata.content(), rdata.priority()).as_ref(), Ok(rdata));
    let presented = parse(rtype, &rdata.presentation(), None).expect("a zone file would be read");
    assert!(presented.same(rdata), "{presented:?} {rdata:?}");
    assert!(rdata.presentation().is_ascii());
    assert_eq!(rdata.members().is_some(), rtype.is_structured());
    if let Some(members) = rdata.members() {
        let fields = members.iter().map(|member| (member.name.to_owned(), member.field())).collect();
        assert_eq!(Rdata::from_fields(rtype, &fields, rdata.priority(), Hosts::default()).as_ref(), Ok(rdata));
    }
}

#[test]
fn members_may_be_texts_and_more_than_the_type_has() {
    // As an old client sends it (api-v4 §15.5).
    let members = [
        ("service", "_sip"),
        ("proto", "_tcp"),
        ("name", "example.com."),
        ("priority", "1"),
        ("weight", "2"),
        ("port", "5060"),
        ("target", "Sip.example.com."),
    ];
    let rdata = from_fields(Rtype::Srv, &members, None).unwrap();
    assert_eq!((rdata.content(), rdata.priority()), ("2 5060 sip.example.com".into(), Some(1)));
    assert_eq!(rdata.members().unwrap()[0].field(), Field::Number(1.0));
    holds(&rdata);
    let beside = from_fields(Rtype::Srv, &members[4..], Some(7)).unwrap();
    assert_eq!(beside.priority(), Some(7));
}

#[test]
fn the_acceptance_test_of_loc_is_met() {
    let members = [
        ("lat_degrees", "37"),
        ("lat_minutes", "46"),
        ("lat_seconds", "46"),
        ("lat_direction", "N"),
        ("long_degrees", "122"),
        ("long_minutes", "23"),
        ("long_seconds", "35"),
        ("long_direction", "W"),
        ("altitude", "0"),
        ("size", "100"),
        ("precision_horz", "0"),
        ("precision_vert", "0"),
    ];
    let rdata = from_fields(Rtype::Loc, &members, None).unwrap();
    assert_eq!(rdata.content(), "37 46 46.000 N 122 23 35.000 W 0.00 100.00 0.00 0.00");
    for (at, wrong) in [(0, "91"), (2, "46.0001"), (2, "60"), (3, "E"), (8, "-100000.01"), (9, "1e3"), (1, "-1")] {
        let mut members = members;
        members[at].1 = wrong;
        let error = from_fields(Rtype::Loc, &members, None).unwrap_err();
        assert!(matches!(error, RdataError::Member { member, .. } if member == members[at].0), "{error}");
    }
}

#[test]
fn wrong_data_has_its_code_and_names_value_and_remedy() {
    let wrong: &[(Rtype, &str, Option<u16>, i64)] = &[
        (Rtype::A, "192.0.2", None, 9005),
        (Rtype::A, "192.0.2.01", None, 9005),
        (Rtype::A, "2001:db8::1", None, 9005),
        (Rtype::A, "192.0.2.1 192.0.2.2", None, 9005),
        (Rtype::A, "", None, 9101),
        (Rtype::Aaaa, "192.0.2.1", None, 9006),
        (Rtype::Cname, "a..b", None, 9007),
        (Rtype::Cname, "192.0.2.1", None, 9007),
        (Rtype::Cname, ".", None, 9007),
        (Rtype::Mx, "mx.example.com", None, 9101),
        (Rtype::Mx, "-", Some(1), 9009),
        (Rtype::Mx, "65536 mx.example.com", None, 9009),
        (Rtype::Srv, "0 5222 talk.example.com", None, 9101),
        (Rtype::Srv, "0 70000 talk.example.com", Some(1), 1004),
        (Rtype::Caa, "256 issue x", None, 1004),
        (Rtype::Caa, "0 is-sue x", None, 1004),
        (Rtype::Ds, "1 13 2 abcd", None, 1004),
        (Rtype::Tlsa, "3 1 1 zz", None, 1004),
        (Rtype::Dnskey, "257 3 13 ???", None, 1004),
        (Rtype::Https, "1 . alpn=h2 alpn=h3", None, 1004),
        (Rtype::Https, "1 . mandatory=port", None, 1004),
        (Rtype::Https, "1 . ipv4hint=::1", None, 1004),
        (Rtype::Https, "1 . no-default-alpn", None, 1004),
        (Rtype::Https, "1 . port=", None, 1004),
        (Rtype::Https, "1 . nonsense=1", None, 1004),
        (Rtype::Uri, "1 \"\"", Some(1), 9101),
        (Rtype::Unknown(731), r"\# 2 ab", None, 1004),
        (Rtype::Unknown(731), "abcd 2 abcd", None, 1004),
    ];
    for (rtype, content, priority, code) in wrong {
        let error = parse(*rtype, content, *priority).expect_err(content);
        assert_eq!(error.code(), *code, "{rtype} {content:?}: {error}");
    }
    let text = parse(Rtype::A, "1.2.3", None).unwrap_err().to_string();
    assert_eq!(
        text,
        "the \"content\" of this A record, \"1.2.3\", is not an IPv4 address: write four numbers from 0 to 255, such as 192.0.2.1"
    );
    assert!(matches!(parse(Rtype::Openpgpkey, &"A".repeat(CONTENT_OCTETS_MAX + 1), None), Err(RdataError::TooLong { .. })));
}

#[test]
fn the_same_data_is_known_in_another_spelling() {
    let same = |rtype, one: &str, other: &str| {
        let (one, other) = (parse(rtype, one, None).unwrap(), parse(rtype, other, None).unwrap());
        assert_eq!(one.same(&other), one.canonical() == other.canonical(), "{one:?} {other:?}");
        one.same(&other)
    };
    assert!(same(Rtype::Txt, "abc", "\"abc\""));
    assert!(same(Rtype::Txt, "\"a\" \"bc\"", "\"abc\""));
    assert!(!same(Rtype::Txt, "abc", "Abc"));
    assert!(same(Rtype::Https, "1 foo.example port=1 alpn=h2", "1 FOO.example. alpn=\"h2\" port=1"));
    assert!(same(Rtype::Sshfp, "4 9 abcd", "4 9 ABCD"));
    assert!(same(Rtype::Tlsa, "3 1 0 ab", "3 1 0 AB") && !same(Rtype::Tlsa, "3 1 0 ab", "3 0 0 ab"));
    assert!(same(Rtype::Ds, "1 13 9 ab", "1 13 9 AB") && !same(Rtype::Ds, "1 13 9 ab", "2 13 9 ab"));
    assert!(same(Rtype::Dnskey, "257 3 15 AQ==", "257 3 15 AQ") && !same(Rtype::Dnskey, "257 3 15 AQ", "256 3 15 AQ"));
    assert!(same(Rtype::Cert, "1 2 3 AQ==", "1 2 3 AQ") && !same(Rtype::Cert, "1 2 3 AQ", "1 3 3 AQ"));
    assert!(same(Rtype::Cname, "A.test.", "a.test") && !same(Rtype::Cname, "a.test", "b.test"));
    assert!(same(Rtype::Caa, "0 ISSUE x", "0 issue \"x\""));
    assert!(!same(Rtype::Caa, "0 issue X", "0 issue x"));
    assert!(same(Rtype::Openpgpkey, "AQ==", "AQ"));
    assert!(!same(Rtype::Mx, "1 a.example", "2 a.example"));
}

#[test]
fn names_of_zone_files_are_relative_to_their_origin() {
    let origin = crate::Name::parse("example.com").unwrap();
    let hosts = Hosts { origin: Some(&origin), ..Hosts::default() };
    let content = |rtype, text| Rdata::parse(rtype, text, None, hosts).unwrap().content();
    assert_eq!(content(Rtype::Mx, "1 mx"), "mx.example.com");
    assert_eq!(content(Rtype::Https, "1 svc alpn=h2"), "1 svc.example.com. alpn=h2");
    assert_eq!(content(Rtype::Cname, "@"), "example.com");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Any text of the letters data is made of: what is accepted holds.
    #[test]
    fn accepted_text_holds(at in 0..Rtype::OFFERED.len(), text in r#"[ -~é]{0,24}|([0-9]{1,5} ){0,4}[a-zA-Z0-9."=,]{0,40}"#, priority in prop::option::of(any::<u16>())) {
        if let Ok(rdata) = parse(Rtype::OFFERED[at], &text, priority) {
            holds(&rdata);
        }
    }

    /// Any members: what is accepted holds.
    #[test]
    fn accepted_members_hold(at in 0..Rtype::OFFERED.len(), texts in prop::collection::vec(r#"[ -~é\n]{0,8}|[0-9]{1,3}|[a-f0-9]{2,4}|[NE]"#, 12)) {
        let rtype = Rtype::OFFERED[at];
        let example = EXAMPLES.iter().find(|example| example.0 == rtype).expect("each type has one");
        let rdata = parse(rtype, example.1, example.2).unwrap();
        let members = rdata.members().unwrap_or_default();
        // Each member by turns: the example's own value, or any text.
        let fields = members.iter().zip(&texts).enumerate().map(|(at, (member, text))| {
            let own = (text.len() + at).is_multiple_of(2);
            (member.name.to_owned(), if own { member.field() } else { Field::Text(text.clone()) })
        });
        if let Ok(rdata) = Rdata::from_fields(rtype, &fields.collect(), rdata.priority(), Hosts::default()) {
            holds(&rdata);
        }
    }
}
