//! A real gateway, and agents that do what the reference recorded or what no agent should: real QUIC and real TLS, on ports that
//! the kernel chooses.
//!
//! * [`edge`]: the gateway under test, and what is asked of it; [`agent`]: agents of both transports; [`relay`]: a path that stops;
//! * [`vectors`]: bytes of the stock agent; [`replay`]: its transcripts, stream by stream;
//! * [`refusals`], [`hostile`]: what bad agents get, while [`probe`] asks a good one; [`lifecycle`], [`restart`],
//!   [`silence`], [`configuration`]: a connection's life; [`connectors`]: which is meant; [`trailers`]: our extension.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "test code")]

mod agent;
mod configuration;
mod connectors;
mod edge;
mod hostile;
mod lifecycle;
mod probe;
mod refusals;
mod relay;
mod replay;
mod restart;
mod silence;
mod trailers;
mod vectors;
