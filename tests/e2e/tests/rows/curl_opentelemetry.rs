//! One trace from the visitor to the service, told to a collector that is nobody of ours: `peers/with_opentelemetry.py`.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use poterne_e2e::{Agent, Api, Curl, Kind, Node, Setup, eventually, peer::Peer};
use serde_json::{Value, json};

columns!(one_trace_from_the_visitor_to_the_service, a_visitor_has_nothing_recorded);

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

/// A JSON answer of the peer's own.
fn ask(peer: &Peer, path: &str) -> Value {
    let address = peer.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// The spans that the collector was sent about requests for this path, once there are so many: outermost first.
fn spans(peer: &Peer, path: &str, count: usize) -> Vec<Value> {
    let is_of = |span: &Value| {
        let told = &span["attributes"];
        told["url.path"] == path || told["url.full"].as_str().is_some_and(|url| url.ends_with(path))
    };
    let mut found = Vec::new();
    eventually("the spans are there", || {
        found = ask(peer, "/spans").as_array().unwrap().iter().filter(|span| is_of(span)).cloned().collect();
        found.len() >= count
    });
    assert_eq!(found.len(), count, "{found:#?}");
    // Each is the parent of the next.
    let mut chain: Vec<Value> = Vec::new();
    while let Some(at) = found.iter().position(|span| match chain.last() {
        Some(last) => span["parent"] == last["id"],
        None => !found.iter().any(|other| other["id"] == span["parent"]),
    }) {
        chain.push(found.swap_remove(at));
    }
    assert!(found.is_empty(), "{found:#?} is below nothing of {chain:#?}");
    chain
}

fn node(peer: &Peer, more: &[&str]) -> Node {
    let mut settings = vec![format!("telemetry.otlp={}", peer.url), "telemetry.service=the-node".to_owned()];
    settings.extend(more.iter().map(ToString::to_string));
    Node::serve_with(&peer.url, Setup { settings, ..Setup::default() })
}

/// Ours traces, too: it is told so, and to record nothing by itself.
fn agent(node: &Node, kind: Kind, peer: &Peer) -> Agent {
    let ours = ["--otlp-endpoint", &peer.url, "--otlp-sample", "0"];
    Agent::connect_with(node, kind, if kind.stock { &[] } else { &ours })
}

fn visitors(sampled: bool) -> String {
    format!("traceparent: 00-{TRACE}-{SPAN}-0{}", u8::from(sampled))
}

fn one_trace_from_the_visitor_to_the_service(kind: Kind) {
    let peer = Peer::start("with_opentelemetry.py", &["put_off"]);
    let node = node(&peer, &[]);
    let _agent = agent(&node, kind, &peer);
    let field = visitors(true);
    let more = ["-H", &field, "-H", "tracestate: congo=t61rcWkgMzE", "--include"];
    let answer = Curl::http(&node, &node.hostname, "/traced?secret=1").with(&more).run();
    let (head, body) = answer.text().split_once("\r\n\r\n").map(|(head, body)| (head.to_owned(), body.to_owned())).unwrap();
    let seen: Value = serde_json::from_str(&body).unwrap();
    let ray = head.lines().find_map(|line| line.strip_prefix("cf-ray: ")).unwrap();

    let names: &[(&str, &str)] = if kind.stock {
        &[("the-node", "SERVER"), ("the-node", "CLIENT")]
    } else {
        &[("the-node", "SERVER"), ("the-node", "CLIENT"), ("poterne-agent", "SERVER"), ("poterne-agent", "CLIENT")]
    };
    let chain = spans(&peer, "/traced", names.len());
    let told: Vec<_> = chain.iter().map(|span| (span["service"].as_str().unwrap(), span["kind"].as_str().unwrap())).collect();
    assert_eq!(told, names);
    assert_eq!(chain[0]["parent"], SPAN, "the visitor's own span is above them all");
    for span in &chain {
        assert_eq!((&span["trace"], &span["name"], &span["status"]), (&json!(TRACE), &json!("GET"), &json!("STATUS_CODE_UNSET")));
        assert_eq!(span["attributes"]["http.response.status_code"], 200);
        assert_eq!(span["attributes"]["poterne.ray"], ray);
        assert!(span["flags"].as_u64().unwrap() & 1 == 1 && !span.to_string().contains("secret"), "{span}");
    }
    let innermost = chain.last().unwrap()["id"].as_str().unwrap();
    assert_eq!(seen["traceparent"], json!([format!("00-{TRACE}-{innermost}-01")]), "the service reads of the innermost");
    assert_eq!(seen["tracestate"], json!(["congo=t61rcWkgMzE"]));
    let over = &chain[1]["attributes"];
    assert_eq!((&over["poterne.connection.transport"], &over["poterne.tunnel.id"]), (&json!(kind.protocol), &json!(node.tunnel)));
    let (connectors, log) = (node.info().to_string(), node.log());
    assert!(connectors.contains(over["poterne.connector.id"].as_str().unwrap()), "{over} is none of {connectors}");
    assert!(log.contains(over["poterne.connection.id"].as_str().unwrap()), "the log tells of that connection");

    eventually("what was sent is counted", || {
        let metrics = node.metrics();
        metrics.contains("poterne_trace_queue{to=\"collector\"} 0\n")
            && !metrics.contains("poterne_trace_spans_total{outcome=\"sent\"} 0\n")
    });
}

/// By what he writes: whoever records nothing by himself records nothing, agent included, and the service is told.
fn a_visitor_has_nothing_recorded(kind: Kind) {
    let peer = Peer::start("with_opentelemetry.py", &[]);
    let mut node = node(&peer, &["telemetry.sample=0.0"]);
    let mut agent = agent(&node, kind, &peer);
    let seen: Value =
        serde_json::from_str(&Curl::http(&node, &node.hostname, "/x").with(&["-H", &visitors(true)]).run().text()).unwrap();
    let told = seen["traceparent"][0].as_str().unwrap();
    assert!(told.starts_with(&format!("00-{TRACE}-")) && told.ends_with("-00") && !told.contains(SPAN), "{told}");
    // What waits is sent before either ends, so that this is all there will ever be.
    agent.terminate();
    agent.end();
    node.process.terminate();
    assert!(node.process.end().success());
    assert_eq!(ask(&peer, "/spans"), json!([]));
}

mod straight {
    use super::*;

    #[test]
    fn one_trace_from_the_visitor_to_the_origin() {
        let peer = Peer::start("with_opentelemetry.py", &[]);
        let port: u16 = peer.url.rsplit(':').next().unwrap().parse().unwrap();
        let settings = ["edge.origins_allowed=[{ cidr = \"127.0.0.0/8\" }]".to_owned(), format!("telemetry.otlp={}", peer.url)];
        let mut node = Node::bare(&settings);
        let api = Api::of(&node);
        let zone = api.zone(&node, "site.test");
        let record = json!({ "type": "A", "name": "www", "content": "127.0.0.2", "proxied": true });
        api.done("POST", &format!("{zone}/dns_records"), &record);
        let rule = json!({ "rules": [{ "action": "route", "expression": "true", "action_parameters": { "origin": { "port": port } } }] });
        api.done("PUT", &format!("{zone}/rulesets/phases/http_request_origin/entrypoint"), &rule);
        eventually("the record is in force", || Curl::http(&node, "www.site.test", "/ready").run().status == 200);

        let seen: Value = serde_json::from_str(&Curl::http(&node, "www.site.test", "/straight").run().text()).unwrap();
        // What waits is sent before a node ends.
        node.process.terminate();
        assert!(node.process.end().success());
        let chain = spans(&peer, "/straight", 2);
        let [served, asked] = &chain[..] else { panic!("{chain:#?}") };
        assert_eq!((&served["service"], &served["kind"], &served["parent"]), (&json!("poterne"), &json!("SERVER"), &json!("")));
        assert_eq!((&asked["kind"], &asked["trace"]), (&json!("CLIENT"), &served["trace"]));
        let expected = format!("00-{}-{}-01", served["trace"].as_str().unwrap(), asked["id"].as_str().unwrap());
        assert_eq!(seen["traceparent"], json!([expected]));
        let told = &asked["attributes"];
        assert_eq!((&told["network.peer.address"], &told["network.peer.port"]), (&json!("127.0.0.2"), &json!(port)));
        assert_eq!((&told["server.address"], &told["server.port"]), (&json!("www.site.test"), &json!(port)));
        assert_eq!(told["poterne.ray"], seen["cf-ray"][0]);
    }
}
