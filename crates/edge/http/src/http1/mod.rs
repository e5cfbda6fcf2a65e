//! HTTP/1.1 and 1.0 of one visitor, driven by one task.
//!
//! ```text
//!  bytes → Decoder ─┬─ refused → Handler::refuse ────────────────────────────┐
//!                   └─ Head ───→ Handler::handle ──→ response ─→ answer ─→ Out → bytes
//!                      pieces ─→ uplink ─┘              └ 101 → websocket::pump, once it is written
//! ```
//!
//! * [`decoder`], [`head`], [`framing`]: bytes to meaning, pure;
//! * [`answer`]: meaning to bytes, pure;
//! * [`uplink`]: a request's body on its way to whoever takes it;
//! * `departure`: who left, though nobody reads;
//! * `visit`: the socket and its timer; this module: what happens on it, in order.
//!
//! One request at a time: what a visitor sends ahead waits, in one read's bytes at most, and then in the socket. An idle connection
//! holds no buffer.

pub mod answer;
mod close;
pub mod decoder;
mod departure;
pub mod framing;
pub mod head;
pub(crate) mod uplink;
mod upload;
mod visit;

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use http_body::Body as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

pub use self::departure::SocketOf;
use self::{
    answer::{Asked, LengthError, Out, Sending, write_head},
    departure::departed,
    head::Head,
    upload::Upload,
    visit::{Came, Visit},
};
use crate::{
    Body, BodyError, Handler, Kind, Request, Response,
    serve::{Shared, mark},
    websocket::{self, Handover},
};

/// Bytes of an answer gathered before they are written.
const GATHERED_BYTES_MAX: usize = 64 * 1024;

/// What becomes of the connection after an exchange.
enum After {
    /// Another request may come.
    Again,
    /// It ends; the visitor may not have read its answer yet, nor sent its request to the end.
    Linger,
    /// It ends.
    Close,
    /// It ends at once: the visitor is gone, or its answer is broken off.
    Cut,
    /// It is a WebSocket's from now on.
    Raw(Handover),
}

/// Serves one visitor.
pub(crate) fn serve<IO, H>(
    io: IO,
    socket: SocketOf<IO>,
    shared: Shared<H>,
    drain: CancellationToken,
) -> impl Future<Output = ()> + Send
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    let mut visit = Visit::new(io, socket, shared.limits.clone(), drain);
    async move {
        loop {
            let after = match visit.head().await {
                Came::Head(head) => exchange(&shared, &mut visit, head).await,
                Came::Refused(refused) => {
                    let response = shared.handler.refuse(&shared.connection, refused.head.as_deref(), refused.refusal);
                    let asked = refused.head.as_deref().map_or(Asked::UNKNOWN, |head| Asked::of(head, false));
                    Box::pin(refuse(&mut visit, response, asked)).await
                }
                Came::Ended => After::Close,
                Came::Gone => After::Cut,
            };
            match after {
                After::Again => visit.rest(),
                After::Linger => return Box::pin(close::linger(&mut visit.io)).await,
                After::Close => return visit.close().await,
                After::Cut => return,
                After::Raw(handover) => {
                    let patience = shared.limits.stalled_write_timeout;
                    let (io, early) = visit.into_raw();
                    return Box::pin(go_on_raw(io, early, handover, patience)).await;
                }
            }
        }
    }
}

/// One request and its answer.
async fn exchange<IO, H>(shared: &Shared<H>, visit: &mut Visit<IO>, head: Head) -> After
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    let Head { mut parts, kind, length, mut keep_alive, expects, takes_trailers } = head;
    let asked = Asked::of(&parts, takes_trailers);
    let mut raw = None;
    let (mut upload, body) = match (kind, length) {
        (Kind::WebSocket, _) => {
            let (up, visitor) = websocket::visitor_bytes();
            raw = Some(up);
            (Upload::none(), visitor)
        }
        (Kind::Http, Some(0)) => (Upload::none(), Body::empty()),
        (Kind::Http, length) => {
            let (upload, taker) = Upload::new(length, expects);
            (upload, Body::http1(taker))
        }
    };
    mark(&mut parts, kind);
    let handled = handle(shared, visit, &mut upload, Request::from_parts(parts, body)).await;
    let Some(response) = handled else { return After::Cut };
    let (mut head, body) = response.into_parts();

    match (head.status, raw) {
        (StatusCode::SWITCHING_PROTOCOLS, Some(up)) => {
            head.headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            head.headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            write_head(&mut visit.out, &head, None, asked, &mut keep_alive);
            return match poll_fn(|cx| visit.poll_flush(cx)).await {
                Ok(()) => After::Raw(Handover { down: body, up }),
                Err(_) => After::Cut,
            };
        }
        // The pipeline never lets one through.
        (status, _) if status.is_informational() => head.status = StatusCode::BAD_GATEWAY,
        _ => {}
    }
    // RFC 9110 §15.5.20: what is asked here belongs on another connection, and a client that keeps this one would ask here again.
    keep_alive &= head.status != StatusCode::MISDIRECTED_REQUEST;
    // A visitor that is told so does not send its next request for nothing.
    if upload.is_abandoned() {
        keep_alive &= poll_fn(|cx| Poll::Ready(upload.finish(visit, cx))).await;
    }
    keep_alive &= upload.answer_begins(visit) && !upload.is_last() && !visit.drain.is_wanted();
    let exact = if body.is_end_stream() { Some(0) } else { body.size_hint().exact() };
    let sending = write_head(&mut visit.out, &head, exact, asked, &mut keep_alive);
    if let Err(error) = send(visit, &mut upload, body, sending).await {
        tracing::debug!(visitor = %shared.connection.peer, %error, "an answer was broken off");
        return After::Cut;
    }
    let finished = poll_fn(|cx| Poll::Ready(upload.finish(visit, cx))).await;
    match (finished, keep_alive) {
        (true, true) => After::Again,
        (true, false) if visit.received.is_empty() => After::Close,
        _ => After::Linger,
    }
}

/// What came of a while of waiting for an answer.
enum Waited {
    Answered(Response),
    /// The visitor is not read for now.
    Parked,
    /// It may be read again.
    Resumed,
    Gone,
}

/// Waits for the answer, and passes the request's body on meanwhile. None: the visitor left.
async fn handle<IO, H>(shared: &Shared<H>, visit: &mut Visit<IO>, upload: &mut Upload, request: Request) -> Option<Response>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    H: Handler,
{
    let mut handling = pin!(shared.handler.handle(request, &shared.connection));
    loop {
        let waited = poll_fn(|cx| {
            if upload.is_flowing() && upload.poll(visit, cx).is_err() {
                return Poll::Ready(Waited::Gone);
            }
            if let Poll::Ready(response) = handling.as_mut().poll(cx) {
                return Poll::Ready(Waited::Answered(response));
            }
            // It may have asked for the body just now.
            if upload.poll(visit, cx).is_err() || !visit.out.is_empty() && matches!(visit.poll_flush(cx), Poll::Ready(Err(_))) {
                return Poll::Ready(Waited::Gone);
            }
            let is_parked = upload.is_parked() && visit.out.is_empty() && visit.socket().is_some();
            if is_parked { Poll::Ready(Waited::Parked) } else { Poll::Pending }
        })
        .await;
        let waited = match (waited, visit.socket()) {
            // Few requests come here: what they need is not carried about by all.
            (Waited::Parked, Some(socket)) => {
                let mut departure = Box::pin(departed(socket, visit.limits.half_closed_served));
                poll_fn(|cx| {
                    if departure.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(Waited::Gone);
                    }
                    if let Poll::Ready(response) = handling.as_mut().poll(cx) {
                        return Poll::Ready(Waited::Answered(response));
                    }
                    if upload.may_resume(cx) { Poll::Ready(Waited::Resumed) } else { Poll::Pending }
                })
                .await
            }
            (waited, _) => waited,
        };
        match waited {
            Waited::Answered(response) => return Some(response),
            Waited::Gone => return None,
            Waited::Parked | Waited::Resumed => {}
        }
    }
}

/// Why an answer did not reach the visitor to its end.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("the visitor left")]
    Gone,
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Length(#[from] LengthError),
    #[error(transparent)]
    Body(#[from] BodyError),
}

/// Sends what was gathered and the body after it, as it comes.
async fn send<IO>(visit: &mut Visit<IO>, upload: &mut Upload, mut body: Body, mut sending: Sending) -> Result<(), SendError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let mut ended = if sending == Sending::Nothing { Some(Ok(())) } else { None };
    poll_fn(|cx| {
        loop {
            let mut dry = false;
            while ended.is_none() && !dry && visit.out.len() < GATHERED_BYTES_MAX {
                match gather(&mut body, &mut sending, &mut visit.out, cx) {
                    Ok(Gathered::Piece) => {}
                    Ok(Gathered::Dry) => dry = true,
                    Ok(Gathered::End) => ended = Some(Ok(())),
                    Err(error) => ended = Some(Err(error)),
                }
            }
            if ended.is_none() && upload.poll(visit, cx).is_err() {
                return Poll::Ready(Err(SendError::Gone));
            }
            if ended.is_none() && !dry {
                ready!(visit.poll_write(cx))?;
                continue;
            }
            // What came before an error is the visitor's all the same.
            ready!(visit.poll_flush(cx))?;
            return ended.take().map_or(Poll::Pending, Poll::Ready);
        }
    })
    .await
}

/// What came of asking a body for more.
enum Gathered {
    Piece,
    /// It has no more for now.
    Dry,
    End,
}

fn gather(body: &mut Body, sending: &mut Sending, out: &mut Out, cx: &mut Context<'_>) -> Result<Gathered, SendError> {
    match Pin::new(body).poll_frame(cx) {
        // All that the head promised is there: whoever sends it need not say that it is over.
        Poll::Pending if sending.is_ended() => Ok(Gathered::End),
        Poll::Pending => Ok(Gathered::Dry),
        Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
            Ok(data) => sending.data(out, data).map(|()| Gathered::Piece).map_err(SendError::from),
            Err(frame) => {
                sending.end(out, frame.trailers_ref())?;
                Ok(Gathered::End)
            }
        },
        Poll::Ready(Some(Err(error))) => Err(error.into()),
        Poll::Ready(None) => {
            sending.end(out, None)?;
            Ok(Gathered::End)
        }
    }
}

/// Answers what was refused; its body is whole.
async fn refuse<IO: AsyncRead + AsyncWrite + Unpin>(visit: &mut Visit<IO>, response: Response, asked: Asked) -> After {
    let (head, mut body) = response.into_parts();
    let mut sending = write_head(&mut visit.out, &head, body.size_hint().exact(), asked, &mut false);
    while let Some(Ok(frame)) = body.frame().await {
        if let Ok(data) = frame.into_data() {
            let _ = sending.data(&mut visit.out, data);
        }
    }
    // A visitor that does not take it is left.
    match tokio::time::timeout(close::TIMEOUT, poll_fn(|cx| visit.poll_flush(cx))).await {
        Ok(Ok(())) => After::Linger,
        _ => After::Cut,
    }
}

async fn go_on_raw<IO>(io: IO, early: Bytes, handover: Handover, patience: Option<Duration>)
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    if let Err(error) = websocket::pump(io, early, handover, patience).await {
        tracing::debug!(%error, "a WebSocket ended");
    }
}
