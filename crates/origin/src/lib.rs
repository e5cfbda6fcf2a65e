//! HTTP/1.1 spoken to a server: by the agent to local services, by the edge to origins. Why it is our own:
//! `docs/decisions/0006-http1-to-local-services.md`; why both share it: `0021-direct-origins.md`.
//!
//! * [`head`], [`body`]: bytes to meaning and back; pure;
//! * [`connection`]: one connection, which the task of a request drives;
//! * [`certificate`]: certificates that nobody vouches for.
//!
//! What is not here: addresses, handshakes, pools, and whether a request is sent again. Who dials decides those, each in its own way.
#![forbid(unsafe_code)]

pub mod body;
pub mod certificate;
pub mod connection;
pub mod head;

pub use certificate::AnyCertificate;
pub use connection::{Fault, Http1, Outgoing, Patience, SendError};
pub use head::{Answer, HeadError, Rules, encode_request};
