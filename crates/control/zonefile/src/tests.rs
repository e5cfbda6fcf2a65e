//! Files as other programs write them, wrong lines, and what must hold of any records and any text.

use poterne_model::{
    Name, NameError,
    entry::{Entry, Place, Settings},
    proxy::Edge,
    rdata::{Hosts, Rdata, Rtype},
};
use proptest::prelude::*;

use super::{import::*, *};

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn read(text: &str, proxied: bool) -> Result<Import, Vec<LineError>> {
    let apex = name("example.com");
    let to_ascii = |text: &str| {
        let ascii = text.replace('é', "xn--9ca");
        if ascii.is_ascii() { Ok(ascii) } else { Err(NameError::new(text, "it is not ASCII")) }
    };
    let edge = Edge { addresses: &[], allows: &|_| false };
    import(text.as_bytes(), &Place { apex: &apex, tunnel_domain: None, edge, to_ascii }, proxied)
}

/// `name type presentation ttl` of each record.
fn shown(text: &str) -> Vec<String> {
    let import = read(text, false).unwrap();
    let show = |(_, entry): &(usize, Entry)| {
        format!("{} {} {} {}", entry.name, entry.rdata.rtype(), entry.rdata.presentation(), entry.ttl_secs)
    };
    import.entries.iter().map(show).collect()
}

fn wrong(text: &str) -> Vec<(usize, Problem)> {
    read(text, false).unwrap_err().into_iter().map(|error| (error.line, error.problem)).collect()
}

fn written<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> String {
    let soa = Soa {
        mname: name("ns1.example.net"),
        rname: name("dns.example.net"),
        serial: 7,
        refresh_secs: 10_000,
        retry_secs: 2400,
        expire_secs: 604_800,
        minimum_secs: 1800,
        ttl_secs: 3600,
    };
    let servers = [name("ns1.example.net"), name("ns2.example.net")];
    export(&name("example.com"), "2026-01-02T03:04:05.000000Z", &soa, (&servers, 86_400), entries)
}

#[test]
fn a_file_of_another_server_is_read() {
    let text = "\
$TTL 2h ; default
@ IN SOA ns1 hostmaster (
    2026010200 ; serial
    3h 15m 1w 1h )
  IN NS ns1.other.net.
@ 3600 IN A 192.0.2.1
  IN 60 AAAA 2001:DB8::1
www CNAME @
*.dev.example.com. A 192.0.2.2
mail\tIN\tMX\t10 mx
_sip._tcp IN SRV 1 2 5060 sip.example.net.
txt TXT ( \"one; two\"
  three\\032four ) ; note
sub NS ns.sub
sub DS 1 13 9 ABCD
old TYPE731 \\# 2 abcd
$ORIGIN dev
a A 192.0.2.3
$ORIGIN .
b.example.com HTTPS 1 . alpn=\"h2,h3\"
caf\u{e9}.example.com. 0 A 192.0.2.4
far.example.com. 999999 A 192.0.2.5
example.com. RRSIG A 13 2 3600 junk
";
    let expected = [
        "example.com A 192.0.2.1 3600",
        "example.com AAAA 2001:db8::1 60",
        "www.example.com CNAME example.com. 7200",
        "*.dev.example.com A 192.0.2.2 7200",
        "mail.example.com MX 10 mx.example.com. 7200",
        "_sip._tcp.example.com SRV 1 2 5060 sip.example.net. 7200",
        "txt.example.com TXT \"one; twothree four\" 7200",
        "sub.example.com NS ns.sub.example.com. 7200",
        "sub.example.com DS 1 13 9 ABCD 7200",
        "old.example.com TYPE731 \\# 2 abcd 7200",
        "a.dev.example.com A 192.0.2.3 7200",
        "b.example.com HTTPS 1 . alpn=\"h2,h3\" 7200",
        "cafxn--9ca.example.com A 192.0.2.4 30",
        "far.example.com A 192.0.2.5 86400",
    ];
    assert_eq!(shown(text), expected);
    let import = read(text, false).unwrap();
    assert_eq!((import.parsed, import.entries[6].0, import.entries[6].1.comment.as_deref()), (14, 12, Some("note")));
    assert_eq!(import.entries[6].1.rdata.content(), "\"one; two\" \"three four\"");
}

#[test]
fn ttl_is_the_one_written_the_default_or_the_last() {
    assert_eq!(
        shown("a A 192.0.2.1\na 300 A 192.0.2.2\na A 192.0.2.3\n$TTL 1d\na A 192.0.2.4\na 1 A 192.0.2.5"),
        [
            "a.example.com A 192.0.2.1 1",
            "a.example.com A 192.0.2.2 300",
            "a.example.com A 192.0.2.3 300",
            "a.example.com A 192.0.2.4 86400",
            "a.example.com A 192.0.2.5 1",
        ]
    );
}

#[test]
fn comments_say_what_is_proxied_and_the_switch_the_rest() {
    let text = "a A 192.0.2.1 ; cf_tags=cf-proxied:true\nb A 192.0.2.1 ; cf_tags=cf-proxied:false\nc 300 CNAME b ; note\n\
        d A 10.0.0.1\ne TXT x\n_f CNAME b\n";
    for switch in [false, true] {
        let proxied: Vec<bool> = read(text, switch).unwrap().entries.iter().map(|(_, entry)| entry.proxied).collect();
        assert_eq!(proxied, [true, false, switch, false, false, false]);
    }
    assert_eq!(read(text, true).unwrap().entries[2].1.ttl_secs, 1);
    let private = read("a A 10.0.0.1 ; cf_tags=cf-proxied:true", false).unwrap_err();
    assert_eq!((private[0].line, private[0].code()), (1, 9004));
}

#[test]
fn duplicates_are_read_once_and_counted() {
    let import = read("a TXT abc\nA.example.com. TXT \"abc\"\na TXT ABC\n", false).unwrap();
    assert_eq!((import.entries.len(), import.parsed), (2, 3));
}

#[test]
fn wrong_lines_are_named_together() {
    let text = "a A 192.0.2.1\nb A 192.0.2\n\nc \"x\nd.example.net. A 192.0.2.1\n$INCLUDE x\ne CH A 192.0.2.1\nf 60\ng NAPTR 1\nh HINFO a b\n";
    let found = wrong(text);
    let lines: Vec<usize> = found.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [2, 4, 5, 6, 7, 8, 9, 10]);
    assert!(matches!(&found[0].1, Problem::Entry(_)));
    assert_eq!(found[2].1, Problem::OutOfZone { name: name("d.example.net"), apex: name("example.com") });
    assert_eq!(found[3].1, Problem::Directive("$INCLUDE".into()));
    assert_eq!(found[4].1, Problem::Class("CH".into()));
    assert_eq!(found[5].1, Problem::NoType);
    assert_eq!(wrong(" A 192.0.2.1"), [(1, Problem::NoOwner)]);
    assert!(matches!(wrong("$TTL soon")[..], [(1, Problem::DirectiveValue("$TTL", _))]));
    assert!(matches!(wrong("$ORIGIN .\n@ A 192.0.2.1")[..], [(2, Problem::Name(_))]));
    assert_eq!(wrong(&"a A x\n".repeat(ERRORS_MAX + 1)).len(), ERRORS_MAX);
    let text = read("a A 192.0.2\n", false).unwrap_err()[0].to_string();
    assert!(text.starts_with("line 1: the \"content\" of this A record, \"192.0.2\", is not an IPv4 address"), "{text}");
}

#[test]
fn files_are_bounded() {
    assert_eq!(wrong(&" ".repeat(FILE_OCTETS_MAX + 1)), [(1, Problem::FileTooLarge(FILE_OCTETS_MAX + 1))]);
    let lines = "a A 192.0.2.1\n".repeat(RECORDS_MAX + 1);
    assert_eq!(wrong(&lines), [(RECORDS_MAX + 1, Problem::TooManyRecords)]);
    let apex = name("example.com");
    let place = Place {
        apex: &apex,
        tunnel_domain: None,
        edge: Edge { addresses: &[], allows: &|_| false },
        to_ascii: Hosts::default().to_ascii,
    };
    let error = import(b"a A 192.0.2.1\nb TXT \xff\n", &place, false).unwrap_err();
    assert_eq!(error, [LineError { line: 2, problem: Problem::NotText }]);
}

#[test]
fn an_export_is_grouped_absolute_and_carries_its_attributes() {
    let text = "www A 192.0.2.1 ; cf_tags=cf-proxied:true,owner:a%20b ; the; note\n@ MX 10 mx.example.net.\n@ TXT v=spf1\n* A 192.0.2.2\n";
    let entries: Vec<Entry> = read(text, false).unwrap().entries.into_iter().map(|(_, entry)| entry).collect();
    assert_eq!(entries[0].tags, ["owner:a b"]);
    let file = written(&entries);
    let records: Vec<&str> = file.lines().filter(|line| !line.is_empty() && !line.starts_with(';')).collect();
    assert_eq!(
        records,
        [
            "example.com.\t3600\tIN\tSOA\tns1.example.net. dns.example.net. 7 10000 2400 604800 1800",
            "example.com.\t86400\tIN\tNS\tns1.example.net.",
            "example.com.\t86400\tIN\tNS\tns2.example.net.",
            "*.example.com.\t1\tIN\tA\t192.0.2.2 ; cf_tags=cf-proxied:false",
            "www.example.com.\t1\tIN\tA\t192.0.2.1 ; cf_tags=cf-proxied:true,owner:a%20b ; the; note",
            "example.com.\t1\tIN\tMX\t10 mx.example.net.",
            "example.com.\t1\tIN\tTXT\t\"v=spf1\"",
        ]
    );
}

/// What holds of records that are in one zone and of which none are the same: their file stands for them.
fn holds(entries: &[Entry]) {
    let file = written(entries);
    let again: Vec<Entry> = read(&file, false).expect("it is our own file").entries.into_iter().map(|(_, entry)| entry).collect();
    assert_eq!(written(&again), file);
    assert_eq!(again.len(), entries.len());
    let key = |entry: &Entry| (entry.name.clone(), entry.rdata.rtype(), entry.rdata.canonical());
    let sorted = |entries: &[Entry]| {
        let mut entries = entries.to_vec();
        entries.sort_by_key(key);
        entries
    };
    for (one, other) in sorted(entries).into_iter().zip(sorted(&again)) {
        assert!(one.rdata.same(&other.rdata), "{one:?} {other:?}");
        // The spelling of text may be another.
        assert_eq!(Entry { rdata: other.rdata.clone(), ..one }, other);
    }
}

prop_compose! {
    fn any_entry()(
        data in prop::sample::select(vec![
            (Rtype::A, "192.0.2.1"), (Rtype::Aaaa, "2001:db8::1"), (Rtype::Cname, "www.example.net"), (Rtype::Mx, "mx.example.net"),
            (Rtype::Caa, "0 issue \"a;b\""), (Rtype::Https, "1 Foo. alpn=\"h2,h3\" key9=\"a;b (\""), (Rtype::Loc, "1 S 2 W -3.5"),
            (Rtype::Naptr, r#"1 2 "U" "x" "!^(.*)$!\\1;!" ."#), (Rtype::Srv, "2 3 ."), (Rtype::Uri, "1 \"a b;\""),
            (Rtype::Unknown(731), "\\# 2 abcd"), (Rtype::Openpgpkey, "AQ"), (Rtype::Txt, ""), (Rtype::Txt, "quoted"),
        ]),
        text in r#"[ -~é;()\\"]{1,40}"#,
        label in "[a-z*_]|[a-z]{2}",
        ttl_secs in prop::sample::select(vec![1u32, 30, 300, 86_400]),
        proxied in any::<bool>(),
        comment in prop::option::of(r#"[ -~é]{0,20}|see cf_tags=x"#),
        tags in prop::collection::vec("[a-z]{1,3}:[ -~é]{0,6}", 0..3),
        ipv4_only in prop::option::of(any::<bool>()),
    ) -> Option<Entry> {
        let content = match data {
            (Rtype::Txt, "quoted") => format!("\"{}\"", text.replace(['\\', '"'], "")),
            (Rtype::Txt, _) => text,
            (_, content) => content.to_owned(),
        };
        let rdata = Rdata::parse(data.0, &content, Some(5), Hosts::default()).ok()?;
        let apex = name("example.com");
        let edge = Edge { addresses: &[], allows: &|_| false };
        let place = Place { apex: &apex, tunnel_domain: None, edge, to_ascii: Hosts::default().to_ascii };
        let comment = comment.map(|comment| comment.trim().to_owned());
        let settings = Settings { ipv4_only, ..Settings::default() };
        let name = name(&format!("{label}.example.com"));
        Entry { name, rdata, ttl_secs, proxied, settings, comment, tags }.checked(&place).ok()
    }
}

proptest! {
    #[test]
    fn what_is_exported_is_imported_again(entries in prop::collection::vec(any_entry(), 0..12)) {
        let mut unique: Vec<Entry> = Vec::new();
        for entry in entries.into_iter().flatten() {
            if !unique.iter().any(|other| other.name == entry.name && other.rdata.same(&entry.rdata)) {
                unique.push(entry);
            }
        }
        holds(&unique);
    }

    #[test]
    fn any_text_is_refused_or_holds(lines in prop::collection::vec(r#"[ -~é\t]{0,30}|[a-c] (IN |60 ){0,2}(A 192\.0\.2\.1|TXT [ -~]{0,20}|MX 1 [a-c.]{1,4}) ?(; [ -~]{0,20})?"#, 0..8)) {
        if let Ok(import) = read(&lines.join("\n"), false) {
            let entries: Vec<Entry> = import.entries.into_iter().map(|(_, entry)| entry).collect();
            holds(&entries);
        }
    }
}
