//! RFC 9460: how to reach a service.

use poterne_dns_wire::rtype::{A, HTTPS};

use crate::{ask::Ask, net::Net};

const SVCB: u16 = 64;

/// §2: what is kept is answered, its parameters in the order of their keys.
#[test]
fn records_are_answered_as_they_are_kept() {
    let net = Net::start();
    let told = Ask::new("svc.example.com", HTTPS).udp(&net);
    assert_eq!(told.answer.len(), 1);
    // Priority 1, the name itself, alpn (1), ipv4hint (4).
    assert!(told.octets.ends_with(b"\0\x01\0\0\x01\0\x06\x02h2\x02h3\0\x04\0\x04\xc0\0\x02\x01"), "{:02x?}", told.octets);
    let told = Ask::new("_8443._https.api.example.com", SVCB).udp(&net);
    assert!(told.octets.ends_with(b"\x03svc\x07example\x03com\0\0\x01\0\x03\x02h2\0\x03\0\x02\x20\xfb"), "{:02x?}", told.octets);
}

/// §2.4.2: an alias is answered as such; whoever asks follows it.
#[test]
fn an_alias_is_answered_as_such() {
    let net = Net::start();
    let told = Ask::new("name.example.com", HTTPS).udp(&net);
    assert!(told.octets.ends_with(b"\0\0\x03www\x07example\x03com\0"), "{:02x?}", told.octets);
    assert!(Ask::new("name.example.com", A).udp(&net).is_nothing(0, "example.com"), "it is no CNAME");
}

/// §9, edge-behaviour §1.9: a proxied name says what the edge speaks and where it is, and nothing of the origin.
#[test]
fn a_proxied_name_says_what_the_edge_speaks() {
    let net = Net::start();
    let told = Ask::new("p.example.com", HTTPS).udp(&net);
    assert_eq!(told.answer.len(), 1);
    for part in ["p.example.com 300 HTTPS 1 ", "alpn=h2", "ipv4hint=203.0.113.10", "ipv6hint=2001:db8::10"] {
        assert!(told.answer[0].contains(part), "{part} in {:?}", told.answer);
    }
    assert_eq!(Ask::new("p.example.com", A).udp(&net).answer, ["p.example.com 300 A 203.0.113.10"]);
}
