//! Tasks that converge: store to snapshot, names, certificates.
//!
//! ```text
//! store ──(changed, or the clock)──→ compile: what should be in force ──→ compare with what is ──→ one Change ──→ feed
//! ```
//!
//! The task takes no arguments and keeps nothing between runs: it reads the store, compiles the chunks that should be in force
//! ([`compile`]), compares them with the snapshot that is, and sends the difference. Run twice, it sends nothing the second time; stopped
//! anywhere, it does the rest when it runs again.
//!
//! It also sends the orders that verbs left in the store's outbox, after the change they belong to is in force, and lets quick
//! tunnels end.
#![forbid(unsafe_code)]

pub mod compile;
mod publisher;
#[cfg(test)]
mod tests;

pub use publisher::{PublishError, Publisher};
