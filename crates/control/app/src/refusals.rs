//! Credentials that nobody has, and who shows them. Pure: the time is handed in.
//!
//! A credential that is not remembered costs a read of the store, and whoever guesses shows another one each time. So each source, an
//! IPv4 address or an IPv6 /64, has a purse of looks: a look that finds nobody is paid, one that finds somebody is given back, and looks
//! come back with time. What was refused is remembered for a moment, so that a program with a wrong token, which asks for ever, neither
//! costs a read nor empties its source's purse. Behind an address that guesses,
//! * what was good in the last hour is always looked up, and costs nothing: whoever works there goes on;
//! * what is being looked up at this moment is looked up for nothing too: a program that begins with many requests at once pays one look;
//! * what was never seen before waits for a look like everybody else, and is told how long.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use poterne_control_store::Micros;

use crate::{
    metrics::{Numbers, number},
    quick::network,
};

/// Looks that a source has, and so the most that it may have wrong in a row.
pub const LOOKS_MAX: u32 = 30;

/// After this long one look comes back: 30 in a minute.
pub const LOOK_BACK_AFTER: Duration = Duration::from_secs(2);

/// How long a refusal is remembered. What becomes good meanwhile in this process is not: then all of it is forgotten.
const REFUSED_FOR: Micros = 10_000_000;

/// How long somebody is known to have been good.
const GOOD_FOR: Micros = 3600 * 1_000_000;

/// Digests remembered of each kind, and sources; each costs about 64 bytes. Beyond it those that say nothing any more go, and if none is
/// there, all do: forgetting a source gives it its looks back, forgetting a digest costs a look.
const REMEMBERED_MAX: usize = 10_000;

/// Longer than the store takes to say whose a credential is. What is looked up for longer was given up by whoever asked.
const LOOKED_UP_WITHIN: Micros = 10_000_000;

/// A SHA-256 of what was shown.
type Digest = [u8; 32];

/// What to do about credentials that are not remembered as somebody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// They were refused a moment ago, and nothing has changed.
    Refused,
    /// Look them up, then tell what came of it, and this.
    Look {
        /// Their source has paid for it.
        paid: bool,
    },
    /// Their source has no look left.
    Wait {
        /// Until one comes back.
        retry_secs: u64,
    },
}

/// What was refused and what was good lately, and each source's looks.
#[derive(Default)]
pub(crate) struct Refusals {
    refused: HashMap<Digest, Micros>,
    good: HashMap<Digest, Micros>,
    /// What is being looked up, and since when.
    looked_up: HashMap<Digest, Micros>,
    /// By source, when its purse will be full again.
    sources: HashMap<IpAddr, Micros>,
    /// How often a credential was refused that had been refused a moment before, and how often one waited for a look.
    repeated: u64,
    limited: u64,
}

impl Refusals {
    /// How many entries each table has.
    pub(crate) fn entries(&self) -> Numbers {
        vec![
            ("refused", number(self.refused.len())),
            ("good", number(self.good.len())),
            ("looked_up", number(self.looked_up.len())),
            ("sources", number(self.sources.len())),
        ]
    }

    /// How many were refused without a look, and why.
    pub(crate) fn refused(&self) -> Numbers {
        vec![("repeated", self.repeated), ("limited", self.limited)]
    }

    /// Somebody shows this. A look is paid at once, so that many at a time do not have more of them.
    pub(crate) fn ask(&mut self, source: IpAddr, digest: &Digest, now: Micros) -> Verdict {
        if self.refused.get(digest).is_some_and(|at| is_within(*at, now, REFUSED_FOR)) {
            self.repeated += 1;
            return Verdict::Refused;
        }
        let is_good = self.good.get(digest).is_some_and(|at| is_within(*at, now, GOOD_FOR));
        if is_good || self.looked_up.get(digest).is_some_and(|at| is_within(*at, now, LOOKED_UP_WITHIN)) {
            return Verdict::Look { paid: false };
        }
        let source = network(source);
        if !self.sources.contains_key(&source) {
            make_room(&mut self.sources, |full_at| *full_at > now);
        }
        let full_at = self.sources.entry(source).or_insert(now);
        // A clock that was set back must not leave anybody waiting for longer than an empty purse does.
        *full_at = (*full_at).clamp(now, now.saturating_add(look_back_after() * i64::from(LOOKS_MAX)));
        let after = full_at.saturating_add(look_back_after());
        let over = after.saturating_sub(now).saturating_sub(look_back_after() * i64::from(LOOKS_MAX));
        if over > 0 {
            self.limited += 1;
            return Verdict::Wait { retry_secs: over.unsigned_abs().div_ceil(1_000_000) };
        }
        *full_at = after;
        make_room(&mut self.looked_up, |at| is_within(*at, now, LOOKED_UP_WITHIN));
        self.looked_up.insert(*digest, now);
        Verdict::Look { paid: true }
    }

    /// The look found somebody.
    pub(crate) fn found(&mut self, source: IpAddr, digest: Digest, paid: bool, now: Micros) {
        self.looked_up.remove(&digest);
        make_room(&mut self.good, |at| is_within(*at, now, GOOD_FOR));
        self.good.insert(digest, now);
        if paid {
            self.give_back(source, now);
        }
    }

    /// The look found nobody. `is_current`: nothing was changed since it began; else it may be somebody's now.
    pub(crate) fn not_found(&mut self, digest: Digest, now: Micros, is_current: bool) {
        self.looked_up.remove(&digest);
        if !is_current {
            return;
        }
        self.good.remove(&digest);
        make_room(&mut self.refused, |at| is_within(*at, now, REFUSED_FOR));
        self.refused.insert(digest, now);
    }

    /// The look could not be made: nothing is held against anybody.
    pub(crate) fn failed(&mut self, source: IpAddr, digest: &Digest, paid: bool, now: Micros) {
        self.looked_up.remove(digest);
        if paid {
            self.give_back(source, now);
        }
    }

    /// Credentials were made or changed: what was refused may be somebody's now.
    pub(crate) fn forget(&mut self) {
        self.refused.clear();
    }

    fn give_back(&mut self, source: IpAddr, now: Micros) {
        let source = network(source);
        if let Some(full_at) = self.sources.get_mut(&source) {
            *full_at = full_at.saturating_sub(look_back_after());
            if *full_at <= now {
                self.sources.remove(&source);
            }
        }
    }
}

fn look_back_after() -> Micros {
    Micros::try_from(LOOK_BACK_AFTER.as_micros()).unwrap_or(Micros::MAX)
}

fn is_within(at: Micros, now: Micros, time: Micros) -> bool {
    now.saturating_sub(at).saturating_abs() < time
}

fn make_room<K: Eq + std::hash::Hash>(map: &mut HashMap<K, Micros>, means_something: impl Fn(&Micros) -> bool) {
    if map.len() >= REMEMBERED_MAX {
        map.retain(|_, at| means_something(at));
        if map.len() >= REMEMBERED_MAX {
            map.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUESSER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn digest(n: u32) -> Digest {
        let mut digest = [0; 32];
        digest[..4].copy_from_slice(&n.to_be_bytes());
        digest
    }

    const PAID: Verdict = Verdict::Look { paid: true };
    const FREE: Verdict = Verdict::Look { paid: false };

    /// Guesses until told to wait; how often, and for how long.
    fn guessed(refusals: &mut Refusals, source: IpAddr, first: u32, now: Micros) -> (u32, u64) {
        for n in 0.. {
            match refusals.ask(source, &digest(first + n), now) {
                Verdict::Look { paid } => {
                    assert!(paid);
                    refusals.not_found(digest(first + n), now, true);
                }
                Verdict::Wait { retry_secs } => return (n, retry_secs),
                Verdict::Refused => panic!("it was never shown before"),
            }
        }
        unreachable!("somebody is told to wait")
    }

    #[test]
    fn whoever_guesses_has_so_many_looks_and_they_come_back_with_time() {
        let mut refusals = Refusals::default();
        assert_eq!(guessed(&mut refusals, GUESSER, 0, 0), (LOOKS_MAX, 2));
        assert_eq!(guessed(&mut refusals, GUESSER, 1000, 1_500_000), (0, 1), "half a second is left, told in whole ones");
        assert_eq!(guessed(&mut refusals, GUESSER, 2000, 6_000_000), (3, 2));
        let other = IpAddr::from([192, 0, 2, 2]);
        assert_eq!(guessed(&mut refusals, other, 3000, 6_000_000).0, LOOKS_MAX, "each source has its own");
        assert_eq!(guessed(&mut refusals, GUESSER, 4000, 3600 * 1_000_000).0, LOOKS_MAX);
        // The clock is set back by an hour: nobody waits for it to come round again.
        assert_eq!(guessed(&mut refusals, GUESSER, 5000, 0), (0, 2));
        assert_eq!(guessed(&mut refusals, GUESSER, 6000, 60_000_000).0, LOOKS_MAX);
    }

    #[test]
    fn a_program_with_a_wrong_token_pays_for_it_now_and_then() {
        let mut refusals = Refusals::default();
        let wrong = digest(7);
        let mut looks = 0;
        // A hundred times a second, for a minute.
        for n in 0..6000 {
            match refusals.ask(GUESSER, &wrong, n * 10_000) {
                Verdict::Look { paid } => {
                    looks += u32::from(paid);
                    refusals.not_found(wrong, n * 10_000, true);
                }
                verdict => assert_eq!(verdict, Verdict::Refused),
            }
        }
        assert_eq!(looks, 6);
        assert_eq!(refusals.refused(), [("repeated", 5994), ("limited", 0)]);
        refusals.forget();
        assert_eq!(refusals.ask(GUESSER, &wrong, 60_000_000), PAID, "it may have become somebody's");
    }

    #[test]
    fn whoever_is_known_goes_on_behind_an_address_that_guesses() {
        let mut refusals = Refusals::default();
        let (good, new) = (digest(1), digest(2));
        assert_eq!(refusals.ask(GUESSER, &good, 0), PAID);
        refusals.found(GUESSER, good, true, 0);
        assert_eq!(guessed(&mut refusals, GUESSER, 100, 0).0, LOOKS_MAX, "a look that finds somebody is given back");
        for _ in 0..1000 {
            assert_eq!(refusals.ask(GUESSER, &good, 1), FREE);
            refusals.found(GUESSER, good, false, 1);
        }
        assert_eq!(guessed(&mut refusals, GUESSER, 200, 1).0, 0, "and gives nothing to those who guess");
        assert_eq!(refusals.ask(GUESSER, &new, 1), Verdict::Wait { retry_secs: 2 });
        assert_eq!(refusals.ask(GUESSER, &new, 2_000_000), PAID);
        refusals.found(GUESSER, new, true, 2_000_000);
        // Taken away: from then on it is guessing like any other.
        refusals.not_found(good, 3_000_000, true);
        assert_eq!(refusals.ask(GUESSER, &good, 3_000_001), Verdict::Refused);
    }

    #[test]
    fn a_store_that_fails_is_held_against_nobody() {
        let mut refusals = Refusals::default();
        for n in 0..1000 {
            assert_eq!(refusals.ask(GUESSER, &digest(n), 0), PAID);
            refusals.failed(GUESSER, &digest(n), true, 0);
        }
        assert!(refusals.sources.is_empty() && refusals.looked_up.is_empty());
    }

    #[test]
    fn what_was_paid_is_given_back_whatever_came_between() {
        let mut refusals = Refusals::default();
        let known = digest(1);
        assert_eq!(refusals.ask(GUESSER, &known, 0), PAID);
        refusals.found(GUESSER, known, true, 0);
        // Not good any more, an hour later: the look is paid, and the store fails.
        let later = GOOD_FOR;
        assert_eq!(refusals.ask(GUESSER, &known, later), PAID);
        refusals.failed(GUESSER, &known, true, later);
        assert!(refusals.sources.is_empty());
        // Two look at once: whoever comes second has found somebody after the hour began anew.
        assert_eq!(refusals.ask(GUESSER, &known, later), PAID);
        assert_eq!(refusals.ask(GUESSER, &known, later), FREE);
        refusals.found(GUESSER, known, false, later);
        refusals.found(GUESSER, known, true, later);
        assert!(refusals.sources.is_empty());
    }

    #[test]
    fn many_requests_at_once_with_one_token_pay_one_look() {
        let mut refusals = Refusals::default();
        let new = digest(1);
        assert_eq!(refusals.ask(GUESSER, &new, 0), PAID);
        for _ in 0..LOOKS_MAX * 2 {
            assert_eq!(refusals.ask(GUESSER, &new, 1), FREE);
        }
        assert_eq!(guessed(&mut refusals, GUESSER, 100, 1).0, LOOKS_MAX - 1, "another one is paid for by itself");
        // Whoever asked went away, and nobody told what came of it.
        assert_eq!(refusals.ask(GUESSER, &new, LOOKED_UP_WITHIN), PAID);
    }

    #[test]
    fn a_source_is_an_address_or_a_64() {
        let mut refusals = Refusals::default();
        let guess = |refusals: &mut Refusals, source: &str, first| guessed(refusals, source.parse().unwrap(), first, 0).0;
        assert_eq!(guess(&mut refusals, "2001:db8::1", 0), LOOKS_MAX);
        assert_eq!(guess(&mut refusals, "2001:db8::ffff:0:0:1", 100), 0, "the same network");
        assert_eq!(guess(&mut refusals, "2001:db8:0:1::1", 200), LOOKS_MAX);
        assert_eq!(guess(&mut refusals, "::ffff:192.0.2.1", 300), LOOKS_MAX);
        assert_eq!(guess(&mut refusals, "192.0.2.1", 400), 0);
        assert_eq!(refusals.refused(), [("repeated", 0), ("limited", 5)]);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut refusals = Refusals::default();
        for n in 0..u32::try_from(REMEMBERED_MAX).unwrap() * 4 {
            let source = IpAddr::V4(n.into());
            assert_eq!(refusals.ask(source, &digest(n), 0), PAID);
            match n % 3 {
                0 => refusals.found(source, digest(n), true, 0),
                1 => refusals.not_found(digest(n), 0, true),
                _ => {}
            }
        }
        for (table, length) in refusals.entries() {
            assert!(length > 0 && length <= number(REMEMBERED_MAX), "{table}: {length}");
        }
    }
}
