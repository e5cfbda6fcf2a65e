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

use std::{sync::Arc, time::Duration};

use sqlx::{Connection as _, PgConnection, Row as _, SqliteConnection, postgres::PgConnectOptions, sqlite::SqliteConnectOptions};
use tokio::{sync::watch, time::Instant};

use crate::{
    StoreError, Trouble,
    database::{Connection, within},
};

/// Taken for as long as a transaction writes; any number that no other program on the database takes. Tells the transaction's id too,
/// by which [`fate`] asks what became of it.
const LOCK: &str = "SELECT pg_advisory_xact_lock(8098716513214), txid_current() AS id";

/// How long the writer waits for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long it waits for the end of its own statements: `COMMIT` on a slow disk, the lock while another process writes.
const RUN_TIMEOUT: Duration = Duration::from_secs(30);

/// How long it asks what became of a `COMMIT` that was not answered, and how often.
const FATE_TIMEOUT: Duration = Duration::from_secs(5);
const FATE_PAUSE: Duration = Duration::from_millis(100);

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
    /// The open transaction, by PostgreSQL's number.
    id: Option<i64>,
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
        Self { way: Some(way), line: None, id: None, is_open: false, is_dirty: false, group, change: None, changes }
    }

    /// Begins a session's part.
    pub(crate) async fn begin(&mut self) -> Result<(), StoreError> {
        self.settle().await;
        if !self.is_open {
            match self.open().await {
                Ok(()) => {}
                // It has been waited for already, and others want their turn to hear so.
                Err(error) if error.trouble() == Trouble::Busy => {
                    // A PostgreSQL transaction that failed to get the lock is good for nothing any more.
                    self.line = None;
                    return Err(error);
                }
                Err(_) => {
                    // The database was restarted, or the network forgot us: once more on a fresh connection.
                    self.line = None;
                    if let Err(error) = self.open().await {
                        self.line = None;
                        return Err(error);
                    }
                }
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
            Ok(()) => self.done(),
            Err(error) => match self.fate(&error).await {
                Some(true) => {
                    tracing::warn!(%error, "the database went away after it had kept a group of changes");
                    self.line = None;
                    self.done();
                }
                Some(false) => drop(self.fail(error).await),
                None => drop(self.fail(StoreError::InDoubt(Arc::new(error))).await),
            },
        }
    }

    fn done(&mut self) {
        self.is_open = false;
        if let Some(change) = self.change.take() {
            self.changes.send_replace(change);
        }
        self.group.send_replace(Some(Ok(())));
        self.group = watch::Sender::new(None);
    }

    /// Whether a group whose `COMMIT` failed was kept all the same: its answer may have been lost on the way. None: nobody can tell.
    async fn fate(&self, error: &StoreError) -> Option<bool> {
        match (&self.way, self.id) {
            (Some(Way::Postgres(options)), Some(id)) if error.trouble() == Trouble::Unreachable => fate(options, id).await,
            _ => Some(false),
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
                Way::Postgres(options) => Line::Postgres(within(CONNECT_TIMEOUT, PgConnection::connect_with(options)).await?),
            });
        }
        if let Some(Line::Sqlite(_)) = self.line {
            return self.run("BEGIN IMMEDIATE").await;
        }
        self.run("BEGIN").await?;
        if let Some(Line::Postgres(line)) = &mut self.line {
            let row = within(RUN_TIMEOUT, sqlx::query(LOCK).fetch_one(line)).await?;
            self.id = Some(row.try_get("id")?);
        }
        Ok(())
    }

    async fn run(&mut self, statement: &'static str) -> Result<(), StoreError> {
        match self.line.as_mut() {
            Some(Line::Sqlite(line)) => _ = sqlx::raw_sql(statement).execute(line).await?,
            Some(Line::Postgres(line)) => _ = within(RUN_TIMEOUT, sqlx::raw_sql(statement).execute(line)).await?,
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

/// What became of a transaction, asked on connections of their own until the database knows: it may not have noticed yet that its
/// client is gone.
async fn fate(options: &PgConnectOptions, id: i64) -> Option<bool> {
    let until = Instant::now() + FATE_TIMEOUT;
    loop {
        let asked = async {
            let mut line = within(CONNECT_TIMEOUT, PgConnection::connect_with(options)).await?;
            let row =
                within(CONNECT_TIMEOUT, sqlx::query("SELECT txid_status($1) AS status").bind(id).fetch_one(&mut line)).await?;
            drop(line.close().await);
            row.try_get::<Option<String>, _>("status")
        };
        match asked.await.ok().flatten().as_deref() {
            Some("committed") => return Some(true),
            Some("aborted") => return Some(false),
            // In progress, or nobody to ask.
            _ if Instant::now() >= until => return None,
            _ => tokio::time::sleep(FATE_PAUSE).await,
        }
    }
}
