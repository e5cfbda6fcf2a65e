//! Messages signed with a secret that two servers share (TSIG, RFC 8945): transfers, what is asked before them, and notices.
//!
//! ```text
//! server  message ─find─→ Found ─Answering::verify─→ who signed it ─sign each answer─→
//! client  message ─Asking::begin─→ … ─each answer: Asking::verify─→ Asking::finish
//! ```
//!
//! * [`key`]: secrets, by name and algorithm. HMAC with SHA-256, SHA-384 and SHA-512; what RFC 8945 §6 keeps for the sake of old servers
//!   (MD5, SHA-1, and codes cut short) is not here, and is told as a key that is not known;
//! * [`record`]: the record at the end of a message, read and written;
//! * [`exchange`]: what is signed, by whom, and in which order. A transfer is one exchange of many messages, each of which is signed
//!   over the code of the one before.
//!
//! Pure: octets, secrets and seconds come in, octets go out. Why it is not `domain`'s: docs/decisions/0016-transfers.md.
#![forbid(unsafe_code)]

pub mod exchange;
pub mod key;
pub mod record;

pub use exchange::{Answering, Asking, Refused, Untrue};
pub use key::{Algorithm, Key};
pub use record::{Found, Malformed, Tsig, find};

/// How far two clocks may be apart, in seconds (RFC 8945 §10).
pub const FUDGE_SECS: u16 = 300;
