//! The visitor's side of one stream, whichever transport it came by.
//!
//! [`Incoming`] is what the visitor sends, [`Answer`] what goes back. Over QUIC a head is a preamble and bodies are raw or, between
//! two Poternes, framed so that trailers pass; over HTTP/2 both are natural. The rest of the agent does not know the difference.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use poterne_stalls::{Waits, Watched};
use poterne_tunnel_proto::{
    framed, h2 as wire_h2,
    h2::{ResponseMeta, Source},
    metadata,
    stream::{self, ConnectResponse},
};

use crate::trace::Traced;

/// Pieces taken from a QUIC stream at once. Each is as long as the packet it came in.
const PIECES_MAX: usize = 32;

/// The stream cannot be used any more: the visitor left, the connection died, or the peer broke the framing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SideError {
    #[error("the visitor's stream ended: {0}")]
    Read(#[from] quinn::ReadError),
    #[error("the visitor's stream is closed: {0}")]
    Write(#[from] quinn::WriteError),
    #[error("the visitor's HTTP/2 stream ended: {0}")]
    Http2(#[from] h2::Error),
    #[error("the edge framed a body wrongly: {0}")]
    Framed(#[from] framed::FramedError),
    #[error("the service took nothing of the upload while too many waited like this, and it was let go: the service's fault")]
    LetGo,
    #[error("the stream is finished")]
    Finished,
}

/// What comes from the visitor after the head.
#[derive(Debug)]
pub(crate) enum Part {
    Data(Bytes),
    Trailers(HeaderMap),
}

/// The visitor's half.
#[derive(Debug)]
pub(crate) enum Incoming {
    Empty,
    Body(Watched<Sent>),
}

/// A body on its way, by either transport.
#[derive(Debug)]
pub(crate) enum Sent {
    Quic(QuicIncoming),
    Http2 { recv: h2::RecvStream, data_ended: bool },
}

impl Sent {
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Part, SideError>>> {
        match self {
            Self::Quic(quic) => quic.poll_part(cx),
            Self::Http2 { recv, data_ended } => {
                if !*data_ended {
                    match ready!(recv.poll_data(cx)) {
                        Some(Ok(data)) => {
                            let _ = recv.flow_control().release_capacity(data.len());
                            return Poll::Ready(Some(Ok(Part::Data(data))));
                        }
                        Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                        None => *data_ended = true,
                    }
                }
                match ready!(recv.poll_trailers(cx)) {
                    Ok(Some(trailers)) => Poll::Ready(Some(Ok(Part::Trailers(trailers)))),
                    Ok(None) => Poll::Ready(None),
                    Err(error) => Poll::Ready(Some(Err(error.into()))),
                }
            }
        }
    }
}

impl Incoming {
    /// The next piece; `None` is the clean end.
    pub(crate) fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Part, SideError>>> {
        let Self::Body(body) = self else { return Poll::Ready(None) };
        let polled = body.with(|sent| {
            let polled = sent.poll_part(cx);
            let waits = if matches!(polled, Poll::Ready(Some(Ok(_)))) { Waits::Taker } else { Waits::Sender };
            (polled, waits)
        });
        polled.unwrap_or_else(|| Poll::Ready(Some(Err(SideError::LetGo))))
    }

    /// The next piece of data; trailers are skipped. `None` is the clean end.
    pub(crate) async fn data(&mut self) -> Option<Result<Bytes, SideError>> {
        loop {
            match poll_fn(|cx| self.poll_part(cx)).await? {
                Ok(Part::Data(data)) => return Some(Ok(data)),
                Ok(Part::Trailers(_)) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// A request's body over QUIC.
#[derive(Debug)]
pub(crate) struct QuicIncoming {
    recv: quinn::RecvStream,
    /// Received, the first of them under the decoder's hands.
    pieces: VecDeque<Bytes>,
    decoder: Option<framed::Decoder>,
    ended: bool,
}

impl QuicIncoming {
    /// `first` came with the head.
    pub(crate) fn new(recv: quinn::RecvStream, first: Bytes, is_framed: bool) -> Self {
        let pieces = if first.is_empty() { VecDeque::new() } else { VecDeque::from([first]) };
        Self { recv, pieces, decoder: is_framed.then(framed::Decoder::new), ended: false }
    }

    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Part, SideError>>> {
        loop {
            if self.ended {
                return Poll::Ready(None);
            }
            match (&mut self.decoder, self.pieces.front_mut()) {
                (_, None) => {}
                (None, Some(_)) => return Poll::Ready(self.pieces.pop_front().map(|data| Ok(Part::Data(data)))),
                (Some(decoder), Some(piece)) => match decoder.decode(piece) {
                    Ok(Some(framed::Piece::Data(data))) => return Poll::Ready(Some(Ok(Part::Data(data)))),
                    Ok(Some(framed::Piece::End(trailers))) => {
                        self.ended = true;
                        return Poll::Ready(trailers.map(|trailers| Ok(Part::Trailers(trailers))));
                    }
                    Ok(None) => {
                        self.pieces.pop_front();
                        continue;
                    }
                    Err(error) => return Poll::Ready(Some(Err(error.into()))),
                },
            }
            let mut pieces = [const { Bytes::new() }; PIECES_MAX];
            let read = pin!(self.recv.read_chunks(&mut pieces)).poll(cx);
            match ready!(read) {
                Ok(Some(count)) => self.pieces.extend(pieces.into_iter().take(count)),
                Ok(None) => {
                    self.ended = true;
                    let complete = self.decoder.as_ref().map_or(Ok(()), framed::Decoder::finish);
                    return Poll::Ready(complete.err().map(|error| Err(error.into())));
                }
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
        }
    }
}

/// The half that goes back. Dropped before [`Answer::finish`] it resets the stream: an end that was not said is never clean.
#[derive(Debug)]
pub(crate) struct Answer {
    way: Way,
    /// What is told of the request once its answer is over, where it is recorded.
    pub(crate) traced: Option<Box<Traced>>,
}

#[derive(Debug)]
enum Way {
    Quic { send: quinn::SendStream, framed: bool, finished: bool },
    Http2 { respond: h2::server::SendResponse<Bytes>, stream: Option<h2::SendStream<Bytes>>, finished: bool },
}

impl Answer {
    /// Over QUIC; `framed` when both ends speak `poterne_trailers_1`.
    pub(crate) fn quic(send: quinn::SendStream, framed: bool) -> Self {
        Way::Quic { send, framed, finished: false }.into()
    }

    /// Over HTTP/2.
    pub(crate) fn http2(respond: h2::server::SendResponse<Bytes>) -> Self {
        Way::Http2 { respond, stream: None, finished: false }.into()
    }

    /// Sends the head, and what is already there of the body, in one go. `last`: there is nothing more.
    ///
    /// `trailers_possible`: only then is a QUIC body framed; most bodies have no trailers and go raw.
    pub(crate) async fn head(
        &mut self,
        status: StatusCode,
        headers: &HeaderMap,
        source: Source,
        trailers_possible: bool,
        first: Option<Bytes>,
        last: bool,
    ) -> Result<(), SideError> {
        if let Some(traced) = &mut self.traced {
            traced.answered(status);
        }
        match &mut self.way {
            Way::Quic { send, framed, finished } => {
                *framed &= trailers_possible;
                let head = metadata::encode_http_response(status, headers, *framed);
                let first = first.unwrap_or_default();
                // Empty pieces cost nothing on the wire, and one write of all makes room for one.
                let mut pieces = [head, Bytes::new(), first, Bytes::new()];
                if *framed && !pieces[2].is_empty() {
                    pieces[1] = Bytes::copy_from_slice(&framed::data_header(data_length(&pieces[2])));
                }
                if *framed && last {
                    pieces[3] = framed::end(None)?;
                }
                send.write_all_chunks(&mut pieces).await?;
                if last {
                    let _ = send.finish();
                    *finished = true;
                }
                Ok(())
            }
            Way::Http2 { respond, stream, finished } => {
                let response = wire_h2::agent_response(status, headers, ResponseMeta { src: source, flow_rate_limited: false });
                let end_now = last && first.is_none();
                *stream = Some(respond.send_response(response, end_now)?);
                *finished = end_now;
                if let Some(first) = first {
                    self.data(first).await?;
                    if last {
                        self.finish(None).await?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Sends a piece of the body, waiting for the visitor to make room.
    pub(crate) async fn data(&mut self, mut data: Bytes) -> Result<(), SideError> {
        if data.is_empty() {
            return Ok(());
        }
        match &mut self.way {
            Way::Quic { send, framed: true, .. } => {
                let header = Bytes::copy_from_slice(&framed::data_header(data_length(&data)));
                Ok(send.write_all_chunks(&mut [header, data]).await?)
            }
            Way::Quic { send, .. } => Ok(send.write_chunk(data).await?),
            Way::Http2 { stream, .. } => {
                let stream = stream.as_mut().ok_or(SideError::Finished)?;
                while !data.is_empty() {
                    stream.reserve_capacity(data.len());
                    let room = poll_fn(|cx| stream.poll_capacity(cx)).await.ok_or(SideError::Finished)??;
                    let piece = data.split_to(room.min(data.len()));
                    if !piece.is_empty() {
                        stream.send_data(piece, false)?;
                    }
                }
                Ok(())
            }
        }
    }

    /// The clean end.
    pub(crate) async fn finish(&mut self, trailers: Option<HeaderMap>) -> Result<(), SideError> {
        match &mut self.way {
            Way::Quic { send, framed, finished } => {
                if *framed {
                    // A block too long for the frame is dropped as HTTP/1.1 proxies drop any trailer (RFC 9110 §6.5.1).
                    let end = framed::end(trailers.as_ref()).or_else(|_| framed::end(None))?;
                    send.write_chunk(end).await?;
                }
                let _ = send.finish();
                *finished = true;
            }
            Way::Http2 { stream, finished, .. } => {
                let stream = stream.as_mut().ok_or(SideError::Finished)?;
                match trailers {
                    Some(trailers) => stream.send_trailers(trailers)?,
                    None => stream.send_data(Bytes::new(), true)?,
                }
                *finished = true;
            }
        }
        Ok(())
    }

    /// Instead of a head: why there is none.
    pub(crate) async fn fail(&mut self, text: &str, flow_limited: bool) -> Result<(), SideError> {
        self.failed(text);
        match &mut self.way {
            Way::Quic { send, finished, .. } => {
                send.write_chunk(metadata::encode_error(text, flow_limited)).await?;
                let _ = send.finish();
                *finished = true;
            }
            Way::Http2 { respond, finished, .. } => {
                respond.send_response(wire_h2::agent_error(flow_limited), true)?;
                *finished = true;
            }
        }
        Ok(())
    }

    /// Instead of a head, for private-network TCP: the connection is there, raw bytes follow.
    pub(crate) async fn acknowledge_tcp(&mut self) -> Result<(), SideError> {
        match &mut self.way {
            Way::Quic { send, framed, .. } => {
                *framed = false;
                Ok(send.write_chunk(stream::encode_response(&ConnectResponse::default())).await?)
            }
            Way::Http2 { .. } => self.head(StatusCode::OK, &HeaderMap::new(), Source::Origin, false, None, false).await,
        }
    }

    /// Has whoever traces the request told why its answer is none, or not whole.
    pub(crate) fn failed(&mut self, why: &str) {
        if let Some(traced) = &mut self.traced {
            traced.failed(why);
        }
    }

    /// Runs `work` unless the visitor goes away first. It is given pinned: moving it in would make room for it twice.
    pub(crate) async fn unless_gone<F: Future + Unpin>(&mut self, mut work: F) -> Result<F::Output, SideError> {
        let mut work = Pin::new(&mut work);
        match &mut self.way {
            Way::Quic { send, .. } => {
                // Asked for only once the work has to wait: it takes the connection's lock.
                if let Poll::Ready(output) = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await {
                    return Ok(output);
                }
                let mut stopped = pin!(send.stopped());
                poll_fn(|cx| match work.as_mut().poll(cx) {
                    Poll::Ready(output) => Poll::Ready(Ok(output)),
                    Poll::Pending => stopped.as_mut().poll(cx).map(|_| Err(SideError::Finished)),
                })
                .await
            }
            Way::Http2 { respond, stream, .. } => {
                poll_fn(|cx| {
                    if let Poll::Ready(output) = work.as_mut().poll(cx) {
                        return Poll::Ready(Ok(output));
                    }
                    let reset = match stream {
                        Some(stream) => stream.poll_reset(cx),
                        None => respond.poll_reset(cx),
                    };
                    reset.map(|_| Err(SideError::Finished))
                })
                .await
            }
        }
    }
}

impl From<Way> for Answer {
    fn from(way: Way) -> Self {
        Self { way, traced: None }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(traced) = self.traced.take() {
            let (Way::Quic { finished, .. } | Way::Http2 { finished, .. }) = self.way;
            traced.over(finished);
        }
        match &mut self.way {
            // quinn finishes a dropped stream cleanly; a body cut short must not look whole (reference §4.3).
            Way::Quic { send, finished: false, .. } => {
                let _ = send.reset(quinn::VarInt::from_u32(0));
            }
            Way::Http2 { respond, stream, finished: false } => match stream {
                Some(stream) => stream.send_reset(h2::Reason::INTERNAL_ERROR),
                None => respond.send_reset(h2::Reason::INTERNAL_ERROR),
            },
            _ => {}
        }
    }
}

/// Pieces are far below 4 GiB: they come out of read buffers.
fn data_length(data: &Bytes) -> u32 {
    u32::try_from(data.len()).expect("a piece of a body is at most a read buffer long")
}
