//! Replays `fuzz/corpus`: certificates and chains of each kind, and what is none; what authorities say.
#![allow(
    clippy::print_stdout,
    unreachable_pub,
    reason = "the checks are shared with the fuzz targets; the input is told before its check"
)]

#[path = "../../../fuzz/src/acme.rs"]
mod acme;
#[path = "../../../fuzz/src/replay.rs"]
mod replay;

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus");

#[test]
fn certificates_hold() {
    replay::replay(CORPUS.as_ref(), "acme_certificate", acme::certificate);
}

#[test]
fn what_authorities_say_holds() {
    replay::replay(CORPUS.as_ref(), "acme_authority", acme::authority);
}
