//! The streams that one connection serves at once, and when a connection that served a crowd is opened anew.
//!
//! quinn and h2 keep for a connection's whole life what they made for as many streams as it ever had at once: tables that never
//! shrink, and the small blocks that hold the allocator's pages. After 10,000 requests at once that is 11 MiB at each end, for good. So
//! once the crowd is gone and stays away, the connection says goodbye and is dialled again: while nothing runs on it, and while all
//! others are up, so that no request is lost and none waits.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::sleep};

/// So many streams at once leave some 0.6 MiB behind at each end: fewer are not worth a handshake.
pub(super) const CROWD: usize = 512;
/// More than this at once and the crowd is not gone: what it left is in use.
const FEW: usize = CROWD / 8;
/// How many times in a row a connection is looked at during the time for which it has to be calm.
const LOOKS: u32 = 20;

/// Streams being served.
#[derive(Debug, Default)]
pub(super) struct Streams {
    open: AtomicUsize,
    crowded: Notify,
}

/// One of them, as long as this lives.
pub(super) struct Stream(Arc<Streams>);

impl Streams {
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    pub(super) fn enter(self: &Arc<Self>) -> Stream {
        if self.open.fetch_add(1, Ordering::Relaxed) + 1 == CROWD {
            self.crowded.notify_one();
        }
        Stream(self.clone())
    }

    /// Resolves once there was a crowd, it has been gone for `calm`, nothing runs, and `turn` gives a turn to be away.
    pub(super) async fn outlived<T>(&self, calm: Duration, turn: impl Fn() -> Option<T>) -> T {
        self.crowded.notified().await;
        let mut seen = Calm::default();
        loop {
            sleep(calm / LOOKS).await;
            if seen.is_long_enough(self.open())
                && let Some(turn) = turn()
            {
                return turn;
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many looks in a row saw no crowd.
#[derive(Debug, Default)]
struct Calm(u32);

impl Calm {
    /// Takes what one look saw. True when it has been calm for long and nothing runs now.
    fn is_long_enough(&mut self, open: usize) -> bool {
        self.0 = if open > FEW { 0 } else { self.0.saturating_add(1) };
        self.0 >= LOOKS && open == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_left_alone_until_the_crowd_has_stayed_away_and_nothing_runs() {
        let mut calm = Calm::default();
        let looks = |calm: &mut Calm, open, times| (0..times).any(|_| calm.is_long_enough(open));
        assert!(!looks(&mut calm, CROWD, 1000));
        assert!(!looks(&mut calm, 0, LOOKS - 1));
        // It comes back: all begins again.
        assert!(!calm.is_long_enough(FEW + 1));
        // A few may go on meanwhile, but not at the very moment: a WebSocket of days is worth more than a MiB.
        assert!(!looks(&mut calm, FEW, 1000));
        assert!(calm.is_long_enough(0));
    }

    #[tokio::test(start_paused = true)]
    async fn no_crowd_no_end_and_a_turn_that_is_not_given_is_asked_for_again() {
        let streams = Arc::new(Streams::default());
        let few: Vec<Stream> = (1..CROWD).map(|_| streams.enter()).collect();
        assert_eq!(streams.open(), CROWD - 1);
        drop(few);
        let day = Duration::from_secs(86_400);
        let calm = Duration::from_secs(20);
        assert!(tokio::time::timeout(day, streams.outlived(calm, || Some(()))).await.is_err());
        let crowd: Vec<Stream> = (0..CROWD).map(|_| streams.enter()).collect();
        drop(crowd);
        let asked = AtomicUsize::new(0);
        let began = tokio::time::Instant::now();
        streams.outlived(calm, || (asked.fetch_add(1, Ordering::Relaxed) == 2).then_some(())).await;
        assert_eq!(began.elapsed(), Duration::from_secs(22));
    }
}
