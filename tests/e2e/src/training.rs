//! What a trained build is trained with (`cargo xtask dist`): a day of visitors in a minute or two. The programs that `POTERNE_BIN` and
//! `POTERNE_AGENT_BIN` name are built to count what they do, and write it down when they end by themselves.
//!
//! Each way that a visitor can take is taken often: in clear, over TLS and over HTTP/2, with small pages, large ones, compressed ones, uploads
//! and handshakes, through a tunnel over either transport and straight to origins in clear or over TLS, with rules and without; HTTP/3,
//! WebSockets and what `aiohttp` tries, more seldom. What is never taken here would be made small instead of fast. The same goes for
//! questions about names and for the API.

use std::{fs, net::Ipv4Addr, path::Path, process::Command};

use serde_json::{Value, json};

use crate::{
    Agent, Api, Curl, Kind, Nginx, Node,
    certificate::{self, Files},
    eventually,
    peer::Peer,
};

/// How much of each kind.
#[derive(Debug, Clone, Copy)]
pub struct Amount {
    /// Small requests.
    requests: usize,
    /// Pages of 16 MiB.
    pages: usize,
    /// Uploads of 4 MiB.
    uploads: usize,
    /// Pages of 40 KiB in each content coding.
    compressed: usize,
    /// Visitors who come for one request, in hundreds.
    handshakes: usize,
    /// Questions about names, in hundreds.
    questions: usize,
    /// Changes by the API.
    changes: usize,
}

impl Amount {
    /// Enough for what is hot to stand out, few enough for a build machine: programs that count are some three times slower.
    pub const WHOLE: Self =
        Self { requests: 20_000, pages: 24, uploads: 48, compressed: 200, handshakes: 15, questions: 200, changes: 150 };
    /// Enough to see that every way can be gone.
    pub const SAMPLE: Self = Self { requests: 200, pages: 2, uploads: 2, compressed: 2, handshakes: 1, questions: 2, changes: 4 };
}

/// Where the origin is: not at the node's own address, to which an account may lead nobody.
const ORIGIN: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Rows of the HTTP/3 visitor.
const HTTP3: [&str; 11] = ["pages", "upload", "many", "many", "many", "many", "many", "many", "many", "many", "reset"];

/// How visitors come: the key of the node's address, and how `h2load` is told so.
type Entrance = (&'static str, &'static [&'static str]);
const CLEAR: Entrance = ("http", &["--h1"]);
const TLS: Entrance = ("https", &["--h1"]);
const HTTP2: Entrance = ("https", &[]);

/// All of it; what goes wrong panics.
pub fn train(amount: Amount) {
    let dir = tempfile::tempdir().unwrap();
    let nginx = Nginx::start_at(dir.path(), ORIGIN);
    let upload = dir.path().join("upload");
    fs::write(&upload, vec![7; 4 << 20]).unwrap();
    let visit = |node: &Node, hostname: &str, entrances: &[Entrance]| {
        for entrance in entrances {
            visit(node, hostname, *entrance, amount, upload.to_str().unwrap());
        }
    };
    write_page(dir.path());
    for protocol in ["quic", "http2"] {
        eprintln!("training: through a tunnel over {protocol}");
        let node = Node::serve(&nginx.url);
        let agent = Agent::connect(&node, Kind { stock: false, protocol });
        visit(&node, &node.hostname, &[CLEAR, TLS, HTTP2]);
        end(agent, node);
        for (script, rows) in [("with_aioquic.py", &HTTP3[..]), ("with_websockets.py", &[]), ("with_aiohttp.py", &[])] {
            eprintln!("training: {script} over {protocol}");
            let peer = Peer::start(script, rows);
            let node = Node::leading_to(&peer.url);
            let agent = Agent::connect(&node, Kind { stock: false, protocol });
            peer.visit(&node, &node.hostname);
            end(agent, node);
        }
    }
    eprintln!("training: straight to origins, in clear and over TLS");
    let secret = tempfile::tempdir().unwrap();
    let Files { chain, key, .. } = certificate::write(secret.path(), "www.secret.test");
    let over_tls = Nginx::start_over_tls(secret.path(), ORIGIN, &chain, &key);
    write_page(secret.path());
    let node = Node::bare(&["edge.origins_allowed=[{ cidr = \"127.0.0.0/8\" }]".to_owned()]);
    let api = Api::of(&node);
    let zone = lead(&node, &api, "site.test", &nginx, "flexible");
    visit(&node, "www.site.test", &[CLEAR, TLS, HTTP2]);
    let guarded = lead(&node, &api, "secret.test", &over_tls, "full");
    rule(&api, &guarded);
    visit(&node, "www.secret.test", &[TLS, HTTP2]);
    eprintln!("training: names and changes");
    change(&api, &zone, amount);
    ask(&node, amount);
    stop(node);
}

/// A page that is worth compressing.
fn write_page(dir: &Path) {
    let lines: String =
        (0..1_000).map(|line: u32| format!("<p>Line {line} of many, {:x}</p>\n", line.wrapping_mul(0x9e37_79b9))).collect();
    fs::write(dir.join("www/page"), lines).unwrap();
}

/// A zone with a record that leads straight to the server; its path in the API.
fn lead(node: &Node, api: &Api, name: &str, nginx: &Nginx, mode: &str) -> String {
    let zone = api.zone(node, name);
    let port: u16 = nginx.url.rsplit(':').next().unwrap().parse().unwrap();
    api.done("PATCH", &format!("{zone}/settings/ssl"), &json!({ "value": mode }));
    let record = json!({ "type": "A", "name": "www", "content": ORIGIN, "proxied": true });
    api.done("POST", &format!("{zone}/dns_records"), &record);
    let route = json!({ "action": "route", "expression": "true", "action_parameters": { "origin": { "port": port } } });
    api.done("PUT", &format!("{zone}/rulesets/phases/http_request_origin/entrypoint"), &json!({ "rules": [route] }));
    eventually("the record is in force", || Curl::https(node, &format!("www.{name}"), "/hello").run().status == 200);
    zone
}

/// Some rules that let everybody here pass.
fn rule(api: &Api, zone: &str) {
    let put = |phase: &str, rule: Value| {
        api.done("PUT", &format!("{zone}/rulesets/phases/{phase}/entrypoint"), &json!({ "rules": [rule] }));
    };
    let expression = "http.request.uri.path matches \"^/(admin|login)\" or http.user_agent contains \"Bot\" or ip.src in {192.0.2.0/24 2001:db8::/32}";
    put("http_request_firewall_custom", json!({ "action": "block", "expression": expression }));
    let headers = |name: &str| json!({ "headers": { name: { "operation": "set", "expression": "lower(http.host)" } } });
    let rewrite = |name: &str| json!({ "action": "rewrite", "expression": "true", "action_parameters": headers(name) });
    put("http_request_late_transform", rewrite("X-Asked"));
    put("http_response_headers_transform", rewrite("X-Answered"));
}

fn visit(node: &Node, hostname: &str, entrance: Entrance, amount: Amount, upload: &str) {
    let (key, flags) = entrance;
    let load = |options: &[&str], count: usize, path: &str| load(node, hostname, key, &[flags, options].concat(), count, path);
    load(if entrance == HTTP2 { &["-c", "8", "-m", "16"] } else { &["-c", "50"] }, amount.requests, "/hello");
    load(&["-c", "2"], amount.pages, "/big");
    load(&["-c", "2", "-d", upload], amount.uploads, "/upload");
    for coding in ["accept-encoding: gzip", "accept-encoding: br", "accept-encoding: zstd"] {
        load(&["-c", "2", "-H", coding], amount.compressed, "/page");
    }
    if entrance != CLEAR {
        for _ in 0..amount.handshakes {
            load(&["-c", "100"], 100, "/hello");
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
fn change(api: &Api, zone: &str, amount: Amount) {
    let records = format!("{zone}/dns_records");
    for number in 0..amount.changes {
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
fn ask(node: &Node, amount: Amount) {
    let questions: String =
        (0..100).map(|number| format!("h{}.site.test {}\n", number * 3 / 2, ["A", "AAAA"][number % 2])).collect();
    let file = node.file("questions");
    fs::write(&file, questions).unwrap();
    let port = node.text("dns").rsplit(':').next().unwrap();
    for options in [&["-m", "udp"][..], &["-m", "tcp"], &["-m", "udp", "-D"]] {
        let mut command = Command::new("dnsperf");
        command.args(options).args(["-s", "127.0.0.1", "-p", port, "-c", "4", "-q", "50", "-n", &amount.questions.to_string()]);
        let output = command.arg("-d").arg(&file).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let all = format!("Queries sent:         {}\n", amount.questions * 100);
        assert!(said.contains(&all) && said.contains("Queries lost:         0 (0.00%)"), "{options:?}: {said}");
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
