//! Why data is refused: what was wrong, with which value, and what to do.

use super::Rtype;
use crate::NameError;

/// Why a record's data is none.
///
/// [`RdataError::code`] is the code of api-v4 §1.9 that says the same to clients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RdataError {
    /// A type that is none, or is not kept.
    #[error(
        "{value:?} is not a record type: use one of A, AAAA, CAA, CERT, CNAME, DNSKEY, DS, HTTPS, LOC, MX, NAPTR, NS, OPENPGPKEY, PTR, SMIMEA, SRV, SSHFP, SVCB, TLSA, TXT, URI"
    )]
    UnknownType {
        /// What was given.
        value: String,
    },
    /// A member is not there.
    #[error("a {rtype} record needs {member:?}: add it")]
    Missing {
        /// Of which type.
        rtype: Rtype,
        /// Which member.
        member: &'static str,
    },
    /// A member has a value it cannot have.
    #[error("the {member:?} of this {rtype} record, {value:?}, {why}")]
    Member {
        /// Of which type.
        rtype: Rtype,
        /// Which member.
        member: &'static str,
        /// What was given, at most 80 characters.
        value: String,
        /// What is wrong and what would do.
        why: &'static str,
    },
    /// A member that must be a host name is none.
    #[error("the {member:?} of this {rtype} record must be a host name: {why}")]
    Host {
        /// Of which type.
        rtype: Rtype,
        /// Which member.
        member: &'static str,
        /// Why not, with the value.
        why: NameError,
    },
    /// There is more than the type holds.
    #[error(
        "the content of this {rtype} record goes on after its end with {value:?}: remove that, or put text with spaces in quotes"
    )]
    Extra {
        /// Of which type.
        rtype: Rtype,
        /// What follows.
        value: String,
    },
    /// Quotes or escapes do not fit together.
    #[error("the content of this {rtype} record cannot be read at {value:?}: {why}")]
    Quoting {
        /// Of which type.
        rtype: Rtype,
        /// Where.
        value: String,
        /// What is wrong and what to do.
        why: &'static str,
    },
    /// Longer than is kept.
    #[error("the content of this {rtype} record has {length} {unit}; {max} is the most")]
    TooLong {
        /// Of which type.
        rtype: Rtype,
        /// How long it is.
        length: usize,
        /// Of what.
        unit: &'static str,
        /// The bound.
        max: usize,
    },
}

impl RdataError {
    /// The v4 API's code. 1004 is its general one for data, where no code of its own is known.
    pub fn code(&self) -> i64 {
        let rtype = match self {
            Self::UnknownType { .. } => return 1004,
            Self::Missing { .. } => return 9101,
            Self::Member { rtype, .. }
            | Self::Host { rtype, .. }
            | Self::Extra { rtype, .. }
            | Self::Quoting { rtype, .. }
            | Self::TooLong { rtype, .. } => rtype,
        };
        match rtype {
            Rtype::A => 9005,
            Rtype::Aaaa => 9006,
            Rtype::Cname => 9007,
            Rtype::Mx => 9009,
            _ => 1004,
        }
    }
}

/// A value from outside as errors show it: at most 80 characters of it.
pub(crate) fn shown(value: &str) -> String {
    value.chars().take(80).collect()
}
