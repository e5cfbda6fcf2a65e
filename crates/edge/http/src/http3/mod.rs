//! HTTP/3 of one visitor (RFC 9114): our own frames over quinn's streams, one task drives the connection and all its requests.
//!
//! * [`frames`], [`qpack`], [`head`], [`code`]: bytes to meaning and back, pure;
//! * `upload`: a request as it is read; `stream`: one exchange;
//! * `side`: the visitor's other streams; this module: the connection around them.
//!
//! Why neither frames nor tables are another crate's is told in docs/decisions/0023. No table is kept, nothing is pushed, nothing is read
//! before the handshake is done.

pub mod code;
pub mod frames;
pub mod head;
pub mod qpack;
mod side;
mod stream;
pub(crate) mod upload;

use std::{
    future::{Future as _, poll_fn},
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::{
    code::Code,
    frames::{Fault, control_stream, goodbye},
    side::Sides,
    stream::Ended,
};
use crate::{Connection, Handler, Limits, alarm::Alarm, drain::Drain, serve::Shared};

/// ALPN of HTTP/3 (RFC 9114 §3.1).
pub const ALPN: &[u8] = b"h3";

/// Streams of one direction that a visitor may have open: three are needed (RFC 9114 §6.2), others are told to end.
pub const SIDE_STREAMS_MAX: u32 = 8;

/// How long after a goodbye, or after the last answer, a connection stays: what is on its way arrives meanwhile, and requests that were
/// sent before the goodbye was read are told that nobody looked at them.
const GOODBYE_MIN: Duration = Duration::from_millis(100);
const GOODBYE_MAX: Duration = Duration::from_secs(2);

/// Serves one visitor until it leaves, breaks a rule, waits too long, or `drain` is cancelled and its last answer is out.
///
/// Runs in the caller's task; dropping the future leaves the connection to its last requests' bodies, and closes it with them.
pub async fn serve_connection<H: Handler>(
    quic: quinn::Connection,
    connection: Arc<Connection>,
    handler: Arc<H>,
    limits: Arc<Limits>,
    drain: CancellationToken,
) {
    let shared = Arc::new(Shared { handler, connection, limits });
    let limits = Arc::clone(&shared.limits);
    let Some(control) = begin(&quic, &limits).await else {
        return quic.close(Code::EXCESSIVE_LOAD.quic(), b"no room for the control stream");
    };
    let now = Instant::now();
    let mut visit = Visit {
        quic: quic.clone(),
        control,
        farewell: Bytes::new(),
        next_stream: 0,
        idle_since: now,
        leaving_since: None,
        alarm: Alarm::new(now + limits.h3_idle_timeout),
        tally: Tally::default(),
    };
    let sides = Sides::default();
    let mut drain = Drain::new(drain);
    let (mut streams, mut side_streams) = (FuturesUnordered::new(), FuturesUnordered::new());
    let (mut accept, mut accept_side) = (pin!(quic.accept_bi()), pin!(quic.accept_uni()));
    poll_fn(|cx| {
        if drain.poll(cx) {
            visit.leave();
        }
        loop {
            while let Poll::Ready(Some(ended)) = streams.poll_next_unpin(cx) {
                visit.tally.note(ended);
                if streams.is_empty() {
                    visit.idle_since = Instant::now();
                }
            }
            while let Poll::Ready(Some(read)) = side_streams.poll_next_unpin(cx) {
                let read: Result<(), Fault> = read;
                if let Err(fault) = read {
                    tracing::debug!(visitor = %shared.connection.peer, %fault, "the visitor's connection was closed");
                    visit.close(fault.code, fault.reason);
                    return Poll::Ready(());
                }
            }
            if visit.tally.is_beyond(&limits, sides.frames.load(Relaxed)) {
                visit.close(Code::EXCESSIVE_LOAD, "too many requests were cancelled, or too much was said beside them");
                return Poll::Ready(());
            }
            match accept.as_mut().poll(cx) {
                Poll::Ready(Ok((send, recv))) => {
                    accept.set(quic.accept_bi());
                    if let Some((send, recv)) = visit.take(send, recv) {
                        streams.push(stream::exchange(Arc::clone(&shared), quic.clone(), &sides, send, recv));
                    }
                    continue;
                }
                Poll::Ready(Err(error)) => {
                    tracing::debug!(visitor = %shared.connection.peer, %error, "the visitor's connection ended");
                    return Poll::Ready(());
                }
                Poll::Pending => {}
            }
            if let Poll::Ready(Ok(recv)) = accept_side.as_mut().poll(cx) {
                accept_side.set(quic.accept_uni());
                side_streams.push(side::read(&sides, recv));
                continue;
            }
            visit.poll_farewell(cx);
            match ready!(visit.poll_due(cx, streams.is_empty(), &limits)) {
                Due::Idle => visit.leave(),
                Due::Gone => {
                    visit.close(Code::NO_ERROR, "");
                    return Poll::Ready(());
                }
            }
        }
    })
    .await;
}

/// Opens our control stream, which says what we take.
async fn begin(quic: &quinn::Connection, limits: &Limits) -> Option<quinn::SendStream> {
    let opened = async {
        let mut control = quic.open_uni().await.ok()?;
        control.write_chunk(control_stream(limits.head_bytes_max)).await.ok()?;
        // It is short, and others wait for what it says.
        let _ = control.set_priority(1);
        Some(control)
    };
    // A visitor that gives no room for it is none.
    tokio::time::timeout(limits.head_timeout, opened).await.ok().flatten()
}

/// What a visitor did on one connection.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    answered: u64,
    cancelled: u64,
}

impl Tally {
    fn note(&mut self, ended: Ended) {
        match ended {
            Ended::Answered => self.answered += 1,
            Ended::Cancelled => self.cancelled += 1,
        }
    }

    /// Whether it is more than anybody does who wants something.
    fn is_beyond(&self, limits: &Limits, control_frames: u64) -> bool {
        self.cancelled > limits.h3_resets_max + self.answered / 2
            || control_frames > limits.h3_control_frames_max + self.answered + self.cancelled
    }
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// Nothing was asked for too long.
    Idle,
    /// It knows that the connection ends, and had time to hear it.
    Gone,
}

/// A connection.
struct Visit {
    quic: quinn::Connection,
    /// Ours; closed, the connection ends.
    control: quinn::SendStream,
    /// What of a goodbye is not sent yet.
    farewell: Bytes,
    /// The id after the last request that was taken.
    next_stream: u64,
    /// Since when there is no request.
    idle_since: Instant,
    /// Since when the visitor is told that the connection ends.
    leaving_since: Option<Instant>,
    alarm: Alarm,
    tally: Tally,
}

impl Visit {
    /// Takes a request, unless the visitor was told that none is taken any more (RFC 9114 §5.2).
    fn take(
        &mut self,
        mut send: quinn::SendStream,
        mut recv: quinn::RecvStream,
    ) -> Option<(quinn::SendStream, quinn::RecvStream)> {
        if self.leaving_since.is_some() {
            let _ = send.reset(Code::REQUEST_REJECTED.quic());
            let _ = recv.stop(Code::REQUEST_REJECTED.quic());
            return None;
        }
        self.next_stream = quinn::VarInt::from(recv.id()).into_inner() + 4;
        Some((send, recv))
    }

    /// Tells the visitor, once, that no further request is taken.
    fn leave(&mut self) {
        if self.leaving_since.is_none() {
            self.leaving_since = Some(Instant::now());
            self.farewell = goodbye(self.next_stream);
        }
    }

    fn poll_farewell(&mut self, cx: &mut Context<'_>) {
        while !self.farewell.is_empty() {
            let mut pieces = [std::mem::take(&mut self.farewell)];
            let written = pin!(self.control.write_chunks(&mut pieces)).poll(cx);
            // A visitor that does not take it is told by the end of the connection.
            if !matches!(written, Poll::Ready(Err(_))) {
                [self.farewell] = pieces;
            }
            if written.is_pending() {
                return;
            }
        }
    }

    /// Ready once something is due. It is done by the caller.
    fn poll_due(&mut self, cx: &mut Context<'_>, idle: bool, limits: &Limits) -> Poll<Due> {
        // QUIC's own clock finds dead visitors, and the exchanges' theirs.
        if !idle {
            return Poll::Pending;
        }
        let (at, due) = match self.leaving_since {
            // What was said last is acknowledged in one round trip, and in two though it was lost.
            Some(leaving) => {
                let stays = (self.quic.rtt() * 3).clamp(GOODBYE_MIN, GOODBYE_MAX);
                (leaving.max(self.idle_since) + stays, Due::Gone)
            }
            None => (self.idle_since + limits.h3_idle_timeout, Due::Idle),
        };
        self.alarm.poll(cx, at).map(|()| due)
    }

    fn close(&self, code: Code, reason: &'static str) {
        self.quic.close(code.quic(), reason.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visitor_may_change_its_mind_now_and_then() {
        let limits = Limits::default();
        let mut tally = Tally::default();
        (0..100).for_each(|_| tally.note(Ended::Cancelled));
        assert!(!tally.is_beyond(&limits, 1_000));
        tally.note(Ended::Cancelled);
        assert!(tally.is_beyond(&limits, 0));
        (0..2).for_each(|_| tally.note(Ended::Answered));
        assert!(!tally.is_beyond(&limits, 1_103));
        assert!(tally.is_beyond(&limits, 1_104));
    }
}
