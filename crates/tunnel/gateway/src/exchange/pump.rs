//! Request bodies on their way to the agent, with what is needed to send them again.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use poterne_edge_http::{Body, BodyError, pieces::Pieces};
use poterne_edge_upstream::UpstreamError;
use tokio::{sync::SetOnce, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::settings::REPLAY_BYTES_MAX;

/// Where a body's pieces go.
pub(crate) trait Sink: Send + 'static {
    /// Sends a piece, waiting for room.
    fn data(&mut self, data: Bytes) -> impl Future<Output = Result<(), String>> + Send;
    /// Ends the body, with trailers if they can be carried.
    fn end(&mut self, trailers: Option<HeaderMap>) -> impl Future<Output = Result<(), String>> + Send;
    /// Breaks the body off.
    fn abort(&mut self);
}

/// A running body; dropping it breaks the body off if it has not ended.
pub(crate) struct Pump {
    stop: CancellationToken,
    /// The response has begun: the body will not be wanted again.
    answered: CancellationToken,
    /// Pieces sent so far.
    sent: Arc<AtomicU64>,
    /// Why the visitor broke its body off, if it did.
    broken: Arc<SetOnce<String>>,
    task: JoinHandle<Option<Body>>,
}

impl Pump {
    pub(crate) fn start(body: Body, sink: impl Sink) -> Self {
        let (stop, answered) = (CancellationToken::new(), CancellationToken::new());
        let sent = Arc::new(AtomicU64::new(0));
        let broken = Arc::new(SetOnce::new());
        let task = tokio::spawn(run(body, sink, stop.clone(), answered.clone(), sent.clone(), Arc::clone(&broken)));
        Self { stop, answered, sent, broken, task }
    }

    /// Lets go of what was kept for another attempt: there will be none once a byte of the response was seen.
    pub(crate) fn answered(&self) {
        self.answered.cancel();
    }

    /// Pieces sent so far: whether the body still moves.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Resolves when the visitor breaks its body off.
    pub(crate) async fn broken(&self) -> UpstreamError {
        UpstreamError::Visitor(self.broken.wait().await.clone())
    }

    /// Why there is no answer, if it is the visitor's doing: whatever else failed then failed because of it.
    pub(crate) fn blame(&self) -> Option<UpstreamError> {
        self.broken.get().cloned().map(UpstreamError::Visitor)
    }

    /// The same, of an answer that was broken off.
    pub(crate) fn blame_body(&self) -> Option<BodyError> {
        self.broken.get().cloned().map(BodyError::Visitor)
    }

    /// Stops, and gives the body back if all that was taken of it is still here.
    pub(crate) async fn take_back(mut self) -> Option<Body> {
        self.stop.cancel();
        (&mut self.task).await.ok().flatten()
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn run(
    mut body: Body,
    mut sink: impl Sink,
    stop: CancellationToken,
    answered: CancellationToken,
    sent: Arc<AtomicU64>,
    broken: Arc<SetOnce<String>>,
) -> Option<Body> {
    // What was taken of the body, as long as it is little.
    let mut taken = Some(Pieces::default());
    let mut trailers = None;
    let flow = async {
        loop {
            let frame = tokio::select! {
                frame = body.frame() => frame,
                () = answered.cancelled(), if taken.is_some() => {
                    taken = None;
                    continue;
                }
            };
            let Some(frame) = frame else { break };
            match frame.map(http_body::Frame::into_data) {
                Ok(Ok(data)) if data.is_empty() => {}
                Ok(Ok(data)) => {
                    if taken.as_ref().is_some_and(|taken| taken.bytes() + data.len() > REPLAY_BYTES_MAX) {
                        taken = None;
                    }
                    if let Some(taken) = &mut taken {
                        taken.push(data.clone());
                    }
                    sink.data(data).await?;
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                Ok(Err(frame)) => trailers = frame.into_trailers().ok(),
                Err(error) => {
                    // The visitor's fault, and known as such before the agent hears of it: what it then answers says less.
                    taken = None;
                    let (BodyError::Visitor(reason) | BodyError::Upstream(reason)) = error;
                    // It is set here alone, and here once.
                    let _ = broken.set(reason.clone());
                    return Err(reason);
                }
            }
        }
        sink.end(trailers.clone()).await
    };
    let outcome = tokio::select! {
        outcome = flow => outcome,
        () = stop.cancelled() => Err("stopped".to_owned()),
    };
    if outcome.is_err() {
        sink.abort();
    }
    if outcome.is_ok() {
        // The agent has it all; it may still be wanted for another attempt.
        tokio::select! {
            () = stop.cancelled() => {}
            () = answered.cancelled() => {}
        }
    }
    taken.filter(|_| !answered.is_cancelled()).map(|taken| Body::flow(Replay { taken, rest: body, trailers }))
}

/// What was taken, then the rest, then trailers that were taken already.
struct Replay {
    taken: Pieces,
    rest: Body,
    trailers: Option<HeaderMap>,
}

impl http_body::Body for Replay {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
        if let Some(data) = self.taken.pop() {
            return Poll::Ready(Some(Ok(http_body::Frame::data(data))));
        }
        let rest = ready!(Pin::new(&mut self.rest).poll_frame(cx));
        Poll::Ready(rest.or_else(|| self.trailers.take().map(|trailers| Ok(http_body::Frame::trailers(trailers)))))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self.rest.size_hint().exact() {
            Some(rest) => http_body::SizeHint::with_exact(rest + self.taken.bytes() as u64),
            None => http_body::SizeHint::default(),
        }
    }
}
