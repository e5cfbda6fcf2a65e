//! Keys.

use std::fmt;

use aws_lc_rs::hmac;
use poterne_dns_wire::name;

/// How codes are made (RFC 8945 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256: what every server knows.
    HmacSha256,
    /// HMAC with SHA-384.
    HmacSha384,
    /// HMAC with SHA-512.
    HmacSha512,
}

impl Algorithm {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::HmacSha256, Self::HmacSha384, Self::HmacSha512];

    /// Its name, without the dot at the end.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HmacSha256 => "hmac-sha256",
            Self::HmacSha384 => "hmac-sha384",
            Self::HmacSha512 => "hmac-sha512",
        }
    }

    /// Of that name, with or without the dot at the end, in letters of either case.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str().eq_ignore_ascii_case(text))
    }

    /// Its name as labels.
    pub fn labels(self) -> Vec<u8> {
        let mut labels = Vec::new();
        name::push(self.as_str(), &mut labels);
        labels
    }

    /// Octets of a whole code.
    pub const fn octets(self) -> usize {
        match self {
            Self::HmacSha256 => 32,
            Self::HmacSha384 => 48,
            Self::HmacSha512 => 64,
        }
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::HmacSha256 => hmac::HMAC_SHA256,
            Self::HmacSha384 => hmac::HMAC_SHA384,
            Self::HmacSha512 => hmac::HMAC_SHA512,
        }
    }
}

/// A shared secret under its name.
#[derive(Clone)]
pub struct Key {
    name: Box<[u8]>,
    algorithm: Algorithm,
    hmac: hmac::Key,
}

impl Key {
    /// Of a name's text, whose labels are bounded ([`poterne_dns_wire::name::push`]), and the secret itself.
    pub fn new(text: &str, algorithm: Algorithm, secret: &[u8]) -> Self {
        let mut labels = Vec::new();
        name::push(text, &mut labels);
        labels.make_ascii_lowercase();
        Self { name: labels.into(), algorithm, hmac: hmac::Key::new(algorithm.hmac(), secret) }
    }

    /// Its name as labels in lower case.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// How it signs.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// A code under way.
    pub(crate) fn context(&self) -> hmac::Context {
        hmac::Context::with_key(&self.hmac)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}
