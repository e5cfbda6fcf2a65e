//! What is asked where, and what is a good answer. Pure.
//!
//! A check may follow answers that lead elsewhere, at most [`HOPS_MAX`] times. Where they lead to whoever was asked, by the same name, the
//! same address is asked again: what the world finds under that name may be the edge itself. Elsewhere the guard decides as ever, and the
//! check's own fields, which may let somebody in, do not go along.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts};
use poterne_guard::{Scheme, Target};
use poterne_model::{
    Name,
    health_check::{CheckKind, CheckedAddress, HealthCheckTerms, HttpMethod, HttpTerms},
};

/// How often an answer that leads elsewhere is followed.
pub const HOPS_MAX: usize = 5;
/// How much of a body is looked through.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// Who asks, where the check does not say otherwise.
const USER_AGENT: &str = "Poterne-Healthchecks/1.0";

/// One request of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// Whether it goes over TLS.
    pub is_tls: bool,
    /// What is connected to.
    pub place: CheckedAddress,
    /// Its port.
    pub port: u16,
    /// The `Host` field.
    pub authority: String,
    /// Path and query.
    pub path: String,
    /// Whether it is asked whom the check means: its own fields go there alone.
    pub is_own: bool,
}

impl Hop {
    /// The first request.
    pub fn first(terms: &HealthCheckTerms, http: &HttpTerms) -> Self {
        let is_tls = terms.kind == CheckKind::Https;
        let port = terms.port();
        let asked = || authority(&terms.address, port, is_tls);
        Self {
            is_tls,
            place: terms.address.clone(),
            port,
            authority: http.host().map_or_else(asked, str::to_owned),
            path: http.path.clone(),
            is_own: true,
        }
    }

    /// Whom the certificate is to be for: the host asked for, without its port.
    pub fn host(&self) -> &str {
        host_of(&self.authority)
    }

    /// The request.
    ///
    /// # Errors
    /// Something of it cannot be written; every body that was read can.
    pub fn request(&self, http: &HttpTerms) -> Result<Parts, String> {
        let method = match http.method {
            HttpMethod::Get => Method::GET,
            HttpMethod::Head => Method::HEAD,
        };
        let built = http::Request::builder().method(method).uri(self.path.as_str()).body(());
        let (mut parts, ()) = built.map_err(|error| error.to_string())?.into_parts();
        let host = HeaderValue::from_str(&self.authority).map_err(|error| error.to_string())?;
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host);
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        // What is looked for is looked for in plain text.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        for (name, values) in http.header.iter().filter(|_| self.is_own) {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?;
            if name == header::HOST {
                continue;
            }
            headers.remove(&name);
            for value in values {
                headers.append(&name, HeaderValue::from_str(value).map_err(|error| error.to_string())?);
            }
        }
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        parts.headers = headers;
        Ok(parts)
    }

    /// Where an answer leads, if it is one that leads anywhere.
    ///
    /// # Errors
    /// It leads nowhere that could be asked.
    pub fn next(&self, status: StatusCode, headers: &HeaderMap) -> Result<Option<Self>, String> {
        let leads = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
        let Some(location) = headers.get(header::LOCATION).filter(|_| leads) else { return Ok(None) };
        let wrong = |why: &dyn std::fmt::Display| format!("it leads to another place that cannot be asked: {why}");
        let location = location.to_str().map_err(|error| wrong(&error))?;
        let scheme = if self.is_tls { "https" } else { "http" };
        let base = Target::parse(&format!("{scheme}://{}{}", self.authority, self.path)).map_err(|error| wrong(&error))?;
        let target = base.join(location).map_err(|error| wrong(&error))?;
        let is_tls = target.scheme == Scheme::Https;
        let is_same = is_tls == self.is_tls && target.authority() == base.authority();
        let is_same_host = target.host == base.host;
        let place = match (is_same_host, target.address) {
            (true, _) => self.place.clone(),
            (false, Some(address)) => CheckedAddress::Ip(address.to_canonical()),
            (false, None) => CheckedAddress::Name(Name::parse(&target.host).map_err(|error| wrong(&error))?),
        };
        Ok(Some(Self {
            is_tls,
            place,
            // What a name's port is to the world need not be the origin's.
            port: if is_same { self.port } else { target.port },
            authority: if is_same { self.authority.clone() } else { target.authority() },
            path: target.path,
            // Not from TLS to clear: a field may be a secret.
            is_own: self.is_own && is_same_host && (is_tls || !self.is_tls),
        }))
    }
}

/// The host whose origin a check asks: whom its first request means, and others that follow to the same. None of a check that asks nothing, or
/// asks by an address.
pub fn host_asked(terms: &HealthCheckTerms) -> Option<Name> {
    let http = terms.http.as_ref().filter(|_| terms.kind != CheckKind::Tcp)?;
    let host = Hop::first(terms, http).host().to_owned();
    Name::parse(&host).ok().filter(|_| host.parse::<IpAddr>().is_err())
}

fn authority(address: &CheckedAddress, port: u16, is_tls: bool) -> String {
    let host = match address {
        CheckedAddress::Ip(IpAddr::V6(address)) => format!("[{address}]"),
        other => other.to_string(),
    };
    let default = if is_tls { 443 } else { 80 };
    if port == default { host } else { format!("{host}:{port}") }
}

/// Without brackets and port.
fn host_of(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split_once(']').map_or(rest, |(host, _)| host);
    }
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') && port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// Whether a status is a good answer's.
///
/// # Errors
/// It is not, in words.
pub fn judge(http: &HttpTerms, status: StatusCode) -> Result<(), String> {
    if http.expected_codes.iter().any(|range| range.contains(status.as_u16())) {
        return Ok(());
    }
    let expected: Vec<String> = http.expected_codes.iter().map(ToString::to_string).collect();
    Err(format!("it answered {}, expected was {}", status.as_u16(), expected.join(" or ")))
}

/// Whether what is expected stands in a body, whatever its case.
pub fn holds(body: &[u8], expected: &str) -> bool {
    String::from_utf8_lossy(body).to_lowercase().contains(&expected.to_lowercase())
}

#[cfg(test)]
mod tests {
    use poterne_model::At;
    use serde_json::{Value, json};

    use super::*;

    fn terms(more: &Value) -> HealthCheckTerms {
        let mut body = json!({ "name": "a", "address": "192.0.2.7" });
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        HealthCheckTerms::read(&At::body(&body), None).unwrap()
    }

    fn first(more: &Value) -> (Hop, HttpTerms) {
        let terms = terms(more);
        let http = terms.http.clone().unwrap();
        (Hop::first(&terms, &http), http)
    }

    fn moved(hop: &Hop, to: &str) -> Result<Option<Hop>, String> {
        hop.next(StatusCode::FOUND, &HeaderMap::from_iter([(header::LOCATION, to.parse().unwrap())]))
    }

    #[test]
    fn a_request_says_whom_it_means_and_what_the_check_says() {
        let header = json!({ "X-Key": ["a", "b"], "accept": ["text/plain"] });
        let (hop, http) = first(&json!({ "http_config": { "path": "/health?x=1", "header": header } }));
        let parts = hop.request(&http).unwrap();
        assert_eq!(parts.uri, "/health?x=1");
        for (name, value) in [("host", "192.0.2.7"), ("accept", "text/plain"), ("connection", "close")] {
            assert_eq!(parts.headers[name], value);
        }
        assert_eq!(parts.headers.get_all("x-key").iter().collect::<Vec<_>>(), ["a", "b"]);
        let (hop, _) = first(&json!({ "type": "HTTPS", "address": "2001:db8::1", "http_config": { "port": 8443 } }));
        assert_eq!((hop.authority.as_str(), hop.host()), ("[2001:db8::1]:8443", "2001:db8::1"));
        let (hop, _) = first(&json!({ "type": "HTTPS", "http_config": { "header": { "hOST": ["www.site.test:444"] } } }));
        assert_eq!((hop.authority.as_str(), hop.host(), hop.port), ("www.site.test:444", "www.site.test", 443));
    }

    #[test]
    fn who_is_asked_again_by_the_same_name_is_asked_at_the_same_address() {
        let (hop, http) =
            first(&json!({ "http_config": { "port": 8080, "header": { "Host": ["www.site.test"], "X-Key": ["secret"] } } }));
        let next = moved(&hop, "../login?x").unwrap().unwrap();
        assert_eq!(next, Hop { path: "/login?x".into(), ..hop.clone() });
        assert!(next.request(&http).unwrap().headers.contains_key("x-key"));
        let secure = moved(&hop, "https://www.site.test/a").unwrap().unwrap();
        assert_eq!((secure.is_tls, secure.port, &secure.place, secure.is_own), (true, 443, &hop.place, true));
        assert!(
            !moved(&secure, "http://www.site.test/a").unwrap().unwrap().is_own,
            "what was said over TLS is not said in clear"
        );
        let other = moved(&hop, "//other.test:81/").unwrap().unwrap();
        assert_eq!((other.place.to_string().as_str(), other.port, other.is_own), ("other.test", 81, false));
        assert!(!other.request(&http).unwrap().headers.contains_key("x-key"));
        assert_eq!(other.request(&http).unwrap().headers["host"], "other.test:81");
        assert!(!moved(&other, "http://www.site.test/").unwrap().unwrap().is_own, "there is no way back");
        let address = moved(&hop, "http://[::ffff:127.0.0.1]/").unwrap().unwrap();
        assert_eq!(address.place, CheckedAddress::Ip("127.0.0.1".parse().unwrap()), "the guard is asked about what it is");
    }

    #[test]
    fn a_check_asks_the_origin_of_one_host() {
        let host = |more: &Value| host_asked(&terms(more)).map(|host| host.to_string());
        let named = json!({ "type": "HTTPS", "http_config": { "header": { "Host": ["WWW.site.test:8443"] } } });
        assert_eq!(host(&named).as_deref(), Some("www.site.test"));
        assert_eq!(host(&json!({ "type": "HTTPS", "address": "a.site.test" })).as_deref(), Some("a.site.test"));
        assert_eq!(host(&json!({ "address": "a.site.test" })).as_deref(), Some("a.site.test"), "it may be led to TLS");
        assert_eq!(host(&json!({ "type": "TCP", "address": "a.site.test", "tcp_config": { "port": 443 } })), None);
        assert_eq!(host(&json!({ "address": "192.0.2.7" })), None);
        assert_eq!(host(&json!({ "type": "HTTPS", "address": "2001:db8::1" })), None, "an address is no host");
    }

    #[test]
    fn what_leads_nowhere_is_no_way() {
        let (hop, _) = first(&json!({}));
        assert_eq!(hop.next(StatusCode::OK, &HeaderMap::from_iter([(header::LOCATION, "/x".parse().unwrap())])), Ok(None));
        assert_eq!(hop.next(StatusCode::FOUND, &HeaderMap::new()), Ok(None));
        for to in ["ftp://a.test/", "http://user:secret@a.test/", "http://", "javascript:alert(1)"] {
            let error = moved(&hop, to).unwrap_err();
            assert!(error.contains("cannot be asked") && !error.contains("secret"), "{to}: {error}");
        }
    }

    #[test]
    fn answers_are_judged_by_status_and_text() {
        let (_, http) = first(&json!({ "http_config": { "expected_codes": ["2xx", "401"] } }));
        assert!(judge(&http, StatusCode::NO_CONTENT).is_ok() && judge(&http, StatusCode::UNAUTHORIZED).is_ok());
        assert_eq!(judge(&http, StatusCode::FOUND), Err("it answered 302, expected was 2xx or 401".to_owned()));
        assert!(holds("… ÉTAT: Bon".as_bytes(), "état: bon") && !holds(b"alive\xff", "dead") && holds(b"\xffALIVE", "alive"));
    }
}
