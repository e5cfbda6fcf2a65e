//! RFC 1034: concepts. What a zone answers, where its authority ends, and how CNAMEs are followed.

use poterne_dns_wire::rtype::{A, AAAA, ANY, CNAME, MX, NS, SOA, TXT};

use crate::{
    ask::{Ask, Told, wire},
    net::Net,
};

/// §3.1: names are compared without regard to case, and §3.5 of RFC 1035; the answer has the letters of the question.
#[test]
fn names_are_compared_without_regard_to_case_and_come_back_as_they_were_sent() {
    let net = Net::start();
    let mut ask = Ask::new("www.example.com", AAAA);
    ask.name = b"\x03wWw\x07eXAmple\x03cOM\0".to_vec();
    let told = ask.udp(&net);
    assert_eq!(told.answer, ["wWw.eXAmple.cOM 300 AAAA 2001:db8::1"]);
    assert_eq!(told.octets[12..29], *ask.name);
}

/// §4.3.1: the answer to a question that it has no authority for is none; and never another server higher up (edge-behaviour §1.11).
#[test]
fn names_of_no_zone_are_refused_without_a_hint() {
    let net = Net::start();
    for name in ["", "com", "example.org", "notexample.com", "example.com.evil.test"] {
        let told = Ask::new(name, A).udp(&net);
        let records = told.answer.len() + told.authority.len() + told.additional.len();
        assert_eq!((told.rcode, told.aa, records), (5, false, 0), "{name:?}");
    }
}

/// §4.3.2 step 3a: the whole node matches; a CNAME is followed, unless it is what is asked for.
#[test]
fn a_cname_is_followed_unless_it_is_asked_for() {
    let net = Net::start();
    let told = Ask::new("far.example.com", A).udp(&net);
    assert_eq!(
        told.answer,
        [
            "far.example.com 60 CNAME hop.signed.test",
            "hop.signed.test 300 CNAME mail.example.com",
            "mail.example.com 300 A 192.0.2.25",
        ]
    );
    assert!(told.aa && told.rcode == 0 && told.authority.is_empty());
    let told = Ask::new("far.example.com", CNAME).udp(&net);
    assert_eq!(told.answer, ["far.example.com 60 CNAME hop.signed.test"]);
    // §3.6.2: where the end of it has not what is asked for, the chain is told all the same.
    let told = Ask::new("far.example.com", MX).udp(&net);
    assert_eq!((told.rcode, Told::types(&told.answer), Told::types(&told.authority)), (0, vec!["CNAME", "CNAME"], vec!["SOA"]));
    // Within a zone it is not shown, but what it leads to, for the least of the times on the way (edge-behaviour §1.6).
    let told = Ask::new("chain.example.com", AAAA).udp(&net);
    assert_eq!(told.answer, ["chain.example.com 60 AAAA 2001:db8::1"]);
    assert!(Ask::new("chain.example.com", CNAME).udp(&net).is_nothing(0, "example.com"));
}

/// §4.3.2 step 3a ends where another server's names begin; whoever asks goes on by himself.
#[test]
fn a_cname_that_leads_away_is_told_and_no_more() {
    let net = Net::start();
    let told = Ask::new("away.example.com", A).udp(&net);
    assert_eq!(told.answer, ["away.example.com 300 CNAME host.elsewhere.test"]);
    assert!(told.aa && told.rcode == 0 && told.authority.is_empty() && told.additional.is_empty());
    // What another zone here has is added, since the same server would be asked for it.
    let told = Ask::new("beside.example.com", A).udp(&net);
    assert_eq!(Told::types(&told.answer), ["CNAME", "A", "A"]);
    // Another account's zone is another's.
    let told = Ask::new("abroad.example.com", A).udp(&net);
    assert_eq!(told.answer, ["abroad.example.com 300 CNAME www.foreign.test"]);
}

/// §3.6.2: "CNAME chains should be followed and CNAME loops signalled as an error".
#[test]
fn a_loop_of_cnames_is_an_error_that_takes_no_time() {
    let net = Net::start();
    for name in ["round.example.com", "about.example.com"] {
        let told = Ask::new(name, A).udp(&net);
        assert_eq!((told.rcode, told.answer.len()), (2, 0), "{name}");
    }
}

/// §4.3.2 step 3b, §4.2.1: below a cut the servers of the child are named, with glue, and without authority.
#[test]
fn names_below_a_cut_are_referred() {
    let net = Net::start();
    for (name, rtype) in
        [("sub.example.com", A), ("sub.example.com", NS), ("sub.example.com", ANY), ("hidden.sub.example.com", TXT)]
    {
        let told = Ask::new(name, rtype).udp(&net);
        assert_eq!((told.rcode, told.aa, told.answer.len()), (0, false, 0), "{name} {rtype}");
        assert_eq!(told.authority, ["sub.example.com 3600 NS ns1.sub.example.com", "sub.example.com 3600 NS ns.elsewhere.test"]);
        assert_eq!(told.additional, ["ns1.sub.example.com 300 A 192.0.2.53", "ns1.sub.example.com 300 AAAA 2001:db8::53"]);
    }
}

/// §4.3.2 step 3c, §4.3.3.
#[test]
fn what_does_not_exist_is_answered_by_a_wildcard_or_not_at_all() {
    let net = Net::start();
    assert_eq!(Ask::new("a.b.wild.example.com", A).udp(&net).answer, ["a.b.wild.example.com 300 A 192.0.2.77"]);
    assert!(Ask::new("no.example.com", A).udp(&net).is_nothing(3, "example.com"));
    // A wildcard's CNAME is followed like any other.
    assert_eq!(Told::types(&Ask::new("to.wild.example.com", A).udp(&net).answer), ["CNAME", "A", "A"]);
}

/// §6.2: the servers of the zone, its start of authority, and its mail; answered with authority.
#[test]
fn the_apex_says_what_the_zone_is() {
    let net = Net::start();
    let told = Ask::new("example.com", SOA).udp(&net);
    assert_eq!(told.answer, ["example.com 3600 SOA ns1.example.net dns.example.com 42 10000 2400 604800 1800"]);
    let told = Ask::new("example.com", NS).udp(&net);
    assert_eq!(told.answer, ["example.com 86400 NS ns1.example.net", "example.com 86400 NS ns2.example.net"]);
    assert!(told.aa);
    let told = Ask::new("example.com", MX).udp(&net);
    assert_eq!(told.answer, ["example.com 600 MX 10 mail.example.com"]);
}

/// The same is answered whichever way it is asked.
#[test]
fn every_door_gives_the_same_answer() {
    let net = Net::start();
    for (name, rtype) in [("www.example.com", AAAA), ("far.example.com", AAAA), ("no.example.com", A), ("x.sub.example.com", A)] {
        let ask = Ask::new(name, rtype);
        let (udp, others) = (ask.udp(&net).octets, [ask.tcp(&net).octets, ask.tls(&net).octets, net.https(&ask.octets())]);
        assert!(others.iter().all(|other| *other == udp), "{name}");
    }
    assert_eq!(Ask { name: wire("WWW.example.com"), ..Ask::new("", AAAA) }.udp(&net).answer.len(), 1);
}
