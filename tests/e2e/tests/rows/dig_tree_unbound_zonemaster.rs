//! `zonemaster-cli`, the registries' own checker, at zones of the node's in a tree of our own.

use std::process::Command;

use poterne_e2e::{Tree, tree::Zone};
use serde_json::Value;

alone!(a_signed_zone_has_no_error, a_plain_zone_has_no_error, the_name_servers_own_zone_has_no_error);

/// Findings that would be errors, and why they are none. There is none at present, and a new one wants a reason.
const EXCUSED: [(&str, &str); 0] = [];

/// Levels, from bad to worst.
const WRONG: [&str; 2] = ["ERROR", "CRITICAL"];

/// All that it finds in a zone, with these findings among it, which show that it has looked.
fn findings(tree: &Tree, zone: &str, expected: &[&str]) -> Vec<Value> {
    let mut command = Command::new("zonemaster-cli");
    command.arg("--hints").arg(tree.hints());
    command.args(["--level", "INFO", "--json", "--raw", "--no-progress", "--no-time", zone]);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let found: Vec<Value> =
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    let tags: Vec<&str> = found.iter().filter_map(|finding| finding["tag"].as_str()).collect();
    for tag in ["HAS_PARENT", "HAS_NAMESERVERS", "ARE_AUTHORITATIVE", "ONE_SOA_SERIAL", "AXFR_FAILURE", "EDNS0_SUPPORT"]
        .iter()
        .chain(expected)
    {
        assert!(tags.contains(tag), "{zone}: no {tag} among {tags:?}");
    }
    found
}

fn is_as_it_should_be(found: &[Value]) {
    let wrong: Vec<&Value> = found
        .iter()
        .filter(|finding| WRONG.iter().any(|level| finding["level"] == *level))
        .filter(|finding| !EXCUSED.iter().any(|(tag, _)| finding["tag"] == *tag))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn a_signed_zone_has_no_error() {
    let tree = Tree::grow(&[]);
    let node = tree.node();
    let zone = Zone::add(&node, "example.com");
    zone.record("A", "@", "185.49.140.7", true);
    zone.record("A", "www", "185.49.140.7", true);
    zone.record("A", "mail", "185.49.140.8", false);
    zone.record("MX", "@", "10 mail.example.com", false);
    zone.come(&tree);
    let ds = zone.sign("13");
    zone.secure(&tree, &ds);
    let signed = ["ALGORITHM_OK", "RRSIG_EXPIRATION", "DS10_HAS_NSEC", "DS15_HAS_CDS_AND_CDNSKEY", "Z09_MX_DATA"];
    is_as_it_should_be(&findings(&tree, "example.com", &signed));
}

fn a_plain_zone_has_no_error() {
    let tree = Tree::grow(&[]);
    let node = tree.node();
    let zone = Zone::add(&node, "example.com");
    zone.record("A", "www", "185.49.140.7", true);
    zone.come(&tree);
    is_as_it_should_be(&findings(&tree, "example.com", &["NO_RECURSOR"]));
}

/// Its name servers lie within it, and are found by glue.
fn the_name_servers_own_zone_has_no_error() {
    let tree = Tree::grow(&[]);
    let _node = tree.node();
    is_as_it_should_be(&findings(&tree, "newhost.com", &["ADDRESSES_MATCH"]));
}
