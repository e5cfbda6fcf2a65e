//! Programs that come and go while visitors are there.

use std::{
    io::{Read as _, Write as _},
    process::ChildStdout,
    sync::{Mutex, mpsc},
};

use poterne_e2e::{Agent, Api, Curl, Kind, Node, Raw, Running, eventually};
use serde_json::json;

columns!(
    a_new_route_needs_no_reconnect,
    a_configuration_is_obeyed_when_the_api_has_answered,
    a_leaving_agent_ends_what_it_began,
    a_leaving_node_ends_what_it_began,
    a_killed_node_comes_back_with_its_agents,
    a_killed_agent_leaves_the_others,
);

/// A service whose `/slow` says half of its answer, and the rest when it is told to. (Events, because the stock agent holds the
/// beginning of other types back.)
fn slow() -> (Raw, mpsc::Sender<()>) {
    let (go_on, told) = mpsc::channel();
    let told = Mutex::new(told);
    let raw = Raw::start(move |path, stream| {
        let _ = match path {
            "/slow" => {
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 8\r\nConnection: close";
                let half = write!(stream, "{head}\r\n\r\nhalf");
                let _ = told.lock().unwrap().recv();
                half.and_then(|()| stream.write_all(b"done"))
            }
            _ => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nfast"),
        };
    });
    (raw, go_on)
}

/// A visitor that has half of the slow answer.
fn half_way(node: &Node) -> (Running, ChildStdout) {
    let mut visitor = Curl::http(node, &node.hostname, "/slow").begin();
    let mut stdout = visitor.stdout();
    let mut half = [0; 4];
    stdout.read_exact(&mut half).unwrap();
    assert_eq!(&half, b"half");
    (visitor, stdout)
}

fn the_other_half((mut visitor, mut stdout): (Running, ChildStdout)) {
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "done200");
    assert!(visitor.end().success());
}

fn a_new_route_needs_no_reconnect(kind: Kind) {
    let (first, second) = (Raw::saying("first"), Raw::saying("second"));
    let node = Node::leading_to(&first.url());
    let _agent = Agent::connect(&node, kind);
    assert_eq!(node.get("/").text(), "first");
    let before = node.info();
    node.route(&node.hostname, &second.url());
    eventually("the new service is served", || node.get("/").text() == "second");
    node.route("other.poterne.localhost", &first.url());
    eventually("another name too", || Curl::http(&node, "other.poterne.localhost", "/").run().text() == "first");
    assert_eq!(node.info()["connectors"], before["connectors"], "the same connections");
}

/// A visitor right after the answer meets the new configuration, each time.
fn a_configuration_is_obeyed_when_the_api_has_answered(kind: Kind) {
    let origins = [Raw::saying("first"), Raw::saying("second")];
    let node = Node::leading_to(&origins[0].url());
    let api = Api::of(&node);
    let _agent = Agent::connect(&node, kind);
    let tunnel = format!("/accounts/{}/cfd_tunnel/{}", api.account, node.tunnel);
    // What the verb has told, the API tells: they ask the same gateway.
    let told = api.get(&format!("{tunnel}/connections")).unwrap();
    assert_eq!(told.result()[0]["conns"].as_array().unwrap().len(), 4);
    for n in 1..=16 {
        let (origin, said) = (&origins[n % 2], ["first", "second"][n % 2]);
        let rules = json!([{ "hostname": node.hostname, "service": origin.url() }, { "service": "http_status:404" }]);
        api.done("PUT", &format!("{tunnel}/configurations"), &json!({ "config": { "ingress": rules } }));
        assert_eq!(node.get("/").text(), said, "configuration {n}");
    }
}

fn a_leaving_agent_ends_what_it_began(kind: Kind) {
    let (origin, go_on) = slow();
    let node = Node::leading_to(&origin.url());
    let mut first = Agent::connect(&node, kind);
    let visitor = half_way(&node);
    first.terminate();
    eventually("it gets no new request", || node.get("/").is_error(530, 1033));
    let _second = Agent::connect(&node, kind);
    assert_eq!(node.get("/").text(), "fast", "another agent takes them");
    assert!(first.runs());
    go_on.send(()).unwrap();
    the_other_half(visitor);
    if !kind.stock {
        // The stock agent waits for the whole of its grace period.
        assert!(first.end().success());
    }
}

fn a_leaving_node_ends_what_it_began(kind: Kind) {
    let (origin, go_on) = slow();
    let mut node = Node::serve(&origin.url());
    let _agent = Agent::connect(&node, kind);
    let visitor = half_way(&node);
    node.process.terminate();
    eventually("nobody else is let in", || node.get("/").exit == 7);
    go_on.send(()).unwrap();
    the_other_half(visitor);
    assert!(node.process.end().success());
}

fn a_killed_node_comes_back_with_its_agents(kind: Kind) {
    let origin = Raw::saying("still there");
    let mut node = Node::serve(&origin.url());
    let _agent = Agent::connect(&node, kind);
    assert_eq!(node.get("/").text(), "still there");
    let answer = Curl::https(&node, &node.hostname, "/").run();
    assert_eq!(answer.text(), "still there");
    node.kill_and_restart();
    eventually("the agent is back by itself", || node.get("/").text() == "still there");
    node.wait_for_agents(1);
    assert_eq!(Curl::https(&node, &node.hostname, "/").run().text(), "still there", "the authority is the same");
}

fn a_killed_agent_leaves_the_others(kind: Kind) {
    let origin = Raw::saying("still there");
    let node = Node::leading_to(&origin.url());
    let mut first = Agent::connect(&node, kind);
    let _second = Agent::connect(&node, kind);
    first.kill();
    for n in 0..50 {
        let answer = node.get("/");
        assert_eq!(answer.text(), "still there", "request {n}: {answer:?}");
    }
}
