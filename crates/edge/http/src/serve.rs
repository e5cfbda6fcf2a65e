//! The framing of one accepted connection.
//!
//! hyper frames for now, HTTP/1.1 behind the [`crate::guard`]; nothing of it is visible outside this crate.
//!
//! ```text
//!  bytes → guard → codec → strict::check ─┬─ refused → Handler::refuse ─┐
//!                                         └─ Handler::handle ───────────┴→ codec → bytes
//!                                              └ 101 → websocket::pump, once it is written
//! ```

use std::{
    convert::Infallible,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, StatusCode, Version, header};
use hyper::{body::Incoming, ext::ReasonPhrase, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    Body, BodyError, Connection, Frame, Kind, Limits, Request, Response,
    io::{Guarded, Refused},
    strict::{self, Refusal},
    watch::{Exchange, Verdict, Watch},
    websocket::{self, Handover},
};

/// How the bytes of a connection are framed: known from ALPN over TLS, always HTTP/1.1 in clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1 and 1.0.
    Http1,
    /// HTTP/2.
    Http2,
}

/// What answers requests: the pipeline.
pub trait Handler: Send + Sync + 'static {
    /// Answers a well-formed request. Its extensions hold an `Arc<Connection>` and a [`Kind`].
    fn handle(&self, request: Request) -> impl Future<Output = Response> + Send;

    /// Answers what is no request that could be handled. `head` is absent when it could not be read. The connection is closed
    /// after the answer on HTTP/1.1; the answer's body must be whole ([`Body::full`]).
    fn refuse(&self, connection: &Connection, head: Option<&http::request::Parts>, refusal: Refusal) -> Response;
}

/// What all exchanges of a connection share.
struct Shared<H> {
    handler: Arc<H>,
    connection: Arc<Connection>,
    limits: Arc<Limits>,
    watch: Arc<Watch>,
}

/// Serves one visitor until it leaves, breaks a rule, waits too long, or `drain` is cancelled and its last response is out.
///
/// Runs in the caller's task; dropping the future closes the connection at once.
pub async fn serve_connection<IO, H>(
    io: IO,
    protocol: Protocol,
    connection: Arc<Connection>,
    handler: Arc<H>,
    limits: Arc<Limits>,
    drain: CancellationToken,
) where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    let watch = Arc::new(Watch::new());
    let shared = Arc::new(Shared { handler, connection, limits, watch });
    match protocol {
        Protocol::Http1 => serve_http1(io, shared, drain).await,
        Protocol::Http2 => serve_http2(io, shared, drain).await,
    }
}

async fn serve_http1<IO, H>(io: IO, shared: Arc<Shared<H>>, drain: CancellationToken)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    let guarded = Guarded::new(io, Arc::clone(&shared.watch), Arc::clone(&shared.limits));
    let service = {
        let shared = Arc::clone(&shared);
        service_fn(move |request| answer(Arc::clone(&shared), request))
    };
    // No header_read_timeout: hyper's counts idle time too, and makes a timer for each request. `run` watches instead.
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.max_buf_size(shared.limits.buffer_bytes_max).max_header_size(shared.limits.head_bytes_max + 2);
    let mut codec = builder.serve_connection(TokioIo::new(guarded), service);
    let end = run(&mut codec, |codec| codec.graceful_shutdown(), &shared, shared.limits.idle_timeout, drain).await;

    let parts = codec.into_parts();
    let guarded = parts.io.into_inner();
    let in_body = guarded.in_body();
    let (io, refused) = guarded.into_parts();
    let refused = match &end {
        End::Slow => Some(Refused::Head(Refusal::Slow)),
        End::Idle => None,
        End::Codec => match shared.watch.take_handover() {
            Some(handover) => return Box::pin(go_on_raw(io, parts.read_buf, handover)).await,
            None => refused,
        },
    };
    match refused {
        Some(Refused::Head(refusal)) if shared.watch.in_flight() == 0 => {
            Box::pin(refuse_and_close(io, &shared, refusal)).await;
        }
        Some(Refused::Body) => Box::pin(close(io, &[])).await,
        // Answered before the whole request was read, as when an upload is refused.
        None if in_body && matches!(end, End::Codec) => Box::pin(close(io, &[])).await,
        _ => {}
    }
}

async fn serve_http2<IO, H>(io: IO, shared: Arc<Shared<H>>, drain: CancellationToken)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    let service = {
        let shared = Arc::clone(&shared);
        service_fn(move |request| answer(Arc::clone(&shared), request))
    };
    let limits = &shared.limits;
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.h2_streams_max)
        .initial_stream_window_size(limits.h2_stream_window)
        .initial_connection_window_size(limits.h2_connection_window)
        .adaptive_window(false)
        .max_header_list_size(u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX))
        .max_send_buf_size(limits.h2_send_bytes_max)
        .max_pending_accept_reset_streams(limits.h2_pending_resets_max)
        .max_local_error_reset_streams(limits.h2_error_resets_max)
        .keep_alive_interval(limits.h2_ping_interval)
        .keep_alive_timeout(limits.h2_ping_timeout);
    let mut codec = Box::pin(builder.serve_connection(TokioIo::new(io), service));
    run(&mut codec, |codec| codec.get_mut().as_mut().graceful_shutdown(), &shared, limits.h2_idle_timeout, drain).await;
}

/// How a connection's turn ended.
enum End {
    /// The codec is through with it: closed, failed, or handed over.
    Codec,
    /// A head did not come in time.
    Slow,
    /// It was idle for too long.
    Idle,
}

/// Lets the codec work, watched by one timer for the whole life of the connection.
async fn run<C, E, H>(
    codec: &mut C,
    close: impl Fn(Pin<&mut C>),
    shared: &Shared<H>,
    idle: std::time::Duration,
    drain: CancellationToken,
) -> End
where
    C: Future<Output = Result<(), E>> + Unpin,
    E: std::error::Error,
{
    let mut drained = pin!(drain.cancelled());
    let mut draining = false;
    let mut timer = pin!(tokio::time::sleep(shared.limits.head_timeout.min(idle)));
    std::future::poll_fn(|cx| {
        let mut codec = Pin::new(&mut *codec);
        if let Poll::Ready(ended) = codec.as_mut().poll(cx) {
            return Poll::Ready(ended_codec(ended, &shared.connection));
        }
        if !draining && drained.as_mut().poll(cx).is_ready() {
            draining = true;
            close(codec.as_mut());
            if let Poll::Ready(ended) = codec.as_mut().poll(cx) {
                return Poll::Ready(ended_codec(ended, &shared.connection));
            }
        }
        loop {
            let now = Instant::now();
            match shared.watch.verdict(now, &shared.limits, idle) {
                Verdict::Slow => return Poll::Ready(End::Slow),
                Verdict::Idle => {
                    // One more turn, so that the codec says goodbye (GOAWAY, FIN) if the visitor listens.
                    close(codec.as_mut());
                    let _ = codec.poll(cx);
                    return Poll::Ready(End::Idle);
                }
                // Only an earlier time needs the timer now; a later one is found out when it rings.
                Verdict::Wait(due) if due < timer.deadline() || now >= timer.deadline() => timer.as_mut().reset(due),
                Verdict::Wait(_) => {}
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await
}

fn ended_codec<E: std::error::Error>(ended: Result<(), E>, connection: &Connection) -> End {
    if let Err(error) = ended {
        tracing::debug!(visitor = %connection.peer, error = %DisplayChain(&error), "the visitor's connection ended");
    }
    End::Codec
}

/// An error with its causes on one line.
pub(crate) struct DisplayChain<'a>(pub(crate) &'a dyn std::error::Error);

impl std::fmt::Display for DisplayChain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

/// One exchange.
async fn answer<H: Handler>(
    shared: Arc<Shared<H>>,
    request: hyper::Request<Incoming>,
) -> Result<http::Response<Answered>, Infallible> {
    let exchange = Exchange::begin(&shared.watch);
    let (mut head, incoming) = request.into_parts();
    let version = head.version;
    let kind = match strict::check(&head, &shared.limits) {
        Ok(kind) => kind,
        Err(refusal) => {
            let mut response = shared.handler.refuse(&shared.connection, Some(&head), refusal);
            if version < Version::HTTP_2 {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            return Ok(response.map(|body| Answered { body, _exchange: exchange }));
        }
    };
    head.extensions.insert(Arc::clone(&shared.connection));
    head.extensions.insert(kind);
    if kind == Kind::WebSocket {
        return Ok(Box::pin(open_websocket(shared, head, exchange)).await);
    }
    let response = shared.handler.handle(Request::from_parts(head, Body::visitor(incoming))).await;
    let mut response = response.map(|body| Answered { body, _exchange: exchange });
    if version < Version::HTTP_2 && response.status().canonical_reason().is_none() {
        // The codec would write "<none>".
        let reason = ReasonPhrase::from_static(reason(response.status()).as_bytes());
        response.extensions_mut().insert(reason);
    }
    if response.status().is_informational() {
        // The pipeline never lets one through; the codec would close the connection without a word.
        *response.status_mut() = StatusCode::BAD_GATEWAY;
    }
    Ok(response)
}

/// The words of a status line. A status that nobody registered has none of its own (RFC 9112 §4 allows that), but those that edges
/// answer with by custom (edge-behaviour §2.4) are told in words too, for whoever reads a bare status line.
fn reason(status: StatusCode) -> &'static str {
    match status.as_u16() {
        520 => "Invalid Response From Origin",
        524 => "Origin Timeout",
        530 => "Origin Not Reachable",
        _ => status.canonical_reason().unwrap_or(""),
    }
}

async fn open_websocket<H: Handler>(
    shared: Arc<Shared<H>>,
    mut head: http::request::Parts,
    exchange: Exchange,
) -> http::Response<Answered> {
    head.headers.remove(header::CONNECTION);
    head.headers.remove(header::UPGRADE);
    let (up, visitor) = websocket::visitor_bytes();
    let mut response = shared.handler.handle(Request::from_parts(head, visitor)).await;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return response.map(|body| Answered { body, _exchange: exchange });
    }
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    let (head, down) = response.into_parts();
    shared.watch.hand_over(Handover { down, up });
    http::Response::from_parts(head, Answered { body: Body::empty(), _exchange: exchange })
}

/// A response's body, which ends the exchange when the codec is through with it.
struct Answered {
    body: Body,
    _exchange: Exchange,
}

impl http_body::Body for Answered {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

async fn go_on_raw<IO: AsyncRead + AsyncWrite + Unpin>(io: IO, early: Bytes, handover: Handover) {
    if let Err(error) = websocket::pump(io, early, handover).await {
        tracing::debug!(%error, "a WebSocket ended");
    }
}

/// Writes an answer that the codec could not, and closes.
async fn refuse_and_close<IO: AsyncRead + AsyncWrite + Unpin, H: Handler>(io: IO, shared: &Shared<H>, refusal: Refusal) {
    let mut response = shared.handler.refuse(&shared.connection, None, refusal);
    let mut body = BytesMut::new();
    while let Some(Ok(frame)) = response.body_mut().frame().await {
        body.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
    }
    close(io, &write_response(&response, &body)).await;
}

/// Closes, after these last bytes, in a way that lets the visitor read its answer: a socket closed with bytes unread is reset, and the
/// answer with it (RFC 9112 §9.6).
async fn close<IO: AsyncRead + AsyncWrite + Unpin>(mut io: IO, last: &[u8]) {
    // What both kernels hold of an upload that was refused while it ran, and what comes before the visitor has read so.
    const DRAIN_BYTES_MAX: usize = 16 * 1024 * 1024;
    const DRAIN_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, async {
        io.write_all(last).await?;
        io.shutdown().await?;
        let mut rest = [0; 2048];
        let mut left = DRAIN_BYTES_MAX;
        while left > 0 {
            match io.read(&mut rest).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        std::io::Result::Ok(())
    })
    .await;
}

fn write_response(response: &Response, body: &[u8]) -> BytesMut {
    let mut bytes = BytesMut::with_capacity(512 + body.len());
    let status = response.status();
    bytes.extend_from_slice(format!("HTTP/1.1 {} {}\r\n", status.as_str(), reason(status)).as_bytes());
    for (name, value) in response.headers() {
        if name != header::CONTENT_LENGTH && name != header::CONNECTION {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
    }
    bytes.extend_from_slice(format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(body);
    bytes
}
