//! What a visitor's certificate says, as fields and origins are told it (edge-behaviour §4.4): `cf.tls_client_auth.*`, and the managed fields
//! `Cf-Cert-*` that `add_client_certificate_headers` adds.

use std::{borrow::Cow, fmt::Write as _};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use poterne_model::ShownCertificate;

/// One thing that it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    /// Whom it names, `CN=x,O=y` (RFC 2253).
    Subject,
    /// The same, `/O=y/CN=x`.
    SubjectLegacy,
    /// Who issued it (RFC 2253).
    Issuer,
    /// The same, `/O=y/CN=x`.
    IssuerLegacy,
    /// Its serial number, in upper-case digits.
    Serial,
    /// Its issuer's.
    IssuerSerial,
    /// Its SHA-1, in lower-case digits.
    Sha1,
    /// Its SHA-256, in lower-case digits.
    Sha256,
    /// Its key's identifier, in upper-case digits.
    Ski,
    /// Its issuer's key's.
    IssuerSki,
    /// From when it is good: `Dec 22 19:39:00 2018 GMT`.
    NotBefore,
    /// Until when.
    NotAfter,
    /// All of it: its octets in base64 between colons (RFC 9440 §2.1, RFC 8941 §3.3.5).
    Rfc9440,
}

impl Says {
    /// As text; empty where it says nothing of it.
    pub fn of(self, shown: &ShownCertificate) -> Cow<'_, [u8]> {
        match self {
            Self::Subject => Cow::Borrowed(shown.subject.rfc2253.as_bytes()),
            Self::SubjectLegacy => Cow::Borrowed(shown.subject.legacy.as_bytes()),
            Self::Issuer => Cow::Borrowed(shown.issuer.rfc2253.as_bytes()),
            Self::IssuerLegacy => Cow::Borrowed(shown.issuer.legacy.as_bytes()),
            Self::Serial => Cow::Owned(digits(&shown.serial, true)),
            Self::IssuerSerial => Cow::Owned(digits(&shown.issuer_serial, true)),
            Self::Sha1 => Cow::Owned(digits(&shown.sha1, false)),
            Self::Sha256 => Cow::Owned(digits(&shown.sha256, false)),
            Self::Ski => Cow::Owned(digits(&shown.ski, true)),
            Self::IssuerSki => Cow::Owned(digits(&shown.issuer_ski, true)),
            Self::NotBefore => Cow::Borrowed(shown.validity[0].as_bytes()),
            Self::NotAfter => Cow::Borrowed(shown.validity[1].as_bytes()),
            Self::Rfc9440 if shown.der.is_empty() => Cow::Borrowed(b""),
            Self::Rfc9440 => Cow::Owned(format!(":{}:", BASE64_STANDARD.encode(&shown.der)).into_bytes()),
        }
    }
}

fn digits(octets: &[u8], upper: bool) -> Vec<u8> {
    let digits = octets.iter().fold(String::with_capacity(octets.len() * 2), |mut text, octet| {
        let _ = if upper { write!(text, "{octet:02X}") } else { write!(text, "{octet:02x}") };
        text
    });
    digits.into_bytes()
}
