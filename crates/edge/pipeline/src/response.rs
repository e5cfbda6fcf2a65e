//! The response's fields on their way to the visitor (edge-behaviour §2.2). Pure.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use poterne_edge_http::{Body, Kind, Response, strict::parse_length};

use crate::{errors::Failure, hop, ray::RayId, request::CF_RAY};

/// How long a visitor may keep in mind that it can come by HTTP/3, in seconds.
const HTTP3_AGE: &str = "86400";
const HTTP3_443: HeaderValue = HeaderValue::from_static(r#"h3=":443"; ma=86400"#);
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const POTERNE: HeaderValue = HeaderValue::from_static("poterne");

/// Refuses what cannot be framed for a visitor, who asked so, without guessing; a length that is said twice is said once from here on.
pub(crate) fn check(response: &mut Response, kind: Kind, version: Version) -> Result<(), Failure> {
    match response.status() {
        StatusCode::SWITCHING_PROTOCOLS if kind == Kind::WebSocket => Ok(()),
        StatusCode::SWITCHING_PROTOCOLS => Err(Failure::InvalidResponse("it switched protocols without being asked")),
        status if status.is_informational() => Err(Failure::InvalidResponse("it has an interim status")),
        // Over HTTP/2 every such status opens the WebSocket (RFC 8441 §5); over HTTP/1.1 it declines, as any but 101.
        status if kind == Kind::WebSocket && version >= Version::HTTP_2 && status.is_success() => {
            Err(Failure::InvalidResponse("it does not speak WebSocket here, and answered something else"))
        }
        _ => check_length(response.headers_mut()),
    }
}

/// RFC 9112 §6.3: one length. (`Transfer-Encoding` is the local hop's own, and dropped.)
fn check_length(headers: &mut HeaderMap) -> Result<(), Failure> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else { return Ok(()) };
    let mut several = false;
    let agree = lengths.all(|other| {
        several = true;
        other == first
    });
    if parse_length(first.as_bytes()).is_none() || !agree {
        return Err(Failure::InvalidResponse("its Content-Length is no number, or several"));
    }
    // Two that agree are one.
    if several {
        let first = first.clone();
        headers.insert(header::CONTENT_LENGTH, first);
    }
    Ok(())
}

/// Makes the head what the visitor should see.
pub(crate) fn finish(response: &mut Response, ray: &RayId, quick: bool) {
    let headers = response.headers_mut();
    hop::strip(headers, is_dropped);
    sign(headers, ray);
    if quick {
        headers.insert(HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex"));
    }
    // RFC 9110 §15.3.5 and §15.4.5, whatever came after the head.
    if matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) || is_trailers_only(response.headers()) {
        *response.body_mut() = Body::empty();
    }
}

/// gRPC's "Trailers-Only": a call's status in the head is its end. Clients want the HTTP/2 frame of the head to say so itself, and a
/// body whose end a tunnel tells only later makes it two.
fn is_trailers_only(headers: &HeaderMap) -> bool {
    let is_grpc = |value: &HeaderValue| {
        let rest = value.as_bytes().strip_prefix(b"application/grpc");
        // Others that begin so, like application/grpc-web, have a framing of their own.
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
    };
    headers.get(header::CONTENT_TYPE).is_some_and(is_grpc) && headers.contains_key(GRPC_STATUS)
}

/// What every answer bears, the edge's own included.
pub(crate) fn sign(headers: &mut HeaderMap, ray: &RayId) {
    headers.insert(header::SERVER, POTERNE);
    headers.insert(CF_RAY, ray.value());
}

/// The field that offers HTTP/3 (RFC 7838 §3), on the port that the visitor named: where that is mapped to one of ours, its own is the one
/// that leads here.
pub(crate) fn http3_offer(port: u16) -> HeaderValue {
    if port == 443 {
        return HTTP3_443;
    }
    // Said with each answer where a port is mapped: no formatter.
    let port = HeaderValue::from(port);
    let offer = [br#"h3=":"#, port.as_bytes(), br#""; ma="#, HTTP3_AGE.as_bytes()].concat();
    HeaderValue::from_maybe_shared(Bytes::from(offer)).unwrap_or(HTTP3_443)
}

/// `Trailer` stays: it tells the visitor which trailers to expect (RFC 9110 §6.6.2).
fn is_dropped(name: &HeaderName) -> bool {
    match *name {
        // What an origin offers is not what the edge does.
        header::TRANSFER_ENCODING | header::UPGRADE | header::TE | header::PROXY_AUTHENTICATE | header::ALT_SVC => true,
        _ => {
            let name = name.as_str();
            match name.as_bytes().first() {
                Some(b'c') => {
                    name.starts_with("cf-int-")
                        || name.starts_with("cf-cloudflared-")
                        || matches!(name, "cloudflare-cdn-cache-control" | "cache-tag" | "cf-ray")
                }
                Some(b'p') => name.starts_with("poterne-") || name == "proxy-connection",
                Some(b'x') => name.starts_with("x-accel-"),
                Some(b'k') => name == "keep-alive",
                _ => false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ray::Site;

    fn response(status: u16, fields: &[(&str, &str)]) -> Response {
        fields.iter().fold(http::Response::builder().status(status), |r, (n, v)| r.header(*n, *v)).body(Body::full("x")).unwrap()
    }

    #[test]
    fn the_visitor_sees_no_hop_and_no_secret() {
        let gone = [
            "connection",
            "keep-alive",
            "x-hop",
            "transfer-encoding",
            "upgrade",
            "alt-svc",
            "cf-int-cloudflared-tracing",
            "cf-cloudflared-x",
            "x-accel-redirect",
            "cloudflare-cdn-cache-control",
            "cache-tag",
            "poterne-body",
        ];
        let mut fields: Vec<(&str, &str)> = gone.iter().map(|name| (*name, "x")).collect();
        fields[0].1 = "close, X-Hop";
        fields.extend([("server", "nginx"), ("set-cookie", "a"), ("set-cookie", "b"), ("trailer", "grpc-status")]);
        let mut response = response(200, &fields);
        let ray = RayId::new(&Site::new("X"));
        finish(&mut response, &ray, true);
        for name in gone {
            assert!(!response.headers().contains_key(name), "{name}");
        }
        assert_eq!(response.headers()["server"], "poterne");
        assert_eq!(response.headers()["cf-ray"], ray.as_str());
        assert_eq!(response.headers()["x-robots-tag"], "noindex");
        assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
        assert!(response.headers().contains_key("trailer"));
    }

    #[test]
    fn http3_is_offered_on_the_port_that_was_named() {
        for (port, offer) in [(443, r#"h3=":443"; ma=86400"#), (10443, r#"h3=":10443"; ma=86400"#)] {
            assert_eq!(http3_offer(port), offer);
        }
    }

    #[test]
    fn what_cannot_be_framed_is_refused() {
        let refused =
            |status, fields: &[(&str, &str)], kind| check(&mut response(status, fields), kind, Version::HTTP_11).is_err();
        assert!(refused(200, &[("content-length", "1"), ("content-length", "2")], Kind::Http));
        assert!(refused(200, &[("content-length", "-1")], Kind::Http));
        assert!(refused(101, &[], Kind::Http));
        assert!(refused(103, &[], Kind::Http));
        assert!(!refused(101, &[], Kind::WebSocket));
        let mut twice = response(200, &[("content-length", "1"), ("content-length", "1")]);
        assert!(check(&mut twice, Kind::Http, Version::HTTP_11).is_ok());
        assert_eq!(twice.headers().get_all("content-length").iter().count(), 1);
    }

    #[test]
    fn only_a_switch_of_protocols_opens_a_websocket() {
        let passes = |status, version| check(&mut response(status, &[]), Kind::WebSocket, version).is_ok();
        for (status, over_http_2) in
            [(101, true), (200, false), (204, false), (299, false), (302, true), (403, true), (500, true)]
        {
            assert_eq!((passes(status, Version::HTTP_11), passes(status, Version::HTTP_2)), (true, over_http_2), "{status}");
        }
    }

    #[test]
    fn answers_without_body_have_none() {
        for status in [204, 304] {
            let mut response = response(status, &[]);
            finish(&mut response, &RayId::new(&Site::new("X")), false);
            assert!(http_body::Body::is_end_stream(response.body()));
        }
    }

    #[test]
    fn a_call_whose_status_is_in_the_head_ends_there() {
        for (kind, status, ends) in [
            ("application/grpc", "grpc-status", true),
            ("application/grpc+proto", "grpc-status", true),
            ("application/grpc", "x-status", false),
            ("application/grpc-web", "grpc-status", false),
            ("text/plain", "grpc-status", false),
        ] {
            let mut response = response(200, &[("content-type", kind), (status, "5")]);
            finish(&mut response, &RayId::new(&Site::new("X")), false);
            assert_eq!(http_body::Body::is_end_stream(response.body()), ends, "{kind} with {status}");
        }
    }
}
