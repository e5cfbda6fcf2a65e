//! Answers made shorter on their way to the visitor (edge-behaviour §2.12).
//!
//! * [`coding`]: what a visitor accepts, and what the origin is asked for; pure;
//! * [`types`]: which content is worth it; pure;
//! * [`encoder`]: the three compressors behind one face;
//! * [`body`]: a body that is compressed while it flows.
//!
//! What the origin compressed itself passes as it is: it was asked for nothing that the visitor does not accept, so nothing is ever unpacked
//! here. Why it is so, and what it costs: `docs/decisions/0025-compression.md`.

mod body;
pub(crate) mod coding;
mod encoder;
#[cfg(test)]
mod tests;
mod types;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use poterne_edge_http::{Body, Kind, Request, Response, strict};
use poterne_model::setting::EdgeSettings;
use poterne_telemetry::{Gauge, Metrics};

use self::{body::Compressed, coding::Coding};

/// Answers compressed at once, each with a compressor of at most 1.5 MiB; others pass as they are.
pub(crate) const COMPRESSED_MAX: usize = 512;

/// Fields that say something of the octets that are no more (RFC 9530, and what was before it), or promise ranges of them (RFC 9110 §14.3).
const OF_THE_OCTETS: [HeaderName; 6] = [
    header::ACCEPT_RANGES,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("repr-digest"),
    header::CONTENT_LENGTH,
];

/// What a request says of its answer's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// It is none of ours to touch.
    AsItIs,
    /// This visitor accepts no coding; another one may.
    Plain,
    /// With this coding.
    With(Coding),
}

impl Wish {
    /// Of a head as it came.
    pub(crate) fn of(request: &Request, kind: Kind, settings: &EdgeSettings) -> Self {
        let headers = request.headers();
        // An answer to HEAD has no octets; RFC 9111 §5.2.1.6.
        if kind == Kind::WebSocket
            || request.method() == Method::HEAD
            || strict::has_token(headers, header::CACHE_CONTROL, "no-transform")
        {
            return Self::AsItIs;
        }
        coding::preferred(headers, settings).map_or(Self::Plain, Self::With)
    }
}

/// How many answers are being compressed.
#[derive(Debug, Clone)]
pub(crate) struct Compression {
    now: Arc<AtomicUsize>,
    gauge: Gauge,
}

/// One of them.
#[derive(Debug)]
struct Slot {
    now: Arc<AtomicUsize>,
    gauge: Gauge,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.now.fetch_sub(1, Ordering::Relaxed);
        self.gauge.dec();
    }
}

impl Compression {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let gauge = metrics.gauge("edge_compressing", "Answers that are being compressed; at most 512, others pass as they are");
        Self { now: Arc::default(), gauge }
    }

    fn slot(&self) -> Option<Slot> {
        let take = |now| (now < COMPRESSED_MAX).then_some(now + 1);
        self.now.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()?;
        self.gauge.inc();
        Some(Slot { now: Arc::clone(&self.now), gauge: self.gauge.clone() })
    }

    /// Compresses an answer whose head is final, where it is worth it and the visitor wants it.
    pub(crate) fn apply(&self, answer: &mut Response, wish: Wish) {
        let coding = if let Wish::With(coding) = wish { coding } else { Coding::Gzip };
        let is_small = |length: Option<u64>| length.is_some_and(|length| length < coding.bytes_min());
        let exact = http_body::Body::size_hint(answer.body()).exact();
        // Small answers first: there are many, and of them no field need be read.
        if wish == Wish::AsItIs || is_small(exact) || !is_compressible(answer.status(), answer.headers()) {
            return;
        }
        let length = exact.or_else(|| length(answer.headers()));
        if is_small(length) {
            return;
        }
        // Whether this one is compressed or not: the next visitor's may be.
        vary(answer.headers_mut());
        let Wish::With(coding) = wish else { return };
        let Some(slot) = self.slot() else { return };
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_ENCODING, coding.value());
        OF_THE_OCTETS.iter().for_each(|name| drop(headers.remove(name)));
        weaken(headers);
        let body = std::mem::take(answer.body_mut());
        *answer.body_mut() = Body::flow(Compressed::new(body, coding, length, slot));
    }
}

fn is_compressible(status: StatusCode, headers: &HeaderMap) -> bool {
    matches!(status, StatusCode::OK | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND)
        && headers.get(header::CONTENT_TYPE).is_some_and(types::is_listed)
        && headers.get_all(header::CONTENT_ENCODING).iter().all(|value| value.as_bytes().eq_ignore_ascii_case(b"identity"))
        && !headers.contains_key(header::CONTENT_RANGE)
        && !strict::has_token(headers, header::CACHE_CONTROL, "no-transform")
}

fn length(headers: &HeaderMap) -> Option<u64> {
    strict::parse_length(headers.get(header::CONTENT_LENGTH)?.as_bytes())
}

/// RFC 9110 §12.5.5.
fn vary(headers: &mut HeaderMap) {
    if !strict::has_token(headers, header::VARY, "accept-encoding") && !strict::has_token(headers, header::VARY, "*") {
        headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
}

/// An entity tag that promised these octets promises what they say (RFC 9110 §8.8.3); what is none is removed (edge-behaviour §3.13).
fn weaken(headers: &mut HeaderMap) {
    let Some(tag) = headers.get(header::ETAG) else { return };
    let octets = tag.as_bytes();
    if octets.starts_with(b"W/\"") {
        return;
    }
    let weak = match octets {
        [b'"', .., b'"'] => HeaderValue::try_from([b"W/", octets].concat()).ok(),
        _ => None,
    };
    match weak {
        Some(weak) => drop(headers.insert(header::ETAG, weak)),
        None => drop(headers.remove(header::ETAG)),
    }
}
