//! The only crate that knows the database.
//!
//! Reads and writes happen within a [`Session`]: one transaction that sees one state. A verb opens a writing session, asks what it
//! must know, writes, and commits; what it was told cannot have changed meanwhile, because one writer is let in at a time
//! (`writer`). A commit returns once the disk has it, adds one to the `change` counter, and wakes whoever waits on
//! [`Store::changes`]; those that wait together share one. SQLite by default, PostgreSQL by URL, the same queries for both
//! (`database`).
//!
//! What is not here: who may do what (`control/app`), and what a secret is (`keys`: only sealed bytes and digests come in).
#![forbid(unsafe_code)]

mod access_rule;
mod account;
mod acme_account;
mod acme_standing;
mod api_token;
mod audit;
mod certificate;
mod certificate_pack;
mod challenge;
mod client_certificate;
mod connection;
mod cookie_secret;
mod database;
mod due;
mod error;
mod health_check;
mod hold;
mod list;
mod notice;
mod notification;
mod one_time_link;
mod open;
mod origin_certificate;
mod origin_pull_host;
mod person;
mod private_network;
mod published;
mod record;
mod record_batch;
mod record_list;
mod rows;
mod ruleset;
mod second_factor;
mod select;
mod session;
mod setting;
#[cfg(test)]
mod tests;
mod ticket_key;
mod touched;
mod transfer;
mod tunnel;
mod tunnel_list;
mod user_session;
mod visitor_authority;
mod visitor_certificate;
mod writer;
mod zone;
mod zone_deleted;
mod zone_end;
mod zone_list;
mod zone_scan;
mod zone_signing;
mod zone_watch;

pub use account::{Account, AccountKind};
pub use acme_account::AcmeAccount;
pub use api_token::{ApiToken, TokenOwner};
pub use audit::{Actor, AuditEvent, AuditFilter};
pub use certificate::{Certificate, CertificateInForce};
pub use certificate_pack::CertificatePack;
pub use challenge::Challenge;
pub use client_certificate::ClientCertificate;
pub use cookie_secret::CookieSecret;
pub use error::{StoreError, Trouble};
pub use notice::{Channel, NoticeCounts, QueuedNotice};
pub use notification::TunnelTold;
pub use one_time_link::OneTimeLink;
pub use open::{Store, Tables};
pub use origin_certificate::OriginCertificate;
pub use origin_pull_host::OriginPullHost;
pub use person::{Membership, MembershipStatus, Person};
pub use published::{RecordBrief, RecordLines, TunnelDetails};
pub use record::Record;
pub use record_batch::{NAMES_TOUCHED_MAX, NewRecord, RecordBatch, RecordBatches};
pub use record_list::RecordQuery;
pub use ruleset::{RULESET_VERSIONS_MAX, RulesetOwner};
pub use second_factor::{Passkey, Totp};
pub use select::TextMatch;
pub use session::Session;
pub use ticket_key::TicketKey;
pub use touched::Touched;
pub use transfer::{Sharing, TransferAcl, TransferPeer, TsigKey, ZoneIncoming, ZoneOutgoing};
pub use tunnel::{ConfigSource, Configuration, SealedSecret, Tunnel};
pub use tunnel_list::{StatusFilter, TunnelFilter};
pub use user_session::UserSession;
pub use visitor_authority::{ClientAuthority, MtlsCertificate, VisitorHost};
pub use visitor_certificate::VisitorCertificate;
pub use zone::Zone;
pub use zone_deleted::DeletedZone;
pub use zone_end::EndingZone;
pub use zone_list::{ZoneFilter, ZoneOrder, ZonesOf};
pub use zone_scan::ZoneScan;
pub use zone_signing::{SignedHead, ZoneSigning};
pub use zone_watch::ZoneWatch;

/// Microseconds since the Unix epoch, UTC: the only time the store knows.
pub type Micros = i64;
