//! What is handed in with a query, and what comes out beside the octets.

use std::{net::IpAddr, sync::Arc};

use poterne_dns_wire::Rcode;
use poterne_model::{AccountId, ZoneId};

use crate::{CookieOpener, Elsewhere, Signer, Sought};

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
    /// A stream that nobody else reads.
    Tls,
    /// A request that nobody else reads (RFC 8484).
    Https,
}

/// What the name server says of itself.
#[derive(Debug, Clone, Default)]
pub struct Service {
    /// What tells this node from its siblings (RFC 5001); empty: nothing is told.
    pub nsid: Vec<u8>,
    /// Secrets of server cookies of this node's own: the first makes them where nodes share none, all are believed. Empty, and none shared:
    /// none are made.
    pub cookie_secrets: Vec<[u8; 16]>,
    /// Opens those that all nodes share, which the snapshot brings; none: they are not looked at.
    pub cookie_opener: Option<Arc<CookieOpener>>,
    /// Signs answers of zones that have keys, and opens the secrets that are shared with other name servers; none: zones are answered
    /// unsigned, and nobody's signature is known.
    pub signer: Option<Arc<Signer>>,
    /// What names of others lead to; none: nobody looks that up, and a CNAME that leads there is shown where it may be.
    pub elsewhere: Option<Arc<Elsewhere>>,
}

/// What became of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// What is to be looked up, for this answer or for those after it, and put into [`Service::elsewhere`].
    pub sought: Option<Box<Sought>>,
    /// Whether this answer lacks it: it says SERVFAIL, and would say more a moment later.
    pub lacks: bool,
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
            sought: None,
            lacks: false,
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
