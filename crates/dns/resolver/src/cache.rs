//! What was found, for how long it is good, and for how long it is better than nothing.
//!
//! Stale answers (RFC 8767): what has run out is asked for again; where that fails, the old answer goes out for another hour at most,
//! and the asking rests a while, so that a server in trouble is left alone.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use poterne_model::{Name, Rtype};
use quick_cache::sync::Cache as Store;

use crate::resolver::Found;

/// Most names and types that are remembered.
pub const ENTRIES_MAX: usize = 10_000;

/// How long an answer is good at least and at most, whatever its TTL.
pub const FRESH_MIN: Duration = Duration::from_secs(5);
/// See [`FRESH_MIN`].
pub const FRESH_MAX: Duration = Duration::from_secs(3600);
/// How long "there is nothing" is good at most (RFC 2308 §5 allows more).
pub const NOTHING_MAX: Duration = Duration::from_secs(300);
/// How long an answer that has run out may still be handed out (edge-behaviour §1.6).
pub const STALE_MAX: Duration = Duration::from_secs(3600);
/// How long a question rests after it failed (RFC 8767 §5).
pub const REST: Duration = Duration::from_secs(30);

/// How long a question that failed, and of which nothing is remembered, is not put again (RFC 9520 §3.2).
pub const FAILED_FOR: Duration = Duration::from_secs(5);

/// An answer that is remembered.
#[derive(Debug, Clone)]
pub struct Kept {
    found: Arc<Found>,
    /// Until when it is good.
    until: Instant,
    /// Until when it is not asked for again although it has run out.
    rests_until: Option<Instant>,
}

/// What to do with what is remembered.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// It is good.
    Fresh(Arc<Found>),
    /// Ask; if that fails, it will do.
    Stale(Arc<Found>),
    /// It failed a moment ago: do not ask, it will do.
    Resting(Arc<Found>),
    /// Ask.
    Gone,
}

impl Kept {
    /// Of an answer that came now.
    pub fn new(found: Arc<Found>, now: Instant) -> Self {
        let most = if found.records.is_empty() { NOTHING_MAX } else { FRESH_MAX };
        let good = Duration::from_secs(found.ttl_secs.into()).clamp(FRESH_MIN, most);
        Self { found, until: now + good, rests_until: None }
    }

    /// What it is worth now.
    pub fn verdict(&self, now: Instant) -> Verdict {
        let found = Arc::clone(&self.found);
        if now < self.until {
            Verdict::Fresh(found)
        } else if now >= self.until + STALE_MAX {
            Verdict::Gone
        } else if self.rests_until.is_some_and(|until| now < until) {
            Verdict::Resting(found)
        } else {
            Verdict::Stale(found)
        }
    }

    /// After it was asked for again in vain.
    #[must_use]
    pub fn resting(self, now: Instant) -> Self {
        Self { rests_until: Some(now + REST), ..self }
    }
}

/// What a question is: of a name and a type.
type Key = (Name, Rtype);

/// All that is remembered: answers, and since when and why questions fail.
pub(crate) struct Cache {
    answers: Store<Key, Kept>,
    failures: Store<Key, (Instant, Arc<str>)>,
}

impl Cache {
    pub(crate) fn new() -> Self {
        Self { answers: Store::new(ENTRIES_MAX), failures: Store::new(ENTRIES_MAX) }
    }

    pub(crate) fn len(&self) -> usize {
        self.answers.len()
    }

    pub(crate) fn verdict(&self, key: &Key, now: Instant) -> Verdict {
        self.answers.get(key).map_or(Verdict::Gone, |kept| kept.verdict(now))
    }

    pub(crate) fn keep(&self, key: Key, found: Arc<Found>, now: Instant) {
        self.answers.insert(key, Kept::new(found, now));
    }

    /// Why the question failed, where that was a moment ago.
    pub(crate) fn failure(&self, key: &Key, now: Instant) -> Option<Arc<str>> {
        self.failures.get(key).filter(|(at, _)| now < *at + FAILED_FOR).map(|(_, why)| why)
    }

    /// Notes that a question failed of which nothing is remembered.
    pub(crate) fn fail(&self, key: Key, why: &str, now: Instant) {
        self.failures.insert(key, (now, why.into()));
    }

    pub(crate) fn failed(&self, key: Key, now: Instant) {
        if let Some(kept) = self.answers.get(&key) {
            self.answers.insert(key, kept.resting(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Data, Record};

    fn found(ttl_secs: u32, records: usize) -> Arc<Found> {
        let name = Name::parse("example.com").unwrap();
        let record = Record { owner: name.clone(), ttl_secs, data: Data::Unread(99) };
        Arc::new(Found {
            canonical: name,
            records: vec![record; records],
            ttl_secs,
            exists: true,
            authentic: false,
            stale: false,
        })
    }

    #[test]
    fn an_answer_is_good_then_stale_then_gone() {
        let (now, secs) = (Instant::now(), Duration::from_secs);
        let kept = Kept::new(found(60, 1), now);
        assert!(matches!(kept.verdict(now + secs(59)), Verdict::Fresh(_)));
        assert!(matches!(kept.verdict(now + secs(60)), Verdict::Stale(_)));
        assert!(matches!(kept.verdict(now + secs(60 + 3599)), Verdict::Stale(_)));
        assert!(matches!(kept.verdict(now + secs(60 + 3600)), Verdict::Gone));
        let resting = kept.resting(now + secs(60));
        assert!(matches!(resting.verdict(now + secs(89)), Verdict::Resting(_)));
        assert!(matches!(resting.verdict(now + secs(90)), Verdict::Stale(_)));
        assert!(matches!(resting.verdict(now + secs(60 + 3600)), Verdict::Gone));
    }

    #[test]
    fn a_question_that_failed_is_left_alone_for_a_moment() {
        let (cache, now) = (Cache::new(), Instant::now());
        let key = (Name::parse("example.com").unwrap(), Rtype::A);
        assert_eq!(cache.failure(&key, now), None);
        cache.fail(key.clone(), "nobody answers", now);
        assert_eq!(cache.failure(&key, now + FAILED_FOR - Duration::from_millis(1)).as_deref(), Some("nobody answers"));
        assert_eq!(cache.failure(&key, now + FAILED_FOR), None);
    }

    #[test]
    fn ttls_are_held_within_bounds() {
        let (now, secs) = (Instant::now(), Duration::from_secs);
        let good_for = |kept: Kept, lasts| {
            matches!(kept.verdict(now + secs(lasts - 1)), Verdict::Fresh(_))
                && matches!(kept.verdict(now + secs(lasts)), Verdict::Stale(_))
        };
        assert!(good_for(Kept::new(found(0, 1), now), 5));
        assert!(good_for(Kept::new(found(604_800, 1), now), 3600));
        assert!(good_for(Kept::new(found(86_400, 0), now), 300));
    }
}
