//! `cloudflared tail` against the node: it asks the API for its token, and the edge for the agent.

use std::{fs, process::Command};

use poterne_e2e::{Kind, process::program};

use super::tail::{Reader, Scene};

fn command(scene: &Scene, words: &[&str]) -> Command {
    let node = &scene.node;
    let certificate = node.file("cert.pem");
    fs::write(&certificate, node.verb(&["cert", "site.test"]).unwrap()).unwrap();
    let mut command = program("CLOUDFLARED_BIN");
    command.args(words).env("HOME", node.file("")).env("NO_AUTOUPDATE", "true").env("SSL_CERT_FILE", node.text("ca_file"));
    command.env("TUNNEL_API_URL", node.text("api")).env("TUNNEL_ORIGIN_CERT", certificate);
    command.env("TUNNEL_MANAGEMENT_HOSTNAME", scene.hostname());
    command
}

fn reads_the_log_of(kind: Kind) {
    let scene = Scene::new();
    let tunnel = scene.node.tunnel.clone();
    let words = ["tail", "--output", "json", "--event", "http", "--level", "debug", &tunnel];
    let nobody = command(&scene, &words).output().unwrap();
    let told = String::from_utf8_lossy(&[nobody.stdout, nobody.stderr].concat()).into_owned();
    assert!(told.contains("no cloudflared connector available"), "{told}");

    let _agent = scene.agent(kind);
    let reader = Reader::start(&scene.node, command(&scene, &words));
    let entry = reader.sees_requests(&scene.node);
    assert_eq!(entry["event"], "http", "{entry}");
}

#[test]
fn of_our_agent() {
    reads_the_log_of(Kind { stock: false, protocol: "quic" });
}

#[test]
fn of_the_stock_agent() {
    reads_the_log_of(Kind { stock: true, protocol: "quic" });
}

#[test]
fn of_our_agent_over_http2() {
    reads_the_log_of(Kind { stock: false, protocol: "http2" });
}

#[test]
fn tokens_are_told_for_each_resource() {
    let scene = Scene::new();
    let said = |words: &[&str]| {
        let output = command(&scene, words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let tunnel = scene.node.tunnel.as_str();
    assert!(said(&["tail", "token", tunnel]).contains("eyJ"));
    for resource in ["logs", "admin", "host_details"] {
        assert!(said(&["management", "token", "--resource", resource, tunnel]).contains("eyJ"), "{resource}");
    }
}
