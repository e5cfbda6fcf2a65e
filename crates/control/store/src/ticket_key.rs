//! What visitors' session tickets are made with.

use crate::{
    Session, StoreError,
    database::{Row, query},
    rows::{cell, number},
    touched::Touched,
};

/// A key of session tickets, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketKey {
    /// From when tickets are made with it, in seconds since the Unix epoch.
    pub starts_at: u64,
    /// Sealed with a data key.
    pub sealed: Vec<u8>,
    /// Wrapped for the node: what travels.
    pub wrapped: Vec<u8>,
}

impl Session {
    /// The keys, in the order in which they are used.
    pub async fn ticket_keys(&mut self) -> Result<Vec<TicketKey>, StoreError> {
        query("SELECT * FROM ticket_key ORDER BY starts_at").fetch_all(self.connection()).await?.iter().map(key).collect()
    }

    /// Keeps these, and no others; nodes are told.
    pub async fn put_ticket_keys(&mut self, keys: &[TicketKey]) -> Result<(), StoreError> {
        query("DELETE FROM ticket_key").execute(self.connection()).await?;
        for key in keys {
            query("INSERT INTO ticket_key (starts_at, sealed, wrapped) VALUES ($1, $2, $3)")
                .bind(i64::try_from(key.starts_at).unwrap_or(i64::MAX))
                .bind(key.sealed.as_slice())
                .bind(key.wrapped.as_slice())
                .execute(self.connection())
                .await?;
        }
        self.touch(&Touched::Node).await
    }
}

fn key(row: &Row) -> Result<TicketKey, StoreError> {
    Ok(TicketKey { starts_at: number(row, "starts_at")?, sealed: cell(row, "sealed")?, wrapped: cell(row, "wrapped")? })
}
