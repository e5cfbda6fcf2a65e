//! What brings visitors to HTTPS, and keeps them there (edge-behaviour §2.7). Pure.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use poterne_edge_http::{Body, Response, Scheme};
use poterne_model::setting::{EdgeSettings, Hsts, SslMode};
use poterne_snapshot::ZoneHead;

use crate::challenge;

const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// Where else a visitor is sent, before it is asked where the host leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Elsewhere {
    /// To HTTP: the zone is served in clear alone.
    InClear,
    /// To HTTPS: the zone wants no visitor in clear.
    OverTls,
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
pub(crate) fn redirect(to: Elsewhere, host: &str, uri: &Uri) -> Response {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let slash = if path.starts_with('/') { "" } else { "/" };
    let (scheme, status, remembered) = match to {
        Elsewhere::InClear => ("http", StatusCode::FOUND, "no-store"),
        Elsewhere::OverTls => ("https", StatusCode::MOVED_PERMANENTLY, "max-age=3600"),
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    if let Ok(location) = HeaderValue::try_from(format!("{scheme}://{host}{slash}{path}")) {
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
            let response = redirect(to, "a.test", &Uri::from_static(uri));
            let field = |name| response.headers()[name].to_str().unwrap().to_owned();
            (response.status().as_u16(), field("location"), field("cache-control"))
        };
        let told = |status, location: &str, cache: &str| (status, location.to_owned(), cache.to_owned());
        assert_eq!(to(Elsewhere::OverTls, "/a?b=//c"), told(301, "https://a.test/a?b=//c", "max-age=3600"));
        assert_eq!(to(Elsewhere::OverTls, "http://a.test:8080?q"), told(301, "https://a.test/?q", "max-age=3600"));
        assert_eq!(to(Elsewhere::InClear, "https://a.test"), told(302, "http://a.test/", "no-store"));
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
