//! One exchange over one HTTP/3 stream.

use std::{
    future::{Future as _, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::Method;
use http_body::Body as _;
use quinn::{SendStream, WriteError};
use tokio::time::{Sleep, sleep};

use super::{
    code::Code,
    frames::{data_header, section_frame},
    head::{Head, HeadError, read_head},
    qpack::{encode_answer, encode_trailers, section_bytes},
    side::Sides,
    upload::{Incoming, Upload, UploadError},
};
use crate::{
    Body, BodyError, Handler, Kind, Request, Response,
    multiplexed::{Opening, Rest},
    serve::{Shared, mark},
    strict::Refusal,
};

/// How a stream ended, as far as the connection wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// There was an answer, whole or broken off by us.
    Answered,
    /// The visitor did not wait for it.
    Cancelled,
}

/// Why an answer did not reach the visitor to its end.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("the visitor wants no more of it ({0:#x})")]
    Stopped(u64),
    #[error("the visitor takes nothing any more")]
    Stalled,
    #[error("the connection ended: {0}")]
    Lost(String),
    #[error("its trailers have {0} bytes, more than the visitor takes")]
    Trailers(u64),
    #[error(transparent)]
    Body(#[from] BodyError),
}

impl From<WriteError> for SendError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Stopped(code) => Self::Stopped(code.into_inner()),
            error => Self::Lost(error.to_string()),
        }
    }
}

/// What came of waiting for a head.
enum Came {
    Head(Bytes),
    /// Something is wrong with it, and that is told.
    Refused(Refusal),
    /// The stream ends with this code.
    Nothing(Code),
    /// The stream, or the connection, is gone.
    Gone,
}

/// One exchange.
pub(super) async fn exchange<H: Handler>(
    shared: Arc<Shared<H>>,
    quic: quinn::Connection,
    sides: &Sides,
    send: SendStream,
    recv: quinn::RecvStream,
) -> Ended {
    let mut down = Down::new(send, shared.limits.stalled_write_timeout);
    let mut upload = Upload::new(recv, quic, Arc::clone(&shared.limits));
    let section = match head(&shared, &mut upload).await {
        Came::Head(section) => section,
        Came::Refused(refusal) => return refuse(&shared, sides, down, upload, None, refusal).await,
        Came::Nothing(code) => {
            upload.stop(code);
            down.reset(code);
            return Ended::Answered;
        }
        Came::Gone => return Ended::Cancelled,
    };
    let mut head = match read_head(section, &shared.limits) {
        Ok(head) => head,
        Err(HeadError::Refused(refusal)) => return refuse(&shared, sides, down, upload, None, refusal).await,
        Err(HeadError::Undecodable(reason)) => {
            upload.undecodable(reason);
            return Ended::Cancelled;
        }
    };
    let (kind, length) = match head.judge(&shared.limits) {
        Ok(judged) => judged,
        Err(refusal) => return refuse(&shared, sides, down, upload, Some(&head.parts), refusal).await,
    };
    let Head { mut parts, .. } = head;
    let head_only = parts.method == Method::HEAD;
    mark(&mut parts, kind);
    let is_over = poll_fn(|cx| Poll::Ready(upload.is_over(cx))).await;
    let body = match length {
        // RFC 9114 §4.1.2: a body was promised, and there is none.
        Some(1..) if is_over => {
            down.reset(Code::MESSAGE_ERROR);
            return Ended::Answered;
        }
        _ if is_over => Body::empty(),
        _ => Body::http3(Incoming::new(upload, length)),
    };
    let Some(response) = handle(&shared, Request::from_parts(parts, body), &mut down).await else {
        down.reset(Code::REQUEST_CANCELLED);
        return Ended::Cancelled;
    };
    answer(&shared, sides, response, down, head_only, kind == Kind::WebSocket).await
}

async fn head<H>(shared: &Shared<H>, upload: &mut Upload) -> Came {
    let mut late = None;
    poll_fn(|cx| {
        let read = match upload.poll_head(cx) {
            Poll::Ready(read) => read,
            Poll::Pending => {
                // A timer is made for those heads alone that did not come whole.
                let late = late.get_or_insert_with(|| Box::pin(sleep(shared.limits.head_timeout)));
                ready!(late.as_mut().poll(cx));
                return Poll::Ready(match upload.has_begun() {
                    true => Came::Refused(Refusal::Slow),
                    false => Came::Nothing(Code::REQUEST_INCOMPLETE),
                });
            }
        };
        Poll::Ready(match read {
            Ok(Some(section)) => Came::Head(section),
            Ok(None) => Came::Nothing(Code::REQUEST_INCOMPLETE),
            Err(UploadError::TooLarge) => Came::Refused(Refusal::HeadTooLarge),
            Err(UploadError::Reset(_) | UploadError::Lost(_) | UploadError::Fault(_)) => Came::Gone,
        })
    })
    .await
}

/// Answers what was refused. The rest of the request is not wanted.
async fn refuse<H: Handler>(
    shared: &Shared<H>,
    sides: &Sides,
    down: Down,
    mut upload: Upload,
    head: Option<&http::request::Parts>,
    refusal: Refusal,
) -> Ended {
    let response = shared.handler.refuse(&shared.connection, head, refusal);
    poll_fn(|cx| {
        upload.leave(cx);
        Poll::Ready(())
    })
    .await;
    answer(shared, sides, response, down, false, false).await
}

/// Waits for the answer. None: the visitor does not.
async fn handle<H: Handler>(shared: &Shared<H>, request: Request, down: &mut Down) -> Option<Response> {
    let mut handling = pin!(shared.handler.handle(request, &shared.connection));
    poll_fn(|cx| match handling.as_mut().poll(cx) {
        Poll::Ready(response) => Poll::Ready(Some(response)),
        Poll::Pending => down.poll_stopped(cx).map(|_| None),
    })
    .await
}

async fn answer<H: Handler>(
    shared: &Shared<H>,
    sides: &Sides,
    response: Response,
    mut down: Down,
    head_only: bool,
    websocket: bool,
) -> Ended {
    let section_bytes_max = sides.section_bytes_max.load(Relaxed);
    let opening = Opening::of(response, head_only, websocket);
    let Some(Opening { head, body, ends }) = fitting(shared, opening, head_only, section_bytes_max) else {
        // Not even the page that says so fits.
        down.reset(Code::INTERNAL_ERROR);
        return Ended::Answered;
    };
    down.put(section_frame(|section| encode_answer(section, head.status, &head.headers)));
    let rest = if ends { Rest::Nothing } else { Rest::More };
    let mut sending = Sending { body, down, rest, section_bytes_max };
    let sent = poll_fn(|cx| sending.poll(cx)).await;
    match &sent {
        Ok(()) => {}
        Err(SendError::Stopped(_)) => sending.down.reset(Code::REQUEST_CANCELLED),
        Err(SendError::Stalled) => sending.down.reset(Code::EXCESSIVE_LOAD),
        Err(_) => sending.down.reset(Code::INTERNAL_ERROR),
    }
    if let Err(error) = &sent {
        tracing::debug!(visitor = %shared.connection.peer, %error, "an answer was broken off");
    }
    match sent {
        Err(SendError::Stopped(_)) => Ended::Cancelled,
        _ => Ended::Answered,
    }
}

/// The answer, or, where its fields are more than the visitor said that it takes (RFC 9114 §4.2.2: it should not be sent then), a page that says
/// so; none where that is too much as well.
fn fitting<H: Handler>(shared: &Shared<H>, opening: Opening, head_only: bool, most: u64) -> Option<Opening> {
    // Nobody is asked to count where nothing was said.
    let bytes = |opening: &Opening| section_bytes(Some(opening.head.status), &opening.head.headers);
    if most == u64::MAX || bytes(&opening) <= most {
        return Some(opening);
    }
    let (bytes_then, peer) = (bytes(&opening), shared.connection.peer);
    tracing::debug!(visitor = %peer, bytes = bytes_then, most, "an answer's fields are more than the visitor takes");
    let page = shared.handler.refuse(&shared.connection, None, Refusal::AnswerTooLarge);
    Some(Opening::of(page, head_only, false)).filter(|page| bytes(page) <= most)
}

/// Resolves once the visitor wants no more, or has everything.
type Stopped = Pin<Box<dyn Future<Output = Result<Option<quinn::VarInt>, quinn::StoppedError>> + Send + Sync>>;

/// The edge's side of a stream. Dropped before its end, by a panic or a cut, it is reset: quinn would end it, and half an answer would look
/// like a whole one.
struct Down {
    send: SendStream,
    is_over: bool,
    /// Two frames that wait to be taken, each its beginning and what it holds: a head leaves with the first of its body, in one write.
    out: [Bytes; 4],
    stopped: Option<Stopped>,
    /// How long the visitor may take nothing.
    patience: Option<Duration>,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Down {
    fn new(send: SendStream, patience: Option<Duration>) -> Self {
        Self { send, is_over: false, out: Default::default(), stopped: None, patience, stalled: None }
    }

    /// Ready once the visitor wants no answer any more.
    fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<SendError> {
        let send = &self.send;
        let stopped = self.stopped.get_or_insert_with(|| Box::pin(send.stopped()));
        Poll::Ready(match ready!(stopped.as_mut().poll(cx)) {
            Ok(Some(code)) => SendError::Stopped(code.into_inner()),
            Ok(None) => SendError::Lost("it is over".to_owned()),
            Err(error) => SendError::Lost(error.to_string()),
        })
    }

    /// Whether one more frame may wait.
    fn has_room(&self) -> bool {
        self.out[2..].iter().all(Bytes::is_empty)
    }

    /// Has a frame wait, where there is room.
    fn put(&mut self, frame: [Bytes; 2]) {
        let at = if self.out.iter().all(Bytes::is_empty) { 0 } else { 2 };
        self.out[at..at + 2].clone_from_slice(&frame);
    }

    /// Ready once nothing waits.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        while self.out.iter().any(|bytes| !bytes.is_empty()) {
            // What was taken is no longer in `out`, and nothing else is lost between two polls.
            let written = pin!(self.send.write_chunks(&mut self.out)).poll(cx);
            match written {
                Poll::Ready(written) => {
                    written?;
                    self.stalled = None;
                }
                Poll::Pending => {
                    let Some(patience) = self.patience else { return Poll::Pending };
                    let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
                    ready!(stalled.as_mut().poll(cx));
                    return Poll::Ready(Err(SendError::Stalled));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn finish(&mut self) {
        self.is_over = true;
        // A visitor that stopped it meanwhile does not mind.
        let _ = self.send.finish();
    }

    fn reset(&mut self, code: Code) {
        self.is_over = true;
        // Already over is as good.
        let _ = self.send.reset(code.quic());
    }
}

impl Drop for Down {
    fn drop(&mut self) {
        if !self.is_over {
            self.reset(Code::INTERNAL_ERROR);
        }
    }
}

/// An answer on its way.
struct Sending {
    body: Body,
    down: Down,
    rest: Rest,
    /// Of trailers, too.
    section_bytes_max: u64,
}

impl Sending {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        loop {
            let is_dry = self.gather(cx);
            ready!(self.down.poll_out(cx))?;
            match std::mem::replace(&mut self.rest, Rest::More) {
                Rest::More if is_dry => return self.down.poll_stopped(cx).map(Err),
                Rest::More => {}
                Rest::Failed(error) => return Poll::Ready(Err(error.into())),
                Rest::Trailers(trailers) => {
                    let bytes = section_bytes(None, &trailers);
                    if bytes > self.section_bytes_max {
                        // Without them the answer would look whole.
                        return Poll::Ready(Err(SendError::Trailers(bytes)));
                    }
                    self.down.put(section_frame(|section| encode_trailers(section, &trailers)));
                    self.rest = Rest::Nothing;
                }
                Rest::Nothing => {
                    self.down.finish();
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    /// Takes of the body what is there and may wait; tells whether it has no more for now.
    fn gather(&mut self, cx: &mut Context<'_>) -> bool {
        while self.down.has_room() && matches!(self.rest, Rest::More) {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => return true,
                Poll::Ready(None) => self.rest = Rest::Nothing,
                Poll::Ready(Some(Err(error))) => self.rest = Rest::Failed(error),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => self.down.put([data_header(data.len()), data]),
                    Err(frame) => self.rest = frame.into_trailers().map_or(Rest::More, Rest::ending),
                },
            }
        }
        false
    }
}
