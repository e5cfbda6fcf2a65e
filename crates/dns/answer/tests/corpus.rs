//! Replays `fuzz/corpus`: queries of each kind, and messages that are none.
#![allow(
    clippy::print_stdout,
    unreachable_pub,
    reason = "the checks are shared with the fuzz targets; the input is told before its check"
)]

#[path = "../../../../fuzz/src/dns.rs"]
mod dns;
#[path = "../../../../fuzz/src/replay.rs"]
mod replay;

#[test]
fn queries_hold() {
    replay::replay(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../fuzz/corpus").as_ref(), "dns_query", dns::query);
}
