//! A zone's way from its previous provider to the node and back, in a tree of our own: what the registrar does, what the node sees of it,
//! and what the world is answered.

use std::process::Command;

use poterne_e2e::{
    Node, Tree,
    process::program,
    tree::{NEW, OLD, Previous, RESOLVER, Zone, answer},
};
use serde_json::{Value, json};

alone!(a_zone_comes_here_and_is_lost, what_a_zone_had_is_found, a_zone_that_is_given_is_found_whole);

const EXAMPLE: Previous = Previous {
    apex: "example.com",
    records: "@ A 185.49.140.80\nwww A 185.49.140.80\n* A 185.49.140.81\n@ MX 10 mail\nmail A 185.49.140.82\n\
              @ TXT \"v=spf1 mx -all\"\n_dmarc TXT \"v=DMARC1; p=none\"\nblog CNAME www\nodd-one A 185.49.140.83\n",
    is_signed: true,
    is_given: false,
};

/// Where visitors of a proxied name come in.
fn edge() -> Vec<String> {
    NEW.iter().map(|place| place.v4.to_owned()).collect()
}

/// What `poterne dns check` finds, by topic and level, and whether it ends well.
fn check(node: &Node, zone: &str) -> (bool, Vec<(String, String, String)>) {
    let mut command = program("POTERNE_BIN");
    let output = command.args(["dns", "check", zone, "--json", "--state-dir", node.text("state_dir")]).output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)));
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
    let findings = told["findings"].as_array().unwrap().iter();
    let findings = findings.map(|finding| (text(finding, "topic"), text(finding, "level"), text(finding, "text")));
    (output.status.success(), findings.collect())
}

fn says(findings: &[(String, String, String)], topic: &str, level: &str, words: &str) -> bool {
    findings.iter().any(|(of, how, text)| (of.as_str(), how.as_str()) == (topic, level) && text.contains(words))
}

fn a_zone_comes_here_and_is_lost() {
    let tree = Tree::grow(&[EXAMPLE]);
    let node = tree.node();
    let zone = Zone::add(&node, "example.com");
    zone.record("A", "www", "185.49.140.80", true);
    zone.record("A", "mail", "185.49.140.82", false);
    zone.record("MX", "@", "10 mail.example.com", false);
    assert_eq!(answer(RESOLVER.v4, "www.example.com", "A"), ["185.49.140.80"], "the previous provider answers");
    assert_eq!(answer(NEW[0].v4, "www.example.com", "A"), ["185.49.140.80"], "and so does a zone that waits, to whoever asks it");

    // Nothing has changed at the parent: it waits on, and knows whom it waits to take over from.
    zone.look(&tree);
    assert_eq!(zone.status(), "pending");
    assert_eq!(zone.shown()["original_name_servers"], json!([OLD[0].name, OLD[1].name]));
    assert_eq!(zone.shown()["name_servers"], json!([NEW[0].name, NEW[1].name]));
    let (is_well, findings) = check(&node, "example.com");
    assert!(says(&findings, "delegation", "warning", "is delegated to ns1.oldhost.com, ns2.oldhost.com"), "{findings:?}");
    assert!(is_well, "which is what pending means: {findings:?}");

    // The registrar changes the name servers, and forgets that the zone was signed where it was.
    tree.delegate("example.com", &[NEW[0].name, NEW[1].name], tree.previous_ds("example.com"));
    zone.look(&tree);
    assert_eq!(zone.status(), "active");
    tree.forget();
    assert!(tree.resolved("www.example.com", "A").contains("status: SERVFAIL"), "as the scan warns");
    let (is_well, findings) = check(&node, "example.com");
    assert!(!is_well && says(&findings, "dnssec", "problem", "its name servers have no keys"), "{findings:?}");
    assert!(says(&findings, "delegation", "fine", "is delegated here"), "{findings:?}");

    // Without the DS all is well.
    zone.come(&tree);
    tree.forget();
    assert_eq!(answer(RESOLVER.v4, "www.example.com", "A"), edge());
    assert_eq!(answer(RESOLVER.v4, "mail.example.com", "A"), ["185.49.140.82"]);
    let (is_well, findings) = check(&node, "example.com");
    assert!(is_well, "{findings:?}");
    for (topic, words) in [
        ("delegation", "is delegated here, to ns1.newhost.com, ns2.newhost.com"),
        ("name_servers", "ns1.newhost.com (194.0.25.10) speaks for example.com"),
        ("name_servers", "ns2.newhost.com (194.0.25.11) speaks for example.com"),
        ("dnssec", "is not signed"),
        ("propagation", "the resolver 9.9.9.9:53 knows the same name servers"),
    ] {
        assert!(says(&findings, topic, "fine", words), "{words}: {findings:?}");
    }
    // A name server within the zone that it serves is found by its glue.
    let (is_well, findings) = check(&node, "newhost.com");
    assert!(is_well && says(&findings, "glue", "fine", "the parent has the address of ns1.newhost.com"), "{findings:?}");
    let (_, findings) = check(&node, "oldhost.com");
    assert!(says(&findings, "delegation", "fine", "no zone of this node, is delegated to ns1.oldhost.com"), "{findings:?}");

    // Somebody takes it back: it is lost after a day of it, and not by what a cache still remembers.
    tree.delegate("example.com", &[OLD[0].name, OLD[1].name], tree.previous_ds("example.com"));
    let mut hours = 0;
    while zone.status() == "active" {
        assert!(hours < 72, "three looks over a day, and the resolver remembers for a day");
        zone.look(&tree);
        tree.clock.put_forward(7 * 3600);
        hours += 7;
    }
    assert!(zone.status() == "moved" && hours > 24, "{} after {hours} hours", zone.status());
    let (is_well, findings) = check(&node, "example.com");
    assert!(!is_well && says(&findings, "delegation", "problem", "not only to ns1.newhost.com"), "{findings:?}");

    // It comes back.
    zone.come(&tree);
    tree.forget();
    assert_eq!(answer(RESOLVER.v4, "www.example.com", "A"), edge());
}

/// The scan of a zone whose servers give it to nobody.
fn what_a_zone_had_is_found() {
    let tree = Tree::grow(&[EXAMPLE]);
    let node = tree.node();
    let zone = Zone::add(&node, "example.com");
    let state = scanned(&zone);
    assert_eq!(state["name_servers"], json!([OLD[0].name, OLD[1].name]));
    assert_eq!(state["whole"], false, "AXFR was tried, and refused");
    let warnings = state["warnings"].to_string();
    assert!(warnings.contains("the parent has 1 DS record for example.com") && warnings.contains("Remove the DS"), "{warnings}");

    let found = proposals(&zone);
    let expected = [
        ("*.example.com", "A", "185.49.140.81", true),
        ("_dmarc.example.com", "TXT", "\"v=DMARC1; p=none\"", false),
        ("blog.example.com", "CNAME", "www.example.com", true),
        ("example.com", "A", "185.49.140.80", true),
        ("example.com", "MX", "mail.example.com", false),
        ("example.com", "TXT", "\"v=spf1 mx -all\"", false),
        ("mail.example.com", "A", "185.49.140.82", false),
        ("www.example.com", "A", "185.49.140.80", true),
    ];
    let shown: Vec<_> = found.iter().map(|(_, name, kind, content, proxied)| (&**name, &**kind, &**content, *proxied)).collect();
    assert_eq!(shown, expected, "the wildcard once, and a name of one's own not at all: nobody can guess it");

    // All but one is taken, and it is answered as soon as the zone is here.
    let (rejected, accepted): (Vec<_>, Vec<_>) = found.iter().partition(|(_, name, ..)| name.starts_with("blog"));
    let ids = |some: &[&Proposal]| some.iter().map(|(id, ..)| json!({ "id": id })).collect::<Vec<_>>();
    let decision = json!({ "accepts": ids(&accepted), "rejects": ids(&rejected) });
    zone.api.done("POST", &format!("{}/dns_records/scan/review", zone.path), &decision);
    assert!(proposals(&zone).is_empty());
    // It was missed, so the user adds it.
    zone.record("A", "odd-one", "185.49.140.83", false);
    tree.delegate("example.com", &[OLD[0].name, OLD[1].name], &[]);
    tree.clock.put_forward(86_400);
    zone.come(&tree);
    tree.forget();
    for name in ["example.com", "www.example.com", "blog.example.com", "any.thing.example.com"] {
        assert_eq!(answer(RESOLVER.v4, name, "A"), edge(), "{name}");
    }
    assert_eq!(answer(RESOLVER.v4, "odd-one.example.com", "A"), ["185.49.140.83"]);
    assert_eq!(answer(RESOLVER.v4, "example.com", "MX"), ["10 mail.example.com."]);
    assert_eq!(answer(RESOLVER.v4, "_dmarc.example.com", "TXT"), ["\"v=DMARC1; p=none\""]);
    let state = scanned(&zone);
    assert!(state["warnings"].to_string().contains("delegated to this node already"), "{state}");
}

/// The scan of a zone whose servers give it to everybody.
fn a_zone_that_is_given_is_found_whole() {
    let given = Previous {
        apex: "given.com",
        records: "@ A 185.49.140.80\nnobody-guesses A 185.49.140.84\ndeep.below.it TXT \"text\"\n_acme-challenge TXT \"once\"\n",
        is_signed: false,
        is_given: true,
    };
    let tree = Tree::grow(&[given]);
    let node = tree.node();
    let zone = Zone::add(&node, "given.com");
    let state = scanned(&zone);
    assert_eq!((&state["whole"], &state["warnings"]), (&json!(true), &json!([])));
    let passed = state["passed_over"].as_array().unwrap();
    assert!(passed.len() == 1 && passed[0]["name"] == "_acme-challenge.given.com", "{passed:?}");
    let names: Vec<_> = proposals(&zone).into_iter().map(|(_, name, ..)| name).collect();
    assert_eq!(names, ["deep.below.it.given.com", "given.com", "nobody-guesses.given.com"]);
    // Nobody but the node's own process may have it from here.
    let whole = Command::new("dig").args(["-r", "@194.0.25.10", "given.com", "AXFR"]).output().unwrap();
    assert!(String::from_utf8_lossy(&whole.stdout).contains("Transfer failed"));
}

/// Id, name, type, content and whether the edge is to stand before it.
type Proposal = (String, String, String, String, bool);

/// What is proposed, by name.
fn proposals(zone: &Zone) -> Vec<Proposal> {
    let review = zone.api.get(&format!("{}/dns_records/scan/review", zone.path)).unwrap();
    let text = |record: &Value, key: &str| record[key].as_str().unwrap().to_owned();
    let mut all: Vec<Proposal> = review
        .result()
        .as_array()
        .unwrap()
        .iter()
        .map(|record| {
            let proxied = record["proxied"].as_bool().unwrap();
            (text(record, "id"), text(record, "name"), text(record, "type"), text(record, "content"), proxied)
        })
        .collect();
    all.sort_by(|one, other| (&one.1, &one.2).cmp(&(&other.1, &other.2)));
    all
}

/// Scans the zone; how it ended.
fn scanned(zone: &Zone) -> Value {
    zone.api.done("POST", &format!("{}/dns_records/scan/trigger", zone.path), &Value::Null);
    let state = || zone.api.get(&format!("{}/poterne/scan", zone.path)).unwrap().result().clone();
    poterne_e2e::eventually("the scan ends", || state()["status"] == "ended");
    state()
}
