//! RFC 2308: what is not there, and for how long.

use poterne_dns_wire::rtype::{A, MX, SOA, TXT};

use crate::{
    ask::{Ask, Told},
    net::Net,
};

/// §2.1, §5: a name that does not exist, with the zone's start of authority.
#[test]
fn a_name_that_does_not_exist() {
    let net = Net::start();
    for name in
        ["no.example.com", "a.b.c.example.com", "x.www.example.com", "x.deep.empty.example.com", "x.host.wild.example.com"]
    {
        let told = Ask::new(name, A).udp(&net);
        assert!(told.is_nothing(3, "example.com"), "{name}: {told:?}");
    }
}

/// §2.2: a name without the type, empty non-terminals (RFC 8020 §3) among them.
#[test]
fn a_name_without_the_type() {
    let net = Net::start();
    for (name, rtype) in [("www.example.com", TXT), ("empty.example.com", A), ("wild.example.com", A), ("_tcp.example.com", MX)] {
        assert!(Ask::new(name, rtype).udp(&net).is_nothing(0, "example.com"), "{name}");
    }
}

/// §3, §4: the TTL of that start of authority is the lesser of its own and its minimum; that of the record asked for is its own.
#[test]
fn it_is_remembered_for_the_lesser_of_two_times() {
    let net = Net::start();
    let soa = "SOA ns1.example.net dns.example.com 42 10000 2400 604800 1800";
    for (name, rcode) in [("no.example.com", 3), ("empty.example.com", 0)] {
        let told = Ask::new(name, A).udp(&net);
        assert_eq!((told.rcode, told.authority), (rcode, vec![format!("example.com 1800 {soa}")]));
    }
    assert_eq!(Ask::new("example.com", SOA).udp(&net).answer, [format!("example.com 3600 {soa}")]);
}

/// §2.1 (and RFC 6604 §3): at the end of a chain the code is the last name's, and the chain is told.
#[test]
fn the_end_of_a_chain_counts() {
    let net = Net::start();
    let told = Ask::new("gone.example.com", A).udp(&net);
    assert_eq!((told.rcode, told.aa), (3, true));
    assert_eq!(told.answer, ["gone.example.com 300 CNAME nowhere.signed.test"]);
    assert_eq!(Told::types(&told.authority), ["SOA"]);
}

/// §8: no answer is without a start of authority where there is nothing, over whatever it is asked.
#[test]
fn it_is_the_same_over_a_stream() {
    let net = Net::start();
    let ask = Ask::new("no.example.com", A);
    assert!(ask.tcp(&net).is_nothing(3, "example.com") && ask.tls(&net).is_nothing(3, "example.com"));
}
