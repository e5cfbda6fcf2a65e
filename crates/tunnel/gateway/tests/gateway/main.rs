//! A real gateway, and agents that do what the reference recorded: real QUIC and real TLS, on ports that the kernel chooses.
//!
//! * [`edge`]: the gateway under test, and what is asked of it; [`agent`]: agents of both transports;
//! * [`vectors`]: bytes of the stock agent; [`replay`]: its transcripts, stream by stream.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "test code")]

mod agent;
mod edge;
mod replay;
mod vectors;
