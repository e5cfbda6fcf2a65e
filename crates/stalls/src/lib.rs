//! What lies in memory for those who do not take it.
//!
//! Flow control lets one end of a stream send ahead of the other as much as the stream's window holds; where whoever it is for stops taking,
//! that lies in between for as long as he likes. One who pauses keeps his place. But there may be thousands of them, and what all streams
//! of a connection share must not be what bounds them: some who take nothing would hold up everybody else. So windows that are shared are
//! wide, and all that is watched here is bounded together ([`Settings::bytes_max`]): beyond it some are let go, which frees what they hold at
//! once. Those of whoever has most of them go first, and of those the ones of which nothing was taken for longest: who comes with hundreds loses
//! his own, and not the place of one who paused long ago.
//!
//! ```text
//! sender ──window──→ Watched { value } ──with()──→ taker          look(): nothing taken for how long, of which, and how much may lie there?
//! ```
//!
//! What is counted is what a stream may hold at most, since no transport tells how much it does. Something is taken whenever
//! [`Watched::with`] is called; what then waits for its sender is not counted. Time is counted in looks ([`LOOK_EVERY`]), so that a piece costs
//! no clock.
//!
//! What is not here: what is watched, and what is told of it (`edge/upstream` answers for visitors, `tunnel/agent` uploads for services).
#![forbid(unsafe_code)]

use std::{
    cmp::Reverse,
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::time::MissedTickBehavior;

/// How often all are looked at.
pub const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What bounds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Most bytes that may lie here for those who take nothing, of all together.
    pub bytes_max: u64,
    /// How long nothing is taken before it counts, in whole looks, at least two.
    pub patience: Duration,
}

/// All that is watched; clones are the same.
#[derive(Clone)]
pub struct Stalls(Arc<All>);

struct All {
    settings: Settings,
    /// Looks so far, from 1.
    looks: AtomicU32,
    watched: Mutex<Vec<Weak<dyn Place>>>,
}

/// What a look found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Of how many nothing is taken.
    pub stalled: usize,
    /// How much may lie here for those, before any was let go.
    pub bytes: u64,
    /// How many were let go.
    pub let_go: u64,
}

/// Who is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    /// Whoever takes: there was something, and there may be more.
    Taker,
    /// Whoever sends, or nobody any more.
    Sender,
}

/// Something that is watched, until it is dropped.
pub struct Watched<T> {
    slot: Arc<Slot<T>>,
    all: Arc<All>,
}

struct Slot<T> {
    /// The look at which something was taken last; 0 while its sender is waited for.
    taken_at: AtomicU32,
    bytes_max: u32,
    whose: u64,
    /// None once it was let go.
    value: Mutex<Option<T>>,
}

trait Place: Send + Sync {
    fn taken_at(&self) -> Option<u32>;
    fn bytes_max(&self) -> u32;
    fn whose(&self) -> u64;
    /// False: something is taken at this moment.
    fn let_go(&self) -> bool;
}

impl Stalls {
    /// Nothing is watched yet; somebody has to [`look`](Self::look).
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(All { settings, looks: AtomicU32::new(1), watched: Mutex::default() }))
    }

    /// What they are bounded by.
    pub fn settings(&self) -> Settings {
        self.0.settings
    }

    /// Watches something of which so much may lie here, `whose` it is being a number for each taker. As long as nobody asks for any of it,
    /// nothing is taken.
    pub fn watch<T: Send + 'static>(&self, value: T, bytes_max: u32, whose: u64) -> Watched<T> {
        let taken_at = AtomicU32::new(self.0.looks.load(Ordering::Relaxed));
        let slot = Arc::new(Slot { taken_at, bytes_max, whose, value: Mutex::new(Some(value)) });
        let place = Arc::downgrade(&slot) as Weak<dyn Place>;
        // Taken from there by the look after its end, so that ending costs nothing.
        self.0.watched().push(place);
        Watched { slot, all: Arc::clone(&self.0) }
    }

    /// Looks again and again, and tells what it found.
    pub async fn run(&self, mut told: impl FnMut(Seen)) {
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            told(self.look());
        }
    }

    /// One look.
    pub fn look(&self) -> Seen {
        let All { settings, looks, .. } = &*self.0;
        let now = looks.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let looks_min = (settings.patience.as_millis() / LOOK_EVERY.as_millis()).max(2);
        let mut stalled: Vec<(u32, Arc<dyn Place>)> = {
            let mut watched = self.0.watched();
            watched.retain(|place| place.strong_count() > 0);
            let waiting = watched.iter().filter_map(Weak::upgrade);
            let waiting = waiting.filter_map(|place| Some((now.wrapping_sub(place.taken_at()?), place)));
            waiting.filter(|(looks, _)| u128::from(*looks) >= looks_min).collect()
        };
        let bytes = stalled.iter().map(|(_, place)| u64::from(place.bytes_max())).sum();
        let mut seen = Seen { stalled: stalled.len(), bytes, let_go: 0 };
        if bytes > settings.bytes_max {
            let mut held: HashMap<u64, usize> = HashMap::new();
            stalled.iter().for_each(|(_, place)| *held.entry(place.whose()).or_default() += 1);
            // Who holds most, one at a time: his longest.
            stalled.sort_by_cached_key(|(looks, place)| Reverse((held[&place.whose()], place.whose(), *looks)));
            let mut left = bytes;
            for (_, place) in stalled {
                if left <= settings.bytes_max {
                    break;
                }
                if place.let_go() {
                    (left, seen.let_go) = (left - u64::from(place.bytes_max()), seen.let_go + 1);
                }
            }
        }
        seen
    }
}

impl std::fmt::Debug for Stalls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stalls").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

impl All {
    fn watched(&self) -> MutexGuard<'_, Vec<Weak<dyn Place>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Send> Place for Slot<T> {
    fn taken_at(&self) -> Option<u32> {
        Some(self.taken_at.load(Ordering::Relaxed)).filter(|look| *look != 0)
    }

    fn bytes_max(&self) -> u32 {
        self.bytes_max
    }

    fn whose(&self) -> u64 {
        self.whose
    }

    fn let_go(&self) -> bool {
        // Whoever holds it takes something of it.
        let Ok(mut value) = self.value.try_lock() else { return false };
        self.taken_at.store(0, Ordering::Relaxed);
        value.take().is_some()
    }
}

impl<T> Watched<T> {
    /// Takes something of it, and says who is waited for then. None: it was let go.
    pub fn with<R>(&self, step: impl FnOnce(&mut T) -> (R, Waits)) -> Option<R> {
        let mut value = self.lock();
        let (taken, waits) = step(value.as_mut()?);
        let now = match waits {
            Waits::Sender => 0,
            Waits::Taker => self.all.looks.load(Ordering::Relaxed),
        };
        self.slot.taken_at.store(now, Ordering::Relaxed);
        Some(taken)
    }

    /// Looks at it and takes nothing. None: it was let go.
    pub fn read<R>(&self, look: impl FnOnce(&T) -> R) -> Option<R> {
        self.lock().as_ref().map(look)
    }

    fn lock(&self) -> MutexGuard<'_, Option<T>> {
        self.slot.value.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> std::fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: u32 = 1024 * 1024;

    fn stalls(windows: u64, patience: Duration) -> Stalls {
        Stalls::new(Settings { bytes_max: windows * u64::from(WINDOW), patience })
    }

    fn let_go(stalls: &Stalls, looks: usize) -> Vec<u64> {
        (0..looks).map(|_| stalls.look().let_go).collect()
    }

    #[test]
    fn those_that_nobody_took_of_for_longest_go_first() {
        let stalls = stalls(2, Duration::ZERO);
        let all: Vec<_> = (0..4).map(|number| stalls.watch(number, WINDOW, 0)).collect();
        let takes = |at: usize| all[at].with(|number| (*number, Waits::Taker));
        // The first two take something at every look; the others never do.
        for _ in 0..8 {
            assert_eq!((takes(0), takes(1)), (Some(0), Some(1)));
            assert_eq!(stalls.look().let_go, 0, "two may stall");
        }
        let _later = stalls.watch(4, WINDOW, 0);
        let mut looks = Vec::new();
        for _ in 0..3 {
            assert_eq!((takes(0), takes(1)), (Some(0), Some(1)));
            looks.push(stalls.look());
        }
        let seen = |stalled: u64, let_go| Seen { stalled: usize::try_from(stalled).unwrap(), bytes: stalled << 20, let_go };
        assert_eq!(
            looks,
            [seen(2, 0), seen(3, 1), seen(2, 0)],
            "the third counts after two looks; one that stalled for longer goes"
        );
        assert_eq!(all.iter().filter(|one| one.read(|_| ()).is_none()).count(), 1);
        assert!(takes(0).is_some() && takes(2).is_some() != takes(3).is_some());
    }

    #[test]
    fn who_has_most_loses_his_own() {
        let stalls = stalls(3, Duration::ZERO);
        let paused = stalls.watch((), WINDOW, 1);
        let_go(&stalls, 8);
        let many: Vec<_> = (0..5).map(|_| stalls.watch((), WINDOW, 2)).collect();
        let another = stalls.watch((), WINDOW, 3);
        assert_eq!(let_go(&stalls, 3), [0, 4, 0]);
        assert!(paused.read(|()| ()).is_some() && another.read(|()| ()).is_some());
        assert_eq!(many.iter().filter(|one| one.read(|()| ()).is_some()).count(), 1);
    }

    #[test]
    fn what_waits_for_its_sender_is_not_counted_and_what_is_over_is_forgotten() {
        let stalls = stalls(0, Duration::ZERO);
        let waits = stalls.watch((), WINDOW, 0);
        waits.with(|()| ((), Waits::Sender));
        let never_asked = stalls.watch((), WINDOW, 0);
        assert_eq!(let_go(&stalls, 4), [0, 1, 0, 0]);
        assert!(waits.read(|()| ()).is_some() && never_asked.read(|()| ()).is_none());
        drop((waits, never_asked));
        stalls.look();
        assert!(stalls.0.watched().is_empty());
    }

    #[test]
    fn patience_is_so_many_looks() {
        let stalls = stalls(0, Duration::from_secs(1));
        let _one = stalls.watch((), WINDOW, 0);
        assert_eq!(let_go(&stalls, 5), [0, 0, 0, 1, 0]);
    }
}
