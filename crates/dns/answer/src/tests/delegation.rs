//! Names that others answer for (RFC 1034 §4.2.1, RFC 9471, RFC 4035 §3.1.4).

use poterne_dns_wire::rtype::{A, ANY, DS, NS, TXT};
use poterne_snapshot::Snapshot;

use super::{Ask, Opt, Told, world::World};

const DIGEST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn snapshot() -> Snapshot {
    let lines = format!(
        "sub 120 NS ns1.sub.example.com
         sub 120 NS ns.other.example.com
         sub 120 NS ns.example.org
         sub DS 42 13 2 {DIGEST}
         ns1.sub A 192.0.2.53
         ns1.sub AAAA 2001:db8::53
         ns.other A 192.0.2.54
         plain.sub TXT \"not ours\"
         away NS ns.example.org
         to CNAME x.sub.example.com
         *.wild A 192.0.2.1"
    );
    World::new().zone("example.com", 1, &lines).zone("child.example.com", 1, "a A 192.0.2.1").snapshot()
}

fn ask(name: &str, rtype: u16) -> Told {
    Ask::new(name, rtype).told(&snapshot())
}

#[test]
fn names_at_and_below_a_cut_are_referred_with_glue() {
    for (name, rtype) in [
        ("sub.example.com", A),
        ("sub.example.com", NS),
        ("x.y.sub.example.com", A),
        ("plain.sub.example.com", TXT),
        ("sub.example.com", ANY),
    ] {
        let told = ask(name, rtype);
        assert_eq!((told.rcode, told.aa, told.answer.len(), told.authority.len()), (0, false, 0, 3), "{name}");
        assert!(told.authority.iter().all(|line| line.starts_with("sub.example.com 120 NS ns")));
        let glue = [
            "ns1.sub.example.com 300 A 192.0.2.53",
            "ns1.sub.example.com 300 AAAA 2001:db8::53",
            "ns.other.example.com 300 A 192.0.2.54",
        ];
        assert_eq!(told.additional, glue);
    }
    let told = ask("x.away.example.com", A);
    assert_eq!((told.authority.len(), told.additional.len()), (1, 0));
}

#[test]
fn digests_of_a_childs_keys_are_the_parents() {
    let told = ask("sub.example.com", DS);
    assert!(told.aa && told.answer.len() == 1 && told.answer[0].starts_with("sub.example.com 300 DS 42 "));
    let told = ask("away.example.com", DS);
    assert_eq!((told.aa, told.shape()), (true, (0, 0, vec!["SOA".to_owned()])));
    assert!(!ask("x.sub.example.com", DS).aa, "below the cut they are not");
    // Of a zone that is here too, as of one that is elsewhere.
    let told = ask("child.example.com", DS);
    assert!(told.authority[0].starts_with("example.com 1800 SOA"), "{:?}", told.authority);
    let told = ask("example.com", DS);
    assert!(told.rcode == 0 && told.authority[0].starts_with("example.com 1800 SOA"));
}

#[test]
fn a_chain_ends_at_a_cut() {
    let told = ask("to.example.com", A);
    assert_eq!((told.rcode, told.aa, told.answer.len(), told.authority.len()), (0, true, 1, 0));
}

#[test]
fn glue_that_does_not_fit_is_waited_for() {
    let mut lines = String::new();
    for number in 0..40 {
        lines.push_str(&format!("sub NS nameserver-{number}.sub.example.com\nnameserver-{number}.sub A 192.0.2.{number}\n"));
    }
    let snapshot = World::new().zone("example.com", 1, &lines).snapshot();
    let told = Ask::new("x.sub.example.com", A).with(Opt::of(1232)).told(&snapshot);
    assert!(told.tc && told.authority.is_empty() && told.additional.is_empty());
    let told = Ask::new("x.sub.example.com", A).over(crate::Transport::Tcp).told(&snapshot);
    assert_eq!((told.tc, told.authority.len(), told.additional.len()), (false, 40, 40));
}
