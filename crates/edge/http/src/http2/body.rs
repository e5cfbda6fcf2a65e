//! A visitor's request body over HTTP/2.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, SizeHint};

use crate::{
    BodyError, Frame,
    fields::{drop_forbidden, is_forbidden_trailer},
};

/// Received as it is taken: what is not taken fills the stream's window, and no more comes.
#[derive(Debug)]
pub(crate) struct Incoming {
    stream: h2::RecvStream,
    /// Bytes to come, if that is known. `h2` sees to it that so many come.
    left: Option<u64>,
    data_ended: bool,
    ended: bool,
}

impl Incoming {
    /// The body of a stream, of this length if it is known.
    pub(crate) fn new(stream: h2::RecvStream, length: Option<u64>) -> Self {
        Self { stream, left: length, data_ended: false, ended: false }
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        if !this.data_ended {
            match ready!(this.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    // Taken is taken: whoever has it holds it in a bounded buffer of its own.
                    let _ = this.stream.flow_control().release_capacity(data.len());
                    this.left = this.left.map(|left| left.saturating_sub(data.len() as u64));
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return this.broken(&error),
                None => this.data_ended = true,
            }
        }
        match ready!(this.stream.poll_trailers(cx)) {
            Ok(trailers) => {
                this.ended = true;
                let trailers = trailers.map(|mut trailers| {
                    drop_forbidden(&mut trailers, is_forbidden_trailer);
                    trailers
                });
                Poll::Ready(trailers.filter(|trailers| !trailers.is_empty()).map(|trailers| Ok(Frame::trailers(trailers))))
            }
            Err(error) => this.broken(&error),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Incoming {
    fn broken(&mut self, error: &h2::Error) -> Poll<Option<Result<Frame, BodyError>>> {
        self.ended = true;
        Poll::Ready(Some(Err(BodyError::Visitor(error.to_string()))))
    }
}
