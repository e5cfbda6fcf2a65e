//! RFC 2181: clarifications.

use std::net::UdpSocket;

use poterne_dns_wire::rtype::{A, CNAME, TXT};

use crate::{
    ask::{Ask, Opt, Told},
    net::{Net, PATIENCE},
};

/// §4.1: the answer comes from where the question went, and to where it came from. (Sockets for every address: `dns/server`'s own tests.)
#[test]
fn an_answer_comes_from_where_it_was_asked() {
    let net = Net::start();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send_to(&Ask::new("www.example.com", A).octets(), net.dns).unwrap();
    assert_eq!(socket.recv_from(&mut [0; 600]).unwrap().1, net.dns);
}

/// §5.1, §5.2: a record set is answered whole, with one TTL.
#[test]
fn a_record_set_is_one_thing() {
    let net = Net::start();
    let told = Ask::new("www.example.com", A).udp(&net);
    let mut answer = told.answer.clone();
    answer.sort();
    assert_eq!(answer, ["www.example.com 120 A 192.0.2.1", "www.example.com 120 A 192.0.2.2"]);
    // §5.5: no record twice.
    let told = Ask::new("many.example.com", 28).tcp(&net);
    let mut lines = told.answer.clone();
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), 60);
}

/// §9: TC says that something that is needed did not fit, and what came with it is not to be used: no part of a set is sent. What is not
/// needed would not set it.
#[test]
fn what_does_not_fit_is_cut_as_a_whole() {
    let net = Net::start();
    for (opt, limit) in [(None, 512), (Some(Opt::of(512)), 512), (Some(Opt::of(700)), 700), (Some(Opt::of(4096)), 1232)] {
        for (name, rtype) in [("many.example.com", 28), ("long.example.com", TXT)] {
            let mut ask = Ask::new(name, rtype);
            ask.opt = opt.clone();
            let told = ask.udp(&net);
            assert!(told.octets.len() <= limit, "{name} {limit}");
            let expected = if name.starts_with("long") && limit > 1000 { (false, 6) } else { (true, 0) };
            assert_eq!((told.tc, told.answer.len()), expected, "{name} {limit}");
            assert_eq!(told.opt.is_some(), ask.opt.is_some(), "RFC 6891 §6.1.1, also where it is cut");
        }
    }
}

/// §10.1: an alias has no other data; what is asked of it is what it leads to.
#[test]
fn an_alias_is_nothing_else() {
    let net = Net::start();
    for rtype in [1, 2, 6, 15, 16, 28, 257] {
        let told = Ask::new("away.example.com", rtype).udp(&net);
        assert_eq!(Told::types(&told.answer), ["CNAME"], "{rtype}");
    }
    assert_eq!(Ask::new("away.example.com", CNAME).udp(&net).answer.len(), 1);
}

/// §11: any octets may stand in a label.
#[test]
fn labels_hold_any_octets() {
    let net = Net::start();
    let mut ask = Ask::new("", A);
    for label in [&b"\0\x01\xff"[..], b"a.b", b"\\052", b"\"", b" ", &[0xc3, 0xa9]] {
        ask.name = [&[u8::try_from(label.len()).unwrap()], label, b"\x04wild\x07example\x03com\0"].concat();
        let told = ask.udp(&net);
        assert_eq!((told.rcode, told.answer.len()), (0, 1), "{label:?}: the wildcard answers");
        assert_eq!(told.octets[12..12 + ask.name.len()], *ask.name);
        ask.name = [&[u8::try_from(label.len()).unwrap()], label, b"\x07example\x03com\0"].concat();
        assert!(ask.udp(&net).is_nothing(3, "example.com"), "{label:?}");
    }
}
