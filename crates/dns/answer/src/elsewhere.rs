//! What names of others lead to: answers for CNAMEs that resolvers do not see and that leave the zones here (edge-behaviour §1.6).
//!
//! ```text
//! plan ──find──→ good: answered · good, but old: answered, and looked up anew · failed: SERVFAIL · unknown: the answer lacks it
//!                  ↑
//! whoever has a resolver ──put, failed──┘
//! ```
//!
//! A table and no more: it asks nobody and has no clock. An answer that lacks something says so beside its octets
//! ([`crate::Reply::sought`]); who serves it looks that up, puts it in here and answers again.
//!
//! An entry is good for as long as the shortest TTL on the way, within [`TTL_SECS_MIN`] and [`TTL_SECS_MAX`]; past four fifths of that it is
//! asked for anew by whoever asks for it, so that nobody waits for what is in demand. What has run out, and cannot be found again, is
//! given for [`STALE_SECS`] more, and asked for every [`REST_SECS`]. TTLs are told in steps of [`STEP_SECS`], so that a signed set has few
//! signatures. Time is the wall's, which may be set back: an entry from the future is none.

use std::{fmt, net::IpAddr, sync::Arc};

use poterne_dns_wire::{Record, RecordSets, rtype};
use poterne_model::{AccountId, Name};
use quick_cache::sync::Cache;
use smallvec::SmallVec;

/// Most names and types remembered; what is asked for least gives way.
pub const ENTRIES_MAX: usize = 20_000;

/// How long an answer is good at least, in seconds, whatever its TTL.
pub const TTL_SECS_MIN: u32 = 30;

/// How long it is good at most, in seconds.
pub const TTL_SECS_MAX: u32 = 300;

/// How long an answer that has run out is still given, in seconds, where no other is to be had (RFC 8767 §5).
pub const STALE_SECS: u32 = 3600;

/// How long a name is not asked for again in vain while its old answer goes out, in seconds.
pub const REST_SECS: u32 = 30;

/// The same, of a name without an old answer (RFC 9520 §3.2).
pub const FAILED_SECS: u32 = 10;

/// TTLs are told in whole steps of so many seconds.
const STEP_SECS: u32 = 30;

/// Most addresses of a name that are answered.
pub const ADDRESSES_MAX: usize = 32;

/// What is looked up: addresses of one type, of a name that a CNAME of the account's leads to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sought {
    /// Whose CNAME: which private addresses it may lead to is said by account.
    pub account: AccountId,
    /// The name.
    pub name: Name,
    /// A or AAAA.
    pub rtype: u16,
}

/// What looking it up came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// These addresses: [`Outcome::addresses`] makes it.
    Addresses(RecordSets),
    /// There is no such name, or it has no such address.
    Nothing,
    /// None that the account may lead anybody to.
    Blocked,
    /// The chain comes back to this name of the account's own zones, whose records say the rest.
    Back(Box<[u8]>),
}

/// An answer that is remembered.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) outcome: Option<Outcome>,
    /// Since when, and for how many seconds it is good, and then stale.
    at_secs: u32,
    life_secs: u32,
    stale_secs: u32,
    /// When it was asked for again in vain.
    tried_at_secs: Option<u32>,
}

/// What is known.
#[derive(Debug)]
pub(crate) enum Known {
    /// This.
    Good {
        kept: Arc<Kept>,
        /// For so many seconds.
        ttl_secs: u32,
        /// It should be asked for anew.
        is_old: bool,
        /// It has run out.
        is_stale: bool,
    },
    /// It was asked for a moment ago, in vain.
    Failed,
    /// Nothing, or nothing that is still good.
    Unknown,
}

/// The table.
pub struct Elsewhere {
    kept: Cache<Box<[u8]>, Arc<Kept>>,
}

impl Outcome {
    /// Of the addresses that are of the type, at most [`ADDRESSES_MAX`]; in an order of their own, so that the same addresses are the same
    /// set, however they came.
    pub fn addresses(rtype: u16, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let mut addresses: Vec<IpAddr> =
            addresses.into_iter().filter(|address| address.is_ipv4() == (rtype == rtype::A)).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses.truncate(ADDRESSES_MAX);
        let record = |address| {
            let data = match address {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            };
            Record { rtype, ttl_secs: TTL_SECS_MIN, flattened: false, data }
        };
        match RecordSets::of(addresses.into_iter().map(record).collect()).0 {
            sets if sets.is_empty() => Self::Nothing,
            sets => Self::Addresses(sets),
        }
    }

    /// The chain comes back to this name.
    pub fn back(name: &Name) -> Self {
        let mut labels = Vec::new();
        poterne_dns_wire::name::push(name.as_str(), &mut labels);
        Self::Back(labels.into())
    }
}

impl Elsewhere {
    /// Nothing is known yet.
    pub fn new() -> Self {
        Self { kept: Cache::new(ENTRIES_MAX) }
    }

    /// How much is remembered, of [`ENTRIES_MAX`].
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Takes in what a look-up came to: with the least TTL on the way, and whether it had run out already where it was found, in which case
    /// it is good for the least time and not a second longer.
    pub fn put(&self, sought: &Sought, outcome: Outcome, ttl_secs: u32, is_stale: bool, now_secs: u32) {
        let (life_secs, stale_secs) =
            if is_stale { (TTL_SECS_MIN, 0) } else { (ttl_secs.clamp(TTL_SECS_MIN, TTL_SECS_MAX), STALE_SECS) };
        let kept = Kept { outcome: Some(outcome), at_secs: now_secs, life_secs, stale_secs, tried_at_secs: None };
        self.kept.insert(sought.key(), Arc::new(kept));
    }

    /// Takes in that a look-up failed. What is known already stays as long as it may.
    pub fn failed(&self, sought: &Sought, now_secs: u32) {
        let key = sought.key();
        let old = self.kept.get(&*key).filter(|kept| kept.outcome.is_some() && kept.age_secs(now_secs) < kept.end_secs());
        let kept = match old {
            Some(old) => Kept {
                outcome: old.outcome.clone(),
                at_secs: old.at_secs,
                life_secs: old.life_secs,
                stale_secs: old.stale_secs,
                tried_at_secs: Some(now_secs),
            },
            None => Kept { outcome: None, at_secs: now_secs, life_secs: FAILED_SECS, stale_secs: 0, tried_at_secs: None },
        };
        self.kept.insert(key, Arc::new(kept));
    }

    /// What is known of a name, in the form of [`Name::as_str`].
    pub(crate) fn find(&self, account: AccountId, name: &str, rtype: u16, now_secs: u32) -> Known {
        let Some(kept) = self.kept.get(&*key(account, name, rtype)) else { return Known::Unknown };
        let age_secs = kept.age_secs(now_secs);
        if age_secs >= kept.end_secs() {
            return Known::Unknown;
        }
        if kept.outcome.is_none() {
            return Known::Failed;
        }
        let rests = kept.tried_at_secs.is_some_and(|tried| now_secs.wrapping_sub(tried) < REST_SECS);
        let Some(left_secs) = kept.life_secs.checked_sub(age_secs).filter(|left| *left > 0) else {
            return if rests {
                Known::Good { kept, ttl_secs: TTL_SECS_MIN, is_old: false, is_stale: true }
            } else {
                Known::Unknown
            };
        };
        let ttl_secs = (left_secs / STEP_SECS * STEP_SECS).max(TTL_SECS_MIN);
        let is_old = !rests && left_secs * 5 <= kept.life_secs;
        Known::Good { kept, ttl_secs, is_old, is_stale: false }
    }
}

impl Kept {
    fn age_secs(&self, now_secs: u32) -> u32 {
        now_secs.wrapping_sub(self.at_secs)
    }

    const fn end_secs(&self) -> u32 {
        self.life_secs + self.stale_secs
    }
}

impl Sought {
    fn key(&self) -> Box<[u8]> {
        key(self.account, self.name.as_str(), self.rtype).into_vec().into()
    }
}

fn key(account: AccountId, name: &str, rtype: u16) -> SmallVec<[u8; 128]> {
    let mut key = SmallVec::from_slice(account.as_bytes());
    key.extend_from_slice(&rtype.to_be_bytes());
    key.extend_from_slice(name.as_bytes());
    key
}

impl Default for Elsewhere {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Elsewhere").field("entries", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ACCOUNT: AccountId = AccountId::from_bytes([1; 16]);
    const NOW: u32 = 1_000_000;

    fn sought() -> Sought {
        Sought { account: ACCOUNT, name: Name::parse("host.example.org").unwrap(), rtype: rtype::A }
    }

    fn some() -> Outcome {
        Outcome::addresses(rtype::A, ["192.0.2.2", "2001:db8::1", "192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap()))
    }

    /// `old`, `stale`, `good` with its TTL, `failed` or nothing.
    fn at(table: &Elsewhere, now_secs: u32) -> (&'static str, u32) {
        match table.find(ACCOUNT, "host.example.org", rtype::A, now_secs) {
            Known::Good { is_stale: true, is_old, ttl_secs, .. } => (if is_old { "stale and old" } else { "stale" }, ttl_secs),
            Known::Good { is_old: true, ttl_secs, .. } => ("old", ttl_secs),
            Known::Good { ttl_secs, .. } => ("good", ttl_secs),
            Known::Failed => ("failed", 0),
            Known::Unknown => ("unknown", 0),
        }
    }

    #[test]
    fn addresses_of_the_type_are_one_set_however_they_came() {
        let Outcome::Addresses(sets) = some() else { panic!() };
        let set = sets.get(rtype::A).unwrap();
        assert_eq!(set.records().collect::<Vec<_>>(), [&[192, 0, 2, 1][..], &[192, 0, 2, 2]]);
        assert_eq!(sets.iter().count(), 1);
        let many = (0..=255u8).map(|number| IpAddr::from([192, 0, 2, number]));
        let Outcome::Addresses(sets) = Outcome::addresses(rtype::A, many) else { panic!() };
        assert_eq!(sets.get(rtype::A).unwrap().count(), ADDRESSES_MAX);
        assert_eq!(Outcome::addresses(rtype::AAAA, [IpAddr::from([192, 0, 2, 1])]), Outcome::Nothing);
    }

    #[test]
    fn an_answer_is_good_then_old_then_gone_unless_none_other_is_to_be_had() {
        let table = Elsewhere::new();
        assert_eq!(at(&table, NOW), ("unknown", 0));
        table.put(&sought(), some(), 100, false, NOW);
        assert_eq!(at(&table, NOW), ("good", 90));
        assert_eq!(at(&table, NOW + 45), ("good", 30));
        assert_eq!(at(&table, NOW + 79), ("good", 30));
        assert_eq!(at(&table, NOW + 80), ("old", 30));
        assert_eq!(at(&table, NOW + 99), ("old", 30));
        assert_eq!(at(&table, NOW + 100), ("unknown", 0), "it is asked for before it is given stale");
        table.failed(&sought(), NOW + 100);
        assert_eq!(at(&table, NOW + 100), ("stale", 30));
        assert_eq!(at(&table, NOW + 129), ("stale", 30));
        assert_eq!(at(&table, NOW + 130), ("unknown", 0));
        table.failed(&sought(), NOW + 3699);
        assert_eq!(at(&table, NOW + 3699), ("stale", 30));
        assert_eq!(at(&table, NOW + 3700), ("unknown", 0), "an hour is all");
        table.failed(&sought(), NOW + 3700);
        assert_eq!(at(&table, NOW + 3709), ("failed", 0));
        assert_eq!(at(&table, NOW + 3710), ("unknown", 0));
        // What fails before it has run out goes on, and is not asked for at once again.
        table.put(&sought(), some(), 100, false, NOW);
        table.failed(&sought(), NOW + 85);
        assert_eq!(at(&table, NOW + 90), ("good", 30));
    }

    #[test]
    fn ttls_are_held_within_bounds() {
        for (ttl_secs, life_secs, first) in [(0, 30, 30), (45, 45, 30), (60, 60, 60), (86_400, 300, 300)] {
            let table = Elsewhere::new();
            table.put(&sought(), some(), ttl_secs, false, NOW);
            assert_eq!(at(&table, NOW), ("good", first), "{ttl_secs}");
            assert_ne!(at(&table, NOW + life_secs - 1), ("unknown", 0), "{ttl_secs}");
            assert_eq!(at(&table, NOW + life_secs), ("unknown", 0), "{ttl_secs}");
        }
    }

    #[test]
    fn what_was_stale_where_it_was_found_is_not_given_for_another_hour() {
        let table = Elsewhere::new();
        table.put(&sought(), some(), 3600, true, NOW);
        assert_eq!(at(&table, NOW), ("good", 30));
        table.failed(&sought(), NOW + 30);
        assert_eq!(at(&table, NOW + 30), ("failed", 0));
    }

    #[test]
    fn accounts_and_types_are_told_apart() {
        let table = Elsewhere::new();
        table.put(&sought(), some(), 300, false, NOW);
        let found = |account: u8, name, rtype| {
            !matches!(table.find(AccountId::from_bytes([account; 16]), name, rtype, NOW), Known::Unknown)
        };
        assert!(found(1, "host.example.org", rtype::A));
        assert!(!found(2, "host.example.org", rtype::A) && !found(1, "host.example.org", rtype::AAAA));
        assert!(!found(1, "other.example.org", rtype::A));
    }

    proptest! {
        /// Whatever the clock does: nothing is given that is older than an hour past its life, and no TTL is out of bounds.
        #[test]
        fn no_clock_makes_an_answer_last(steps in prop::collection::vec((any::<bool>(), 0u32..500, -5000i32..5000), 1..40)) {
            let table = Elsewhere::new();
            let mut now = NOW;
            let mut last = None;
            for (succeeds, ttl_secs, moves) in steps {
                now = now.wrapping_add_signed(moves);
                match at(&table, now) {
                    ("unknown" | "failed", _) => {}
                    (_, ttl) => {
                        let (put_at, life): (u32, u32) = last.expect("nothing was put");
                        prop_assert!((TTL_SECS_MIN..=TTL_SECS_MAX).contains(&ttl));
                        prop_assert!(now.wrapping_sub(put_at) < life + STALE_SECS);
                    }
                }
                if succeeds {
                    table.put(&sought(), some(), ttl_secs, false, now);
                    last = Some((now, ttl_secs.clamp(TTL_SECS_MIN, TTL_SECS_MAX)));
                } else {
                    table.failed(&sought(), now);
                }
            }
        }
    }
}
