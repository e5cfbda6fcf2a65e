//! RFC 6891, 7873, 8914, 5001, 7830: what messages say of themselves.

use poterne_dns_wire::rtype::{A, TXT};
use poterne_snapshot::Snapshot;

use super::{Ask, Opt, Transport, told, world::World};
use crate::{Cookie, Kind};

fn snapshot() -> Snapshot {
    let mut lines = "www A 192.0.2.1\n".to_owned();
    for number in 0..60 {
        lines.push_str(&format!("many AAAA 2001:db8::{number:x}\n"));
    }
    for number in 0..20 {
        lines.push_str(&format!("text TXT \"{number}{}\"\n", "x".repeat(200)));
    }
    World::new().zone("example.com", 1, &lines).snapshot()
}

#[test]
fn who_speaks_it_is_answered_in_it() {
    let told = Ask::new("www.example.com", A).with(Opt { dnssec_ok: true, ..Opt::of(4096) }).told(&snapshot());
    assert_eq!(told.opt, Some((1232, true, Vec::new())));
    let told = Ask::new("www.example.com", A).with(Opt::of(0).option(65_001, b"what")).told(&snapshot());
    assert_eq!((told.rcode, told.opt), (0, Some((1232, false, Vec::new()))));
    assert_eq!(Ask::new("www.example.com", A).told(&snapshot()).opt, None);
}

#[test]
fn another_version_is_told_ours() {
    let opt = Opt { version: 1, ..Opt::of(1232) }.option(10, b"malformed in version 0");
    let told = Ask::new("www.example.com", A).with(opt).told(&snapshot());
    assert_eq!((told.rcode, told.answer.len(), told.opt), (16, 0, Some((1232, false, Vec::new()))));
}

#[test]
fn what_does_not_fit_is_cut_as_a_whole() {
    for (opt, limit) in [(None, 512), (Some(Opt::of(100)), 512), (Some(Opt::of(700)), 700), (Some(Opt::of(65_535)), 1232)] {
        let mut ask = Ask::new("many.example.com", 28);
        ask.opt = opt;
        let cut = ask.told(&snapshot());
        assert!(cut.octets.len() <= limit && cut.tc && cut.answer.is_empty() && cut.authority.is_empty(), "{limit}");
        assert_eq!(cut.opt.is_some(), ask.opt.is_some());
        let whole = ask.over(Transport::Tcp).told(&snapshot());
        assert_eq!((whole.tc, whole.answer.len()), (false, 60));
    }
    let told = Ask::new("text.example.com", TXT).with(Opt::of(1232)).told(&snapshot());
    assert!(told.tc && told.octets.len() < 100);
}

#[test]
fn the_node_is_named_to_who_asks() {
    let told = Ask::new("www.example.com", A).with(Opt::of(1232).option(3, b"")).told(&snapshot());
    assert_eq!(told.option(3), Some(&b"node-1"[..]));
}

#[test]
fn cookies_are_made_kept_and_judged() {
    let ask = |cookie: &[u8]| Ask::new("www.example.com", A).with(Opt::of(1232).option(10, cookie)).told(&snapshot());
    let first = ask(b"12345678");
    assert_eq!(first.reply.cookie, Cookie::Asked);
    let pair = first.option(10).unwrap().to_vec();
    assert!(pair.len() == 24 && pair.starts_with(b"12345678"));
    let second = ask(&pair);
    assert_eq!((second.reply.cookie, second.option(10)), (Cookie::Valid, Some(&*pair)));
    let wrong = ask(b"12345678a wrong server co");
    assert_eq!((wrong.reply.cookie, wrong.rcode), (Cookie::Wrong, 0));
    assert_eq!(wrong.option(10), Some(&*pair));
    for length in [0, 7, 9, 15, 41] {
        assert_eq!(ask(&vec![1; length]).rcode, 1, "{length}");
    }
}

#[test]
fn a_cookie_can_be_had_without_a_question() {
    let bare = |options: &[(u16, &[u8])]| {
        let mut octets = vec![1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        let opt = options.iter().fold(Opt::of(1232), |opt, (code, value)| opt.option(*code, value));
        octets.extend(opt.octets());
        told(&snapshot(), &super::client(Transport::Udp), &octets)
    };
    let given = bare(&[(10, b"12345678")]);
    assert_eq!((given.rcode, given.option(10).map(<[u8]>::len), given.reply.kind), (0, Some(24), Kind::NoData));
    let again = bare(&[(10, given.option(10).unwrap())]);
    assert_eq!(again.rcode, 0);
    assert_eq!(bare(&[(10, &[9; 24])]).rcode, 23);
    assert_eq!(bare(&[]).rcode, 1);
}

#[test]
fn over_an_encrypted_stream_answers_are_padded_for_who_pads() {
    let ask = |transport, opt: Opt| Ask::new("www.example.com", A).with(opt).over(transport).told(&snapshot());
    let padded = ask(Transport::Tls, Opt::of(1232).option(12, &[0; 20]).option(3, b""));
    assert_eq!(padded.octets.len(), 468);
    assert!(padded.option(12).unwrap().iter().all(|octet| *octet == 0));
    for told in [ask(Transport::Tcp, Opt::of(1232).option(12, b"")), ask(Transport::Tls, Opt::of(1232))] {
        assert!(told.option(12).is_none() && told.octets.len() < 100);
    }
}
