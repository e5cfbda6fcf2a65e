//! One exchange over one HTTP/2 stream.

use std::{
    future::{Future as _, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream, ext::Protocol, server::SendResponse};
use http::{Method, header, request::Parts};
use http_body::Body as _;
use tokio::time::{Sleep, sleep};

use super::body::Incoming;
use crate::{
    Body, BodyError, Handler, Kind, Limits, Request, Response,
    multiplexed::{Opening, Rest},
    serve::{Shared, mark},
    strict::{self, Refusal},
};

/// Why an answer did not reach the visitor to its end.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("the visitor reset the stream: {0}")]
    Reset(Reason),
    #[error("the visitor takes nothing any more")]
    Stalled,
    #[error("the stream is closed")]
    Closed,
    #[error(transparent)]
    Http2(#[from] h2::Error),
    #[error(transparent)]
    Body(#[from] BodyError),
}

/// One exchange.
pub(super) async fn exchange<H: Handler>(
    shared: Arc<Shared<H>>,
    request: http::Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    let (mut head, stream) = request.into_parts();
    let head_only = head.method == Method::HEAD;
    let judged = judge(&mut head, &shared.limits);
    let websocket = matches!(judged, Ok((Kind::WebSocket, _)));
    let response = match judged {
        Err(refusal) => shared.handler.refuse(&shared.connection, Some(&head), refusal),
        Ok((kind, length)) => {
            mark(&mut head, kind);
            let body = if stream.is_end_stream() { Body::empty() } else { Body::http2(Incoming::new(stream, length)) };
            match handle(&shared, Request::from_parts(head, body), &mut respond).await {
                Some(response) => response,
                None => return,
            }
        }
    };
    if let Err(error) = answer(response, respond, head_only, websocket, shared.limits.stalled_write_timeout).await {
        tracing::debug!(visitor = %shared.connection.peer, %error, "an answer was broken off");
    }
}

/// Judges a head; tells what the visitor wants and how long the body is, if that is known.
fn judge(head: &mut Parts, limits: &Limits) -> Result<(Kind, Option<u64>), Refusal> {
    // RFC 8441 §5: the stream is the WebSocket, and the handshake's key and its answer fall away. The service still wants them.
    let protocol = head.extensions.remove::<Protocol>();
    let websocket = head.method == Method::CONNECT && protocol.is_some_and(|protocol| protocol.as_str() == "websocket");
    if websocket {
        head.method = Method::GET;
    }
    let facts = strict::facts(&head.headers);
    let kind = facts.judge(&head.method, &head.uri, head.version, head.headers.get(header::HOST), limits)?;
    strict::join_cookies(&mut head.headers);
    if !websocket {
        return Ok((kind, facts.length));
    }
    strict::open_websocket(&mut head.headers)?;
    Ok((Kind::WebSocket, None))
}

/// Waits for the answer. None: the visitor reset the stream.
async fn handle<H: Handler>(shared: &Shared<H>, request: Request, respond: &mut SendResponse<Bytes>) -> Option<Response> {
    let mut handling = pin!(shared.handler.handle(request, &shared.connection));
    poll_fn(|cx| match handling.as_mut().poll(cx) {
        Poll::Ready(response) => Poll::Ready(Some(response)),
        Poll::Pending => respond.poll_reset(cx).map(|_| None),
    })
    .await
}

async fn answer(
    response: Response,
    mut respond: SendResponse<Bytes>,
    head_only: bool,
    websocket: bool,
    patience: Option<Duration>,
) -> Result<(), SendError> {
    let Opening { head, body, ends } = Opening::of(response, head_only, websocket);
    let stream = match respond.send_response(http::Response::from_parts(head, ()), ends) {
        Ok(stream) => stream,
        Err(error) => {
            respond.send_reset(Reason::INTERNAL_ERROR);
            return Err(error.into());
        }
    };
    if ends {
        return Ok(());
    }
    let mut sending = Sending { body, stream, held: None, rest: Rest::More, patience, stalled: None };
    let sent = poll_fn(|cx| sending.poll(cx)).await;
    match &sent {
        Ok(()) | Err(SendError::Reset(_)) => {}
        Err(SendError::Stalled) => sending.stream.send_reset(Reason::ENHANCE_YOUR_CALM),
        Err(_) => sending.stream.send_reset(Reason::INTERNAL_ERROR),
    }
    sent
}

/// A body on its way.
struct Sending {
    body: Body,
    stream: SendStream<Bytes>,
    /// Taken of the body, and waiting for the visitor's window.
    held: Option<Bytes>,
    rest: Rest,
    /// How long the visitor may take nothing.
    patience: Option<Duration>,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Sending {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        loop {
            if let Poll::Ready(reset) = self.stream.poll_reset(cx) {
                return Poll::Ready(Err(SendError::Reset(reset?)));
            }
            if self.held.is_none() {
                match std::mem::replace(&mut self.rest, Rest::More) {
                    Rest::More => {}
                    Rest::Failed(error) => return Poll::Ready(Err(error.into())),
                    Rest::Trailers(trailers) => return Poll::Ready(self.stream.send_trailers(trailers).map_err(Into::into)),
                    Rest::Nothing => return Poll::Ready(self.stream.send_data(Bytes::new(), true).map_err(Into::into)),
                }
                ready!(self.poll_next(cx));
                continue;
            }
            // Asked for with a piece in hand only: a window that is reserved and not used is one that other streams lack.
            ready!(self.poll_window(cx))?;
            let Some(data) = self.held.take() else { continue };
            // The last piece should say that it is the last.
            let _ = self.poll_next(cx);
            let last = self.held.is_none() && matches!(self.rest, Rest::Nothing);
            self.stream.send_data(data, last)?;
            if last {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Takes the next piece of the body in hand, or learns what there is instead.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            None => self.rest = Rest::Nothing,
            Some(Err(error)) => self.rest = Rest::Failed(error),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => self.held = Some(data).filter(|data| !data.is_empty()),
                Err(frame) => self.rest = frame.into_trailers().map_or(Rest::More, Rest::ending),
            },
        }
        Poll::Ready(())
    }

    fn poll_window(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.stream.reserve_capacity(1);
        while self.stream.capacity() == 0 {
            match self.stream.poll_capacity(cx) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error.into())),
                Poll::Ready(None) => return Poll::Ready(Err(SendError::Closed)),
                Poll::Pending => {
                    let Some(patience) = self.patience else { return Poll::Pending };
                    let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
                    ready!(stalled.as_mut().poll(cx));
                    return Poll::Ready(Err(SendError::Stalled));
                }
            }
        }
        self.stalled = None;
        Poll::Ready(Ok(()))
    }
}
