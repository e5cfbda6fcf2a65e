//! One request over an agent's HTTP/2 connection.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::HeaderMap;
use poterne_edge_http::{Body, BodyError, Kind, Response};
use poterne_edge_upstream::UpstreamError;
use poterne_tunnel_proto::{
    h2 as wire,
    metadata::{Answer, BodyLength},
};
use poterne_tunnel_transport::soon;

use super::{
    Failure, OPEN_TIMEOUT, Outcome, Outgoing, length_of, patiently,
    pump::{Pump, Sink},
    whole::Whole,
};

pub(crate) async fn exchange(
    requests: h2::client::SendRequest<Bytes>,
    request: Outgoing<'_>,
    timeout: Option<Duration>,
) -> Outcome {
    let Outgoing { head: request, kind, body, guard, stalls, window } = request;
    let websocket = kind == Kind::WebSocket;
    let message = match wire::tunnel_request(request, websocket) {
        Ok(message) => message,
        Err(error) => {
            let error = UpstreamError::Protocol(format!("the request cannot be carried: {error}"));
            return Err(Failure { error, unsent: true, broken: false, body: None });
        }
    };
    let has_body = websocket || length_of(&body) != BodyLength::None;
    let mut requests = match soon(OPEN_TIMEOUT, requests.ready()).await {
        Ok(Ok(requests)) => requests,
        Ok(Err(error)) => return Err(Failure::before(error, body)),
        Err(_) => return Err(Failure::before("the agent grants no stream", body)),
    };
    let (response, stream) = match requests.send_request(message, !has_body) {
        Ok(sent) => sent,
        Err(error) => return Err(Failure::before(error, body)),
    };
    let pump = has_body.then(|| Pump::start(body, Stream(stream)));
    let response = patiently(timeout, pump.as_ref(), response).await;
    let (error, unsent) = match response {
        Ok(Ok(response)) => {
            let (head, recv) = response.into_parts();
            match wire::response_head(&head, websocket) {
                Ok(Answer::Head { parts, .. }) => {
                    if let Some(pump) = &pump {
                        pump.answered();
                    }
                    let body = ResponseBody { recv, unreleased: 0, data_ended: false, pump };
                    let body = Whole::new(body, request, &parts, guard).watched(stalls, request, window);
                    return Ok(Response::from_parts(*parts, body));
                }
                Ok(Answer::Error { flow_limited: true, .. }) => (UpstreamError::FlowLimited, false),
                Ok(Answer::Error { text, .. }) => (UpstreamError::LocalService(text), false),
                Err(error) => (UpstreamError::Protocol(error.to_string()), false),
            }
        }
        Ok(Err(error)) if error.is_reset() && error.reason() != Some(h2::Reason::REFUSED_STREAM) => {
            // The agent has no other way to say that the local service broke off before anything was sent on.
            (UpstreamError::LocalService(format!("it broke off before its answer ({error})")), false)
        }
        Ok(Err(error)) => (UpstreamError::ConnectionLost(error.to_string()), error.reason() == Some(h2::Reason::REFUSED_STREAM)),
        Err(timeout) => (timeout, false),
    };
    let error = pump.as_ref().and_then(Pump::blame).unwrap_or(error);
    let broken = matches!(error, UpstreamError::ConnectionLost(_));
    let body = match pump {
        Some(pump) if broken => pump.take_back().await,
        None if broken => Some(Body::empty()),
        _ => None,
    };
    Err(Failure { error, unsent, broken, body })
}

struct Stream(h2::SendStream<Bytes>);

impl Sink for Stream {
    async fn data(&mut self, mut data: Bytes) -> Result<(), String> {
        while !data.is_empty() {
            self.0.reserve_capacity(data.len());
            let room = match self.0.capacity() {
                0 => std::future::poll_fn(|cx| self.0.poll_capacity(cx))
                    .await
                    .ok_or("the stream is closed")?
                    .map_err(|e| e.to_string())?,
                room => room,
            };
            let piece = data.split_to(room.min(data.len()));
            self.0.send_data(piece, false).map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    async fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), String> {
        match trailers {
            Some(trailers) => self.0.send_trailers(trailers),
            None => self.0.send_data(Bytes::new(), true),
        }
        .map_err(|e| e.to_string())
    }

    fn abort(&mut self) {
        self.0.send_reset(h2::Reason::CANCEL);
    }
}

/// A stock agent resets its stream when the local service broke off (reference §5.4); h2 does where the fields it reads promise
/// another length than came.
fn cut(error: &h2::Error) -> BodyError {
    BodyError::Upstream(if error.is_library() && error.reason() == Some(h2::Reason::PROTOCOL_ERROR) {
        format!("the agent's stream is not what HTTP/2 allows, or not as long as its Content-Length: its fault ({error})")
    } else if error.is_reset() {
        format!("the local service broke off, or the agent gave up ({error})")
    } else {
        format!("the connection to the agent was lost: {error}")
    })
}

/// A response body, read as the visitor takes it: credit is given back when the next piece is asked for.
struct ResponseBody {
    recv: h2::RecvStream,
    unreleased: usize,
    data_ended: bool,
    pump: Option<Pump>,
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let pump = &this.pump;
        let cut = |error: h2::Error| pump.as_ref().and_then(Pump::blame_body).unwrap_or_else(|| cut(&error));
        if this.unreleased > 0 {
            // The stream may have ended meanwhile.
            let _ = this.recv.flow_control().release_capacity(std::mem::take(&mut this.unreleased));
        }
        if !this.data_ended {
            if let Some(data) = ready!(this.recv.poll_data(cx)) {
                return Poll::Ready(Some(data.map_err(cut).map(|data| {
                    this.unreleased = data.len();
                    http_body::Frame::data(data)
                })));
            }
            this.data_ended = true;
        }
        match ready!(this.recv.poll_trailers(cx)) {
            Ok(trailers) => Poll::Ready(trailers.map(|trailers| Ok(http_body::Frame::trailers(trailers)))),
            Err(error) => Poll::Ready(Some(Err(cut(error)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.recv.is_end_stream()
    }
}
