//! The site that a passkey is made for, as a browser names it. Pure.
//!
//! A passkey belongs to one name: that of the page it was made on (WebAuthn §5.1.3, where it is called the relying party's id). Pages here
//! are at the node's own names, over TLS; and at `localhost` for whoever sits at the machine, or has its port led to theirs.

use std::net::IpAddr;

use poterne_model::Name;
use url::{Host, Url};
use webauthn_rs::prelude::{Webauthn, WebauthnBuilder, WebauthnError};

use super::SignInError;

/// Longest text that is looked at.
const ORIGIN_BYTES_MAX: usize = 300;

/// A name, and the origin of the page that asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    name: String,
    origin: Url,
}

impl Site {
    /// Reads an `Origin` field (RFC 6454 §7). `ip`: whose request it came with.
    ///
    /// # Errors
    /// It is none of this node's.
    pub(crate) fn read(origin: Option<&str>, ip: IpAddr, node_names: &[Name]) -> Result<Self, SignInError> {
        let shown = origin.unwrap_or("a request without Origin").chars().take(100).collect();
        let read = || {
            let text = origin.filter(|text| text.len() <= ORIGIN_BYTES_MAX)?;
            let url = Url::parse(text).ok().filter(|url| url.origin().ascii_serialization() == text)?;
            let Some(Host::Domain(host)) = url.host() else { return None };
            let is_local = host == "localhost" || host.ends_with(".localhost");
            let is_ours = node_names.iter().any(|name| name.as_str() == host);
            let is_safe = url.scheme() == "https" || is_local && url.scheme() == "http";
            let fits = is_safe && (is_ours || host == "localhost" && ip.to_canonical().is_loopback());
            fits.then(|| Self { name: host.to_owned(), origin: url.clone() })
        };
        read().ok_or(SignInError::Site(shown))
    }

    /// The name that its passkeys belong to.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn webauthn(&self) -> Result<Webauthn, WebauthnError> {
        WebauthnBuilder::new(&self.name, &self.origin)?.rp_name("Poterne").build()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9));

    fn names() -> Vec<Name> {
        ["node.example.net", "poterne.localhost"].map(|name| Name::parse(name).unwrap()).to_vec()
    }

    #[test]
    fn a_page_is_at_one_of_our_names_or_on_this_machine() {
        let read = |origin: &str, ip| Site::read(Some(origin), ip, &names()).map(|site| site.name).ok();
        assert_eq!(read("https://node.example.net", THERE).as_deref(), Some("node.example.net"));
        assert_eq!(read("https://node.example.net:10443", THERE).as_deref(), Some("node.example.net"));
        assert_eq!(read("http://poterne.localhost:10088", HERE).as_deref(), Some("poterne.localhost"));
        assert_eq!(read("http://localhost:8600", HERE).as_deref(), Some("localhost"));
        for (wrong, ip) in [
            ("http://node.example.net", HERE),
            ("https://example.net", HERE),
            ("https://a.node.example.net", HERE),
            ("https://node.example.net/", HERE),
            ("https://user@node.example.net", HERE),
            ("http://localhost:8600", THERE),
            ("http://127.0.0.1:8600", HERE),
            ("http://other.localhost", HERE),
            ("null", HERE),
            ("", HERE),
        ] {
            assert_eq!(read(wrong, ip), None, "{wrong}");
        }
        assert_eq!(Site::read(None, HERE, &names()).unwrap_err(), SignInError::Site("a request without Origin".into()));
        assert!(Site::read(Some("https://node.example.net"), THERE, &names()).unwrap().webauthn().is_ok());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,80}|https?://[a-z.:@/]{0,40}") {
            let _ = Site::read(Some(&text), HERE, &names());
        }
    }
}
