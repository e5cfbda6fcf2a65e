//! Which of an origin's addresses is tried first, and which rests (edge-behaviour §2.13). Pure.
//!
//! Several addresses are several servers of the same thing: each request takes any of them. One that failed three times in a row is out
//! for half a minute, the next time twice as long, and is tried still where no other is left. One that a health check calls unhealthy is
//! tried only where every other one rests.

use std::{
    collections::HashMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Most addresses that one request tries.
pub(super) const TRIES_MAX: usize = 8;
/// Failures in a row after which an address rests.
const FAILURES: u32 = 3;
/// How long it rests the first time, and at most.
const REST: Duration = Duration::from_secs(30);
const REST_MAX: Duration = Duration::from_secs(300);
/// Most addresses of a zone whose failures are remembered. Beyond, those that fail first are.
const REMEMBERED_MAX: usize = 256;

/// What is remembered of the addresses of a zone: those alone that failed last.
#[derive(Debug, Default)]
pub(super) struct Ledger(HashMap<SocketAddr, Trouble>);

#[derive(Debug, Default)]
struct Trouble {
    failures: u32,
    rests: u32,
    until: Option<Instant>,
}

impl Ledger {
    /// It could not be reached, or TLS failed.
    pub(super) fn failed(&mut self, address: SocketAddr, now: Instant) {
        if self.0.len() >= REMEMBERED_MAX && !self.0.contains_key(&address) {
            return;
        }
        let trouble = self.0.entry(address).or_default();
        trouble.failures += 1;
        if trouble.failures >= FAILURES {
            let rest = REST.saturating_mul(1 << trouble.rests.min(8)).min(REST_MAX);
            *trouble = Trouble { failures: 0, rests: trouble.rests.saturating_add(1), until: Some(now + rest) };
        }
    }

    /// It was reached.
    pub(super) fn reached(&mut self, address: SocketAddr) {
        // Nearly always there is nothing to forget.
        if !self.0.is_empty() {
            self.0.remove(&address);
        }
    }

    /// Forgets what has rested long ago; tells whether nothing is left.
    pub(super) fn sweep(&mut self, now: Instant) -> bool {
        self.0.retain(|_, trouble| trouble.until.is_none_or(|until| now < until + REST_MAX));
        self.0.is_empty()
    }

    fn rests(&self, address: &SocketAddr, now: Instant) -> bool {
        self.0.get(address).is_some_and(|trouble| trouble.until.is_some_and(|until| now < until))
    }

    /// In the order in which they are tried: any first, the families by turns (RFC 8305 §4), and those that rest last. Those to avoid are
    /// left out while there is another that does not rest. At most [`TRIES_MAX`]. `random` chooses.
    pub(super) fn order(
        &self,
        mut addresses: Vec<SocketAddr>,
        is_avoided: impl Fn(&SocketAddr) -> bool,
        random: u64,
        now: Instant,
    ) -> Vec<SocketAddr> {
        if addresses.len() > 1 {
            if addresses.iter().any(|address| !is_avoided(address) && !self.rests(address, now)) {
                addresses.retain(|address| !is_avoided(address));
            }
            shuffle(&mut addresses, random);
            addresses = by_turns(addresses);
            addresses.sort_by_key(|address| self.rests(address, now));
            addresses.truncate(TRIES_MAX);
        }
        addresses
    }
}

/// Fisher-Yates, drawing from one number (Xorshift64; Marsaglia, 2003).
fn shuffle(addresses: &mut [SocketAddr], random: u64) {
    let mut state = random | 1;
    for last in (1..addresses.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let chosen = usize::try_from((state >> 16) % (last as u64 + 1)).unwrap_or(0);
        addresses.swap(last, chosen);
    }
}

/// Families by turns, beginning with that of the first.
fn by_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first_is_v4) = addresses.first().map(SocketAddr::is_ipv4) else { return addresses };
    let (first, second): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| address.is_ipv4() == first_is_v4);
    let longest = first.len().max(second.len());
    (0..longest).flat_map(|at| [first.get(at), second.get(at)]).flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn none(_: &SocketAddr) -> bool {
        false
    }

    fn address(number: u8) -> SocketAddr {
        if number.is_multiple_of(2) {
            ([192, 0, 2, number], 80).into()
        } else {
            (std::net::Ipv6Addr::from(u128::from(number)), 80).into()
        }
    }

    #[test]
    fn who_failed_three_times_rests_and_twice_as_long_the_next_time() {
        let mut ledger = Ledger::default();
        let mut now = Instant::now();
        let (bad, good) = (address(0), address(2));
        let first = |ledger: &Ledger, now| {
            (0..64).filter(|random| ledger.order(vec![bad, good], none, *random << 20, now)[0] == bad).count()
        };
        assert!(first(&ledger, now) > 0, "each is taken");
        for secs in [30, 60, 120, 240, 300, 300] {
            for failure in 0..3 {
                assert!(!ledger.rests(&bad, now), "{failure} failures are borne with");
                ledger.failed(bad, now);
            }
            assert_eq!(first(&ledger, now), 0);
            assert_eq!(ledger.order(vec![bad, good], none, 7, now), [good, bad], "it is tried when no other is left");
            now += Duration::from_secs(secs - 1);
            assert!(ledger.rests(&bad, now));
            now += Duration::from_secs(1);
        }
        assert!(!ledger.sweep(now));
        ledger.reached(bad);
        assert!(ledger.sweep(now));
    }

    #[test]
    fn who_is_unhealthy_is_not_tried_while_another_may_be_and_never_all_are_left_out() {
        let (mut ledger, now) = (Ledger::default(), Instant::now());
        let [ill, well, other] = [address(0), address(2), address(4)];
        for random in 0..64u64 {
            let order = ledger.order(vec![ill, well, other], |address| *address == ill, random << 20, now);
            assert!(order.len() == 2 && !order.contains(&ill), "{order:?}");
        }
        assert_eq!(ledger.order(vec![ill, well], |_| true, 7, now).len(), 2, "where all are unhealthy, none is");
        (0..3).for_each(|_| ledger.failed(well, now));
        let order = ledger.order(vec![ill, well], |address| *address == ill, 7, now);
        assert_eq!(order, [ill, well], "better than one that was seen to be gone");
        assert_eq!(ledger.order(vec![ill], |_| true, 7, now), [ill]);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_forgotten() {
        let mut ledger = Ledger::default();
        let now = Instant::now();
        for port in 1..2_000 {
            for _ in 0..3 {
                ledger.failed(([192, 0, 2, 1], port).into(), now);
            }
        }
        assert_eq!(ledger.0.len(), REMEMBERED_MAX);
        assert!(!ledger.sweep(now + REST + REST_MAX - Duration::from_secs(1)));
        assert!(ledger.sweep(now + REST + REST_MAX));
    }

    proptest! {
        #[test]
        fn nobody_is_lost_and_families_take_turns(numbers in prop::collection::btree_set(0u8..40, 0..8), random: u64) {
            let addresses: Vec<SocketAddr> = numbers.iter().copied().map(address).collect();
            let mut ordered = Ledger::default().order(addresses.clone(), none, random, Instant::now());
            let v4 = addresses.iter().filter(|address| address.is_ipv4()).count();
            let both = 2 * v4.min(addresses.len() - v4);
            prop_assert!(ordered[..both].chunks(2).all(|two| two[0].is_ipv4() != two[1].is_ipv4()));
            ordered.sort();
            let mut all = addresses;
            all.sort();
            prop_assert_eq!(ordered, all);
        }

        #[test]
        fn no_more_are_tried_than_the_bound(random: u64) {
            let many = (0..100).map(|number| address(number * 2)).collect();
            prop_assert_eq!(Ledger::default().order(many, none, random, Instant::now()).len(), TRIES_MAX);
        }
    }
}
