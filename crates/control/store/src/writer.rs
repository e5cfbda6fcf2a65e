//! The one writer, and how its commits are grouped.
//!
//! Sessions that write take turns, in the order they asked. Each is a savepoint of one transaction; when a session commits, its
//! savepoint is kept and the committer queues up behind the sessions that wait already. Its turn come, one `COMMIT` makes all of
//! them durable, and all are told: a hundred waiting verbs cost one fsync, a lone one waits for nobody.
//!
//! ```text
//! idle ──begin──→ open ──SAVEPOINT──→ a session's ──keep / ROLLBACK TO──→ open ──COMMIT──→ idle
//!                  └────────────────── anything fails: all that wait are told, the connection is replaced ──→ idle
//! ```
//!
//! What a turn costs beside its own statements is one round trip to the database: a savepoint that is kept is released together with
//! whatever comes next, and changes are numbered here, from the number that the transaction began with; the last one is written with the
//! `COMMIT`.
//!
//! With PostgreSQL an advisory lock keeps writers of other processes out as well, so that what a session reads cannot change
//! before it commits, whichever engine it runs on.

use std::{sync::Arc, time::Duration};

use sqlx::{
    AssertSqlSafe, Connection as _, PgConnection, Row as _, SqlSafeStr, SqliteConnection, postgres::PgConnectOptions,
    sqlite::SqliteConnectOptions,
};
use tokio::{sync::watch, time::Instant};

use crate::{
    StoreError, Trouble,
    database::{Connection, query, within},
    rows::cell,
};

/// Taken for as long as a transaction writes; any number that no other program on the database takes. Tells the transaction's id too,
/// by which [`fate`] asks what became of it.
const LOCK: &str = "SELECT pg_advisory_xact_lock(8098716513214), txid_current() AS id";

/// How long the writer waits for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long it waits for the end of its own statements: `COMMIT` on a slow disk, the lock while another process writes.
const RUN_TIMEOUT: Duration = Duration::from_secs(30);

/// Around a `COMMIT` after which SQLite's log is not moved into its file at once; afterwards it is again, as often as SQLite does by itself.
const CHECKPOINT_ASIDE: (&str, &str) = ("PRAGMA wal_autocheckpoint = 0; ", "; PRAGMA wal_autocheckpoint = 1000");

/// How long it asks what became of a `COMMIT` that was not answered, and how often.
const FATE_TIMEOUT: Duration = Duration::from_secs(5);
const FATE_PAUSE: Duration = Duration::from_millis(100);

/// How the writer reaches its database.
pub(crate) enum Way {
    Sqlite(Box<SqliteConnectOptions>),
    Postgres(Box<PgConnectOptions>),
}

/// The savepoint of the last session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Savepoint {
    /// There is none.
    None,
    /// It is part of the group, and to be released.
    Kept,
    /// A session has it, or was dropped with it: what is in it is to be taken back.
    Open,
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
    savepoint: Savepoint,
    group: watch::Sender<Outcome>,
    /// The last number given to a change, and whether the group gave it.
    change: u64,
    is_counted: bool,
    /// Whether the group has so much in it that moving it from SQLite's log to its file is not for the `COMMIT` to wait for.
    is_large: bool,
    /// Where it is told once it is durable.
    changes: watch::Sender<u64>,
}

impl Writer {
    pub(crate) fn new(way: Way, changes: watch::Sender<u64>) -> Self {
        let (group, savepoint) = (watch::Sender::new(None), Savepoint::None);
        let (is_open, is_counted, is_large) = (false, false, false);
        Self { way: Some(way), line: None, id: None, is_open, savepoint, group, change: 0, is_counted, is_large, changes }
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
        let begun = match self.savepoint {
            Savepoint::Kept => self.run("RELEASE SAVEPOINT session; SAVEPOINT session").await,
            Savepoint::None | Savepoint::Open => self.run("SAVEPOINT session").await,
        };
        self.savepoint = if begun.is_ok() { Savepoint::Open } else { Savepoint::None };
        self.or_fail(begun).await
    }

    /// The number that the session's change will have, if it is given one.
    pub(crate) fn next_change(&self) -> u64 {
        self.change + 1
    }

    /// The session writes very much.
    pub(crate) fn expect_much(&mut self) {
        self.is_large = true;
    }

    /// Ends a session's part: it is in the group, whose outcome is told by what is returned. Gives its change a number, if it is to have
    /// one.
    pub(crate) fn keep(&mut self, is_counted: bool) -> (u64, watch::Receiver<Outcome>) {
        if self.is_open {
            self.savepoint = Savepoint::Kept;
            self.change += u64::from(is_counted);
            self.is_counted |= is_counted;
        }
        (self.change, self.group.subscribe())
    }

    /// Makes what was kept durable, and tells everybody.
    pub(crate) async fn commit(&mut self) {
        self.settle().await;
        if !self.is_open {
            return;
        }
        let release = if self.savepoint == Savepoint::Kept { "RELEASE SAVEPOINT session; " } else { "" };
        let count = if self.is_counted { format!("UPDATE state SET change = {}; ", self.change) } else { String::new() };
        let aside = match (&self.way, std::mem::take(&mut self.is_large)) {
            (Some(Way::Sqlite(options)), true) => Some(options.clone()),
            _ => None,
        };
        let (before, after) = if aside.is_some() { CHECKPOINT_ASIDE } else { ("", "") };
        let committed = self.run_text(AssertSqlSafe(format!("{release}{count}{before}COMMIT{after}"))).await;
        if let (Ok(()), Some(options)) = (&committed, aside) {
            tokio::spawn(checkpoint(options));
        }
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
        (self.is_open, self.savepoint) = (false, Savepoint::None);
        if std::mem::take(&mut self.is_counted) {
            self.changes.send_replace(self.change);
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
        if !self.is_open || self.savepoint != Savepoint::Open {
            return;
        }
        self.savepoint = Savepoint::None;
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
            self.run("BEGIN IMMEDIATE").await?;
        } else {
            self.run("BEGIN").await?;
        }
        if let Some(Line::Postgres(line)) = &mut self.line {
            let row = within(RUN_TIMEOUT, sqlx::query(LOCK).fetch_one(line)).await?;
            self.id = Some(row.try_get("id")?);
        }
        let row = query("SELECT change FROM state").fetch_one(self.connection()).await?;
        (self.change, self.is_counted) = (cell::<i64>(&row, "change")?.unsigned_abs(), false);
        Ok(())
    }

    async fn run(&mut self, statements: &'static str) -> Result<(), StoreError> {
        self.run_text(statements).await
    }

    async fn run_text(&mut self, statements: impl SqlSafeStr) -> Result<(), StoreError> {
        let statements = sqlx::raw_sql(statements.into_sql_str());
        match self.line.as_mut() {
            Some(Line::Sqlite(line)) => _ = statements.execute(line).await?,
            Some(Line::Postgres(line)) => _ = within(RUN_TIMEOUT, statements.execute(line)).await?,
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
        (self.is_open, self.savepoint, self.is_counted, self.is_large) = (false, Savepoint::None, false, false);
        // Closing rolls back; the next session begins on a new one.
        match self.line.take() {
            Some(Line::Sqlite(line)) => drop(line.close().await),
            Some(Line::Postgres(line)) => drop(line.close_hard().await),
            None => {}
        }
        error
    }
}

/// Moves SQLite's log into its file, beside readers and the writer. Left undone it is done with a later `COMMIT`.
async fn checkpoint(options: Box<SqliteConnectOptions>) {
    let moved = async {
        let mut line = SqliteConnection::connect_with(&options).await?;
        sqlx::raw_sql("PRAGMA wal_checkpoint(PASSIVE)").execute(&mut line).await?;
        line.close().await
    };
    if let Err(error) = moved.await {
        tracing::warn!(%error, "the database's log was not moved into its file; the next changes do it");
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
