//! Instants as texts: RFC 3339, UTC, six digits of a second, `Z` (api-v4 §1.6).
//!
//! Clients of typed languages parse these strictly, so they are written in one way; what comes in is read leniently, since scripts
//! write offsets, no offset, or the day alone. Never an empty text: some clients then fail to decode the whole answer.

use std::fmt;

use jiff::civil;
use poterne_model::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An instant in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WireTime(pub Timestamp);

/// Why a text is no instant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is no instant: write one as in 2026-01-02T03:04:05Z")]
pub struct TimeError {
    value: String,
}

impl WireTime {
    /// Reads an instant with an offset or `Z`, a date and time (UTC), or a date (its first instant, UTC).
    ///
    /// # Errors
    /// It is none of these.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let text = text.trim();
        let wrong = || TimeError { value: text.chars().take(64).collect() };
        let at = match text.parse::<jiff::Timestamp>() {
            Ok(at) => at,
            Err(_) => {
                let civil = text.parse::<civil::DateTime>().map_err(|_| wrong())?;
                jiff::tz::Offset::UTC.to_timestamp(civil).map_err(|_| wrong())?
            }
        };
        Ok(Self(Timestamp::from_micros(at.as_microsecond())))
    }
}

impl From<Timestamp> for WireTime {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

/// Instants beyond the years a calendar has are shown as its last one.
impl fmt::Display for WireTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let beyond = if self.0.as_micros() < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
        write!(f, "{:.6}", jiff::Timestamp::from_microsecond(self.0.as_micros()).unwrap_or(beyond))
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for WireTime {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        serde_json::from_value(poterne_model::Schema::instant().into_value()).expect("the schema of a text is one")
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for WireTime {}

impl Serialize for WireTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for WireTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> String {
        WireTime::parse(text).map_or_else(|error| error.to_string(), |time| time.to_string())
    }

    #[test]
    fn whatever_comes_in_goes_out_in_one_form() {
        for (given, told) in [
            ("2026-01-02T03:04:05.678901Z", "2026-01-02T03:04:05.678901Z"),
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000000Z"),
            ("2026-01-02T03:04:05.6789016Z", "2026-01-02T03:04:05.678901Z"),
            ("2026-01-02T05:04:05+02:00", "2026-01-02T03:04:05.000000Z"),
            ("2026-01-02 03:04:05", "2026-01-02T03:04:05.000000Z"),
            ("2026-01-02", "2026-01-02T00:00:00.000000Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
        ] {
            assert_eq!(shown(given), told);
        }
        for wrong in ["", "yesterday", "2026-13-01", "1767323045"] {
            assert!(WireTime::parse(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(shown("soon"), "\"soon\" is no instant: write one as in 2026-01-02T03:04:05Z");
    }

    proptest! {
        #[test]
        fn every_instant_is_told_and_read_the_same(micros in -62_135_596_800_000_000..253_402_207_200_000_000_i64) {
            let time = WireTime(Timestamp::from_micros(micros));
            let json = serde_json::to_string(&time).unwrap();
            prop_assert_eq!(json.len(), "\"2026-01-02T03:04:05.678901Z\"".len());
            prop_assert_eq!(serde_json::from_str::<WireTime>(&json).unwrap(), time);
        }

        #[test]
        fn no_instant_panics(micros: i64, text in ".{0,40}") {
            let _ = WireTime(Timestamp::from_micros(micros)).to_string();
            let _ = WireTime::parse(&text);
        }
    }
}
