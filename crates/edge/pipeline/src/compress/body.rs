//! A body that is compressed while it flows.
//!
//! What the origin sent before it fell silent is at the visitor before it speaks again: whenever there is nothing more to be had for now, what was
//! taken in is put out. While it speaks, nothing is put out before its time. So a slow stream stays a stream, and a fast one becomes small.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use poterne_edge_http::{Body, BodyError, Frame};

use super::{Slot, coding::Coding, encoder::Encoder};

/// Taken in at a time, and before others have their turn, in bytes.
const PIECE: usize = 16 * 1024;
const TURN: usize = 64 * 1024;

pub(crate) struct Compressed {
    inner: Body,
    coding: Coding,
    length: Option<u64>,
    state: State,
}

enum State {
    /// Nothing came yet: there is no compressor for an answer that is thought about.
    Waiting(Slot),
    Flowing(Box<Flow>),
    /// What is left after the last octet.
    Trailers(HeaderMap),
    Over,
}

struct Flow {
    encoder: Encoder,
    /// Received, and not taken in.
    rest: Bytes,
    /// Whether something was taken in that is not out.
    is_behind: bool,
    _slot: Slot,
}

impl Compressed {
    /// `length`: of the body in bytes, where it is known.
    pub(crate) fn new(inner: Body, coding: Coding, length: Option<u64>, slot: Slot) -> Self {
        Self { inner, coding, length, state: State::Waiting(slot) }
    }

    /// The compressor's end.
    fn finish(&mut self) -> io::Result<Bytes> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Flowing(flow) => flow.encoder.finish().map(Bytes::from),
            // Nothing at all is a whole answer too.
            State::Waiting(_) => Encoder::new(self.coding, Some(0))?.finish().map(Bytes::from),
            State::Trailers(_) | State::Over => Ok(Bytes::new()),
        }
    }

    fn fail(&mut self, error: &io::Error) -> Poll<Option<Result<Frame, BodyError>>> {
        self.state = State::Over;
        Poll::Ready(Some(Err(BodyError::Upstream(format!("it could not be compressed: {error}")))))
    }

    fn poll_flow(&mut self, cx: &mut Context<'_>) -> io::Result<Poll<Option<Result<Frame, BodyError>>>> {
        let mut taken = 0;
        loop {
            if let State::Flowing(flow) = &mut self.state
                && !flow.rest.is_empty()
            {
                if taken >= TURN {
                    cx.waker().wake_by_ref();
                    return Ok(Poll::Pending);
                }
                let piece = flow.rest.split_to(flow.rest.len().min(PIECE));
                taken += piece.len();
                flow.encoder.write(&piece)?;
                flow.is_behind = true;
                let out = flow.encoder.take();
                if !out.is_empty() {
                    return Ok(Poll::Ready(Some(Ok(Frame::data(out.into())))));
                }
                continue;
            }
            match http_body::Body::poll_frame(Pin::new(&mut self.inner), cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.receive(data)?,
                    Err(frame) => {
                        let last = self.finish()?;
                        if let Ok(trailers) = frame.into_trailers() {
                            self.state = State::Trailers(trailers);
                        }
                        return Ok(Poll::Ready(Some(Ok(Frame::data(last)))));
                    }
                },
                Poll::Ready(Some(Err(error))) => {
                    self.state = State::Over;
                    return Ok(Poll::Ready(Some(Err(error))));
                }
                Poll::Ready(None) => {
                    let last = self.finish()?;
                    return Ok(Poll::Ready((!last.is_empty()).then(|| Ok(Frame::data(last)))));
                }
                Poll::Pending => {
                    if let State::Flowing(flow) = &mut self.state
                        && std::mem::take(&mut flow.is_behind)
                    {
                        flow.encoder.flush()?;
                        let out = flow.encoder.take();
                        if !out.is_empty() {
                            return Ok(Poll::Ready(Some(Ok(Frame::data(out.into())))));
                        }
                    }
                    return Ok(Poll::Pending);
                }
            }
        }
    }

    fn receive(&mut self, data: Bytes) -> io::Result<()> {
        self.state = match std::mem::replace(&mut self.state, State::Over) {
            State::Waiting(slot) => {
                let encoder = Encoder::new(self.coding, self.length)?;
                State::Flowing(Box::new(Flow { encoder, rest: data, is_behind: false, _slot: slot }))
            }
            State::Flowing(mut flow) => {
                flow.rest = data;
                State::Flowing(flow)
            }
            after => after,
        };
        Ok(())
    }
}

impl http_body::Body for Compressed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        match &mut self.state {
            State::Trailers(trailers) => {
                let trailers = std::mem::take(trailers);
                self.state = State::Over;
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            State::Over => Poll::Ready(None),
            State::Waiting(_) | State::Flowing(_) => match self.poll_flow(cx) {
                Ok(polled) => polled,
                Err(error) => self.fail(&error),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Over)
    }
}
