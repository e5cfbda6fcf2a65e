//! Replays `fuzz/corpus`: signed messages, well made and not.
#![allow(
    clippy::print_stdout,
    unreachable_pub,
    reason = "the checks are shared with the fuzz targets; the input is told before its check"
)]

#[path = "../../../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../../../fuzz/src/tsig.rs"]
mod tsig;

#[test]
fn tsig_inputs_hold() {
    replay::replay(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../fuzz/corpus").as_ref(), "tsig", tsig::tsig);
}
