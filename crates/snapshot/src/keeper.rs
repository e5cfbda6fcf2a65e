//! A node's end of the feed: what it is sent is first made durable, then obeyed.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use poterne_feed::{Change, Event};
use tokio::sync::mpsc;

use crate::{
    Applied, ApplyError, SnapshotHandle,
    disk::{Disk, DiskError},
};

/// Why a change was not kept; the previous generation keeps serving.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// It makes no sense.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// It cannot be made durable.
    #[error("the snapshot could not be kept: {0}")]
    Disk(#[from] DiskError),
}

/// The snapshot in force and its files. Clones share them.
#[derive(Clone)]
pub struct Keeper(Arc<Inner>);

struct Inner {
    handle: SnapshotHandle,
    disk: Mutex<Disk>,
    /// Held by the compaction under way, so that there is one at a time.
    compacting: Mutex<()>,
    /// Whether one waits until changes stop coming.
    waits: AtomicBool,
}

/// How long no change must have come before a compaction begins by itself, and how long it waits for that at most: changes that come one
/// right after another, as of a zone of a million names, are then written into a base once.
const QUIET: Duration = Duration::from_millis(500);
const QUIET_WITHIN: Duration = Duration::from_secs(20);

impl Keeper {
    /// Loads the snapshot kept in `dir`; an empty or absent directory is generation 0. Blocks on the disk.
    ///
    /// A damaged base is set aside (the whole directory, as `DIR.damaged`) and the node begins at generation 0: control publishes everything
    /// anew, which beats not starting. What happened is logged as an error.
    pub fn open(dir: &Path) -> Result<Self, DiskError> {
        let (disk, snapshot) = match Disk::open(dir) {
            Err(error @ DiskError::Base { .. }) => {
                tracing::error!(%error, "the snapshot on disk is unreadable; set aside, waiting for control");
                set_aside(dir)?;
                Disk::open(dir)?
            }
            opened => opened?,
        };
        tracing::info!(generation = snapshot.generation(), dir = %dir.display(), "snapshot loaded");
        let handle = SnapshotHandle::new(snapshot);
        let inner = Inner { handle, disk: Mutex::new(disk), compacting: Mutex::new(()), waits: AtomicBool::new(false) };
        let keeper = Self(Arc::new(inner));
        // What an earlier version kept whole was laid beside the base, which is to say so.
        keeper.compact_soon();
        Ok(keeper)
    }

    /// Where readers load from.
    pub fn handle(&self) -> SnapshotHandle {
        self.0.handle.clone()
    }

    /// Keeps and applies a change, whole or not at all. Blocks until the disk has it.
    pub fn accept(&self, change: &Change) -> Result<Applied, KeepError> {
        let answer = self.0.handle.apply_keeping(change, &mut *self.disk(), |disk, next| Ok(disk.append(change, next)?))?;
        if answer == Applied::Applied {
            self.compact_soon();
        }
        Ok(answer)
    }

    /// No compaction begins by itself from now on.
    #[cfg(test)]
    pub(crate) fn compacts_when_told(&self) {
        self.0.waits.store(true, Ordering::Release);
    }

    fn compact_soon(&self) {
        if self.disk().wants_compaction() && !self.0.waits.swap(true, Ordering::AcqRel) {
            let keeper = self.clone();
            std::thread::spawn(move || {
                keeper.wait_until_quiet();
                keeper.0.waits.store(false, Ordering::Release);
                if let Err(error) = keeper.compact() {
                    tracing::error!(%error, "the snapshot could not be compacted; its log goes on growing");
                }
            });
        }
    }

    #[allow(clippy::disallowed_methods, reason = "on a thread of its own, which has nothing else to do")]
    fn wait_until_quiet(&self) {
        let began = Instant::now();
        let mut generation = self.0.handle.load().generation();
        while began.elapsed() < QUIET_WITHIN {
            std::thread::sleep(QUIET);
            let now = self.0.handle.load().generation();
            if now == std::mem::replace(&mut generation, now) {
                break;
            }
        }
    }

    /// Writes everything into a new base and drops the logs before it. Blocks on the disk; readers and writers go on meanwhile.
    pub fn compact(&self) -> Result<(), DiskError> {
        let Ok(_alone) = self.0.compacting.try_lock() else { return Ok(()) };
        let compaction = {
            let mut disk = self.disk();
            let moved = disk.tidied(&self.0.handle.load())?;
            self.0.handle.move_certificates(moved);
            disk.begin_compaction(&self.0.handle.load())?
        };
        let compacted = compaction.run()?;
        self.disk().compacted(compacted);
        Ok(())
    }

    /// Poisoning is forgiven: `Disk` is consistent between its calls, and a node that stops taking changes is worse.
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Applies each change that arrives, and tells what became of it, until either channel closes.
pub async fn follow(keeper: Keeper, mut changes: mpsc::Receiver<Change>, events: mpsc::Sender<Event>) {
    while let Some(change) = changes.recv().await {
        let generation = change.generation;
        let keeper = keeper.clone();
        let kept = tokio::task::spawn_blocking(move || keeper.accept(&change)).await;
        let event = match kept {
            Ok(Ok(Applied::Applied | Applied::AlreadyThere)) => Event::Applied { generation },
            Ok(Ok(Applied::Newer)) => Event::Refused { generation, reason: "a later generation is in force".into() },
            Ok(Err(error)) => {
                tracing::error!(generation, %error, "change refused; the previous generation keeps serving");
                Event::Refused { generation, reason: error.to_string() }
            }
            Err(error) => Event::Refused { generation, reason: error.to_string() },
        };
        if events.send(event).await.is_err() {
            break;
        }
    }
}

fn set_aside(dir: &Path) -> Result<(), DiskError> {
    let aside: PathBuf = dir.with_extension("damaged");
    let wrong = |error| DiskError::Io { path: aside.clone(), error };
    if aside.exists() {
        std::fs::remove_dir_all(&aside).map_err(wrong)?;
    }
    std::fs::rename(dir, &aside).map_err(wrong)
}
