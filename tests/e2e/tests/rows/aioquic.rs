//! HTTP/3, through tunnels: `peers/with_aioquic.py`.

use std::{fs, path::Path};

use poterne_e2e::{Agent, Kind, Node, api::Api, certificate, peer::Peer};
use serde_json::json;

columns!(pages_bodies_and_what_is_refused, visitors_are_asked_who_they_are; ours alone: a_websocket_has_a_stream, an_answer_is_ended_by_who_began_it);

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

fn visitors_are_asked_who_they_are(kind: Kind) {
    let peer = Peer::start("with_aioquic.py", &["vouched"]);
    let node = Node::leading_to(&peer.url);
    let _agent = Agent::connect(&node, kind);
    let (api, zone) = (Api::of(&node), format!("/zones/{}", node.text("zone_id")));
    let (request, key) = certificate::request();
    let issued = api.done("POST", &format!("{zone}/client_certificates"), &json!({ "csr": request, "validity_days": 7 }));
    let file = Path::new(node.text("state_dir")).join("visitor.pem");
    fs::write(file, format!("{}{key}", issued["certificate"].as_str().unwrap())).unwrap();
    let rule = json!({ "rules": [{ "action": "block", "expression": "not cf.tls_client_auth.cert_verified" }] });
    api.done("PUT", &format!("{zone}/rulesets/phases/http_request_firewall_custom/entrypoint"), &rule);
    let managed = json!({ "managed_request_headers": [{ "id": "add_client_certificate_headers", "enabled": true }] });
    api.done("PATCH", &format!("{zone}/managed_headers"), &managed);
    let hosts = json!({ "hostnames": [node.hostname] });
    api.done("PUT", &format!("{zone}/certificate_authorities/hostname_associations"), &hosts);
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
