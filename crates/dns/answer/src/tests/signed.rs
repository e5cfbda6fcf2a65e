//! Signed zones (RFC 4035 §3, RFC 9824, edge-behaviour §1.10 and §5.11): what is answered validates, and denies exactly what is not there.

use std::{cell::Cell, sync::Arc};

use poterne_dns_sign::Algorithm;
use poterne_dns_wire::rtype::{A, AAAA, ANY, CDNSKEY, CDS, CNAME, DNSKEY, DS, HTTPS, MX, NS, NSEC, NXNAME, RRSIG, SOA, TXT};
use poterne_snapshot::Snapshot;
use proptest::prelude::*;

use super::{
    Ask, Opt, Told,
    validator::{Denial, Keys, validate},
    world::{World, name},
};
use crate::{Kind, Signer, SignerLimits, Transport};

const NOW: u32 = 1_559_731_985;
const DIGEST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A node that signs, and a zone.
struct Node {
    snapshot: Snapshot,
    keys: Keys,
    signer: Arc<Signer>,
    now_secs: u32,
    /// Signatures made, remembered, and questions that got none.
    counts: Cell<[u32; 3]>,
}

fn lines() -> String {
    format!(
        "www A 192.0.2.1
         www A 192.0.2.2
         www AAAA 2001:db8::1
         *.wild TXT \"text\"
         deep.ent A 192.0.2.3
         to CNAME www.example.com
         gone CNAME nowhere.example.com
         away CNAME host.example.org
         flat CNAME www.example.com flattened
         mail MX 10 Mail.Example.com
         p A 198.51.100.1 proxied
         p MX 10 mail.example.com
         sub NS ns1.sub.example.com
         ns1.sub A 192.0.2.53
         safe NS ns.example.org
         safe DS 42 13 2 {DIGEST}"
    )
}

impl Node {
    fn new(algorithm: Algorithm, limits: SignerLimits) -> Self {
        Self::of(World::new().zone("example.com", 1, &lines()), algorithm, limits)
    }

    fn of(world: World, algorithm: Algorithm, limits: SignerLimits) -> Self {
        let keys = Keys::new(algorithm);
        let snapshot = world.head(|head| keys.put(head, NOW)).snapshot();
        let signer = Arc::new(Signer::new(keys.node.clone(), limits));
        Self { snapshot, keys, signer, now_secs: NOW, counts: Cell::default() }
    }

    fn told(&self, mut ask: Ask) -> Told {
        ask.client.now_secs = self.now_secs;
        let told = super::told_by(&self.snapshot, Some(Arc::clone(&self.signer)), &ask.client, &ask.octets());
        let ([made, remembered, refused], signed) = (self.counts.get(), told.reply.signed);
        let of = |count: u8| u32::from(count);
        self.counts.set([made + of(signed.made), remembered + of(signed.remembered), refused + u32::from(signed.is_refused)]);
        told
    }

    fn ask(&self, name: &str, rtype: u16) -> Told {
        self.told(Ask::new(name, rtype).with(signed()))
    }

    /// Asks and validates.
    fn proven(&self, name: &str, rtype: u16) -> (Told, Vec<Denial>) {
        let told = self.ask(name, rtype);
        let denials = validate(&told.octets, &super::world::name("example.com"), &self.keys, self.now_secs);
        (told, denials)
    }
}

fn signed() -> Opt {
    Opt { dnssec_ok: true, ..Opt::of(1232) }
}

fn node() -> Node {
    Node::new(Algorithm::EcdsaP256Sha256, SignerLimits::default())
}

#[test]
fn every_kind_of_answer_validates() {
    for algorithm in [Algorithm::EcdsaP256Sha256, Algorithm::Ed25519] {
        let node = Node::new(algorithm, SignerLimits::default());
        for (name, rtype, records) in [
            ("www.example.com", A, 3),
            ("wWw.exAmple.com", AAAA, 2),
            ("a.b.wild.example.com", TXT, 2),
            ("*.wild.example.com", TXT, 2),
            ("to.example.com", A, 3),
            ("away.example.com", A, 2),
            ("away.example.com", CNAME, 2),
            ("flat.example.com", A, 3),
            ("mail.example.com", MX, 2),
            ("p.example.com", A, 3),
            ("p.example.com", HTTPS, 2),
            ("p.example.com", MX, 2),
            ("safe.example.com", DS, 2),
            ("example.com", SOA, 2),
            ("example.com", NS, 3),
            ("example.com", DNSKEY, 3),
            ("example.com", CDS, 2),
            ("example.com", CDNSKEY, 2),
            ("www.example.com", ANY, 2),
            ("www.example.com", RRSIG, 2),
        ] {
            let (told, _) = node.proven(name, rtype);
            assert_eq!((told.rcode, told.answer.len()), (0, records), "{name} {rtype}: {:?}", told.answer);
            assert!(told.opt.as_ref().is_some_and(|opt| opt.1));
        }
    }
}

#[test]
fn what_is_not_there_is_denied_exactly() {
    let node = node();
    for (name, rtype, kind, owner, types) in [
        ("no.example.com", A, Kind::NoName, "no.example.com", &[RRSIG, NSEC, NXNAME][..]),
        ("a.no.example.com", DS, Kind::NoName, "a.no.example.com", &[RRSIG, NSEC, NXNAME]),
        ("gone.example.com", A, Kind::NoData, "gone.example.com", &[RRSIG, NSEC]),
        ("away.example.com", NSEC, Kind::Data, "away.example.com", &[CNAME, RRSIG, NSEC]),
        ("www.example.com", TXT, Kind::NoData, "www.example.com", &[A, AAAA, RRSIG, NSEC]),
        ("WWW.example.com", TXT, Kind::NoData, "www.example.com", &[A, AAAA, RRSIG, NSEC]),
        ("ent.example.com", A, Kind::NoData, "ent.example.com", &[RRSIG, NSEC]),
        ("x.wild.example.com", A, Kind::NoData, "x.wild.example.com", &[TXT, RRSIG, NSEC]),
        ("flat.example.com", MX, Kind::NoData, "flat.example.com", &[A, AAAA, RRSIG, NSEC]),
        ("p.example.com", TXT, Kind::NoData, "p.example.com", &[A, MX, AAAA, RRSIG, NSEC, HTTPS]),
        ("sub.example.com", DS, Kind::NoData, "sub.example.com", &[NS, RRSIG, NSEC]),
        ("example.com", TXT, Kind::NoData, "example.com", &[NS, SOA, RRSIG, NSEC, DNSKEY, CDS, CDNSKEY]),
        ("example.com", DS, Kind::NoData, "example.com", &[NS, SOA, RRSIG, NSEC, DNSKEY, CDS, CDNSKEY]),
    ] {
        let (told, denials) = node.proven(name, rtype);
        assert_eq!((told.rcode, told.reply.kind), (0, kind), "{name} {rtype}");
        assert_eq!(denials, [Denial { owner: owner.into(), types: types.to_vec() }], "{name} {rtype}");
        if kind != Kind::Data {
            assert_eq!(told.shape().2, ["SOA", "RRSIG", "NSEC", "RRSIG"], "{name}");
            assert!(told.authority[2].contains(" 1800 NSEC "), "{:?}", told.authority);
        }
    }
}

#[test]
fn a_client_that_knows_compact_answers_is_told_the_code() {
    let node = node();
    for (name, rcode) in [("no.example.com", 3), ("a.b.no.example.com", 3), ("ent.example.com", 0)] {
        let told = node.told(Ask::new(name, A).with(Opt { compact_ok: true, ..signed() }));
        validate(&told.octets, &name_of(), &node.keys, NOW);
        assert_eq!(told.rcode, rcode, "{name}");
    }
    // Who takes no signatures is told as ever.
    let told = node.told(Ask::new("no.example.com", A).with(Opt { compact_ok: true, ..Opt::of(1232) }));
    assert_eq!((told.rcode, told.shape().2), (3, vec!["SOA".to_owned()]));
    assert_eq!(node.told(Ask::new("www.example.com", A)).answer.len(), 2);
}

fn name_of() -> poterne_model::Name {
    name("example.com")
}

#[test]
fn the_record_that_denies_is_there_when_it_is_asked_for() {
    let node = node();
    for (name, types) in [("www.example.com", &[A, AAAA, RRSIG, NSEC][..]), ("no.example.com", &[RRSIG, NSEC, NXNAME])] {
        let (told, denials) = node.proven(name, NSEC);
        assert_eq!((told.rcode, told.answer.len(), told.authority.len()), (0, 2, 0));
        assert_eq!(denials, [Denial { owner: name.into(), types: types.to_vec() }]);
    }
    let told = node.ask("www.example.com", NXNAME);
    assert_eq!((told.rcode, told.why()), (1, Some(30)));
}

#[test]
fn delegations_are_shown_to_be_safe_or_not() {
    let node = node();
    let (told, denials) = node.proven("x.sub.example.com", A);
    assert_eq!((told.aa, told.reply.kind), (false, Kind::Referral));
    assert_eq!(told.shape().2, ["NS", "NSEC", "RRSIG"]);
    assert_eq!(denials, [Denial { owner: "sub.example.com".into(), types: vec![NS, RRSIG, NSEC] }]);
    assert_eq!(told.additional, ["ns1.sub.example.com 300 A 192.0.2.53"]);
    let (told, denials) = node.proven("x.safe.example.com", A);
    assert_eq!((told.shape().2, denials), (["NS", "DS", "RRSIG"].map(str::to_owned).to_vec(), vec![]));
    assert_eq!(node.told(Ask::new("x.safe.example.com", A)).authority.len(), 1, "nothing of it without DO");
}

#[test]
fn a_zone_below_is_delegated_without_ns_records() {
    let world = World::new().zone("child.example.com", 1, "www A 192.0.2.1");
    let lines = format!("a A 192.0.2.1\nsafe A 192.0.2.2\nsafe DS 42 13 2 {DIGEST}");
    let world = world.zone("safe.example.com", 1, "www A 192.0.2.1").zone("example.com", 1, &lines);
    let node = Node::of(world, Algorithm::Ed25519, SignerLimits::default());
    let (told, denials) = node.proven("child.example.com", DS);
    assert_eq!((told.rcode, told.reply.kind), (0, Kind::NoData));
    assert_eq!(denials, [Denial { owner: "child.example.com".into(), types: vec![NS, RRSIG, NSEC] }]);
    assert_eq!(node.proven("safe.example.com", DS).0.answer.len(), 2);
    let plain = node.told(Ask::new("child.example.com", DS));
    assert_eq!((plain.rcode, plain.shape().2), (0, vec!["SOA".to_owned()]));
}

#[test]
fn a_signature_is_made_once_and_anew_at_half_its_life() {
    let mut node = node();
    let first = node.ask("www.example.com", A);
    let counts = |node: &Node| (node.counts.get()[0], node.counts.get()[1]);
    assert_eq!(counts(&node), (1, 0));
    // Another order of the addresses, and other letters.
    let mut ask = Ask::new("WWW.example.com", A).with(signed());
    ask.client.turn = 1;
    let again = node.told(ask);
    let rrsig =
        |told: &Told| told.answer.iter().find(|line| line.contains(" RRSIG ")).unwrap().split_once(' ').unwrap().1.to_owned();
    assert_eq!((counts(&node), rrsig(&first)), ((1, 1), rrsig(&again)));
    node.now_secs += 20 * 3600;
    assert_eq!((rrsig(&node.ask("www.example.com", A)), counts(&node)), (rrsig(&first), (1, 2)));
    node.now_secs += 20 * 3600;
    assert_ne!(rrsig(&node.proven("www.example.com", A).0), rrsig(&first));
    assert_eq!(counts(&node), (2, 2));
    // A snapshot in which something else changed: what did not change keeps its signature.
    let changed = World::new().zone("example.com", 1, &format!("{}\nnew A 192.0.2.9", lines()));
    let keys = node.snapshot.zone_over("example.com").unwrap().head().dns.as_ref().unwrap().keys.clone();
    node.snapshot = changed.head(|head| head.dns.as_mut().unwrap().keys = keys).snapshot();
    node.ask("www.example.com", A);
    assert_eq!(counts(&node), (2, 3));
}

#[test]
fn a_zone_has_a_budget_of_signatures_a_second() {
    let mut node = Node::new(Algorithm::EcdsaP256Sha256, SignerLimits { made_per_sec_max: 3, ..SignerLimits::default() });
    let ask = |node: &Node, number: u32| node.ask(&format!("no-{number}.example.com"), A);
    // The first makes two signatures, of the SOA too.
    assert_eq!([0, 1].map(|number| ask(&node, number).tc), [false, false]);
    let told = ask(&node, 2);
    assert_eq!((told.rcode, told.tc, told.answer.len() + told.authority.len(), told.opt.is_some()), (0, true, 0, true));
    assert!(!ask(&node, 0).tc, "what is remembered is given");
    // Over TCP another budget, and when that is spent it is said.
    let over_tcp = |node: &Node, number: u32| {
        node.told(Ask::new(&format!("no-{number}.example.com"), A).with(signed()).over(Transport::Tcp))
    };
    assert_eq!([3, 4, 5].map(|number| over_tcp(&node, number).rcode), [0, 0, 0]);
    let told = over_tcp(&node, 6);
    assert_eq!((told.rcode, told.why(), told.reply.zone.is_some()), (2, Some(0), true));
    assert_eq!(node.counts.get()[2], 2);
    node.now_secs += 1;
    assert!(!ask(&node, 2).tc);
    // What is past half its life is given while there is no budget.
    let spent = |node: &Node| (0..9).for_each(|number| drop(node.ask(&format!("more-{number}.example.com"), A)));
    node.now_secs += 40 * 3600;
    spent(&node);
    let told = ask(&node, 0);
    assert!(!told.tc);
    validate(&told.octets, &name_of(), &node.keys, node.now_secs);
}

#[test]
fn a_key_that_does_not_open_is_said() {
    let mut node = node();
    node.signer = Arc::new(Signer::new(poterne_keys::NodeKey::generate(), SignerLimits::default()));
    let told = node.ask("www.example.com", A);
    assert_eq!((told.rcode, told.why()), (2, Some(0)));
    assert_eq!(node.told(Ask::new("www.example.com", A)).rcode, 0);
}

#[test]
fn a_chain_into_a_zone_that_is_not_signed_is_signed_as_far_as_it_can_be() {
    let world = World::new().zone("plain.test", 1, "a A 192.0.2.1").zone(
        "example.com",
        1,
        "to CNAME a.plain.test\nno CNAME b.plain.test",
    );
    let node = Node::of(world, Algorithm::Ed25519, SignerLimits::default());
    let told = node.proven("to.example.com", A).0;
    assert_eq!((told.rcode, told.answer.len()), (0, 3));
    let (told, denials) = node.proven("no.example.com", A);
    assert_eq!((told.rcode, told.answer.len(), told.shape().2, denials), (3, 2, vec!["SOA".to_owned()], vec![]));
}

#[test]
fn a_chain_into_another_zone_is_signed_by_both() {
    let keys = Keys::new(Algorithm::EcdsaP256Sha256);
    let world = World::new().zone("other.test", 1, "www A 192.0.2.1\nent.ent A 192.0.2.1").head(|head| keys.put(head, NOW));
    let world = world.zone("example.com", 1, "to CNAME www.other.test\ngone CNAME no.other.test\nempty CNAME ent.other.test");
    let node = Node {
        signer: Arc::new(Signer::new(keys.node.clone(), SignerLimits::default())),
        snapshot: world.head(|head| keys.put(head, NOW)).snapshot(),
        keys,
        now_secs: NOW,
        counts: Cell::default(),
    };
    let both = |asked: &str, opt: Opt| {
        let told = node.told(Ask::new(asked, A).with(opt));
        let denials = ["example.com", "other.test"].map(|apex| validate(&told.octets, &name(apex), &node.keys, NOW));
        (told.rcode, told.answer.len(), told.shape().2.len(), denials.concat())
    };
    assert_eq!(both("to.example.com", signed()), (0, 4, 0, vec![]));
    let denial = |owner: &str, types: &[u16]| vec![Denial { owner: owner.into(), types: types.to_vec() }];
    let gone = denial("no.other.test", &[RRSIG, NSEC, NXNAME]);
    assert_eq!(both("gone.example.com", signed()), (0, 2, 4, gone.clone()));
    assert_eq!(both("gone.example.com", Opt { compact_ok: true, ..signed() }), (3, 2, 4, gone));
    assert_eq!(both("empty.example.com", signed()), (0, 2, 4, denial("ent.other.test", &[RRSIG, NSEC])));
}

#[test]
fn names_as_long_as_can_be_are_denied() {
    let node = node();
    let long = [63, 63, 63, 49].map(|length| "n".repeat(length)).join(".") + ".example.com";
    let (told, denials) = node.proven(&long, A);
    assert_eq!(told.reply.kind, Kind::NoName);
    assert_eq!(denials[0].owner.trim_end_matches('.'), long);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Any records, any question: what is answered of a signed zone validates, and a denial never denies what another question finds.
    #[test]
    fn any_answer_validates(
        lines in prop::collection::vec(("@|(\\*\\.)?[abc](\\.[ab])?", prop_oneof![
            Just("A 192.0.2.1"), Just("TXT \"x\""), Just("CNAME a.example.com"), Just("CNAME b.a.example.com flattened"),
            Just("A 198.51.100.1 proxied"), Just("NS ns.example.org"), Just("MX 10 c.example.com"),
        ]), 0..8),
        asked in prop::collection::vec("(\\*\\.)?([abcx]\\.){0,3}", 1..6),
    ) {
        // No two of which one would have to be refused when it is saved.
        let mut kept: Vec<(String, &str)> = Vec::new();
        for (owner, data) in lines {
            if !kept.iter().any(|(other, _)| *other == owner) {
                kept.push((owner, data));
            }
        }
        let text: String = kept.iter().map(|(owner, data)| format!("{owner} {data}\n")).collect();
        let node = Node::of(World::new().zone("example.com", 1, &text), Algorithm::Ed25519, SignerLimits::default());
        for labels in asked {
            let name = format!("{labels}example.com");
            let types = [A, AAAA, TXT, MX, NS, DS, CNAME, HTTPS, SOA];
            let mut there = Vec::new();
            let mut denied: Vec<Denial> = Vec::new();
            for rtype in types {
                let (told, denials) = node.proven(&name, rtype);
                let at_name = denials.into_iter().filter(|denial| denial.owner == name && told.reply.kind != Kind::Referral);
                denied.extend(at_name);
                if told.reply.kind == Kind::Data && told.answer.iter().any(|line| {
                    let mut words = line.split(' ');
                    words.next() == Some(&name) && words.nth(1) == Some(&wire_type(rtype))
                }) {
                    there.push(rtype);
                }
            }
            for denial in denied {
                let said: Vec<u16> = denial.types.iter().copied().filter(|rtype| types.contains(rtype)).collect();
                // What is delegated has its NS records told elsewhere, not answered.
                let said: Vec<u16> = said.into_iter().filter(|rtype| *rtype != NS || there.contains(&NS)).collect();
                let mut there = there.clone();
                there.sort_unstable();
                prop_assert_eq!(&said, &there, "{} in {}", name, text);
            }
        }
    }
}

fn wire_type(rtype: u16) -> String {
    domain::base::iana::Rtype::from_int(rtype).to_string()
}
