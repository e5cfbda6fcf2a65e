//! Replays `fuzz/corpus`: what collectors say, and what the fuzzer once found interesting.
#![allow(
    clippy::print_stdout,
    unreachable_pub,
    reason = "the checks are shared with the fuzz targets; the input is told before its check"
)]

#[path = "../../../fuzz/src/otlp.rs"]
mod otlp;
#[path = "../../../fuzz/src/replay.rs"]
mod replay;

#[test]
fn collector_answer_inputs_hold() {
    replay::replay(
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus").as_ref(),
        "collector_answer",
        otlp::collector_answer,
    );
}
