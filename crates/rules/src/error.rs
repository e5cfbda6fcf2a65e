//! Why an expression is refused, with the place in it.

use std::fmt;

/// Most characters of an expression that are repeated before and after the place.
const SHOWN_CHARS: usize = 60;

/// Why an expression is refused. Its text says what is wrong and what to do, repeats the line, and points at the place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ExpressionError {
    /// Where, in bytes from the start.
    pub at: usize,
    /// How many bytes are meant; at least 1 where there are any.
    pub length: usize,
    /// What is wrong, and what to do.
    pub why: String,
    /// The line that it stands in, and below it a mark at the place.
    excerpt: String,
}

impl ExpressionError {
    pub(crate) fn new(text: &str, at: usize, end: usize, why: String) -> Self {
        let mut at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        let length = end.saturating_sub(at).max(1);
        Self { at, length, why, excerpt: excerpt(text, at, length) }
    }
}

impl fmt::Display for ExpressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at character {})\n{}", self.why, self.at + 1, self.excerpt)
    }
}

fn excerpt(text: &str, at: usize, length: usize) -> String {
    let (before, after) = text.split_at(at);
    let before = before.rsplit('\n').next().unwrap_or_default();
    let after = after.split('\n').next().unwrap_or_default();
    let skipped = before.chars().count().saturating_sub(SHOWN_CHARS);
    let (dots, before): (&str, String) =
        if skipped > 0 { ("…", before.chars().skip(skipped).collect()) } else { ("", before.into()) };
    let shown: String = after.chars().take(SHOWN_CHARS.max(1)).collect();
    let more = if shown.len() < after.len() { "…" } else { "" };
    let marks = shown.get(..length.min(shown.len())).map_or(1, |meant| meant.chars().count()).max(1);
    let blanks = dots.chars().count() + before.chars().count();
    let line: String = format!("{dots}{before}{shown}{more}").chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{line}\n{}{}", " ".repeat(blanks), "^".repeat(marks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_pointed_at() {
        let error = ExpressionError::new("http.host eq 1", 13, 14, "it is a number".into());
        assert_eq!(error.to_string(), "it is a number (at character 14)\nhttp.host eq 1\n             ^");
        let text = format!("{}\n  é bad {}", "x".repeat(100), "y".repeat(100));
        let at = text.find("bad").unwrap();
        let told = ExpressionError::new(&text, at, at + 3, "no".into()).to_string();
        assert!(told.ends_with("…\n    ^^^"), "{told}");
        assert!(!ExpressionError::new("", 9, 12, "empty".into()).to_string().is_empty());
        assert!(!ExpressionError::new("é", 1, 2, "within".into()).to_string().is_empty());
    }
}
