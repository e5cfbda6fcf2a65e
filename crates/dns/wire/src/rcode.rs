//! What a response says of how it went.

use std::fmt;

/// A response code (RFC 1035 §4.1.1, RFC 6895 §2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rcode {
    /// No error.
    NoError,
    /// The query does not parse.
    FormErr,
    /// It cannot be answered now.
    ServFail,
    /// The name does not exist.
    NxDomain,
    /// Not done here.
    NotImp,
    /// Not for this client, or not for this name.
    Refused,
    /// Signed by nobody known here (RFC 8945 §5.2).
    NotAuth,
    /// An EDNS version beyond 0 (RFC 6891 §6.1.3).
    BadVers,
    /// The cookie is wrong (RFC 7873 §8).
    BadCookie,
    /// One that is never answered here.
    Other(u16),
}

impl Rcode {
    /// Every one that is answered here.
    pub const ALL: [Self; 9] = [
        Self::NoError,
        Self::FormErr,
        Self::ServFail,
        Self::NxDomain,
        Self::NotImp,
        Self::Refused,
        Self::NotAuth,
        Self::BadVers,
        Self::BadCookie,
    ];

    /// IANA's number; what is beyond four bits stands in the OPT record.
    pub const fn number(self) -> u16 {
        match self {
            Self::NoError => 0,
            Self::FormErr => 1,
            Self::ServFail => 2,
            Self::NxDomain => 3,
            Self::NotImp => 4,
            Self::Refused => 5,
            Self::NotAuth => 9,
            Self::BadVers => 16,
            Self::BadCookie => 23,
            Self::Other(number) => number,
        }
    }

    /// IANA's mnemonic; of one that is never answered here the word for all of them.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoError => "NOERROR",
            Self::FormErr => "FORMERR",
            Self::ServFail => "SERVFAIL",
            Self::NxDomain => "NXDOMAIN",
            Self::NotImp => "NOTIMP",
            Self::Refused => "REFUSED",
            Self::NotAuth => "NOTAUTH",
            Self::BadVers => "BADVERS",
            Self::BadCookie => "BADCOOKIE",
            Self::Other(_) => "OTHER",
        }
    }
}

impl From<u16> for Rcode {
    fn from(number: u16) -> Self {
        Self::ALL.into_iter().find(|code| code.number() == number).unwrap_or(Self::Other(number))
    }
}

impl fmt::Display for Rcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(number) => write!(f, "RCODE {number}"),
            known => f.write_str(known.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_codes_are_each_others() {
        for number in 0..30 {
            assert_eq!(Rcode::from(number).number(), number);
        }
        assert_eq!((Rcode::from(5), Rcode::from(6)), (Rcode::Refused, Rcode::Other(6)));
        assert_eq!(format!("{} {}", Rcode::NxDomain, Rcode::Other(6)), "NXDOMAIN RCODE 6");
    }
}
