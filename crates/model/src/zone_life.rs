//! When a zone that nothing is delegated to ends (edge-behaviour §1.1).
//!
//! ```text
//! pending ──21 days──→ told ──7 days──→ deleted          the day before: told once more
//! moved ──────at once──→ told ──7 days──→ deleted
//! ```
//!
//! Pure. No zone ends that nobody was told of [`NOTICE_SECS`] before: where there is nobody to tell, it stays. Whoever asks for a look at its
//! delegation wants it, and the waiting begins anew.

use crate::{Timestamp, ZoneStatus};

const DAY_SECS: i64 = 24 * 3600;

/// How long a zone may be pending, in seconds, from when it was added, or from when somebody last asked for a look.
pub const PENDING_SECS: i64 = 28 * DAY_SECS;

/// How long before its end that is told, in seconds, at least; and so how long a moved zone stays.
pub const NOTICE_SECS: i64 = 7 * DAY_SECS;

/// How long before its end that is told once more, in seconds.
pub const REMINDER_SECS: i64 = DAY_SECS;

/// An end that was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// When the zone is deleted.
    pub at: Timestamp,
    /// It was told twice.
    pub reminded: bool,
}

/// What is to be done with a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Stay,
    /// Tell that it ends then. If nobody can be told, it does not.
    Tell(End),
    /// Delete it.
    Delete,
}

/// The step of a zone that has this status, waits since then, and of which this end was told.
pub fn step(status: ZoneStatus, since: Timestamp, told: Option<End>, now: Timestamp) -> Step {
    if status == ZoneStatus::Active {
        return Step::Stay;
    }
    match told {
        Some(end) if end.at <= now => Step::Delete,
        Some(end) if !end.reminded && end.at.secs_since(now) <= REMINDER_SECS => Step::Tell(End { reminded: true, ..end }),
        Some(_) => Step::Stay,
        None => {
            let soonest = now.plus_secs(NOTICE_SECS);
            let at = match status {
                ZoneStatus::Pending => since.plus_secs(PENDING_SECS),
                ZoneStatus::Active | ZoneStatus::Moved => soonest,
            };
            if at > soonest { Step::Stay } else { Step::Tell(End { at: soonest.max(at), reminded: false }) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn day(days: i64) -> Timestamp {
        Timestamp::from_secs(days * DAY_SECS)
    }

    const fn end(days: i64, reminded: bool) -> Option<End> {
        Some(End { at: day(days), reminded })
    }

    #[test]
    fn a_pending_zone_ends_after_28_days_and_two_notices() {
        let at = |told, now| step(ZoneStatus::Pending, day(100), told, day(now));
        assert_eq!(at(None, 120), Step::Stay);
        assert_eq!(at(None, 121), Step::Tell(End { at: day(128), reminded: false }));
        assert_eq!(at(end(128, false), 126), Step::Stay);
        assert_eq!(at(end(128, false), 127), Step::Tell(End { at: day(128), reminded: true }));
        assert_eq!(at(end(128, true), 127), Step::Stay);
        assert_eq!(at(end(128, true), 128), Step::Delete);
    }

    #[test]
    fn a_moved_zone_ends_seven_days_after_it_was_told_and_an_active_one_never() {
        assert_eq!(step(ZoneStatus::Moved, day(0), None, day(50)), Step::Tell(End { at: day(57), reminded: false }));
        assert_eq!(step(ZoneStatus::Moved, day(0), end(57, true), day(57)), Step::Delete);
        for told in [None, end(1, true)] {
            assert_eq!(step(ZoneStatus::Active, day(0), told, day(900)), Step::Stay);
        }
    }

    #[test]
    fn a_node_that_was_off_for_long_tells_before_it_deletes() {
        assert_eq!(step(ZoneStatus::Pending, day(0), None, day(400)), Step::Tell(End { at: day(407), reminded: false }));
    }
}
