//! Replays `fuzz/corpus`: requests for certificates of each kind, and what is none.
#![allow(
    clippy::print_stdout,
    unreachable_pub,
    reason = "the checks are shared with the fuzz targets; the input is told before its check"
)]

#[path = "../../../fuzz/src/keys.rs"]
mod keys;
#[path = "../../../fuzz/src/replay.rs"]
mod replay;

#[test]
fn requests_hold() {
    replay::replay(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus").as_ref(), "certificate_request", keys::request);
}
