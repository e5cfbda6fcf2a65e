//! Tasks that converge: store to snapshot, names, certificates.
//!
//! ```text
//! start     store ──(everything, page by page)──→ world ──→ compare all of it with the snapshot ──┐
//! a change  store ──(what was touched)──────────→ world ──→ compare what it reaches ──────────────┴─→ Change ──→ feed
//! ```
//!
//! The task keeps the [`world`]: what the store said last, arranged for stepping. A wake-up reads only what was touched since, and
//! [`update`] says which chunks that can have changed, along every CNAME chain; those are compared with the snapshot, and the
//! difference is sent. Run twice, it sends nothing the second time. What a node did not take is owed and compared again; when the
//! store touched too much, or a step failed, everything is read and compared anew. What a step makes is what reading everything would
//! have made: a property test holds it to a plain compiler (`reference`, in tests alone).
//!
//! Every 30 s it also looks at the next rows as if they had been touched, so that a mistake here, or a hand in the database, does not
//! stay for long; rows that a hand deleted stay in force until the next start.
//!
//! What a large zone file brings is read while the database still writes it (`ahead`), and need not be read of the store then.
//!
//! It also sends the orders that verbs left in the store's outbox, after the change they belong to is in force, and lets quick
//! tunnels end.
#![forbid(unsafe_code)]

mod ahead;
mod clients;
mod difference;
mod load;
mod path;
mod publisher;
mod read;
#[cfg(test)]
mod reference;
mod rows;
#[cfg(test)]
mod steps;
#[cfg(test)]
mod tests;
mod update;
mod world;

pub use publisher::{PublishError, Publisher};
