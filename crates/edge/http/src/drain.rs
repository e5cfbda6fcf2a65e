//! Whether the node wants to stop.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// A token that is asked at every turn. Its list of waiters, which all connections share, is gone to once for each task, not once for
/// each time that the task is polled.
#[derive(Debug)]
pub(crate) struct Drain {
    token: CancellationToken,
    waiting: Pin<Box<WaitForCancellationFutureOwned>>,
    waker: Option<Waker>,
}

impl Drain {
    pub(crate) fn new(token: CancellationToken) -> Self {
        Self { waiting: Box::pin(token.clone().cancelled_owned()), token, waker: None }
    }

    /// Whether connections should end.
    pub(crate) fn is_wanted(&self) -> bool {
        self.token.is_cancelled()
    }

    /// The same; wakes this task once they should.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        if self.token.is_cancelled() {
            return true;
        }
        if self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return false;
        }
        self.waker = Some(cx.waker().clone());
        self.waiting.as_mut().poll(cx).is_ready()
    }
}

/// Runs until `work` ends or `cut` is cancelled, whichever comes first.
pub async fn until(cut: CancellationToken, work: impl Future<Output = ()>) {
    let (mut cut, mut work) = (Drain::new(cut), pin!(work));
    poll_fn(|cx| if cut.poll(cx) { Poll::Ready(()) } else { work.as_mut().poll(cx) }).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_ends_when_it_is_cut() {
        let cut = CancellationToken::new();
        let working = tokio::spawn(until(cut.clone(), std::future::pending()));
        tokio::task::yield_now().await;
        assert!(!working.is_finished());
        cut.cancel();
        working.await.unwrap();
        until(CancellationToken::new(), async {}).await;
    }
}
