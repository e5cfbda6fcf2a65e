//! How many answers one prefix gets over UDP, where anybody can send in anybody's name (edge-behaviour §5.11).
//!
//! Two allowances, each a bucket that fills with time: for the *same* answer (the name and what is said of it; of names that do not
//! exist and of refusals, all of a zone's), and for all answers of a kind. Beyond an allowance every second answer is sent without its records
//! and with TC set, so that whoever really asks comes back over TCP, and the others are dropped: a victim gets no more octets than were
//! sent in its name. Clients whose cookie is valid are not counted.
//!
//! Memory is fixed: buckets lie in a table that is searched at a few places, by a hash under a key drawn at the start. A bucket that is
//! full again is as good as none; where all places are taken, the one that has rested longest is begun anew, so that a flood from
//! everywhere can make the limit milder and never larger.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use poterne_dns_answer::{Kind, Reply};
use poterne_dns_wire::name;

/// Allowances of one prefix, in answers a second; as many may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Of the same answer. Default 20.
    pub same_per_sec: u32,
    /// Of all answers of a kind: data, no data, no such name, referral, error. Default 400: a large resolver's share of names it has not
    /// asked for lately.
    pub kind_per_sec: u32,
}

impl Default for Rates {
    fn default() -> Self {
        Self { same_per_sec: 20, kind_per_sec: 400 }
    }
}

/// What becomes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is sent.
    Send,
    /// It is sent without its records.
    Truncate,
    /// It is not sent.
    Drop,
}

/// Tables that threads seldom meet at.
const SHARDS: usize = 64;
/// Buckets of a shard: 64 × 1,024 × 24 octets are 1.5 MiB.
const BUCKETS: usize = 1024;
/// Places a bucket may be at.
const PLACES: usize = 4;

/// An answer is this much of an allowance: buckets count in thousandths, for time in milliseconds.
const ANSWER: u64 = 1000;

/// The state.
pub struct Rate {
    rates: Rates,
    began: Instant,
    hasher: RandomState,
    shards: Vec<Mutex<Vec<Bucket>>>,
}

#[derive(Clone, Copy, Default)]
struct Bucket {
    /// Whose; 0: nobody's.
    tag: u64,
    /// When `left` was true, in milliseconds since the start.
    at_ms: u64,
    /// Thousandths of answers.
    left: u32,
    /// Answers beyond the allowance.
    beyond: u32,
}

impl Rate {
    /// Nothing was sent yet.
    pub fn new(rates: Rates, now: Instant) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(vec![Bucket::default(); BUCKETS])).collect();
        Self { rates, began: now, hasher: RandomState::new(), shards }
    }

    /// Whether an answer to this address goes out.
    pub fn judge(&self, to: IpAddr, reply: &Reply, response: &[u8], now: Instant) -> Verdict {
        let (prefix, kind) = (prefix(to), reply.kind);
        let zone = reply.zone.map(|(_, zone)| zone);
        let same = match kind {
            // The same for every name.
            Kind::NoName | Kind::Error => self.hasher.hash_one((prefix, kind, zone)),
            _ => self.hasher.hash_one((prefix, kind, question(response))),
        };
        let all = self.hasher.hash_one((prefix, kind));
        let now_ms = u64::try_from(now.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX);
        // Each that goes out counts for both.
        match self.take(all, self.rates.kind_per_sec, now_ms) {
            Verdict::Send => self.take(same, self.rates.same_per_sec, now_ms),
            beyond => beyond,
        }
    }

    fn take(&self, hash: u64, per_sec: u32, now_ms: u64) -> Verdict {
        let tag = hash | 1;
        let at = |bits: u32, count: usize| usize::try_from(hash >> bits).unwrap_or_default() % count;
        let mut shard = self.shards[at(48, SHARDS)].lock().unwrap_or_else(PoisonError::into_inner);
        let first = at(24, BUCKETS);
        let full = u64::from(per_sec) * ANSWER;
        let places = (0..PLACES).map(|step| (first + step) % BUCKETS);
        let found = places.clone().find(|place| shard[*place].tag == tag);
        let place = found.or_else(|| places.min_by_key(|place| shard[*place].at_ms)).unwrap_or(first);
        let bucket = &mut shard[place];
        let left = match found {
            Some(_) => (u64::from(bucket.left) + now_ms.saturating_sub(bucket.at_ms) * u64::from(per_sec)).min(full),
            None => full,
        };
        let beyond = if found.is_some() { bucket.beyond } else { 0 };
        *bucket = Bucket { tag, at_ms: now_ms, left: u32::try_from(left.saturating_sub(ANSWER)).unwrap_or(u32::MAX), beyond };
        if left >= ANSWER {
            return Verdict::Send;
        }
        bucket.left = u32::try_from(left).unwrap_or(u32::MAX);
        bucket.beyond = beyond.wrapping_add(1);
        // Slip 2.
        if bucket.beyond.is_multiple_of(2) { Verdict::Truncate } else { Verdict::Drop }
    }
}

/// A /24 of IPv4, a /56 of IPv6: what one customer is given.
fn prefix(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => u128::from(address.to_bits() >> 8),
        IpAddr::V6(address) => address.to_bits() >> 72 << 32,
    }
}

/// The question of a response, in lower case.
fn question(response: &[u8]) -> ([u8; name::NAME_OCTETS_MAX], [u8; 4]) {
    let mut folded = [0; name::NAME_OCTETS_MAX];
    let asked = response.get(12..).unwrap_or_default();
    let length = name::length(asked).unwrap_or_default();
    for (place, octet) in folded.iter_mut().zip(&asked[..length]) {
        *place = octet.to_ascii_lowercase();
    }
    let rest = asked.get(length..length + 4).and_then(|rest| rest.try_into().ok()).unwrap_or_default();
    (folded, rest)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use poterne_dns_answer::{Cookie, Rcode, Signed};

    use super::*;

    fn reply(kind: Kind) -> Reply {
        let (cookie, signed) = (Cookie::Absent, Signed::default());
        Reply { length: 30, rcode: Rcode::NoError, kind, cookie, zone: None, signed, sought: None, lacks: false }
    }

    fn response(label: &str) -> Vec<u8> {
        let mut octets = vec![0; 12];
        name::push(label, &mut octets);
        octets.extend([0, 1, 0, 1]);
        octets
    }

    fn verdicts(rate: &Rate, to: &str, kind: Kind, names: &[String], now: Instant) -> [usize; 3] {
        let mut counts = [0; 3];
        for name in names {
            match rate.judge(to.parse().unwrap(), &reply(kind), &response(name), now) {
                Verdict::Send => counts[0] += 1,
                Verdict::Truncate => counts[1] += 1,
                Verdict::Drop => counts[2] += 1,
            }
        }
        counts
    }

    fn same(count: usize) -> Vec<String> {
        (0..count).map(|number| if number % 2 == 0 { "www.example.com" } else { "WWW.example.com" }.to_owned()).collect()
    }

    #[test]
    fn the_same_answer_is_sent_so_often_and_then_every_second_as_a_hint() {
        let (rate, now) = (Rate::new(Rates::default(), Instant::now()), Instant::now());
        assert_eq!(verdicts(&rate, "192.0.2.1", Kind::Data, &same(120), now), [20, 50, 50]);
        // One prefix is one client, and others are others.
        assert_eq!(verdicts(&rate, "192.0.2.200", Kind::Data, &same(10), now)[0], 0);
        assert_eq!(verdicts(&rate, "192.0.3.1", Kind::Data, &same(10), now)[0], 10);
        assert_eq!(verdicts(&rate, "2001:db8::1", Kind::Data, &same(30), now)[0], 20);
        assert_eq!(verdicts(&rate, "2001:db8:0:ff::1", Kind::Data, &same(10), now)[0], 0);
        assert_eq!(verdicts(&rate, "2001:db8:0:100::1", Kind::Data, &same(10), now)[0], 10);
    }

    #[test]
    fn an_allowance_comes_back_with_time() {
        let (rate, now) = (Rate::new(Rates::default(), Instant::now()), Instant::now());
        assert_eq!(verdicts(&rate, "192.0.2.1", Kind::Data, &same(30), now)[0], 20);
        assert_eq!(verdicts(&rate, "192.0.2.1", Kind::Data, &same(30), now + Duration::from_millis(500))[0], 10);
        assert_eq!(verdicts(&rate, "192.0.2.1", Kind::Data, &same(30), now + Duration::from_secs(60))[0], 20);
    }

    #[test]
    fn a_resolver_may_ask_for_many_names_that_exist_and_for_few_that_do_not() {
        let (rate, now) = (Rate::new(Rates::default(), Instant::now()), Instant::now());
        let names: Vec<String> = (0..1000).map(|number| format!("host-{number}.example.com")).collect();
        assert_eq!(verdicts(&rate, "192.0.2.1", Kind::Data, &names, now)[0], 400);
        assert_eq!(verdicts(&rate, "192.0.2.1", Kind::NoName, &names, now)[0], 20);
        assert_eq!(verdicts(&rate, "192.0.2.1", Kind::Error, &names, now)[0], 20);
    }

    #[test]
    fn a_flood_from_everywhere_takes_no_more_memory_and_lets_nobody_have_more() {
        let (rate, now) = (Rate::new(Rates::default(), Instant::now()), Instant::now());
        for number in 0..200_000u32 {
            let to = IpAddr::from((number << 8).to_be_bytes());
            rate.judge(to, &reply(Kind::Error), &response("x.example.com"), now);
        }
        assert_eq!(rate.shards.iter().map(|shard| shard.lock().unwrap().len()).sum::<usize>(), SHARDS * BUCKETS);
        assert!(verdicts(&rate, "198.51.100.1", Kind::Data, &same(100), now)[0] <= 20);
    }
}
