//! When a zone's delegation is looked at, and what becomes of the zone (edge-behaviour §1.1).
//!
//! ```text
//! pending ──(every server of the parent names ours alone)──→ active ──(lost: 3 times, over 24 h, from two points)──→ moved
//!    60 s, 2, 5, 10, 30 min, 1 h, hourly a day, 6 h          every 6 h ↑───────────(seen again: hourly)────────────────┘
//! ```
//!
//! Pure: who is asked, and how, is elsewhere. A zone that the operator put in force without any delegation (a private one, a split
//! horizon) is looked at too; what was never seen cannot be lost.

use std::collections::BTreeSet;

use crate::{Name, Timestamp, ZoneStatus};

const HOUR_SECS: i64 = 3600;
/// How long after the last look a pending zone is looked at again: these first.
const FIRST_SECS: [i64; 6] = [60, 2 * 60, 5 * 60, 10 * 60, 30 * 60, HOUR_SECS];
/// Then so many times hourly.
const HOURLY: usize = 24;
/// Then, and for zones in force, so often.
const SELDOM_SECS: i64 = 6 * HOUR_SECS;

/// Failures in a row, and seconds from the first of them to the last, before a zone is lost.
pub const FAILURES_MIN: u32 = 3;
/// See [`FAILURES_MIN`].
pub const FAILING_SECS_MIN: i64 = 24 * HOUR_SECS;

/// How long after one look that somebody asked for another may be asked for, in seconds. The hosted service's paid plans have as much.
pub const TRIGGER_EVERY_SECS: i64 = 5 * 60;

/// What a zone's delegation is, seen from one point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// To our name servers, all of them of ours.
    Ours,
    /// To others, or to others as well.
    Others,
    /// To nobody.
    Nobody,
}

/// What all points together say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is ours.
    Ours,
    /// It is not, from two points at least.
    Lost,
    /// They do not agree, or too few of them answer.
    Unknown,
}

/// Where the looking at a zone stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watch {
    /// The zone's status.
    pub status: ZoneStatus,
    /// Looks since it has that status.
    pub looks: u32,
    /// Whether its delegation to us was ever seen.
    pub delegated: bool,
    /// Looks in a row that found it lost.
    pub failures: u32,
    /// When the first of those was.
    pub failing_since: Option<Timestamp>,
}

impl Watch {
    /// Of a zone that was not looked at yet.
    pub const fn new(status: ZoneStatus) -> Self {
        Self { status, looks: 0, delegated: false, failures: 0, failing_since: None }
    }

    /// In how many seconds it is looked at next.
    pub fn wait_secs(&self) -> i64 {
        let looks = usize::try_from(self.looks).unwrap_or(usize::MAX);
        match self.status {
            ZoneStatus::Pending => match FIRST_SECS.get(looks) {
                Some(secs) => *secs,
                None if looks < FIRST_SECS.len() + HOURLY => HOUR_SECS,
                None => SELDOM_SECS,
            },
            ZoneStatus::Active => SELDOM_SECS,
            // Whoever comes back does not want to wait for long.
            ZoneStatus::Moved => HOUR_SECS,
        }
    }

    /// After a look. The status it has then may be another; `Pending` never comes back.
    #[must_use]
    pub fn after(self, verdict: Verdict, now: Timestamp) -> Self {
        let mut next = Self { looks: self.looks.saturating_add(1), ..self };
        match (verdict, self.status) {
            (Verdict::Unknown, _) => {}
            (Verdict::Ours, _) => {
                next = Self { status: ZoneStatus::Active, delegated: true, failures: 0, failing_since: None, ..next };
            }
            (Verdict::Lost, ZoneStatus::Active) if self.delegated => {
                next.failures = self.failures.saturating_add(1);
                let since = self.failing_since.unwrap_or(now);
                next.failing_since = Some(since);
                if next.failures >= FAILURES_MIN && now.secs_since(since) >= FAILING_SECS_MIN {
                    next.status = ZoneStatus::Moved;
                }
            }
            (Verdict::Lost, _) => {}
        }
        if next.status != self.status {
            next = Self { looks: 0, failures: 0, failing_since: None, ..next };
        }
        next
    }
}

/// What a delegation to these name servers is, these being assigned. Names are compared without case and in any order; where none are
/// assigned, nothing is ours.
pub fn sight(name_servers: &[Name], assigned: &[Name]) -> Sight {
    let assigned: BTreeSet<&Name> = assigned.iter().collect();
    match name_servers {
        [] => Sight::Nobody,
        all if all.iter().all(|name| assigned.contains(name)) => Sight::Ours,
        _ => Sight::Others,
    }
}

/// What the parent's servers and other points say together. Only the parent's can say that it is ours, and each that answers must; lost
/// it is only where two points at least say so and none says otherwise.
pub fn verdict(parent: &[Sight], others: &[Sight]) -> Verdict {
    let ours = |sights: &[Sight]| sights.iter().filter(|sight| **sight == Sight::Ours).count();
    if !parent.is_empty() && ours(parent) == parent.len() {
        Verdict::Ours
    } else if !parent.is_empty() && ours(parent) + ours(others) == 0 && parent.len() + others.len() >= 2 {
        Verdict::Lost
    } else {
        Verdict::Unknown
    }
}

/// In how many seconds a look may be asked for, the last one having been asked for then; zero: now.
pub fn trigger_wait_secs(last: Option<Timestamp>, now: Timestamp) -> i64 {
    last.map_or(0, |last| (TRIGGER_EVERY_SECS - now.secs_since(last)).clamp(0, TRIGGER_EVERY_SECS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(texts: &[&str]) -> Vec<Name> {
        texts.iter().map(|text| Name::parse(text).unwrap()).collect()
    }

    const fn at(hours: i64) -> Timestamp {
        Timestamp::from_secs(hours * HOUR_SECS)
    }

    #[test]
    fn a_pending_zone_is_looked_at_ever_more_seldom() {
        let mut watch = Watch::new(ZoneStatus::Pending);
        let mut waits = Vec::new();
        for _ in 0..32 {
            waits.push(watch.wait_secs());
            watch = watch.after(Verdict::Lost, at(0));
        }
        assert_eq!(waits[..7], [60, 120, 300, 600, 1800, 3600, 3600]);
        assert!(waits[6..30].iter().all(|secs| *secs == 3600));
        assert_eq!(waits[30..], [21_600, 21_600]);
        assert_eq!((watch.status, watch.failures), (ZoneStatus::Pending, 0), "it has nothing to lose");
    }

    #[test]
    fn a_zone_becomes_active_where_every_server_of_the_parent_names_ours() {
        let assigned = names(&["ns1.node.net", "ns2.node.net"]);
        assert_eq!(sight(&names(&["NS2.node.net.", "ns1.node.net"]), &assigned), Sight::Ours);
        assert_eq!(sight(&names(&["ns1.node.net"]), &assigned), Sight::Ours, "each of them is of ours");
        assert_eq!(sight(&names(&["ns1.node.net", "ns.old.net"]), &assigned), Sight::Others);
        assert_eq!((sight(&[], &assigned), sight(&names(&["a.net"]), &[])), (Sight::Nobody, Sight::Others));
        assert_eq!(verdict(&[Sight::Ours, Sight::Ours], &[Sight::Others]), Verdict::Ours, "caches come after");
        assert_eq!(verdict(&[Sight::Ours, Sight::Others], &[]), Verdict::Unknown, "one of them is behind");
        assert_eq!(verdict(&[], &[Sight::Ours]), Verdict::Unknown, "no cache is believed");
        let active = Watch::new(ZoneStatus::Pending).after(Verdict::Ours, at(1));
        assert_eq!((active.status, active.looks, active.wait_secs()), (ZoneStatus::Active, 0, SELDOM_SECS));
    }

    #[test]
    fn a_zone_is_lost_after_three_failures_over_a_day_and_from_two_points() {
        assert_eq!(verdict(&[Sight::Others], &[]), Verdict::Unknown);
        assert_eq!(verdict(&[Sight::Others], &[Sight::Nobody]), Verdict::Lost);
        assert_eq!(verdict(&[Sight::Nobody, Sight::Others], &[]), Verdict::Lost);
        assert_eq!(verdict(&[Sight::Nobody, Sight::Others], &[Sight::Ours]), Verdict::Unknown);
        let active = Watch { delegated: true, ..Watch::new(ZoneStatus::Active) };
        let mut watch = active;
        for hours in [0, 6, 12, 18] {
            watch = watch.after(Verdict::Lost, at(hours));
            assert_eq!(watch.status, ZoneStatus::Active, "{hours}");
        }
        assert_eq!(watch.after(Verdict::Unknown, at(24)).status, ZoneStatus::Active);
        let moved = watch.after(Verdict::Lost, at(24));
        assert_eq!((moved.status, moved.failures), (ZoneStatus::Moved, 0));
        assert_eq!(moved.after(Verdict::Lost, at(25)).status, ZoneStatus::Moved);
        assert_eq!(moved.after(Verdict::Ours, at(25)).status, ZoneStatus::Active);
        // Two far apart are not three, and one success forgets them.
        let twice = active.after(Verdict::Lost, at(0)).after(Verdict::Lost, at(48));
        assert_eq!(twice.status, ZoneStatus::Active);
        assert_eq!(twice.after(Verdict::Ours, at(49)).failing_since, None);
    }

    #[test]
    fn what_was_never_seen_cannot_be_lost() {
        let mut watch = Watch::new(ZoneStatus::Active);
        for hours in 0..100 {
            watch = watch.after(Verdict::Lost, at(hours));
        }
        assert_eq!((watch.status, watch.failures), (ZoneStatus::Active, 0));
    }

    #[test]
    fn a_look_may_be_asked_for_every_five_minutes() {
        let at = Timestamp::from_secs;
        assert_eq!(trigger_wait_secs(None, at(0)), 0);
        assert_eq!(trigger_wait_secs(Some(at(100)), at(100)), 300);
        assert_eq!(trigger_wait_secs(Some(at(100)), at(399)), 1);
        assert_eq!(trigger_wait_secs(Some(at(100)), at(400)), 0);
        assert_eq!(trigger_wait_secs(Some(at(9_999)), at(400)), 300, "a clock that was set back keeps nobody out for long");
    }
}
