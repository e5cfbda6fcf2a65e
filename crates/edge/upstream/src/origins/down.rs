//! An answer's body on its way to the visitor; the connection goes back to the pool at its end.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderValue;
use poterne_edge_http::{Body, BodyError, Frame};
use poterne_origin::Fault;
use tokio::sync::mpsc;

use super::{pool::Connection, zone::Zone};

/// Pieces of an answer that wait while a request goes on upwards.
const WAITING_MAX: usize = 4;

/// The body of an answer whose head was read.
pub(super) fn body(connection: Box<Connection>, zone: Arc<Zone>, ray: Option<HeaderValue>) -> Body {
    if connection.http.is_end_stream() {
        // What is left of the request nobody wants, and the connection with it.
        zone.put(connection);
        return Body::empty();
    }
    let left = connection.http.body_left();
    if connection.http.is_sent() {
        return Body::flow(Downwards { connection: Some(connection), zone, ray });
    }
    // The origin answers while it is sent to. Either direction may stand still without the other: a visitor who takes nothing before all
    // of its request is gone must not wait for itself.
    let (frames, received) = mpsc::channel(WAITING_MAX);
    tokio::spawn(carry(connection, zone, ray, frames));
    Body::flow(Carried { received, left })
}

/// Read as the visitor takes it.
struct Downwards {
    /// None once it is over.
    connection: Option<Box<Connection>>,
    zone: Arc<Zone>,
    ray: Option<HeaderValue>,
}

impl http_body::Body for Downwards {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let this = &mut *self;
        let Some(connection) = &mut this.connection else { return Poll::Ready(None) };
        let frame = ready!(connection.http.poll_frame(cx));
        match frame {
            Some(Ok(frame)) => {
                if connection.http.is_end_stream()
                    && let Some(connection) = this.connection.take()
                {
                    this.zone.put(connection);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(fault)) => {
                let error = broken(connection, this.ray.as_ref(), &fault);
                this.connection = None;
                Poll::Ready(Some(Err(error)))
            }
            None => {
                if let Some(connection) = this.connection.take() {
                    this.zone.put(connection);
                }
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.connection.is_none()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        let left = self.connection.as_ref().map_or(Some(0), |connection| connection.http.body_left());
        left.map_or_else(http_body::SizeHint::default, http_body::SizeHint::with_exact)
    }
}

/// Reads an answer while its request goes on.
async fn carry(
    mut connection: Box<Connection>,
    zone: Arc<Zone>,
    ray: Option<HeaderValue>,
    frames: mpsc::Sender<Result<Frame, BodyError>>,
) {
    loop {
        let frame = tokio::select! {
            frame = poll_fn(|cx| connection.http.poll_frame(cx)) => frame,
            // The visitor left, and its request with it.
            () = frames.closed() => return,
        };
        match frame {
            Some(Ok(frame)) => {
                let is_last = connection.http.is_end_stream();
                if connection.http.during(pin!(frames.send(Ok(frame)))).await.is_err() {
                    return;
                }
                if is_last {
                    break;
                }
            }
            Some(Err(fault)) => {
                let error = broken(&connection, ray.as_ref(), &fault);
                let _ = frames.send(Err(error)).await;
                return;
            }
            None => break,
        }
    }
    zone.put(connection);
}

/// What [`carry`] reads.
struct Carried {
    received: mpsc::Receiver<Result<Frame, BodyError>>,
    left: Option<u64>,
}

impl http_body::Body for Carried {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let frame = ready!(self.received.poll_recv(cx));
        if let (Some(Ok(frame)), Some(left)) = (&frame, &mut self.left) {
            *left = left.saturating_sub(frame.data_ref().map_or(0, |data| data.len() as u64));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.left.map_or_else(http_body::SizeHint::default, http_body::SizeHint::with_exact)
    }
}

/// The one line that says why an answer is not whole: the visitor has its head, and can be told nothing more.
fn broken(connection: &Connection, ray: Option<&HeaderValue>, fault: &Fault) -> BodyError {
    let ray = ray.and_then(|ray| ray.to_str().ok());
    tracing::warn!(ray, origin = %connection.key.address, culprit = "origin", error = %fault, "the origin broke off its answer");
    BodyError::Upstream(format!("the origin: {fault}"))
}
