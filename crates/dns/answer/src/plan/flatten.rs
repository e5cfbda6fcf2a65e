//! CNAMEs that resolvers do not see: answered with the addresses at the end of the chain (edge-behaviour §1.6).
//!
//! A chain is followed through what the snapshot holds. Where it leads away, and stands where no CNAME may be seen or where its owner
//! wants none to be, the table of what names of others lead to says the rest; a chain that comes back from there is followed in the
//! snapshot again. One that is hidden only because its first link lies in its own zone is shown where it leads away: every resolver can
//! follow it, for types too that nobody would look up here (`selector._domainkey` through two links).

use poterne_dns_wire::{KeyName, RecordSet, rtype};
use poterne_model::{AccountId, Name, chain::CHAIN_LENGTH_MAX, name::is_within};
use poterne_snapshot::{Found, Shows};

use super::{ExtendedError, Place, Walk};
use crate::{
    Outcome, Sought,
    elsewhere::{Known, TTL_SECS_MAX, TTL_SECS_MIN},
};

/// What becomes of a CNAME.
pub(super) enum Flattened<'a> {
    /// Resolvers see it.
    Shown,
    /// They see these addresses, for so many seconds.
    Set(RecordSet<'a>, u32),
    /// They see those that were found at another provider ([`super::Plan::elsewhere`]), for so many seconds.
    Elsewhere(u32),
    /// They see the edges' addresses: the chain ends where the edge stands.
    Edge(Shows),
    /// It ends where no such address is.
    Nothing,
    /// It does not end.
    Loop,
    /// It leads to names of others, nobody looks those up, and it stands where it may not be seen.
    Away,
    /// It leads to names of others that nobody has looked up yet.
    Unknown,
    /// It leads to names of others that cannot be found.
    Failed,
}

impl<'a> Walk<'a> {
    pub(super) fn flattened(&mut self, place: Place<'a, '_>, cname: &RecordSet<'a>, target: &'a [u8]) -> Flattened<'a> {
        let apex = place.zone.head().apex.as_str();
        let Some(first) = KeyName::of_wire(target) else { return Flattened::Nothing };
        let is_meant = place.is_apex() || cname.flattened || place.dns.flattens_all;
        if !is_meant && !is_within(first.as_str(), apex) {
            return Flattened::Shown;
        }
        match self.end(place, cname.ttl_secs, first, is_meant) {
            Flattened::Away if !place.is_apex() => Flattened::Shown,
            end => end,
        }
    }

    fn end(&mut self, place: Place<'a, '_>, mut ttl_secs: u32, mut key: KeyName, mut is_meant: bool) -> Flattened<'a> {
        let account = place.zone.head().account;
        for _ in 0..CHAIN_LENGTH_MAX {
            if key.as_str() == place.name {
                return Flattened::Loop;
            }
            let own = self.own_zone_over(&key, account).filter(|(zone, _)| zone.cut(key.as_str()).is_none());
            let Some((zone, dns)) = own else {
                if !is_meant {
                    return Flattened::Away;
                }
                match self.leaving(account, &key, &mut ttl_secs) {
                    Ok(next) => key = next,
                    Err(end) => return end,
                }
                continue;
            };
            let name = key.as_str();
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
            // A link that may not be seen hides those that lead to it.
            is_meant |= cname.flattened || dns.flattens_all || name == zone.head().apex.as_str();
            ttl_secs = ttl_secs.min(cname.ttl_secs);
            let Some(next) = cname.records().next().and_then(KeyName::of_wire) else { return Flattened::Nothing };
            key = next;
        }
        Flattened::Loop
    }

    /// Where a chain goes on that leads to a name of others: in the zones here again, or nowhere.
    fn leaving(&mut self, account: AccountId, key: &KeyName, ttl_secs: &mut u32) -> Result<KeyName, Flattened<'a>> {
        let Some(elsewhere) = self.sources.elsewhere else { return Err(Flattened::Away) };
        // Only addresses come from what it leads to, so that nobody waits for others to be told that there is no TXT.
        if !matches!(self.rtype, rtype::A | rtype::AAAA) {
            return Err(Flattened::Nothing);
        }
        let known = elsewhere.find(account, key.as_str(), self.rtype, self.sources.now_secs);
        let (kept, left_secs) = match known {
            Known::Good { kept, ttl_secs, is_old, is_stale } => {
                if is_old {
                    self.seek(account, key);
                }
                if is_stale {
                    self.plan.why = Some(ExtendedError::STALE);
                }
                (kept, ttl_secs)
            }
            Known::Failed => return Err(Flattened::Failed),
            Known::Unknown => {
                self.seek(account, key);
                return Err(Flattened::Unknown);
            }
        };
        *ttl_secs = left_secs.min(*ttl_secs);
        match &kept.outcome {
            Some(Outcome::Addresses(sets)) => {
                self.plan.elsewhere = Some(sets.clone());
                Err(Flattened::Elsewhere((*ttl_secs).clamp(TTL_SECS_MIN, TTL_SECS_MAX)))
            }
            Some(Outcome::Back(labels)) => KeyName::of_wire(labels).ok_or(Flattened::Nothing),
            Some(Outcome::Blocked) => {
                self.plan.why = Some(ExtendedError::BLOCKED);
                Err(Flattened::Nothing)
            }
            Some(Outcome::Nothing) | None => Err(Flattened::Nothing),
        }
    }

    /// Notes that a name is to be looked up.
    fn seek(&mut self, account: AccountId, key: &KeyName) {
        // CNAMEs of ours lead to names that parse.
        if let Ok(name) = Name::parse(key.as_str()) {
            self.plan.sought = Some(Box::new(Sought { account, name, rtype: self.rtype }));
        }
    }
}
