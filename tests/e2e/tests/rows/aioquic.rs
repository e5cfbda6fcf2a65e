//! HTTP/3, through tunnels: `peers/with_aioquic.py`.

use poterne_e2e::{Agent, Kind, Node, api::Api, peer::Peer};
use serde_json::json;

columns!(pages_bodies_and_what_is_refused; ours alone: a_websocket_has_a_stream, an_answer_is_ended_by_who_began_it);

mod ours {
    #[test]
    fn a_zone_without_it_is_reached_by_tcp_alone() {
        super::a_zone_without_it_is_reached_by_tcp_alone();
    }
}

fn pages_bodies_and_what_is_refused(kind: Kind) {
    let peer = Peer::start("with_aioquic.py", &["pages", "upload", "many", "malformed", "reset", "resumed"]);
    let node = Node::leading_to(&peer.url);
    let _agent = Agent::connect(&node, kind);
    peer.visit(&node, &node.hostname);
}

/// While another program takes the node's place.
fn an_answer_is_ended_by_who_began_it(kind: Kind) {
    let peer = Peer::start("with_aioquic.py", &["replaced"]);
    let node = Node::serve(&peer.url);
    let _agent = Agent::connect(&node, kind);
    peer.visit(&node, &node.hostname);
}

fn a_websocket_has_a_stream(kind: Kind) {
    let peer = Peer::start("with_aioquic.py", &["websocket"]);
    let node = Node::demo();
    let _agent = Agent::connect(&node, kind);
    peer.visit(&node, &node.hostname);
}

fn a_zone_without_it_is_reached_by_tcp_alone() {
    let peer = Peer::start("with_aioquic.py", &["turned_away"]);
    let node = Node::leading_to(&peer.url);
    let _agent = Agent::connect(&node, Kind { stock: false, protocol: "quic" });
    let path = format!("/zones/{}/settings/http3", node.text("zone_id"));
    Api::of(&node).done("PATCH", &path, &json!({ "value": "off" }));
    peer.visit(&node, &node.hostname);
}
