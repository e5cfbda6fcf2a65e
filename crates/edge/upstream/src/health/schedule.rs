//! Which check is due when, when its origin is called unhealthy, and what is told of it. Pure: the time is handed in, and chance too.
//!
//! ```text
//!            consecutive_successes good looks in a row
//!   unknown ──────────────────────────────────────────→ healthy
//!      │                                                 │  ▲
//!      │ consecutive_fails bad looks in a row            ▼  │
//!      └───────────────────────────────────────────→ unhealthy
//! ```
//!
//! A check that says something else than before begins at unknown. After a look the next is due in its interval, give or take a tenth, so
//! that checks which began together do not stay together.
//!
//! An origin that does not answer holds a look for as long as the check waits. So that many of them do not keep the others waiting, a look that
//! takes longer than a second is counted with the slow ones from then on, and a check whose last look did begins as one: it waits for
//! the room that these have.
//!
//! What came of a check is told when it changed; one that changes all the time is told once a minute, as it is then. What did not change
//! is told again every hour, should whoever keeps it have lost it.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use poterne_model::{
    HealthCheckId, ZoneId,
    health_check::{Checked, CheckedAddress, HealthCheckTerms},
};

use super::Whose;

/// Most checks that a node makes; beyond it those that come last are left out, and the log says so.
pub const CHECKS_LOOKED_AT_MAX: usize = 20_000;
/// Most looks under way that are not slow, most that are, and most for one zone: a descriptor each. What is due beyond waits for its turn.
pub const LOOKS_MAX: usize = 64;
/// See [`LOOKS_MAX`].
pub const SLOW_LOOKS_MAX: usize = 512;
/// See [`LOOKS_MAX`].
pub const LOOKS_OF_ZONE_MAX: usize = 4;
/// After so long a look is slow.
const SLOW_AFTER: Duration = Duration::from_secs(1);

/// The first look at a check comes within so long.
const FIRST_WITHIN: Duration = Duration::from_secs(2);
/// How often one check's origin is told about at most.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// And how often what is the same is told.
const TELL_AGAIN_EVERY: Duration = Duration::from_secs(3600);

/// A look that is to be made.
#[derive(Debug, Clone)]
pub struct Look {
    /// The check.
    pub check: HealthCheckId,
    /// Whose it is.
    pub whose: Whose,
    /// What it says.
    pub terms: Arc<HealthCheckTerms>,
    /// Which look it is of this schedule's.
    pub(crate) number: u64,
}

/// What was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The check's zone.
    pub zone: ZoneId,
    /// The check.
    pub check: HealthCheckId,
    /// Of which version.
    pub revision: i64,
    /// Why its origin is unhealthy; none: it is healthy.
    pub why: Option<String>,
}

/// The checks that are made.
#[derive(Debug, Default)]
pub struct Schedule {
    checks: HashMap<HealthCheckId, Entry>,
    due: BTreeSet<(Instant, HealthCheckId)>,
    /// Those that are due, since when, and wait because their zone has all its looks under way: each that is over has them try again.
    waiting: HashMap<ZoneId, Vec<(Instant, HealthCheckId)>>,
    /// Those that are due, and wait because all slow looks are under way; a check that is elsewhere by now is passed over.
    held: VecDeque<(Instant, HealthCheckId)>,
    /// Looks under way by their numbers: since when, and whether they are slow.
    under_way: HashMap<u64, (Instant, bool)>,
    /// Those that are not, in the order in which they began; what is over or slow by now is passed over.
    quick: VecDeque<u64>,
    slow: usize,
    looks: u64,
    looking_of: HashMap<ZoneId, usize>,
    left_out: usize,
    changes: u64,
}

#[derive(Debug)]
struct Entry {
    whose: Whose,
    revision: i64,
    terms: Arc<HealthCheckTerms>,
    state: State,
    /// Whether its last look was slow.
    is_slow: bool,
    at: Place,
    /// What was told last, and when.
    told: Option<Option<String>>,
    told_at: Option<Instant>,
}

/// Where a check is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Due(Instant),
    Waiting,
    Held,
    Looking,
}

/// How an origin is, and what points elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct State {
    /// None: nobody knows.
    is: Option<Verdict>,
    /// Looks in a row that were good, or bad: one of them is nought.
    good: u32,
    bad: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Healthy,
    Unhealthy(String),
}

impl State {
    /// Takes a look's outcome in; whether it is another verdict now, its reason aside.
    fn looked(&mut self, terms: &HealthCheckTerms, outcome: Result<(), String>) -> bool {
        let is_unhealthy = matches!(self.is, Some(Verdict::Unhealthy(_)));
        match outcome {
            Ok(()) => {
                (self.good, self.bad) = (self.good.saturating_add(1), 0);
                if self.is == Some(Verdict::Healthy) || self.good < terms.consecutive_successes {
                    return false;
                }
                self.is = Some(Verdict::Healthy);
                true
            }
            Err(why) => {
                (self.good, self.bad) = (0, self.bad.saturating_add(1));
                if !is_unhealthy && self.bad < terms.consecutive_fails {
                    return false;
                }
                self.is = Some(Verdict::Unhealthy(why));
                !is_unhealthy
            }
        }
    }
}

impl Schedule {
    /// How many checks are made.
    pub fn len(&self) -> usize {
        self.checks.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.checks.is_empty()
    }

    /// How many are not, since there are more than [`CHECKS_LOOKED_AT_MAX`].
    pub const fn left_out(&self) -> usize {
        self.left_out
    }

    /// Grows whenever [`Schedule::avoided`] or [`Schedule::unhealthy`] may be others.
    pub const fn changes(&self) -> u64 {
        self.changes
    }

    /// Makes these checks, and no others. `each` shows them. What is known of a check that asks the same as before stays.
    pub fn set(&mut self, now: Instant, random: &mut dyn FnMut() -> u64, each: impl FnOnce(&mut dyn FnMut(Whose, &Checked))) {
        let mut there = HashSet::new();
        let mut left_out = 0;
        each(&mut |whose: Whose, checked: &Checked| {
            if there.len() >= CHECKS_LOOKED_AT_MAX {
                left_out += 1;
                return;
            }
            there.insert(checked.id);
            self.set_one(whose, checked, now, random());
        });
        if left_out > 0 && self.left_out == 0 {
            tracing::warn!(left_out, "there are more than {CHECKS_LOOKED_AT_MAX} health checks: some are not made");
        }
        self.left_out = left_out;
        let gone: Vec<HealthCheckId> = self.checks.keys().filter(|id| !there.contains(id)).copied().collect();
        for id in gone {
            self.forget(id);
        }
    }

    fn set_one(&mut self, whose: Whose, checked: &Checked, now: Instant, random: u64) {
        let first = now + FIRST_WITHIN.min(interval(&checked.terms)).mul_f64(fraction(random));
        let Some(entry) = self.checks.get_mut(&checked.id) else {
            let entry = Entry {
                whose,
                revision: checked.revision,
                terms: Arc::new(checked.terms.clone()),
                state: State::default(),
                is_slow: false,
                at: Place::Due(first),
                told: None,
                told_at: None,
            };
            self.checks.insert(checked.id, entry);
            self.due.insert((first, checked.id));
            return;
        };
        entry.whose = whose;
        if entry.revision == checked.revision {
            return;
        }
        entry.revision = checked.revision;
        // Of the version before, nothing is kept.
        (entry.told, entry.told_at) = (None, None);
        if entry.terms.asks_the_same(&checked.terms) {
            return;
        }
        entry.terms = Arc::new(checked.terms.clone());
        entry.state = State::default();
        self.changes += 1;
        // What it said before may have meant an hour.
        if let Place::Due(at) = entry.at {
            self.due.remove(&(at, checked.id));
            entry.at = Place::Due(first);
            self.due.insert((first, checked.id));
        }
    }

    fn forget(&mut self, id: HealthCheckId) {
        let Some(entry) = self.checks.remove(&id) else { return };
        self.changes += 1;
        match entry.at {
            Place::Due(at) => drop(self.due.remove(&(at, id))),
            Place::Waiting => {
                if let Some(waiting) = self.waiting.get_mut(&entry.whose.zone) {
                    waiting.retain(|(_, other)| *other != id);
                    if waiting.is_empty() {
                        self.waiting.remove(&entry.whose.zone);
                    }
                }
            }
            // Its look is counted until it is over.
            Place::Looking | Place::Held => {}
        }
    }

    /// When to ask [`Schedule::take_due`] again; none: when a look is over, or other checks are set.
    pub fn next_due(&self) -> Option<Instant> {
        if self.quick_looks() >= LOOKS_MAX {
            // Once the oldest of them is slow, there is room again.
            let oldest = self.quick.iter().find_map(|number| self.under_way.get(number).filter(|(_, slow)| !slow))?;
            return (self.slow < SLOW_LOOKS_MAX).then_some(oldest.0 + SLOW_AFTER);
        }
        self.due.first().map(|(at, _)| *at)
    }

    fn quick_looks(&self) -> usize {
        self.under_way.len() - self.slow
    }

    /// Counts looks with the slow ones that are, as far as there is room.
    fn age(&mut self, now: Instant) {
        while let Some(number) = self.quick.front() {
            match self.under_way.get_mut(number) {
                Some((_, true)) | None => {}
                Some((since, slow)) if now >= *since + SLOW_AFTER && self.slow < SLOW_LOOKS_MAX => {
                    *slow = true;
                    self.slow += 1;
                }
                Some(_) => return,
            }
            self.quick.pop_front();
        }
    }

    /// The next look that is due, if there is one that may be made. It is under way until [`Schedule::looked`].
    pub fn take_due(&mut self, now: Instant) -> Option<Look> {
        self.age(now);
        loop {
            if self.slow < SLOW_LOOKS_MAX
                && let Some((at, id)) = self.held.pop_front()
            {
                if let Some(entry) = self.checks.get_mut(&id).filter(|entry| entry.at == Place::Held) {
                    entry.at = Place::Due(at);
                    self.due.insert((at, id));
                }
                continue;
            }
            if self.quick_looks() >= LOOKS_MAX {
                return None;
            }
            let (at, id) = *self.due.first()?;
            if at > now {
                return None;
            }
            self.due.pop_first();
            let Some(entry) = self.checks.get_mut(&id) else { continue };
            if entry.is_slow && self.slow >= SLOW_LOOKS_MAX {
                entry.at = Place::Held;
                self.held.push_back((at, id));
                continue;
            }
            let zone = entry.whose.zone;
            let of_zone = self.looking_of.entry(zone).or_default();
            if *of_zone >= LOOKS_OF_ZONE_MAX {
                entry.at = Place::Waiting;
                self.waiting.entry(zone).or_default().push((at, id));
                continue;
            }
            *of_zone += 1;
            entry.at = Place::Looking;
            self.looks += 1;
            self.under_way.insert(self.looks, (now, entry.is_slow));
            match entry.is_slow {
                true => self.slow += 1,
                false => self.quick.push_back(self.looks),
            }
            return Some(Look { check: id, whose: entry.whose.clone(), terms: Arc::clone(&entry.terms), number: self.looks });
        }
    }

    /// A look is over. What is to be told, if anything.
    pub fn looked(&mut self, look: &Look, outcome: Result<(), String>, now: Instant, random: u64) -> Option<Told> {
        let (since, slow) = self.under_way.remove(&look.number).unwrap_or((now, false));
        self.slow -= usize::from(slow);
        let zone = look.whose.zone;
        if let Some(of_zone) = self.looking_of.get_mut(&zone) {
            *of_zone = of_zone.saturating_sub(1);
            if *of_zone == 0 {
                self.looking_of.remove(&zone);
            }
        }
        for (at, id) in self.waiting.remove(&zone).unwrap_or_default() {
            if let Some(entry) = self.checks.get_mut(&id) {
                // As of when they were due: who has waited longest is first.
                entry.at = Place::Due(at);
                self.due.insert((at, id));
            }
        }
        let entry = self.checks.get_mut(&look.check)?;
        // Made anew meanwhile, under the same id: another look is due.
        if entry.at != Place::Looking {
            return None;
        }
        entry.is_slow = now.saturating_duration_since(since) >= SLOW_AFTER;
        let is_current = Arc::ptr_eq(&entry.terms, &look.terms);
        let next = if is_current { now + interval(&entry.terms).mul_f64(0.9 + fraction(random) / 5.0) } else { now };
        entry.at = Place::Due(next);
        self.due.insert((next, look.check));
        if !is_current {
            return None;
        }
        self.changes += u64::from(entry.state.looked(&look.terms, outcome));
        entry.tell(look.check, now)
    }

    /// What was to be told was not: it will be, with the next look.
    pub fn untold(&mut self, check: HealthCheckId) {
        if let Some(entry) = self.checks.get_mut(&check) {
            (entry.told, entry.told_at) = (None, None);
        }
    }

    /// How many checks' origins are unhealthy.
    pub fn unhealthy(&self) -> usize {
        self.checks.values().filter(|entry| entry.is_unhealthy()).count()
    }

    /// The addresses that checks of their zone call unhealthy. A name's addresses are not among them: which of them answered so is not
    /// known.
    pub fn avoided(&self) -> HashMap<ZoneId, HashSet<IpAddr>> {
        let mut avoided: HashMap<ZoneId, HashSet<IpAddr>> = HashMap::new();
        for entry in self.checks.values().filter(|entry| entry.is_unhealthy()) {
            if let CheckedAddress::Ip(address) = entry.terms.address {
                avoided.entry(entry.whose.zone).or_default().insert(address.to_canonical());
            }
        }
        avoided
    }
}

impl Entry {
    const fn is_unhealthy(&self) -> bool {
        matches!(self.state.is, Some(Verdict::Unhealthy(_)))
    }

    fn tell(&mut self, check: HealthCheckId, now: Instant) -> Option<Told> {
        let why = match self.state.is.as_ref()? {
            Verdict::Healthy => None,
            Verdict::Unhealthy(why) => Some(why.clone()),
        };
        let every = if self.told.as_ref() == Some(&why) { TELL_AGAIN_EVERY } else { TELL_EVERY };
        if self.told_at.is_some_and(|at| now < at + every) {
            return None;
        }
        (self.told, self.told_at) = (Some(why.clone()), Some(now));
        Some(Told { zone: self.whose.zone, check, revision: self.revision, why })
    }
}

fn interval(terms: &HealthCheckTerms) -> Duration {
    Duration::from_secs(terms.interval_secs.max(1).into())
}

/// From 0 to 1.
fn fraction(random: u64) -> f64 {
    f64::from(u32::try_from(random >> 32).unwrap_or_default()) / f64::from(u32::MAX)
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
