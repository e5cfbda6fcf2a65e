//! A response's body on its way to the visitor: as long as its head says, or broken off and written down.
//!
//! Over QUIC the end of a body is the end of its stream (reference §4.3), and over HTTP/2 the length stands among the fields that only
//! the edge reads: neither transport compares them. An agent that ends a body early must not make the visitor, or a cache, take it for
//! whole.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use http_body::Frame;
use poterne_edge_http::{Body, BodyError, strict::parse_length};
use poterne_edge_upstream::Stalls;

use crate::connection::{Connection, InFlight};

const CF_RAY: HeaderName = HeaderName::from_static("cf-ray");

/// A body that is measured.
pub(crate) struct Whole<B> {
    body: B,
    /// Bytes that the head promised and that have not come; none where it promised nothing.
    left: Option<u64>,
    failed: bool,
    /// For the log.
    ray: Option<HeaderValue>,
    guard: InFlight,
}

impl<B> Whole<B>
where
    B: http_body::Body<Data = Bytes, Error = BodyError> + Send + Unpin + 'static,
{
    /// The same, watched: it is let go where too much lies here for visitors who take nothing.
    pub(crate) fn watched(self, stalls: &Stalls, request: &http::request::Parts, window: u32) -> Body {
        let length = self.left;
        stalls.body(self, &request.headers, length, window)
    }
}

impl<B> Whole<B> {
    /// The body that came with `response` to `request`, which is in flight until it ends.
    pub(crate) fn new(body: B, request: &http::request::Parts, response: &http::response::Parts, guard: InFlight) -> Self {
        let ray = request.headers.get(CF_RAY).cloned();
        Self { body, left: promised(&request.method, response), failed: false, ray, guard }
    }

    fn fail(&mut self, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.failed = true;
        let Connection { id: connection, tunnel, .. } = self.guard.connection();
        let ray = self.ray.as_ref().and_then(|ray| ray.to_str().ok());
        match &error {
            BodyError::Visitor(_) => tracing::debug!(ray, %tunnel, %connection, %error, "a response was broken off"),
            BodyError::Upstream(_) => tracing::warn!(ray, %tunnel, %connection, %error, "a response was broken off"),
        }
        Poll::Ready(Some(Err(error)))
    }
}

/// How many bytes a response's head promises (RFC 9110 §6.4.1, §8.6). A length that is none is the pipeline's to refuse.
fn promised(method: &Method, response: &http::response::Parts) -> Option<u64> {
    let bodiless = matches!(response.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if *method == Method::HEAD || bodiless || response.status.is_informational() {
        return None;
    }
    parse_length(response.headers.get(header::CONTENT_LENGTH)?.as_bytes())
}

impl<B> http_body::Body for Whole<B>
where
    B: http_body::Body<Data = Bytes, Error = BodyError> + Unpin,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if this.failed {
            return Poll::Ready(None);
        }
        let frame = match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
            Some(Ok(frame)) => Some(frame),
            Some(Err(error)) => return this.fail(error),
            None => None,
        };
        let Some(left) = this.left else { return Poll::Ready(frame.map(Ok)) };
        let more = frame.as_ref().and_then(Frame::data_ref).map(|data| data.len() as u64);
        let wrong = match more {
            Some(more) if more > left => {
                format!("the agent sent more than the body's Content-Length, {} bytes too many at least: its fault", more - left)
            }
            None if left > 0 => format!("the agent ended the body {left} bytes before its Content-Length: its fault"),
            _ => {
                this.left = Some(left - more.unwrap_or(0));
                return Poll::Ready(frame.map(Ok));
            }
        };
        this.fail(BodyError::Upstream(wrong))
    }

    fn is_end_stream(&self) -> bool {
        self.failed || self.left.is_none_or(|left| left == 0) && self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_promises_what_it_says_unless_no_body_follows_it() {
        let promised = |method, status: u16, length: &str| {
            let response = http::Response::builder().status(status).header("content-length", length).body(()).unwrap();
            promised(&method, &response.into_parts().0)
        };
        assert_eq!(promised(Method::GET, 200, "100"), Some(100));
        assert_eq!(promised(Method::POST, 500, "0"), Some(0));
        assert_eq!(promised(Method::HEAD, 200, "100"), None);
        for status in [101, 204, 304] {
            assert_eq!(promised(Method::GET, status, "100"), None);
        }
        for no_length in ["-1", "+1", "", "1, 1", "18446744073709551616"] {
            assert_eq!(promised(Method::GET, 200, no_length), None, "{no_length}");
        }
    }
}
