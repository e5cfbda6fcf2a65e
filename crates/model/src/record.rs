//! What a zone holds: record sets.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::Name;

/// The type of a record set.
///
/// The types that routing needs are spelled out; every other one is kept as presentation text under its mnemonic
/// ([`RecordType::Other`]), so that the name server can grow without a migration of meaning.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub enum RecordType {
    /// RFC 1035 §3.4.1.
    A,
    /// RFC 3596.
    Aaaa,
    /// RFC 1035 §3.3.1.
    Cname,
    /// Any other type, by its mnemonic in upper case.
    Other(String),
}

impl From<String> for RecordType {
    fn from(text: String) -> Self {
        match text.to_ascii_uppercase().as_str() {
            "A" => Self::A,
            "AAAA" => Self::Aaaa,
            "CNAME" => Self::Cname,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl From<RecordType> for String {
    fn from(kind: RecordType) -> Self {
        kind.as_str().to_owned()
    }
}

impl RecordType {
    /// The mnemonic.
    pub fn as_str(&self) -> &str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Cname => "CNAME",
            Self::Other(mnemonic) => mnemonic,
        }
    }
}

/// The data of one record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RecordData {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// The canonical name.
    Cname(Name),
    /// Another type's data in presentation form (RFC 1035 §5.1).
    Other(String),
}

/// All records of one owner name and type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordSet {
    /// The owner name, absolute.
    pub name: Name,
    /// The type all of `records` have.
    pub kind: RecordType,
    /// Time to live in seconds; 1 means automatic (300 s), as in the v4 API.
    pub ttl_secs: u32,
    /// Whether the edge answers for this name and forwards, hiding the data.
    pub proxied: bool,
    /// At least one; exactly one for a CNAME.
    pub records: Vec<RecordData>,
}
