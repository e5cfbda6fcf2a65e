//! The name server under `dnsperf`: many questions at once, none lost.

use std::{fs, process::Command};

use poterne_e2e::{Api, Node};
use serde_json::json;

#[test]
fn many_questions_at_once_are_all_answered() {
    let node = Node::bare(&[]);
    let api = Api::of(&node);
    let zone = api.zone(&node, "example.com");
    let posts: Vec<_> = (0..100)
        .map(|number| json!({ "type": "A", "name": format!("h{number}"), "content": "192.0.2.7", "proxied": number % 10 == 0, "ttl": 1 }))
        .collect();
    api.done("POST", &format!("{zone}/dns_records/batch"), &json!({ "posts": posts }));
    let questions: String = (0..100).map(|number| format!("h{number}.example.com A\n")).collect();
    let file = node.file("questions");
    fs::write(&file, questions).unwrap();
    let port = node.text("dns").rsplit(':').next().unwrap().to_owned();
    for mode in ["udp", "tcp"] {
        let output = Command::new("dnsperf")
            .args(["-s", "127.0.0.1", "-p", &port, "-m", mode, "-n", "100", "-c", "4", "-q", "50", "-d"])
            .arg(&file)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("Queries lost:         0 (0.00%)") && text.contains("NOERROR 10000 (100.00%)"), "{mode}: {text}");
    }
}
