//! Opening the store: file, settings, migrations.

use std::{os::unix::fs::OpenOptionsExt, path::Path, sync::Arc, time::Duration};

use sqlx::{
    SqlitePool,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::watch;

use crate::{Session, StoreError};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// Connections that read; SQLite readers in WAL mode do not wait for the writer.
const READERS_MAX: u32 = 4;

/// How long a statement waits for another process's lock (a backup, a curious `sqlite3`).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The store. Clones share it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

pub(crate) struct Inner {
    writer: SqlitePool,
    readers: SqlitePool,
    pub(crate) change: watch::Sender<u64>,
}

impl Store {
    /// Opens the file, made if absent (mode 0600), and brings its tables up to date.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let wrong = |error: String| StoreError::Open { path: path.to_owned(), error };
        // Made before SQLite does, which would leave it to the umask.
        std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(|error| wrong(error.to_string()))?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = |connections: u32| SqlitePoolOptions::new().max_connections(connections).acquire_timeout(BUSY_TIMEOUT * 2);
        let writer = pool(1).connect_with(options.clone()).await.map_err(|error| wrong(error.to_string()))?;
        MIGRATIONS.run(&writer).await.map_err(|error| wrong(error.to_string()))?;
        let readers = pool(READERS_MAX).connect_lazy_with(options.read_only(true));
        let store = Self(Arc::new(Inner { writer, readers, change: watch::Sender::new(0) }));
        let change = store.read().await?.change().await?;
        store.0.change.send_replace(change);
        Ok(store)
    }

    /// A session that reads one state.
    pub async fn read(&self) -> Result<Session, StoreError> {
        Ok(Session::new(self.0.readers.begin().await?, None))
    }

    /// A session that may write; waits until no other does.
    pub async fn write(&self) -> Result<Session, StoreError> {
        let transaction = self.0.writer.begin_with("BEGIN IMMEDIATE").await?;
        Ok(Session::new(transaction, Some(self.0.clone())))
    }

    /// The number of the last committed change, as it goes up.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.change.subscribe()
    }

    /// Waits for sessions under way and closes the file.
    pub async fn close(&self) {
        self.0.readers.close().await;
        self.0.writer.close().await;
    }
}
