//! Names that the edge stands before: the origin shows in no type and no answer (edge-behaviour §1.5, §1.9).

use poterne_dns_wire::rtype::{A, AAAA, CNAME, HTTPS, MX, TXT};
use poterne_snapshot::Snapshot;

use super::{Ask, Opt, world::World};

const ORIGIN: [u8; 4] = [192, 0, 2, 111];

fn world() -> World {
    World::new().zone(
        "example.com",
        1,
        r#"
            @ A 192.0.2.111 proxied
            www A 192.0.2.111 proxied
            www AAAA 2001:db8:6f::6f
            www TXT "text"
            both A 192.0.2.111 proxied
            both A 192.0.2.111
            git CNAME origin.example.org proxied
            own A 192.0.2.111 proxied
            own HTTPS 2 svc.example.net alpn=h3
            *.any CNAME origin.example.org proxied
            follows CNAME www.example.com
        "#,
    )
}

fn answer(snapshot: &Snapshot, name: &str, rtype: u16) -> Vec<String> {
    let told = Ask::new(name, rtype).told(snapshot);
    assert_eq!((told.rcode, told.aa), (0, true), "{name}");
    if told.answer.is_empty() {
        assert!(told.authority[0].contains(" SOA "), "{name}");
    }
    told.answer.iter().map(|line| line.trim_end_matches('.').to_owned()).collect()
}

#[test]
fn addresses_are_the_edges_whatever_is_stored() {
    let snapshot = world().snapshot();
    for name in ["example.com", "www.example.com", "both.example.com", "git.example.com", "x.y.any.example.com"] {
        let lines = |rtype: &str, addresses: [&str; 2]| addresses.map(|address| format!("{name} 300 {rtype} {address}"));
        assert_eq!(answer(&snapshot, name, A), lines("A", ["203.0.113.10", "203.0.113.11"]));
        assert_eq!(answer(&snapshot, name, AAAA), lines("AAAA", ["2001:db8::10", "2001:db8::11"]));
        assert!(answer(&snapshot, name, CNAME).is_empty());
    }
    assert_eq!(answer(&snapshot, "www.example.com", TXT), ["www.example.com 300 TXT \"text\""]);
    assert!(answer(&snapshot, "git.example.com", TXT).is_empty(), "what a CNAME leads to is not asked for text");
    assert!(answer(&snapshot, "www.example.com", MX).is_empty());
}

#[test]
fn the_service_record_names_what_the_edge_speaks_unless_there_is_one() {
    let snapshot = world().snapshot();
    let told = answer(&snapshot, "www.example.com", HTTPS);
    assert_eq!(told.len(), 1);
    for part in ["www.example.com 300 HTTPS 1 .", "alpn=h3,h2", "ipv4hint=203.0.113.10,203.0.113.11", "ipv6hint=2001:db8::10"] {
        assert!(told[0].contains(part), "{part} in {told:?}");
    }
    let without = world().head(|head| head.edge.http3 = false).snapshot();
    assert!(answer(&without, "www.example.com", HTTPS)[0].contains("alpn=h2 "), "the zone does not want HTTP/3");
    let without = world().head(|head| (head.edge.http2, head.edge.http3) = (false, false)).snapshot();
    let told = answer(&without, "www.example.com", HTTPS);
    assert!(told[0].contains("HTTPS 1 . ipv4hint=") && !told[0].contains("alpn"), "{told:?}");
    let own = answer(&snapshot, "own.example.com", HTTPS);
    assert!(own.len() == 1 && own[0].contains("svc.example.net"));
    let mut world = world();
    world.node.edge_protocols.clear();
    assert!(answer(&world.snapshot(), "www.example.com", HTTPS).is_empty());
}

#[test]
fn without_an_address_of_a_family_there_is_no_data() {
    let mut world = world();
    world.node.edge_addresses.retain(|address| address.is_ipv4());
    let snapshot = world.snapshot();
    assert!(answer(&snapshot, "www.example.com", AAAA).is_empty());
    assert!(!answer(&snapshot, "www.example.com", HTTPS)[0].contains("ipv6hint"));
    world.node.edge_addresses.clear();
    let snapshot = world.snapshot();
    for rtype in [A, AAAA, HTTPS] {
        assert!(answer(&snapshot, "www.example.com", rtype).is_empty(), "never the origin");
    }
}

#[test]
fn what_leads_to_a_proxied_name_shows_the_edge_too() {
    assert_eq!(answer(&world().snapshot(), "follows.example.com", A)[0], "follows.example.com 300 A 203.0.113.10");
}

#[test]
fn the_origin_is_in_no_answer_to_any_question() {
    let mut world = world();
    let mut seen = 0;
    for empty in [false, true] {
        if empty {
            world.node.edge_addresses.clear();
        }
        let snapshot = world.snapshot();
        for name in ["", "www.", "both.", "git.", "own.", "x.any.", "*.any.", "any.", "follows.", "no."] {
            for rtype in (0..=300).chain([731, 32_768, 65_535]) {
                for opt in [None, Some(Opt { dnssec_ok: true, ..Opt::of(4096) })] {
                    let mut ask = Ask::new(&format!("{name}example.com"), rtype);
                    ask.opt = opt;
                    let (_, octets) = super::raw(&snapshot, &ask.client, &ask.octets());
                    let leaks = |part: &[u8]| octets.windows(part.len()).any(|window| window == part);
                    assert!(!leaks(&ORIGIN) && !leaks(b"\x06origin") && !leaks(&[0, 0x6f, 0, 0]), "{name} {rtype}");
                    seen += octets.len();
                }
            }
        }
    }
    assert!(seen > 100_000);
}
