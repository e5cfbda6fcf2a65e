//! What is known to go wrong with TLS, as `testssl.sh` looks for it.

use std::{fs, process::Command};

use poterne_e2e::Node;
use serde_json::Value;

/// What it says that is no fault, and why.
const NO_FAULT: [&str; 2] = [
    // Of its own library, which has no GOST ciphers; nor has the node.
    "engine_problem",
    // Its own client asks without a body to send and takes the end for a failure.
    "secure_renego",
];

#[test]
fn no_weakness_is_found() {
    let node = Node::demo();
    let file = node.file("testssl.json");
    let port = node.text("https").rsplit(':').next().unwrap();
    let output = Command::new("testssl")
        .args(["--warnings", "batch", "--color", "0", "--quiet", "--ip", "127.0.0.1", "--protocols", "--fs", "--vulnerable"])
        .arg("--jsonfile")
        .arg(&file)
        .arg(format!("{}:{port}", node.hostname))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let findings: Vec<Value> = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let found = |id: &str| findings.iter().find(|finding| finding["id"] == id).unwrap_or_else(|| panic!("no {id}: {told}"));
    for (id, said) in [("TLS1", "not offered"), ("TLS1_1", "not offered"), ("TLS1_2", "offered"), ("ALPN_HTTP2", "h2")] {
        assert_eq!(found(id)["finding"], said, "{id}");
    }
    // That it looked at all: the first and the last of what it looks for.
    assert_eq!((&found("heartbleed")["severity"], &found("RC4")["severity"]), (&"OK".into(), &"OK".into()));
    let faults: Vec<&Value> = findings
        .iter()
        .filter(|finding| finding["severity"] != "OK" && finding["severity"] != "INFO")
        .filter(|finding| !NO_FAULT.iter().any(|id| finding["id"] == *id))
        .collect();
    assert!(faults.is_empty(), "{faults:#?}");
}
