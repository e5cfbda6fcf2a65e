//! What brings visitors to HTTPS, and keeps them there (edge-behaviour §2.7). Pure.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use poterne_edge_http::{Body, Connection, Response, Scheme};
use poterne_model::setting::{EdgeSettings, Hsts, SslMode};
use poterne_snapshot::ZoneHead;

use crate::{challenge, name::Host};

const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// Where else a visitor is sent, before it is asked where the host leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Elsewhere {
    /// To HTTP: the zone is served in clear alone.
    InClear,
    /// To HTTPS: the zone wants no visitor in clear.
    OverTls,
}

/// Where this node's visitors come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// In clear. Default 80.
    pub http: u16,
    /// Over TLS. Default 443.
    pub https: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self::of(&[], &[])
    }
}

impl Ports {
    /// Of a node that listens at these: where the scheme's own port is among them it is that one, else the first.
    pub fn of(http: &[u16], https: &[u16]) -> Self {
        let one = |ports: &[u16], scheme: Scheme| {
            let own = scheme.default_port();
            ports.first().copied().filter(|_| !ports.contains(&own)).unwrap_or(own)
        };
        Self { http: one(http, Scheme::Http), https: one(https, Scheme::Https) }
    }
}

/// Whether a visitor is sent elsewhere. A zone in clear has nothing to be reached over TLS by, so that mode `off` comes first.
pub(crate) fn elsewhere(zone: &ZoneHead, scheme: Scheme, path: &str) -> Option<Elsewhere> {
    match scheme {
        Scheme::Https => (zone.origin.ssl == SslMode::Off).then_some(Elsewhere::InClear),
        Scheme::Http => {
            let wants_tls = zone.edge.always_use_https && zone.origin.ssl != SslMode::Off;
            // An origin may prove its own name there, and authorities come in clear (RFC 8555 §8.3).
            (wants_tls && !challenge::is_place(path)).then_some(Elsewhere::OverTls)
        }
    }
}

/// The same place there.
///
/// To HTTP not for ever: the mode may be another tomorrow, and what browsers remember would outlive it. To HTTPS for good, as search engines want
/// it, but remembered by browsers for an hour.
///
/// Who came to a port of ours that is not the scheme's own, and says so, knows of no router between us: the other scheme is where this node
/// has it. For everybody else it is at its own port, whatever a router makes of that.
pub(crate) fn redirect(to: Elsewhere, host: &Host, connection: &Connection, uri: &Uri, ports: Ports) -> Response {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let slash = if path.starts_with('/') { "" } else { "/" };
    let (scheme, port, status, remembered) = match to {
        Elsewhere::InClear => (Scheme::Http, ports.http, StatusCode::FOUND, "no-store"),
        Elsewhere::OverTls => (Scheme::Https, ports.https, StatusCode::MOVED_PERMANENTLY, "max-age=3600"),
    };
    let knows = host.reached_port(connection).is_some_and(|port| port != connection.scheme.default_port());
    let port = match Some(port).filter(|port| knows && *port != scheme.default_port()) {
        Some(port) => format!(":{port}"),
        None => String::new(),
    };
    let (scheme, name) = (scheme.as_str(), &host.name);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    if let Ok(location) = HeaderValue::try_from(format!("{scheme}://{name}{port}{slash}{path}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(remembered));
    response
}

/// Writes what the zone says of its answers into one: of HTTPS over HTTPS alone (RFC 6797 §7.2), in the place of what the origin said.
pub(crate) fn finish(headers: &mut HeaderMap, settings: &EdgeSettings, scheme: Scheme) {
    if let Some(hsts) = settings.hsts.filter(|_| scheme == Scheme::Https) {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, strict(hsts));
        if hsts.nosniff {
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        }
    }
    if settings.adds_security {
        // What the origin chose itself is better than what fits all.
        headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(NOSNIFF);
        headers.entry(header::X_FRAME_OPTIONS).or_insert(HeaderValue::from_static("SAMEORIGIN"));
        headers.entry(header::X_XSS_PROTECTION).or_insert(HeaderValue::from_static("1; mode=block"));
        headers.entry(header::REFERRER_POLICY).or_insert(HeaderValue::from_static("same-origin"));
    }
    if settings.hides_powered_by {
        headers.remove(HeaderName::from_static("x-powered-by"));
    }
}

/// RFC 6797 §6.1.
fn strict(hsts: Hsts) -> HeaderValue {
    let subdomains = if hsts.include_subdomains { "; includeSubDomains" } else { "" };
    let preload = if hsts.preload { "; preload" } else { "" };
    HeaderValue::try_from(format!("max-age={}{subdomains}{preload}", hsts.max_age_secs)).expect("digits and words")
}

#[cfg(test)]
mod tests {
    use poterne_model::{AccountId, Name, ZoneId, ZoneStatus, setting::OriginSettings};

    use super::*;

    fn zone(always_use_https: bool, ssl: SslMode) -> ZoneHead {
        ZoneHead {
            id: ZoneId::from_bytes([1; 16]),
            account: AccountId::from_bytes([2; 16]),
            apex: Name::parse("site.test").unwrap(),
            status: ZoneStatus::Active,
            dns: None,
            origin: OriginSettings { ssl, ..OriginSettings::default() },
            edge: EdgeSettings { always_use_https, ..EdgeSettings::default() },
            client: None,
            partial: false,
        }
    }

    #[test]
    fn nobody_is_sent_in_circles() {
        let ask = |always, ssl, scheme, path: &str| elsewhere(&zone(always, ssl), scheme, path);
        for ssl in SslMode::ALL {
            let (clear, tls) = (ask(true, *ssl, Scheme::Http, "/"), ask(true, *ssl, Scheme::Https, "/"));
            assert_ne!(clear.is_some(), tls.is_some(), "{ssl}: one of both is served");
            assert_eq!(ask(false, *ssl, Scheme::Http, "/"), None);
        }
        assert_eq!(ask(true, SslMode::Flexible, Scheme::Http, "/a"), Some(Elsewhere::OverTls));
        assert_eq!(ask(true, SslMode::Full, Scheme::Http, "/.well-known/acme-challenge/token"), None);
        for other in
            ["s", "/", "/../../secret", "/%2e%2e/%2e%2e/secret", "/..\\..\\secret", "/token/", "/token/secret", "/..;/secret"]
        {
            let path = format!("/.well-known/acme-challenge{other}");
            assert_eq!(ask(true, SslMode::Full, Scheme::Http, &path), Some(Elsewhere::OverTls), "{path}");
        }
    }

    #[test]
    fn the_place_stays_the_same() {
        let to = |to, uri: &'static str| {
            let scheme = if to == Elsewhere::OverTls { Scheme::Http } else { Scheme::Https };
            let response = sent(to, scheme.default_port(), scheme.default_port(), &Uri::from_static(uri), Ports::default());
            let field = |name| response.headers()[name].to_str().unwrap().to_owned();
            (response.status().as_u16(), field("location"), field("cache-control"))
        };
        let told = |status, location: &str, cache: &str| (status, location.to_owned(), cache.to_owned());
        assert_eq!(to(Elsewhere::OverTls, "/a?b=//c"), told(301, "https://a.test/a?b=//c", "max-age=3600"));
        assert_eq!(to(Elsewhere::OverTls, "http://a.test:8080?q"), told(301, "https://a.test/?q", "max-age=3600"));
        assert_eq!(to(Elsewhere::InClear, "https://a.test"), told(302, "http://a.test/", "no-store"));
    }

    /// What a visitor of `a.test` is told who came to this port and said that one.
    fn sent(to: Elsewhere, local: u16, said: u16, uri: &Uri, ports: Ports) -> Response {
        let scheme = if to == Elsewhere::OverTls { Scheme::Http } else { Scheme::Https };
        let connection = Connection::new(([192, 0, 2, 1], 5000).into(), ([192, 0, 2, 2], local).into(), scheme, None);
        let host = Host { name: "a.test".into(), value: HeaderValue::from_static("a.test"), port: said };
        redirect(to, &host, &connection, uri, ports)
    }

    #[test]
    fn who_says_the_port_of_ours_he_came_to_is_sent_to_ours() {
        let ports = Ports::of(&[10_088], &[10_443]);
        let to = |to, local, said| {
            let response = sent(to, local, said, &Uri::from_static("/a"), ports);
            response.headers()["location"].to_str().unwrap().to_owned()
        };
        assert_eq!(to(Elsewhere::OverTls, 10_088, 10_088), "https://a.test:10443/a");
        assert_eq!(to(Elsewhere::InClear, 10_443, 10_443), "http://a.test:10088/a");
        // A router leads port 80 here, or another one, or the visitor says what it likes.
        for (local, said) in [(10_088, 80), (10_088, 8_080), (80, 80), (80, 10_088)] {
            assert_eq!(to(Elsewhere::OverTls, local, said), "https://a.test/a", "{local} {said}");
        }
    }

    #[test]
    fn a_schemes_own_port_is_preferred() {
        let ports = |http: &[u16], https: &[u16]| (Ports::of(http, https).http, Ports::of(http, https).https);
        assert_eq!(ports(&[8080, 80], &[8443, 443]), (80, 443));
        assert_eq!(ports(&[8080, 8081], &[8443]), (8080, 8443));
        assert_eq!(ports(&[], &[]), (80, 443));
    }

    #[test]
    fn browsers_are_told_over_https_alone() {
        let hsts = Hsts { max_age_secs: 31_536_000, include_subdomains: true, preload: true, nosniff: true };
        let settings = EdgeSettings { hsts: Some(hsts), ..EdgeSettings::default() };
        let of_origin = || HeaderMap::from_iter([(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=1"))]);
        let mut headers = of_origin();
        finish(&mut headers, &settings, Scheme::Https);
        assert_eq!(headers["strict-transport-security"], "max-age=31536000; includeSubDomains; preload");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        for (settings, scheme) in [(settings, Scheme::Http), (EdgeSettings::default(), Scheme::Https)] {
            let mut headers = of_origin();
            finish(&mut headers, &settings, scheme);
            assert_eq!(headers, of_origin());
        }
        let forget = Hsts { max_age_secs: 0, include_subdomains: false, preload: false, nosniff: false };
        assert_eq!(strict(forget), "max-age=0");
    }

    #[test]
    fn the_managed_fields_leave_what_the_origin_chose() {
        let settings = EdgeSettings { adds_security: true, hides_powered_by: true, ..EdgeSettings::default() };
        let mut headers = HeaderMap::new();
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        headers.append("x-powered-by", HeaderValue::from_static("PHP"));
        headers.append("x-powered-by", HeaderValue::from_static("Express"));
        finish(&mut headers, &settings, Scheme::Http);
        assert_eq!(headers["x-frame-options"], "DENY");
        assert_eq!(
            (&headers["x-content-type-options"], &headers["referrer-policy"]),
            (&NOSNIFF, &HeaderValue::from_static("same-origin"))
        );
        assert_eq!((headers.len(), headers.contains_key("x-powered-by")), (4, false));
    }
}
