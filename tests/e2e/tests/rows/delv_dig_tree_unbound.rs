//! Signed zones of the node's below a root of our own: what two validators say of every answer, and at every moment of a key's life.

use poterne_e2e::{
    Node, Tree,
    tree::{FORGETFUL, NEW, OLD, Previous, RESOLVER, Zone, answer, dig},
};
use serde_json::{Value, json};

alone!(
    every_answer_validates_from_the_root,
    every_answer_validates_with_ed25519,
    rolling_the_key_of_the_data_leaves_no_gap,
    rolling_the_key_of_the_keys_leaves_no_gap,
    signing_ends_when_the_parent_has_forgotten,
);

/// What is to be said of an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Verdict {
    /// It is there, and valid.
    There,
    /// It is not there, and that is valid.
    Absent,
    /// It is there, in a zone that nobody signs.
    Unsigned,
}

use Verdict::{Absent, There, Unsigned};

/// Every kind of answer.
const ASKED: [(&str, &str, Verdict); 26] = [
    ("www.example.com", "A", There),
    ("www.example.com", "AAAA", There),
    ("wWw.ExAmPlE.com", "A", There),
    ("x.y.wild.example.com", "TXT", There),
    ("edge.proxied-wild.example.com", "A", There),
    ("shown.example.com", "A", There),
    ("shown.example.com", "AAAA", There),
    ("shown.example.com", "HTTPS", There),
    ("follows.example.com", "A", There),
    ("follows.example.com", "HTTPS", There),
    ("to.example.com", "A", There),
    ("example.com", "A", There),
    ("example.com", "SOA", There),
    ("example.com", "NS", There),
    ("example.com", "DNSKEY", There),
    ("example.com", "CDS", There),
    ("post.example.com", "MX", There),
    ("host.signed.example.com", "A", There),
    ("host.unsigned.example.com", "A", Unsigned),
    ("out.example.com", "A", Unsigned),
    ("unsigned.example.com", "DS", Absent),
    ("www.example.com", "TXT", Absent),
    ("shown.example.com", "CNAME", Absent),
    ("ent.example.com", "A", Absent),
    ("x.wild.example.com", "A", Absent),
    ("no.such.example.com", "A", Absent),
];

/// Zones below the node's, at another provider: one is signed, and the node has its DS.
const BELOW: [Previous; 2] = [
    Previous { apex: "signed.example.com", records: "host A 185.49.140.91\n", is_signed: true, is_given: false },
    Previous { apex: "unsigned.example.com", records: "host A 185.49.140.92\n", is_signed: false, is_given: false },
];

/// A zone of the node's that is delegated to it.
fn delegated() -> (Tree, Node, Zone) {
    let tree = Tree::grow(&BELOW);
    let node = tree.node();
    let zone = Zone::add(&node, "example.com");
    for (kind, name, content, is_proxied) in [
        ("A", "www", "185.49.140.90", false),
        ("AAAA", "www", "2a04:b900::90", false),
        ("TXT", "*.wild", "\"text\"", false),
        ("A", "*.proxied-wild", "185.49.140.7", true),
        ("A", "deep.ent", "185.49.140.93", false),
        ("A", "shown", "185.49.140.7", true),
        ("CNAME", "follows", "shown.example.com", true),
        ("CNAME", "to", "www.example.com", false),
        ("CNAME", "@", "to.example.com", false),
        ("CNAME", "out", "ns1.oldhost.com", false),
        ("MX", "post", "10 mail.example.com", false),
        ("NS", "signed", OLD[0].name, false),
        ("NS", "unsigned", OLD[0].name, false),
    ] {
        zone.record(kind, name, content, is_proxied);
    }
    let [tag, algorithm, digest_type, digest] = tree.previous_ds("signed.example.com")[0].split(' ').collect::<Vec<_>>()[..]
    else {
        panic!("{:?}", tree.previous_ds("signed.example.com"))
    };
    let number = |text: &str| text.parse::<u16>().unwrap();
    let data =
        json!({ "key_tag": number(tag), "algorithm": number(algorithm), "digest_type": number(digest_type), "digest": digest });
    let body = json!({ "type": "DS", "name": "signed", "data": data, "ttl": 300 });
    zone.api.done("POST", &format!("{}/dns_records", zone.path), &body);
    zone.come(&tree);
    (tree, node, zone)
}

/// The same, signed, and its parent says so.
fn signed(algorithm: &str) -> (Tree, Node, Zone) {
    let (tree, node, zone) = delegated();
    let ds = zone.sign(algorithm);
    assert_eq!(zone.wanted_ds().iter().map(|ds| ds.to_lowercase()).collect::<Vec<_>>(), [ds.to_lowercase()], "CDS says the same");
    zone.secure(&tree, &ds);
    tree.forget();
    (tree, node, zone)
}

/// What a resolver that has not validated, or has, hands on.
fn is_handed_on(text: &str, verdict: Verdict) -> bool {
    let (is_valid, is_empty) = (text.contains(" ad;"), text.contains("ANSWER: 0,"));
    text.contains("status: NOERROR") && is_valid == (verdict != Unsigned) && is_empty == (verdict == Absent)
}

fn every_answer_validates_from_the_root() {
    every_answer_validates("13");
}

fn every_answer_validates_with_ed25519() {
    every_answer_validates("15");
}

fn every_answer_validates(algorithm: &str) {
    let (tree, _node, zone) = signed(algorithm);
    // Twice: what is kept of a denial denies nothing else.
    for (name, kind, verdict) in ASKED.iter().chain(&ASKED) {
        let text = tree.resolved(name, kind);
        assert!(is_handed_on(&text, *verdict), "{name} {kind}: {text}");
    }
    for (name, kind, verdict) in ASKED {
        let text = tree.validated(name, kind);
        let said = match verdict {
            There => "; fully validated",
            Absent => "; negative response, fully validated",
            Unsigned => "; unsigned answer",
        };
        assert!(text.contains(said), "{name} {kind}: {text}");
    }
    assert!(dig(NEW[0].v4, "no.such.example.com", "A", &[]).contains("status: NXDOMAIN"), "to whoever does not ask for proof");

    // A parent that has another key's digest.
    let right = zone.dnssec()["ds"].as_str().unwrap().split_once(" DS ").unwrap().1.to_owned();
    let (key, digest) = right.rsplit_once(' ').unwrap();
    let turned: String = digest.chars().map(|c| if c == '0' { '1' } else { '0' }).collect();
    tree.set_ds("example.com", &[format!("{key} {turned}")]);
    let text = tree.resolved_by(FORGETFUL, "www.example.com", "A");
    assert!(text.contains("status: SERVFAIL"), "who keeps nothing in mind notices at once: {text}");
    tree.forget();
    assert!(tree.resolved("www.example.com", "A").contains("status: SERVFAIL"));
    assert!(!tree.validated("www.example.com", "A").contains("fully validated"));
    zone.look(&tree);
    assert_eq!(zone.dnssec()["status"], "pending", "that is not this zone's");
    zone.secure(&tree, &right);
    tree.forget();
    assert!(is_handed_on(&tree.resolved("www.example.com", "A"), There));
}

/// What is asked at every moment: of a resolver that remembers, and of one that does not.
const AT_EVERY_MOMENT: [(&str, &str, Verdict); 6] = [
    ("www.example.com", "A", There),
    ("shown.example.com", "AAAA", There),
    ("x.y.wild.example.com", "TXT", There),
    ("example.com", "SOA", There),
    ("example.com", "DNSKEY", There),
    ("www.example.com", "TXT", Absent),
];

fn all_is_valid(tree: &Tree, moment: &str) {
    for place in [RESOLVER, FORGETFUL] {
        for (name, kind, verdict) in AT_EVERY_MOMENT {
            let text = tree.resolved_by(place, name, kind);
            assert!(is_handed_on(&text, verdict), "{}, {moment}: {name} {kind}: {text}", place.name);
        }
    }
    // A name that nobody can remember, so that a signature of this moment meets the keys that the resolver does.
    let fresh = format!("{}.wild.example.com", moment.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
    let text = tree.resolved(&fresh, "TXT");
    assert!(is_handed_on(&text, There), "{moment}: {fresh}: {text}");
}

/// Time passes, and the node does what is due: it is killed and started again, as it does then at once what it does within half a minute
/// otherwise.
fn later(tree: &Tree, node: &mut Node, secs: u64) {
    tree.clock.put_forward(secs);
    node.kill_and_restart();
}

/// Which key signs a name's address.
fn signer() -> String {
    let text = dig(NEW[0].v4, "www.example.com", "A", &["+dnssec", "+noall", "+answer"]);
    text.lines().find(|line| line.contains("\tRRSIG\t")).unwrap().split_whitespace().nth(10).unwrap().to_owned()
}

fn roll(zone: &Zone, key: &str) {
    zone.api.done("POST", &format!("{}/poterne/dnssec/roll", zone.path), &json!({ "key": key }));
}

fn of_flags(zone: &Zone, flags: &str) -> Vec<String> {
    zone.keys().into_iter().filter(|key| key.starts_with(flags)).collect()
}

fn rolling_the_key_of_the_data_leaves_no_gap() {
    let (tree, mut node, zone) = signed("13");
    all_is_valid(&tree, "before");
    let (old, old_signer) = (of_flags(&zone, "256"), signer());
    roll(&zone, "zsk");
    let both = of_flags(&zone, "256");
    assert!(both.len() == 2 && both.contains(&old[0]), "told of before it signs: {both:?}");
    all_is_valid(&tree, "begun");
    let mut signers = vec![signer()];
    for minutes in [40, 40, 30, 12, 5, 40, 40, 240, 600, 480] {
        later(&tree, &mut node, minutes * 60);
        all_is_valid(&tree, &format!("{minutes} minutes after {} steps", signers.len()));
        signers.push(signer());
    }
    // Two hours: the keys' TTL, and as much again to reach everybody.
    let turned = signers.iter().position(|signer| *signer != old_signer).unwrap();
    assert_eq!(turned, 4, "{signers:?}");
    assert!(signers[turned..].iter().all(|signer| *signer == signers[turned]), "{signers:?}");
    assert_eq!(of_flags(&zone, "256").len(), 2, "what the old key signed may be remembered for a day");
    later(&tree, &mut node, 4 * 3600);
    all_is_valid(&tree, "gone");
    let left = of_flags(&zone, "256");
    assert!(left.len() == 1 && left != old, "{left:?}");
}

fn rolling_the_key_of_the_keys_leaves_no_gap() {
    let (tree, mut node, zone) = signed("13");
    let old = of_flags(&zone, "257");
    let old_ds = zone.wanted_ds();
    all_is_valid(&tree, "before");
    roll(&zone, "ksk");
    let both = zone.wanted_ds();
    assert!(both.len() == 2 && both.contains(&old_ds[0]), "the parent is asked for both: {both:?}");
    // As long as it does not do so nothing goes on.
    later(&tree, &mut node, 3 * 86_400);
    all_is_valid(&tree, "waiting");
    assert_eq!(of_flags(&zone, "257"), old);
    zone.follow(&tree);
    let mut hours = 0;
    while of_flags(&zone, "257") == old {
        assert!(hours < 60, "two days after both were seen");
        later(&tree, &mut node, 8 * 3600);
        hours += 8;
        all_is_valid(&tree, &format!("{hours} hours"));
    }
    assert!(hours >= 48, "after {hours} hours: a DS may be remembered for two days");
    let new = of_flags(&zone, "257");
    assert_eq!(new.len(), 1, "never two at once: {new:?}");
    for minutes in [30, 60, 60] {
        later(&tree, &mut node, minutes * 60);
        all_is_valid(&tree, &format!("{minutes} minutes on"));
    }
    let wanted = zone.wanted_ds();
    assert!(wanted.len() == 1 && wanted != old_ds, "{wanted:?}");
    zone.follow(&tree);
    for hours in [1, 12, 36] {
        later(&tree, &mut node, hours * 3600);
        all_is_valid(&tree, &format!("{hours} hours on"));
    }
    let told = zone.dnssec();
    assert_eq!(told["status"], "active");
    assert!(told["ds"].as_str().unwrap().to_lowercase().ends_with(&wanted[0].to_lowercase()), "{told}");
}

fn signing_ends_when_the_parent_has_forgotten() {
    let (tree, mut node, zone) = signed("13");
    let path = format!("{}/dnssec", zone.path);
    let forget = || zone.api.ask("DELETE", &path, &Value::Null).unwrap();
    assert!(forget().status >= 400, "the parent has the DS");
    let told = zone.api.done("PATCH", &path, &json!({ "status": "disabled" }));
    assert_eq!(told["status"], "pending-disabled");
    assert_eq!(answer(NEW[0].v4, "example.com", "CDS"), ["0 0 0 00"], "it asks its parent to take the DS away");
    later(&tree, &mut node, 3 * 86_400);
    zone.look(&tree);
    all_is_valid(&tree, "disabled");
    // Clients that take a zone's signing away ask for both at once: that is taken, and the keys go when they may.
    assert_eq!(forget().status, 200);
    assert!(!zone.keys().is_empty() && zone.dnssec()["status"] == "pending-disabled", "the parent has the DS still");
    zone.follow(&tree);
    assert_eq!(forget().status, 200);
    assert!(zone.wanted_ds().is_empty() && !zone.keys().is_empty(), "resolvers may remember it");
    // A resolver that remembers the DS finds what it needs, as long as it may.
    let is_fine = |moment: &str| {
        for (name, kind) in [("www.example.com", "A"), ("no.such.example.com", "A"), ("example.com", "SOA")] {
            let text = tree.resolved(name, kind);
            assert!(text.contains("status: NOERROR") || text.contains("status: NXDOMAIN"), "{moment}: {name} {kind}: {text}");
        }
    };
    let mut hours = 0;
    while zone.dnssec()["status"] != "disabled" {
        is_fine(&format!("after {hours} hours"));
        assert!(hours < 60, "after {hours} hours");
        // They may go between two looks; then it is told before it is shown.
        if zone.keys().is_empty() {
            assert_eq!(zone.dnssec()["status"], "disabled", "after {hours} hours");
            break;
        }
        later(&tree, &mut node, 8 * 3600);
        hours += 8;
    }
    assert!(hours >= 48, "after {hours} hours");
    is_fine("at the end");
    assert!(zone.keys().is_empty() && !tree.resolved("www.example.com", "A").contains(" ad;"));
    assert!(is_handed_on(&tree.resolved_by(FORGETFUL, "www.example.com", "A"), Unsigned));
    assert_eq!(forget().status, 200, "there is nothing to forget");
}
