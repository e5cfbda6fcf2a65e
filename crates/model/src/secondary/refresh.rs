//! When a copy of another server's zone is looked after, and for how long it is believed (RFC 1034 §4.3.5, RFC 1035 §3.3.13).
//!
//! ```text
//! nothing yet ─(loaded)─→ whole ──(refresh, or a notice)──→ asked ──same or loaded──→ whole
//!     ↑ retry, doubling           ↑ retry                      │ nobody answers
//!     └───────────────────────────┴────────────────────────────┴──(expire since it was last heard of)──→ expired
//! ```
//!
//! Pure: who is asked, and how, is elsewhere; seconds since the Unix epoch are handed in.

use serde::{Deserialize, Serialize};

/// Bounds of what a zone says of its times, in seconds: a zone cannot have us ask without a pause, nor be believed for ever.
const REFRESH_SECS: (i64, i64) = (60, 604_800);
const RETRY_SECS: (i64, i64) = (30, 86_400);
const EXPIRE_SECS: (i64, i64) = (600, 3_628_800);

/// How soon a primary is asked again while nothing came yet, in seconds: first, and at most.
const FIRST_SECS: (i64, i64) = (30, 3600);

/// Failures in a row before somebody is told: one is a packet lost, or a server being restarted.
pub const TOLD_AFTER: u32 = 3;

/// Longest text of what went wrong, in characters.
const WHY_CHARS_MAX: usize = 500;

/// What is held of a zone: its start of authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The primary's name, as text.
    pub mname: String,
    /// The responsible person's mailbox, as a name's text.
    pub rname: String,
    /// The version.
    pub serial: u32,
    /// How often the primary is asked, in seconds.
    pub refresh: u32,
    /// How soon again after a failure.
    pub retry: u32,
    /// For how long the zone is believed.
    pub expire: u32,
    /// For how long nothing is nothing.
    pub minimum: u32,
    /// The record's own TTL.
    pub ttl: u32,
}

/// Where the looking after a copy stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Refresh {
    /// What is held; none: nothing came yet.
    pub held: Option<Held>,
    /// When a primary was last heard of, in seconds since the Unix epoch.
    pub heard_at: Option<i64>,
    /// When the primaries are asked next.
    pub due_at: i64,
    /// Failures in a row.
    pub failures: u32,
    /// What the last of them was.
    pub why: Option<String>,
    /// Whether somebody was told of it.
    pub is_told: bool,
    /// Whether it is believed no more.
    pub is_expired: bool,
    /// Whether it is to come whole, whatever its version is.
    pub wants_whole: bool,
}

/// What became of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The primary has the version that is held, or an older one (RFC 1982).
    Same,
    /// Another version is held now.
    Loaded(Held),
    /// No primary gave an answer that could be kept.
    Failed(String),
}

/// What of it somebody should hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// No primary gives the zone, several times in a row.
    Failing,
    /// It is believed no more.
    Expired,
    /// It comes again.
    Recovered,
}

impl Refresh {
    /// Of a zone that begins to be copied.
    pub fn begin(now: i64) -> Self {
        Self { due_at: now, ..Self::default() }
    }

    /// When it is believed no more, unless a primary is heard of.
    pub fn expires_at(&self) -> Option<i64> {
        let (held, heard_at) = (self.held.as_ref()?, self.heard_at?);
        let refresh = i64::from(held.refresh).clamp(REFRESH_SECS.0, REFRESH_SECS.1);
        // A zone that expires before it is looked at would come and go.
        Some(heard_at + i64::from(held.expire).clamp(EXPIRE_SECS.0.max(refresh), EXPIRE_SECS.1))
    }

    /// After asking at `now`. `every`: how often the user has primaries asked, in place of what the zone says.
    #[must_use]
    pub fn after(&self, outcome: Outcome, now: i64, every: Option<u32>) -> (Self, Option<News>) {
        let mut next = self.clone();
        match outcome {
            Outcome::Failed(why) => {
                next.failures = self.failures.saturating_add(1);
                next.why = Some(why.chars().take(WHY_CHARS_MAX).collect());
                next.due_at = now + self.retry_secs();
                if let Some(expires_at) = self.expires_at() {
                    let was_expired = next.is_expired;
                    next.is_expired |= now >= expires_at;
                    if !next.is_expired {
                        next.due_at = next.due_at.min(expires_at);
                    } else if !was_expired {
                        next.is_told = true;
                        return (next, Some(News::Expired));
                    }
                }
                if next.failures >= TOLD_AFTER && !self.is_told {
                    next.is_told = true;
                    return (next, Some(News::Failing));
                }
                (next, None)
            }
            heard => {
                if let Outcome::Loaded(held) = heard {
                    next.held = Some(held);
                }
                let refresh = next.held.as_ref().map_or(REFRESH_SECS.0, |held| i64::from(held.refresh));
                let refresh = every.map_or(refresh, i64::from).clamp(REFRESH_SECS.0, REFRESH_SECS.1);
                next = Self { heard_at: Some(now), due_at: now + refresh, held: next.held, ..Self::default() };
                (next, self.is_told.then_some(News::Recovered))
            }
        }
    }

    fn retry_secs(&self) -> i64 {
        match &self.held {
            Some(held) => i64::from(held.retry).clamp(RETRY_SECS.0, RETRY_SECS.1),
            None => (FIRST_SECS.0 << self.failures.min(10)).min(FIRST_SECS.1),
        }
    }

    /// Whether a version is later than the one that is held (RFC 1982 §3.2).
    pub fn is_later(&self, serial: u32) -> bool {
        self.held.as_ref().is_none_or(|held| serial != held.serial && serial.wrapping_sub(held.serial) < 1 << 31)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3600;

    fn held(serial: u32) -> Held {
        let (mname, rname) = ("ns1.example.net".to_owned(), "dns.example.net".to_owned());
        Held { mname, rname, serial, refresh: 7200, retry: 900, expire: 86_400, minimum: 300, ttl: 3600 }
    }

    fn failed(refresh: &Refresh, now: i64) -> (Refresh, Option<News>) {
        refresh.after(Outcome::Failed("nobody answers".into()), now, None)
    }

    #[test]
    fn a_copy_is_looked_after_as_its_zone_says() {
        let new = Refresh::begin(0);
        assert_eq!((new.due_at, new.expires_at()), (0, None));
        let (whole, news) = new.after(Outcome::Loaded(held(7)), 100, None);
        assert_eq!((whole.due_at, news, whole.expires_at()), (100 + 7200, None, Some(100 + 86_400)));
        let (same, _) = whole.after(Outcome::Same, 7300, None);
        assert_eq!((same.due_at, same.expires_at(), same.held.clone()), (7300 + 7200, Some(7300 + 86_400), Some(held(7))));
        let (often, _) = same.after(Outcome::Same, 8000, Some(300));
        assert_eq!(often.due_at, 8300, "the user's word comes before the zone's");
    }

    #[test]
    fn failures_are_retried_told_once_and_end_in_expiry() {
        let (mut at, mut told) = (100, Vec::new());
        let (mut refresh, _) = Refresh::begin(0).after(Outcome::Loaded(held(7)), at, None);
        while !refresh.is_expired {
            at = refresh.due_at;
            let (next, news) = failed(&refresh, at);
            told.extend(news.map(|news| (news, at)));
            assert!(next.due_at > at || next.is_expired);
            refresh = next;
        }
        assert_eq!(told, [(News::Failing, 100 + 7200 + 2 * 900), (News::Expired, 100 + 86_400)]);
        let (later, news) = failed(&refresh, at + 900);
        assert_eq!((later.is_expired, later.due_at, news), (true, at + 1800, None));
        let (back, news) = later.after(Outcome::Same, at + 1800, None);
        assert_eq!((back.is_expired, back.failures, back.why.clone(), news), (false, 0, None, Some(News::Recovered)));
    }

    #[test]
    fn a_zone_that_never_came_is_asked_for_less_and_less() {
        let (mut refresh, mut waits) = (Refresh::begin(0), Vec::new());
        for _ in 0..9 {
            let at = refresh.due_at;
            refresh = failed(&refresh, at).0;
            waits.push(refresh.due_at - at);
        }
        assert_eq!(waits, [30, 60, 120, 240, 480, 960, 1920, HOUR, HOUR]);
        assert!(!refresh.is_expired && refresh.is_told);
    }

    #[test]
    fn a_zone_cannot_have_us_ask_without_a_pause_nor_be_believed_for_ever() {
        let wild = Held { refresh: 0, retry: 0, expire: u32::MAX, ..held(1) };
        let (refresh, _) = Refresh::begin(0).after(Outcome::Loaded(wild), 0, None);
        assert_eq!((refresh.due_at, refresh.expires_at()), (60, Some(3_628_800)));
        assert_eq!(failed(&refresh, 60).0.due_at, 90);
        let hasty = Held { refresh: 86_400, expire: 1, ..held(1) };
        let (refresh, _) = Refresh::begin(0).after(Outcome::Loaded(hasty), 0, None);
        assert!(refresh.expires_at() >= Some(refresh.due_at));
    }

    #[test]
    fn versions_go_round() {
        let (refresh, _) = Refresh::begin(0).after(Outcome::Loaded(held(u32::MAX)), 0, None);
        assert!(refresh.is_later(0) && refresh.is_later(5) && !refresh.is_later(u32::MAX) && !refresh.is_later(u32::MAX - 1));
        assert!(Refresh::begin(0).is_later(0));
    }

    proptest! {
        /// Whatever happens: the next look is ahead, a copy expires only long after it was heard of, and what is held survives failures.
        #[test]
        fn it_goes_on(steps in prop::collection::vec((0u8..4, 0i64..100_000), 1..60), times in any::<[u32; 3]>()) {
            let [first, second, third] = times;
            let (mut refresh, mut now) = (Refresh::begin(0), 0);
            for (what, passes) in steps {
                now += passes;
                let outcome = match what {
                    0 => Outcome::Same,
                    1 => Outcome::Loaded(Held { refresh: first, retry: second, expire: third, ..held(first) }),
                    _ => Outcome::Failed("no".into()),
                };
                let (next, _) = refresh.after(outcome, now, None);
                prop_assert!(next.due_at > now || next.is_expired || next.expires_at() == Some(next.due_at));
                if next.is_expired && !refresh.is_expired {
                    prop_assert!(now - refresh.heard_at.unwrap() >= 600);
                }
                prop_assert!(refresh.held.is_none() || next.held.is_some());
                let text = serde_json::to_string(&next).unwrap();
                prop_assert_eq!(&serde_json::from_str::<Refresh>(&text).unwrap(), &next);
                refresh = next;
            }
        }
    }
}
