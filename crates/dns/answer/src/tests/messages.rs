//! Messages of every kind, and what is said to those that are no queries (RFC 1035 §4.1, RFC 9619, RFC 8906).

use poterne_dns_wire::rtype::{self, A};
use poterne_snapshot::Snapshot;
use proptest::prelude::*;

use super::{Ask, Opt, Transport, client, raw, world::World};
use crate::{Kind, truncate};

fn snapshot() -> Snapshot {
    World::new().zone("example.com", 1, "www A 192.0.2.1\n*.wild A 192.0.2.2\nto CNAME www.example.com").snapshot()
}

/// The code and the length of what is said to these octets; none where nothing is.
fn code(octets: &[u8]) -> Option<(u8, usize)> {
    let (reply, out) = raw(&snapshot(), &client(Transport::Udp), octets);
    (reply.length > 0).then(|| (out[3] & 0x0f, out.len()))
}

fn query() -> Vec<u8> {
    Ask::new("www.example.com", A).octets()
}

#[test]
fn the_header_comes_back_with_the_name_as_it_was_sent() {
    let mut ask = Ask::new("www.example.com", A);
    ask.name = b"\x03wWw\x07eXample\x03COM\0".to_vec();
    let (_, out) = raw(&snapshot(), &ask.client, &ask.octets());
    // Its number, recursion desired and checking disabled; authority, and no recursion.
    assert_eq!(out[..4], [0xab, 0xcd, 0x85, 0x10]);
    assert_eq!(out[12..29], *ask.name);
}

#[test]
fn answers_and_fragments_are_not_answered() {
    let mut answer = query();
    answer[2] |= 0x80;
    assert_eq!(code(&answer), None);
    for length in 0..12 {
        assert_eq!(code(&query()[..length]), None);
    }
}

#[test]
fn other_opcodes_are_not_done_here() {
    // A notice of whoever is no primary is refused, with what it said.
    for (opcode, expected) in
        [(1u8, (4, 12)), (2, (4, 12)), (3, (4, 12)), (4, (5, 33)), (5, (4, 12)), (6, (4, 12)), (15, (4, 12))]
    {
        let mut octets = query();
        octets[2] = opcode << 3;
        assert_eq!(code(&octets), Some(expected), "{opcode}");
    }
}

#[test]
fn what_does_not_parse_is_a_format_error() {
    let cut = |length: usize| code(&query()[..length]);
    for length in 12..query().len() {
        assert_eq!(cut(length), Some((1, 12)), "{length}");
    }
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut octets = query();
        change(&mut octets);
        code(&octets)
    };
    let wrong = Some((1, 12));
    assert_eq!(with(&|octets| octets.push(0)), wrong, "octets too many");
    assert_eq!(with(&|octets| octets[5] = 2), wrong, "two questions");
    assert_eq!(with(&|octets| octets[5] = 0), wrong, "no question, and octets left");
    assert_eq!(with(&|octets| octets.drain(12..).for_each(drop)), wrong);
    assert_eq!(with(&|octets| octets[7] = 1), wrong, "an answer that is not there");
    assert_eq!(with(&|octets| octets[10] = 0xff), wrong, "65,280 records that are not there");
    assert_eq!(with(&|octets| octets[12] = 0xc0), wrong, "a pointer in the question");
    assert_eq!(with(&|octets| octets[12] = 0x43), wrong, "a label type nobody uses");
    let opt = Opt::of(1232).octets();
    let opts = |count: u8, opt: &[u8]| {
        with(&|octets| {
            octets[11] = count;
            (0..count).for_each(|_| octets.extend(opt));
        })
    };
    assert_eq!(opts(2, &opt), wrong, "two OPT records");
    let owned = [&b"\x01x"[..], &opt].concat();
    assert_eq!(opts(1, &owned), wrong, "an OPT record that is not the root's");
    let short = [&opt[..9], &[0, 3, 0, 3, 9]].concat();
    assert_eq!(opts(1, &short), wrong, "an option that ends early");
}

#[test]
fn questions_that_no_data_answers_are_told_so() {
    let code = |rtype, class| {
        let told = Ask { class, ..Ask::new("www.example.com", rtype) }.with(Opt::of(1232)).told(&snapshot());
        (told.rcode, told.why())
    };
    for (rtype, class, expected) in [
        (rtype::NXNAME, 1, (1, Some(30))),
        (rtype::OPT, 1, (1, Some(30))),
        (rtype::AXFR, 1, (5, Some(18))),
        (rtype::IXFR, 1, (5, Some(18))),
        (249, 1, (4, None)),
        (254, 1, (4, None)),
        (A, 3, (5, None)),
        (A, 255, (5, None)),
        (A, 254, (5, None)),
        (65_280, 1, (0, None)),
    ] {
        assert_eq!(code(rtype, class), expected, "{rtype} {class}");
    }
}

#[test]
fn a_signed_query_is_of_nobody_known_here() {
    // With a public key (RFC 2931), which nobody here looks for; and with what is no shared secret's signature.
    for (rtype, expected) in [(24u8, 9), (250, 1)] {
        let mut octets = query();
        octets[11] = 1;
        octets.extend(b"\x03key\0\0\xfa\0\xff\0\0\0\0\0\x02ab");
        let at = octets.len() - 11;
        octets[at] = rtype;
        let (reply, _) = raw(&snapshot(), &client(Transport::Tcp), &octets);
        assert_eq!(reply.rcode.number(), expected);
    }
}

#[test]
fn an_answer_can_be_cut_to_its_question() {
    let ask = Ask::new("www.example.com", A).with(Opt::of(1232));
    let (_, mut out) = raw(&snapshot(), &ask.client, &ask.octets());
    let length = truncate(&mut out);
    assert_eq!((length, out[2] & 2, &out[4..12]), (12 + 17 + 4 + 11, 2, &[0, 1, 0, 0, 0, 0, 0, 1][..]));
    assert_eq!(out[33..length], [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    assert_eq!(truncate(&mut out[..length]), length, "once more it is the same");
    // A cookie stays, so that the client can prove himself; what else was asked for does not.
    let opt = Opt { dnssec_ok: true, ..Opt::of(1232) }.option(3, b"").option(10, b"12345678").option(65_001, b"x");
    let ask = Ask::new("www.example.com", A).with(opt);
    let (_, mut out) = raw(&snapshot(), &ask.client, &ask.octets());
    let length = truncate(&mut out);
    assert_eq!((length, out[11]), (33 + 11 + 28, 1));
    assert_eq!(out[33..48], [0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 28, 0, 10, 0, 24]);
    assert_eq!(out[48..56], *b"12345678");
    // Without EDNS there is none.
    let (_, mut out) = raw(&snapshot(), &ask.client, &query());
    assert_eq!((truncate(&mut out), out[11]), (33, 0));
    let mut junk = vec![0; 20];
    assert_eq!(truncate(&mut junk), 20);
}

#[test]
fn an_answer_is_never_longer_than_who_asks_takes() {
    let (reply, _) = raw(&snapshot(), &client(Transport::Udp), &query());
    assert_eq!((reply.kind, reply.zone.is_some()), (Kind::Data, true));
}

proptest! {
    /// Any octets: no panic, and what is said is a response to them.
    #[test]
    fn any_octets_are_answered_or_not(octets in prop::collection::vec(any::<u8>(), 0..80)) {
        let (reply, out) = raw(&snapshot(), &client(Transport::Udp), &octets);
        if reply.length > 0 {
            prop_assert!(out.len() <= 512 && out[..2] == octets[..2] && out[2] & 0x80 != 0);
        }
    }

    /// A query with some octets changed: the same.
    #[test]
    fn a_damaged_query_is_answered_or_not(changes in prop::collection::vec((0usize..60, any::<u8>()), 0..4)) {
        let mut octets = Ask::new("a.wild.example.com", A).with(Opt::of(1232).option(10, b"12345678").option(3, b"")).octets();
        let length = octets.len();
        changes.iter().for_each(|(at, octet)| octets[at % length] = *octet);
        let (reply, out) = raw(&snapshot(), &client(Transport::Udp), &octets);
        prop_assert!(reply.length <= 1232);
        prop_assert!(reply.length == 0 || out[..2] == octets[..2]);
    }
}
