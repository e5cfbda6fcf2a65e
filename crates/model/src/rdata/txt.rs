//! TXT: text kept byte for byte as it came, and what it says on the wire (api-v4 §0.8).
//!
//! Some clients write quotes and others do not, and each compares what it reads with what it wrote. So the spelling is kept, and
//! the value derived: quoted strings one after the other where the text begins with a quote, else the text itself. Filters and the
//! search for duplicates compare values.

use super::{RdataError, Rtype, service::STRING_OCTETS_MAX, source::quoting, token};

/// Text of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Txt {
    content: String,
    value: Vec<u8>,
}

impl Txt {
    /// Longest value, in octets (edge-behaviour §1.4).
    pub const VALUE_OCTETS_MAX: usize = 2048;

    /// Longest text with its quotes and escapes, in characters: the longest value in strings of 255 octets, each octet as `\DDD`, as
    /// zone files may bring it. More than the 4,096 of api-v4 §4.2, which no value that is kept needs otherwise.
    pub const CONTENT_CHARS_MAX: usize = 4 * Self::VALUE_OCTETS_MAX + 64;

    /// Longest sum of the values at one name, in octets (edge-behaviour §1.4).
    pub const NAME_OCTETS_MAX: usize = 8192;

    /// Reads one, and keeps it as it is.
    pub fn parse(content: &str) -> Result<Self, RdataError> {
        let rtype = Rtype::Txt;
        let length = content.chars().count();
        if length > Self::CONTENT_CHARS_MAX {
            return Err(RdataError::TooLong { rtype, length, unit: "characters", max: Self::CONTENT_CHARS_MAX });
        }
        if content.trim().is_empty() {
            return Err(RdataError::Missing { rtype, member: "content" });
        }
        if let Some((at, _)) = content.char_indices().find(|(_, c)| c.is_control()) {
            let why =
                "a control character stands there: remove it, or put the text in quotes and write it as \\ and three digits";
            return Err(quoting(rtype, content, token::TokenError { at, why }));
        }
        let value = if content.trim_start().starts_with('"') { unquoted(content)? } else { bare(content)? };
        if value.len() > Self::VALUE_OCTETS_MAX {
            let (length, max) = (value.len(), Self::VALUE_OCTETS_MAX);
            return Err(RdataError::TooLong { rtype, length, unit: "octets", max });
        }
        Ok(Self { content: content.to_owned(), value })
    }

    /// As it came.
    pub fn content(&self) -> &str {
        &self.content
    }

    /// What it says, without quotes and escapes.
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// The character strings of the wire: at least one, each of at most 255 octets.
    pub fn strings(&self) -> impl Iterator<Item = &[u8]> {
        let none = self.value.is_empty().then_some(&self.value[..]);
        none.into_iter().chain(self.value.chunks(STRING_OCTETS_MAX))
    }
}

fn unquoted(content: &str) -> Result<Vec<u8>, RdataError> {
    let wrong = |error| quoting(Rtype::Txt, content, error);
    let mut value = Vec::new();
    for token in token::tokens(content).map_err(wrong)? {
        if !token.quoted {
            let why = "text stands outside the quotes: put all of it inside, or remove the quotes";
            return Err(wrong(token::TokenError { at: token.start, why }));
        }
        value.extend(token::unescape(token.raw).map_err(wrong)?);
    }
    Ok(value)
}

/// Without quotes a backslash is a backslash; quotes further on may stand, in pairs.
fn bare(content: &str) -> Result<Vec<u8>, RdataError> {
    if !content.matches('"').count().is_multiple_of(2) {
        let at = content.rfind('"').unwrap_or_default();
        let why = "a quotation mark is not closed: add the other one, or put the text in quotes and write \\\" for it";
        return Err(quoting(Rtype::Txt, content, token::TokenError { at, why }));
    }
    Ok(content.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(content: &str) -> Vec<u8> {
        let txt = Txt::parse(content).unwrap();
        assert_eq!(txt.content(), content);
        txt.value().to_vec()
    }

    #[test]
    fn quoted_or_not_it_says_the_same_and_keeps_its_spelling() {
        assert_eq!(value("abc"), b"abc");
        assert_eq!(value("\"abc\""), b"abc");
        assert_eq!(value(r#""a b" "c\"\065""#), b"a bc\"A");
        assert_eq!(value(r"v=DKIM1\; p=x"), br"v=DKIM1\; p=x");
        assert_eq!(value(r#"say "hi""#), br#"say "hi""#);
        assert_eq!(value("\"\""), b"");
        assert_eq!(value("é"), "é".as_bytes());
    }

    #[test]
    fn long_values_are_cut_for_the_wire() {
        let lengths = |content: &str| Txt::parse(content).unwrap().strings().map(<[u8]>::len).collect::<Vec<_>>();
        assert_eq!(lengths(&"x".repeat(600)), [255, 255, 90]);
        assert_eq!(lengths("\"\""), [0]);
        assert!(Txt::parse(&"x".repeat(Txt::VALUE_OCTETS_MAX)).is_ok());
        for wrong in ["x".repeat(Txt::VALUE_OCTETS_MAX + 1), "\\".repeat(Txt::CONTENT_CHARS_MAX + 1)] {
            assert!(matches!(Txt::parse(&wrong), Err(RdataError::TooLong { .. })));
        }
    }

    #[test]
    fn quotes_that_do_not_fit_are_refused() {
        for wrong in ["\"abc", "abc\"", "\"a\" b", "\"a\"b\"", r#""a\"#, "a\nb", "a\0"] {
            assert!(matches!(Txt::parse(wrong), Err(RdataError::Quoting { .. })), "{wrong:?}");
        }
        for empty in ["", "  "] {
            assert!(matches!(Txt::parse(empty), Err(RdataError::Missing { .. })));
        }
    }
}
