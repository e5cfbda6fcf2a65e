//! The authorities that an operator named, and which of them is asked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::trouble::{Culprit, Trouble};

/// How long an authority that fails is left alone by everybody, in seconds, where it does not say.
const REST_SECS: i64 = 60;

/// The longest that one is left alone at its word, in seconds: limits are counted by the week.
pub const REST_SECS_MAX: i64 = 8 * 86_400;

/// Orders that an authority is given within so many seconds, all accounts of this node together: below what the largest public one takes
/// of an account, 300 in three hours (edge-behaviour §7.3).
pub const ORDERS_MAX: usize = 250;
/// See [`ORDERS_MAX`].
pub const ORDERS_WITHIN_SECS: i64 = 3 * 3600;

/// An authority.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authority {
    /// The URL of its directory, which names it.
    pub directory: String,
    /// Which of its profiles is asked for; none: its default.
    pub profile: Option<String>,
}

impl Authority {
    /// As the API calls it.
    pub fn word(&self) -> String {
        word(&self.directory)
    }
}

/// What the API calls the authority with this directory: the words that clients know, else its host.
pub fn word(directory: &str) -> String {
    let host = directory.strip_prefix("https://").unwrap_or(directory);
    let host = host.split(['/', ':']).next().unwrap_or_default();
    let known = [
        ("letsencrypt.org", "lets_encrypt"),
        ("pki.goog", "google"),
        ("ssl.com", "ssl_com"),
        ("zerossl.com", "zerossl"),
        ("sectigo.com", "sectigo"),
    ];
    let found = known.into_iter().find(|(domain, _)| host == *domain || host.ends_with(&format!(".{domain}")));
    found.map_or_else(|| host.to_owned(), |(_, word)| word.to_owned())
}

/// The authorities in the order of preference, and which of them rest.
#[derive(Debug, Clone, Default)]
pub struct Authorities {
    all: Vec<Authority>,
    /// Until when, and why.
    resting: BTreeMap<String, (i64, String)>,
    /// When orders were given, the last ones.
    orders: BTreeMap<String, Vec<i64>>,
}

/// What of an authority outlives the program that asked it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remembered {
    /// Until when it is left alone, in seconds since the Unix epoch, and why.
    pub rest: Option<(i64, String)>,
    /// When orders were given, those of the last [`ORDERS_WITHIN_SECS`].
    pub orders: Vec<i64>,
}

/// Whom to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice<'a> {
    /// This one.
    Ask(&'a Authority),
    /// Nobody until then.
    Wait(i64),
    /// There is none that may be asked.
    Nobody,
}

impl Authorities {
    /// These, the first before the others.
    pub fn new(all: Vec<Authority>) -> Self {
        Self { all, ..Self::default() }
    }

    /// Goes on where a program before this one stopped. Times that cannot be, as when the clock was put back meanwhile, are not believed.
    pub fn remember(&mut self, directory: &str, standing: Remembered, now: i64) {
        let Remembered { rest, mut orders } = standing;
        orders.retain(|at| (now - ORDERS_WITHIN_SECS + 1..=now).contains(at));
        orders.sort_unstable();
        self.orders.insert(directory.to_owned(), orders);
        if let Some((until, why)) = rest.filter(|(until, _)| (now + 1..=now + REST_SECS_MAX).contains(until)) {
            self.resting.insert(directory.to_owned(), (until, why));
        }
    }

    /// Until when an authority is left alone, and why; none: it is not. That time may be over.
    pub fn rest_of(&self, directory: &str) -> Option<(i64, &str)> {
        self.resting.get(directory).map(|(until, why)| (*until, why.as_str()))
    }

    /// All of them.
    pub fn all(&self) -> &[Authority] {
        &self.all
    }

    /// The first of those that may be asked now: not among the tried ones, and by this word where one is given.
    pub fn choose(&self, word: Option<&str>, tried: &[String], now: i64) -> Choice<'_> {
        let may =
            |authority: &&Authority| word.is_none_or(|word| authority.word() == word) && !tried.contains(&authority.directory);
        let rests = |authority: &Authority| self.free_at(&authority.directory, now);
        match self.all.iter().filter(may).find(|authority| rests(authority) <= now) {
            Some(free) => Choice::Ask(free),
            None => match self.all.iter().filter(may).map(rests).min() {
                Some(at) => Choice::Wait(at),
                None => Choice::Nobody,
            },
        }
    }

    /// When an authority may be given an order.
    fn free_at(&self, directory: &str, now: i64) -> i64 {
        let rested = self.resting.get(directory).map_or(now, |(until, _)| *until);
        let orders = self.orders.get(directory).map(Vec::as_slice).unwrap_or_default();
        let recent: Vec<i64> = orders.iter().copied().filter(|at| *at > now - ORDERS_WITHIN_SECS).collect();
        let counted = match recent.len().checked_sub(ORDERS_MAX) {
            Some(over) => recent[over] + ORDERS_WITHIN_SECS,
            None => now,
        };
        rested.max(counted).max(now)
    }

    /// It is given an order.
    pub fn ordered(&mut self, directory: &str, now: i64) {
        let orders = self.orders.entry(directory.to_owned()).or_default();
        orders.retain(|at| *at > now - ORDERS_WITHIN_SECS);
        orders.push(now);
    }

    /// An order failed; what was the authority's own doing concerns everybody.
    pub fn failed(&mut self, directory: &str, trouble: &Trouble, now: i64) {
        if !trouble.is_of_authority() {
            return;
        }
        let default = if trouble.culprit == Culprit::RateLimited { 3600 } else { REST_SECS };
        // A limit may be of one name alone: nobody else waits for longer than an hour on account of it.
        let most = if trouble.culprit == Culprit::RateLimited { 3600 } else { REST_SECS_MAX };
        let until = now.saturating_add(trouble.retry_after_secs.unwrap_or(default).clamp(1, most));
        self.resting.insert(directory.to_owned(), (until, trouble.detail.clone()));
    }

    /// It answered as it should. Whether it was resting.
    pub fn answered(&mut self, directory: &str) -> bool {
        self.resting.remove(directory).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "https://acme-v02.api.letsencrypt.org/directory";
    const OTHER: &str = "https://dv.acme-v02.api.pki.goog/directory";

    fn two() -> Authorities {
        let authority = |directory: &str| Authority { directory: directory.to_owned(), profile: None };
        Authorities::new(vec![authority(ONE), authority(OTHER)])
    }

    fn asked(choice: Choice<'_>) -> Option<&str> {
        match choice {
            Choice::Ask(authority) => Some(&authority.directory),
            _ => None,
        }
    }

    #[test]
    fn authorities_are_called_as_clients_know_them() {
        assert_eq!((word(ONE).as_str(), word(OTHER).as_str()), ("lets_encrypt", "google"));
        assert_eq!(word("https://127.0.0.1:14000/dir"), "127.0.0.1");
        assert_eq!(word("https://notletsencrypt.org/dir"), "notletsencrypt.org");
    }

    #[test]
    fn the_first_that_is_free_is_asked() {
        let mut all = two();
        assert_eq!(asked(all.choose(None, &[], 0)), Some(ONE));
        assert_eq!(asked(all.choose(None, &[ONE.to_owned()], 0)), Some(OTHER));
        assert_eq!(asked(all.choose(Some("google"), &[], 0)), Some(OTHER));
        assert_eq!(all.choose(Some("ssl_com"), &[], 0), Choice::Nobody);
        assert_eq!(all.choose(None, &[ONE.to_owned(), OTHER.to_owned()], 0), Choice::Nobody);
        all.failed(ONE, &Trouble::new(Culprit::Unreachable, "x").after(Some(500)), 0);
        assert_eq!(asked(all.choose(None, &[], 499)), Some(OTHER));
        assert_eq!(all.choose(Some("lets_encrypt"), &[], 499), Choice::Wait(500));
        assert_eq!(asked(all.choose(None, &[], 500)), Some(ONE));
        all.failed(ONE, &Trouble::new(Culprit::RateLimited, "x"), 1000);
        all.answered(ONE);
        all.failed(ONE, &Trouble::new(Culprit::Validation, "x"), 1000);
        assert_eq!(asked(all.choose(None, &[], 1000)), Some(ONE), "a name's own failure is nobody else's");
    }

    #[test]
    fn an_authority_is_not_given_more_orders_than_it_takes() {
        let mut all = Authorities::new(vec![Authority { directory: ONE.to_owned(), profile: None }]);
        for second in 0..i64::try_from(ORDERS_MAX).unwrap() {
            assert_eq!(asked(all.choose(None, &[], second)), Some(ONE));
            all.ordered(ONE, second);
        }
        assert_eq!(all.choose(None, &[], 1000), Choice::Wait(ORDERS_WITHIN_SECS));
        assert_eq!(asked(all.choose(None, &[], ORDERS_WITHIN_SECS)), Some(ONE));
    }

    #[test]
    fn what_was_asked_before_a_restart_counts_after_it() {
        let given = i64::try_from(ORDERS_MAX).unwrap();
        let now = 1_000_000;
        let orders: Vec<i64> = (0..given).map(|number| now - number).collect();
        let mut all = two();
        all.remember(ONE, Remembered { rest: None, orders: orders.clone() }, now);
        assert_eq!(asked(all.choose(None, &[], now)), Some(OTHER));
        assert_eq!(all.choose(Some("lets_encrypt"), &[], now), Choice::Wait(now - given + 1 + ORDERS_WITHIN_SECS));
        // One fewer, and a clock that went back.
        for (orders, now) in [(orders[1..].to_vec(), now), (orders, now - given)] {
            let mut all = two();
            all.remember(ONE, Remembered { rest: None, orders }, now);
            assert_eq!(asked(all.choose(None, &[], now)), Some(ONE));
        }
        let rest = |until| Remembered { rest: Some((until, "away".to_owned())), orders: Vec::new() };
        let mut all = two();
        all.remember(ONE, rest(now + 50), now);
        assert_eq!((all.rest_of(ONE), asked(all.choose(None, &[], now))), (Some((now + 50, "away")), Some(OTHER)));
        assert!(all.answered(ONE) && !all.answered(ONE) && all.rest_of(ONE).is_none());
        for until in [now, now + REST_SECS_MAX + 1, i64::MAX] {
            all.remember(ONE, rest(until), now);
            assert_eq!(asked(all.choose(None, &[], now)), Some(ONE), "{until}");
        }
    }
}
