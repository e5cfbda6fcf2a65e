//! What certificate authorities are answered on a host (RFC 8555 §8.3, edge-behaviour §7.3), before anything else is asked of a request.
//!
//! The exact token of a challenge that is shown for exactly that host now, and nothing else: whatever else stands under that path is its
//! owner's, who may well have certificates of his own.

use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderValue, Method, Response as Http, header};
use poterne_edge_http::{Body, Request, Response};
use poterne_snapshot::Snapshot;

/// Where authorities look.
const PATH: &str = "/.well-known/acme-challenge/";

/// Whether an authority may look there: a token is one segment of base64url (RFC 8555 §8.3), so that no path which becomes another one in
/// its normal form, or to its origin, passes for it.
pub(crate) fn is_place(path: &str) -> bool {
    let token = path.strip_prefix(PATH).unwrap_or_default();
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// The answer, where a challenge is shown there.
pub(crate) fn answer(snapshot: &Snapshot, host: &str, request: &Request) -> Option<Response> {
    let token = request.uri().path().strip_prefix(PATH)?;
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return None;
    }
    // Modulo 2^32, as it is compared.
    let secs = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() % (1 << 32);
    let text = snapshot.http_challenge(host, token, u32::try_from(secs).ok()?)?;
    let mut response = Http::new(Body::full(text.to_owned()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Some(response)
}
