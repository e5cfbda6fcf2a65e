//! The request's fields on their way to the origin (edge-behaviour §2.1). Pure.
//!
//! Order matters and is the point: what the visitor nominates or forges goes first, what the edge says comes after, so that
//! no `Connection: X-Forwarded-For` can take away what the edge set.

use std::{cell::Cell, net::IpAddr};

use http::{HeaderMap, HeaderName, HeaderValue, Version, header, uri};
use poterne_edge_http::{Connection, Request, Scheme};
use poterne_model::setting::EdgeSettings;

use crate::{compress::coding, hop, ray::RayId, visitor::Told};

/// Fields that [`prepare`] and whoever traces may add.
const FIELDS_ADDED: usize = 13;

pub(crate) const CF_RAY: HeaderName = HeaderName::from_static("cf-ray");
const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const CF_VISITOR: HeaderName = HeaderName::from_static("cf-visitor");
const CF_IPCOUNTRY: HeaderName = HeaderName::from_static("cf-ipcountry");

// Checked once, by the compiler.
const PROTO_HTTP: HeaderValue = HeaderValue::from_static("http");
const PROTO_HTTPS: HeaderValue = HeaderValue::from_static("https");
const VISITOR_HTTP: HeaderValue = HeaderValue::from_static(r#"{"scheme":"http"}"#);
const VISITOR_HTTPS: HeaderValue = HeaderValue::from_static(r#"{"scheme":"https"}"#);
const COUNTRY_UNKNOWN: HeaderValue = HeaderValue::from_static("XX");

/// What `CDN-Loop` is to say after this instance handled the request (RFC 8586 §2: tokens that are there are kept); none: it already did.
pub(crate) fn looped(headers: &HeaderMap, token: &HeaderValue) -> Option<HeaderValue> {
    let said = headers.get_all(CDN_LOOP);
    if said.iter().next().is_none() {
        return Some(token.clone());
    }
    let is_ours = |item: &[u8]| {
        let id = item.split(|byte| *byte == b';').next().unwrap_or_default();
        id.trim_ascii().eq_ignore_ascii_case(token.as_bytes())
    };
    if said.iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).any(is_ours) {
        return None;
    }
    let mut joined = Vec::new();
    for value in said {
        joined.extend_from_slice(value.as_bytes());
        joined.extend_from_slice(b", ");
    }
    joined.extend_from_slice(token.as_bytes());
    Some(HeaderValue::try_from(joined).unwrap_or_else(|_| token.clone()))
}

/// Makes the head what the origin should see.
pub(crate) fn prepare(
    request: &mut Request,
    host: HeaderValue,
    connection: &Connection,
    restored: Option<IpAddr>,
    settings: &EdgeSettings,
    ray: &RayId,
    looped: HeaderValue,
) {
    let told = Told::of(request.headers(), connection, restored, settings);
    let accepted = coding::told(request.headers(), settings);
    let length = http_body::Body::size_hint(request.body()).exact();
    // RFC 9110 §10.1.1: nothing is expected without a body, nor by HTTP/1.0. The codec let no other expectation pass.
    let expects = length != Some(0) && request.version() > Version::HTTP_10 && request.headers().contains_key(header::EXPECT);
    let headers = request.headers_mut();
    strip(headers);
    if expects {
        // The local service may refuse the body before the agent sends it on.
        headers.insert(header::EXPECT, HeaderValue::from_static("100-continue"));
    }
    // For all that follows at once: a map that grows step by step hashes every name again at each step.
    headers.reserve(FIELDS_ADDED);

    told.write(headers);
    let (proto, cf_visitor) = match connection.scheme {
        Scheme::Http => (PROTO_HTTP, VISITOR_HTTP),
        Scheme::Https => (PROTO_HTTPS, VISITOR_HTTPS),
    };
    headers.insert(X_FORWARDED_PROTO, proto);
    headers.insert(CF_VISITOR, cf_visitor);
    headers.insert(CF_RAY, ray.value());
    if settings.ip_geolocation {
        headers.insert(CF_IPCOUNTRY, COUNTRY_UNKNOWN);
    }
    headers.insert(CDN_LOOP, looped);
    headers.insert(header::HOST, host);
    // Without one the stock agent asks for gzip by itself and unpacks the answer (tunnel-protocol §4.2).
    headers.insert(header::ACCEPT_ENCODING, accepted);
    match length {
        // The codec took the length from the field, or (HTTP/2) there is no body at all.
        Some(0) => {}
        Some(length) => {
            headers.entry(header::CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
        }
        None => {
            headers.remove(header::CONTENT_LENGTH);
        }
    }
    make_origin_form(request);
}

/// Drops what the visitor may not say to the origin.
fn strip(headers: &mut HeaderMap) {
    let says_te = Cell::new(false);
    hop::strip(headers, |name| {
        says_te.set(says_te.get() || *name == header::TE);
        is_dropped(name)
    });
    if !says_te.get() {
        return;
    }
    if poterne_edge_http::strict::has_token(headers, header::TE, "trailers") {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    } else {
        headers.remove(header::TE);
    }
}

fn is_dropped(name: &HeaderName) -> bool {
    match *name {
        header::TRANSFER_ENCODING
        | header::UPGRADE
        | header::TRAILER
        | header::PROXY_AUTHENTICATE
        | header::PROXY_AUTHORIZATION
        | header::FORWARDED
        | header::EXPECT => true, // ours to say, where it means something
        _ => is_reserved(name.as_str()),
    }
}

/// Names that only an edge may use, that a server may confuse with them (`_`, `.`), or that are of one hop.
fn is_reserved(name: &str) -> bool {
    let listed = match name.as_bytes().first() {
        Some(b'c') => name.starts_with("cf-") || matches!(name, "cdn-loop" | "client-cert" | "client-cert-chain"),
        Some(b'x') => {
            matches!(name, "x-real-ip" | "x-forwarded-for" | "x-forwarded-host" | "x-forwarded-port" | "x-forwarded-proto")
        }
        Some(b'p') => name.starts_with("poterne-") || name == "proxy-connection",
        Some(b'k' | b'h' | b't') => matches!(name, "keep-alive" | "http2-settings" | "true-client-ip"),
        _ => false,
    };
    listed || name.bytes().any(|byte| matches!(byte, b'_' | b'.'))
}

/// The target becomes path and query alone: the authority is in `Host`.
fn make_origin_form(request: &mut Request) {
    if request.uri().authority().is_none() && request.uri().scheme().is_none() {
        return;
    }
    let mut parts = uri::Parts::default();
    parts.path_and_query = Some(match request.uri().path_and_query() {
        Some(path) if !path.as_str().starts_with('?') => path.clone(),
        // `http://host?query`: RFC 9112 §3.2.1 says an empty path is sent as `/`.
        Some(path) => uri::PathAndQuery::try_from(format!("/{path}")).unwrap_or(uri::PathAndQuery::from_static("/")),
        None => uri::PathAndQuery::from_static("/"),
    });
    *request.uri_mut() = uri::Uri::from_parts(parts).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use poterne_edge_http::Body;

    use super::*;
    use crate::ray::Site;

    fn prepared(uri: &str, fields: &[(&str, &str)]) -> Request {
        let mut request =
            fields.iter().fold(http::Request::builder().uri(uri), |r, (n, v)| r.header(*n, *v)).body(Body::empty()).unwrap();
        prepare_for_test(&mut request);
        request
    }

    fn prepare_for_test(request: &mut Request) {
        let address = "192.0.2.7:1".parse().unwrap();
        let connection = Connection::new(address, address, Scheme::Https, None);
        let looped = looped(request.headers(), &HeaderValue::from_static("poterne-1")).expect("no loop");
        prepare(
            request,
            HeaderValue::from_static("a.test"),
            &connection,
            None,
            &EdgeSettings::default(),
            &RayId::new(&Site::new("X")),
            looped,
        );
    }

    fn value<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
        let mut values = request.headers().get_all(name).iter();
        let first = values.next().map(|value| value.to_str().unwrap());
        assert!(values.next().is_none(), "{name} came twice");
        first
    }

    #[test]
    fn the_edge_says_who_the_visitor_is() {
        let request = prepared(
            "https://A.test/p?q",
            &[("cf-connecting-ip", "6.6.6.6"), ("x-forwarded-proto", "gopher"), ("cf-visitor", "x")],
        );
        assert_eq!(request.uri(), "/p?q");
        assert_eq!(value(&request, "host"), Some("a.test"));
        assert_eq!(value(&request, "cf-connecting-ip"), Some("192.0.2.7"));
        assert_eq!(value(&request, "x-forwarded-for"), Some("192.0.2.7"));
        assert_eq!(value(&request, "x-forwarded-proto"), Some("https"));
        assert_eq!(value(&request, "cf-visitor"), Some(r#"{"scheme":"https"}"#));
        assert_eq!(value(&request, "cdn-loop"), Some("poterne-1"));
        assert_eq!(value(&request, "accept-encoding"), Some("identity"));
        assert_eq!(value(&request, "cf-ray").unwrap().len(), 18);
    }

    #[test]
    fn connection_cannot_take_away_what_the_edge_sets() {
        let request = prepared(
            "/",
            &[
                ("connection", "close, X-Forwarded-For, CF-Connecting-IP, x-mine, host"),
                ("x-mine", "1"),
                ("x-other", "2"),
                ("x-forwarded-for", "1.1.1.1"),
            ],
        );
        assert_eq!(value(&request, "x-forwarded-for"), Some("1.1.1.1,192.0.2.7"));
        assert_eq!(value(&request, "cf-connecting-ip"), Some("192.0.2.7"));
        assert_eq!(value(&request, "host"), Some("a.test"));
        assert_eq!(value(&request, "x-mine"), None);
        assert_eq!(value(&request, "x-other"), Some("2"));
        assert_eq!(value(&request, "connection"), None);
    }

    #[test]
    fn a_trace_passes_on_as_it_came() {
        // W3C Trace Context: whoever takes no part in a trace leaves it alone (§4.2).
        let (parent, state) = ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "congo=t61rcWkgMzE");
        let request = prepared("/", &[("traceparent", parent), ("tracestate", state), ("baggage", "a=1")]);
        for (name, expected) in [("traceparent", parent), ("tracestate", state), ("baggage", "a=1")] {
            assert_eq!(value(&request, name), Some(expected));
        }
    }

    #[test]
    fn forged_and_hop_by_hop_fields_are_gone() {
        let names = [
            "cf-cloudflared-x",
            "cf-int-x",
            "cf-trace-id",
            "poterne-body",
            "x-real-ip",
            "x-forwarded-host",
            "x-forwarded-port",
            "forwarded",
            "keep-alive",
            "proxy-connection",
            "proxy-authorization",
            "proxy-authenticate",
            "trailer",
            "upgrade",
            "x_forwarded_for",
            "a.b",
            "true-client-ip",
            "expect",
            "http2-settings",
            "cf-ew-via",
            // RFC 9440 §4: whoever ends TLS says these, and nobody else.
            "client-cert",
            "client-cert-chain",
            "cf-cert-verified",
        ];
        let fields: Vec<(&str, &str)> = names.iter().map(|name| (*name, "forged")).collect();
        let request = prepared("/", &fields);
        for name in names {
            assert!(!request.headers().contains_key(name), "{name}");
        }
        assert!(request.headers().values().all(|value| value != "forged"));
    }

    #[test]
    fn an_expectation_goes_with_a_body_alone() {
        let told = |version, body: Body| {
            let mut request = http::Request::put("/").version(version).header("expect", "100-Continue").body(body).unwrap();
            prepare_for_test(&mut request);
            request.headers().get("expect").cloned()
        };
        let upload = || Body::full("x");
        assert_eq!(told(Version::HTTP_11, upload()), Some(HeaderValue::from_static("100-continue")));
        assert_eq!(told(Version::HTTP_2, upload()), Some(HeaderValue::from_static("100-continue")));
        assert_eq!(told(Version::HTTP_10, upload()), None);
        assert_eq!(told(Version::HTTP_11, Body::empty()), None);
    }

    #[test]
    fn te_keeps_trailers_alone() {
        assert_eq!(value(&prepared("/", &[("te", "deflate;q=0.5, Trailers")]), "te"), Some("trailers"));
        assert_eq!(value(&prepared("/", &[("te", "deflate")]), "te"), None);
        assert_eq!(value(&prepared("/", &[("accept-encoding", "br")]), "accept-encoding"), Some("br"));
    }

    #[test]
    fn a_loop_is_seen_and_other_instances_are_not_loops() {
        let token = HeaderValue::from_static("poterne-1");
        let seen = |value: &str| {
            let headers = HeaderMap::from_iter([(CDN_LOOP, HeaderValue::from_str(value).unwrap())]);
            looped(&headers, &token).is_none()
        };
        assert!(seen("cloudflare; loops=1, Poterne-1; x=y"));
        assert!(!seen("poterne-12, poterne"));
        assert_eq!(value(&prepared("/", &[("cdn-loop", "cloudflare")]), "cdn-loop"), Some("cloudflare, poterne-1"));
    }
}
