//! curl finds a host by asking the node over HTTPS.

use std::process::Command;

use poterne_e2e::{Api, Node};
use serde_json::json;

#[test]
fn a_host_is_found_by_a_question_over_https() {
    let node = Node::bare(&["node.name=node.test".to_owned()]);
    let api = Api::of(&node);
    let zone = api.zone(&node, "example.com");
    let body = json!({ "type": "A", "name": "www", "content": "127.0.0.1", "proxied": false, "ttl": 1 });
    api.done("POST", &format!("{zone}/dns_records"), &body);
    let port = |key: &str| node.text(key).rsplit(':').next().unwrap().to_owned();
    let visit = |host: &str| {
        let mut command = Command::new("curl");
        command.args(["--silent", "--output", "/dev/null", "--max-time", "60", "--write-out", "%{http_code} %{remote_ip}"]);
        command.args(["--resolve", &format!("node.test:{}:127.0.0.1", port("https")), "--cacert", node.text("ca_file")]);
        command.args(["--doh-url", &format!("https://node.test:{}/dns-query", port("https"))]);
        let output = command.arg(format!("http://{host}:{}/", port("http"))).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    // The host is there, and the node itself is its web server, which has no page for what is not proxied.
    assert_eq!(visit("www.example.com"), "409 127.0.0.1");
    assert_eq!(visit("no.example.com"), "000 ", "nobody else is asked");
}
