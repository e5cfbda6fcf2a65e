//! Challenges of certificate authorities over a zone (edge-behaviour §1.8, §7.3): seen by whoever asks for them, and by nobody else.

use std::sync::Arc;

use poterne_dns_sign::Algorithm;
use poterne_dns_wire::rtype::{A, AAAA, ANY, CNAME, MX, TXT};
use poterne_snapshot::Snapshot;
use proptest::prelude::*;

use super::{
    Ask, Opt, Told,
    validator::{Keys, validate},
    world::{World, name},
};
use crate::{Signer, SignerLimits};

const NOW: u32 = 1_559_731_985;
const LINES: &str = "
    * A 192.0.2.7
    *.sub CNAME host.example.org
    *.text 600 TXT \"theirs\"
    www A 192.0.2.1
    _acme-challenge.www 600 TXT \"mine\"
    _acme-challenge.www MX 10 mail.example.com
    _acme-challenge.led CNAME led.dcv.example.net
    _acme-challenge.inner CNAME www.example.com
    below._acme-challenge.ent A 192.0.2.9
    cut NS ns.example.net";

fn world() -> World {
    let owners = ["foo", "deep.er", "x.sub", "y.text", "www", "led", "inner", "ent", "cut", "a.cut"];
    let mut world = World::new().zone("example.com", 1, LINES);
    for owner in owners {
        world = world.challenge(&format!("_acme-challenge.{owner}.example.com"), "token", NOW + 100);
    }
    world
        .challenge("_acme-challenge.example.com", "one", NOW + 100)
        .challenge("_acme-challenge.example.com", "two", NOW + 200)
        .challenge("_acme-challenge.example.com", "one", NOW + 300)
        .challenge("_acme-challenge.www.example.com", "mine", NOW + 100)
}

fn ask(snapshot: &Snapshot, name: &str, rtype: u16, now_secs: u32) -> Told {
    let mut ask = Ask::new(name, rtype);
    ask.client.now_secs = now_secs;
    ask.told(snapshot)
}

fn lines(told: &Told) -> Vec<String> {
    told.answer.iter().map(|line| line.trim_end_matches('.').to_owned()).collect()
}

#[test]
fn a_challenge_is_shown_at_its_name_for_its_time() {
    let snapshot = world().snapshot();
    let at = |name: &str, now_secs| lines(&ask(&snapshot, name, TXT, now_secs));
    for name in ["_acme-challenge.foo.example.com", "_acme-challenge.deep.er.example.com", "_acme-challenge.ent.example.com"] {
        assert_eq!(at(name, NOW), [format!("{name} 60 TXT \"token\"")]);
        assert!(at(name, NOW + 99).len() == 1 && at(name, NOW + 100).is_empty(), "{name}");
    }
    // Each text once, as long as one of those that say it goes on.
    let apex = "_acme-challenge.example.com";
    assert_eq!(at(apex, NOW), ["one", "two"].map(|text| format!("{apex} 60 TXT \"{text}\"")));
    assert_eq!(at(apex, NOW + 250), [format!("{apex} 60 TXT \"one\"")]);
    assert!(at(apex, NOW + 300).is_empty());
}

#[test]
fn it_stands_beside_the_users_own_texts() {
    let snapshot = world().snapshot();
    let www = "_acme-challenge.www.example.com";
    let both = ["mine", "token"].map(|text| format!("{www} 60 TXT \"{text}\""));
    assert_eq!(lines(&ask(&snapshot, www, TXT, NOW)), both, "what both say is said once");
    assert_eq!(lines(&ask(&snapshot, www, TXT, NOW + 100)), [format!("{www} 600 TXT \"mine\"")]);
    assert_eq!(ask(&snapshot, www, MX, NOW).answer.len(), 1);
    let under = "_acme-challenge.y.text.example.com";
    assert_eq!(lines(&ask(&snapshot, under, TXT, NOW)).len(), 2, "beside what a wildcard says there");
}

#[test]
fn a_wildcard_goes_on_answering_for_everything_else() {
    let (with, without) = (world().snapshot(), World::new().zone("example.com", 1, LINES).snapshot());
    for name in
        ["foo", "_acme-challenge.foo", "er", "deep.er", "a.deep.er", "_acme-challenge.deep.er", "below._acme-challenge.foo"]
    {
        let name = format!("{name}.example.com");
        let told = ask(&with, &name, A, NOW);
        assert_eq!(lines(&told), [format!("{name} 300 A 192.0.2.7")]);
        assert_eq!(told.answer, ask(&without, &name, A, NOW).answer);
    }
    // A wildcard's CNAME is not of the challenge's name.
    let sub = "_acme-challenge.x.sub.example.com";
    assert_eq!(lines(&ask(&with, sub, TXT, NOW)), [format!("{sub} 60 TXT \"token\"")]);
    assert_eq!(lines(&ask(&with, sub, TXT, NOW + 100)), [format!("{sub} 300 CNAME host.example.org")]);
    assert_eq!(lines(&ask(&with, sub, AAAA, NOW)), [format!("{sub} 300 CNAME host.example.org")]);
}

#[test]
fn a_cname_of_its_name_has_the_word_where_it_is_seen() {
    let snapshot = world().snapshot();
    let led = "_acme-challenge.led.example.com";
    for rtype in [TXT, CNAME, A] {
        assert_eq!(lines(&ask(&snapshot, led, rtype, NOW)), [format!("{led} 300 CNAME led.dcv.example.net")]);
    }
    let inner = "_acme-challenge.inner.example.com";
    assert_eq!(lines(&ask(&snapshot, inner, TXT, NOW)), [format!("{inner} 60 TXT \"token\"")]);
    assert_eq!(lines(&ask(&snapshot, inner, A, NOW)), [format!("{inner} 300 A 192.0.2.1")]);
    // What is delegated is others' to answer.
    for owner in ["_acme-challenge.cut", "_acme-challenge.a.cut"] {
        let told = ask(&snapshot, &format!("{owner}.example.com"), TXT, NOW);
        assert!(told.answer.is_empty() && told.authority[0].starts_with("cut.example.com"), "{told:?}");
    }
}

#[test]
fn a_name_that_has_nothing_else_is_there_and_its_ancestors_are_not() {
    let snapshot = World::new()
        .zone("example.com", 1, "www A 192.0.2.1")
        .challenge("_acme-challenge.no.example.com", "token", NOW + 100)
        .zone("example.com", 2, "www A 192.0.2.66")
        .challenge("_acme-challenge.www.example.com", "another account's", NOW + 100)
        .head(|head| head.status = poterne_model::ZoneStatus::Pending)
        .snapshot();
    let code = |name: &str, rtype| ask(&snapshot, name, rtype, NOW).rcode;
    assert_eq!((code("_acme-challenge.no.example.com", TXT), code("_acme-challenge.no.example.com", A)), (0, 0));
    assert_eq!(ask(&snapshot, "_acme-challenge.no.example.com", ANY, NOW).answer.len(), 1);
    assert_eq!((code("no.example.com", A), code("a._acme-challenge.no.example.com", TXT)), (3, 3));
    assert_eq!(ask(&snapshot, "_acme-challenge.no.example.com", A, NOW + 100).rcode, 3);
    assert_eq!(code("_acme-challenge.www.example.com", TXT), 3, "a zone that waits shows nothing in another's place");
}

#[test]
fn signed_zones_sign_it_and_deny_nothing_that_is_there() {
    let keys = Keys::new(Algorithm::EcdsaP256Sha256);
    let world = world().head(|head| keys.put(head, NOW));
    let (snapshot, signer) = (world.snapshot(), Arc::new(Signer::new(keys.node.clone(), SignerLimits::default())));
    let proven = |text: &str, rtype: u16| {
        let ask = Ask::new(text, rtype).with(Opt { dnssec_ok: true, ..Opt::of(1232) });
        let told = super::told_by(&snapshot, Some(Arc::clone(&signer)), &ask.client, &ask.octets());
        validate(&told.octets, &name("example.com"), &keys, NOW);
        told
    };
    for owner in ["_acme-challenge.foo", "_acme-challenge.www", "_acme-challenge.x.sub", "_acme-challenge"] {
        let told = proven(&format!("{owner}.example.com"), TXT);
        assert!(told.answer.iter().any(|line| line.contains(" RRSIG TXT ")), "{told:?}");
    }
    let nsec = |told: &Told| told.authority.iter().find(|line| line.contains(" NSEC ")).cloned().unwrap_or_default();
    for owner in ["_acme-challenge.foo", "_acme-challenge.ent"] {
        let line = nsec(&proven(&format!("{owner}.example.com"), MX));
        assert!(line.contains(" TXT ") && !line.contains("128"), "{line}");
    }
    assert!(!nsec(&proven("foo.example.com", MX)).contains(" TXT "));
}

proptest! {
    /// Whatever a zone has: challenges change the answer for TXT at their own names, and for types that nothing answers there, and no other.
    #[test]
    fn nothing_but_challenges_is_another(
        lines in prop::collection::vec("(@|\\*|a|\\*\\.a|b\\.a|_acme-challenge\\.a|_acme-challenge|x\\._acme-challenge\\.a) (A 192\\.0\\.2\\.1|TXT \"t\"|MX 10 m\\.test)", 0..6),
        owners in prop::collection::vec("_acme-challenge\\.(a\\.|b\\.a\\.|c\\.|c\\.b\\.)?example\\.com", 0..4),
        asked in prop::collection::vec("(_acme-challenge\\.|x\\.)?(a\\.|b\\.a\\.|c\\.|c\\.b\\.)?example\\.com", 12),
        now_secs in NOW..NOW + 200,
    ) {
        let bare = World::new().zone("example.com", 1, &lines.join("\n"));
        let mut world = bare.clone();
        for (at, owner) in owners.iter().enumerate() {
            world = world.challenge(owner, &format!("token-{at}"), NOW + 100);
        }
        let (with, without) = (world.snapshot(), bare.snapshot());
        for asked in &asked {
            for rtype in [A, TXT, MX] {
                let (one, other) = (ask(&with, asked, rtype, now_secs), ask(&without, asked, rtype, now_secs));
                let is_shown = now_secs < NOW + 100 && owners.contains(asked);
                if is_shown && rtype == TXT {
                    let count = owners.iter().filter(|owner| *owner == asked).count();
                    prop_assert_eq!(one.answer.len(), other.answer.len() + count);
                } else {
                    prop_assert_eq!(&one.answer, &other.answer);
                    prop_assert_eq!(one.rcode, if is_shown { 0 } else { other.rcode }, "{}", asked);
                }
            }
        }
    }
}
