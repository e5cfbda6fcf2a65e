//! What is asserted of any bytes, by crate. The fuzz targets search with these; each crate's `tests/corpus.rs` includes its file and
//! replays `fuzz/corpus` with it, so that what was found once is tried in every run of the tests.
#![forbid(unsafe_code)]
pub mod acme;
pub mod dns;
pub mod dns_reply;
pub mod edge_http;
pub mod edge_tls;
pub mod keys;
pub mod model;
pub mod origin;
pub mod otlp;
pub mod proto;
pub mod rpc;
pub mod rules;
pub mod telemetry;
pub mod transfer;
pub mod tsig;
pub mod wire;
pub mod zonefile;
