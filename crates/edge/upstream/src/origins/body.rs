//! Bodies on their way to an origin, and back.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use poterne_edge_http::{Body, BodyError, Frame, pieces::Pieces};

/// Most of a request's body that is kept to be sent again (design invariant 5), in bytes.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// A request's body, with what is needed to send it again. What few requests need is boxed: this is moved with each of them.
#[derive(Debug, Default)]
pub(super) struct RequestBody {
    /// What was taken before and goes first.
    again: Option<Box<Kept>>,
    body: Body,
    /// What was taken, as long as it is little.
    keeping: Keeping,
}

/// The beginning of a body, or all of it.
#[derive(Debug, Default)]
struct Kept {
    pieces: Pieces,
    /// What came after the body.
    trailers: Option<HeaderMap>,
}

#[derive(Debug, Default)]
enum Keeping {
    /// Nothing is kept, or no more.
    #[default]
    No,
    /// Nothing was there yet.
    Nothing,
    Some(Box<Kept>),
}

impl RequestBody {
    pub(super) fn new(body: Body) -> Self {
        Self { body, ..Self::default() }
    }

    /// The same, kept while it is sent: the connection may be dead.
    pub(super) fn keeping(self) -> Self {
        Self { keeping: Keeping::Nothing, ..self }
    }

    /// The body from its beginning, if all that was taken of it is here.
    pub(super) fn rewound(self) -> Option<Self> {
        let again = match self.keeping {
            Keeping::No => return None,
            Keeping::Nothing => None,
            Keeping::Some(kept) => Some(kept),
        };
        Some(Self { again, body: self.body, keeping: Keeping::No })
    }

    fn keep(&mut self, frame: &Frame) {
        if matches!(self.keeping, Keeping::Nothing) {
            self.keeping = Keeping::Some(Box::default());
        }
        let Keeping::Some(kept) = &mut self.keeping else { return };
        if let Some(data) = frame.data_ref() {
            if kept.pieces.bytes() + data.len() > KEPT_BYTES_MAX {
                self.keeping = Keeping::No;
            } else {
                kept.pieces.push(data.clone());
            }
        } else if let Some(trailers) = frame.trailers_ref() {
            kept.trailers = Some(trailers.clone());
        }
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    /// Why the visitor broke off.
    type Error = String;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, String>>> {
        let this = &mut *self;
        let next = match this.again.as_mut().and_then(|again| again.pieces.pop()) {
            Some(data) => Some(Ok(Frame::data(data))),
            None => ready!(Pin::new(&mut this.body).poll_frame(cx)).map(|frame| frame.map_err(reason)),
        };
        let next = next.or_else(|| this.again.take()?.trailers.map(|trailers| Ok(Frame::trailers(trailers))));
        match &next {
            Some(Ok(frame)) => this.keep(frame),
            Some(Err(_)) => this.keeping = Keeping::No,
            None => {}
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        let is_over = |again: &Kept| again.pieces.bytes() == 0 && again.trailers.is_none();
        self.again.as_deref().is_none_or(is_over) && self.body.is_end_stream()
    }
}

fn reason(error: BodyError) -> String {
    let (BodyError::Visitor(reason) | BodyError::Upstream(reason)) = error;
    reason
}

#[cfg(test)]
mod tests {
    use http_body::Body as _;

    use super::*;

    /// A body of these pieces, and trailers.
    struct Given(Vec<Frame>);

    impl http_body::Body for Given {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
            Poll::Ready((!self.0.is_empty()).then(|| Ok(self.0.remove(0))))
        }
    }

    fn given(sizes: &[usize]) -> RequestBody {
        let mut frames: Vec<Frame> = sizes.iter().map(|size| Frame::data(vec![b'x'; *size].into())).collect();
        frames.push(Frame::trailers(HeaderMap::from_iter([(http::header::ETAG, http::HeaderValue::from_static("1"))])));
        RequestBody::new(Body::flow(Given(frames))).keeping()
    }

    /// Takes so many frames; all of them: tells how many bytes came, and whether trailers did.
    fn take(body: &mut RequestBody, frames: usize) -> (usize, bool) {
        let (mut bytes, mut trailers) = (0, false);
        for _ in 0..frames {
            let polled = Pin::new(&mut *body).poll_frame(&mut Context::from_waker(std::task::Waker::noop()));
            let Poll::Ready(Some(frame)) = polled else { break };
            match frame.unwrap().into_data() {
                Ok(data) => bytes += data.len(),
                Err(_) => trailers = true,
            }
        }
        (bytes, trailers)
    }

    #[test]
    fn a_little_that_was_taken_is_sent_again() {
        for taken in 0..6 {
            let mut body = given(&[10, 2_000, 30_000, 5]);
            take(&mut body, taken);
            let mut again = body.rewound().unwrap();
            assert!(!again.is_end_stream());
            assert_eq!(take(&mut again, usize::MAX), (32_015, true), "after {taken}");
            assert!(again.rewound().is_none(), "nothing was kept of it");
        }
    }

    #[test]
    fn much_is_not_kept() {
        let mut body = given(&[KEPT_BYTES_MAX, 1]);
        take(&mut body, 1);
        let mut again = body.rewound().unwrap().keeping();
        take(&mut again, 1);
        assert_eq!(take(&mut again.rewound().unwrap(), usize::MAX), (KEPT_BYTES_MAX + 1, true));
        let mut body = given(&[KEPT_BYTES_MAX, 1]);
        take(&mut body, 2);
        assert!(body.rewound().is_none());
    }
}
