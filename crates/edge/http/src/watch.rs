//! What the three sides of a connection (bytes, exchanges, clock) must know of each other.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::{Limits, websocket::Handover};

/// One connection's state. Written by one task on HTTP/1.1; by the connection's and its streams' tasks on HTTP/2.
pub(crate) struct Watch {
    start: Instant,
    /// Exchanges whose response is not wholly handed to the codec.
    in_flight: AtomicU32,
    in_head: AtomicBool,
    raw: AtomicBool,
    /// Microseconds after `start` when the present state of waiting began.
    since: AtomicU64,
    handover: Mutex<Option<Handover>>,
}

/// What the clock says of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing is due before this instant.
    Wait(Instant),
    /// A head is too slow.
    Slow,
    /// Nothing was asked for too long.
    Idle,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            in_flight: AtomicU32::new(0),
            in_head: AtomicBool::new(false),
            raw: AtomicBool::new(false),
            since: AtomicU64::new(0),
            handover: Mutex::new(None),
        }
    }

    pub(crate) fn is_raw(&self) -> bool {
        self.raw.load(Relaxed)
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    pub(crate) fn set_in_head(&self, in_head: bool) {
        if in_head != self.in_head.load(Relaxed) {
            self.in_head.store(in_head, Relaxed);
            self.mark();
        }
    }

    /// A WebSocket was accepted: the bytes after the present exchange are its own.
    pub(crate) fn hand_over(&self, handover: Handover) {
        *self.handover.lock().unwrap_or_else(PoisonError::into_inner) = Some(handover);
        self.raw.store(true, Relaxed);
    }

    pub(crate) fn take_handover(&self) -> Option<Handover> {
        self.handover.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// When the connection must be looked at again, or what is due now.
    pub(crate) fn verdict(&self, now: Instant, limits: &Limits, idle: Duration) -> Verdict {
        if self.in_flight() > 0 {
            return Verdict::Wait(now + idle);
        }
        let since = self.start + Duration::from_micros(self.since.load(Relaxed));
        let (due, what) =
            if self.in_head.load(Relaxed) { (since + limits.head_timeout, Verdict::Slow) } else { (since + idle, Verdict::Idle) };
        if now >= due { what } else { Verdict::Wait(due) }
    }

    fn mark(&self) {
        let micros = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.since.store(micros, Relaxed);
    }
}

/// One exchange, from the request's head to the end of the response's body.
pub(crate) struct Exchange(Arc<Watch>);

impl Exchange {
    pub(crate) fn begin(watch: &Arc<Watch>) -> Self {
        watch.in_flight.fetch_add(1, Relaxed);
        Self(Arc::clone(watch))
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        // Marked first: whoever sees no exchange in flight also sees since when, or at worst waits a little longer.
        self.0.mark();
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}
