//! RFC 7830 and 8467: padding.

use poterne_dns_wire::rtype::A;

use crate::{
    ask::{Ask, Opt},
    net::Net,
};

const PADDING: u16 = 12;

/// RFC 7830 §4, RFC 8467 §4.1: who pads is answered padded, in blocks of 468 octets, with zeroes; only where nobody else reads.
#[test]
fn encrypted_answers_are_padded_for_whoever_pads() {
    let net = Net::start();
    let padded = Ask::new("www.example.com", A).with(Opt::of(1232).option(PADDING, &[0; 30]));
    for told in [padded.tls(&net).octets, net.https(&padded.octets())] {
        assert_eq!(told.len(), 468);
    }
    assert!(padded.tls(&net).option(PADDING).unwrap().iter().all(|octet| *octet == 0));
    let many = Ask { name: crate::ask::wire("many.example.com"), rtype: 28, ..padded.clone() }.tls(&net);
    assert_eq!((many.octets.len() % 468, many.answer.len()), (0, 60));
    for told in [padded.udp(&net), padded.tcp(&net), Ask::new("www.example.com", A).with(Opt::of(1232)).tls(&net)] {
        assert!(told.option(PADDING).is_none() && told.octets.len() < 150);
    }
}
