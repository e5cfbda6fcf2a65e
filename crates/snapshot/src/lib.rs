//! What edges and name servers obey: immutable, numbered, complete.
//!
//! ```text
//! control/publish ──Change──→ feed ──→ Keeper ──(log on disk, fsync)──→ SnapshotHandle ──load()──→ edge, gateway, dns
//! ```
//!
//! A [`Snapshot`] is a handful of persistent maps ([`tree::PageTree`]) whose pages are shared by `Arc`: cloning one to change
//! it copies only the page that changes and the spine above it, so a reader keeps what it loaded and never waits. Owner names, of which
//! there are millions, are octets in such pages (`names`), and are read where they stand ([`NameView`]).
//!
//! The unit of change is a chunk ([`chunk`]): one tunnel, one certificate, one challenge, one account, the node, one zone's head, or one owner
//! name of a zone; few zones have one more each, for transfers, for health checks, and for rules, which are compiled when they come (`rules`). Owner names are chunks of their own, and pages only an arrangement of them in memory: a changed record
//! then costs some sixty bytes on the feed and in the log instead of a page of 256 names, and two nodes need not agree on
//! how their pages are cut. A name's chunk says where visitors are led, and holds the records that resolvers may see as octets of the
//! wire (`dns/wire`); addresses that the edge hides are not among those. Of a certificate memory holds what is needed to find it; its chain and key lie on
//! disk until a visitor wants them ([`CertificateEntry`]).
//!
//! With 100,000 names in one zone (`cargo bench -p poterne-snapshot`, two cores; before names had records): 174 bytes a hostname, a cold lookup in 1.2 µs
//! without an allocation, a changed name in 1 to 8 µs.
//!
//! What is not here: how chunks are made (`control/publish`), and how they travel (`feed`).
#![forbid(unsafe_code)]

mod certificate;
pub mod chunk;
mod disk;
mod handle;
mod keeper;
mod names;
mod rules;
mod shelf;
mod snapshot;
#[cfg(test)]
mod tests;
pub mod tree;
mod zone;

pub use certificate::{CertificateEntry, LoadError};
pub use chunk::{
    AccountChunk, CertificateChunk, ChallengeChunk, Chunk, ChunkError, ChunkKey, HealthChecksChunk, NameChunk, NodeChunk,
    RemoteConfig, Shown, Shows, Target, TicketKey, TunnelChunk, ZoneDns, ZoneHead, ZoneKeys,
    client::{ClientCertificate, ClientCertificates, HostCertificate, VisitorAuthority, VisitorHost},
    transfer,
    transfer::TransferChunk,
};
pub use disk::DiskError;
pub use handle::SnapshotHandle;
pub use keeper::{KeepError, Keeper, follow};
pub use names::NameView;
pub use rules::RulesInForce;
pub use snapshot::{Applied, ApplyError, Lookup, Snapshot};
pub use zone::{Found, Zone};
