//! Replays `fuzz/corpus`: the reference's vectors, and what the fuzzer once found interesting.
#![allow(
    clippy::print_stdout,
    unreachable_pub,
    reason = "the checks are shared with the fuzz targets; the input is told before its check"
)]

#[path = "../../../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../../../fuzz/src/rpc.rs"]
mod rpc;

fn replay(target: &str, check: fn(&[u8])) {
    replay::replay(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../fuzz/corpus").as_ref(), target, check);
}

#[test]
fn rpc_frame_inputs_hold() {
    replay("rpc_frame", rpc::rpc_frame);
}

#[test]
fn rpc_session_inputs_hold() {
    replay("rpc_session", rpc::rpc_session);
}
