//! RFC 8482: anything.

use poterne_dns_wire::rtype::{ANY, RRSIG};

use crate::{
    ask::{Ask, Told},
    net::{Net, now_secs},
};

/// §4.2: a name that exists has one HINFO, however much it has; over UDP and over TCP.
#[test]
fn anything_is_one_record() {
    let net = Net::start();
    for name in ["www.example.com", "many.example.com", "example.com", "p.example.com", "x.wild.example.com"] {
        let expected = [format!("{name} 3600 HINFO \"RFC8482\" \"\"")];
        let ask = Ask::new(name, ANY);
        assert_eq!((ask.udp(&net).answer, ask.tcp(&net).answer), (expected.to_vec(), expected.to_vec()), "{name}");
    }
    assert_eq!(Ask::new("www.example.com", RRSIG).udp(&net).answer.len(), 1, "all signatures are no less");
}

/// §4: what does not exist does not exist all the same.
#[test]
fn nothing_is_nothing() {
    let net = Net::start();
    assert!(Ask::new("no.example.com", ANY).udp(&net).is_nothing(3, "example.com"));
    assert!(Ask::new("empty.example.com", ANY).udp(&net).is_nothing(0, "example.com"));
}

/// §4.2: in a signed zone it is signed.
#[test]
fn it_is_signed_where_the_zone_is() {
    let net = Net::start();
    let told = Ask::new("www.signed.test", ANY).signed().udp(&net);
    net.keys.validate(&told.octets, now_secs());
    assert_eq!(Told::types(&told.answer), ["HINFO"]);
}
