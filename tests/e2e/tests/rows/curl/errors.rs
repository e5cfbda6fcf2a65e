//! What is answered when something is missing, wrong or broken: docs/framing.md's table, seen from outside.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::{Mutex, mpsc},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use poterne_e2e::{Agent, Curl, Kind, Node, Raw, eventually};
use serde_json::Value;

columns!(wrong_secrets, deleted_tunnels, services_that_break_off; ours alone: services_that_contradict_themselves);

#[test]
fn hosts_that_are_not_served() {
    let node = Node::demo();
    let ask = |hostname: &str| Curl::http(&node, hostname, "/").run();
    assert!(ask("nobody.example").is_error(409, 1001), "{:?}", ask("nobody.example"));
    assert!(ask("absent.poterne.localhost").is_error(409, 1001));
    node.verb(&["zone", "add", "waiting.test"]).unwrap();
    let refused = node.verb(&["tunnel", "route", "elsewhere.test", &node.tunnel, "http://localhost:1"]).unwrap_err();
    assert!(refused.contains("zone"), "{refused}");
    node.route("app.waiting.test", "http://localhost:1");
    assert!(ask("app.waiting.test").is_error(409, 1018), "{:?}", ask("app.waiting.test"));
    node.verb(&["zone", "activate", "waiting.test"]).unwrap();
    assert!(ask("app.waiting.test").is_error(530, 1033), "{:?}", ask("app.waiting.test"));
}

/// The right tunnel and another secret.
fn wrong_secrets(kind: Kind) {
    let node = Node::demo();
    let mut token: Value = serde_json::from_slice(&STANDARD.decode(&node.token).unwrap()).unwrap();
    token["s"] = STANDARD.encode([0; 32]).into();
    let agent = Agent::run(&node, kind, &STANDARD.encode(token.to_string()));
    refused_and_told(kind, &agent);
    assert!(node.get("/").is_error(530, 1033));
    assert_eq!(node.connectors(), 0);
    eventually("the node says whose fault it is", || {
        node.log().lines().any(|line| line.contains("its secret is another") && line.contains(&node.tunnel))
    });
}

fn deleted_tunnels(kind: Kind) {
    let node = Node::demo();
    let agent = Agent::connect(&node, kind);
    assert_eq!(node.get("/").status, 200);
    let refused = node.verb(&["tunnel", "delete", &node.tunnel]).unwrap_err();
    assert!(refused.contains("--force"), "{refused}");
    assert_eq!(node.get("/").status, 200);
    node.verb(&["tunnel", "delete", &node.tunnel, "--force"]).unwrap();
    // The record that `route` made goes with its tunnel: the host leads nowhere any more.
    assert!(node.get("/").is_error(409, 1001), "{:?}", node.get("/"));
    refused_and_told(kind, &agent);
    assert!(node.log().contains("the tunnel was deleted"), "the node says why each connection ended");
}

/// The stock agent keeps the edge's reason to itself over QUIC.
fn refused_and_told(kind: Kind, agent: &Agent) {
    let told = if kind.stock && kind.protocol == "quic" { "control stream encountered a failure" } else { "Unauthorized" };
    eventually("the agent is refused, and says so", || agent.log().contains(told));
}

/// A service that breaks its answers off, each in the way that the path names. Where a visitor has to see the beginning first, it waits
/// to be told.
fn breaking() -> (Raw, mpsc::Sender<()>) {
    let (go_on, told) = mpsc::channel();
    let told = Mutex::new(told);
    let raw = Raw::start(move |path, stream| {
        let bytes: &[u8] = match path {
            // The stock agent holds the beginning of other types back.
            "/short" => b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 100\r\n\r\nten bytes.",
            "/short-at-once" => b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nten bytes.",
            "/chunk" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nten bytes.",
            "/garbage" => b"220 mail.example ESMTP\r\n",
            "/both" => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "/lengths" => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
            _ => b"",
        };
        let _ = stream.write_all(bytes);
        if ["/short", "/chunk"].contains(&path) {
            let _ = told.lock().unwrap().recv();
        }
    });
    (raw, go_on)
}

/// A body that is cut off never looks whole. curl's 18 is a body cut short, 56 a connection and 92 a stream that was reset.
fn is_cut_off(node: &Node, path: &str, go_on: &mpsc::Sender<()>) {
    for (curl, exits) in [
        (Curl::http(node, &node.hostname, path), &[18, 56][..]),
        (Curl::https(node, &node.hostname, path).with(&["--http2"]), &[92]),
    ] {
        let mut visitor = curl.begin();
        let mut stdout = visitor.stdout();
        let mut beginning = [0; 10];
        stdout.read_exact(&mut beginning).unwrap();
        assert_eq!(&beginning, b"ten bytes.");
        go_on.send(()).unwrap();
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "200", "{path}: a status, and no more of the body");
        let exit = visitor.end().code().unwrap();
        assert!(exits.contains(&exit), "{path}: curl ended with {exit}");
    }
}

fn services_that_break_off(kind: Kind) {
    let (origin, go_on) = breaking();
    let node = Node::leading_to(&origin.url());
    let _agent = Agent::connect(&node, kind);
    is_cut_off(&node, "/short", &go_on);
    // Before anything was sent on, a page says it better than a body that breaks off.
    let answer = node.get("/short-at-once");
    assert!(answer.exit != 0 || answer.is_error(502, 502), "{answer:?}");
    for path in ["/nothing", "/garbage"] {
        let answer = node.get(path);
        assert!(answer.is_error(502, 502), "{path}: {answer:?}");
    }
    // A port that was free a moment ago.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    node.route(&node.hostname, &format!("http://{nobody}"));
    eventually("there is nobody", || node.get("/").is_error(502, 502));
}

/// The stock agent believes the one and drops the other, and ends a stream in the same way whether its body is whole or not.
fn services_that_contradict_themselves(kind: Kind) {
    let (origin, go_on) = breaking();
    let node = Node::leading_to(&origin.url());
    let _agent = Agent::connect(&node, kind);
    is_cut_off(&node, "/chunk", &go_on);
    for path in ["/both", "/lengths"] {
        let answer = node.get(path);
        assert!(answer.is_error(502, 502), "{path}: {answer:?}");
    }
}
