//! CNAMEs flattened through other providers (edge-behaviour §1.6): what is answered of what is known, and what is sought.

use std::sync::Arc;

use poterne_dns_sign::Algorithm;
use poterne_dns_wire::rtype::{A, AAAA, CNAME, HTTPS, MX, NSEC, TXT};
use poterne_model::{AccountId, ZoneStatus};
use poterne_snapshot::Snapshot;
use proptest::prelude::*;

use super::{
    Ask, Opt, Told,
    validator::{Keys, validate},
    world::{World, name},
};
use crate::{Elsewhere, Outcome, Service, Signer, SignerLimits, Sought};

const NOW: u32 = 1_559_731_985;
const LINES: &str = "@ CNAME host.example.org\n@ MX 10 mail.one.test\nflat 120 CNAME host.example.org flattened
    plain CNAME host.example.org\nwww CNAME plain.one.test\nto CNAME flat.one.test\n*.wild CNAME host.example.org flattened
    edge A 192.0.2.1 proxied\nmail A 192.0.2.25\npast CNAME edge.two.test flattened";

/// A node with what it knows of others.
struct Node {
    snapshot: Snapshot,
    service: Service,
    now_secs: u32,
}

fn sought(text: &str, rtype: u16) -> Sought {
    Sought { account: AccountId::from_bytes([1; 16]), name: name(text), rtype }
}

impl Node {
    fn new(world: &World) -> Self {
        let service = Service { elsewhere: Some(Arc::new(Elsewhere::new())), ..super::service() };
        Self { snapshot: world.snapshot(), service, now_secs: NOW }
    }

    fn of(lines: &str) -> Self {
        Self::new(&World::new().zone("one.test", 1, lines))
    }

    fn table(&self) -> &Elsewhere {
        self.service.elsewhere.as_ref().unwrap()
    }

    /// The name has this, as of now.
    fn knows(&self, text: &str, rtype: u16, ttl_secs: u32, addresses: &[&str]) {
        let addresses = addresses.iter().map(|text| text.parse().unwrap());
        self.table().put(&sought(text, rtype), Outcome::addresses(rtype, addresses), ttl_secs, false, self.now_secs);
    }

    fn ask(&self, name: &str, rtype: u16) -> Told {
        let mut ask = Ask::new(name, rtype).with(Opt::of(1232));
        ask.client.now_secs = self.now_secs;
        super::told_of(&self.snapshot, &self.service, &ask.client, &ask.octets())
    }

    fn lacks(&self, name: &str, rtype: u16) -> Option<Sought> {
        let told = self.ask(name, rtype);
        let sought = told.reply.sought.clone();
        assert_eq!(told.reply.lacks, sought.is_some(), "{told:?}");
        if told.reply.lacks {
            assert_eq!((told.rcode, told.answer.len(), told.why()), (2, 0, Some(22)));
        }
        sought.map(|sought| *sought)
    }
}

fn lines(told: &Told) -> Vec<String> {
    told.answer.iter().map(|line| line.trim_end_matches('.').to_owned()).collect()
}

#[test]
fn what_is_known_is_answered_under_the_name_that_was_asked_for() {
    let node = Node::of(LINES);
    node.knows("host.example.org", A, 200, &["198.51.100.2", "198.51.100.1"]);
    node.knows("host.example.org", AAAA, 3600, &["2001:db8::99"]);
    assert_eq!(lines(&node.ask("one.test", A)), ["one.test 180 A 198.51.100.1", "one.test 180 A 198.51.100.2"]);
    assert_eq!(lines(&node.ask("one.test", AAAA)), ["one.test 300 AAAA 2001:db8::99"]);
    assert_eq!(lines(&node.ask("flat.one.test", AAAA)), ["flat.one.test 120 AAAA 2001:db8::99"], "the CNAME's own TTL counts");
    assert_eq!(lines(&node.ask("to.one.test", AAAA)), ["to.one.test 120 AAAA 2001:db8::99"]);
    assert_eq!(lines(&node.ask("a.b.wild.one.test", AAAA)), ["a.b.wild.one.test 300 AAAA 2001:db8::99"]);
    let told = node.ask("one.test", A);
    assert!(told.aa && told.why().is_none() && told.reply.sought.is_none());
    // What is not to be hidden is shown, for every type, and nobody is asked.
    let plain = ["plain.one.test 300 CNAME host.example.org"];
    assert_eq!(lines(&node.ask("plain.one.test", A)), plain);
    assert_eq!(lines(&node.ask("plain.one.test", TXT)), plain);
    assert_eq!(lines(&node.ask("www.one.test", TXT)).len(), 2);
}

#[test]
fn what_is_not_known_is_sought_and_only_for_addresses() {
    let node = Node::of(LINES);
    for name in ["one.test", "flat.one.test", "to.one.test", "x.wild.one.test"] {
        for rtype in [A, AAAA] {
            assert_eq!(node.lacks(name, rtype), Some(sought("host.example.org", rtype)), "{name}");
        }
        for rtype in [TXT, CNAME, HTTPS] {
            let told = node.ask(name, rtype);
            assert_eq!(told.shape(), (0, 0, vec!["SOA".to_owned()]), "{name}");
            assert!(told.reply.sought.is_none());
        }
    }
    assert_eq!(lines(&node.ask("one.test", MX)).len(), 1);
    for name in ["plain.one.test", "www.one.test", "edge.one.test", "no.one.test"] {
        assert_eq!(node.lacks(name, A), None, "{name}");
    }
}

#[test]
fn a_name_that_is_not_there_is_no_data_and_one_that_fails_is_a_failure() {
    let node = Node::of(LINES);
    node.table().put(&sought("host.example.org", A), Outcome::Nothing, 60, false, NOW);
    let told = node.ask("one.test", A);
    assert_eq!((told.shape(), told.why()), ((0, 0, vec!["SOA".to_owned()]), None));
    node.table().put(&sought("host.example.org", A), Outcome::Blocked, 60, false, NOW);
    let told = node.ask("one.test", A);
    assert_eq!((told.shape(), told.why()), ((0, 0, vec!["SOA".to_owned()]), Some(15)));
    node.table().failed(&sought("host.example.org", AAAA), NOW);
    let told = node.ask("one.test", AAAA);
    assert_eq!((told.shape(), told.why()), ((2, 0, vec![]), Some(22)));
    assert!(!told.reply.lacks && told.reply.sought.is_none(), "it was asked for a moment ago");
    // Another account's knowledge is its own: it may be led elsewhere.
    let other = Node { snapshot: World::new().zone("two.test", 2, "@ CNAME host.example.org").snapshot(), ..node };
    assert!(other.ask("two.test", A).reply.lacks);
}

#[test]
fn what_is_in_demand_is_sought_anew_before_it_runs_out_and_given_stale_where_it_cannot_be() {
    let mut node = Node::of(LINES);
    node.knows("host.example.org", A, 100, &["198.51.100.1"]);
    node.now_secs = NOW + 85;
    let told = node.ask("one.test", A);
    assert_eq!((told.answer.len(), told.reply.lacks), (1, false));
    assert_eq!(told.reply.sought.as_deref(), Some(&sought("host.example.org", A)));
    node.now_secs = NOW + 100;
    assert!(node.lacks("one.test", A).is_some());
    node.table().failed(&sought("host.example.org", A), node.now_secs);
    let told = node.ask("one.test", A);
    assert_eq!((lines(&told), told.why()), (vec!["one.test 30 A 198.51.100.1".to_owned()], Some(3)));
    assert!(told.reply.sought.is_none());
    node.now_secs = NOW + 100 + 3600;
    node.table().failed(&sought("host.example.org", A), node.now_secs);
    assert_eq!((node.ask("one.test", A).rcode, node.ask("one.test", A).answer.len()), (2, 0));
}

#[test]
fn a_chain_that_comes_back_is_followed_here() {
    let world = World::new().zone("one.test", 1, "@ CNAME out.example.org\nself CNAME loop.example.org flattened").zone(
        "two.test",
        1,
        "edge A 192.0.2.1 proxied\nhost 60 A 192.0.2.7\non CNAME more.example.net",
    );
    let node = Node::new(&world);
    let back = |from: &str, to: &str| {
        node.table().put(&sought(from, A), Outcome::back(&name(to)), 240, false, NOW);
        node.table().put(&sought(from, AAAA), Outcome::back(&name(to)), 240, false, NOW);
    };
    back("out.example.org", "host.two.test");
    assert_eq!(lines(&node.ask("one.test", A)), ["one.test 60 A 192.0.2.7"]);
    assert_eq!(node.ask("one.test", AAAA).shape(), (0, 0, vec!["SOA".to_owned()]));
    back("out.example.org", "edge.two.test");
    assert!(lines(&node.ask("one.test", A)).iter().all(|line| line.starts_with("one.test 300 A 203.0.113.1")));
    assert_eq!(node.ask("one.test", AAAA).answer.len(), 2, "the edge has both families");
    // Out again.
    back("out.example.org", "on.two.test");
    assert_eq!(node.lacks("one.test", A), Some(sought("more.example.net", A)));
    node.knows("more.example.net", A, 300, &["198.51.100.4"]);
    assert_eq!(lines(&node.ask("one.test", A)), ["one.test 240 A 198.51.100.4"]);
    // Round and round.
    back("loop.example.org", "self.one.test");
    let told = node.ask("self.one.test", A);
    assert_eq!((told.rcode, told.why(), told.reply.lacks), (2, Some(0), false));
    back("more.example.net", "on.two.test");
    let told = node.ask("one.test", A);
    assert_eq!((told.rcode, told.why()), (2, Some(0)), "between two others it does not end either");
}

#[test]
fn signed_zones_sign_what_they_flatten_and_deny_only_what_is_known_not_to_be() {
    let keys = Keys::new(Algorithm::EcdsaP256Sha256);
    let node = Node::new(&World::new().zone("one.test", 1, LINES).head(|head| keys.put(head, NOW)));
    let signer = Arc::new(Signer::new(keys.node.clone(), SignerLimits::default()));
    let service = Service { signer: Some(Arc::clone(&signer)), ..node.service.clone() };
    let proven = |text: &str, rtype: u16, now_secs: u32| {
        let mut ask = Ask::new(text, rtype).with(Opt { dnssec_ok: true, ..Opt::of(1232) });
        ask.client.now_secs = now_secs;
        let told = super::told_of(&node.snapshot, &service, &ask.client, &ask.octets());
        validate(&told.octets, &name("one.test"), &keys, now_secs);
        told
    };
    let nsec = |told: &Told| told.authority.iter().find(|line| line.contains(" NSEC ")).cloned().unwrap_or_default();
    // Nothing is known: both may be there.
    let line = nsec(&proven("one.test", TXT, NOW));
    assert!(line.contains(" A ") && line.contains(" AAAA "), "{line}");
    node.knows("host.example.org", A, 300, &["198.51.100.1"]);
    node.table().put(&sought("host.example.org", AAAA), Outcome::Nothing, 300, false, NOW);
    let told = proven("one.test", A, NOW);
    assert_eq!((told.answer.len(), told.reply.signed.made), (2, 1));
    let line = nsec(&proven("one.test", AAAA, NOW));
    assert!(line.contains(" A ") && !line.contains(" AAAA "), "{line}");
    assert!(proven("one.test", NSEC, NOW).answer[0].contains(" NSEC "));
    // Time alone makes few signatures.
    let made: u32 = (0..300).map(|secs| u32::from(proven("one.test", A, NOW + secs).reply.signed.made)).sum();
    assert!(made <= 10, "{made}");
    // And what is not known is no answer to sign.
    let mut ask = Ask::new("flat.one.test", A).with(Opt { dnssec_ok: true, ..Opt::of(1232) });
    ask.client.now_secs = NOW + 300;
    let told = super::told_of(&node.snapshot, &service, &ask.client, &ask.octets());
    assert_eq!((told.rcode, told.answer.len() + told.authority.len(), told.reply.lacks), (2, 0, true));
}

#[test]
fn a_pending_zone_and_one_that_flattens_all_are_flattened_too() {
    let pending = World::new().zone("one.test", 1, LINES).head(|head| head.status = ZoneStatus::Pending);
    assert_eq!(Node::new(&pending).lacks("one.test", A), Some(sought("host.example.org", A)));
    let all = World::new().zone("one.test", 1, LINES).head(|head| head.dns.as_mut().unwrap().flattens_all = true);
    let node = Node::new(&all);
    for name in ["plain.one.test", "www.one.test"] {
        assert_eq!(node.lacks(name, A), Some(sought("host.example.org", A)));
        assert_eq!(node.ask(name, CNAME).answer.len(), 0);
    }
}

proptest! {
    /// Whatever is known: an answer has at most the set that is known, its TTL is within bounds, and what it lacks it says.
    #[test]
    fn whatever_is_known_is_told_or_sought(
        steps in prop::collection::vec((0u8..6, 0u32..400, 0u32..2000), 0..12),
        asked in prop::sample::select(vec!["one.test", "flat.one.test", "to.one.test", "past.one.test"]),
    ) {
        let mut node = Node::of(LINES);
        for (step, ttl_secs, passes) in steps {
            let of = sought("host.example.org", A);
            match step {
                0 => node.table().failed(&of, node.now_secs),
                1 => node.table().put(&of, Outcome::Nothing, ttl_secs, false, node.now_secs),
                2 => node.table().put(&of, Outcome::back(&name("edge.one.test")), ttl_secs, false, node.now_secs),
                3 => node.table().put(&of, Outcome::back(&name("to.one.test")), ttl_secs, true, node.now_secs),
                4 => node.table().put(&of, Outcome::Blocked, ttl_secs, false, node.now_secs),
                _ => node.knows("host.example.org", A, ttl_secs, &["198.51.100.1"]),
            }
            node.now_secs += passes;
            let told = node.ask(asked, A);
            prop_assert!(!told.reply.lacks || told.rcode == 2 && told.reply.sought.is_some());
            prop_assert!(told.rcode == 0 || told.rcode == 2 && told.answer.is_empty() && told.why().is_some());
            for line in &told.answer {
                let mut words = line.split(' ');
                prop_assert_eq!(words.next().map(|owner| owner.trim_end_matches('.')), Some(asked));
                let ttl: u32 = words.next().unwrap().parse().unwrap();
                prop_assert!((30..=300).contains(&ttl), "{}", line);
            }
        }
    }
}
