//! The numbers of types (IANA, "Resource Record (RR) TYPEs") that the name server treats in a way of their own.

/// An IPv4 address (RFC 1035 §3.4.1).
pub const A: u16 = 1;
/// A name server (RFC 1035 §3.3.11).
pub const NS: u16 = 2;
/// The canonical name (RFC 1035 §3.3.1).
pub const CNAME: u16 = 5;
/// The start of authority (RFC 1035 §3.3.13).
pub const SOA: u16 = 6;
/// A pointer (RFC 1035 §3.3.12).
pub const PTR: u16 = 12;
/// A host's hardware and system (RFC 1035 §3.3.2); since RFC 8482 the answer to "anything".
pub const HINFO: u16 = 13;
/// A mail exchanger (RFC 1035 §3.3.9).
pub const MX: u16 = 15;
/// Text (RFC 1035 §3.3.14).
pub const TXT: u16 = 16;
/// An IPv6 address (RFC 3596).
pub const AAAA: u16 = 28;
/// Where a service is (RFC 2782).
pub const SRV: u16 = 33;
/// What a message says of itself (RFC 6891). Never data.
pub const OPT: u16 = 41;
/// The digest of a child's key (RFC 4034 §5).
pub const DS: u16 = 43;
/// A signature (RFC 4034 §3).
pub const RRSIG: u16 = 46;
/// What is at a name, and which name comes after it (RFC 4034 §4).
pub const NSEC: u16 = 47;
/// A zone's key (RFC 4034 §2).
pub const DNSKEY: u16 = 48;
/// The digest of a key that the parent should have (RFC 7344 §3.1).
pub const CDS: u16 = 59;
/// The key itself (RFC 7344 §3.2).
pub const CDNSKEY: u16 = 60;
/// How to reach an HTTP service (RFC 9460).
pub const HTTPS: u16 = 65;
/// The pseudo-type of names that do not exist (RFC 9824 §3). Never asked for.
pub const NXNAME: u16 = 128;
/// A message's signature (RFC 8945). Never data.
pub const TSIG: u16 = 250;
/// What changed of a zone (RFC 1995).
pub const IXFR: u16 = 251;
/// A whole zone (RFC 5936).
pub const AXFR: u16 = 252;
/// Anything (RFC 8482).
pub const ANY: u16 = 255;
/// Certification authority authorization (RFC 8659).
pub const CAA: u16 = 257;

/// The class of the internet.
pub const CLASS_IN: u16 = 1;
