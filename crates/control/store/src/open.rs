//! Opening the store: where it is, its settings, its migrations.

use std::{
    os::unix::fs::OpenOptionsExt,
    path::Path,
    str::FromStr,
    sync::{Arc, Weak},
    time::Duration,
};

use sqlx::{
    PgPool, SqlitePool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::sync::{Mutex, Notify, watch};

use crate::{
    Session, StoreError,
    writer::{Way, Writer},
};

pub(crate) static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
pub(crate) static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// Whose tables are opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tables {
    /// This program's: those of a newer one are refused, since nobody knows what they mean.
    Own,
    /// This program's, or what a newer one made of them a moment ago, when it was to take this one's place and could not. Migrations only add: what
    /// this program knows is there, and means what it meant.
    PerhapsNewer,
}

impl Tables {
    /// The same migrations, obeyed so.
    fn migrator(self, of: &Migrator) -> Migrator {
        let mut migrator = Migrator::with_migrations(of.iter().cloned().collect());
        migrator.set_ignore_missing(self == Self::PerhapsNewer);
        migrator
    }
}

/// What the writer may hold of a SQLite file in memory: the upper levels of all its indexes at a million records, so that a row that
/// is written reads its own pages alone.
const WRITER_CACHE: &str = "-16384"; // in KiB, as its minus says

/// How long SQLite's log may stay on disk once it was moved into the file, in bytes: a large import leaves hundreds of megabytes.
const LOG_KEPT: &str = "67108864";

/// Connections that read; neither engine makes readers wait for the writer.
const READERS_MAX: u32 = 4;

/// How long a statement waits for another process's lock (a backup, a curious `sqlite3`), and a reader for a connection.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a session waits for its turn to write. A zone file of a million records takes its turn for some seconds, on a slow disk for
/// many.
const TURN_TIMEOUT: Duration = Duration::from_secs(30);

/// The store. Clones share it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

pub(crate) struct Inner {
    writer: Arc<Mutex<Writer>>,
    readers: Readers,
    /// Woken when a session is over.
    pub(crate) committer: Arc<Notify>,
    change: watch::Sender<u64>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.committer.notify_one();
    }
}

enum Readers {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Store {
    /// Opens the SQLite file, made if absent (mode 0600), and brings its tables up to date.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, Tables::Own).await
    }

    /// The same, told whose tables they may be.
    pub async fn open_with(path: &Path, tables: Tables) -> Result<Self, StoreError> {
        let wrong = |error: String| StoreError::Open { what: path.display().to_string(), error };
        // Made before SQLite does, which would leave it to the umask.
        std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(|error| wrong(error.to_string()))?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = |connections: u32| SqlitePoolOptions::new().max_connections(connections).acquire_timeout(BUSY_TIMEOUT * 2);
        let first = pool(1).connect_with(options.clone()).await.map_err(|error| wrong(error.to_string()))?;
        tables.migrator(&SQLITE).run(&first).await.map_err(|error| wrong(error.to_string()))?;
        first.close().await;
        // A connection to a file is not lost behind our back: no need to ask it before each use.
        let readers = pool(READERS_MAX).test_before_acquire(false).connect_lazy_with(options.clone().read_only(true));
        let writer = options.pragma("cache_size", WRITER_CACHE).pragma("journal_size_limit", LOG_KEPT);
        Self::begin(Way::Sqlite(Box::new(writer)), Readers::Sqlite(readers)).await
    }

    /// Opens a PostgreSQL database by its URL (`postgres://user@host/database`) and brings its tables up to date.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        Self::connect_with(url, Tables::Own).await
    }

    /// The same, told whose tables they may be.
    pub async fn connect_with(url: &str, tables: Tables) -> Result<Self, StoreError> {
        // The URL may hold a password: only the host and the database are ever named.
        let wrong = |what: &str, error: String| StoreError::Open { what: what.to_owned(), error };
        let options = PgConnectOptions::from_str(url).map_err(|error| wrong("[control] store", error.to_string()))?;
        let named = format!("postgres://{}:{}/{}", options.get_host(), options.get_port(), options.get_database().unwrap_or(""));
        let pool = |connections: u32| PgPoolOptions::new().max_connections(connections).acquire_timeout(BUSY_TIMEOUT * 2);
        let first = pool(1).connect_with(options.clone()).await.map_err(|error| wrong(&named, error.to_string()))?;
        tables.migrator(&POSTGRES).run(&first).await.map_err(|error| wrong(&named, error.to_string()))?;
        first.close().await;
        let readers = pool(READERS_MAX).connect_lazy_with(options.clone());
        let lock_timeout = format!("{}s", BUSY_TIMEOUT.as_secs());
        let writer = options.options([("lock_timeout", lock_timeout)]);
        Self::begin(Way::Postgres(Box::new(writer)), Readers::Postgres(readers)).await
    }

    async fn begin(way: Way, readers: Readers) -> Result<Self, StoreError> {
        let change = watch::Sender::new(0);
        let writer = Arc::new(Mutex::new(Writer::new(way, change.clone())));
        let store = Self(Arc::new(Inner { writer, readers, committer: Arc::default(), change }));
        let change = store.read().await?.change().await?;
        store.0.change.send_replace(change);
        tokio::spawn(commit_groups(Arc::downgrade(&store.0), store.0.writer.clone(), store.0.committer.clone()));
        Ok(store)
    }

    /// A session that reads one state.
    pub async fn read(&self) -> Result<Session, StoreError> {
        Ok(match &self.0.readers {
            Readers::Sqlite(pool) => Session::reads_sqlite(pool.begin().await?),
            Readers::Postgres(pool) => {
                Session::reads_postgres(pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
            }
        })
    }

    /// A session that may write; waits until those before it are through.
    pub async fn write(&self) -> Result<Session, StoreError> {
        let turn = tokio::time::timeout(TURN_TIMEOUT, self.0.writer.clone().lock_owned());
        let mut writer = turn.await.map_err(|_| StoreError::Busy)?;
        // A task of its own: a caller that goes away meanwhile must not leave half a beginning.
        let begun = tokio::spawn(async move {
            writer.begin().await?;
            Ok::<_, StoreError>(writer)
        });
        let writer = begun.await.map_err(|_| StoreError::Database(sqlx::Error::WorkerCrashed))??;
        Ok(Session::writes(writer, self.0.clone()))
    }

    /// Writes a whole copy, as of now, to a file that is not there yet; sessions go on meanwhile. A PostgreSQL database is left to
    /// PostgreSQL's own programs.
    pub async fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        let Readers::Sqlite(pool) = &self.0.readers else { return Err(StoreError::NotHere) };
        let mut connection = pool.acquire().await?;
        let text = path
            .to_str()
            .ok_or_else(|| StoreError::Open { what: path.display().to_string(), error: "the path is no text".into() })?;
        sqlx::query("VACUUM INTO $1").bind(text).execute(&mut *connection).await?;
        Ok(())
    }

    /// The number of the last committed change, as it goes up.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.change.subscribe()
    }

    /// Waits for sessions under way and closes the store.
    pub async fn close(&self) {
        match &self.0.readers {
            Readers::Sqlite(pool) => pool.close().await,
            Readers::Postgres(pool) => pool.close().await,
        }
        self.0.writer.lock().await.close().await;
    }
}

/// Ends groups: queues up behind the sessions that wait when one is over, and commits what they have released by then.
async fn commit_groups(store: Weak<Inner>, writer: Arc<Mutex<Writer>>, woken: Arc<Notify>) {
    loop {
        woken.notified().await;
        writer.lock().await.commit().await;
        if store.strong_count() == 0 {
            break;
        }
    }
}
