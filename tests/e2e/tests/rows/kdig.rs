//! The name server over TLS and HTTPS, as Knot's `kdig` sees it.

use std::process::Command;

use poterne_e2e::{Api, Node};
use serde_json::json;

#[test]
fn an_encrypted_answer_is_verified_and_padded() {
    let node = Node::bare(&[]);
    let api = Api::of(&node);
    let zone = api.zone(&node, "example.com");
    let body = json!({ "type": "A", "name": "www", "content": "192.0.2.7", "proxied": false, "ttl": 1 });
    api.done("POST", &format!("{zone}/dns_records"), &body);
    let port = node.text("dns_tls").rsplit(':').next().unwrap().to_owned();
    let ask = |words: &[&str]| {
        let output = Command::new("kdig").args(["@127.0.0.1", "-p", &port, "+retry=0"]).args(words).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let ca = format!("+tls-ca={}", node.text("ca_file"));
    let (verified, text) = ask(&[&ca, "+tls-hostname=www.example.com", "+padding", "www.example.com", "A"]);
    assert!(verified && text.contains("192.0.2.7") && text.contains("PADDING"), "{text}");
    // Whoever knows the server by its address alone is given the node's own certificate.
    let (answered, text) = ask(&["+tls", "www.example.com", "A"]);
    assert!(answered && text.contains("192.0.2.7"), "{text}");
    let (_, text) = ask(&[&ca, "+tls-hostname=elsewhere.test", "www.example.com", "A"]);
    assert!(!text.contains("192.0.2.7"), "{text}");
}

#[test]
fn it_is_asked_over_https_by_the_nodes_name_and_by_its_own() {
    let node = Node::bare(&["node.name=node.test".to_owned(), "dns.nameservers=ns1.example.net".to_owned()]);
    let api = Api::of(&node);
    let zone = api.zone(&node, "example.com");
    let body = json!({ "type": "A", "name": "www", "content": "192.0.2.7", "proxied": false, "ttl": 120 });
    api.done("POST", &format!("{zone}/dns_records"), &body);
    let port = node.text("https").rsplit(':').next().unwrap().to_owned();
    for name in ["node.test", "ns1.example.net"] {
        let words = [
            &format!("+https={name}/dns-query"),
            &format!("+tls-ca={}", node.text("ca_file")),
            &format!("+tls-hostname={name}"),
            "+padding",
        ];
        for method in ["+https-get", "+nohttps-get"] {
            let mut command = Command::new("kdig");
            command.args(["@127.0.0.1", "-p", &port, "+retry=0", "+nostats"]).args(words).args([method, "www.example.com", "A"]);
            let output = command.output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(text.contains("192.0.2.7") && text.contains("PADDING") && text.contains("HTTP/2"), "{name} {method}: {text}");
        }
    }
}
