//! Replays `fuzz/corpus`: the reference's examples, and what the fuzzer once found interesting.
#![allow(
    clippy::print_stdout,
    unreachable_pub,
    reason = "the checks are shared with the fuzz targets; the input is told before its check"
)]

#[path = "../../../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../../../fuzz/src/zonefile.rs"]
mod zonefile;

fn replay(target: &str, check: fn(&[u8])) {
    replay::replay(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../fuzz/corpus").as_ref(), target, check);
}

#[test]
fn zonefile_inputs_hold() {
    replay("zonefile", zonefile::zonefile);
}
