//! Host names inside data.

use std::{borrow::Cow, fmt};

use crate::{Name, NameError};

/// A host name, or the root, by which MX, SRV, NAPTR and SVCB say "none" or "this name itself".
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// `.`
    Root,
    /// A name.
    Name(Name),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("."),
            Self::Name(name) => name.fmt(f),
        }
    }
}

impl Host {
    /// As a zone file has it: with its final dot.
    pub fn absolute(&self) -> String {
        match self {
            Self::Root => ".".to_owned(),
            Self::Name(name) => format!("{name}."),
        }
    }
}

/// How host names inside data are read.
#[derive(Debug, Clone, Copy)]
pub struct Hosts<'a> {
    /// What a name without a final dot is relative to, as in a zone file. None where every name is absolute, as in the API.
    pub origin: Option<&'a Name>,
    /// Turns a name with other letters than ASCII into A-labels (RFC 5891). The tables for that are not in this crate.
    pub to_ascii: fn(&str) -> Result<String, NameError>,
}

impl Default for Hosts<'_> {
    /// Absolute names in ASCII: what is kept in the store.
    fn default() -> Self {
        Self { origin: None, to_ascii: |text| Name::parse(text).map(String::from) }
    }
}

impl Hosts<'_> {
    /// Reads one.
    pub fn read(&self, text: &str) -> Result<Host, NameError> {
        if text == "." {
            return Ok(Host::Root);
        }
        if text == "@"
            && let Some(origin) = self.origin
        {
            return Ok(Host::Name(origin.clone()));
        }
        let text = if text.is_ascii() { Cow::Borrowed(text) } else { Cow::Owned((self.to_ascii)(text)?) };
        let name = match self.origin {
            Some(origin) if !text.ends_with('.') => Name::parse(&format!("{text}.{origin}"))?,
            _ => Name::parse(&text)?,
        };
        if name.is_wildcard() {
            return Err(NameError::new(name.as_str(), "a host has no '*': name one that exists"));
        }
        if name.as_str().rsplit('.').next().is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit())) {
            return Err(NameError::new(name.as_str(), "it looks like an address: use an A record for that, and its name here"));
        }
        Ok(Host::Name(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_absolute_unless_there_is_an_origin() {
        let origin = Name::parse("example.com").unwrap();
        let read = |text: &str, origin| Hosts { origin, ..Hosts::default() }.read(text).unwrap().to_string();
        assert_eq!(read("MX.Example.com.", None), "mx.example.com");
        assert_eq!(read("mx", None), "mx");
        assert_eq!(read("mx", Some(&origin)), "mx.example.com");
        assert_eq!(read("mx.example.net.", Some(&origin)), "mx.example.net");
        assert_eq!(read("@", Some(&origin)), "example.com");
        assert_eq!([read(".", None), Host::Root.absolute(), Host::Name(origin).absolute()], [".", ".", "example.com."]);
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for wrong in ["", "..", "@", "192.0.2.1", "*.example.com", "a b", "é.example"] {
            assert!(Hosts::default().read(wrong).is_err(), "{wrong:?}");
        }
    }
}
