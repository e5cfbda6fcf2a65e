//! What other name servers say: Poterne's eyes.
//!
//! ```text
//! lookup ──→ cache ──→ resolvers of the operator or of the machine
//!                └───→ or, with root hints: the root, and down from referral to referral
//! delegation ──→ the servers of the parent, each asked for itself: no cache between
//! at, transfer ─→ one server
//! ```
//!
//! * [`message`]: questions and replies, in the words of `model`; [`referral`]: what one reply means on the way down; both pure;
//! * [`cache`]: what is still good, and what may be handed out stale; pure;
//! * [`hints`]: root hints and `resolv.conf`, read;
//! * [`client`]: one question to one server; [`transfer`]: one zone from one server;
//! * [`incoming`]: what a primary sends of a zone that is copied here, read; pure; [`primary`]: asking it, signed; [`tls`]: over TLS;
//! * [`resolver`]: all of it together, bounded; [`mod@delegation`]: what the parent's servers say of a zone.
//!
//! Where a user's records lead is a stranger's word: a server that was learned from one is asked, and an address that was learned is
//! handed out, only where the guard lets it through. Roots and resolvers are the operator's word, and may be anywhere.
//!
//! Not here: validation. What a resolver that validates says of it (the AD bit) is passed on. Why the client is our own:
//! `docs/decisions/0014-our-own-resolver.md`.
#![forbid(unsafe_code)]

pub mod cache;
pub mod client;
pub mod delegation;
pub mod hints;
pub mod incoming;
pub mod message;
pub mod primary;
pub mod referral;
pub mod resolver;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod tls;
pub mod transfer;

pub use client::AskError;
pub use delegation::{Delegation, Seen, View};
pub use message::{Data, Question, Record, Reply};
pub use poterne_dns_wire::Rcode;
pub use resolver::{Addresses, Ends, Found, ResolveError, Resolver, Server, Settings};
pub use transfer::TransferError;
