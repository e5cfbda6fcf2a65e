//! Secrets at rest and in transit: envelope encryption, digests, tokens, local certificate authorities.
//!
//! ```text
//! node key (file, 0600) ──wraps──→ data keys (in the store) ──seal──→ tunnel secrets, certificate keys, …
//!                       ├─wraps──→ the local CAs' private keys (files, 0600)
//!                       └─derives→ keys that are made again at each start
//! ```
//!
//! Two layers, so that changing the node key re-wraps a handful of data keys instead of everything they seal, and a store
//! backed up without the node key is worth nothing to a thief.
//!
//! What is not here: passwords (argon2id, in `control/app` with the sign-in that needs them), and where wrapped things are kept.
#![forbid(unsafe_code)]

mod ca;
mod certificate_key;
mod envelope;
mod es256;
mod node_key;
mod request;
mod secret;
mod tickets;

pub use ca::{CaError, CaSpec, Leaf, LocalCa, Signed, SignedClient};
pub use certificate_key::{CertificateKey, CertificateKeyError};
pub use envelope::{DataKey, EnvelopeError, KeyId, KeyRing, Purpose};
pub use es256::{SigningKey, es256_verifies};
pub use node_key::{KeyFileError, NodeKey, read_private_file, write_private_file};
pub use request::{Request, RequestError, RequestSubject};
pub use secret::{Secret, digest_matches, random_bytes, random_name, random_token, sha256};
pub use tickets::{DueTicketKeys, TICKET_BYTES_MAX, TICKET_LIFETIME, TicketKeys, due_ticket_keys};
