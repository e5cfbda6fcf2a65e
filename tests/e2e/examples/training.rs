//! What a trained build is trained with (`cargo xtask dist`): a day of visitors in a minute or two. The programs that `POTERNE_BIN` and
//! `POTERNE_AGENT_BIN` name are built to count what they do, and write it down when they end by themselves.
//!
//! Each way that a visitor can take is taken often: in clear, over TLS and over HTTP/2, with small pages, large ones, uploads and
//! handshakes, through a tunnel over either transport and straight to an origin; HTTP/3, WebSockets and gRPC, more seldom. What is never
//! taken here would be made small instead of fast. The same goes for questions about names and for the API.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "not part of the product: whatever goes wrong ends it"
)]

use std::{fs, net::Ipv4Addr, process::Command};

use poterne_e2e::{Agent, Api, Curl, Kind, Nginx, Node, eventually, peer::Peer};
use serde_json::{Value, json};

/// Requests of one kind. Enough for what is hot to stand out, few enough for a build machine: those who count are some three times slower.
const REQUESTS: usize = 20_000;
/// Pages of 16 MiB.
const PAGES: usize = 24;
/// Uploads of 4 MiB.
const UPLOADS: usize = 48;
/// Visitors who come for one request.
const HANDSHAKES: usize = 1_500;
/// Questions of each kind, a hundred at a time.
const QUESTIONS: usize = 200;
/// Where the server is.
const ORIGIN: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Changes by the API.
const CHANGES: usize = 150;

fn main() {
    let dir = tempfile::tempdir().unwrap();
    // Not at the node's own address: an account may lead nobody to that.
    let nginx = Nginx::start_at(dir.path(), ORIGIN);
    let upload = dir.path().join("upload");
    fs::write(&upload, vec![7; 4 << 20]).unwrap();
    let upload = upload.to_str().unwrap();
    for protocol in ["quic", "http2"] {
        eprintln!("training: through a tunnel over {protocol}");
        let node = Node::serve(&nginx.url);
        let agent = Agent::connect(&node, Kind { stock: false, protocol });
        visit(&node, &node.hostname, upload);
        end(agent, node);
        for (script, rows) in [
            (
                "with_aioquic.py",
                &["pages", "upload", "many", "many", "many", "many", "many", "many", "many", "many", "reset"][..],
            ),
            ("with_websockets.py", &[]),
            ("with_aiohttp.py", &[]),
        ] {
            eprintln!("training: {script} over {protocol}");
            let peer = Peer::start(script, rows);
            let node = Node::leading_to(&peer.url);
            let agent = Agent::connect(&node, Kind { stock: false, protocol });
            let hostname = node.hostname.clone();
            peer.visit(&node, &hostname);
            end(agent, node);
        }
    }
    eprintln!("training: straight to an origin");
    let (node, zone, api) = straight(&nginx);
    visit(&node, "www.site.test", upload);
    eprintln!("training: names and changes");
    change(&api, &zone);
    ask(&node);
    stop(node);
}

/// A node with a record that leads straight to the server.
fn straight(nginx: &Nginx) -> (Node, String, Api) {
    let node = Node::bare(&["edge.origins_allowed=[{ cidr = \"127.0.0.0/8\" }]".to_owned()]);
    let api = Api::of(&node);
    let zone = api.zone(&node, "site.test");
    let port: u16 = nginx.url.rsplit(':').next().unwrap().parse().unwrap();
    api.done("PATCH", &format!("{zone}/settings/ssl"), &json!({ "value": "flexible" }));
    let record = json!({ "type": "A", "name": "www", "content": ORIGIN, "proxied": true });
    api.done("POST", &format!("{zone}/dns_records"), &record);
    let rule =
        json!({ "rules": [{ "action": "route", "expression": "true", "action_parameters": { "origin": { "port": port } } }] });
    api.done("PUT", &format!("{zone}/rulesets/phases/http_request_origin/entrypoint"), &rule);
    eventually("the record is in force", || Curl::http(&node, "www.site.test", "/hello").run().status == 200);
    (node, zone, api)
}

fn visit(node: &Node, hostname: &str, upload: &str) {
    let load = |key: &str, options: &[&str], count: usize, path: &str| load(node, hostname, key, options, count, path);
    for (key, options) in
        [("http", &["--h1", "-c", "50"][..]), ("https", &["--h1", "-c", "50"]), ("https", &["-c", "8", "-m", "16"])]
    {
        load(key, options, REQUESTS, "/hello");
    }
    for (key, options) in [("http", &["--h1", "-c", "2"][..]), ("https", &["--h1", "-c", "2"]), ("https", &["-c", "2"])] {
        load(key, options, PAGES, "/big");
        load(key, &[options, &["-d", upload]].concat(), UPLOADS, "/upload");
    }
    for options in [&["--h1", "-c", "100"][..], &["-c", "100"]] {
        for _ in 0..HANDSHAKES / 100 {
            load("https", options, 100, "/hello");
        }
    }
}

/// `h2load`, every request of which is answered well.
fn load(node: &Node, hostname: &str, key: &str, options: &[&str], count: usize, path: &str) {
    let address = node.text(key).trim_start_matches("http://").trim_start_matches("https://");
    let port = address.rsplit(':').next().unwrap();
    let (count, connect) = (count.to_string(), format!("--connect-to={address}"));
    let url = format!("{}://{hostname}:{port}{path}", if key == "http" { "http" } else { "https" });
    let output = Command::new("h2load").args(options).args(["-n", &count, &connect, &url]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains(&format!("status codes: {count} 2xx")), "{options:?} {url}: {said}");
}

/// What clients of the API do most: read, and change a record.
fn change(api: &Api, zone: &str) {
    let records = format!("{zone}/dns_records");
    for number in 0..CHANGES {
        let record =
            json!({ "type": "A", "name": format!("h{number}"), "content": "192.0.2.7", "ttl": 300, "proxied": number % 10 == 0 });
        let made = api.done("POST", &records, &record);
        let path = format!("{records}/{}", made["id"].as_str().unwrap());
        api.done("PATCH", &path, &json!({ "content": "192.0.2.8" }));
        for path in [&*path, &records, "/zones", &format!("{records}?name=h{number}.site.test")] {
            api.done("GET", path, &Value::Null);
        }
    }
    api.done("PATCH", &format!("{zone}/dnssec"), &json!({ "status": "active" }));
}

/// `dnsperf`, for names that exist and some that do not, of a signed zone.
fn ask(node: &Node) {
    let questions: String =
        (0..100).map(|number| format!("h{}.site.test {}\n", number * 3 / 2, ["A", "AAAA"][number % 2])).collect();
    let file = node.file("questions");
    fs::write(&file, questions).unwrap();
    let port = node.text("dns").rsplit(':').next().unwrap();
    for options in [&["-m", "udp"][..], &["-m", "tcp"], &["-m", "udp", "-D"]] {
        let mut command = Command::new("dnsperf");
        command.args(options).args(["-s", "127.0.0.1", "-p", port, "-n", &QUESTIONS.to_string(), "-c", "4", "-q", "50", "-d"]);
        let output = command.arg(&file).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains(&format!("Queries sent:         {}", QUESTIONS * 100)), "{options:?}: {said}");
    }
}

/// A program writes down what it counted when it ends by itself.
fn end(mut agent: Agent, node: Node) {
    agent.terminate();
    assert!(agent.end().success());
    stop(node);
}

fn stop(mut node: Node) {
    node.process.terminate();
    assert!(node.process.end().success());
}
