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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::RecordType;

    const ACCOUNT: AccountId = AccountId::from_bytes([1; 16]);
    const OWN: TunnelId = TunnelId::from_bytes([2; 16]);
    const FOREIGN: TunnelId = TunnelId::from_bytes([3; 16]);

    #[derive(Default)]
    struct Map {
        sets: HashMap<Name, Vec<RecordSet>>,
        domain: Option<Name>,
    }

    impl Map {
        fn with(mut self, owner: &str, data: RecordData) -> Self {
            let kind = match &data {
                RecordData::A(_) => RecordType::A,
                RecordData::Aaaa(_) => RecordType::Aaaa,
                RecordData::Cname(_) => RecordType::Cname,
                RecordData::Other(_) => RecordType::Other("TXT".into()),
            };
            let set = RecordSet { name: name(owner), kind, ttl_secs: 1, proxied: true, records: vec![data] };
            self.sets.entry(name(owner)).or_default().push(set);
            self
        }

        fn cname(self, owner: &str, target: &str) -> Self {
            let target = RecordData::Cname(name(target));
            self.with(owner, target)
        }
    }

    impl Records for Map {
        fn record_sets(&self, name: &Name) -> Vec<RecordSet> {
            self.sets.get(name).cloned().unwrap_or_default()
        }

        fn tunnel_account(&self, tunnel: TunnelId) -> Option<AccountId> {
            (tunnel == OWN).then_some(ACCOUNT).or((tunnel == FOREIGN).then_some(AccountId::from_bytes([9; 16])))
        }

        fn tunnel_domain(&self) -> Option<&Name> {
            self.domain.as_ref()
        }
    }

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn a_chain_ends_at_the_accounts_tunnel_under_either_suffix() {
        let mut map = Map::default().cname("a.test", "b.test").cname("b.test", &format!("{OWN}.{TUNNEL_SUFFIX}"));
        map = map.cname("c.test", &format!("{OWN}.tunnel.example.net"));
        assert_eq!(walk(&map, ACCOUNT, &name("a.test")), Ok(Destination::Tunnel(OWN)));
        assert_eq!(walk(&map, ACCOUNT, &name("c.test")), Ok(Destination::External(name(&format!("{OWN}.tunnel.example.net")))));
        map.domain = Some(name("tunnel.example.net"));
        assert_eq!(walk(&map, ACCOUNT, &name("c.test")), Ok(Destination::Tunnel(OWN)));
    }

    #[test]
    fn a_foreign_tunnel_and_one_that_is_not_there_look_the_same() {
        for tunnel in [FOREIGN, TunnelId::from_bytes([7; 16])] {
            let map = Map::default().cname("a.test", &format!("{tunnel}.{TUNNEL_SUFFIX}"));
            assert_eq!(walk(&map, ACCOUNT, &name("a.test")), Err(ChainError::UnknownTunnel { tunnel }));
        }
    }

    #[test]
    fn addresses_other_types_and_names_elsewhere_are_told_apart() {
        let map = Map::default()
            .with("a.test", RecordData::A([192, 0, 2, 1].into()))
            .with("a.test", RecordData::Aaaa(std::net::Ipv6Addr::LOCALHOST))
            .with("t.test", RecordData::Other("\"x\"".into()))
            .cname("e.test", "elsewhere.example");
        let addresses = vec!["192.0.2.1".parse().unwrap(), "::1".parse().unwrap()];
        assert_eq!(walk(&map, ACCOUNT, &name("a.test")), Ok(Destination::Addresses(addresses)));
        assert_eq!(walk(&map, ACCOUNT, &name("t.test")), Ok(Destination::Nothing));
        assert_eq!(walk(&map, ACCOUNT, &name("nothing.test")), Ok(Destination::Nothing));
        assert_eq!(walk(&map, ACCOUNT, &name("e.test")), Ok(Destination::External(name("elsewhere.example"))));
    }

    #[test]
    fn loops_and_long_chains_end() {
        let map = Map::default().cname("a.test", "b.test").cname("b.test", "a.test").cname("self.test", "self.test");
        for start in ["a.test", "b.test", "self.test"] {
            assert_eq!(walk(&map, ACCOUNT, &name(start)), Err(ChainError::Loop { start: name(start), at: name(start) }));
        }
        let chain = |length: usize| {
            let links =
                (0..length).fold(Map::default(), |map, at| map.cname(&format!("n{at}.test"), &format!("n{}.test", at + 1)));
            links.with(&format!("n{length}.test"), RecordData::A([192, 0, 2, 1].into()))
        };
        assert!(matches!(walk(&chain(CHAIN_LENGTH_MAX), ACCOUNT, &name("n0.test")), Ok(Destination::Addresses(_))));
        assert!(matches!(walk(&chain(CHAIN_LENGTH_MAX + 1), ACCOUNT, &name("n0.test")), Err(ChainError::TooLong { .. })));
    }

    proptest! {
        /// Any graph of CNAMEs: the walk ends, and says the same as following the links by hand.
        #[test]
        fn every_walk_ends_where_the_links_lead(links in prop::collection::hash_map(0u8..12, 0u8..14, 0..12), start in 0u8..12) {
            let label = |number: u8| format!("n{number}.test");
            let map = links.iter().fold(Map::default(), |map, (from, to)| map.cname(&label(*from), &label(*to)));
            let mut path = vec![start];
            let expected = loop {
                let at = *path.last().expect("it began with one");
                let Some(next) = links.get(&at) else {
                    break if path.len() == 1 { Ok(Destination::Nothing) } else { Ok(Destination::External(name(&label(at)))) };
                };
                if path.contains(next) && path.len() <= CHAIN_LENGTH_MAX + 1 {
                    break Err(ChainError::Loop { start: name(&label(start)), at: name(&label(*next)) });
                }
                if path.len() > CHAIN_LENGTH_MAX {
                    break Err(ChainError::TooLong { start: name(&label(start)) });
                }
                path.push(*next);
            };
            prop_assert_eq!(walk(&map, ACCOUNT, &name(&label(start))), expected);
        }
    }
}
