//! TLS sessions that are taken up again, as `openssl s_client` does it from a file.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use poterne_e2e::{Api, Node, Orphan, Raw, eventually};
use serde_json::{Value, json};

/// One request; what was told of the handshake. The session is kept in `file`, and taken up from there where it is one.
fn visit(node: &Node, version: &str, file: &Path) -> String {
    let mut client = Command::new("openssl");
    client.args(["s_client", version, "-ign_eof", "-connect", node.text("https"), "-servername", &node.hostname]);
    client.args(["-CAfile", node.text("ca_file"), "-verify_return_error", "-sess_out"]).arg(file);
    if file.exists() {
        client.arg("-sess_in").arg(file);
    }
    let mut client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    // Tickets of TLS 1.3 come after the handshake, and before the answer.
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", node.hostname);
    client.stdin.take().unwrap().write_all(request.as_bytes()).unwrap();
    let output = client.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("HTTP/1.1 530"), "there is no agent, and that is told: {told}");
    told.lines().find(|line| line.starts_with("Reused, ") || line.starts_with("New, ")).unwrap_or(&told).to_owned()
}

fn reused(told: &str) -> bool {
    told.starts_with("Reused, ")
}

#[test]
fn a_session_is_taken_up_after_a_restart_and_an_upgrade() {
    let origin = Raw::saying("never asked");
    let mut node = Node::serve(&origin.url());
    for (version, file) in [("-tls1_2", "twelve.pem"), ("-tls1_3", "thirteen.pem")] {
        let file = node.file(file);
        assert!(!reused(&visit(&node, version, &file)) && reused(&visit(&node, version, &file)), "{version}");
        node.kill_and_restart();
        assert!(reused(&visit(&node, version, &file)), "{version}: after it was killed");
    }
    let told: Value = serde_json::from_str(&node.verb(&["upgrade", "--json"]).unwrap()).unwrap();
    let successor = Orphan::new(told["process"].as_u64().unwrap());
    assert!(node.process.end().success());
    for (version, file) in [("-tls1_2", "twelve.pem"), ("-tls1_3", "thirteen.pem")] {
        assert!(reused(&visit(&node, version, &node.file(file))), "{version}: by the program that took its place");
    }
    // Under other terms a session is begun anew.
    let api = Api::of(&node);
    let zone = api.get("/zones?name=site.test").unwrap().result()[0]["id"].as_str().unwrap().to_owned();
    let hosts = json!({ "hostnames": [node.hostname] });
    api.done("PUT", &format!("/zones/{zone}/certificate_authorities/hostname_associations"), &hosts);
    let file = node.file("thirteen.pem");
    assert!(!reused(&visit(&node, "-tls1_3", &file)), "a certificate is asked for now");
    assert!(reused(&visit(&node, "-tls1_3", &file)));
    successor.terminate();
    eventually("it ends", || !successor.runs());
}
