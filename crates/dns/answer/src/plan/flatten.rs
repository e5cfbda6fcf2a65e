//! CNAMEs that resolvers do not see: answered with the addresses at the end of the chain (edge-behaviour §1.6).
//!
//! Here a chain is followed through what the snapshot holds. Where it leads away a resolver would have to ask: until there is one, such a
//! CNAME is shown as it is, which every resolver can follow; only an apex cannot have one.

use poterne_dns_wire::{KeyName, RecordSet, rtype};
use poterne_model::{chain::CHAIN_LENGTH_MAX, name::is_within};
use poterne_snapshot::{Found, Shows};

use super::{Place, Walk};

/// Bounds of a flattened answer's TTL, in seconds.
const TTL_SECS_MIN: u32 = 30;
const TTL_SECS_MAX: u32 = 300;

/// What becomes of a CNAME.
pub(super) enum Flattened<'a> {
    /// Resolvers see it.
    Shown,
    /// They see these addresses, for so many seconds.
    Set(RecordSet<'a>, u32),
    /// They see the edges' addresses: the chain ends where the edge stands.
    Edge(Shows),
    /// It ends where no such address is.
    Nothing,
    /// It does not end.
    Loop,
    /// It leads to names of others, and stands where none may be seen.
    Away,
}

impl<'a> Walk<'a> {
    pub(super) fn flattened(&self, place: Place<'a, '_>, cname: &RecordSet<'a>, target: &'a [u8]) -> Flattened<'a> {
        let apex = place.zone.head().apex.as_str();
        let Some(first) = KeyName::of_wire(target) else { return Flattened::Nothing };
        let is_hidden = place.is_apex() || cname.flattened || place.dns.flattens_all || is_within(first.as_str(), apex);
        if !is_hidden {
            return Flattened::Shown;
        }
        match self.end(place, cname.ttl_secs, first) {
            Flattened::Away if !place.is_apex() => Flattened::Shown,
            end => end,
        }
    }

    fn end(&self, place: Place<'a, '_>, mut ttl_secs: u32, mut key: KeyName) -> Flattened<'a> {
        let account = place.zone.head().account;
        for _ in 0..CHAIN_LENGTH_MAX {
            let name = key.as_str();
            if name == place.name {
                return Flattened::Loop;
            }
            let Some((zone, _)) = self.own_zone_over(&key, account) else { return Flattened::Away };
            if zone.cut(name).is_some() {
                return Flattened::Away;
            }
            if self.is_of_tunnel(name) {
                return Flattened::Nothing;
            }
            let (Found::Name(chunk) | Found::Wildcard(chunk)) = zone.find(name) else { return Flattened::Nothing };
            if chunk.shows != Shows::Records {
                return Flattened::Edge(chunk.shows);
            }
            let Some(cname) = chunk.sets.get(rtype::CNAME) else {
                return match chunk.sets.get(self.rtype) {
                    Some(set) => Flattened::Set(set, ttl_secs.min(set.ttl_secs).clamp(TTL_SECS_MIN, TTL_SECS_MAX)),
                    None => Flattened::Nothing,
                };
            };
            ttl_secs = ttl_secs.min(cname.ttl_secs);
            let Some(next) = cname.records().next().and_then(KeyName::of_wire) else { return Flattened::Nothing };
            key = next;
        }
        Flattened::Loop
    }
}
