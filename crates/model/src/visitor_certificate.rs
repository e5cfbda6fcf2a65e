//! The certificate by which a visitor shows who it is, as far as others need to know it (edge-behaviour §4.4, `cf.tls_client_auth.*`).

use std::fmt;

use crate::CertificateId;

/// What became of asking a visitor for a certificate. Kept once for all requests of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientAuth {
    /// The authorities that may vouch for it, rising. A request for a host of which others are asked belongs on another connection.
    pub asked: Box<[CertificateId]>,
    /// What was shown; none: nothing was, and the handshake went on without.
    pub shown: Option<Box<ShownCertificate>>,
}

/// A certificate that a visitor has proven to hold the key of.
#[derive(Clone, PartialEq, Eq)]
pub struct ShownCertificate {
    /// Who of those asked vouches for it: the chain was whole when it was shown. None: nobody does.
    pub verified_by: Option<CertificateId>,
    /// It, DER. At most 16 KiB: one that is longer is not looked at, and nobody vouches for it.
    pub der: Box<[u8]>,
    /// From when it is good, in seconds since the Unix epoch.
    pub not_before: i64,
    /// Until when, that second included.
    pub not_after: i64,
    /// The same two as they are told: `Dec 22 19:39:00 2018 GMT`.
    pub validity: [Box<str>; 2],
    /// Its serial number, as it stands in it.
    pub serial: Box<[u8]>,
    /// Whom it names.
    pub subject: DistinguishedName,
    /// Who issued it.
    pub issuer: DistinguishedName,
    /// Its key's identifier (RFC 5280 §4.2.1.2); empty where it says none.
    pub ski: Box<[u8]>,
    /// Its issuer's key's (RFC 5280 §4.2.1.1); empty where it says none.
    pub issuer_ski: Box<[u8]>,
    /// Its issuer's own serial number (RFC 5280 §4.2.1.1); empty where it says none.
    pub issuer_serial: Box<[u8]>,
    /// Of all of it.
    pub sha1: [u8; 20],
    /// Of all of it.
    pub sha256: [u8; 32],
}

/// A name, as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DistinguishedName {
    /// The last part first: `CN=x,O=y` (RFC 2253).
    pub rfc2253: Box<str>,
    /// The first part first: `/O=y/CN=x`.
    pub legacy: Box<str>,
}

impl ShownCertificate {
    /// Whether somebody vouches for it, and it is good at that time in seconds since the Unix epoch.
    pub fn is_verified(&self, now_secs: i64) -> bool {
        self.verified_by.is_some() && (self.not_before..=self.not_after).contains(&now_secs)
    }
}

impl fmt::Debug for ShownCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ShownCertificate");
        shown.field("subject", &self.subject.rfc2253).field("verified_by", &self.verified_by).finish_non_exhaustive()
    }
}
