//! Whether a request that a browser sends by itself (cookies are) comes from a page of ours. Pure.
//!
//! Cookies are `SameSite=Strict`, and this is the second lock: what changes anything must say that it comes from our own origin, by
//! `Sec-Fetch-Site` (Fetch metadata, which no page can write) or else by `Origin` (RFC 6454 §7), and what a form of another site could
//! send at all, a POST, must be of a kind that no form sends.

use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use poterne_control_wire::codes;

use crate::answer::Answer;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");

/// How a browser comes here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Over TLS, which may end at a proxy before us.
    Secure,
    /// In clear, from this machine.
    Local,
}

/// What a request says of where it comes from and goes to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Coming<'r> {
    /// Its fields.
    pub(crate) headers: &'r HeaderMap,
    /// The name and port it is for.
    pub(crate) host: &'r str,
    /// It came to us over TLS.
    pub(crate) over_tls: bool,
}

impl Coming<'_> {
    fn text(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap_or(""))
    }

    /// The page's origin, as it is sent.
    pub(crate) fn origin(&self) -> Option<&str> {
        self.text(&header::ORIGIN)
    }

    /// Whether it came in clear, for a name that leads nowhere but to this machine.
    pub(crate) fn is_local(&self) -> bool {
        !self.over_tls && is_local(self.host)
    }

    /// How the browser comes.
    ///
    /// # Errors
    /// In clear, and not from this machine: nothing secret is said then.
    pub(crate) fn way(&self) -> Result<Way, Answer<()>> {
        let by_proxy = self.origin().is_some_and(|origin| origin.starts_with("https://"));
        if self.over_tls || by_proxy {
            return Ok(Way::Secure);
        }
        if self.is_local() {
            return Ok(Way::Local);
        }
        let message = "signing in needs https, or http at localhost: nothing secret is taken in clear";
        Err(Answer::error(StatusCode::FORBIDDEN, codes::INSECURE, message))
    }

    /// Whether it may change something by the cookie it shows.
    ///
    /// # Errors
    /// It may come from another site; the message says what a client of ours would send.
    pub(crate) fn may_change(&self, method: &Method) -> Result<(), Answer<()>> {
        if method.is_safe() {
            return Ok(());
        }
        match self.is_own() {
            Some(true) => {}
            Some(false) => return Err(cross_site("it comes from a page of another site")),
            None => return Err(cross_site("a request with a cookie says where it comes from: send Origin")),
        }
        self.is_no_form(method)
    }

    /// Whether somebody may sign in by it: without a cookie there is nothing to steal, but a page of another site could sign a browser in
    /// as somebody else.
    pub(crate) fn may_sign_in(&self, method: &Method) -> Result<(), Answer<()>> {
        if self.is_own() == Some(false) {
            return Err(cross_site("it comes from a page of another site"));
        }
        self.is_no_form(method)
    }

    /// Whether it comes from our own origin; none where it does not say.
    fn is_own(&self) -> Option<bool> {
        if let Some(site) = self.text(&FETCH_SITE) {
            return Some(site == "same-origin");
        }
        let origin = self.origin()?;
        // An opaque one (`null`) is nobody's.
        let Some((scheme, rest)) = origin.split_once("://") else { return Some(false) };
        let default = match scheme {
            "https" => ":443",
            "http" => ":80",
            _ => return Some(false),
        };
        let bare = |host: &str| host.strip_suffix(default).unwrap_or(host).to_ascii_lowercase();
        let is_downgraded = self.over_tls && scheme == "http";
        Some(!is_downgraded && bare(rest) == bare(self.host))
    }

    fn is_no_form(&self, method: &Method) -> Result<(), Answer<()>> {
        let kind = self.text(&header::CONTENT_TYPE).unwrap_or("");
        let is_json = kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
        if *method != Method::POST || is_json || self.headers.contains_key(REQUESTED_WITH) {
            return Ok(());
        }
        Err(cross_site("a POST with a cookie is of the type application/json, or has the field X-Requested-With"))
    }
}

fn cross_site(why: &str) -> Answer<()> {
    Answer::error(StatusCode::FORBIDDEN, codes::CROSS_SITE, format!("this request was not taken: {why}"))
}

/// Whether a browser that goes there stays on its machine.
fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => host.split(':').next().unwrap_or(""),
    };
    let name = name.to_ascii_lowercase();
    let is_loopback = name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    is_loopback || name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn may(fields: &[(&'static str, &str)], host: &str, over_tls: bool, method: &Method) -> bool {
        Coming { headers: &headers(fields), host, over_tls }.may_change(method).is_ok()
    }

    const JSON: (&str, &str) = ("content-type", "application/json");

    #[test]
    fn what_changes_something_says_that_it_comes_from_us() {
        let origin = |origin| [("origin", origin), JSON];
        let host = "node.example.net";
        assert!(may(&[], host, true, &Method::GET), "reading needs no word: no page of another site sees the answer");
        assert!(may(&origin("https://node.example.net"), host, true, &Method::POST));
        assert!(may(&origin("https://node.example.net"), "node.example.net:443", true, &Method::POST));
        assert!(may(&origin("http://localhost:8600"), "localhost:8600", false, &Method::POST));
        assert!(may(&[("sec-fetch-site", "same-origin"), JSON], "127.0.0.1:8600", false, &Method::POST), "behind a proxy");
        for wrong in [
            "https://evil.example",
            "http://node.example.net",
            "https://node.example.net:8443",
            "null",
            "",
            "ftp://node.example.net",
        ] {
            assert!(!may(&origin(wrong), host, true, &Method::POST), "{wrong}");
        }
        for site in ["cross-site", "same-site", "none", ""] {
            let fields = [("sec-fetch-site", site), ("origin", "https://node.example.net"), JSON];
            assert!(!may(&fields, host, true, &Method::POST), "{site}");
        }
        assert!(!may(&[JSON], host, true, &Method::DELETE), "it says nothing");
    }

    #[test]
    fn what_a_form_could_send_is_refused() {
        let own = ("origin", "https://a.example");
        for (kind, taken) in [
            ("application/json", true),
            ("application/json; charset=utf-8", true),
            ("text/plain", false),
            ("text/plain; application/json", false),
            ("multipart/form-data", false),
        ] {
            assert_eq!(may(&[own, ("content-type", kind)], "a.example", true, &Method::POST), taken, "{kind}");
        }
        assert!(!may(&[own], "a.example", true, &Method::POST));
        assert!(may(&[own, ("x-requested-with", "fetch")], "a.example", true, &Method::POST));
        assert!(may(&[own], "a.example", true, &Method::DELETE), "no form sends that");
    }

    #[test]
    fn signing_in_needs_no_word_but_none_of_another_site() {
        let may = |fields: &[(&'static str, &str)]| {
            Coming { headers: &headers(fields), host: "a.example", over_tls: true }.may_sign_in(&Method::POST).is_ok()
        };
        assert!(may(&[JSON]) && may(&[JSON, ("origin", "https://a.example")]));
        assert!(!may(&[JSON, ("origin", "https://b.example")]) && !may(&[]));
        assert!(!may(&[JSON, ("origin", "null")]), "a sandboxed frame");
    }

    #[test]
    fn nothing_secret_is_taken_in_clear() {
        let way = |fields: &[(&'static str, &str)], host: &str, over_tls| {
            Coming { headers: &headers(fields), host, over_tls }.way().ok()
        };
        assert_eq!(way(&[], "node.example.net", true), Some(Way::Secure));
        assert_eq!(way(&[("origin", "https://node.example.net")], "127.0.0.1:8600", false), Some(Way::Secure));
        for local in ["localhost", "localhost:8600", "127.0.0.1:8600", "[::1]:8600", "poterne.localhost:10088", "127.9.9.9"] {
            assert_eq!(way(&[], local, false), Some(Way::Local), "{local}");
        }
        for clear in ["node.example.net", "192.0.2.1:8600", "localhost.example", "", "[", "[2001:db8::1]"] {
            assert_eq!(way(&[], clear, false), None, "{clear}");
        }
    }

    proptest! {
        #[test]
        fn no_other_origin_is_ours(name in "[a-z0-9.-]{1,20}", port in prop::option::of(1u16..), over_tls: bool) {
            let host = port.map_or_else(|| name.clone(), |port| format!("{name}:{port}"));
            let origin = format!("https://x{host}");
            prop_assert!(!may(&[("origin", origin.as_str()), JSON], &host, over_tls, &Method::POST));
            let origin = format!("https://{host}");
            prop_assert!(may(&[("origin", origin.as_str()), JSON], &host, over_tls, &Method::POST));
        }

        #[test]
        fn no_text_panics(origin in "[ -~]{0,60}", host in "[ -~]{0,60}", over_tls: bool) {
            let headers = headers(&[("origin", origin.as_str())]);
            let coming = Coming { headers: &headers, host: &host, over_tls };
            let _ = (coming.may_change(&Method::POST).is_ok(), coming.way().is_ok());
        }
    }
}
