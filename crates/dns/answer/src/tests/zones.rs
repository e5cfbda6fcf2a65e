//! RFC 1034 §4.3.2, RFC 4592, RFC 2308: what a zone has and what it has not.

use poterne_dns_wire::rtype::{self, A, AAAA, MX, NS, SOA, TXT};
use poterne_model::ZoneStatus;
use poterne_snapshot::Snapshot;

use super::{
    Ask, Told,
    world::{TUNNEL, World, name},
};

fn snapshot() -> Snapshot {
    let lines = r#"
        @ MX 10 mail.example.com
        @ 60 TXT "apex"
        www 120 A 192.0.2.1
        www 120 A 192.0.2.2
        mail AAAA 2001:db8::25
        deep.ent TXT "deep"
        *.wild A 192.0.2.7
        host.wild TXT "host"
        sub.below.wild A 192.0.2.8
        odd TYPE731 \# 3 abcdef
    "#;
    World::new().zone("example.com", 1, lines).zone("child.example.com", 1, "www A 192.0.2.99").snapshot()
}

fn ask(name: &str, rtype: u16) -> Told {
    Ask::new(name, rtype).told(&snapshot())
}

const NEGATIVE: &str = "example.com 1800 SOA ns1.example.net. dns.example.com. 42 10000 2400 604800 1800";

fn assert_nothing(told: &Told, rcode: u16) {
    assert_eq!((told.rcode, told.aa, told.answer.len()), (rcode, true, 0));
    assert_eq!(told.authority.len(), 1);
    assert!(told.authority[0].starts_with("example.com 1800 SOA "), "{:?}", told.authority);
}

#[test]
fn what_is_there_is_answered_with_authority() {
    let told = ask("www.example.com", A);
    assert_eq!(told.answer, ["www.example.com 120 A 192.0.2.1", "www.example.com 120 A 192.0.2.2"]);
    assert_eq!((told.rcode, told.aa, told.authority.len(), told.additional.len()), (0, true, 0, 0));
    assert_eq!(ask("odd.example.com", 731).answer.len(), 1);
    assert_eq!(ask("example.com", TXT).answer, ["example.com 60 TXT \"apex\""]);
}

#[test]
fn a_type_that_is_not_there_is_no_data() {
    for (name, rtype) in [("www.example.com", AAAA), ("example.com", A), ("ent.example.com", A), ("wild.example.com", TXT)] {
        assert_nothing(&ask(name, rtype), 0);
    }
}

#[test]
fn a_name_that_is_not_there_does_not_exist() {
    for name in ["no.example.com", "a.www.example.com", "x.ent.example.com", "x.host.wild.example.com", "below.x.example.com"] {
        assert_nothing(&ask(name, A), 3);
    }
}

#[test]
fn negative_answers_carry_the_start_of_authority_with_the_lesser_ttl() {
    let told = ask("no.example.com", A);
    let line = told.authority[0].replace(". ", " ");
    assert_eq!(line, NEGATIVE.replace(". ", " "));
    let short = World::new().zone("example.com", 1, "a A 192.0.2.1").head(|head| {
        head.dns.as_mut().unwrap().soa.ttl = 300;
    });
    assert!(Ask::new("no.example.com", A).told(&short.snapshot()).authority[0].starts_with("example.com 300 SOA"));
}

#[test]
fn wildcards_answer_for_what_does_not_exist_below_them() {
    for name in ["a.wild.example.com", "a.b.wild.example.com"] {
        assert_eq!(ask(name, A).answer, [format!("{name} 300 A 192.0.2.7")]);
        assert_nothing(&ask(name, AAAA), 0);
    }
    // A closer name intervenes, whatever it has; and so does an empty non-terminal.
    assert_nothing(&ask("host.wild.example.com", A), 0);
    assert_nothing(&ask("x.host.wild.example.com", A), 3);
    assert_nothing(&ask("below.wild.example.com", A), 0);
    assert_nothing(&ask("x.below.wild.example.com", A), 3);
    // Asked for by its own name it is one.
    assert_eq!(ask("*.wild.example.com", A).answer, ["*.wild.example.com 300 A 192.0.2.7"]);
    assert_nothing(&ask("a.*.wild.example.com", A), 3);
}

#[test]
fn labels_of_any_octets_are_answered_by_wildcards_alone() {
    let mut ask = Ask::new("x.wild.example.com", A);
    ask.name = b"\x03a.b\x04wild\x07example\x03com\0".to_vec();
    assert_eq!(ask.told(&snapshot()).answer.len(), 1);
    ask.name = b"\x03w.w\x07example\x03com\0".to_vec();
    assert_nothing(&ask.told(&snapshot()), 3);
}

#[test]
fn the_apex_has_what_is_made_for_it() {
    let told = ask("example.com", SOA);
    assert!(told.answer[0].starts_with("example.com 3600 SOA ") && told.answer[0].contains(" 42 10000 2400 604800 1800"));
    let servers = ["example.com 86400 NS ns1.example.net", "example.com 86400 NS ns2.example.net"];
    assert_eq!(ask("example.com", NS).answer.iter().map(|line| line.trim_end_matches('.')).collect::<Vec<_>>(), servers);
    // The node's, where the zone was given none; then the export's first name.
    let mut world =
        World::new().zone("example.com", 1, "a A 192.0.2.1").head(|head| head.dns.as_mut().unwrap().name_servers.clear());
    assert_nothing(&Ask::new("example.com", NS).told(&world.snapshot()), 0);
    assert!(Ask::new("example.com", SOA).told(&world.snapshot()).answer[0].contains("ns1.example.com"));
    world.node.nameservers = vec![name("ns.node.test")];
    assert_eq!(Ask::new("example.com", NS).told(&world.snapshot()).answer.len(), 1);
}

#[test]
fn ns_records_of_the_users_own_at_the_apex_count_with_several_providers() {
    let lines = "@ NS ns1.example.net\n@ NS ns.other.test";
    let world = World::new().zone("example.com", 1, lines);
    assert_eq!(Ask::new("example.com", NS).told(&world.snapshot()).answer.len(), 2);
    let world = world.head(|head| head.dns.as_mut().unwrap().multi_provider = true);
    let told = Ask::new("example.com", NS).told(&world.snapshot());
    assert_eq!(told.answer.len(), 3, "{:?}", told.answer);
    assert!(told.answer.iter().all(|line| line.starts_with("example.com 86400 NS ")));
}

#[test]
fn the_most_specific_zone_answers_and_others_are_refused() {
    assert_eq!(ask("www.child.example.com", A).answer, ["www.child.example.com 300 A 192.0.2.99"]);
    assert!(ask("x.child.example.com", A).authority[0].starts_with("child.example.com 1800 SOA"));
    for name in ["example.org", "com", "", "notexample.com"] {
        let told = Ask::new(name, A).with(super::Opt::of(1232)).told(&snapshot());
        assert_eq!(
            (told.rcode, told.aa, told.answer.len() + told.authority.len(), told.why()),
            (5, false, 0, Some(20)),
            "{name}"
        );
    }
}

#[test]
fn a_pending_zone_shows_its_records_and_hides_nothing() {
    let pending = |head: &mut poterne_snapshot::ZoneHead| head.status = ZoneStatus::Pending;
    let world = World::new().zone("example.com", 1, "www A 192.0.2.1 proxied").head(pending);
    assert_eq!(Ask::new("www.example.com", A).told(&world.snapshot()).answer, ["www.example.com 300 A 192.0.2.1"]);
    let world = World::new().zone("example.com", 1, "*.x A 192.0.2.1").zone("x.example.com", 2, "a A 192.0.2.66").head(pending);
    assert_eq!(Ask::new("a.x.example.com", A).told(&world.snapshot()).answer, ["a.x.example.com 300 A 192.0.2.1"]);
}

#[test]
fn a_zone_that_is_not_whole_is_not_ready() {
    let world = World::new().zone("example.com", 1, "www A 192.0.2.1").head(|head| head.dns = None);
    let told = Ask::new("www.example.com", A).with(super::Opt::of(1232)).told(&world.snapshot());
    assert_eq!((told.rcode, told.answer.len(), told.why()), (2, 0, Some(14)));
}

#[test]
fn anything_and_signatures_are_answered_with_as_little_as_can_be() {
    for (name, rtype) in [("www.example.com", rtype::ANY), ("example.com", rtype::ANY), ("www.example.com", rtype::RRSIG)] {
        let told = ask(name, rtype);
        assert_eq!(told.answer, [format!("{name} 3600 HINFO \"RFC8482\" \"\"")]);
    }
    assert_nothing(&ask("ent.example.com", rtype::ANY), 0);
    assert_nothing(&ask("no.example.com", rtype::ANY), 3);
}

#[test]
fn names_of_tunnels_have_no_addresses() {
    let told = ask(&format!("{TUNNEL}.tunnels.example.com"), A);
    assert_nothing(&told, 0);
    assert_nothing(&ask("other.tunnels.example.com", A), 3);
}

#[test]
fn addresses_take_turns() {
    let mut ask = Ask::new("www.example.com", A);
    let first = |turn, ask: &mut Ask| {
        ask.client.turn = turn;
        ask.told(&snapshot()).answer[0].clone()
    };
    assert!(
        first(0, &mut ask).ends_with("192.0.2.1")
            && first(1, &mut ask).ends_with("192.0.2.2")
            && first(2, &mut ask).ends_with("192.0.2.1")
    );
    ask.client.turn = 1;
    assert_eq!(ask.told(&snapshot()).answer.len(), 2);
}

#[test]
fn mail_hosts_are_named_with_their_names_compressed() {
    let told = ask("example.com", MX);
    assert_eq!(told.answer[0].trim_end_matches('.'), "example.com 300 MX 10 mail.example.com");
    assert_eq!(told.octets.windows(8).filter(|octets| *octets == b"\x07example").count(), 1);
}
