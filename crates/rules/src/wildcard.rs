//! Patterns in which `*` stands for anything, also for nothing (edge-behaviour §4.2): `\*` and `\\` are the characters themselves.

use std::{borrow::Cow, ops::Range};

use memchr::memmem;

/// A pattern for the whole of a text.
#[derive(Debug, Clone)]
pub(crate) struct Wildcard {
    /// What stands between the stars; at least one part.
    parts: Vec<memmem::Finder<'static>>,
    strict: bool,
}

impl Wildcard {
    /// `strict`: upper and lower case are two.
    ///
    /// # Errors
    /// Why it is no pattern.
    pub(crate) fn new(pattern: &[u8], strict: bool) -> Result<Self, &'static str> {
        let mut parts = vec![Vec::new()];
        let mut bytes = pattern.iter().copied().peekable();
        while let Some(byte) = bytes.next() {
            let part = parts.last_mut().expect("it begins with one");
            match byte {
                b'*' if bytes.peek() == Some(&b'*') => return Err("two stars in a row mean what one means: write one"),
                b'*' => parts.push(Vec::new()),
                b'\\' => match bytes.next() {
                    Some(escaped @ (b'*' | b'\\')) => part.push(escaped),
                    _ => return Err(r"in a pattern \ stands before * or \ alone: write \\ for the character itself"),
                },
                other => part.push(if strict { other } else { other.to_ascii_lowercase() }),
            }
        }
        let parts = parts.into_iter().map(|part| memmem::Finder::new(&part).into_owned()).collect();
        Ok(Self { parts, strict })
    }

    /// How many stars it has.
    pub(crate) fn stars(&self) -> usize {
        self.parts.len() - 1
    }

    pub(crate) fn matches(&self, text: &[u8]) -> bool {
        self.walk(text, |_| ())
    }

    /// What each star stands for, as little as it can; none where the text does not match.
    pub(crate) fn captures(&self, text: &[u8]) -> Option<Vec<Range<usize>>> {
        let mut found = Vec::with_capacity(self.stars());
        self.walk(text, |range| found.push(range)).then_some(found)
    }

    fn walk(&self, text: &[u8], mut star: impl FnMut(Range<usize>)) -> bool {
        let text: Cow<'_, [u8]> = match self.strict || !text.iter().any(u8::is_ascii_uppercase) {
            true => Cow::Borrowed(text),
            false => Cow::Owned(text.to_ascii_lowercase()),
        };
        let (first, rest) = self.parts.split_first().expect("it has a part");
        if !text.starts_with(first.needle()) {
            return false;
        }
        let mut at = first.needle().len();
        let Some((last, middle)) = rest.split_last() else { return at == text.len() };
        for part in middle {
            let Some(found) = part.find(&text[at..]) else { return false };
            star(at..at + found);
            at += found + part.needle().len();
        }
        let end = text.len() - last.needle().len().min(text.len());
        if end < at || !text.ends_with(last.needle()) {
            return false;
        }
        star(at..end);
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        let is = |pattern: &str, strict, text: &str| Wildcard::new(pattern.as_bytes(), strict).unwrap().matches(text.as_bytes());
        for (pattern, text, expected) in [
            ("/a/*", "/a/", true),
            ("/a/*", "/A/b/c", true),
            ("/a/*", "/a", false),
            ("*.Example.com", "www.example.com", true),
            ("*.example.com", "example.com", false),
            ("a*b*c", "abc", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "ac", false),
            ("ab*ba", "aba", false),
            (r"a\*b", "a*b", true),
            (r"a\*b", "axb", false),
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
        ] {
            assert_eq!(is(pattern, false, text), expected, "{pattern} {text}");
        }
        assert!(!is("/a/*", true, "/A/b") && is("/A/*", true, "/A/b"));
        assert!(
            Wildcard::new(b"a**", false).is_err()
                && Wildcard::new(br"a\b", false).is_err()
                && Wildcard::new(br"\", false).is_err()
        );
    }

    proptest! {
        #[test]
        fn it_is_what_the_regular_expression_says(pattern in "([ab]{0,2}\\*)?([ab]{0,2}\\*)?[ab]{0,2}", text in "[ab]{0,8}") {
            prop_assume!(!pattern.contains("**"));
            let wildcard = Wildcard::new(pattern.as_bytes(), true).unwrap();
            let regex = regex::bytes::Regex::new(&format!("^{}$", pattern.replace('*', "(.*?)"))).unwrap();
            let expected: Option<Vec<Range<usize>>> = regex.captures(text.as_bytes())
                .map(|all| all.iter().skip(1).map(|one| one.unwrap().range()).collect());
            prop_assert_eq!(wildcard.captures(text.as_bytes()), expected);
        }
    }
}
