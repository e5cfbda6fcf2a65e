//! RFC 3597: types that nobody has heard of.

use poterne_dns_wire::rtype::TXT;

use crate::{ask::Ask, net::Net};

/// §3: data of any type is served, as octets.
#[test]
fn data_of_an_unknown_type_is_octets() {
    let net = Net::start();
    let told = Ask::new("odd.example.com", 65_280).udp(&net);
    assert_eq!(told.answer.len(), 1);
    assert!(told.octets.ends_with(&[0, 6, 10, 11, 12, 13, 14, 15]), "{:02x?}", told.octets);
}

/// §3: a question of an unknown type is one like any other: no data, or no such name.
#[test]
fn a_question_of_an_unknown_type_is_one() {
    let net = Net::start();
    for rtype in [0, 127, 258, 731, 32_767, 65_279, 65_535] {
        assert!(Ask::new("www.example.com", rtype).udp(&net).is_nothing(0, "example.com"), "{rtype}");
        assert!(Ask::new("no.example.com", rtype).udp(&net).is_nothing(3, "example.com"), "{rtype}");
    }
    // RFC 6895 §3.1: questions that no data answers are not done here.
    for rtype in [129, 200, 249, 253, 254] {
        assert_eq!(Ask::new("www.example.com", rtype).udp(&net).rcode, 4, "{rtype}");
    }
}

/// §4: names in the data of types that came after RFC 1035 stand whole, in the answer's letters or not.
#[test]
fn names_in_newer_types_are_whole() {
    let net = Net::start();
    for (name, rtype, whole) in [
        ("_sip._tcp.example.com", 33, &b"\x04mail\x07example\x03com\0"[..]),
        ("name.example.com", 65, b"\x03www\x07example\x03com\0"),
        ("_8443._https.api.example.com", 64, b"\x03svc\x07example\x03com\0"),
    ] {
        let told = Ask::new(name, rtype).udp(&net);
        assert!(told.octets.windows(whole.len()).any(|octets| octets.eq_ignore_ascii_case(whole)), "{name}");
    }
    assert_eq!(Ask::new("host.wild.example.com", TXT).udp(&net).answer, ["host.wild.example.com 300 TXT \"host\""]);
}
