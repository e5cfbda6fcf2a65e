//! gRPC over HTTP/3, whose trailers pass through the tunnel: `peers/with_aioquic.py`.

use poterne_e2e::{Agent, Curl, Kind, Node, eventually, peer::Peer};

mod quic {
    #[test]
    fn a_call_ends_with_its_status() {
        super::a_call_ends_with_its_status("quic");
    }
}

mod http2 {
    #[test]
    fn a_call_ends_with_its_status() {
        super::a_call_ends_with_its_status("http2");
    }
}

fn a_call_ends_with_its_status(protocol: &'static str) {
    let peer = Peer::start("with_aioquic.py", &["grpc"]);
    let node = Node::demo();
    let kind = Kind { stock: false, protocol };
    let (_agent, hostname) = Agent::quick(&node, kind, &peer.url, &["--http2-origin"]);
    eventually("the tunnel is there", || !Curl::http(&node, &hostname, "/").run().is_error(530, 1033));
    peer.visit(&node, &hostname);
}
