//! DNS over HTTPS (RFC 8484): a request in, an answer out. The edge's listeners receive it, and the program hands it here.
//!
//! ```text
//! GET  /dns-query?dns=…  base64url of a message ─┐
//! POST /dns-query        a message as body ──────┴→ answer → application/dns-message, kept no longer than its shortest TTL
//! ```
//!
//! A client is known to be where it says it is, and has its share of connections, as over TCP; so its answers are not counted, and what
//! they cost is bounded as there (signatures by their zone). A body is read as it comes, into memory for as long as it comes:
//! [`BODY_TIMEOUT`], [`MESSAGE_OCTETS_MAX`], and of those longer than any query needs so many at a time ([`LONG_BODIES_MAX`]).

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use poterne_dns_answer::{Client, MESSAGE_OCTETS_MAX, Transport};
use poterne_dns_wire::{name, rtype};
use poterne_edge_http::{Body, Connection, Request, Response, Scheme};
use tokio::sync::Semaphore;

use crate::{Shared, stream};

/// The one type of content there is (RFC 8484 §6).
const MESSAGE: &str = "application/dns-message";

/// How long a body may take to arrive whole: as long as a message over TCP.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Octets of a body that anybody may send at any time.
const SHORT_OCTETS: usize = 4096;

/// Bodies longer than that which are read at a time: 16 MiB at most. No query of this world is so long, so nobody misses it who has one.
const LONG_BODIES_MAX: usize = 256;

/// Octets of a response's header.
const HEADER: usize = 12;

/// Answers requests.
#[derive(Clone)]
pub struct Doh {
    shared: Arc<Shared>,
    long: Arc<Semaphore>,
}

/// Why a request is no query. Culprit: the client, but for `Busy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    InClear,
    Method,
    NoMessage,
    NotBase64,
    Type,
    TooLong,
    TooSlow,
    BrokenOff,
    NoQuery,
    Busy,
}

impl Refused {
    const fn status(self) -> StatusCode {
        match self {
            Self::InClear => StatusCode::FORBIDDEN,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoMessage | Self::NotBase64 | Self::BrokenOff | Self::NoQuery => StatusCode::BAD_REQUEST,
            Self::Type => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::InClear => "DNS over HTTPS is answered over https alone.\n",
            Self::Method => "Ask by GET, with ?dns=, or by POST.\n",
            Self::NoMessage => "There is no message: GET has it in ?dns=, POST as its body.\n",
            Self::NotBase64 => "What ?dns= says is not base64url without padding (RFC 4648 section 5).\n",
            Self::Type => "A message is sent as application/dns-message.\n",
            Self::TooLong => "A message has at most 65535 octets.\n",
            Self::TooSlow => "The message did not come within 10 seconds.\n",
            Self::BrokenOff => "The message did not come whole.\n",
            Self::NoQuery => "The message is no query: too short, or an answer.\n",
            Self::Busy => "Too many long messages are being received: try again in a second.\n",
        }
    }

    fn answer(self) -> Response {
        let mut response = Response::new(Body::full(self.text()));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self {
            Self::Method => drop(headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST"))),
            Self::Busy => drop(headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"))),
            _ => {}
        }
        response
    }
}

impl Doh {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, long: Arc::new(Semaphore::new(LONG_BODIES_MAX)) }
    }

    /// Answers a request of this connection whose head the edge has checked; whatever its path.
    pub async fn handle(&self, request: Request, connection: &Connection) -> Response {
        match self.answered(request, connection).await {
            Ok(response) => response,
            Err(refused) => refused.answer(),
        }
    }

    async fn answered(&self, request: Request, connection: &Connection) -> Result<Response, Refused> {
        let (head, body) = request.into_parts();
        if connection.scheme != Scheme::Https {
            return Err(Refused::InClear);
        }
        let address = connection.peer.ip();
        let message = match head.method {
            // RFC 9110 §9.3.2: HEAD is GET without the content.
            Method::GET | Method::HEAD => asked_in(head.uri.query().unwrap_or_default())?,
            Method::POST if is_message(&head.headers) => self.received(body).await?,
            Method::POST => return Err(Refused::Type),
            _ => return Err(Refused::Method),
        };
        let client = Client { address, transport: Transport::Https, now_secs: self.shared.now_secs(), turn: self.shared.turn() };
        let octets = stream::answered(&self.shared, client, &message, 0, Bytes::copy_from_slice).await.ok_or(Refused::NoQuery)?;
        let fresh = format!("max-age={}", fresh_secs(&octets).unwrap_or(0));
        let mut response = Response::new(Body::full(octets));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MESSAGE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::try_from(fresh).expect("letters and digits"));
        Ok(response)
    }

    async fn received(&self, mut body: Body) -> Result<Vec<u8>, Refused> {
        let exact = http_body::Body::size_hint(&body).exact();
        if exact.is_some_and(|octets| octets > u64::try_from(MESSAGE_OCTETS_MAX).unwrap_or(u64::MAX)) {
            return Err(Refused::TooLong);
        }
        let reading = async {
            let (mut message, mut permit) = (Vec::new(), None);
            while let Some(frame) = body.frame().await {
                let Ok(data) = frame.map_err(|_| Refused::BrokenOff)?.into_data() else { continue };
                if message.len() + data.len() > MESSAGE_OCTETS_MAX {
                    return Err(Refused::TooLong);
                }
                if message.len() + data.len() > SHORT_OCTETS && permit.is_none() {
                    permit = Some(self.long.try_acquire().map_err(|_| Refused::Busy)?);
                }
                message.extend_from_slice(&data);
            }
            drop(permit);
            if message.is_empty() { Err(Refused::NoMessage) } else { Ok(message) }
        };
        tokio::time::timeout(BODY_TIMEOUT, reading).await.unwrap_or(Err(Refused::TooSlow))
    }
}

/// The message that a target's query holds (RFC 8484 §4.1, §6: base64url, never padded). Of several the first counts.
fn asked_in(query: &str) -> Result<Vec<u8>, Refused> {
    let mut values = query.split('&').filter_map(|pair| pair.strip_prefix("dns="));
    let text = values.next().filter(|text| !text.is_empty()).ok_or(Refused::NoMessage)?;
    BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| Refused::NotBase64)
}

/// Whether a body says that it is a message, and nothing was done to it.
fn is_message(headers: &HeaderMap) -> bool {
    let essence = |value: &HeaderValue| {
        let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        essence.trim_ascii().eq_ignore_ascii_case(MESSAGE.as_bytes())
    };
    headers.get(header::CONTENT_TYPE).is_some_and(essence) && !headers.contains_key(header::CONTENT_ENCODING)
}

/// For how long a response may be kept, in seconds (RFC 8484 §5.1): as long as the record of its answer that goes first, and what says that
/// there is none as long as RFC 2308 §5 says. None where nothing says it: of errors, and of answers without records.
fn fresh_secs(response: &[u8]) -> Option<u32> {
    let (head, _) = response.split_first_chunk::<HEADER>()?;
    if !matches!(head[3] & 0x0f, 0 | 3) {
        return None;
    }
    let count = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    let mut at = HEADER;
    for _ in 0..count(4) {
        at = name::skip(response, at)? + 4;
    }
    let mut least = None;
    for _ in 0..count(6).saturating_add(count(8)) {
        let start = name::skip(response, at)?;
        let [t0, t1, _, _, ttl @ .., l0, l1] = *response.get(start..)?.first_chunk::<10>()?;
        let end = start + 10 + usize::from(u16::from_be_bytes([l0, l1]));
        let mut secs = u32::from_be_bytes(ttl);
        if u16::from_be_bytes([t0, t1]) == rtype::SOA {
            let minimum = response.get(start + 10..end)?.last_chunk::<4>()?;
            secs = secs.min(u32::from_be_bytes(*minimum));
        }
        least = Some(least.map_or(secs, |least: u32| least.min(secs)));
        at = end;
    }
    least
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        task::{Context, Poll},
    };

    use poterne_edge_http::{BodyError, Frame};
    use poterne_snapshot::SnapshotHandle;
    use poterne_telemetry::Metrics;

    use super::*;
    use crate::{Server, Settings};

    /// So many octets at once, and then nothing, not even the end.
    struct Begun(Option<Bytes>);

    impl http_body::Body for Begun {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
            self.0.take().map_or(Poll::Pending, |octets| Poll::Ready(Some(Ok(Frame::data(octets)))))
        }
    }

    fn doh() -> Doh {
        Server::new(Settings::default(), SnapshotHandle::empty(), &Metrics::new()).doh()
    }

    fn request(body: Body) -> Request {
        http::Request::post("/dns-query").header("content-type", MESSAGE).body(body).unwrap()
    }

    fn connection(scheme: Scheme) -> Connection {
        let address = "192.0.2.7:1".parse().unwrap();
        Connection::new(address, address, scheme, None)
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_end_is_not_waited_for() {
        let (doh, began) = (doh(), tokio::time::Instant::now());
        let response =
            doh.handle(request(Body::flow(Begun(Some(Bytes::from_static(b"octets"))))), &connection(Scheme::Https)).await;
        assert_eq!((response.status(), began.elapsed()), (StatusCode::REQUEST_TIMEOUT, BODY_TIMEOUT));
    }

    #[tokio::test(start_paused = true)]
    async fn long_bodies_have_places_and_short_ones_need_none() {
        let doh = doh();
        let begun = |octets: usize| Body::flow(Begun(Some(vec![0; octets].into())));
        let slow: Vec<_> = (0..LONG_BODIES_MAX)
            .map(|_| {
                let (doh, request) = (doh.clone(), request(begun(SHORT_OCTETS + 1)));
                tokio::spawn(async move { doh.handle(request, &connection(Scheme::Https)).await.status() })
            })
            .collect();
        while doh.long.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let one_more = doh.handle(request(begun(SHORT_OCTETS + 1)), &connection(Scheme::Https)).await;
        assert_eq!(
            (one_more.status(), &one_more.headers()["retry-after"]),
            (StatusCode::SERVICE_UNAVAILABLE, &HeaderValue::from(1))
        );
        let short = doh.handle(request(Body::full(vec![0; SHORT_OCTETS])), &connection(Scheme::Https)).await;
        assert_eq!(short.status(), StatusCode::OK);
        for slow in slow {
            assert_eq!(slow.await.unwrap(), StatusCode::REQUEST_TIMEOUT);
        }
        assert_eq!(doh.long.available_permits(), LONG_BODIES_MAX);
    }

    #[tokio::test]
    async fn nothing_is_answered_in_clear() {
        let response = doh().handle(request(Body::full(vec![0; 12])), &connection(Scheme::Http)).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
    }

    /// A response to `a. A`, with records of these types, TTLs and data in answer and authority.
    fn response(rcode: u8, answer: &[(u16, u32, &[u8])], authority: &[(u16, u32, &[u8])]) -> Vec<u8> {
        let count = |records: &[(u16, u32, &[u8])]| u16::try_from(records.len()).unwrap().to_be_bytes();
        let mut octets =
            [&[0, 0, 0x84, rcode, 0, 1][..], &count(answer), &count(authority), &[0, 0], b"\x01a\0\0\x01\0\x01"].concat();
        for (rtype, ttl, data) in answer.iter().chain(authority) {
            octets.extend([0xc0, 12]);
            octets.extend(rtype.to_be_bytes());
            octets.extend([0, 1]);
            octets.extend(ttl.to_be_bytes());
            octets.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            octets.extend_from_slice(data);
        }
        octets
    }

    #[test]
    fn an_answer_is_fresh_as_long_as_the_record_that_goes_first() {
        let a: &[u8] = &[192, 0, 2, 1];
        let soa = |minimum: u32| [&b"\0\0"[..], &[0; 16], &minimum.to_be_bytes()].concat();
        let of = |octets: Vec<u8>| fresh_secs(&octets);
        assert_eq!(of(response(0, &[(1, 300, a), (1, 60, a)], &[])), Some(60));
        assert_eq!(of(response(0, &[(1, 0, a)], &[])), Some(0));
        assert_eq!(of(response(3, &[], &[(6, 3600, &soa(120))])), Some(120));
        assert_eq!(of(response(0, &[], &[(6, 30, &soa(120))])), Some(30));
        assert_eq!(of(response(0, &[(5, 900, &[0xc0, 12])], &[(6, 3600, &soa(120))])), Some(120), "the end of a chain counts");
        assert_eq!(of(response(0, &[], &[])), None);
        assert_eq!(of(response(2, &[(1, 300, a)], &[])), None, "an error is not kept");
        let whole = response(0, &[(1, 300, a)], &[(6, 3600, &soa(120))]);
        for end in 0..whole.len() {
            assert_eq!(fresh_secs(&whole[..end]), None, "cut at {end}");
        }
    }

    #[test]
    fn a_target_holds_one_message_in_base64url() {
        assert_eq!(asked_in("dns=AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB").unwrap().len(), 33);
        assert_eq!(asked_in("x=1&dns=-_8&dns=AA"), Ok(vec![0xfb, 0xff]));
        for (query, why) in [
            ("", Refused::NoMessage),
            ("dns=", Refused::NoMessage),
            ("DNS=AAAA", Refused::NoMessage),
            ("xdns=AAAA", Refused::NoMessage),
            ("dns=AAA=", Refused::NotBase64),
            ("dns=+/+/", Refused::NotBase64),
            ("dns=A", Refused::NotBase64),
            ("dns=AB", Refused::NotBase64),
            ("dns=AA%41A", Refused::NotBase64),
        ] {
            assert_eq!(asked_in(query), Err(why), "{query}");
        }
    }

    #[test]
    fn a_body_is_a_message_where_it_says_so() {
        let says = |fields: &[(&'static str, &'static str)]| {
            let fields = fields.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
            is_message(&fields.collect())
        };
        assert!(says(&[("content-type", "application/dns-message")]));
        assert!(says(&[("content-type", "Application/DNS-Message ; x=y")]));
        assert!(!says(&[]));
        assert!(!says(&[("content-type", "application/dns-json")]));
        assert!(!says(&[("content-type", "application/dns-message"), ("content-encoding", "gzip")]));
    }
}
