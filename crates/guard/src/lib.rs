//! Where what a user has written down may lead (design §4, SSRF).
//!
//! A webhook's URL, and where a record leads, is a stranger's word, and this node stands where a stranger does not: beside loopback
//! services, private networks, and the addresses by which clouds tell machines their secrets. So:
//!
//! ```text
//! URL ── Target::parse ──→ scheme, host, port ── resolve ──→ addresses ── Guard::admits each ──→ connect to that very address
//! ```
//!
//! * [`target`]: what a URL names, read as browsers do, so that `http://0x7f.1/` is the address it means;
//! * [`guard`]: which addresses are reached for which account; pure;
//! * [`mod@connect`]: the way to a socket. The address that was judged is the one connected to: no name is resolved twice.
//!
//! What is not here: redirects (nobody who uses this follows one), TLS, HTTP.
#![forbid(unsafe_code)]

pub mod connect;
pub mod guard;
pub mod target;

pub use connect::{ConnectError, connect};
pub use guard::{Guard, Range, Refusal};
pub use target::{Scheme, Target, TargetError};
