//! The one place a process reads its snapshot from.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};
use poterne_feed::Change;
use tokio::sync::watch;

use crate::{
    Applied, ApplyError, CertificateEntry, Snapshot,
    snapshot::{InMemory, Keep},
};

/// The snapshot in force, shared by all who read it. Loading takes no lock and counts no reference.
#[derive(Clone)]
pub struct SnapshotHandle(Arc<Inner>);

struct Inner {
    current: ArcSwap<Snapshot>,
    generation: watch::Sender<u64>,
    /// Held by whoever makes the next generation; readers never take it.
    writer: Mutex<()>,
}

impl SnapshotHandle {
    /// Generation 0, with nothing in it.
    pub fn empty() -> Self {
        Self::new(Snapshot::default())
    }

    /// Begins at a snapshot, as loaded from disk.
    pub fn new(snapshot: Snapshot) -> Self {
        let generation = watch::Sender::new(snapshot.generation());
        Self(Arc::new(Inner { current: ArcSwap::from_pointee(snapshot), generation, writer: Mutex::new(()) }))
    }

    /// The snapshot in force; hold it for one decision, not for a connection's life.
    pub fn load(&self) -> Guard<Arc<Snapshot>> {
        self.0.current.load()
    }

    /// Told of each generation as it comes into force.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.generation.subscribe()
    }

    /// Applies a change in memory alone. A node that must survive a restart uses [`crate::Keeper`] instead.
    pub fn apply(&self, change: &Change) -> Result<Applied, ApplyError> {
        self.apply_keeping(change, &mut InMemory, |_, _| Ok(()))
    }

    /// Applies a change once `first` has succeeded, which is told what will be in force; it runs only for a change that would be applied.
    pub(crate) fn apply_keeping<K: Keep>(
        &self,
        change: &Change,
        keep: &mut K,
        first: impl FnOnce(&mut K, &Snapshot) -> Result<(), K::Error>,
    ) -> Result<Applied, K::Error> {
        // A writer that panicked had not stored anything: the state is whole.
        let _writer = self.0.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let (answer, next) = self.0.current.load().apply_keeping(change, keep)?;
        if answer == Applied::Applied {
            first(keep, &next)?;
            let generation = next.generation();
            self.0.current.store(Arc::new(next));
            self.0.generation.send_replace(generation);
        }
        Ok(answer)
    }

    /// Has readers find certificates where they lie now; nothing else changes, nor the generation.
    pub(crate) fn move_certificates(&self, moved: Vec<CertificateEntry>) {
        let _writer = self.0.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let next = self.0.current.load().with_moved(moved);
        self.0.current.store(Arc::new(next));
    }
}
