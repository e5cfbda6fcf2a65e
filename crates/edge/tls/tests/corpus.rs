//! Replays `fuzz/corpus`: first messages of visitors, well made and not.
#![allow(
    clippy::print_stdout,
    unreachable_pub,
    reason = "the checks are shared with the fuzz targets; the input is told before its check"
)]

#[path = "../../../../fuzz/src/edge_tls.rs"]
mod edge_tls;
#[path = "../../../../fuzz/src/replay.rs"]
mod replay;

#[test]
fn client_hello_inputs_hold() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../fuzz/corpus");
    replay::replay(corpus.as_ref(), "client_hello", edge_tls::client_hello);
}
