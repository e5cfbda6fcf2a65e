//! What a collector's answer means (OTLP 1.x, "OTLP/HTTP Response" and "Failures"), and how long is waited before spans are sent again. Pure.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};

/// Times a batch is sent, in all.
pub const ATTEMPTS_MAX: u32 = 6;
/// The pause before it is sent for the second time; it doubles from there.
pub const PAUSE_MIN: Duration = Duration::from_secs(1);
/// Longest that a collector's `Retry-After` is heeded.
pub const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Longest message of a collector's that is logged, in bytes.
const MESSAGE_BYTES_MAX: usize = 300;

/// What becomes of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is taken, but for so many spans, and the collector's words on these.
    Taken(u64, String),
    /// It may be taken later: after so long, where the collector says.
    Later(Option<Duration>),
    /// It never will be.
    Refused,
}

impl Verdict {
    /// Of an answer.
    pub fn of(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        match status.as_u16() {
            200..=299 => {
                let (rejected, words) = rejected(body).unwrap_or_default();
                Self::Taken(rejected, words)
            }
            // "Retryable Response Codes".
            429 | 502..=504 => {
                let secs = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
                Self::Later(secs.map(|secs| Duration::from_secs(secs).min(PAUSE_MAX)))
            }
            _ => Self::Refused,
        }
    }
}

/// The pause after so many attempts; none: it was sent often enough. `chance` spreads programs that lost the same collector over the pause's
/// second half.
pub fn pause(attempts: u32, asked: Option<Duration>, chance: u32) -> Option<Duration> {
    if attempts >= ATTEMPTS_MAX {
        return None;
    }
    let whole = PAUSE_MIN * (1 << attempts.saturating_sub(1).min(ATTEMPTS_MAX));
    let spread = whole / 2 + (whole / 2).mul_f64(f64::from(chance) / f64::from(u32::MAX));
    Some(asked.map_or(spread, |asked| asked.max(spread)))
}

/// `ExportTraceServiceResponse.partial_success`: how many spans were rejected, and why.
fn rejected(body: &[u8]) -> Option<(u64, String)> {
    let mut answer = Fields(body);
    let mut found = None;
    while let Some((field, value)) = answer.next() {
        if let (1, Field::Octets(partial)) = (field, value) {
            let (mut rejected, mut words) = (0, String::new());
            let mut partial = Fields(partial);
            while let Some((field, value)) = partial.next() {
                match (field, value) {
                    (1, Field::Number(number)) => rejected = number,
                    (2, Field::Octets(text)) => {
                        let text = &text[..text.len().min(MESSAGE_BYTES_MAX)];
                        words = String::from_utf8_lossy(text).chars().filter(|c| !c.is_control()).collect();
                    }
                    _ => {}
                }
            }
            found = Some((rejected, words));
        }
    }
    found
}

/// A message's fields, as far as they can be read.
struct Fields<'a>(&'a [u8]);

enum Field<'a> {
    Number(u64),
    Octets(&'a [u8]),
    Other,
}

impl<'a> Fields<'a> {
    fn next(&mut self) -> Option<(u64, Field<'a>)> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Field::Number(self.varint()?),
            1 => self.take(8).map(|_| Field::Other)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Field::Octets(self.take(length)?)
            }
            5 => self.take(4).map(|_| Field::Other)?,
            _ => return None,
        };
        Some((tag >> 3, value))
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn verdict(status: u16, retry_after: Option<&'static str>) -> Verdict {
        let headers = retry_after.map(|value| (header::RETRY_AFTER, HeaderValue::from_static(value)));
        Verdict::of(StatusCode::from_u16(status).unwrap(), &headers.into_iter().collect(), b"")
    }

    #[test]
    fn what_may_be_taken_later_is_sent_again() {
        for status in [429, 502, 503, 504] {
            assert_eq!(verdict(status, None), Verdict::Later(None), "{status}");
        }
        assert_eq!(verdict(503, Some("7")), Verdict::Later(Some(Duration::from_secs(7))));
        assert_eq!(verdict(429, Some("999999")), Verdict::Later(Some(PAUSE_MAX)));
        assert_eq!(verdict(429, Some("Fri, 31 Dec 1999 23:59:59 GMT")), Verdict::Later(None));
        for status in [301, 400, 401, 404, 413, 500, 501] {
            assert_eq!(verdict(status, Some("1")), Verdict::Refused, "{status}");
        }
        assert_eq!(verdict(200, None), Verdict::Taken(0, String::new()));
    }

    #[test]
    fn spans_that_a_collector_rejects_are_told() {
        // partial_success { rejected_spans: 300, error_message: "too old\n" }, behind a field that nobody knows.
        let body = [&[0x7a, 1, 0, 0x0a, 13, 0x08, 0xac, 0x02, 0x12, 8][..], b"too old\n"].concat();
        let taken = Verdict::of(StatusCode::OK, &HeaderMap::new(), &body);
        assert_eq!(taken, Verdict::Taken(300, "too old".into()));
    }

    #[test]
    fn any_octets_are_an_answer() {
        let whole = [&[0x0a, 13, 0x08, 0xac, 0x02, 0x12, 8][..], b"too old\n"].concat();
        for end in 0..whole.len() {
            assert!(matches!(Verdict::of(StatusCode::OK, &HeaderMap::new(), &whole[..end]), Verdict::Taken(0, _)), "{end}");
        }
        for octets in [&[0xff; 40][..], &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f], &[0x0b], &[0x09, 1], &[0x0d, 1], b"{}"] {
            assert!(matches!(Verdict::of(StatusCode::OK, &HeaderMap::new(), octets), Verdict::Taken(0, _)), "{octets:x?}");
        }
    }

    #[test]
    fn pauses_grow_are_spread_and_end() {
        let pauses: Vec<_> = (1..=ATTEMPTS_MAX).map(|attempts| pause(attempts, None, u32::MAX)).collect();
        assert_eq!(pauses, [Some(1), Some(2), Some(4), Some(8), Some(16), None].map(|secs| secs.map(Duration::from_secs)));
        assert_eq!(pause(1, None, 0), Some(PAUSE_MIN / 2));
        assert_eq!(pause(1, Some(Duration::from_secs(9)), 0), Some(Duration::from_secs(9)));
        assert_eq!(pause(ATTEMPTS_MAX, Some(PAUSE_MAX), 0), None);
    }
}
