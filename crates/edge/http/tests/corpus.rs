//! Replays `fuzz/corpus`: the reference's vectors, and what the fuzzer once found interesting.
#![allow(
    clippy::print_stdout,
    unreachable_pub,
    reason = "the checks are shared with the fuzz targets; the input is told before its check"
)]

#[path = "../../../../fuzz/src/edge_http.rs"]
mod edge_http;
#[path = "../../../../fuzz/src/replay.rs"]
mod replay;

fn replay(target: &str, check: fn(&[u8])) {
    replay::replay(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../fuzz/corpus").as_ref(), target, check);
}

#[test]
fn http1_inputs_hold() {
    replay("http1", edge_http::http1);
}

#[test]
fn http3_inputs_hold() {
    replay("http3", edge_http::http3);
}
