//! Where a proxied name leads: the CNAME chain, walked by one pure function.
//!
//! `control/app` walks it to refuse loops and foreign tunnels before anything is saved; `control/publish` walks it to make
//! routes. Nobody else does, so they cannot disagree.

use crate::{AccountId, Name, RecordData, RecordSet, TunnelId};

/// Longest chain followed, in CNAMEs. A chain this long is a mistake, and each hop costs resolvers a query.
pub const CHAIN_LENGTH_MAX: usize = 8;

/// The suffix that names a tunnel on every instance, so that existing zone files and tools work.
pub const TUNNEL_SUFFIX: &str = "cfargotunnel.com";

/// What the walker may ask.
pub trait Records {
    /// The record sets at exactly this owner name or, where none exists, at the wildcard that covers it (RFC 4592); empty when
    /// nothing answers or the name is in no zone kept here.
    fn record_sets(&self, name: &Name) -> Vec<RecordSet>;

    /// The account that owns a tunnel, if the tunnel exists.
    fn tunnel_account(&self, tunnel: TunnelId) -> Option<AccountId>;

    /// The node's own suffix for tunnel names, beside [`TUNNEL_SUFFIX`].
    fn tunnel_domain(&self) -> Option<&Name>;
}

/// Where a chain ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// At a tunnel of the same account.
    Tunnel(TunnelId),
    /// At addresses: a direct origin.
    Addresses(Vec<std::net::IpAddr>),
    /// At a name outside the zones kept here: an origin to be resolved.
    External(Name),
    /// At nothing that serves web traffic.
    Nothing,
}

/// Why a chain leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// A CNAME leads back to a name already passed.
    #[error("the CNAME chain of {start} comes back to {at}: change one of its records")]
    Loop {
        /// Where the walk began.
        start: Name,
        /// The name met twice.
        at: Name,
    },
    /// More CNAMEs than [`CHAIN_LENGTH_MAX`].
    #[error("the CNAME chain of {start} is longer than {CHAIN_LENGTH_MAX} records: point it nearer to its end")]
    TooLong {
        /// Where the walk began.
        start: Name,
    },
    /// The tunnel does not exist, or belongs to another account; which of the two is not told.
    #[error("{tunnel} is not a tunnel of this account: check the id with `poterne tunnel list`")]
    UnknownTunnel {
        /// The tunnel the chain names.
        tunnel: TunnelId,
    },
}

/// Follows `start` to its end, on behalf of `account`.
pub fn walk(records: &impl Records, account: AccountId, start: &Name) -> Result<Destination, ChainError> {
    let mut seen: Vec<Name> = Vec::new();
    let mut at = start.clone();
    loop {
        if let Some(tunnel) = tunnel_of(&at, records.tunnel_domain()) {
            return match records.tunnel_account(tunnel) {
                Some(owner) if owner == account => Ok(Destination::Tunnel(tunnel)),
                _ => Err(ChainError::UnknownTunnel { tunnel }),
            };
        }
        if seen.contains(&at) {
            return Err(ChainError::Loop { start: start.clone(), at });
        }
        if seen.len() > CHAIN_LENGTH_MAX {
            return Err(ChainError::TooLong { start: start.clone() });
        }
        let sets = records.record_sets(&at);
        let mut addresses = Vec::new();
        let mut next = None;
        for data in sets.iter().flat_map(|set| &set.records) {
            match data {
                RecordData::A(address) => addresses.push((*address).into()),
                RecordData::Aaaa(address) => addresses.push((*address).into()),
                RecordData::Cname(target) => next = Some(target.clone()),
                RecordData::Other(_) => {}
            }
        }
        match next {
            Some(target) => {
                seen.push(at);
                at = target;
            }
            None if !addresses.is_empty() => return Ok(Destination::Addresses(addresses)),
            None if sets.is_empty() && !seen.is_empty() => return Ok(Destination::External(at)),
            None => return Ok(Destination::Nothing),
        }
    }
}

/// The tunnel that a name means: `{id}.cfargotunnel.com`, or `{id}.` and the node's own tunnel domain.
pub fn tunnel_of(name: &Name, tunnel_domain: Option<&Name>) -> Option<TunnelId> {
    let (label, rest) = name.as_str().split_once('.')?;
    (rest == TUNNEL_SUFFIX || tunnel_domain.is_some_and(|domain| rest == domain.as_str())).then(|| label.parse().ok()).flatten()
}
