//! Replays `fuzz/corpus`: expressions, and what the fuzzer once found interesting.
#![allow(
    clippy::print_stdout,
    unreachable_pub,
    reason = "the checks are shared with the fuzz targets; the input is told before its check"
)]

#[path = "../../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../../fuzz/src/rules.rs"]
mod rules;

#[test]
fn expression_inputs_hold() {
    replay::replay(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus").as_ref(), "expression", rules::expression);
}
