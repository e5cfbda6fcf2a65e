//! What went wrong with an order, and whose it is: that decides who is asked next, and when.

use serde::{Deserialize, Serialize};

/// Longest detail kept, in characters: an authority's words end in the store and in answers.
const DETAIL_MAX: usize = 1000;

/// Whose failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Culprit {
    /// The authority is not reached, or fails by itself: another one may do.
    Unreachable,
    /// It wants no more of us for a while.
    RateLimited,
    /// It does not want this order or this account: another one may.
    Refused,
    /// It looked, and did not find the proof: the name's own, so asking again at once helps nobody.
    Validation,
    /// A CAA record lets nobody here issue.
    Caa,
    /// Our own nodes did not show the proof in time.
    Node,
    /// Anything else of this program's.
    Internal,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{detail}")]
pub struct Trouble {
    /// Whose it is.
    pub culprit: Culprit,
    /// In words.
    pub detail: String,
    /// The authority says when to come again, in seconds from then.
    #[serde(default)]
    pub retry_after_secs: Option<i64>,
}

impl Trouble {
    /// With these words, of which a bounded part is kept.
    pub fn new(culprit: Culprit, detail: impl AsRef<str>) -> Self {
        let clean = |c: char| if c.is_control() { ' ' } else { c };
        Self { culprit, detail: detail.as_ref().chars().take(DETAIL_MAX).map(clean).collect(), retry_after_secs: None }
    }

    /// The same, to be tried again so much later at the earliest.
    #[must_use]
    pub fn after(self, secs: Option<i64>) -> Self {
        Self { retry_after_secs: secs.map(|secs| secs.max(0)), ..self }
    }

    /// By the type of a problem document (RFC 8555 §6.7) and its HTTP status.
    pub fn of_problem(kind: Option<&str>, status: Option<u16>, detail: &str) -> Self {
        let word = kind.and_then(|kind| kind.strip_prefix("urn:ietf:params:acme:error:")).unwrap_or_default();
        let culprit = match (word, status) {
            ("rateLimited", _) | (_, Some(429)) => Culprit::RateLimited,
            ("caa", _) => Culprit::Caa,
            ("dns" | "connection" | "incorrectResponse" | "tls" | "unauthorized" | "dnssec", _) => Culprit::Validation,
            ("serverInternal", _) | (_, Some(500..)) => Culprit::Unreachable,
            _ => Culprit::Refused,
        };
        let word = if word.is_empty() { String::new() } else { format!(" ({word})") };
        Self::new(culprit, format!("{detail}{word}"))
    }

    /// Whether another authority may do better now.
    pub fn may_pass_elsewhere(&self) -> bool {
        matches!(self.culprit, Culprit::Unreachable | Culprit::RateLimited | Culprit::Refused | Culprit::Validation)
    }

    /// Whether the authority should be left alone by everybody for a while.
    pub fn is_of_authority(&self) -> bool {
        matches!(self.culprit, Culprit::Unreachable | Culprit::RateLimited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_whose_it_is() {
        let of =
            |word: &str, status| Trouble::of_problem(Some(&format!("urn:ietf:params:acme:error:{word}")), status, "so").culprit;
        assert_eq!(of("rateLimited", Some(429)), Culprit::RateLimited);
        assert_eq!(of("caa", Some(403)), Culprit::Caa);
        for word in ["dns", "connection", "incorrectResponse", "tls", "unauthorized"] {
            assert_eq!(of(word, Some(403)), Culprit::Validation, "{word}");
        }
        assert_eq!(of("serverInternal", Some(500)), Culprit::Unreachable);
        assert_eq!(of("rejectedIdentifier", Some(400)), Culprit::Refused);
        assert_eq!(Trouble::of_problem(None, Some(503), "").culprit, Culprit::Unreachable);
        assert_eq!(Trouble::of_problem(None, Some(429), "").culprit, Culprit::RateLimited);
        let trouble = Trouble::new(Culprit::Refused, "a\nb".repeat(1000));
        assert!(trouble.detail.starts_with("a ba b") && trouble.detail.len() == DETAIL_MAX);
        assert_eq!(trouble.after(Some(-3)).retry_after_secs, Some(0));
    }
}
