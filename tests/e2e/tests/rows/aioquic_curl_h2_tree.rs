//! The same corpus straight to an origin, at the port that the world knows: `peers/with_frames.py`.

use poterne_e2e::{Api, Curl, Node, eventually, peer::Peer};
use serde_json::json;

alone!(frames_pass_as_they_are_without_a_tunnel);

const HOST: &str = "www.site.test";
const ORIGIN: &str = "127.0.0.2";

fn frames_pass_as_they_are_without_a_tunnel() {
    let peer = Peer::start("with_frames.py", &[ORIGIN]);
    let node = Node::bare(&["edge.origins_allowed=[{ cidr = \"127.0.0.0/8\" }]".to_owned()]);
    let api = Api::of(&node);
    let zone = api.zone(&node, "site.test");
    // In clear, whatever the visitor does.
    api.done("PATCH", &format!("{zone}/settings/ssl"), &json!({ "value": "flexible" }));
    let record = json!({ "type": "A", "name": "www", "content": ORIGIN, "proxied": true });
    api.done("POST", &format!("{zone}/dns_records"), &record);
    // What is no WebSocket the origin hangs up on.
    eventually("the record is in force", || Curl::http(&node, HOST, "/").run().status == 520);
    peer.visit(&node, HOST);
}
