//! HTTP/2 of one visitor: the `h2` crate frames, one task drives the connection and all its streams.
//!
//! * `frames`, `watched`: what the clock must know of the visitor's bytes;
//! * [`stream`]: one exchange; this module: the connection around them.
//!
//! A stream's answer leaves with the turn that made it: streams are polled first, the socket is written after.

pub(crate) mod body;
mod frames;
mod stream;
mod watched;

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use h2::{
    Ping, PingPong, Reason,
    server::{Builder, Connection},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use self::watched::{Heard, Watched};
use crate::{Handler, Limits, alarm::Alarm, drain::Drain, serve::Shared};

/// How long an idle visitor may take to answer a goodbye.
const GOODBYE_MAX: Duration = Duration::from_secs(2);

/// Serves one visitor.
pub(crate) async fn serve<IO, H>(io: IO, shared: Shared<H>, drain: CancellationToken)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    let heard = Arc::new(Heard::new());
    let shared = Arc::new(shared);
    let limits = &shared.limits;
    let handshake = builder(limits).handshake::<_, Bytes>(Watched::new(io, Arc::clone(&heard)));
    // The visitor's preface; frames come after it.
    let mut codec = match tokio::time::timeout(limits.head_timeout, handshake).await {
        Ok(Ok(codec)) => codec,
        Ok(Err(error)) => return told(&shared, &error),
        Err(_) => return,
    };
    let now = Instant::now();
    let mut clock = Clock {
        pings: codec.ping_pong(),
        pinged: None,
        idle_since: now,
        leaving_since: None,
        alarm: Alarm::new(now + limits.h2_ping_interval.min(limits.h2_idle_timeout)),
        heard,
    };
    let mut drain = Drain::new(drain);
    let mut streams = FuturesUnordered::new();
    poll_fn(|cx| {
        if drain.poll(cx) {
            clock.leave(&mut codec);
        }
        loop {
            while let Poll::Ready(Some(())) = streams.poll_next_unpin(cx) {
                if streams.is_empty() {
                    clock.idle_since = Instant::now();
                }
            }
            match codec.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    // Boxed here it is moved once; by the set alone, twice.
                    streams.push(Box::pin(stream::exchange(Arc::clone(&shared), request, respond)));
                    continue;
                }
                Poll::Ready(Some(Err(error))) => {
                    told(&shared, &error);
                    return Poll::Ready(());
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => {}
            }
            // The turn in which a PING or a goodbye leaves may read requests: both go round, to `poll_accept`.
            let reason = match ready!(clock.poll(cx, streams.is_empty(), limits)) {
                Due::Ping => {
                    clock.ping();
                    continue;
                }
                Due::Idle => {
                    clock.leave(&mut codec);
                    continue;
                }
                Due::Head => Reason::ENHANCE_YOUR_CALM,
                Due::Dead | Due::Gone => Reason::NO_ERROR,
            };
            codec.abrupt_shutdown(reason);
            // One more turn, in which that leaves.
            let _ = codec.poll_closed(cx);
            return Poll::Ready(());
        }
    })
    .await;
}

fn builder(limits: &Limits) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(limits.h2_streams_max)
        .initial_window_size(limits.h2_stream_window)
        .initial_connection_window_size(limits.h2_connection_window)
        .max_header_list_size(u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX))
        .max_send_buffer_size(limits.h2_send_bytes_max)
        .max_pending_accept_reset_streams(limits.h2_pending_resets_max)
        .max_local_error_reset_streams(Some(limits.h2_error_resets_max))
        .enable_connect_protocol();
    builder
}

fn told<H>(shared: &Shared<H>, error: &h2::Error) {
    tracing::debug!(visitor = %shared.connection.peer, %error, "the visitor's connection ended");
}

/// What may be due on a connection.
struct Clock {
    pings: Option<PingPong>,
    /// When a PING went out that was not answered.
    pinged: Option<Instant>,
    /// Since when there is no stream.
    idle_since: Instant,
    /// Since when the visitor knows that the connection ends.
    leaving_since: Option<Instant>,
    alarm: Alarm,
    heard: Arc<Heard>,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// A head is too slow.
    Head,
    /// Nothing was asked for too long.
    Idle,
    /// The visitor was not heard for long: is it there?
    Ping,
    /// It did not answer that.
    Dead,
    /// It did not answer the goodbye.
    Gone,
}

impl Clock {
    /// Ready once something is due. It is done by the caller.
    fn poll(&mut self, cx: &mut Context<'_>, idle: bool, limits: &Limits) -> Poll<Due> {
        if self.pinged.is_some() && self.pings.as_mut().is_some_and(|pings| pings.poll_pong(cx).is_ready()) {
            self.pinged = None;
        }
        let (at, due) = self.due(idle, limits);
        self.alarm.poll(cx, at).map(|()| due)
    }

    fn ping(&mut self) {
        // At worst it is not sent, and the visitor is taken for dead.
        let _ = self.pings.as_mut().map(|pings| pings.send_ping(Ping::opaque()));
        self.pinged = Some(Instant::now());
    }

    /// Tells the visitor, once, that no further request is taken.
    fn leave<IO: AsyncRead + AsyncWrite + Unpin>(&mut self, codec: &mut Connection<IO, Bytes>) {
        if self.leaving_since.is_none() {
            self.leaving_since = Some(Instant::now());
            codec.graceful_shutdown();
        }
    }

    /// What is due next, and when.
    fn due(&self, idle: bool, limits: &Limits) -> (Instant, Due) {
        let alive = match (idle, self.pinged) {
            (true, _) => match self.leaving_since {
                Some(leaving) => (leaving.max(self.idle_since) + GOODBYE_MAX, Due::Gone),
                None => (self.idle_since + limits.h2_idle_timeout, Due::Idle),
            },
            // Whoever sends anything is there.
            (false, Some(pinged)) if self.heard.last() < pinged => (pinged + limits.h2_ping_timeout, Due::Dead),
            (false, _) => (self.heard.last() + limits.h2_ping_interval, Due::Ping),
        };
        let head = self.heard.in_head_since().map(|since| (since + limits.head_timeout, Due::Head));
        head.filter(|head| head.0 < alive.0).unwrap_or(alive)
    }
}
