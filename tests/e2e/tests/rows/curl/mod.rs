//! curl in front, and behind the tunnel the demo's own sample site or a few bytes on a socket.

mod access;
mod demo;
mod errors;
mod health_checks;
mod life;
mod names;
mod reload;
mod stock_tail;
mod tail;
mod upgrade;
mod verbs;

use std::fs;

use poterne_e2e::{Agent, Curl, Kind, Node, Raw, eventually};

columns!(uploads_are_invited, quick_tunnels);

/// curl waits for the invitation ten times longer than it waits for the whole request.
fn uploads_are_invited(kind: Kind) {
    let node = Node::demo();
    let _agent = Agent::connect(&node, kind);
    let file = node.file("upload");
    fs::write(&file, vec![7; 8 << 20]).unwrap();
    let upload = ["--upload-file", file.to_str().unwrap(), "--verbose", "--http1.1"];
    let expect = ["--header", "Expect: 100-continue", "--expect100-timeout", "1200"];
    for curl in [Curl::http(&node, &node.hostname, "/count"), Curl::https(&node, &node.hostname, "/count")] {
        let answer = curl.with(&upload).with(&expect).run();
        assert!(answer.told.contains("HTTP/1.1 100 Continue"), "{}", answer.told);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.text(), r#"{"bytes":8388608,"content_length":"8388608"}"#);
    }
}

fn quick_tunnels(kind: Kind) {
    let origin = Raw::saying("through a quick tunnel");
    let node = Node::demo();
    let (mut agent, hostname) = Agent::quick(&node, kind, &origin.url(), &[]);
    eventually("the page is served under the name", || Curl::http(&node, &hostname, "/").run().status == 200);
    let answer = Curl::https(&node, &hostname, "/").with(&["--include"]).run();
    assert!(answer.status == 200 && answer.text().ends_with("through a quick tunnel"), "{answer:?}");
    assert!(answer.text().contains("x-robots-tag: noindex"), "{answer:?}");
    agent.kill();
    eventually("the name lives as long as the agent", || Curl::http(&node, &hostname, "/").run().is_error(530, 1033));
}
