//! A driver that runs after everybody who has something for it.
//!
//! ```text
//!            woken                      everybody else ran
//!   Resting ───────→ (asks for a turn) ───────────────────→ Running ──pending──→ Resting
//! ```
//!
//! Wake-ups that come while a turn is waited for are swallowed: the turn that comes serves them too.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;

/// Decides when a driver is polled. One for each driver, inside one task.
#[derive(Debug)]
pub struct Turns {
    signal: Arc<Signal>,
    /// Wakes through `signal`.
    waker: Waker,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The driver is polled as soon as we are.
    Running,
    /// The driver waits for a wake-up.
    Resting,
    /// It was woken, and others go first.
    Yielding,
}

/// What the driver wakes.
#[derive(Debug)]
struct Signal {
    /// A turn is wanted, and the task knows.
    wanted: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.wanted.swap(true, Ordering::AcqRel) {
            self.task.wake();
        }
    }
}

impl Default for Turns {
    fn default() -> Self {
        let signal = Arc::new(Signal { wanted: AtomicBool::new(false), task: AtomicWaker::new() });
        Self { waker: Waker::from(signal.clone()), signal, phase: Phase::Running }
    }
}

impl Turns {
    /// Polls `drive` when its turn has come. After it was ready it may be polled again at once; whether it should is the caller's.
    pub fn poll<T>(&mut self, cx: &mut Context<'_>, drive: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        match self.phase {
            Phase::Running | Phase::Yielding => {}
            Phase::Resting => {
                // Registered before it is asked, so that no wake-up is missed.
                self.signal.task.register(cx.waker());
                if self.signal.wanted.load(Ordering::Acquire) {
                    self.phase = Phase::Yielding;
                    // Its first poll has the runtime wake this task after those that are ready now; then it has done its work.
                    let _ = pin!(tokio::task::yield_now()).poll(cx);
                }
                return Poll::Pending;
            }
        }
        self.signal.task.register(cx.waker());
        // From here on a wake-up asks for another turn.
        self.signal.wanted.store(false, Ordering::Release);
        self.phase = Phase::Running;
        let polled = drive(&mut Context::from_waker(&self.waker));
        if polled.is_pending() {
            self.phase = Phase::Resting;
        }
        polled
    }

    /// Runs a future to its end, in turns.
    pub async fn run<F: Future>(work: F) -> F::Output {
        let mut work = pin!(work);
        let mut turns = Self::default();
        std::future::poll_fn(|cx| turns.poll(cx, |cx| work.as_mut().poll(cx))).await
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        sync::{Mutex, atomic::AtomicUsize},
    };

    use super::*;

    /// A driver that takes what was put into its queue, and counts how often it was polled.
    #[derive(Default)]
    struct Queue {
        items: Mutex<VecDeque<u32>>,
        waker: AtomicWaker,
        polls: AtomicUsize,
    }

    impl Queue {
        fn put(&self, item: u32) {
            self.items.lock().unwrap().push_back(item);
            self.waker.wake();
        }

        /// Ready once `last` was taken.
        fn poll(&self, cx: &mut Context<'_>, last: u32) -> Poll<()> {
            self.polls.fetch_add(1, Ordering::Relaxed);
            self.waker.register(cx.waker());
            let taken: Vec<u32> = self.items.lock().unwrap().drain(..).collect();
            if taken.contains(&last) { Poll::Ready(()) } else { Poll::Pending }
        }
    }

    #[tokio::test]
    async fn what_many_tasks_write_is_driven_in_one_turn() {
        let queue = Arc::new(Queue::default());
        let driver = tokio::spawn({
            let queue = queue.clone();
            async move { Turns::run(std::future::poll_fn(|cx| queue.poll(cx, 99))).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(queue.polls.load(Ordering::Relaxed), 1, "it looked and found nothing");
        for item in 0..100 {
            let queue = queue.clone();
            tokio::spawn(async move { queue.put(item) });
        }
        driver.await.unwrap();
        assert_eq!(queue.polls.load(Ordering::Relaxed), 2, "a hundred items, one turn");
    }

    #[tokio::test]
    async fn a_driver_that_wakes_itself_goes_on() {
        let mut left = 5;
        Turns::run(std::future::poll_fn(|cx| {
            left -= 1;
            cx.waker().wake_by_ref();
            if left == 0 { Poll::Ready(()) } else { Poll::Pending }
        }))
        .await;
    }

    #[tokio::test]
    async fn a_poll_for_another_reason_does_not_disturb_it() {
        let mut polls = 0;
        let mut turns = Turns::default();
        for _ in 0..3 {
            std::future::poll_fn(|cx| {
                let polled: Poll<()> = turns.poll(cx, |_| {
                    polls += 1;
                    Poll::Pending
                });
                assert!(polled.is_pending());
                Poll::Ready(())
            })
            .await;
        }
        assert_eq!(polls, 1, "nobody woke it");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_wake_up_is_lost_between_threads() {
        let queue = Arc::new(Queue::default());
        const ITEMS: u32 = 20_000;
        let driver = tokio::spawn({
            let queue = queue.clone();
            async move { Turns::run(std::future::poll_fn(|cx| queue.poll(cx, ITEMS))).await }
        });
        let writers = (0..8).map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move {
                for item in 0..ITEMS / 8 {
                    queue.put(item);
                    if item % 7 == 0 {
                        tokio::task::yield_now().await;
                    }
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
        queue.put(ITEMS);
        driver.await.unwrap();
    }
}
