//! gRPC over TLS and HTTP/2: `peers/with_grpc.py`.
//!
//! The service is published as a quick tunnel, whose agent has its `originRequest` from its own command line.

use std::{fs, time::SystemTime};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use poterne_e2e::{Agent, Curl, Kind, Node, eventually, peer::Peer};
use poterne_keys::{CaSpec, LocalCa};

const OURS_QUIC: Kind = Kind { stock: false, protocol: "quic" };
const OURS_HTTP2: Kind = Kind { stock: false, protocol: "http2" };
const STOCK_HTTP2: Kind = Kind { stock: true, protocol: "http2" };

mod quic {
    #[test]
    fn calls_to_a_service_in_clear() {
        super::in_clear(super::OURS_QUIC);
    }

    #[test]
    fn calls_to_a_service_over_tls() {
        super::over_tls(super::OURS_QUIC);
    }
}

mod http2 {
    #[test]
    fn calls_to_a_service_in_clear() {
        super::in_clear(super::OURS_HTTP2);
    }

    #[test]
    fn calls_to_a_service_over_tls() {
        super::over_tls(super::OURS_HTTP2);
    }
}

/// The stock agent has no trailers over QUIC, and speaks HTTP/2 to services over TLS alone.
mod stock_http2 {
    #[test]
    fn calls_to_a_service_over_tls() {
        super::over_tls(super::STOCK_HTTP2);
    }
}

fn in_clear(kind: Kind) {
    run(kind, &[], &[]);
}

fn over_tls(kind: Kind) {
    let dir = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let ca = LocalCa::generate(&CaSpec { name: "Rows".into(), permitted: vec![] }, now).unwrap();
    let leaf = ca.issue(&["service.test".into()], now, None).unwrap();
    let pem = |label: &str, der: &[u8]| format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der));
    let chain: String = leaf.chain.iter().map(|certificate| pem("CERTIFICATE", certificate)).collect();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (key, chain) = (write("key.pem", &pem("PRIVATE KEY", leaf.key.secret_der())), write("chain.pem", &chain));
    let pool = write("ca.pem", ca.certificate_pem());
    run(kind, &[&key, &chain], &["--origin-ca-pool", &pool, "--origin-server-name", "service.test"]);
}

fn run(kind: Kind, certificate: &[&str], options: &[&str]) {
    let peer = Peer::start("with_grpc.py", certificate);
    let node = Node::demo();
    let mut flags = vec!["--http2-origin"];
    flags.extend(options);
    let (_agent, hostname) = Agent::quick(&node, kind, &peer.url, &flags);
    // What is not gRPC may still be asked; the service refuses it in its own words.
    eventually("the tunnel is there", || !Curl::http(&node, &hostname, "/").run().is_error(530, 1033));
    peer.visit(&node, &hostname);
}
