//! Keys of zones, and signatures of record sets: DNSSEC without a message, a socket or a clock (RFC 4033 to 4035, RFC 9364).
//!
//! ```text
//! control      KSK ──signs──→ DNSKEY, CDS, CDNSKEY ──→ zone head ─┐
//!              ZSK ──wrapped for the node─────────────→ zone head ─┤
//! name server                                                     └→ ZSK ──signs──→ everything else, when it is asked for
//! ```
//!
//! * [`key`]: key pairs, and what of them stands in records: DNSKEY, DS, CDS, CDNSKEY, key tags;
//! * [`rrsig`]: the canonical form of a record set (RFC 4034 §6), and its signature;
//! * [`apex`]: the sets of keys that control signs beforehand;
//! * [`keyset`]: a zone's keys in time, and how they are rolled;
//! * [`nsec`]: the record that denies (RFC 9824): the next name, and the bitmap of types.
//!
//! Signatures are made by `aws-lc-rs`, which is linked anyway. Its ECDSA is not the deterministic one of RFC 6979, and it offers no way to
//! ask for that: a nonce is random, and SHA-512 of the private key and the digest is mixed into it, so that neither a weak source of random
//! numbers nor a repeated state gives the key away ([decision 0015](../../../../docs/decisions/0015-signing.md)). Ed25519 is
//! deterministic by itself (RFC 8032).
//!
//! What is not here: where keys are kept and who may ask for them (`control/app`), and which sets an answer holds (`dns/answer`).
#![forbid(unsafe_code)]

pub mod apex;
pub mod key;
pub mod keyset;
pub mod nsec;
pub mod rrsig;
#[cfg(test)]
mod vectors;

pub use apex::KeySets;
pub use key::{Algorithm, KeyError, KeyPair};
pub use keyset::KeySet;
pub use rrsig::{Set, Signature, Validity, ZoneKey};
