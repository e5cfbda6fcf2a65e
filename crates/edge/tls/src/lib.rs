//! TLS towards visitors: which certificate for which name, and who is meant by a name at all.
//!
//! * [`certificates`]: SNI → certificate, from the operator's files, the snapshot, or the node's local authority;
//! * [`accept`]: the handshake of one connection, which first reads whom the name means: a visitor's hostname, the node itself, or
//!   an agent that found no other port open; or an authority that wants to see a challenge (RFC 8737), to which nothing else is said;
//! * [`quic`]: the same for QUIC, where the protocol that is asked for tells visitors from agents, and [`client_hello`] what is asked for;
//! * `versions`: which versions and protocols a zone's visitors are offered.
//!
//! * [`ja4`]: the client's fingerprint, over TCP; over QUIC the ClientHello is not seen as it came, and there is none.
//!
//! * `asking`: visitors' certificates, where a host asks for them, and `shown`, what they say;
//! * `tickets`: sessions that are taken up again, after a restart and at other nodes too.
#![forbid(unsafe_code)]

pub mod accept;
mod asking;
pub mod certificates;
mod challenge;
pub mod client_hello;
mod hello;
pub mod ja4;
pub mod quic;
mod shown;
mod tickets;
mod versions;

pub use accept::{AcceptError, Accepted, Acceptor, Arrived, Class};
pub use certificates::{
    CERTIFICATE_LOADS_MAX, CERTIFICATES_READY_MAX, Certificates, CertificatesSettings, FileError, Files, Issued, Issuer,
};
pub use quic::{Agents, Told};
pub use shown::{CERTIFICATE_BYTES_MAX, read as read_certificate};
