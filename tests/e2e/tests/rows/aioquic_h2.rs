//! A corpus of WebSocket frames over HTTP/1.1, HTTP/2 and HTTP/3, through tunnels: `peers/with_frames.py`.

use poterne_e2e::{Agent, Kind, Node, peer::Peer};

columns!(frames_pass_as_they_are);

fn frames_pass_as_they_are(kind: Kind) {
    let peer = Peer::start("with_frames.py", &[]);
    let node = Node::leading_to(&peer.url);
    let _agent = Agent::connect(&node, kind);
    peer.visit(&node, &node.hostname);
}
