//! A connection's one timer.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::time::{Instant, Sleep, sleep_until};

/// Set anew only where something is due earlier than what it is set to: what is due later is found out when it rings. So the timer
/// wheel, which all connections share, is not touched by each request.
#[derive(Debug)]
pub(crate) struct Alarm(Pin<Box<Sleep>>);

impl Alarm {
    pub(crate) fn new(due: Instant) -> Self {
        Self(Box::pin(sleep_until(due)))
    }

    /// Ready once `due` has passed. What was due at earlier calls is forgotten.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, due: Instant) -> Poll<()> {
        if due < self.0.deadline() {
            self.0.as_mut().reset(due);
        }
        loop {
            ready!(self.0.as_mut().poll(cx));
            if Instant::now() >= due {
                return Poll::Ready(());
            }
            self.0.as_mut().reset(due);
        }
    }
}
