//! WebSocket, in clear and over TLS: `peers/with_websockets.py`.

use poterne_e2e::{Agent, Kind, Node, peer::Peer};

columns!(messages_closes_and_refusals);

fn messages_closes_and_refusals(kind: Kind) {
    let peer = Peer::start("with_websockets.py", &[]);
    let node = Node::leading_to(&peer.url);
    let _agent = Agent::connect(&node, kind);
    peer.visit(&node, &node.hostname);
}
