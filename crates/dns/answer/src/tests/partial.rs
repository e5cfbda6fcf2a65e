//! Names of partial zones below the node's suffix (edge-behaviour §1.1).

use poterne_dns_wire::rtype::{A, AAAA, ANY, CNAME, DS, HTTPS, MX, NS, SOA, TXT};
use poterne_model::ZoneStatus;
use poterne_snapshot::Snapshot;

use super::{
    Ask,
    world::{World, name},
};

const ORIGIN: &str = "192.0.2.111";

fn world() -> World {
    let mut world = World::new()
        .zone("example.net", 1, "@ A 192.0.2.1\nwww A 192.0.2.2\nalias CNAME www.example.org.cdn.example.net")
        .zone(
            "example.org",
            1,
            r#"
                @ A 192.0.2.111 proxied
                @ NS ns1.elsewhere.test
                www A 192.0.2.111 proxied
                www TXT "text"
                deep.ent A 192.0.2.111 proxied
                *.any CNAME origin.example.com proxied
                plain A 192.0.2.112
                led CNAME elsewhere.test
                sub NS ns1.elsewhere.test
            "#,
        )
        .challenge("_acme-challenge.www.example.org", "proof", 1_559_732_585)
        .head(|head| head.partial = true);
    world.node.cname_suffix = Some(name("cdn.example.net"));
    world
}

fn lines(snapshot: &Snapshot, name: &str, rtype: u16) -> (u16, Vec<String>, Vec<String>) {
    let told = Ask::new(name, rtype).told(snapshot);
    assert!(told.aa, "{name}: {told:?}");
    (told.rcode, told.answer, told.authority)
}

#[test]
fn a_proxied_name_leads_to_the_edges() {
    let snapshot = world().snapshot();
    for name in ["www.example.org", "example.org", "x.any.example.org", "deep.ent.example.org"] {
        let name = format!("{name}.cdn.example.net");
        let (rcode, answer, _) = lines(&snapshot, &name, A);
        assert_eq!(rcode, 0, "{name}");
        assert_eq!(answer, ["203.0.113.10", "203.0.113.11"].map(|address| format!("{name} 300 A {address}")), "{name}");
        assert_eq!(lines(&snapshot, &name, AAAA).1.len(), 2);
        assert!(lines(&snapshot, &name, HTTPS).1[0].contains("alpn=h3,h2"));
        for rtype in [A, AAAA, CNAME, HTTPS, TXT, MX, ANY, NS, SOA] {
            let (_, answer, authority) = lines(&snapshot, &name, rtype);
            assert!(!answer.iter().chain(&authority).any(|line| line.contains(ORIGIN)), "{name} {rtype}");
        }
    }
    let www = "www.example.org.cdn.example.net";
    assert_eq!(lines(&snapshot, www, TXT).1, [format!("{www} 300 TXT \"text\"")]);
    let plain = "plain.example.org.cdn.example.net";
    assert_eq!(lines(&snapshot, plain, A).1, [format!("{plain} 300 A 192.0.2.112")]);
    let led = "led.example.org.cdn.example.net";
    assert_eq!(lines(&snapshot, led, A).1, [format!("{led} 300 CNAME elsewhere.test.")]);
}

#[test]
fn what_is_not_there_is_told_of_the_suffix_and_only_within_a_zone() {
    let snapshot = world().snapshot();
    for (inner, rtype, rcode) in [
        ("no.example.org", A, 3),
        ("ent.example.org", A, 0),
        ("www.example.org", MX, 0),
        ("org", A, 0),
        ("example.test", A, 0),
        ("a.sub.example.org", A, 3),
        ("sub.example.org", NS, 0),
        ("example.org", NS, 0),
    ] {
        let (code, answer, authority) = lines(&snapshot, &format!("{inner}.cdn.example.net"), rtype);
        assert_eq!((code, answer.len()), (rcode, 0), "{inner}");
        assert!(authority.len() == 1 && authority[0].starts_with("cdn.example.net 60 SOA "), "{inner}: {authority:?}");
    }
    let (_, answer, _) = lines(&snapshot, "cdn.example.net", SOA);
    assert!(answer[0].contains("SOA ns1.cdn.example.net. dns.cdn.example.net. 1 "), "{answer:?}");
    let named = |snapshot: &Snapshot| lines(snapshot, "cdn.example.net", NS).1;
    assert!(named(&snapshot).is_empty(), "the node has no names for its servers");
    let mut world = world();
    world.node.nameservers = ["ns1.example.net", "ns2.example.net"].map(name).to_vec();
    assert_eq!(named(&world.snapshot()).len(), 2);
}

#[test]
fn under_its_own_name_a_partial_zone_is_others_to_answer_for() {
    let snapshot = world().snapshot();
    for (name, rtype) in [("www.example.org", A), ("example.org", SOA), ("example.org", NS)] {
        let told = Ask::new(name, rtype).told(&snapshot);
        assert_eq!((told.rcode, told.answer.len()), (5, 0), "{name}");
    }
    // The zone above the suffix says what it said, and that nothing of the suffix is signed.
    assert_eq!(lines(&snapshot, "www.example.net", A).1, ["www.example.net 300 A 192.0.2.2"]);
    let (rcode, answer, authority) = lines(&snapshot, "cdn.example.net", DS);
    assert_eq!((rcode, answer.len()), (0, 0));
    assert!(authority[0].starts_with("example.net "), "{authority:?}");
    // Whoever asks goes on from a CNAME to the suffix by himself.
    assert_eq!(lines(&snapshot, "alias.example.net", A).1, ["alias.example.net 300 CNAME www.example.org.cdn.example.net."]);
}

#[test]
fn a_pending_zone_shows_its_own_and_a_challenge_is_seen() {
    let pending = world().head(|head| head.status = ZoneStatus::Pending).snapshot();
    let www = "www.example.org.cdn.example.net";
    assert_eq!(lines(&pending, www, A).1, [format!("{www} 300 A {ORIGIN}")]);
    let name = "_acme-challenge.www.example.org.cdn.example.net";
    let told = Ask::new(name, TXT).told(&world().snapshot());
    assert_eq!(told.answer, [format!("{name} 60 TXT \"proof\"")]);
}
