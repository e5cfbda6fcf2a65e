//! When an authority would have a certificate renewed (RFC 9773), and when we would where it does not say.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

/// How soon an authority is asked again at the earliest and at the latest, in seconds (RFC 9773 §4.3.2).
const ASK_SECS_MIN: i64 = 60;
const ASK_SECS_MAX: i64 = 86_400;

/// Longest answer read, in bytes.
pub const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// From when until when a certificate is to be renewed, in seconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// From then.
    pub start: i64,
    /// Until then, and later than its start.
    pub end: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RenewalInfo {
    suggested_window: Suggested,
}

#[derive(Deserialize)]
struct Suggested {
    start: jiff::Timestamp,
    end: jiff::Timestamp,
}

impl Window {
    /// Reads an answer.
    ///
    /// # Errors
    /// It is none, or its end does not lie after its start (RFC 9773 §4.2).
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        let told: RenewalInfo = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let Suggested { start, end } = told.suggested_window;
        let window = Self { start: start.as_second(), end: end.as_second() };
        if window.end <= window.start { Err("the suggested window ends before it starts".to_owned()) } else { Ok(window) }
    }

    /// A time in it, the same for the same chance; each is as likely as any other.
    pub fn pick(self, chance: u64) -> i64 {
        let length = u64::try_from(self.end.saturating_sub(self.start)).unwrap_or(1).max(1);
        self.start.saturating_add(i64::try_from(chance % length).unwrap_or(0))
    }
}

/// When a certificate is renewed of which its authority says nothing: when a third of its life is left, and up to a thirtieth earlier, so
/// that what was ordered at once is not renewed at once.
pub fn fixed(not_before: i64, not_after: i64, chance: u64) -> i64 {
    let life = not_after.saturating_sub(not_before).max(0);
    let spread = u64::try_from(life / 30).unwrap_or(0).max(1);
    not_after - life / 3 - i64::try_from(chance % spread).unwrap_or(0)
}

/// How long to wait before the window is asked for again, by what the authority said.
pub fn ask_again_secs(retry_after_secs: Option<i64>) -> i64 {
    retry_after_secs.unwrap_or(6 * 3600).clamp(ASK_SECS_MIN, ASK_SECS_MAX)
}

/// What an authority knows a certificate by (RFC 9773 §4.1): its authority's key, and its serial number as it is encoded.
pub fn certificate_id(authority_key: &[u8], serial: &[u8]) -> String {
    format!("{}.{}", BASE64_URL_SAFE_NO_PAD.encode(authority_key), BASE64_URL_SAFE_NO_PAD.encode(serial))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_example_of_the_rfc_is_read() {
        // RFC 9773 §4.2.
        let body = br#"{"suggestedWindow":{"start":"2025-01-02T04:00:00Z","end":"2025-01-03T04:00:00Z"},"explanationURL":"x"}"#;
        assert_eq!(Window::parse(body), Ok(Window { start: 1_735_790_400, end: 1_735_876_800 }));
        for wrong in [
            &b"{}"[..],
            b"[]",
            br#"{"suggestedWindow":{"start":"2025-01-03T04:00:00Z","end":"2025-01-03T04:00:00Z"}}"#,
            br#"{"suggestedWindow":{"start":"soon","end":"2025-01-03T04:00:00Z"}}"#,
        ] {
            assert!(Window::parse(wrong).is_err());
        }
        // RFC 9773 §4.1: serial 0x87654321, whose first bit is set, is encoded with an octet of zeros before.
        let key = [
            0x69, 0x88, 0x5B, 0x6B, 0x87, 0x46, 0x40, 0x41, 0xE1, 0xB3, 0x7B, 0x84, 0x7B, 0xA0, 0xAE, 0x2C, 0xDE, 0x01, 0xC8,
            0xD4,
        ];
        assert_eq!(certificate_id(&key, &[0x00, 0x87, 0x65, 0x43, 0x21]), "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE");
    }

    #[test]
    fn without_a_word_of_the_authority_a_third_of_the_life_is_left() {
        const DAY: i64 = 86_400;
        for days in [1, 6, 45, 90, 398] {
            for chance in [0, 1, u64::MAX / 2, u64::MAX] {
                let left = days * DAY - fixed(0, days * DAY, chance);
                assert!((days * DAY / 3..=days * DAY * 11 / 30).contains(&left), "{days} {left}");
            }
        }
        assert_eq!((ask_again_secs(None), ask_again_secs(Some(1)), ask_again_secs(Some(1 << 40))), (21_600, 60, 86_400));
    }

    proptest! {
        #[test]
        fn what_is_picked_lies_in_the_window(start in -1_000_000i64..4_000_000_000, length in 1i64..10_000_000, chance: u64) {
            let window = Window { start, end: start + length };
            let at = window.pick(chance);
            prop_assert!(at >= window.start && at < window.end);
        }
    }
}
