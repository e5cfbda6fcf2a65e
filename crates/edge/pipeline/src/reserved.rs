//! `/cdn-cgi/`: the edge's own path on every proxied host (edge-behaviour §2.3).

use std::{
    fmt::Write as _,
    time::{SystemTime, UNIX_EPOCH},
};

use http::{HeaderValue, Version, header};
use poterne_edge_http::{Body, Connection, Request, Response, Scheme};

use crate::{errors::Failure, ray::Site};

/// Whether the edge answers this path itself.
pub(crate) fn is_reserved(path: &str) -> bool {
    path.strip_prefix("/cdn-cgi").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The answer to a reserved path.
pub(crate) fn answer(
    request: &Request,
    host: &str,
    visitor: &str,
    connection: &Connection,
    site: &Site,
) -> Result<Response, Failure> {
    if request.uri().path() != "/cdn-cgi/trace" {
        return Err(Failure::NoReserved);
    }
    let agent = request.headers().get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let http = match request.version() {
        Version::HTTP_3 => "http/3",
        Version::HTTP_2 => "http/2",
        Version::HTTP_10 => "http/1.0",
        _ => "http/1.1",
    };
    let (tls, sni) = match (connection.scheme, &connection.sni) {
        (Scheme::Http, _) => ("off", "off"),
        (Scheme::Https, Some(_)) => ("on", "plaintext"),
        (Scheme::Https, None) => ("on", "off"),
    };
    let mut out = String::with_capacity(256);
    let _ = writeln!(out, "h={host}\nip={visitor}\nts={}.{:03}", now.as_secs(), now.subsec_millis());
    let _ = writeln!(out, "visit_scheme={}\nuag={agent}\ncolo={}", connection.scheme.as_str(), site.as_str());
    let _ = writeln!(out, "http={http}\nloc=XX\ntls={tls}\nsni={sni}");
    let mut response = Response::new(Body::full(out));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
