//! HTTP/2 to an origin that speaks it: one connection carries many requests at once (RFC 9113).
//!
//! A connection is driven by a task of its own; a request's body by the request's task until the answer begins, by one of its own after.

use std::{
    future::poll_fn,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use h2::{
    Reason, RecvStream, SendStream,
    client::{Builder, SendRequest},
};
use http::{HeaderMap, HeaderValue, Uri, Version, header, request::Parts, response};
use http_body::Body as _;
use poterne_edge_http::{Body, BodyError, Frame, strict::parse_length};
use poterne_origin::Patience;
use tokio::time::{Sleep, sleep};

use super::{body::RequestBody, pool::Io, tls::Serial, zone::Share};
use crate::{OriginError, Stalls, UpstreamError};

/// Most requests on one connection, whatever the origin grants (edge-behaviour §2.10).
const STREAMS_MAX: u32 = 200;
/// How much of one answer may wait for its visitor.
const STREAM_WINDOW: u32 = 1024 * 1024;
/// And of all on a connection: as much as all of them may, since a window that they shared would let some visitors who read nothing keep the
/// answers of all others. [`Stalls`] bounds what lies here for such.
const CONNECTION_WINDOW: u32 = STREAMS_MAX * STREAM_WINDOW;
/// Longest head of an answer, in bytes.
const HEAD_BYTES_MAX: u32 = 128 * 1024;
/// How long an origin may take to grant a stream.
const GRANT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection.
pub(super) struct Multiplexed {
    pub(super) address: SocketAddr,
    /// Of the origin's certificate, where it was verified.
    pub(super) serial: Option<Serial>,
    requests: SendRequest<Bytes>,
    in_flight: AtomicUsize,
    last_used: Mutex<Instant>,
    /// It takes no more requests.
    gone: Arc<AtomicBool>,
}

/// One request's part of a connection.
pub(super) struct Ticket(pub(super) Arc<Multiplexed>);

impl Ticket {
    /// Where the origin is.
    pub(super) fn address(&self) -> SocketAddr {
        self.0.address
    }
}

impl Multiplexed {
    /// Begins to speak HTTP/2.
    pub(super) async fn begin(
        io: Io,
        address: SocketAddr,
        serial: Option<Serial>,
        share: Share,
    ) -> Result<Arc<Self>, OriginError> {
        let handshake = Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEAD_BYTES_MAX)
            .max_send_buffer_size(64 * 1024)
            .enable_push(false)
            .handshake(io)
            .await;
        let (requests, connection) = handshake.map_err(|error| OriginError::Invalid(address.to_string(), error.to_string()))?;
        let gone = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&gone);
        tokio::spawn(async move {
            let _share = share;
            if let Err(error) = connection.await {
                tracing::debug!(origin = %address, %error, "an HTTP/2 connection to an origin ended");
            }
            over.store(true, Ordering::Relaxed);
        });
        let (in_flight, last_used) = (AtomicUsize::new(0), Mutex::new(Instant::now()));
        Ok(Arc::new(Self { address, serial, requests, in_flight, last_used, gone }))
    }

    /// A request's part of it; none where it takes no more.
    pub(super) fn ticket(self: &Arc<Self>) -> Option<Ticket> {
        if self.gone.load(Ordering::Relaxed) {
            return None;
        }
        if self.in_flight.fetch_add(1, Ordering::Relaxed) >= self.requests.current_max_send_streams().min(STREAMS_MAX as usize) {
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Ticket(Arc::clone(self)))
    }

    /// No other request is to take it.
    pub(super) fn retire(&self) {
        self.gone.store(true, Ordering::Relaxed);
    }

    /// Whether it is to be kept at all.
    pub(super) fn is_kept(&self, now: Instant, idle_timeout: Duration) -> bool {
        let last_used = *self.last_used.lock().unwrap_or_else(PoisonError::into_inner);
        let is_idle = self.in_flight.load(Ordering::Relaxed) == 0 && now.saturating_duration_since(last_used) >= idle_timeout;
        !self.gone.load(Ordering::Relaxed) && !is_idle
    }

    /// Whether nothing is on it now.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) == 0
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        *self.0.last_used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request that got no answer.
pub(super) struct Failure {
    pub(super) error: UpstreamError,
    /// The origin provably did nothing with it.
    pub(super) unsent: bool,
    /// The connection, or its way with this request, broke: another may do better.
    pub(super) broken: bool,
    pub(super) body: RequestBody,
}

/// Sends a request, whose head is as for HTTP/1.1 but for the fields of the hop, and waits for the head of its answer.
pub(super) async fn exchange(
    ticket: Ticket,
    head: &Parts,
    body: RequestBody,
    patience: Patience,
    ray: Option<HeaderValue>,
    stalls: &Stalls,
) -> Result<http::Response<Body>, Failure> {
    let origin = ticket.0.address.to_string();
    let before = |error: &dyn std::fmt::Display, body| Failure {
        error: OriginError::Invalid(origin.clone(), format!("it takes no more requests: {error}")).into(),
        unsent: true,
        broken: true,
        body,
    };
    let message = match message(head) {
        Ok(message) => message,
        Err(error) => {
            let error = OriginError::Invalid(origin.clone(), format!("the request cannot be carried: {error}")).into();
            return Err(Failure { error, unsent: true, broken: false, body });
        }
    };
    let granted = tokio::time::timeout(GRANT_TIMEOUT, ticket.0.requests.clone().ready()).await;
    let mut requests = match granted {
        Ok(Ok(requests)) => requests,
        Ok(Err(error)) => {
            ticket.0.retire();
            return Err(before(&error, body));
        }
        Err(late) => return Err(before(&late, body)),
    };
    let is_whole = body.is_end_stream();
    let (response, stream) = match requests.send_request(message, is_whole) {
        Ok(sent) => sent,
        Err(error) => {
            ticket.0.retire();
            return Err(before(&error, body));
        }
    };
    drop(requests);
    let mut upload = Upload { body, stream, waiting: None, sent: 0, over: is_whole };
    let mut response = pin!(response);
    let (mut alarm, mut waited_for) = (None::<Pin<Box<Sleep>>>, None);
    let outcome = poll_fn(|cx| {
        let sent = upload.poll(cx);
        if let Poll::Ready(response) = response.as_mut().poll(cx) {
            return Poll::Ready(response.map_err(Stop::Http2));
        }
        if let Poll::Ready(Err(Broken::Visitor(why))) = sent {
            return Poll::Ready(Err(Stop::Visitor(why)));
        }
        // What an origin takes of a body is progress; what a visitor takes its time over is not the origin's fault.
        let (now, limit) = match upload.state() {
            State::Over => (Waiting::Answer, patience.answer),
            State::Blocked => (Waiting::Room(upload.sent), patience.write),
            State::Visitor => (Waiting::Visitor, None),
        };
        let changed = waited_for.replace(now) != Some(now);
        let Some(limit) = limit else { return Poll::Pending };
        let alarm = alarm.get_or_insert_with(|| Box::pin(sleep(limit)));
        if changed {
            alarm.as_mut().reset(tokio::time::Instant::now() + limit);
        }
        ready!(alarm.as_mut().poll(cx));
        Poll::Ready(Err(Stop::Late(now, limit)))
    })
    .await;
    match outcome {
        Ok(answer) => {
            let (parts, recv) = answer.into_parts();
            if !upload.over {
                // Either direction may stand still without the other.
                tokio::spawn(async move { poll_fn(|cx| upload.poll(cx).map(drop)).await });
            }
            let down = Downwards { recv, unreleased: 0, data_ended: false, ticket, ray };
            let length = parts.headers.get(header::CONTENT_LENGTH).and_then(|length| parse_length(length.as_bytes()));
            let body = if down.is_end_stream() { Body::empty() } else { stalls.body(down, &head.headers, length, STREAM_WINDOW) };
            Ok(response_of(parts, body))
        }
        Err(stop) => {
            let Upload { body, mut stream, .. } = upload;
            stream.send_reset(Reason::CANCEL);
            let (error, unsent, broken) = judge(&ticket.0, &origin, stop);
            Err(Failure { error, unsent, broken, body })
        }
    }
}

/// Why an exchange ended without an answer.
enum Stop {
    Http2(h2::Error),
    Visitor(String),
    Late(Waiting, Duration),
}

/// What is waited for: time begins anew with each change of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Room(u64),
    Visitor,
    Answer,
}

/// The error, whether the request was never dealt with, and whether another connection may do better.
fn judge(connection: &Multiplexed, origin: &str, stop: Stop) -> (UpstreamError, bool, bool) {
    let error = match stop {
        Stop::Visitor(why) => return (UpstreamError::Visitor(why), false, false),
        Stop::Late(waiting, limit) => {
            let what = if waiting == Waiting::Answer { "it did not answer within" } else { "it took nothing of the request for" };
            let why = format!("{what} {} seconds", limit.as_secs());
            return (OriginError::Slow(origin.to_owned(), why).into(), false, false);
        }
        Stop::Http2(error) => error,
    };
    // RFC 9113 §8.7: neither was dealt with.
    let unsent = error.is_remote()
        && (error.reason() == Some(Reason::REFUSED_STREAM) || error.is_go_away() && error.reason() == Some(Reason::NO_ERROR));
    let is_own = error.is_reset() && !unsent;
    if error.is_io() || error.is_go_away() {
        connection.retire();
    }
    let timed_out = error.get_io().is_some_and(|error| error.kind() == std::io::ErrorKind::TimedOut);
    let fault = if timed_out {
        OriginError::Unacknowledged(origin.to_owned())
    } else {
        OriginError::Invalid(origin.to_owned(), format!("HTTP/2 failed before its answer: {error}"))
    };
    (fault.into(), unsent, !is_own && !error.is_library())
}

/// The head as HTTP/2 says it (RFC 9113 §8.2 and §8.3.1).
fn message(head: &Parts) -> Result<http::Request<()>, http::Error> {
    let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let uri = Uri::builder().scheme("https").authority(host).path_and_query(path).build()?;
    let mut message = http::Request::builder().method(head.method.clone()).uri(uri).version(Version::HTTP_2).body(())?;
    *message.headers_mut() = head.headers.clone();
    for name in [header::HOST, header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE, header::EXPECT] {
        message.headers_mut().remove(name);
    }
    Ok(message)
}

fn response_of(parts: response::Parts, body: Body) -> http::Response<Body> {
    let mut response = http::Response::new(body);
    *response.status_mut() = parts.status;
    *response.headers_mut() = parts.headers;
    response
}

/// A request's body on its way.
struct Upload {
    body: RequestBody,
    stream: SendStream<Bytes>,
    /// Taken of the body, and not sent for lack of room.
    waiting: Option<Bytes>,
    /// Bytes sent.
    sent: u64,
    over: bool,
}

enum Broken {
    /// The visitor broke off; the origin was told.
    Visitor(String),
    /// The origin takes no more; its answer says why, if anything does.
    Origin,
}

enum State {
    Over,
    Blocked,
    Visitor,
}

impl Upload {
    fn state(&self) -> State {
        match (self.over, &self.waiting) {
            (true, _) => State::Over,
            (false, Some(_)) => State::Blocked,
            (false, None) => State::Visitor,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if self.over {
            return Poll::Ready(Ok(()));
        }
        let polled = self.poll_out(cx);
        if polled.is_ready() {
            self.over = true;
        }
        polled
    }

    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        loop {
            if let Some(data) = &mut self.waiting {
                self.stream.reserve_capacity(data.len());
                let room = match self.stream.capacity() {
                    0 => match ready!(self.stream.poll_capacity(cx)) {
                        Some(Ok(room)) => room,
                        Some(Err(_)) | None => return Poll::Ready(Err(Broken::Origin)),
                    },
                    room => room,
                };
                let piece = data.split_to(room.min(data.len()));
                self.sent += piece.len() as u64;
                if data.is_empty() {
                    self.waiting = None;
                }
                if self.stream.send_data(piece, false).is_err() {
                    return Poll::Ready(Err(Broken::Origin));
                }
                continue;
            }
            let sent = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => continue,
                    Ok(data) => {
                        self.waiting = Some(data);
                        continue;
                    }
                    Err(frame) => self.stream.send_trailers(frame.into_trailers().unwrap_or_default()),
                },
                Some(Err(why)) => {
                    self.stream.send_reset(Reason::CANCEL);
                    return Poll::Ready(Err(Broken::Visitor(why)));
                }
                None => self.stream.send_data(Bytes::new(), true),
            };
            return Poll::Ready(sent.map_err(|_| Broken::Origin));
        }
    }
}

/// An answer's body, read as the visitor takes it: credit is given back when the next piece is asked for.
struct Downwards {
    recv: RecvStream,
    unreleased: usize,
    data_ended: bool,
    ticket: Ticket,
    ray: Option<HeaderValue>,
}

impl Downwards {
    fn broken(&self, error: &h2::Error) -> BodyError {
        let ray = self.ray.as_ref().and_then(|ray| ray.to_str().ok());
        let origin = self.ticket.0.address;
        tracing::warn!(ray, %origin, culprit = "origin", %error, "the origin broke off its answer");
        BodyError::Upstream(format!("the origin: {error}"))
    }

    fn trailers(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<HeaderMap>, h2::Error>> {
        self.recv.poll_trailers(cx)
    }
}

impl http_body::Body for Downwards {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let this = &mut *self;
        if this.unreleased > 0 {
            // The stream may have ended meanwhile.
            let _ = this.recv.flow_control().release_capacity(std::mem::take(&mut this.unreleased));
        }
        if !this.data_ended {
            match ready!(this.recv.poll_data(cx)) {
                Some(Ok(data)) => {
                    this.unreleased = data.len();
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(this.broken(&error)))),
                None => this.data_ended = true,
            }
        }
        match ready!(this.trailers(cx)) {
            Ok(trailers) => Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers)))),
            Err(error) => Poll::Ready(Some(Err(this.broken(&error)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.recv.is_end_stream()
    }
}
