//! An instant of the calendar, as objects carry it. It is handed in; nothing here asks a clock.

use serde::{Deserialize, Serialize};

/// Microseconds since the Unix epoch, which is as finely as the v4 API tells time (api-v4 §1.6). May lie before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

const MICROS_PER_SEC: i64 = 1_000_000;

impl Timestamp {
    /// From microseconds since the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From whole seconds since the Unix epoch; what is out of range becomes the nearest that is not.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(MICROS_PER_SEC))
    }

    /// Microseconds since the Unix epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(MICROS_PER_SEC)
    }

    /// Later by so many seconds; earlier when negative.
    #[must_use]
    pub const fn plus_secs(self, secs: i64) -> Self {
        Self(self.0.saturating_add(secs.saturating_mul(MICROS_PER_SEC)))
    }

    /// Whole seconds from `earlier` to this instant, rounded down; negative when it is later.
    pub const fn secs_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0).div_euclid(MICROS_PER_SEC)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_down_and_nothing_overflows() {
        assert_eq!(Timestamp::from_micros(-1).as_secs(), -1);
        assert_eq!(Timestamp::from_micros(1_999_999).as_secs(), 1);
        assert_eq!(Timestamp::from_secs(i64::MAX), Timestamp::from_micros(i64::MAX));
        assert_eq!(Timestamp::from_secs(5).plus_secs(i64::MAX), Timestamp::from_micros(i64::MAX));
        assert_eq!(Timestamp::from_secs(7).secs_since(Timestamp::from_secs(9)), -2);
    }
}
