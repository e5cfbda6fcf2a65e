//! What the store answers when it cannot.

use std::sync::Arc;

/// Why the store did not do it. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be used at all.
    #[error("the store {what} cannot be opened: {error}")]
    Open {
        /// The file, or the database.
        what: String,
        /// Why.
        error: String,
    },
    /// A row with this identity exists already.
    #[error("{0} exists already")]
    Conflict(&'static str),
    /// What should be changed is not there.
    #[error("{0} does not exist")]
    NotFound(&'static str),
    /// A row holds what this program never wrote.
    #[error("the store holds a {what} that cannot be read: {why}; it was changed by hand or by a later version")]
    Damaged {
        /// Which kind of row.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// The store is in PostgreSQL, which has better means.
    #[error("the store is a PostgreSQL database: back it up with pg_dump, and restore it with pg_restore")]
    NotHere,
    /// Writers wait in a long line.
    #[error("the store is busy: other changes took too long; try again")]
    Busy,
    /// It was written, and could not be made durable.
    #[error("the change was not kept: {0}")]
    Commit(Arc<StoreError>),
    /// The disk is full, the file locked, or the like.
    #[error("the store did not answer: {0}")]
    Database(sqlx::Error),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) if database.is_unique_violation() => {
                let message = database.message();
                let what = ["record", "zone", "tunnel", "account"].into_iter().find(|table| message.contains(table));
                Self::Conflict(what.unwrap_or("it"))
            }
            _ => Self::Database(error),
        }
    }
}
