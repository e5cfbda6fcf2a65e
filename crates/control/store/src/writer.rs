//! The one writer, and how its commits are grouped.
//!
//! Sessions that write take turns, in the order they asked. Each is a savepoint of one transaction; when a session commits, its
//! savepoint is released and the committer queues up behind the sessions that wait already. Its turn come, one `COMMIT` makes all of
//! them durable, and all are told: a hundred waiting verbs cost one fsync, a lone one waits for nobody.
//!
//! ```text
//! idle ──begin──→ open ──SAVEPOINT──→ a session's ──RELEASE / ROLLBACK TO──→ open ──COMMIT──→ idle
//!                  └────────────────── anything fails: all that wait are told, the connection is replaced ──→ idle
//! ```
//!
//! With PostgreSQL an advisory lock keeps writers of other processes out as well, so that what a session reads cannot change
//! before it commits, whichever engine it runs on.

use std::sync::Arc;

use sqlx::{Connection as _, PgConnection, SqliteConnection, postgres::PgConnectOptions, sqlite::SqliteConnectOptions};
use tokio::sync::watch;

use crate::{StoreError, database::Connection};

/// Taken for as long as a transaction writes; any number that no other program on the database takes.
const LOCK: &str = "SELECT pg_advisory_xact_lock(8098716513214)";

/// How the writer reaches its database.
pub(crate) enum Way {
    Sqlite(Box<SqliteConnectOptions>),
    Postgres(Box<PgConnectOptions>),
}

enum Line {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// What became of a group: unknown until its `COMMIT` was answered.
pub(crate) type Outcome = Option<Result<(), Arc<StoreError>>>;

pub(crate) struct Writer {
    /// None once it is closed for good.
    way: Option<Way>,
    line: Option<Line>,
    is_open: bool,
    /// A session was dropped and its savepoint is still there.
    is_dirty: bool,
    group: watch::Sender<Outcome>,
    /// The last change number of the group, and where it is told once it is durable.
    change: Option<u64>,
    changes: watch::Sender<u64>,
}

impl Writer {
    pub(crate) fn new(way: Way, changes: watch::Sender<u64>) -> Self {
        let group = watch::Sender::new(None);
        Self { way: Some(way), line: None, is_open: false, is_dirty: false, group, change: None, changes }
    }

    /// Begins a session's part.
    pub(crate) async fn begin(&mut self) -> Result<(), StoreError> {
        self.settle().await;
        if !self.is_open {
            if self.open().await.is_err() {
                // The database was restarted, or the network forgot us: once more on a fresh connection.
                self.line = None;
                self.open().await?;
            }
            self.is_open = true;
        }
        let begun = self.run("SAVEPOINT session").await;
        self.is_dirty = begun.is_ok();
        self.or_fail(begun).await
    }

    /// Ends a session's part: it is in the group, whose outcome is told by what is returned.
    pub(crate) async fn release(&mut self, change: Option<u64>) -> Result<watch::Receiver<Outcome>, StoreError> {
        let released = self.run("RELEASE SAVEPOINT session").await;
        self.is_dirty = false;
        self.or_fail(released).await?;
        self.change = change.or(self.change);
        Ok(self.group.subscribe())
    }

    /// Notes that the session is gone without having committed.
    pub(crate) fn abandon(&mut self) {
        self.is_dirty = true;
    }

    /// Makes what was released durable, and tells everybody.
    pub(crate) async fn commit(&mut self) {
        self.settle().await;
        if !self.is_open {
            return;
        }
        let committed = self.run("COMMIT").await;
        match committed {
            Ok(()) => {
                self.is_open = false;
                if let Some(change) = self.change.take() {
                    self.changes.send_replace(change);
                }
                self.group.send_replace(Some(Ok(())));
                self.group = watch::Sender::new(None);
            }
            Err(error) => drop(self.fail(error).await),
        }
    }

    pub(crate) fn connection(&mut self) -> Connection<'_> {
        match self.line.as_mut().expect("a session has begun, and fails before it is left without a connection") {
            Line::Sqlite(line) => Connection::Sqlite(line),
            Line::Postgres(line) => Connection::Postgres(line),
        }
    }

    /// Commits and hangs up.
    pub(crate) async fn close(&mut self) {
        self.commit().await;
        self.way = None;
        match self.line.take() {
            // What failed to say goodbye is gone all the same.
            Some(Line::Sqlite(line)) => drop(line.close().await),
            Some(Line::Postgres(line)) => drop(line.close().await),
            None => {}
        }
    }

    /// Takes back what a dropped session left.
    async fn settle(&mut self) {
        if !self.is_open || !self.is_dirty {
            return;
        }
        self.is_dirty = false;
        let mut undone = self.run("ROLLBACK TO SAVEPOINT session").await;
        if undone.is_ok() {
            undone = self.run("RELEASE SAVEPOINT session").await;
        }
        // Failing is told to whom it concerns: those of the group.
        let _ = self.or_fail(undone).await;
    }

    async fn open(&mut self) -> Result<(), StoreError> {
        if self.line.is_none() {
            self.line = Some(match self.way.as_ref().ok_or(StoreError::Database(sqlx::Error::PoolClosed))? {
                Way::Sqlite(options) => Line::Sqlite(SqliteConnection::connect_with(options).await?),
                Way::Postgres(options) => Line::Postgres(PgConnection::connect_with(options).await?),
            });
        }
        if let Some(Line::Sqlite(_)) = self.line {
            return self.run("BEGIN IMMEDIATE").await;
        }
        self.run("BEGIN").await?;
        self.run(LOCK).await
    }

    async fn run(&mut self, statement: &'static str) -> Result<(), StoreError> {
        match self.line.as_mut() {
            Some(Line::Sqlite(line)) => _ = sqlx::raw_sql(statement).execute(line).await?,
            Some(Line::Postgres(line)) => _ = sqlx::raw_sql(statement).execute(line).await?,
            None => return Err(StoreError::Database(sqlx::Error::PoolClosed)),
        }
        Ok(())
    }

    async fn or_fail(&mut self, result: Result<(), StoreError>) -> Result<(), StoreError> {
        match result {
            Ok(()) => Ok(()),
            Err(error) => Err(StoreError::Commit(self.fail(error).await)),
        }
    }

    /// The transaction is lost with all that was in it.
    async fn fail(&mut self, error: StoreError) -> Arc<StoreError> {
        let error = Arc::new(error);
        tracing::error!(%error, "a group of changes was not kept; each of their callers is told");
        self.group.send_replace(Some(Err(error.clone())));
        self.group = watch::Sender::new(None);
        (self.is_open, self.is_dirty, self.change) = (false, false, None);
        // Closing rolls back; the next session begins on a new one.
        match self.line.take() {
            Some(Line::Sqlite(line)) => drop(line.close().await),
            Some(Line::Postgres(line)) => drop(line.close_hard().await),
            None => {}
        }
        error
    }
}
