//! Bodies that flow: a sequence of data frames, then perhaps trailers.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Body as _;

use crate::{http1::uplink::Taker, http2::body::Incoming, http3::upload::Incoming as Incoming3};

/// One piece of a body.
pub type Frame = http_body::Frame<Bytes>;

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The visitor went away, or broke the framing.
    #[error("the visitor broke off the request body: {0}")]
    Visitor(String),
    /// The origin, or the tunnel to it, broke off.
    #[error("the response was cut off: {0}")]
    Upstream(String),
}

/// A body, received piece by piece. Dropping it tells the sender that nobody reads on.
pub struct Body(Inner);

enum Inner {
    Empty,
    Full(Option<Bytes>),
    Http1(Taker),
    Http2(Incoming),
    /// Apart, since it is larger than all the others, and each request is moved with room for it.
    Http3(Box<Incoming3>),
    Flow(Pin<Box<dyn http_body::Body<Data = Bytes, Error = BodyError> + Send>>),
}

impl Body {
    /// No body at all.
    pub const fn empty() -> Self {
        Self(Inner::Empty)
    }

    /// A body already whole in memory.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        if bytes.is_empty() { Self::empty() } else { Self(Inner::Full(Some(bytes))) }
    }

    /// A body that something else produces.
    pub fn flow(body: impl http_body::Body<Data = Bytes, Error = BodyError> + Send + 'static) -> Self {
        Self(Inner::Flow(Box::pin(body)))
    }

    /// Only this crate's codecs make bodies of a visitor's stream.
    pub(crate) fn http1(body: Taker) -> Self {
        Self(Inner::Http1(body))
    }

    pub(crate) fn http2(body: Incoming) -> Self {
        Self(Inner::Http2(body))
    }

    pub(crate) fn http3(body: Incoming3) -> Self {
        Self(Inner::Http3(Box::new(body)))
    }

    /// The next piece; none after the last.
    pub async fn frame(&mut self) -> Option<Result<Frame, BodyError>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_frame(cx)).await
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        match &mut self.0 {
            Inner::Empty => Poll::Ready(None),
            Inner::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Inner::Http1(body) => Pin::new(body).poll_frame(cx),
            Inner::Http2(body) => Pin::new(body).poll_frame(cx),
            Inner::Http3(body) => Pin::new(body).poll_frame(cx),
            Inner::Flow(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Empty => true,
            Inner::Full(bytes) => bytes.is_none(),
            Inner::Http1(body) => body.is_end_stream(),
            Inner::Http2(body) => body.is_end_stream(),
            Inner::Http3(body) => body.is_end_stream(),
            Inner::Flow(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match &self.0 {
            Inner::Empty => http_body::SizeHint::with_exact(0),
            Inner::Full(bytes) => http_body::SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Inner::Http1(body) => body.size_hint(),
            Inner::Http2(body) => body.size_hint(),
            Inner::Http3(body) => body.size_hint(),
            Inner::Flow(body) => body.size_hint(),
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Inner::Empty => "Body(empty)",
            Inner::Full(_) => "Body(full)",
            Inner::Http1(_) | Inner::Http2(_) | Inner::Http3(_) => "Body(visitor)",
            Inner::Flow(_) => "Body(flow)",
        })
    }
}

/// A frame of trailers.
pub fn trailers(fields: HeaderMap) -> Frame {
    Frame::trailers(fields)
}
