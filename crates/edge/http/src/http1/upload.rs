//! The request's side of an exchange: its body, and whether the visitor is still there.

use std::task::{Context, Poll};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Duration, Instant},
};

use super::{
    framing::Piece,
    uplink::{Demand, Giver, Taker, uplink},
    visit::Visit,
};
use crate::{Limits, strict::Refusal};

/// What is said once to who waits with its body (RFC 9110 §10.1.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// Bytes of a body that nobody wants which are read all the same, so that the connection can go on.
const DISCARDED_BYTES_MAX: usize = 64 * 1024;
/// Before a body's rate is looked at: edge-behaviour §5.5.
const RATE_GRACE: Duration = Duration::from_secs(5);

/// A request on its way in.
#[derive(Debug, Default)]
pub(super) struct Upload {
    giver: Option<Giver>,
    /// The body waits for `100 Continue`.
    expects: bool,
    /// The answer has begun.
    answered: bool,
    /// There is more of the body than anybody takes, so that the visitor is not read.
    parked: bool,
    /// The visitor broke the framing, or left within the body.
    broken: bool,
    /// The visitor sends nothing more.
    closed: bool,
    pace: Pace,
}

/// The visitor left, and its request with it.
#[derive(Debug)]
pub(super) struct Gone;

impl Upload {
    /// A body of this length, if it is known, and the end that yields it.
    pub(super) fn new(length: Option<u64>, expects: bool) -> (Self, Taker) {
        let (giver, taker) = uplink(length);
        (Self { giver: Some(giver), expects, ..Self::default() }, taker)
    }

    /// A request without a body.
    pub(super) fn none() -> Self {
        Self::default()
    }

    /// Passes on what comes, as long as there is room for it, and listens whether the visitor leaves.
    pub(super) fn poll<IO: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        visit: &mut Visit<IO>,
        cx: &mut Context<'_>,
    ) -> Result<(), Gone> {
        self.parked = false;
        while let Some(giver) = &self.giver {
            let invites = self.expects && !self.answered;
            match giver.demand(cx) {
                Demand::Wanted if invites => {
                    self.expects = false;
                    visit.out.text().extend_from_slice(CONTINUE);
                }
                // Whoever waits for an invitation is not listened to before it has it.
                Demand::Room if invites => {
                    self.parked = true;
                    return Ok(());
                }
                Demand::Wanted | Demand::Room => {}
                Demand::Full => {
                    self.pace.pause();
                    self.parked = true;
                    return Ok(());
                }
                // The rest is not read: TCP slows the visitor down, and the end of the exchange sees to it.
                Demand::Abandoned => {
                    self.parked = true;
                    return Ok(());
                }
            }
            match visit.decoder.body(&mut visit.received, &visit.limits) {
                Ok(Piece::Data(data)) => {
                    self.pace.came(data.len());
                    giver.data(data);
                }
                Ok(Piece::End(trailers)) => {
                    giver.end(trailers);
                    self.giver = None;
                }
                Ok(Piece::Wait) => match visit.poll_receive(cx) {
                    Poll::Ready(Ok(0)) => self.fail("it closed the connection"),
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(error)) => {
                        self.fail(&error.to_string());
                        return Err(Gone);
                    }
                    Poll::Pending => {
                        if let Some(due) = self.pace.due(&visit.limits)
                            && visit.poll_alarm(cx, due).is_ready()
                        {
                            self.fail("it came too slowly");
                        }
                        if self.giver.is_some() {
                            return Ok(());
                        }
                    }
                },
                Err(refusal) => self.refuse(refusal),
            }
        }
        if self.broken || self.closed {
            return Ok(());
        }
        // Requests sent ahead: the visitor is there, and more of them wait in the socket.
        while visit.received.is_empty() {
            match visit.poll_receive(cx) {
                Poll::Ready(Ok(0)) if visit.limits.half_closed_served => {
                    self.closed = true;
                    return Ok(());
                }
                Poll::Ready(Ok(0) | Err(_)) => return Err(Gone),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => return Ok(()),
            }
        }
        Ok(())
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.fail(&refusal.to_string());
    }

    fn fail(&mut self, reason: &str) {
        if let Some(giver) = self.giver.take() {
            giver.fail(reason);
        }
        self.broken = true;
    }

    /// The answer begins: an interim one can no more come before it (RFC 9110 §15.2). A body that was not invited by then may come all the
    /// same, or never, so that nobody could tell it from the next request: whether one may follow.
    pub(super) fn answer_begins<IO>(&mut self, visit: &Visit<IO>) -> bool {
        self.answered = true;
        !(self.expects && visit.decoder.in_body())
    }

    /// Whether all of the request was read, so that another may follow. What is left of it and has come already is dropped.
    pub(super) fn finish<IO: AsyncRead + AsyncWrite + Unpin>(&mut self, visit: &mut Visit<IO>, cx: &mut Context<'_>) -> bool {
        // Whoever still takes the body learns that it is over.
        self.giver = None;
        if self.broken || self.closed {
            return false;
        }
        if self.expects && visit.decoder.in_body() && visit.received.is_empty() {
            // It was never invited, and may send it or not.
            return false;
        }
        let mut dropped = 0;
        while visit.decoder.in_body() && dropped < DISCARDED_BYTES_MAX {
            match visit.decoder.body(&mut visit.received, &visit.limits) {
                Ok(Piece::Data(data)) => dropped += data.len(),
                Ok(Piece::End(_)) => {}
                Ok(Piece::Wait) => match visit.poll_receive(cx) {
                    Poll::Ready(Ok(1..)) => {}
                    _ => return false,
                },
                Err(_) => return false,
            }
        }
        !visit.decoder.in_body()
    }

    /// Whether the visitor is not read, since nobody takes more of its body for now.
    pub(super) fn is_parked(&self) -> bool {
        self.parked
    }

    /// Whether that is over; wakes this task when it is.
    pub(super) fn may_resume(&self, cx: &Context<'_>) -> bool {
        let Some(giver) = &self.giver else { return true };
        match giver.demand(cx) {
            Demand::Wanted => true,
            Demand::Room => !self.expects || self.answered,
            Demand::Full | Demand::Abandoned => false,
        }
    }

    /// Whether a body is still to be passed on.
    pub(super) fn is_flowing(&self) -> bool {
        self.giver.is_some()
    }

    /// Whether nobody takes the rest of the body.
    pub(super) fn is_abandoned(&self) -> bool {
        self.giver.as_ref().is_some_and(Giver::is_abandoned)
    }

    /// Whether it is known already that no request can follow.
    pub(super) fn is_last(&self) -> bool {
        self.broken || self.closed
    }
}

/// How fast a body comes, counted while the visitor is waited for. Pure.
#[derive(Debug, Default)]
struct Pace {
    bytes: u64,
    /// Waited before, and since when again.
    waited: Duration,
    waiting_since: Option<Instant>,
}

impl Pace {
    fn came(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.pause();
    }

    /// The visitor is not waited for.
    fn pause(&mut self) {
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
        }
    }

    /// Until when more must come, if that is bounded.
    fn due(&mut self, limits: &Limits) -> Option<Instant> {
        let rate = u64::from(limits.body_rate_min?.get());
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        let earned = RATE_GRACE + Duration::from_millis(self.bytes.saturating_mul(1000) / rate);
        Some(since + earned.saturating_sub(self.waited))
    }
}
