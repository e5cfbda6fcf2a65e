//! Replays `fuzz/corpus`: first messages of visitors, and their certificates, well made and not.
#![allow(
    clippy::print_stdout,
    unreachable_pub,
    reason = "the checks are shared with the fuzz targets; the input is told before its check"
)]

#[path = "../../../../fuzz/src/edge_tls.rs"]
mod edge_tls;
#[path = "../../../../fuzz/src/replay.rs"]
mod replay;

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../fuzz/corpus");

#[test]
fn client_hello_inputs_hold() {
    replay::replay(CORPUS.as_ref(), "client_hello", edge_tls::client_hello);
}

#[test]
fn visitor_certificate_inputs_hold() {
    replay::replay(CORPUS.as_ref(), "visitor_certificate", edge_tls::visitor_certificate);
}
