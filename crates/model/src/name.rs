//! Domain names, parsed once; afterwards the type is the proof.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// A domain name in its canonical text form: lower-case ASCII (A-labels), no trailing dot, 1 to 253 octets, labels of 1
/// to 63 octets. The left-most label may be `*`.
///
/// Labels hold letters, digits, `-` and `_` (service and challenge names such as `_acme-challenge`).
/// Sources: RFC 1035 §2.3.4 (sizes), RFC 4592 (wildcards), RFC 8552 (underscore names).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

crate::openapi::described!(Name, crate::Schema::name());

/// Why a text is no domain name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not a domain name: {why}")]
pub struct NameError {
    value: String,
    why: &'static str,
}

const LETTERS: &str = "a label has a character other than letters, digits, '-' and '_'";

impl NameError {
    /// For `value`, of which at most 80 characters are kept: it comes from outside and ends in logs.
    pub fn new(value: &str, why: &'static str) -> Self {
        Self { value: value.chars().take(80).collect(), why }
    }
}

impl Name {
    /// Reads a name, folding upper case and dropping one trailing dot.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let wrong = |why| NameError::new(text, why);
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.is_empty() {
            return Err(wrong("it is empty"));
        }
        if name.len() > 253 {
            return Err(wrong("it is longer than 253 characters"));
        }
        for (position, label) in name.split('.').enumerate() {
            match label.as_bytes() {
                [] => return Err(wrong("it has an empty label")),
                [b'*'] if position == 0 => {}
                bytes if bytes.len() > 63 => return Err(wrong("a label is longer than 63 characters")),
                bytes if bytes.iter().any(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))) => {
                    return Err(wrong(LETTERS));
                }
                [b'-', ..] | [.., b'-'] => return Err(wrong("a label begins or ends with '-'")),
                _ => {}
            }
        }
        Ok(Self(name.to_ascii_lowercase().into()))
    }

    /// Reads an owner name as clients submit it (api-v4 §0.10): `www`, `@`, `www.example.com`, `www.example.com.`, the apex, and
    /// `@.example.com` for the apex. What does not end in the zone's name gets it appended.
    pub fn in_zone(text: &str, apex: &Name) -> Result<Self, NameError> {
        let relative = text.strip_suffix('.').unwrap_or(text);
        let folded = relative.to_ascii_lowercase();
        let within = if folded == "@" { Some("") } else { folded.strip_suffix(apex.as_str()) };
        match within {
            Some("" | "@.") => Ok(apex.clone()),
            Some(rest) if rest.ends_with('.') => Self::parse(relative),
            _ if relative.is_empty() => Err(NameError::new(text, "it is empty: write @ for the zone itself")),
            _ => Self::parse(&format!("{relative}.{apex}")),
        }
    }

    /// The text, lower-case and without a trailing dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the left-most label is `*`.
    pub fn is_wildcard(&self) -> bool {
        &*self.0 == "*" || self.0.starts_with("*.")
    }

    /// Whether this name is `ancestor` or lies below it.
    pub fn is_within(&self, ancestor: &Name) -> bool {
        is_within(&self.0, &ancestor.0)
    }

    /// The name without its left-most label; none above a top-level name.
    pub fn parent(&self) -> Option<Name> {
        self.0.split_once('.').map(|(_, rest)| Self(rest.into()))
    }
}

/// Whether `name` is `ancestor` or lies below it; both in canonical form.
pub fn is_within(name: &str, ancestor: &str) -> bool {
    name.strip_suffix(ancestor).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// The name and each of its ancestors, the longest first: `a.b.c`, `b.c`, `c`.
pub fn ancestors(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| name.split_once('.').map(|(_, rest)| rest))
}

/// The name with its labels from the right and a space between: `com example www`. The space sorts before every character of a label,
/// so a name comes right before all that lies below it, and nothing else lies between.
pub fn path(name: &str) -> String {
    let mut path = String::with_capacity(name.len());
    for label in name.rsplit('.') {
        if !path.is_empty() {
            path.push(' ');
        }
        path.push_str(label);
    }
    path
}

/// The name of a [`path`], as text.
pub fn of_path(path: &str) -> String {
    let mut name = String::with_capacity(path.len());
    for label in path.rsplit(' ') {
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(label);
    }
    name
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({})", self.0)
    }
}

/// A name hashes and compares as its text, so that maps keyed by names are searched with a borrowed text.
impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0.as_ref().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folded_and_bounded() {
        assert_eq!(Name::parse("WWW.Example.COM.").unwrap().as_str(), "www.example.com");
        assert!(Name::parse("*.example.com").unwrap().is_wildcard());
        for wrong in ["", ".", "a..b", "a.*.b", "-a.b", "a b", "é.fr", &"a".repeat(64), &"a.".repeat(130)] {
            assert!(Name::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn submitted_names_end_in_their_zone() {
        let apex = Name::parse("example.com").unwrap();
        let read = |text: &str| Name::in_zone(text, &apex).map(String::from);
        for same in ["@", "@.example.com", "example.com", "Example.COM."] {
            assert_eq!(read(same).unwrap(), "example.com", "{same}");
        }
        for same in ["www", "WWW.example.com.", "www.example.com", "www."] {
            assert_eq!(read(same).unwrap(), "www.example.com", "{same}");
        }
        assert_eq!(read("notexample.com").unwrap(), "notexample.com.example.com");
        assert_eq!(read("*").unwrap(), "*.example.com");
        assert_eq!(read("a.@").unwrap_err().to_string(), NameError::new("a.@.example.com", LETTERS).to_string());
        for wrong in ["", ".", "a..b", ".example.com", &"a.".repeat(124)] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_lies_below_a_name_follows_it_in_the_order_of_paths() {
        let names = [
            "example.com",
            "*.example.com",
            "a.example.com",
            "b.a.example.com",
            "a-b.example.com",
            "ab.example.com",
            "xexample.com",
        ];
        let mut paths: Vec<String> = names.iter().map(|name| path(name)).collect();
        paths.sort();
        let sorted: Vec<String> = paths.iter().map(|path| of_path(path)).collect();
        assert_eq!(sorted, names);
        assert_eq!(path("www.example.com"), "com example www");
    }

    #[test]
    fn a_name_lies_within_itself_and_its_ancestors_only() {
        let name = Name::parse("a.example.com").unwrap();
        assert!(name.is_within(&Name::parse("example.com").unwrap()));
        assert!(name.is_within(&name));
        assert!(!Name::parse("notexample.com").unwrap().is_within(&Name::parse("example.com").unwrap()));
        assert_eq!(ancestors("a.b.c").collect::<Vec<_>>(), ["a.b.c", "b.c", "c"]);
    }
}
