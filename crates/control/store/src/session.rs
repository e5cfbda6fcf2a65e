//! One transaction.

use std::sync::Arc;

use poterne_feed::Command;
use serde::{Deserialize, Serialize};
use sqlx::{Sqlite, SqliteConnection, Transaction};

use crate::{Micros, StoreError, open::Inner, rows::cell};

/// One transaction. Dropped without [`Session::commit`], it leaves no trace.
pub struct Session {
    transaction: Transaction<'static, Sqlite>,
    writes: Option<Arc<Inner>>,
}

/// A [`Command`] as it waits in the outbox.
#[derive(Serialize, Deserialize)]
struct DropConnections {
    tunnel: poterne_model::TunnelId,
    connector: Option<poterne_model::ConnectorId>,
}

const DROP_CONNECTIONS: &str = "drop_connections";

impl Session {
    pub(crate) fn new(transaction: Transaction<'static, Sqlite>, writes: Option<Arc<Inner>>) -> Self {
        Self { transaction, writes }
    }

    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.transaction
    }

    /// The number of the last committed change this session sees.
    pub async fn change(&mut self) -> Result<u64, StoreError> {
        let row = sqlx::query("SELECT change FROM state").fetch_one(self.connection()).await?;
        Ok(cell::<i64>(&row, "change")?.unsigned_abs())
    }

    /// Makes all of it durable and wakes publish; returns the change's number. A reading session has nothing to commit.
    pub async fn commit(mut self) -> Result<u64, StoreError> {
        if self.writes.is_some() {
            sqlx::query("UPDATE state SET change = change + 1").execute(self.connection()).await?;
        }
        let change = self.change().await?;
        self.transaction.commit().await?;
        if let Some(store) = self.writes {
            store.change.send_if_modified(|last| {
                let newer = change > *last;
                *last = change.max(*last);
                newer
            });
        }
        Ok(change)
    }

    /// Commits what changes nothing a node obeys (connections come and go): no number is given, publish sleeps on.
    pub async fn commit_silently(self) -> Result<(), StoreError> {
        Ok(self.transaction.commit().await?)
    }

    /// Leaves an order for publish to send after this commit.
    pub async fn send_command(&mut self, command: &Command, now: Micros) -> Result<(), StoreError> {
        let Command::DropConnections { tunnel, connector } = command;
        let payload = DropConnections { tunnel: *tunnel, connector: *connector };
        let payload =
            serde_json::to_string(&payload).map_err(|error| StoreError::Damaged { what: "command", why: error.to_string() })?;
        sqlx::query("INSERT INTO outbox (kind, payload, created_at) VALUES (?, ?, ?)")
            .bind(DROP_CONNECTIONS)
            .bind(payload)
            .bind(now)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Orders that wait, oldest first, at most 1,000.
    pub async fn outbox(&mut self) -> Result<Vec<(i64, Command)>, StoreError> {
        let rows =
            sqlx::query("SELECT id, kind, payload FROM outbox ORDER BY id LIMIT 1000").fetch_all(self.connection()).await?;
        let read = |row: &sqlx::sqlite::SqliteRow| {
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
        sqlx::query("DELETE FROM outbox WHERE id <= ?").bind(last).execute(self.connection()).await?;
        Ok(())
    }
}
