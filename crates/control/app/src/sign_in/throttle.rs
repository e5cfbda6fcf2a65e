//! How often somebody may try to sign in, or have a link sent to somebody. Pure: the instant is handed in.
//!
//! ```text
//! one source for one address   five tries, then 1 s, 2 s, 4 s … up to 15 min between two
//! one source, whatever address  30 tries, then one every 20 s
//! one address, whatever source  50 tries, then one every 30 s; not for sources it has signed in from before
//! one person's second factor    10 tries, then one every 5 min
//! links mailed to one address   3, then one every 10 min; those that are asked for and invitations each
//! invitations of one account    100, then one every minute
//! ```
//!
//! A source is an IPv4 address or an IPv6 /64. A try is counted before its secret is looked at, so that many at once are no way around,
//! and given back when it was right. Nothing here shuts an address for good: whoever hammers one makes others wait half a minute at
//! most, and those not at all who come from where they came before, or with a passkey.
//!
//! It is kept in memory: after a restart of the node everybody has their tries again, which strangers cannot bring about. The memory is
//! bounded; when a table is full, what is idle goes, and if nothing is, all does: being forgotten gives tries, never takes them.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
};

use poterne_control_store::Micros;
use poterne_keys::sha256;
use poterne_model::{AccountId, UserId};

use crate::metrics::{Numbers, number};

const SECOND: Micros = 1_000_000;

/// Entries of each table.
const ENTRIES_MAX: usize = 50_000;

/// Wrong tries of one source for one address that cost nothing.
const FREE_TRIES: u32 = 5;

/// Longest wait between two of them, in seconds.
const PAIR_WAIT_MAX_SECS: u64 = 900;

/// When they are forgotten.
const PAIR_FORGOTTEN: Micros = 24 * 3600 * SECOND;

const OF_SOURCE: Allowance = Allowance { burst: 30, every: 20 * SECOND };
const OF_ADDRESS: Allowance = Allowance { burst: 50, every: 30 * SECOND };
const OF_SECOND_FACTOR: Allowance = Allowance { burst: 10, every: 300 * SECOND };
const OF_LINKS: Allowance = Allowance { burst: 3, every: 600 * SECOND };
const OF_INVITATIONS: Allowance = Allowance { burst: 100, every: 60 * SECOND };

/// From where somebody comes, as far as they are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Source(IpAddr);

/// An e-mail address, known here or not; of a size that nobody chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Address([u8; 16]);

impl Source {
    pub(crate) fn of(ip: IpAddr) -> Self {
        Self(match ip.to_canonical() {
            IpAddr::V4(ip) => IpAddr::V4(ip),
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
        })
    }
}

/// As the store keeps it.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Address {
    /// Of the text in lower case.
    pub(crate) fn of(email: &str) -> Self {
        let digest = sha256(email.as_bytes());
        Self(*digest.first_chunk().expect("32 bytes have a first 16"))
    }
}

/// So many at once, and one more after each `every`.
struct Allowance {
    burst: i64,
    every: Micros,
}

/// When the whole of an allowance is there again: the one number that says how much of it is used.
#[derive(Debug, Clone, Copy)]
struct Used {
    whole_at: Micros,
}

impl Allowance {
    /// What is left of it now; a clock that was set back leaves nobody waiting longer than a whole allowance takes.
    fn used(&self, used: Option<Used>, now: Micros) -> Used {
        let whole_at = used.map_or(now, |used| used.whole_at).clamp(now, now.saturating_add(self.burst * self.every));
        Used { whole_at }
    }

    /// How long until one more may be had.
    fn wait(&self, used: Option<Used>, now: Micros) -> Micros {
        (self.used(used, now).whole_at - now - (self.burst - 1) * self.every).max(0)
    }

    fn taken(&self, used: Option<Used>, now: Micros) -> Used {
        Used { whole_at: self.used(used, now).whole_at.saturating_add(self.every) }
    }
}

/// Wrong tries of one source for one address.
#[derive(Debug, Clone, Copy)]
struct Wrong {
    tries: u32,
    last: Micros,
}

impl Wrong {
    fn wait(self, now: Micros) -> Micros {
        if self.tries < FREE_TRIES {
            return 0;
        }
        let secs = 1u64.checked_shl(self.tries - FREE_TRIES).unwrap_or(u64::MAX).min(PAIR_WAIT_MAX_SECS);
        let secs = i64::try_from(secs).unwrap_or(i64::MAX);
        (self.last.min(now) + secs * SECOND - now).max(0)
    }
}

/// Everybody's tries.
#[derive(Default)]
pub(crate) struct Throttle {
    pairs: HashMap<(Address, Source), Wrong>,
    sources: HashMap<Source, Used>,
    addresses: HashMap<Address, Used>,
    second_factors: HashMap<UserId, Used>,
    links: HashMap<Address, Used>,
    invited: HashMap<Address, Used>,
    inviting: HashMap<AccountId, Used>,
    refused: u64,
}

impl Throttle {
    /// Counts a try to sign in with a password; `known`: the address has signed in from there before.
    ///
    /// # Errors
    /// It is too early; seconds to wait, at least one.
    pub(crate) fn try_password(&mut self, now: Micros, address: Address, source: Source, known: bool) -> Result<(), u64> {
        let of_pair = self.pairs.get(&(address, source)).map_or(0, |wrong| wrong.wait(now));
        let of_source = OF_SOURCE.wait(self.sources.get(&source).copied(), now);
        let of_address = if known { 0 } else { OF_ADDRESS.wait(self.addresses.get(&address).copied(), now) };
        self.admit(of_pair.max(of_source).max(of_address))?;
        self.make_room(now);
        let wrong = self.pairs.entry((address, source)).or_insert(Wrong { tries: 0, last: now });
        *wrong = Wrong { tries: wrong.tries.saturating_add(1), last: now };
        self.take_of_source(now, source);
        if !known {
            let used = OF_ADDRESS.taken(self.addresses.get(&address).copied(), now);
            self.addresses.insert(address, used);
        }
        Ok(())
    }

    /// It was right: the try is given back.
    pub(crate) fn was_right(&mut self, address: Address, source: Source, known: bool) {
        self.pairs.remove(&(address, source));
        self.give_back(source);
        if !known && let Some(used) = self.addresses.get_mut(&address) {
            used.whole_at -= OF_ADDRESS.every;
        }
    }

    /// Counts a try at a person's second factor.
    ///
    /// # Errors
    /// It is too early; seconds to wait.
    pub(crate) fn try_second_factor(&mut self, now: Micros, person: UserId, source: Source) -> Result<(), u64> {
        let used = self.second_factors.get(&person).copied();
        let of_source = OF_SOURCE.wait(self.sources.get(&source).copied(), now);
        self.admit(OF_SECOND_FACTOR.wait(used, now).max(of_source))?;
        self.make_room(now);
        self.second_factors.insert(person, OF_SECOND_FACTOR.taken(used, now));
        self.take_of_source(now, source);
        Ok(())
    }

    /// It was right.
    pub(crate) fn second_factor_was_right(&mut self, person: UserId, source: Source) {
        self.second_factors.remove(&person);
        self.give_back(source);
    }

    /// Counts a try of a source that names no address: a passkey, or what is in a link.
    ///
    /// # Errors
    /// It is too early; seconds to wait.
    pub(crate) fn try_source(&mut self, now: Micros, source: Source) -> Result<(), u64> {
        self.admit(OF_SOURCE.wait(self.sources.get(&source).copied(), now))?;
        self.make_room(now);
        self.take_of_source(now, source);
        Ok(())
    }

    /// It was right.
    pub(crate) fn give_back(&mut self, source: Source) {
        if let Some(used) = self.sources.get_mut(&source) {
            used.whole_at -= OF_SOURCE.every;
        }
    }

    /// Counts a link that is asked for an address. Whether the address may have it: whoever asks is told the same either way.
    ///
    /// # Errors
    /// The source asks too often; seconds to wait.
    pub(crate) fn try_link(&mut self, now: Micros, address: Address, source: Source) -> Result<bool, u64> {
        self.try_source(now, source)?;
        let used = self.links.get(&address).copied();
        let admitted = OF_LINKS.wait(used, now) == 0;
        if admitted {
            self.links.insert(address, OF_LINKS.taken(used, now));
        } else {
            self.refused += 1;
        }
        Ok(admitted)
    }

    /// Counts an invitation that an account mails to an address.
    ///
    /// # Errors
    /// The account invites, or the address is invited, too often; seconds to wait.
    pub(crate) fn try_invitation(&mut self, now: Micros, account: AccountId, address: Address) -> Result<(), u64> {
        let (of_address, of_account) = (self.invited.get(&address).copied(), self.inviting.get(&account).copied());
        self.admit(OF_LINKS.wait(of_address, now).max(OF_INVITATIONS.wait(of_account, now)))?;
        self.make_room(now);
        self.invited.insert(address, OF_LINKS.taken(of_address, now));
        self.inviting.insert(account, OF_INVITATIONS.taken(of_account, now));
        Ok(())
    }

    /// How many entries each table has.
    pub(crate) fn entries(&self) -> Numbers {
        vec![
            ("pairs", number(self.pairs.len())),
            ("sources", number(self.sources.len())),
            ("addresses", number(self.addresses.len())),
            ("second_factors", number(self.second_factors.len())),
            ("links", number(self.links.len())),
            ("invited", number(self.invited.len())),
            ("inviting", number(self.inviting.len())),
        ]
    }

    /// How many tries came too early.
    pub(crate) const fn refused(&self) -> u64 {
        self.refused
    }

    /// Seconds of a wait, begun ones included.
    fn admit(&mut self, wait: Micros) -> Result<(), u64> {
        if wait <= 0 {
            return Ok(());
        }
        self.refused += 1;
        Err(wait.unsigned_abs().div_ceil(SECOND.unsigned_abs()))
    }

    fn take_of_source(&mut self, now: Micros, source: Source) {
        let used = OF_SOURCE.taken(self.sources.get(&source).copied(), now);
        self.sources.insert(source, used);
    }

    fn make_room(&mut self, now: Micros) {
        room(&mut self.pairs, |wrong| now.saturating_sub(wrong.last) < PAIR_FORGOTTEN);
        room(&mut self.sources, |used| used.whole_at > now);
        room(&mut self.addresses, |used| used.whole_at > now);
        room(&mut self.second_factors, |used| used.whole_at > now);
        room(&mut self.links, |used| used.whole_at > now);
        room(&mut self.invited, |used| used.whole_at > now);
        room(&mut self.inviting, |used| used.whole_at > now);
    }

    #[cfg(test)]
    fn longest_table(&self) -> u64 {
        self.entries().into_iter().map(|(_, length)| length).max().unwrap_or(0)
    }
}

fn room<K: Eq + Hash, V>(table: &mut HashMap<K, V>, counts: impl Fn(&V) -> bool) {
    if table.len() >= ENTRIES_MAX {
        table.retain(|_, value| counts(value));
        if table.len() >= ENTRIES_MAX {
            table.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn source(last: u8) -> Source {
        Source::of(IpAddr::from([192, 0, 2, last]))
    }

    fn ada() -> Address {
        Address::of("ada@example.com")
    }

    #[test]
    fn a_source_is_an_address_or_the_network_of_a_household() {
        let of = |text: &str| Source::of(text.parse().unwrap()).to_string();
        assert_eq!(of("192.0.2.7"), "192.0.2.7");
        assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }

    #[test]
    fn wrong_tries_of_one_source_wait_longer_and_longer_and_hurt_nobody_else() {
        let mut throttle = Throttle::default();
        let mut now = 1_000 * SECOND;
        for _ in 0..FREE_TRIES {
            throttle.try_password(now, ada(), source(1), true).unwrap();
        }
        for wait in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900] {
            assert_eq!(throttle.try_password(now, ada(), source(1), true), Err(wait));
            assert_eq!(throttle.try_password(now + 1, ada(), source(1), true), Err(wait));
            throttle.try_password(now, ada(), source(2), true).unwrap();
            throttle.was_right(ada(), source(2), true);
            now += i64::try_from(wait).unwrap() * SECOND;
            throttle.try_password(now, ada(), source(1), true).unwrap();
        }
        throttle.was_right(ada(), source(1), true);
        throttle.try_password(now, ada(), source(1), true).unwrap();
    }

    #[test]
    fn many_sources_slow_an_address_down_but_not_where_it_is_known() {
        let mut throttle = Throttle::default();
        let now = 7 * SECOND;
        for i in 0..50 {
            throttle.try_password(now, ada(), source(i), false).unwrap();
        }
        assert_eq!(throttle.try_password(now, ada(), source(90), false), Err(30), "half a minute is the most a stranger can do");
        throttle.try_password(now, ada(), source(91), true).unwrap();
        throttle.try_password(now, Address::of("bob@example.com"), source(90), false).unwrap();
        throttle.try_password(now + 30 * SECOND, ada(), source(90), false).unwrap();
        assert_eq!(throttle.try_password(now + 30 * SECOND, ada(), source(92), false), Err(30));
    }

    #[test]
    fn one_source_cannot_try_one_password_at_many_addresses() {
        let mut throttle = Throttle::default();
        for i in 0..30 {
            throttle.try_password(0, Address::of(&format!("{i}@example.com")), source(1), false).unwrap();
        }
        assert_eq!(throttle.try_password(0, Address::of("x@example.com"), source(1), false), Err(20));
        assert_eq!(throttle.try_source(0, source(1)), Err(20));
        assert_eq!(throttle.try_second_factor(0, UserId::from_bytes([1; 16]), source(1)), Err(20));
        throttle.give_back(source(1));
        throttle.try_source(0, source(1)).unwrap();
    }

    #[test]
    fn a_second_factor_is_guessed_at_ten_times_and_then_hardly() {
        let (mut throttle, ada) = (Throttle::default(), UserId::from_bytes([1; 16]));
        for i in 0..10 {
            throttle.try_second_factor(0, ada, source(i)).unwrap();
        }
        assert_eq!(throttle.try_second_factor(0, ada, source(50)), Err(300));
        throttle.second_factor_was_right(ada, source(9));
        throttle.try_second_factor(0, ada, source(50)).unwrap();
    }

    #[test]
    fn links_to_one_address_are_few_and_whoever_asks_does_not_learn_it() {
        let mut throttle = Throttle::default();
        let told: Vec<_> = (0..5).map(|i| throttle.try_link(0, ada(), source(i)).unwrap()).collect();
        assert_eq!(told, [true, true, true, false, false]);
        assert!(throttle.try_link(600 * SECOND, ada(), source(1)).unwrap());
    }

    #[test]
    fn an_account_invites_many_people_and_nobody_many_times() {
        let (mut throttle, account) = (Throttle::default(), |number| AccountId::from_bytes([number; 16]));
        for number in 0..3 {
            throttle.try_invitation(0, account(number), ada()).unwrap();
        }
        assert_eq!(throttle.try_invitation(0, account(9), ada()), Err(600), "whichever account it is of");
        for number in 1..100 {
            throttle.try_invitation(0, account(0), Address::of(&number.to_string())).unwrap();
        }
        let bob = Address::of("bob@example.com");
        assert_eq!(throttle.try_invitation(0, account(0), bob), Err(60));
        throttle.try_invitation(0, account(1), bob).unwrap();
        throttle.try_invitation(60 * SECOND, account(0), bob).unwrap();
        assert!(throttle.try_link(0, ada(), source(1)).unwrap(), "whoever is invited may still ask for a link");
    }

    #[test]
    fn memory_is_bounded() {
        let mut throttle = Throttle::default();
        for i in 0..u32::try_from(ENTRIES_MAX).unwrap() + 10 {
            let account = AccountId::from_bytes(u128::from(i).to_be_bytes());
            throttle.try_invitation(5, account, Address::of(&i.to_string())).unwrap();
        }
        for i in 0..u32::try_from(ENTRIES_MAX).unwrap() + 10 {
            let source = Source::of(IpAddr::from(i.to_be_bytes()));
            throttle.try_password(5, Address::of(&i.to_string()), source, false).unwrap();
        }
        assert!(throttle.longest_table() <= number(ENTRIES_MAX));
    }

    proptest! {
        #[test]
        fn nobody_waits_longer_than_the_bound_whatever_the_clock_does(
            tries in prop::collection::vec((any::<u8>(), any::<bool>(), any::<bool>(), -2_000_000_000..4_000_000_000_i64), 1..200)
        ) {
            let mut throttle = Throttle::default();
            for (from, known, right, now) in tries {
                match throttle.try_password(now, ada(), source(from % 4), known) {
                    Ok(()) if right => throttle.was_right(ada(), source(from % 4), known),
                    Ok(()) => {}
                    Err(wait) => prop_assert!((1..=PAIR_WAIT_MAX_SECS).contains(&wait), "{wait}"),
                }
            }
        }

        #[test]
        fn an_allowance_gives_its_burst_and_then_its_rate(mut steps in prop::collection::vec(0..60_000_000_i64, 1..300)) {
            let allowance = Allowance { burst: 5, every: 10 * SECOND };
            let (mut now, mut used, mut taken) = (0, None, 0_i64);
            for step in steps.drain(..) {
                now += step;
                if allowance.wait(used, now) == 0 {
                    used = Some(allowance.taken(used, now));
                    taken += 1;
                }
                prop_assert!(taken <= 5 + now / allowance.every);
            }
        }
    }
}
