//! Waiting for what is nearly always there.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use tokio::time::{error::Elapsed, timeout};

/// Waits for `work`, at most so long. It is asked once before a timer is made: what is there already costs none.
///
/// # Errors
/// It took longer.
pub async fn soon<F: Future>(limit: Duration, work: F) -> Result<F::Output, Elapsed> {
    let mut work: Pin<&mut F> = pin!(work);
    match poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await {
        Poll::Ready(done) => Ok(done),
        Poll::Pending => timeout(limit, work).await,
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn what_is_late_is_waited_for_up_to_the_limit() {
        let begun = Instant::now();
        assert_eq!(soon(LIMIT, async { 1 }).await.ok(), Some(1));
        assert_eq!(soon(LIMIT, tokio::time::sleep(LIMIT / 2)).await.ok(), Some(()));
        assert_eq!(begun.elapsed(), LIMIT / 2);
        assert!(soon(LIMIT, std::future::pending::<()>()).await.is_err());
        assert_eq!(begun.elapsed(), LIMIT / 2 + LIMIT);
    }
}
