//! Replays `fuzz/corpus`: replies of servers, well made and not.
#![allow(
    clippy::print_stdout,
    unreachable_pub,
    reason = "the checks are shared with the fuzz targets; the input is told before its check"
)]

#[path = "../../../../fuzz/src/dns_reply.rs"]
mod dns_reply;
#[path = "../../../../fuzz/src/replay.rs"]
mod replay;
#[path = "../../../../fuzz/src/transfer.rs"]
mod transfer;

#[test]
fn dns_reply_inputs_hold() {
    replay::replay(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../fuzz/corpus").as_ref(), "dns_reply", dns_reply::dns_reply);
}

#[test]
fn transfer_inputs_hold() {
    replay::replay(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../fuzz/corpus").as_ref(), "dns_transfer", transfer::transfer);
}
