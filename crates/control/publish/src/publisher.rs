//! The task.

use std::time::Duration;

use poterne_control_app::{App, AppError};
use poterne_control_store::{Store, StoreError};
use poterne_feed::{Change, Command};
use poterne_snapshot::{NodeChunk, SnapshotHandle};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::compile::{Intent, compile, difference};

/// How often the store is compared with the snapshot though nothing said it changed: what a lost wake-up, a refused change or
/// a full disk left behind is then put right, and quick tunnels end.
const CONVERGE_EVERY: Duration = Duration::from_secs(30);

/// Pause after a failure.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long a node may take to obey a change: a slow disk's fsync, many times over.
const APPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// Why nothing, or not all, was published this time. It is tried again.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The store could not be read, or an order not be forgotten.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Quick tunnels could not be ended.
    #[error(transparent)]
    App(#[from] AppError),
    /// The node refused the change, or could not keep it; its log says why.
    #[error("generation {generation} was not applied: the node's log says why")]
    NotApplied {
        /// Which.
        generation: u64,
    },
    /// The node's end of the feed is gone.
    #[error("the node has left the feed")]
    Closed,
    /// Compiling panicked.
    #[error("compiling the snapshot failed: {0}")]
    Compile(String),
}

/// Brings what the store says in force, again and again.
pub struct Publisher {
    app: App,
    store: Store,
    handle: SnapshotHandle,
    changes: mpsc::Sender<Change>,
    commands: mpsc::Sender<Command>,
    node: NodeChunk,
    live: watch::Sender<u64>,
}

impl Publisher {
    /// A publisher for the node that obeys `handle`, reached by `changes` and `commands`; `node` is what all nodes are told of
    /// themselves.
    pub fn new(
        app: App,
        store: Store,
        handle: SnapshotHandle,
        changes: mpsc::Sender<Change>,
        commands: mpsc::Sender<Command>,
        node: NodeChunk,
    ) -> Self {
        Self { app, store, handle, changes, commands, node, live: watch::Sender::new(0) }
    }

    /// The number of the store's last change that the node obeys; hand it to [`App::wait_for`].
    pub fn live(&self) -> watch::Receiver<u64> {
        self.live.subscribe()
    }

    /// Converges whenever the store changes, and every 30 s, until told to stop.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut changed = self.store.changes();
        loop {
            changed.borrow_and_update();
            let pause = match self.converge().await {
                Ok(_) => CONVERGE_EVERY,
                Err(PublishError::Closed) => return,
                Err(error) => {
                    tracing::error!(%error, "publishing failed; the last generation keeps serving, trying again");
                    RETRY_AFTER
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                woken = changed.changed() => if woken.is_err() { return },
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Once: reads, compiles, compares, sends, waits until it is obeyed, sends orders. Returns the generation in force.
    pub async fn converge(&self) -> Result<u64, PublishError> {
        self.app.expire_quick_tunnels().await?;
        let (change, intent) = self.read().await?;
        let current = self.handle.load().clone();
        let base = current.clone();
        let chunks = tokio::task::spawn_blocking(move || compile(&intent).map(|wanted| difference(&base, &wanted)));
        let chunks = chunks.await.map_err(|error| PublishError::Compile(error.to_string()))??;
        let mut generation = current.generation();
        if !chunks.is_empty() {
            generation += 1;
            tracing::debug!(generation, chunks = chunks.len(), "publishing");
            self.send(Change { generation, chunks }).await?;
        }
        self.send_orders().await?;
        self.live.send_replace(change);
        Ok(generation)
    }

    async fn read(&self) -> Result<(u64, Intent), StoreError> {
        let mut session = self.store.read().await?;
        let change = session.change().await?;
        let intent = Intent {
            accounts: session.accounts().await?,
            zones: session.zones(None).await?,
            records: session.records(None).await?,
            tunnels: session.tunnels(None).await?,
            digests: session.secret_digests().await?,
            configurations: session.configurations().await?,
            node: self.node.clone(),
        };
        Ok((change, intent))
    }

    async fn send(&self, change: Change) -> Result<(), PublishError> {
        let generation = change.generation;
        let mut applied = self.handle.subscribe();
        self.changes.send(change).await.map_err(|_| PublishError::Closed)?;
        let reached = tokio::time::timeout(APPLY_TIMEOUT, applied.wait_for(|applied| *applied >= generation)).await;
        if matches!(reached, Ok(Ok(_))) { Ok(()) } else { Err(PublishError::NotApplied { generation }) }
    }

    /// Orders go after the change they belong to: an agent dropped from a deleted tunnel must not find it alive when it comes
    /// back. An order sent twice does no harm; one forgotten would.
    async fn send_orders(&self) -> Result<(), PublishError> {
        let orders = self.store.read().await?.outbox().await?;
        let Some(last) = orders.last().map(|(id, _)| *id) else { return Ok(()) };
        for (_, command) in orders {
            self.commands.send(command).await.map_err(|_| PublishError::Closed)?;
        }
        let mut session = self.store.write().await?;
        session.outbox_sent(last).await?;
        session.commit_silently().await?;
        Ok(())
    }
}
