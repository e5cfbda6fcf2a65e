//! RFC 1035: the form of messages.

use poterne_dns_wire::rtype::{A, MX, PTR, SRV, TXT};

use crate::{ask::Ask, net::Net};

/// §4.1.1: the number and the opcode come back, RD is copied, and the reserved bits are clear; the question comes back whole (§4.1.2).
#[test]
fn a_header_answers_its_question() {
    let net = Net::start();
    for (flags, expected) in [([0x00, 0x00], [0x84, 0x00]), ([0x01, 0x00], [0x85, 0x00]), ([0x01, 0x70], [0x85, 0x10])] {
        let mut query = Ask::new("mail.example.com", A).octets();
        query[2..4].copy_from_slice(&flags);
        let answer = net.udp(&query);
        assert_eq!(answer[..2], query[..2]);
        assert_eq!(answer[2..4], expected, "RD and CD are copied, AA is set, RA, Z and AD are not");
        assert_eq!(answer[12..34], query[12..34]);
    }
}

/// §4.1.1: opcodes that are not done here.
#[test]
fn other_opcodes_are_not_implemented() {
    let net = Net::start();
    for opcode in [1u8, 2, 3, 5, 6, 7, 15] {
        let mut query = Ask::new("www.example.com", A).octets();
        query[2] = opcode << 3;
        let answer = net.udp(&query);
        assert_eq!((answer[..2].to_vec(), answer[2], answer[3] & 0x0f), (vec![0xab, 0xcd], 0x80 | opcode << 3, 4), "{opcode}");
    }
}

/// §4.1.1: what a server cannot read is a format error; what is too short to have a header, or is an answer itself, is nothing.
#[test]
fn what_cannot_be_read_is_a_format_error() {
    let net = Net::start();
    let query = Ask::new("www.example.com", A).octets();
    for length in 12..query.len() {
        let answer = net.udp(&query[..length]);
        assert_eq!((&answer[..2], answer[2] & 0x80, answer[3]), (&query[..2], 0x80, 1), "cut at {length}");
    }
    for (octets, why) in [
        ([&query[..], &[0]].concat(), "octets behind the question"),
        ([&query[..12], b"\xc0\x0c\0\x01\0\x01"].concat(), "a pointer to itself"),
        ([&query[..12], b"\x03www\xc0\x0c\0\x01\0\x01"].concat(), "a pointer back to its own name"),
        ([&query[..12], b"\x80www\0\0\x01\0\x01"].concat(), "a label of a form that nobody uses"),
        ([&query[..12], &[[63; 64]; 4].concat()[..], &[0, 0, 1, 0, 1]].concat(), "a name of 257 octets"),
    ] {
        assert_eq!(net.udp(&octets)[3], 1, "{why}");
    }
    for nothing in [&query[..11], b"", b"x"] {
        assert!(net.udp_maybe(nothing).is_none(), "{nothing:?}");
    }
    let mut answer = query;
    answer[2] |= 0x80;
    assert!(net.udp_maybe(&answer).is_none(), "two servers would never stop");
}

/// §2.3.4: labels of 63 octets and names of 255 are asked for like any others.
#[test]
fn names_may_be_as_long_as_names_can_be() {
    let net = Net::start();
    let mut ask = Ask::new("", A);
    let long = [&[63], &[b'a'; 63][..]].concat().repeat(3);
    ask.name = [&long[..], &[44], &[b'b'; 44], b"\x04wild\x07example\x03com\0"].concat();
    assert_eq!(ask.name.len(), 255);
    assert_eq!(ask.udp(&net).answer.len(), 1);
}

/// §3.3.14: several strings are one record, in their order. §4.1.4: names are compressed where this document's types hold them.
#[test]
fn data_has_its_form() {
    let net = Net::start();
    assert_eq!(Ask::new("example.com", TXT).udp(&net).answer, ["example.com 600 TXT \"v=spf1 -all\""]);
    let told = Ask::new("example.com", MX).udp(&net);
    let count = |octets: &[u8]| octets.windows(8).filter(|octets| octets.eq_ignore_ascii_case(b"\x07example")).count();
    assert_eq!((told.answer, count(&told.octets)), (vec!["example.com 600 MX 10 mail.example.com".to_owned()], 1));
    let told = Ask::new("ptr.example.com", PTR).udp(&net);
    assert_eq!((told.answer.len(), count(&told.octets)), (1, 1));
    // RFC 2782: not in a service's.
    let told = Ask::new("_sip._tcp.example.com", SRV).udp(&net);
    assert_eq!(told.answer, ["_sip._tcp.example.com 300 SRV 10 60 5060 mail.example.com"]);
    assert_eq!(count(&told.octets), 2);
}

/// §4.2.1: 512 octets over UDP for whoever says nothing else; longer ones are cut, and §4.2.2 gives them whole.
#[test]
fn a_long_answer_is_cut_over_udp_and_whole_over_tcp() {
    let net = Net::start();
    let ask = Ask::new("many.example.com", 28);
    let cut = ask.udp(&net);
    assert!(cut.tc && cut.octets.len() <= 512);
    let whole = ask.tcp(&net);
    assert_eq!((whole.tc, whole.answer.len()), (false, 60));
}

/// §3.2.4, §3.2.5: another class, and any class, is not served (edge-behaviour §1.11).
#[test]
fn other_classes_are_refused() {
    let net = Net::start();
    for class in [2, 3, 4, 254, 255, 0, 65_535] {
        let told = Ask { class, ..Ask::new("www.example.com", A) }.udp(&net);
        assert_eq!((told.rcode, told.answer.len()), (5, 0), "{class}");
    }
}

/// §3.2.3: a zone is transferred to nobody who is not known.
#[test]
fn transfers_are_refused() {
    let net = Net::start();
    for rtype in [251, 252] {
        let told = Ask::new("example.com", rtype).tcp(&net);
        assert_eq!((told.rcode, told.answer.len()), (5, 0), "{rtype}");
    }
}
