//! One transaction, as a verb sees it.

use std::sync::Arc;

use poterne_feed::Command;
use serde::{Deserialize, Serialize};
use sqlx::{Postgres, Sqlite, Transaction};
use tokio::sync::OwnedMutexGuard;

use crate::{
    Micros, StoreError,
    database::{Connection, Row, query},
    open::Inner,
    rows::cell,
    writer::Writer,
};

/// One transaction. Dropped without [`Session::commit`], it leaves no trace.
pub struct Session(Kind);

enum Kind {
    ReadsSqlite(Transaction<'static, Sqlite>),
    ReadsPostgres(Transaction<'static, Postgres>),
    Writes(Turn),
}

/// A session's turn at the writer.
struct Turn {
    /// None once the turn is over.
    writer: Option<OwnedMutexGuard<Writer>>,
    store: Arc<Inner>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        // What it did and did not keep is taken back before anybody else's turn.
        if self.writer.take().is_some() {
            self.store.committer.notify_one();
        }
    }
}

/// A [`Command`] as it waits in the outbox.
#[derive(Serialize, Deserialize)]
struct DropConnections {
    tunnel: poterne_model::TunnelId,
    connector: Option<poterne_model::ConnectorId>,
}

const DROP_CONNECTIONS: &str = "drop_connections";

impl Session {
    pub(crate) fn reads_sqlite(transaction: Transaction<'static, Sqlite>) -> Self {
        Self(Kind::ReadsSqlite(transaction))
    }

    pub(crate) fn reads_postgres(transaction: Transaction<'static, Postgres>) -> Self {
        Self(Kind::ReadsPostgres(transaction))
    }

    pub(crate) fn writes(writer: OwnedMutexGuard<Writer>, store: Arc<Inner>) -> Self {
        Self(Kind::Writes(Turn { writer: Some(writer), store }))
    }

    pub(crate) fn connection(&mut self) -> Connection<'_> {
        match &mut self.0 {
            Kind::ReadsSqlite(transaction) => Connection::Sqlite(transaction),
            Kind::ReadsPostgres(transaction) => Connection::Postgres(transaction),
            Kind::Writes(turn) => turn.writer.as_mut().expect("a turn ends with its session").connection(),
        }
    }

    /// The number of the last committed change this session sees.
    pub async fn change(&mut self) -> Result<u64, StoreError> {
        let row = query("SELECT change FROM state").fetch_one(self.connection()).await?;
        Ok(cell::<i64>(&row, "change")?.unsigned_abs())
    }

    /// Makes all of it durable and wakes publish; returns the change's number. A reading session has nothing to commit.
    pub async fn commit(mut self) -> Result<u64, StoreError> {
        if !matches!(self.0, Kind::Writes(_)) {
            return self.change().await;
        }
        self.finish(true).await
    }

    /// Commits what changes nothing a node obeys (connections come and go): no number is given, publish sleeps on.
    pub async fn commit_silently(self) -> Result<(), StoreError> {
        self.finish(false).await.map(drop)
    }

    async fn finish(self, is_counted: bool) -> Result<u64, StoreError> {
        let Kind::Writes(mut turn) = self.0 else { return Ok(0) };
        let Some(mut writer) = turn.writer.take() else { return Ok(0) };
        let (change, mut outcome) = writer.keep(is_counted);
        drop(writer);
        turn.store.committer.notify_one();
        let told = outcome.wait_for(Option::is_some).await.map(|outcome| outcome.clone());
        match told {
            Ok(Some(Ok(()))) => Ok(change),
            Ok(Some(Err(error))) => Err(match &*error {
                StoreError::InDoubt(cause) => StoreError::InDoubt(cause.clone()),
                _ => StoreError::Commit(error),
            }),
            Ok(None) | Err(_) => Err(StoreError::Database(sqlx::Error::PoolClosed)),
        }
    }

    /// The number of the last change before whatever this session changes, where it writes: what a session that only read, under that
    /// number, found out is still so.
    pub fn follows(&self) -> u64 {
        self.next_change().saturating_sub(1)
    }

    /// Says that this session writes very much: what the engine can do afterwards, others do not wait for.
    pub fn expect_much(&mut self) {
        if let Kind::Writes(Turn { writer: Some(writer), .. }) = &mut self.0 {
            writer.expect_much();
        }
    }

    /// The number that this session's change will have; 0 where it reads.
    pub(crate) fn next_change(&self) -> u64 {
        match &self.0 {
            Kind::Writes(Turn { writer: Some(writer), .. }) => writer.next_change(),
            _ => 0,
        }
    }

    /// Leaves an order for publish to send after this commit.
    pub async fn send_command(&mut self, command: &Command, now: Micros) -> Result<(), StoreError> {
        let Command::DropConnections { tunnel, connector } = command;
        let payload = DropConnections { tunnel: *tunnel, connector: *connector };
        let payload =
            serde_json::to_string(&payload).map_err(|error| StoreError::Damaged { what: "command", why: error.to_string() })?;
        query("INSERT INTO outbox (kind, payload, created_at) VALUES ($1, $2, $3)")
            .bind(DROP_CONNECTIONS)
            .bind(payload)
            .bind(now)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Orders that wait, oldest first, at most 1,000.
    pub async fn outbox(&mut self) -> Result<Vec<(i64, Command)>, StoreError> {
        let rows = query("SELECT id, kind, payload FROM outbox ORDER BY id LIMIT 1000").fetch_all(self.connection()).await?;
        let read = |row: &Row| {
            let kind: &str = cell(row, "kind")?;
            let damaged = |why| StoreError::Damaged { what: "outbox entry", why };
            if kind != DROP_CONNECTIONS {
                return Err(damaged(format!("kind {kind:?} is not known")));
            }
            let payload: DropConnections =
                serde_json::from_str(cell(row, "payload")?).map_err(|error| damaged(error.to_string()))?;
            let command = Command::DropConnections { tunnel: payload.tunnel, connector: payload.connector };
            Ok((cell(row, "id")?, command))
        };
        rows.iter().map(read).collect()
    }

    /// Forgets orders that were sent, up to and including `last`.
    pub async fn outbox_sent(&mut self, last: i64) -> Result<(), StoreError> {
        query("DELETE FROM outbox WHERE id <= $1").bind(last).execute(self.connection()).await?;
        Ok(())
    }
}
