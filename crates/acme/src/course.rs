//! The life of a pack: when it is ordered and by whom, when it is renewed, and when it is tried again.
//!
//! ```text
//! new ──→ Order ──failed──→ the next authority at once, or after a pause that grows: 1, 4, 16, … minutes, up to a day
//!           │ issued
//!           ▼
//!         held ──AskWindow──→ held ──(in the window, or when a third of its life is left)──→ Order, and so on
//! ```
//!
//! A pack that has a certificate keeps it while its renewal fails. Nothing here assumes how long certificates last.

use serde::{Deserialize, Serialize};

use crate::{
    authority::{Authorities, Choice, REST_SECS_MAX},
    order::Method,
    trouble::Trouble,
    window::{self, Window},
};

/// The first pause after a round of failures, in seconds; each is four times the one before. So no name fails more than four times in its
/// first hour: authorities take five (edge-behaviour §7.3).
const PAUSE_SECS: i64 = 60;
const PAUSE_GROWS: i64 = 4;
const PAUSE_SECS_MAX: i64 = 86_400;

/// How long nobody looks at a pack that no authority may be asked for, in seconds.
const NOBODY_SECS: i64 = 3600;

/// A pack's life so far, as it is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Course {
    /// When the next order may be made, whatever else.
    pub retry_at: i64,
    /// Rounds of failures since the last certificate.
    pub failures: u32,
    /// Directories that have failed in this round.
    pub tried: Vec<String>,
    /// What went wrong last; none once a certificate came.
    pub failure: Option<Failure>,
    /// The certificate in use.
    pub held: Option<Held>,
    /// An order is under way.
    pub is_ordering: bool,
    /// The certificate in use is to be revoked, for this reason (RFC 5280 §5.3.1), and another ordered.
    pub revoke: Option<u8>,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// When.
    pub at: i64,
    /// With which authority, by its directory; none: before any was asked.
    pub directory: Option<String>,
    /// What.
    pub trouble: Trouble,
}

/// A certificate in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Whose, by its directory.
    pub directory: String,
    /// How its first name was proven; none: it needed no new proof.
    pub method: Option<Method>,
    /// From when it is good.
    pub not_before: i64,
    /// Until when.
    pub not_after: i64,
    /// What its authority knows it by (RFC 9773 §4.1); none: it has no key identifier.
    pub ari: Option<String>,
    /// When the authority would have it renewed.
    pub window: Option<Window>,
    /// When it is renewed.
    pub renew_at: i64,
    /// When its authority is asked for the window; none: it has no such thing.
    pub ask_at: Option<i64>,
}

/// A certificate that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// Whose, by its directory.
    pub directory: String,
    /// See [`Held::method`].
    pub method: Option<Method>,
    /// From when it is good.
    pub not_before: i64,
    /// Until when.
    pub not_after: i64,
    /// See [`Held::ari`].
    pub ari: Option<String>,
    /// Whether the authority says when to renew (its directory names `renewalInfo`).
    pub tells_window: bool,
}

/// What is to be done with a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Order, of this authority.
    Order {
        /// Its directory.
        directory: String,
        /// Its profile.
        profile: Option<String>,
        /// The certificate that is replaced, by what this same authority knows it by.
        replaces: Option<String>,
    },
    /// Ask when it should be renewed.
    AskWindow {
        /// The authority's directory.
        directory: String,
        /// What it knows the certificate by.
        ari: String,
    },
    /// Have the certificate in use revoked.
    Revoke {
        /// Its authority's directory.
        directory: String,
        /// Why, as the protocol has it.
        reason: u8,
    },
    /// Nothing until then.
    Rest(i64),
}

impl Course {
    /// What is to be done now. `word`: the authority that was asked for.
    pub fn step(&self, word: Option<&str>, authorities: &Authorities, now: i64) -> Step {
        if let (Some(held), Some(reason)) = (&self.held, self.revoke) {
            let directory = held.directory.clone();
            return if self.retry_at <= now { Step::Revoke { directory, reason } } else { Step::Rest(self.retry_at) };
        }
        let due_at = self.held.as_ref().map_or(self.retry_at, |held| held.renew_at.max(self.retry_at));
        if due_at <= now {
            return match authorities.choose(word, &self.tried, now) {
                Choice::Ask(authority) => {
                    let same = self.held.as_ref().filter(|held| held.directory == authority.directory && held.ask_at.is_some());
                    Step::Order {
                        directory: authority.directory.clone(),
                        profile: authority.profile.clone(),
                        replaces: same.and_then(|held| held.ari.clone()),
                    }
                }
                Choice::Wait(until) => Step::Rest(until),
                Choice::Nobody => Step::Rest(now.saturating_add(NOBODY_SECS)),
            };
        }
        match &self.held {
            Some(Held { ask_at: Some(at), ari: Some(ari), directory, .. }) if *at <= now => {
                Step::AskWindow { directory: directory.clone(), ari: ari.clone() }
            }
            Some(Held { ask_at: Some(at), ari: Some(_), .. }) => Step::Rest(due_at.min(*at)),
            _ => Step::Rest(due_at),
        }
    }

    /// An order begins.
    pub fn ordering(&mut self) {
        self.is_ordering = true;
    }

    /// It came to a certificate.
    pub fn issued(&mut self, issued: Issued, now: i64, chance: u64) {
        let Issued { directory, method, not_before, not_after, ari, tells_window } = issued;
        let renew_at = window::fixed(not_before, not_after, chance);
        let ask_at = (tells_window && ari.is_some()).then_some(now);
        let held = Held { directory, method, not_before, not_after, ari, window: None, renew_at, ask_at };
        *self = Self { held: Some(held), ..Self::default() };
    }

    /// It came to nothing: the next authority is asked at once where one may do better, else all wait.
    pub fn failed(
        &mut self,
        directory: Option<&str>,
        trouble: Trouble,
        word: Option<&str>,
        authorities: &Authorities,
        now: i64,
        chance: u64,
    ) {
        self.is_ordering = false;
        self.tried.extend(directory.map(str::to_owned));
        let may_pass = trouble.may_pass_elsewhere() && directory.is_some();
        // One that rests now is none that may be asked now.
        let has_next = matches!(authorities.choose(word, &self.tried, now), Choice::Ask(_));
        if may_pass && has_next {
            self.retry_at = now;
        } else {
            self.failures = self.failures.saturating_add(1);
            self.tried.clear();
            let asked = trouble.retry_after_secs.unwrap_or(0).min(REST_SECS_MAX);
            self.retry_at = now.saturating_add(pause_secs(self.failures, chance).max(asked));
        }
        self.failure = Some(Failure { at: now, directory: directory.map(str::to_owned), trouble });
    }

    /// Somebody asks for it to be tried now.
    pub fn restart(&mut self, now: i64) {
        self.retry_at = self.retry_at.min(now);
        self.tried.clear();
    }

    /// It is to be ordered now, though what it has is good for longer: its names changed, or its key is not to be trusted.
    pub fn renew(&mut self, now: i64) {
        if let Some(held) = &mut self.held {
            held.renew_at = held.renew_at.min(now);
        }
        self.restart(now);
    }

    /// The certificate in use is to be revoked, and another ordered.
    pub fn revoke(&mut self, reason: u8, now: i64) {
        if self.held.is_some() {
            self.revoke = Some(reason);
            self.restart(now);
        }
    }

    /// It was revoked: another is ordered at once.
    pub fn revoked(&mut self, now: i64) {
        *self = Self { retry_at: now, ..Self::default() };
    }

    /// The authority says when to renew. A window that lies behind means at once.
    pub fn told_window(&mut self, told: Window, retry_after_secs: Option<i64>, now: i64, chance: u64) {
        let Some(held) = &mut self.held else { return };
        // The same window keeps the time that was picked in it.
        if held.window != Some(told) {
            held.window = Some(told);
            held.renew_at = told.pick(chance);
        }
        held.ask_at = Some(now.saturating_add(window::ask_again_secs(retry_after_secs)));
    }

    /// The authority did not say: what was known before, or the fixed rule, stays.
    pub fn told_no_window(&mut self, retry_after_secs: Option<i64>, now: i64) {
        if let Some(held) = &mut self.held {
            held.ask_at = Some(now.saturating_add(window::ask_again_secs(retry_after_secs)));
        }
    }

    /// When something is to be done next, without asking who is free.
    pub fn next_at(&self) -> i64 {
        if self.revoke.is_some() && self.held.is_some() {
            return self.retry_at;
        }
        let due_at = self.held.as_ref().map_or(self.retry_at, |held| held.renew_at.max(self.retry_at));
        let ask_at = self.held.as_ref().filter(|held| held.ari.is_some()).and_then(|held| held.ask_at);
        ask_at.map_or(due_at, |at| at.min(due_at))
    }

    /// Where it stands, as the API has it.
    pub fn status(&self, now: i64) -> &'static str {
        match (&self.held, &self.failure) {
            (Some(held), _) if held.not_after > now => "active",
            (Some(_), _) => "expired",
            (None, None) if !self.is_ordering => "initializing",
            (None, _) => "pending_validation",
        }
    }
}

/// The pause after so many rounds, with up to a tenth more.
fn pause_secs(failures: u32, chance: u64) -> i64 {
    let exponent = failures.saturating_sub(1).min(16);
    let pause = PAUSE_SECS.saturating_mul(PAUSE_GROWS.saturating_pow(exponent)).min(PAUSE_SECS_MAX);
    let tenth = u64::try_from(pause / 10).unwrap_or(0).max(1);
    pause.saturating_add(i64::try_from(chance % tenth).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{authority::Authority, trouble::Culprit};

    const DAY: i64 = 86_400;

    fn authorities(count: usize) -> Authorities {
        let named = |number| Authority { directory: format!("https://ca{number}.test/dir"), profile: None };
        Authorities::new((0..count).map(named).collect())
    }

    fn directory(step: &Step) -> &str {
        match step {
            Step::Order { directory, .. } => directory,
            other => panic!("{other:?}"),
        }
    }

    fn issued(now: i64, days: i64) -> Issued {
        Issued {
            directory: "https://ca0.test/dir".into(),
            method: Some(Method::Dns01),
            not_before: now,
            not_after: now + days * DAY,
            ari: Some("key.serial".into()),
            tells_window: true,
        }
    }

    fn trouble(culprit: Culprit) -> Trouble {
        Trouble::new(culprit, "so")
    }

    #[test]
    fn the_next_authority_is_asked_at_once_and_then_all_wait() {
        let (two, mut course) = (authorities(2), Course::default());
        assert_eq!((course.status(0), directory(&course.step(None, &two, 0))), ("initializing", "https://ca0.test/dir"));
        course.ordering();
        assert_eq!(course.status(0), "pending_validation");
        course.failed(Some("https://ca0.test/dir"), trouble(Culprit::Validation), None, &two, 10, 0);
        assert_eq!(directory(&course.step(None, &two, 10)), "https://ca1.test/dir");
        course.failed(Some("https://ca1.test/dir"), trouble(Culprit::Validation), None, &two, 20, 0);
        assert_eq!(course.step(None, &two, 20), Step::Rest(80));
        assert_eq!(directory(&course.step(None, &two, 80)), "https://ca0.test/dir");
        course.failed(Some("https://ca0.test/dir"), trouble(Culprit::Node), None, &two, 80, 0);
        assert_eq!(course.step(None, &two, 80), Step::Rest(80 + 240), "what is ours is no better elsewhere");
        course.restart(100);
        assert_eq!(directory(&course.step(None, &two, 100)), "https://ca0.test/dir");
    }

    #[test]
    fn an_authority_is_not_asked_before_it_says() {
        let (one, mut course) = (authorities(1), Course::default());
        course.failed(Some("https://ca0.test/dir"), trouble(Culprit::RateLimited).after(Some(7 * DAY)), None, &one, 0, 0);
        assert_eq!(course.step(None, &one, 1), Step::Rest(7 * DAY));
        assert_eq!(course.step(Some("other"), &one, 8 * DAY), Step::Rest(8 * DAY + NOBODY_SECS));
    }

    #[test]
    fn a_certificate_is_renewed_when_its_authority_says() {
        let (two, mut course) = (authorities(2), Course::default());
        course.issued(issued(0, 90), 0, 0);
        assert_eq!(course.status(0), "active");
        assert!(matches!(course.step(None, &two, 0), Step::AskWindow { .. }));
        let window = Window { start: 10 * DAY, end: 12 * DAY };
        course.told_window(window, Some(3600), 0, 7);
        assert_eq!((course.step(None, &two, 1), course.next_at()), (Step::Rest(3600), 3600));
        course.told_window(window, None, 3600, 99);
        assert_eq!(course.held.as_ref().unwrap().renew_at, 10 * DAY + 7, "the same window keeps its time");
        let Step::Order { replaces, .. } = course.step(None, &two, 11 * DAY) else { panic!() };
        assert_eq!(replaces.as_deref(), Some("key.serial"));
        // Moved into the past: it is about to be revoked.
        course.told_window(Window { start: 1, end: 2 }, None, 3600, 0);
        assert!(matches!(course.step(None, &two, 3600), Step::Order { .. }));
        course.failed(Some("https://ca0.test/dir"), trouble(Culprit::Unreachable), None, &two, 3600, 0);
        let Step::Order { directory, replaces, .. } = course.step(None, &two, 3600) else { panic!() };
        assert_eq!((directory.as_str(), replaces), ("https://ca1.test/dir", None), "another knows nothing of it");
        assert_eq!(course.status(3600), "active", "it is used on");
        assert_eq!(course.status(91 * DAY), "expired");
    }

    #[test]
    fn without_a_window_a_third_of_its_life_is_left() {
        let (one, mut course) = (authorities(1), Course::default());
        for days in [6, 47, 90] {
            course.issued(Issued { tells_window: false, ..issued(0, days) }, 0, 0);
            assert_eq!(course.step(None, &one, 0), Step::Rest(days * DAY * 2 / 3));
        }
        course.issued(issued(0, 90), 0, 0);
        course.told_no_window(Some(1), 0);
        assert_eq!(course.step(None, &one, 0), Step::Rest(60));
        course.renew(50);
        assert!(matches!(course.step(None, &one, 50), Step::Order { .. }));
    }

    #[test]
    fn what_is_revoked_is_ordered_anew() {
        let (one, mut course) = (authorities(1), Course::default());
        course.revoke(1, 0);
        assert_eq!(course.revoke, None, "there is nothing to revoke");
        course.issued(issued(0, 90), 0, 0);
        course.revoke(1, 50);
        let expected = Step::Revoke { directory: "https://ca0.test/dir".into(), reason: 1 };
        assert_eq!((course.step(None, &one, 50), course.next_at()), (expected.clone(), 0));
        course.failed(None, trouble(Culprit::Unreachable), None, &one, 50, 0);
        assert_eq!((course.step(None, &one, 50), course.next_at()), (Step::Rest(110), 110));
        assert_eq!(course.step(None, &one, 110), expected);
        course.revoked(110);
        let Step::Order { replaces, .. } = course.step(None, &one, 110) else { panic!() };
        assert_eq!(replaces, None);
    }

    #[derive(Debug, Clone)]
    enum Happens {
        Fails(Culprit, Option<i64>),
        Issued(i64),
        Window(i64, i64),
        Passes(i64),
    }

    fn happens() -> impl Strategy<Value = Happens> {
        let culprits = [
            Culprit::Unreachable,
            Culprit::RateLimited,
            Culprit::Refused,
            Culprit::Validation,
            Culprit::Caa,
            Culprit::Node,
            Culprit::Internal,
        ];
        prop_oneof![
            6 => (prop::sample::select(culprits.to_vec()), prop::option::of(-10i64..1_000_000)).prop_map(|(culprit, after)| Happens::Fails(culprit, after)),
            1 => (1i64..400).prop_map(Happens::Issued),
            1 => (-100i64..100, 1i64..10).prop_map(|(start, days)| Happens::Window(start, days)),
            4 => (0i64..200_000).prop_map(Happens::Passes),
        ]
    }

    proptest! {
        /// However an order goes: no authority is asked twice in a round, rounds are a minute apart and more, and no more than four begin in
        /// the first hour; nothing rests for ever; what is kept is read again as it was.
        #[test]
        fn nobody_is_asked_too_often(steps in prop::collection::vec((happens(), any::<u64>()), 1..60), count in 1usize..4) {
            let (mut all, mut course, mut now) = (authorities(count), Course::default(), 1_800_000_000);
            let (mut rounds, mut asked): (Vec<i64>, Vec<String>) = (Vec::new(), Vec::new());
            for (step, chance) in steps {
                match step {
                    Happens::Passes(secs) => now += secs,
                    Happens::Window(start, days) => {
                        course.told_window(Window { start: now + start * DAY, end: now + (start + days) * DAY }, None, now, chance);
                    }
                    Happens::Issued(days) => {
                        course.issued(issued(now, days), now, chance);
                        (rounds, asked) = (Vec::new(), Vec::new());
                    }
                    Happens::Fails(culprit, after) => {
                        let Step::Order { directory, .. } = course.step(None, &all, now) else {
                            now = now.max(course.next_at());
                            continue;
                        };
                        prop_assert!(!asked.contains(&directory), "{} twice in a round", directory);
                        asked.push(directory.clone());
                        let trouble = trouble(culprit).after(after);
                        all.ordered(&directory, now);
                        all.failed(&directory, &trouble, now);
                        course.failed(Some(&directory), trouble, None, &all, now, chance);
                        if course.tried.is_empty() {
                            asked.clear();
                            prop_assert!(course.retry_at >= now + PAUSE_SECS);
                            prop_assert!(course.retry_at <= now + REST_SECS_MAX.max(PAUSE_SECS_MAX * 11 / 10));
                            rounds.push(now);
                            prop_assert!(rounds.iter().filter(|at| **at < rounds[0] + 3600).count() <= 4);
                        }
                    }
                }
                match course.step(None, &all, now) {
                    Step::Rest(until) => prop_assert!(until > now),
                    Step::Order { .. } | Step::AskWindow { .. } | Step::Revoke { .. } => prop_assert!(course.next_at() <= now),
                }
                let kept = serde_json::to_string(&course).unwrap();
                prop_assert_eq!(&serde_json::from_str::<Course>(&kept).unwrap(), &course);
            }
        }
    }
}
