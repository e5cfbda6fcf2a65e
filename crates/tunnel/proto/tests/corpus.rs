//! Replays `fuzz/corpus`: the reference's vectors, and what the fuzzer once found interesting.
#![allow(
    clippy::print_stdout,
    unreachable_pub,
    reason = "the checks are shared with the fuzz targets; the input is told before its check"
)]

#[path = "../../../../fuzz/src/proto.rs"]
mod proto;
#[path = "../../../../fuzz/src/replay.rs"]
mod replay;

fn replay(target: &str, check: fn(&[u8])) {
    replay::replay(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../fuzz/corpus").as_ref(), target, check);
}

#[test]
fn config_inputs_hold() {
    replay("config", proto::config);
}

#[test]
fn datagram_inputs_hold() {
    replay("datagram", proto::datagram);
}

#[test]
fn framed_inputs_hold() {
    replay("framed", proto::framed);
}

#[test]
fn h2_inputs_hold() {
    replay("h2", proto::h2);
}

#[test]
fn log_message_inputs_hold() {
    replay("log_message", proto::log_message);
}

#[test]
fn management_token_inputs_hold() {
    replay("management_token", proto::management_token);
}

#[test]
fn registration_inputs_hold() {
    replay("registration", proto::registration);
}

#[test]
fn socks_inputs_hold() {
    replay("socks", proto::socks);
}

#[test]
fn stream_inputs_hold() {
    replay("stream", proto::stream);
}

#[test]
fn token_inputs_hold() {
    replay("token", proto::token);
}

#[test]
fn websocket_inputs_hold() {
    replay("websocket", proto::websocket);
}
