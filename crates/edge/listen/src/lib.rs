//! Sockets, connection limits, drain.
//!
//! An address has a socket a core ([`mod@group`]). A [`Listener`] accepts from one and hands each connection on as an [`Arrival`]; a [`Permit`] counts it as long as it is served.
//! [`Admission`] decides who may come: a total that the process's file descriptors allow, and a share per visitor so that one
//! address cannot take them all. Where a proxy stands in front, [`proxy_protocol`] reads from it who the visitor is. A [`QuicListener`] does
//! the same for QUIC, by the same limits, and by others for whoever has not shown yet that its address is its own. What the bytes mean is
//! for `edge/tls` and `edge/http`.
#![forbid(unsafe_code)]

mod admission;
pub mod group;
mod listener;
pub mod proxy_protocol;
mod quic;

pub use admission::{Admission, AdmissionLimits, Permit, Refused};
pub use listener::{Arrival, Listener, Proxies};
pub use quic::{Handshakes, QuicArrival, QuicListener};
