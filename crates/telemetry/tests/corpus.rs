//! Replays `fuzz/corpus`: what visitors say of traces, and what the fuzzer once found interesting.
#![allow(
    clippy::print_stdout,
    unreachable_pub,
    reason = "the checks are shared with the fuzz targets; the input is told before its check"
)]

#[path = "../../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../../fuzz/src/telemetry.rs"]
mod telemetry;

#[test]
fn traceparent_inputs_hold() {
    replay::replay(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus").as_ref(), "traceparent", telemetry::traceparent);
}
