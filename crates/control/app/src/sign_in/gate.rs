//! Heavy work for strangers: away from the threads that serve everybody, and never more of it at once than the machine has room for.
//!
//! At most [`LANES`] at work, each with the 19 MiB of a password's hash, and [`PLACES`] in all; whoever comes then is told to come back.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::AppError;

/// Works at once: 38 MiB of memory at most.
const LANES: usize = 2;

/// Works at once and waiting: what two lanes do in about a second.
const PLACES: usize = 64;

pub(crate) struct Gate {
    lanes: Arc<Semaphore>,
    places: Arc<Semaphore>,
    refused: AtomicU64,
}

impl Default for Gate {
    fn default() -> Self {
        Self { lanes: Arc::new(Semaphore::new(LANES)), places: Arc::new(Semaphore::new(PLACES)), refused: AtomicU64::new(0) }
    }
}

/// A place in front of the gate.
pub(crate) struct Place {
    place: OwnedSemaphorePermit,
    lanes: Arc<Semaphore>,
}

impl Gate {
    /// Takes a place: before anything of the request is looked at, so that whoever is sent away has lost nothing.
    ///
    /// # Errors
    /// Too many wait.
    pub(crate) fn enter(&self) -> Result<Place, AppError> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| {
            self.refused.fetch_add(1, Ordering::Relaxed);
            AppError::Busy
        })?;
        Ok(Place { place, lanes: self.lanes.clone() })
    }

    /// How many found no place.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Place {
    /// Does the work, in its turn.
    pub(crate) async fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, AppError> {
        let Self { place, lanes } = self;
        let lane = lanes.acquire_owned().await.expect("the semaphore is never closed");
        // Both go into the work: a caller that goes away meanwhile does not make room for one more.
        let done = tokio::task::spawn_blocking(move || {
            let _held = (place, lane);
            work()
        });
        done.await.map_err(|_| AppError::Hashing("the work broke off".into()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn only_so_much_is_done_and_waited_for_at_once() {
        let gate = Arc::new(Gate::default());
        let (begun, beginnings) = mpsc::channel();
        let (go, gone) = mpsc::channel::<()>();
        let gone = Arc::new(std::sync::Mutex::new(gone));
        let mut tasks = Vec::new();
        for _ in 0..PLACES {
            let (gate, begun, gone) = (gate.clone(), begun.clone(), gone.clone());
            tasks.push(tokio::spawn(async move {
                let work = move || {
                    begun.send(()).unwrap();
                    let _ = gone.lock().unwrap().recv();
                };
                gate.enter().unwrap().run(work).await
            }));
        }
        while gate.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(gate.enter(), Err(AppError::Busy)));
        for _ in 0..LANES {
            beginnings.recv().unwrap();
        }
        assert!(beginnings.try_recv().is_err(), "no third is begun");
        drop(go);
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        gate.enter().unwrap().run(|| ()).await.unwrap();
    }
}
