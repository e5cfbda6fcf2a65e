//! One request over one QUIC data stream.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Version};
use poterne_edge_http::{Body, BodyError, Kind, Response};
use poterne_edge_upstream::UpstreamError;
use poterne_tunnel_proto::{
    framed,
    metadata::{Answer, BodyLength, FramedBodies, RequestOptions, encode_http_request, parse_response_head},
    stream::{Parsed, version_of},
};
use poterne_tunnel_transport::soon;
use tokio_util::io::poll_read_buf;

use super::{
    Failure, OPEN_TIMEOUT, Outcome, Outgoing, length_of, patiently,
    pump::{Pump, Sink},
    whole::Whole,
};
use crate::connection::InFlight;

/// First read of a response, in bytes; grows with what comes, so that a waiting request holds nothing.
const READ_BYTES_MIN: usize = 4 * 1024;
const READ_BYTES_MAX: usize = 64 * 1024;

pub(crate) async fn exchange(
    connection: &quinn::Connection,
    trailers: bool,
    request: Outgoing<'_>,
    timeout: Option<Duration>,
) -> Outcome {
    let Outgoing { head, kind, body, guard, stalls, window } = request;
    let websocket = kind == Kind::WebSocket;
    let length = if websocket { BodyLength::Unknown } else { length_of(&body) };
    // Beside a length HTTP/1.1 has no room for trailers; later versions have (RFC 9113 §8.1).
    let trailers_possible = length == BodyLength::Unknown || length != BodyLength::None && head.version >= Version::HTTP_2;
    let framed_request = trailers && trailers_possible && !websocket;
    let poterne = (trailers && !websocket).then_some(FramedBodies { request: framed_request, response_allowed: true });
    let preamble = match encode_http_request(head, &RequestOptions { websocket, body: length, poterne }) {
        Ok(preamble) => preamble,
        Err(error) => {
            let error = UpstreamError::Protocol(format!("the request cannot be carried: {error}"));
            return Err(Failure { error, unsent: true, broken: false, body: None });
        }
    };
    let (mut send, mut recv) = match soon(OPEN_TIMEOUT, connection.open_bi()).await {
        Ok(Ok(streams)) => streams,
        Ok(Err(error)) => return Err(Failure::before(error, body)),
        Err(_) => return Err(Failure::before("the agent grants no stream", body)),
    };
    // Signature, version and head in one write: the stock agent reads the version with one call.
    if let Err(error) = send.write_chunk(preamble).await {
        return Err(Failure::before(error, body));
    }
    let pump = if length == BodyLength::None {
        // The stream was opened just now: it cannot be closed yet.
        let _ = send.finish();
        Sending::Ended(send)
    } else {
        Sending::Flowing(Pump::start(body, Stream { send, framed: framed_request }))
    };

    let sending = pump.pump();
    let answer = patiently(timeout, sending, read_head(&mut recv, &guard)).await.and_then(|answer| answer);
    match answer {
        Ok((Answer::Head { parts, framed }, rest)) => {
            if let Sending::Flowing(pump) = &pump {
                pump.answered();
            }
            let mut parts = *parts;
            parts.extensions.clear();
            let body = ResponseBody {
                recv,
                first: rest,
                buf: BytesMut::new(),
                read_bytes: READ_BYTES_MIN,
                decoder: framed.then(framed::Decoder::new),
                pending: Bytes::new(),
                ended: false,
                sending: pump,
            };
            let body = Whole::new(body, head, &parts, guard).watched(stalls, head, window);
            Ok(Response::from_parts(parts, body))
        }
        Ok((Answer::Error { flow_limited: true, .. }, _)) => Err(refused(UpstreamError::FlowLimited)),
        Ok((Answer::Error { text, .. }, _)) => Err(refused(UpstreamError::LocalService(text))),
        Err(error) => {
            let error = sending.and_then(Pump::blame).unwrap_or(error);
            let broken = matches!(error, UpstreamError::ConnectionLost(_));
            let body = match pump {
                Sending::Flowing(pump) if broken => pump.take_back().await,
                Sending::Ended(_) if broken => Some(Body::empty()),
                _ => None,
            };
            Err(Failure { error, unsent: false, broken, body })
        }
    }
}

fn refused(error: UpstreamError) -> Failure {
    Failure { error, unsent: false, broken: false, body: None }
}

/// The answer's head, and what came with it of the body.
async fn read_head(recv: &mut quinn::RecvStream, guard: &InFlight) -> Result<(Answer, Bytes), UpstreamError> {
    let mut gathered = BytesMut::new();
    loop {
        // A head nearly always comes in one piece, and is read where it lies.
        let piece = match recv.read_chunk(READ_BYTES_MAX, true).await {
            Ok(Some(chunk)) => chunk.bytes,
            Ok(None) => return Err(UpstreamError::Protocol("the agent ended the stream before its answer".into())),
            Err(error) => return Err(lost(&error)),
        };
        let head = if gathered.is_empty() {
            &piece[..]
        } else {
            gathered.extend_from_slice(&piece);
            &gathered[..]
        };
        match parse_response_head(head) {
            Ok(Parsed::Incomplete) if gathered.is_empty() => gathered.extend_from_slice(&piece),
            Ok(Parsed::Incomplete) => {}
            Ok(Parsed::Complete { value, consumed }) => {
                guard.connection().answers_with_version(version_of(head));
                // Copied: as a view it would keep a whole burst of packets.
                return Ok((value, Bytes::copy_from_slice(&head[consumed..])));
            }
            Err(error) => return Err(UpstreamError::Protocol(error.to_string())),
        }
    }
}

/// A reset stream is the agent's word about this request; anything else is the connection's end.
fn lost(error: &quinn::ReadError) -> UpstreamError {
    match error {
        quinn::ReadError::Reset(code) => {
            // It has no other way to say that the local service broke off before anything was sent on.
            UpstreamError::LocalService(format!("it broke off before its answer (the agent reset the stream, code {code})"))
        }
        _ => UpstreamError::ConnectionLost(error.to_string()),
    }
}

/// The same in a body: a stock agent resets its stream when the local service broke off (reference §4.3).
fn cut(error: &std::io::Error) -> BodyError {
    BodyError::Upstream(match error.get_ref().and_then(|inner| inner.downcast_ref::<quinn::ReadError>()) {
        Some(quinn::ReadError::Reset(code)) => {
            format!("the local service broke off, or the agent gave up (it reset the stream, code {code})")
        }
        _ => format!("the connection to the agent was lost: {error}"),
    })
}

/// The request's side, kept until the response has ended.
enum Sending {
    Ended(#[expect(dead_code, reason = "held for what dropping it does")] quinn::SendStream),
    Flowing(Pump),
}

impl Sending {
    fn pump(&self) -> Option<&Pump> {
        match self {
            Self::Flowing(pump) => Some(pump),
            Self::Ended(_) => None,
        }
    }
}

/// A data stream's sending side.
struct Stream {
    send: quinn::SendStream,
    framed: bool,
}

impl Sink for Stream {
    async fn data(&mut self, data: Bytes) -> Result<(), String> {
        if self.framed {
            let len = u32::try_from(data.len()).map_err(|_| "a piece longer than 4 GiB")?;
            let prefix = Bytes::copy_from_slice(&framed::data_header(len));
            return self.send.write_all_chunks(&mut [prefix, data]).await.map_err(|e| e.to_string());
        }
        self.send.write_chunk(data).await.map_err(|e| e.to_string())
    }

    async fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), String> {
        if self.framed {
            let end = framed::end(trailers.as_ref()).map_err(|e| e.to_string())?;
            self.send.write_chunk(end).await.map_err(|e| e.to_string())?;
        }
        self.send.finish().map_err(|e| e.to_string())
    }

    fn abort(&mut self) {
        // Already closed is as good.
        let _ = self.send.reset(0u32.into());
    }
}

/// A response body, read as the visitor takes it.
struct ResponseBody {
    recv: quinn::RecvStream,
    /// Body bytes that came with the head.
    first: Bytes,
    buf: BytesMut,
    read_bytes: usize,
    decoder: Option<framed::Decoder>,
    pending: Bytes,
    ended: bool,
    sending: Sending,
}

impl ResponseBody {
    /// The next bytes of the stream; none at its end.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if !self.first.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.first))));
        }
        self.buf.reserve(self.read_bytes);
        let read = poll_read_buf(Pin::new(&mut self.recv), cx, &mut self.buf);
        let Poll::Ready(read) = read else {
            // Nothing there: hold no buffer while waiting.
            self.buf = BytesMut::new();
            return Poll::Pending;
        };
        match read {
            Ok(0) => {
                self.ended = true;
                Poll::Ready(None)
            }
            Ok(read) => {
                if read == self.read_bytes {
                    self.read_bytes = (read * 2).min(READ_BYTES_MAX);
                }
                Poll::Ready(Some(Ok(self.buf.split().freeze())))
            }
            Err(error) => {
                self.ended = true;
                Poll::Ready(Some(Err(self.sending.pump().and_then(Pump::blame_body).unwrap_or_else(|| cut(&error)))))
            }
        }
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        if this.decoder.is_none() {
            return this.poll_chunk(cx).map(|chunk| chunk.map(|chunk| chunk.map(http_body::Frame::data)));
        }
        loop {
            let decoder = this.decoder.as_mut().expect("checked above");
            match decoder.decode(&mut this.pending) {
                Ok(Some(framed::Piece::Data(data))) => return Poll::Ready(Some(Ok(http_body::Frame::data(data)))),
                Ok(Some(framed::Piece::End(trailers))) => {
                    this.ended = true;
                    return Poll::Ready(trailers.map(|trailers| Ok(http_body::Frame::trailers(trailers))));
                }
                Ok(None) => {}
                Err(error) => {
                    this.ended = true;
                    return Poll::Ready(Some(Err(BodyError::Upstream(error.to_string()))));
                }
            }
            match ready!(this.poll_chunk(cx)) {
                Some(Ok(chunk)) => this.pending = chunk,
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    return Poll::Ready(Some(Err(BodyError::Upstream(
                        "the agent ended the stream before the body's end: its fault".into(),
                    ))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}
