//! What a URL names.

use std::{fmt, net::IpAddr};

use url::{Host, Url};

/// Longest URL, in bytes.
pub const URL_BYTES_MAX: usize = 2048;

/// Of `http` and `https`, one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// In clear.
    Http,
    /// Over TLS.
    Https,
}

/// Where a URL leads, before any name is resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// A name, in ASCII, or an address without brackets.
    pub host: String,
    /// The address, where the host is one.
    pub address: Option<IpAddr>,
    /// The port.
    pub port: u16,
    /// Path and query, as they are asked for.
    pub path: String,
}

/// Why a text is no URL to go to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not a URL.
    #[error("it is no URL ({0}): write one as in https://hooks.example.com/poterne")]
    Malformed(String),
    /// Too long.
    #[error("it has {0} bytes: at most {URL_BYTES_MAX} are taken")]
    Long(usize),
    /// Another scheme.
    #[error("its scheme is {0:?}: only https and http are spoken")]
    Scheme(String),
    /// A name and password before the host, which would end in logs.
    #[error("it has a user or a password in it: leave them out, and verify the signature instead")]
    Credentials,
}

impl Target {
    /// Reads a URL.
    ///
    /// # Errors
    /// It is none that can be gone to.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        if text.len() > URL_BYTES_MAX {
            return Err(TargetError::Long(text.len()));
        }
        let url = Url::parse(text).map_err(|error| TargetError::Malformed(error.to_string()))?;
        let scheme = match url.scheme() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            other => return Err(TargetError::Scheme(other.chars().take(32).collect())),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetError::Credentials);
        }
        let (host, address) = match url.host() {
            Some(Host::Domain(name)) => (name.to_owned(), None),
            Some(Host::Ipv4(address)) => (address.to_string(), Some(IpAddr::V4(address))),
            Some(Host::Ipv6(address)) => (address.to_string(), Some(IpAddr::V6(address))),
            None => return Err(TargetError::Malformed("it has no host".to_owned())),
        };
        let port = url.port().unwrap_or(match scheme {
            Scheme::Http => 80,
            Scheme::Https => 443,
        });
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        Ok(Self { scheme, host, address, port, path })
    }

    /// Where a reference within what was found there leads (RFC 3986 §5), as a `Location` field has it.
    ///
    /// # Errors
    /// It is none that can be gone to.
    pub fn join(&self, reference: &str) -> Result<Self, TargetError> {
        if reference.len() > URL_BYTES_MAX {
            return Err(TargetError::Long(reference.len()));
        }
        let malformed = |error: url::ParseError| TargetError::Malformed(error.to_string());
        let base = Url::parse(&format!("{self}{}", self.path)).map_err(malformed)?;
        Self::parse(base.join(reference).map_err(malformed)?.as_str())
    }

    /// What the `Host` field says.
    pub fn authority(&self) -> String {
        let host = match self.address {
            Some(IpAddr::V6(address)) => format!("[{address}]"),
            _ => self.host.clone(),
        };
        let default = match self.scheme {
            Scheme::Http => 80,
            Scheme::Https => 443,
        };
        if self.port == default { host } else { format!("{host}:{}", self.port) }
    }
}

/// Without path and query, which may hold a secret.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        write!(f, "{scheme}://{}", self.authority())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_url_is_read_with_its_port_and_path() {
        let target = Target::parse("https://Hooks.Example.com/a/b?c=d#e").unwrap();
        assert_eq!((target.host.as_str(), target.port, target.path.as_str()), ("hooks.example.com", 443, "/a/b?c=d"));
        assert_eq!((target.authority(), target.to_string()), ("hooks.example.com".into(), "https://hooks.example.com".into()));
        let target = Target::parse("http://[2001:db8::1]:8080").unwrap();
        assert_eq!((target.authority().as_str(), target.path.as_str()), ("[2001:db8::1]:8080", "/"));
        assert_eq!(Target::parse("https://münchen.example/").unwrap().host, "xn--mnchen-3ya.example");
    }

    #[test]
    fn an_address_is_known_in_every_spelling() {
        for text in [
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://127.1/",
            "http://127.0.0.1./",
            "http://①②⑦.⓪.⓪.①/",
        ] {
            assert_eq!(Target::parse(text).unwrap().address, Some("127.0.0.1".parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_gone_to_is_refused_with_the_reason() {
        for (text, why) in [
            ("hooks.example.com", "no URL"),
            ("", "no URL"),
            ("ftp://example.com/", "\"ftp\""),
            ("file:///etc/passwd", "\"file\""),
            ("gopher://127.0.0.1:25/", "\"gopher\""),
            ("https://user:secret@example.com/", "a user or a password"),
            ("https://", "no URL"),
            ("http://256.256.256.256/", "no URL"),
        ] {
            let error = Target::parse(text).unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("secret"), "{text}: {error}");
        }
        assert_eq!(Target::parse(&format!("https://a.example/{}", "x".repeat(2048))), Err(TargetError::Long(2066)));
    }

    #[test]
    fn a_reference_leads_on_from_where_it_was_found() {
        let from = Target::parse("https://a.example:8443/x/y?z").unwrap();
        for (reference, to, path) in [
            ("/b", "https://a.example:8443", "/b"),
            ("c?d#e", "https://a.example:8443", "/x/c?d"),
            ("//B.example/", "https://b.example", "/"),
            ("http://[::1]:81", "http://[::1]:81", "/"),
            ("", "https://a.example:8443", "/x/y?z"),
        ] {
            let target = from.join(reference).unwrap();
            assert_eq!((target.to_string().as_str(), target.path.as_str()), (to, path), "{reference}");
        }
        assert!(matches!(from.join("data:,x"), Err(TargetError::Scheme(_))));
        assert!(matches!(from.join("//u:p@b.example/"), Err(TargetError::Credentials)));
        assert_eq!(from.join(&"x".repeat(2049)), Err(TargetError::Long(2049)));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,60}") {
            if let Ok(target) = Target::parse(&text) {
                // Nothing that would end a line of the request.
                let sent = format!("{}{}", target.path, target.authority());
                prop_assert!(sent.chars().all(|c| c.is_ascii_graphic()), "{sent:?}");
            }
            if let Ok(target) = Target::parse("https://a.example/x").unwrap().join(&text) {
                let sent = format!("{}{}", target.path, target.authority());
                prop_assert!(sent.chars().all(|c| c.is_ascii_graphic()), "{sent:?}");
            }
        }
    }
}
