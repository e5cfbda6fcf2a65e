//! RFC 4034 and 4035: signed zones.

use poterne_dns_wire::rtype::{A, AAAA, CDNSKEY, CDS, CNAME, DNSKEY, DS, NS, NSEC, RRSIG, SOA, TXT};

use crate::{
    ask::{Ask, Opt, Told},
    net::{Net, now_secs},
};

const APEX: &str = "signed.test";

fn validated(net: &Net, name: &str, rtype: u16) -> Told {
    let told = Ask::new(name, rtype).signed().udp(net);
    net.keys.validate(&told.octets, now_secs());
    told
}

/// RFC 4035 §3.1.1: whoever takes signatures gets one with each record set, and DO comes back (RFC 3225 §3).
#[test]
fn every_record_set_is_signed_for_whoever_asks() {
    let net = Net::start();
    for (name, rtype, records) in [
        ("www.signed.test", A, 3),
        ("www.signed.test", AAAA, 2),
        ("WWW.Signed.Test", AAAA, 2),
        ("alias.signed.test", A, 5),
        ("alias.signed.test", CNAME, 2),
        ("signed.test", SOA, 2),
        ("signed.test", NS, 3),
        ("p.signed.test", A, 2),
        ("p.signed.test", 65, 2),
        ("a.b.wild.signed.test", TXT, 2),
        ("x.wild.signed.test", 257, 2),
    ] {
        let told = validated(&net, name, rtype);
        assert_eq!((told.rcode, told.answer.len()), (0, records), "{name} {rtype}: {:?}", told.answer);
        assert!(told.opt.as_ref().is_some_and(|opt| opt.dnssec_ok));
    }
}

/// RFC 4035 §3.2.1 (and 3.1): whoever does not is not bothered with them.
#[test]
fn nobody_else_gets_signatures() {
    let net = Net::start();
    for ask in [Ask::new("www.signed.test", A), Ask::new("www.signed.test", A).with(Opt::of(1232))] {
        assert_eq!(Told::types(&ask.udp(&net).answer), ["A", "A"]);
        assert_eq!(ask.udp(&net).answer.len(), 2);
    }
    assert!(Ask::new("no.signed.test", A).udp(&net).is_nothing(3, APEX), "and a name that is not there is not");
    // An unsigned zone is as it was.
    assert_eq!(Ask::new("www.example.com", AAAA).signed().udp(&net).answer, ["www.example.com 300 AAAA 2001:db8::1"]);
}

/// RFC 4034 §2, RFC 7344 §4, RFC 8078 §4: the keys at the apex, signed by the one that the parent names.
#[test]
fn the_keys_are_at_the_apex() {
    let net = Net::start();
    for (rtype, records) in [(DNSKEY, 3), (CDS, 2), (CDNSKEY, 2)] {
        assert_eq!(validated(&net, APEX, rtype).answer.len(), records, "{rtype}");
    }
    let told = Ask::new(APEX, DNSKEY).tcp(&net);
    let flags: Vec<_> = told.answer.iter().map(|line| line.split(' ').nth(3).unwrap()).collect();
    assert_eq!((flags.len(), flags.contains(&"256"), flags.contains(&"257")), (2, true, true), "{:?}", told.answer);
    for name in ["www.signed.test", "example.com"] {
        assert!(Ask::new(name, DNSKEY).udp(&net).answer.is_empty());
    }
}

/// RFC 4035 §3.1.4: at a cut, the digest of the child's key, or the proof that there is none.
#[test]
fn a_referral_says_whether_the_child_is_signed() {
    let net = Net::start();
    let told = validated(&net, "x.safe.signed.test", A);
    assert_eq!((told.aa, Told::types(&told.authority)), (false, vec!["NS", "DS"]));
    let told = validated(&net, "x.sub.signed.test", A);
    assert_eq!((told.aa, Told::types(&told.authority)), (false, vec!["NS", "NSEC"]));
    let denied = net.keys.validate(&told.octets, now_secs());
    assert_eq!(denied, [("sub.signed.test".to_owned(), vec![NS, RRSIG, NSEC])], "no DS, and not the apex of anything here");
    // §3.1.4.1: a digest is the parent's to say.
    let told = validated(&net, "safe.signed.test", DS);
    assert_eq!((told.aa, Told::types(&told.answer)), (true, vec!["DS"]));
}

/// RFC 4035 §3.1.6: CD is copied, AD is clear (asserted of every answer), and neither changes what is said.
#[test]
fn checking_disabled_is_copied() {
    let net = Net::start();
    let mut query = Ask::new("www.signed.test", AAAA).signed().octets();
    let plain = net.udp(&query);
    query[3] |= 0x30;
    let answer = net.udp(&query);
    assert_eq!((answer[3], answer[12..].to_vec()), (plain[3] | 0x10, plain[12..].to_vec()));
}

/// RFC 4035 §3.1.1: what does not fit with its signatures is cut as a whole.
#[test]
fn signatures_count() {
    let net = Net::start();
    let ask = |octets| Ask::new("alias.signed.test", A).with(Opt { flags: 0x80, ..Opt::of(octets) }).udp(&net);
    assert!(!ask(512).tc && ask(512).octets.len() > 250);
    let keys = Ask::new(APEX, DNSKEY).with(Opt { flags: 0x80, ..Opt::of(300) }).udp(&net);
    assert!(keys.octets.len() <= 512, "RFC 6891 §6.2.3: less than 512 is 512");
}
