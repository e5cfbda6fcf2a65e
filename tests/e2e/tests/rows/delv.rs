//! Signed zones, as BIND's `delv` validates them.

use std::{fs, net::SocketAddr, process::Command};

use poterne_e2e::{Api, Node};
use serde_json::{Value, json};

/// A node with a signed zone, and the DS record that its parent should show: key tag, algorithm, digest type, digest.
pub(crate) fn signed(algorithm: &str) -> (Node, String) {
    let node = Node::bare(&[]);
    let (_, ds) = sign(&node, &Api::of(&node), algorithm);
    (node, ds)
}

/// Gives a node a signed zone; returns the zone's path in the API, and the DS record.
pub(crate) fn sign(node: &Node, api: &Api, algorithm: &str) -> (String, String) {
    let zone = api.zone(node, "example.com");
    for (kind, name, content, proxied) in [
        ("A", "www", "192.0.2.7", false),
        ("AAAA", "www", "2001:db8::7", false),
        ("TXT", "*.wild", "\"text\"", false),
        ("A", "deep.ent", "192.0.2.8", false),
        ("A", "shown", "198.51.100.7", true),
        ("CNAME", "follows", "shown.example.com", true),
        ("CNAME", "to", "www.example.com", false),
        ("MX", "@", "mail.example.com", false),
    ] {
        let mut body = json!({ "type": kind, "name": name, "content": content, "ttl": 300 });
        if matches!(kind, "A" | "AAAA" | "CNAME") {
            body["proxied"] = Value::Bool(proxied);
        }
        if kind == "MX" {
            body["priority"] = json!(10);
        }
        api.done("POST", &format!("{zone}/dns_records"), &body);
    }
    let made = api.done("PATCH", &format!("{zone}/dnssec"), &json!({ "status": "active", "algorithm": algorithm }));
    assert_eq!(made["status"], "pending");
    let ds = made["ds"].as_str().unwrap().split_once(" DS ").unwrap().1.to_owned();
    (zone, ds)
}

/// Every kind of answer, and what `delv` is to say of it.
pub(crate) const ASKED: [(&str, &str, bool); 13] = [
    ("www.example.com", "A", true),
    ("www.example.com", "AAAA", true),
    ("x.y.wild.example.com", "TXT", true),
    ("shown.example.com", "A", true),
    ("shown.example.com", "HTTPS", true),
    ("follows.example.com", "A", true),
    ("to.example.com", "A", true),
    ("example.com", "MX", true),
    ("example.com", "SOA", true),
    ("example.com", "DNSKEY", true),
    ("www.example.com", "TXT", false),
    ("ent.example.com", "A", false),
    ("no.such.example.com", "A", false),
];

/// Where a node answers.
fn at(node: &Node) -> SocketAddr {
    let port = node.text("dns").rsplit(':').next().unwrap().to_owned();
    format!("127.0.0.1:{port}").parse().unwrap()
}

/// What `delv` says of a question that it asks there.
pub(crate) fn validated(at: SocketAddr, ds: &str, name: &str, kind: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let anchors = dir.path().join("anchors");
    let [tag, algorithm, digest_type, digest] = ds.split(' ').collect::<Vec<_>>()[..] else { panic!("{ds}") };
    fs::write(&anchors, format!("trust-anchors {{ example.com. static-ds {tag} {algorithm} {digest_type} \"{digest}\"; }};\n"))
        .unwrap();
    let mut command = Command::new("delv");
    command.args([&format!("@{}", at.ip()), "-p", &at.port().to_string(), "-a"]).arg(&anchors).args([
        "+root=example.com",
        name,
        kind,
    ]);
    let output = command.output().unwrap();
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

#[test]
fn every_answer_validates() {
    for algorithm in ["13", "15"] {
        let (node, ds) = signed(algorithm);
        for (name, kind, is_there) in ASKED {
            let text = validated(at(&node), &ds, name, kind);
            let said = if is_there { "; fully validated" } else { "; negative response, fully validated" };
            assert!(text.contains(said), "{name} {kind}: {text}");
        }
        let (key, digest) = ds.rsplit_once(' ').unwrap();
        let wrong = format!("{key} {}", digest.replace(['A', '1'], "2"));
        let text = validated(at(&node), &wrong, "www.example.com", "A");
        assert!(!text.contains("fully validated"), "with another key's digest nothing does: {text}");
    }
}
