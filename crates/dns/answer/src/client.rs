//! What is handed in with a query, and what comes out beside the octets.

use std::{net::IpAddr, sync::Arc};

use poterne_model::{AccountId, ZoneId};

use crate::Signer;

/// Who asks, how, and when.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    /// Where the query came from. Over UDP anybody can say so.
    pub address: IpAddr,
    /// How it came.
    pub transport: Transport,
    /// Seconds since the Unix epoch, modulo 2^32: what cookies are stamped with.
    pub now_secs: u32,
    /// Another number for each query: where addresses begin, so that visitors are spread over them.
    pub turn: u32,
}

/// How a query came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// One datagram, and one back.
    Udp,
    /// A stream in clear.
    Tcp,
    /// A stream that nobody else reads: over TLS, or over HTTPS.
    Tls,
}

/// What the name server says of itself.
#[derive(Debug, Clone, Default)]
pub struct Service {
    /// What tells this node from its siblings (RFC 5001); empty: nothing is told.
    pub nsid: Vec<u8>,
    /// Secrets of server cookies, the same on all nodes: the first makes them, the others are still believed. Empty: none are made.
    pub cookie_secrets: Vec<[u8; 16]>,
    /// Signs answers of zones that have keys, and opens the secrets that are shared with other name servers; none: zones are answered
    /// unsigned, and nobody's signature is known.
    pub signer: Option<Arc<Signer>>,
}

/// What became of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// Octets of the answer; 0: there is none.
    pub length: usize,
    /// What it says.
    pub rcode: Rcode,
    /// What it is, for whoever limits answers by kind.
    pub kind: Kind,
    /// What the client showed of itself.
    pub cookie: Cookie,
    /// The zone that was asked.
    pub zone: Option<(AccountId, ZoneId)>,
    /// How it was signed.
    pub signed: Signed,
}

/// How an answer's signatures came to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Signed {
    /// Made for it.
    pub made: u8,
    /// Remembered from earlier answers.
    pub remembered: u8,
    /// Whether one was not made, since the zone had its share of this second.
    pub is_refused: bool,
}

impl Reply {
    pub(crate) fn none() -> Self {
        Self {
            length: 0,
            rcode: Rcode::FormErr,
            kind: Kind::Error,
            cookie: Cookie::Absent,
            zone: None,
            signed: Signed::default(),
        }
    }
}

/// What an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Data.
    Data,
    /// The name exists, the type does not.
    NoData,
    /// The name does not exist.
    NoName,
    /// Another name server is named.
    Referral,
    /// A primary's word that a zone copied from it changed (RFC 1996), taken.
    Notified,
    /// Anything else.
    Error,
}

/// What a client's cookie proves (RFC 7873).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cookie {
    /// It sent none.
    Absent,
    /// It asks for one.
    Asked,
    /// One that was not made here, or not for it, or long ago.
    Wrong,
    /// It has received an answer at its address before.
    Valid,
}

/// What an answer says of itself (RFC 1035 §4.1.1, RFC 6895 §2.3).
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
}

impl Rcode {
    /// Every one.
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
        }
    }

    /// IANA's mnemonic.
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
        }
    }
}
