//! Streams, in clear and over TLS: `peers/with_aiohttp.py`.

use poterne_e2e::{Agent, Kind, Node, peer::Peer};

columns!(events_come_one_by_one, a_thousand_requests_at_once, long_bodies_wait_for_their_reader_and_for_little_memory);

/// How much either end may grow while 256 MiB pass, both ways, in bytes.
const GROWTH_MAX: u64 = 64 << 20;

fn events_come_one_by_one(kind: Kind) {
    visit(kind, "events");
}

fn a_thousand_requests_at_once(kind: Kind) {
    visit(kind, "gather");
}

fn visit(kind: Kind, row: &str) {
    let peer = Peer::start("with_aiohttp.py", &[row]);
    let node = Node::leading_to(&peer.url);
    let _agent = Agent::connect(&node, kind);
    peer.visit(&node, &node.hostname);
}

fn long_bodies_wait_for_their_reader_and_for_little_memory(kind: Kind) {
    let peer = Peer::start("with_aiohttp.py", &["down", "up"]);
    let node = Node::leading_to(&peer.url);
    let agent = Agent::connect(&node, kind);
    assert_eq!(node.get("/").status, 200, "both ends have done their work once");
    let ends = [("the node", &node.process), ("the agent", &*agent)];
    let idle = ends.map(|(_, end)| {
        end.forget_peak();
        end.memory().0
    });
    peer.visit(&node, &node.hostname);
    for ((name, end), idle) in ends.into_iter().zip(idle) {
        // The stock agent's memory is its own affair.
        if kind.stock && name == "the agent" {
            continue;
        }
        let peak = end.memory().1;
        eprintln!("{name}: {} KiB idle, {} KiB at most", idle >> 10, peak >> 10);
        assert!(peak <= idle + GROWTH_MAX, "{name} grew from {idle} to {peak} bytes");
    }
}
