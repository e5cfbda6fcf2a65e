//! Who may try to register: so many at a time in all, so many of one source, and fewer of a source that was refused lately.
//!
//! A newcomer is a connection from its first packet until it has registered or ended: half-open handshakes, pre-checks, and agents
//! whose registration is being read. Each source, an IPv4 address or an IPv6 /64, has room for a share of them; each registration
//! of its that is refused takes one place away, and places come back with time. So whoever hammers with a wrong token is left with
//! as many attempts as places come back, refused before anything is computed, while a good agent behind the same address
//! * keeps its connections: only newcomers are counted;
//! * is in no one's way as long as the bad ones keep to any back-off at all: a stock agent is refused once in 16 s on average, so
//!   that eighty of them may be misconfigured behind one address before its places shrink;
//! * waits no longer than one place takes to come back ([`Limits::forgiven_after`]) when the hammering ends: nothing is ever locked.
//!
//! Over QUIC an address can be forged until it is proved (RFC 9000 §8.1). Beyond half of either room a newcomer must prove its
//! own, so that a forger can neither use the other half up nor have anyone refused.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use poterne_telemetry::{
    Metrics,
    metrics::{Counter, Gauge},
};

/// Bounds on newcomers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// In all.
    pub(crate) newcomers_max: usize,
    /// Of one source that has not been refused.
    pub(crate) per_source_max: usize,
    /// After this long one refusal is forgiven.
    pub(crate) forgiven_after: Duration,
}

/// Sources remembered at a time: those with newcomers, of which there are few by the bound in all, and those whose refusals are
/// not forgiven. Each costs about 64 bytes. More refusals than this a second cannot be computed; a source beyond is refused.
const SOURCES_MAX: usize = 16_384;

/// Sources, and what is held against them. Pure: the time is handed in.
struct Newcomers {
    limits: Limits,
    present: usize,
    sources: HashMap<u64, Source>,
    /// When those that are nothing any more were last looked for, which is done when there is no room for another.
    swept: Option<Instant>,
}

struct Source {
    present: usize,
    refused: usize,
    /// Refusals are forgiven from here.
    since: Instant,
}

/// What becomes of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Admit,
    /// Over QUIC: prove the address first.
    Prove,
    Refuse(Reason),
}

/// Why an attempt is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// The room of all is taken.
    Full,
    /// The source's is.
    Source,
}

impl Newcomers {
    fn new(limits: Limits) -> Self {
        Self { limits, present: 0, sources: HashMap::new(), swept: None }
    }

    fn attempt(&mut self, now: Instant, source: u64, proved: bool) -> Verdict {
        let Limits { newcomers_max, per_source_max, forgiven_after } = self.limits;
        let (present, room) = match self.sources.get_mut(&source) {
            Some(known) => {
                known.forgive(now, forgiven_after);
                (known.present, per_source_max.saturating_sub(known.refused))
            }
            None => (0, per_source_max),
        };
        let new = !self.sources.contains_key(&source);
        let reason = if self.present >= newcomers_max || new && !self.has_room_for_a_source(now) {
            Some(Reason::Full)
        } else if present >= room {
            Some(Reason::Source)
        } else {
            None
        };
        let crowded = 2 * self.present >= newcomers_max || 2 * present >= room;
        match reason {
            _ if !proved && crowded => Verdict::Prove,
            Some(reason) => Verdict::Refuse(reason),
            None => {
                self.present += 1;
                self.sources.entry(source).or_insert(Source { present: 0, refused: 0, since: now }).present += 1;
                Verdict::Admit
            }
        }
    }

    /// A newcomer's registration was refused. It stays until [`Newcomers::leave`].
    fn refuse(&mut self, now: Instant, source: u64) {
        let Limits { per_source_max, forgiven_after, .. } = self.limits;
        let known = self.sources.entry(source).or_insert(Source { present: 0, refused: 0, since: now });
        known.forgive(now, forgiven_after);
        if known.refused == 0 {
            known.since = now;
        }
        known.refused = (known.refused + 1).min(per_source_max);
    }

    /// A newcomer has registered, or is gone.
    fn leave(&mut self, now: Instant, source: u64) {
        self.present = self.present.saturating_sub(1);
        let forgiven_after = self.limits.forgiven_after;
        if let Some(known) = self.sources.get_mut(&source) {
            known.present = known.present.saturating_sub(1);
            known.forgive(now, forgiven_after);
            if known.is_nothing() {
                self.sources.remove(&source);
            }
        }
    }

    fn has_room_for_a_source(&mut self, now: Instant) -> bool {
        let forgiven_after = self.limits.forgiven_after;
        let is_due = self.swept.is_none_or(|at| now.saturating_duration_since(at) >= forgiven_after);
        if self.sources.len() >= SOURCES_MAX && is_due {
            self.swept = Some(now);
            self.sources.retain(|_, known| {
                known.forgive(now, forgiven_after);
                !known.is_nothing()
            });
        }
        self.sources.len() < SOURCES_MAX
    }
}

impl Source {
    fn forgive(&mut self, now: Instant, after: Duration) {
        let intervals = now.saturating_duration_since(self.since).as_nanos() / after.as_nanos().max(1);
        match usize::try_from(intervals) {
            Ok(forgiven) if forgiven < self.refused => {
                self.refused -= forgiven;
                self.since += after * u32::try_from(forgiven).unwrap_or(u32::MAX);
            }
            _ => self.refused = 0,
        }
    }

    fn is_nothing(&self) -> bool {
        self.present == 0 && self.refused == 0
    }
}

/// What shares one room.
fn source_of(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        // The upper 32 bits of a global /64 are never zero: it is taken for no IPv4 address.
        IpAddr::V6(address) => u64::try_from(address.to_bits() >> 64).unwrap_or(0),
    }
}

/// The gateway's door: [`Newcomers`] under a lock, with the present time and metrics.
pub(crate) struct Door {
    newcomers: Mutex<Newcomers>,
    present: Gauge,
    sources: Gauge,
    refused_full: Counter,
    refused_source: Counter,
}

/// How the door answers.
pub(crate) enum Answer {
    /// Come in.
    Admit(Ticket),
    /// Prove the address first.
    Prove,
    /// Go away.
    Refuse,
}

impl Door {
    pub(crate) fn new(limits: Limits, metrics: &Metrics) -> Arc<Self> {
        let max = metrics.gauge("gateway_newcomers_max", "Connections of agents that may be there without having registered");
        max.set(i64::try_from(limits.newcomers_max).unwrap_or(i64::MAX));
        let [refused_full, refused_source] = metrics.counters(
            "gateway_newcomers_refused",
            "Connections of agents refused before their handshake: all places taken, or their source's",
            "reason",
            ["full", "source"],
        );
        Arc::new(Self {
            newcomers: Mutex::new(Newcomers::new(limits)),
            present: metrics.gauge("gateway_newcomers", "Connections of agents that have not registered yet"),
            sources: metrics.gauge("gateway_newcomer_sources", "Addresses remembered for their newcomers or refusals"),
            refused_full,
            refused_source,
        })
    }

    /// Someone is at the door. `proved`: the address cannot be forged.
    pub(crate) fn attempt(self: &Arc<Self>, address: IpAddr, proved: bool) -> Answer {
        let source = source_of(address);
        match self.with(|newcomers| newcomers.attempt(Instant::now(), source, proved)) {
            Verdict::Admit => Answer::Admit(Ticket { door: self.clone(), source }),
            Verdict::Prove => Answer::Prove,
            Verdict::Refuse(reason) => {
                match reason {
                    Reason::Full => self.refused_full.inc(),
                    Reason::Source => self.refused_source.inc(),
                };
                tracing::debug!(%address, ?reason, "an agent is refused at the door");
                Answer::Refuse
            }
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Newcomers) -> T) -> T {
        // Nothing in there panics; a poisoned lock's content is still right.
        let mut newcomers = self.newcomers.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = act(&mut newcomers);
        self.present.set(i64::try_from(newcomers.present).unwrap_or(i64::MAX));
        self.sources.set(i64::try_from(newcomers.sources.len()).unwrap_or(i64::MAX));
        answer
    }
}

/// A newcomer's place; dropped when it has registered or is gone.
pub(crate) struct Ticket {
    door: Arc<Door>,
    source: u64,
}

impl Ticket {
    /// Its registration was refused.
    pub(crate) fn refused(&self) {
        self.door.with(|newcomers| newcomers.refuse(Instant::now(), self.source));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.door.with(|newcomers| newcomers.leave(Instant::now(), self.source));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { newcomers_max: 20, per_source_max: 8, forgiven_after: Duration::from_millis(200) };

    fn admitted(newcomers: &mut Newcomers, now: Instant, source: u64) -> usize {
        (0..100).take_while(|_| newcomers.attempt(now, source, true) == Verdict::Admit).count()
    }

    #[test]
    fn a_source_has_its_share_and_all_have_theirs() {
        let (mut newcomers, now) = (Newcomers::new(LIMITS), Instant::now());
        assert_eq!(admitted(&mut newcomers, now, 1), 8);
        assert_eq!(newcomers.attempt(now, 1, true), Verdict::Refuse(Reason::Source));
        assert_eq!(admitted(&mut newcomers, now, 2), 8);
        assert_eq!(admitted(&mut newcomers, now, 3), 4);
        assert_eq!(newcomers.attempt(now, 4, true), Verdict::Refuse(Reason::Full));
        newcomers.leave(now, 1);
        assert_eq!(newcomers.attempt(now, 4, true), Verdict::Admit);
        for source in [1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 4] {
            newcomers.leave(now, source);
        }
        assert_eq!((newcomers.present, newcomers.sources.len()), (0, 0), "nothing is left behind");
    }

    #[test]
    fn refusals_take_places_away_and_time_gives_them_back() {
        let (mut newcomers, start) = (Newcomers::new(LIMITS), Instant::now());
        // Whoever hammers is refused eight times, then as often as places come back.
        let mut refused = 0;
        for millis in 0..2000 {
            let now = start + Duration::from_millis(millis);
            if newcomers.attempt(now, 1, true) == Verdict::Admit {
                newcomers.refuse(now, 1);
                newcomers.leave(now, 1);
                refused += 1;
            }
        }
        assert_eq!(refused, 8 + 9, "the share, and five a second");
        assert_eq!(newcomers.attempt(start + Duration::from_millis(2000), 2, true), Verdict::Admit, "nobody else is touched");
        // A good agent at the same address gets in as soon as one place is back, and costs none.
        let now = start + Duration::from_millis(2200);
        assert_eq!(newcomers.attempt(now, 1, true), Verdict::Admit);
        newcomers.leave(now, 1);
        assert_eq!(newcomers.attempt(now, 1, true), Verdict::Admit);
        newcomers.leave(now, 1);
        // All is forgiven in the end.
        assert_eq!(admitted(&mut newcomers, start + Duration::from_secs(60), 1), 8);
    }

    #[test]
    fn eighty_agents_with_a_wrong_token_and_a_back_off_lock_nobody_out() {
        let limits = Limits { newcomers_max: 2048, per_source_max: 256, forgiven_after: Duration::from_millis(200) };
        let (mut newcomers, start) = (Newcomers::new(limits), Instant::now());
        for attempt in 0..10_000u64 {
            // Eighty in sixteen seconds.
            let now = start + Duration::from_millis(200 * attempt);
            assert_eq!(newcomers.attempt(now, 1, true), Verdict::Admit);
            newcomers.refuse(now, 1);
            newcomers.leave(now, 1);
        }
    }

    #[test]
    fn forged_addresses_take_half_and_have_nobody_refused() {
        let (mut newcomers, now) = (Newcomers::new(LIMITS), Instant::now());
        let forged = (0..100).filter(|_| newcomers.attempt(now, 1, false) == Verdict::Admit).count();
        assert_eq!(forged, 4);
        assert_eq!(newcomers.attempt(now, 1, false), Verdict::Prove);
        assert_eq!(admitted(&mut newcomers, now, 1), 4, "whoever proves the address has the other half");
        let forged = (2..100).filter(|source| newcomers.attempt(now, *source, false) == Verdict::Admit).count();
        assert_eq!(forged, 2, "half of the room of all, less what is taken");
        assert_eq!(newcomers.attempt(now, 200, true), Verdict::Admit);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut newcomers, now) = (Newcomers::new(LIMITS), Instant::now());
        for source in 0..20_000 {
            if newcomers.attempt(now, source, true) == Verdict::Admit {
                newcomers.refuse(now, source);
                newcomers.leave(now, source);
            }
        }
        assert_eq!(newcomers.sources.len(), SOURCES_MAX);
        assert_eq!(newcomers.attempt(now + Duration::from_millis(200), 99_999, true), Verdict::Admit, "all were forgiven");
        assert_eq!(newcomers.sources.len(), 1);
    }

    #[test]
    fn a_source_is_an_address_or_a_64() {
        let source = |text: &str| source_of(text.parse().unwrap());
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:2"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
    }
}
