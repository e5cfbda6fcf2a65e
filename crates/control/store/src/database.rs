//! Two engines, one set of queries.
//!
//! Statements number their parameters (`$1`), which both engines read, and keep to the SQL they share: `coalesce`, `RETURNING`,
//! `ON CONFLICT`. Whole numbers are `BIGINT`, truth values are `BOOLEAN` (`INTEGER` in SQLite), ids and JSON are text, and text is
//! compared by its bytes (`COLLATE "C"` in PostgreSQL; SQLite's own way). What they do not share is in `migrations/`, one folder each.
//!
//! Lists that are filtered in many ways put their statement together ([`crate::select`]), so that each condition asked is one that an index
//! can answer; what is asked is a parameter there, too.
//!
//! A statement that fails leaves a PostgreSQL transaction unusable, so nothing may be tried to see whether it works: an insert that
//! may meet an equal row says `ON CONFLICT DO NOTHING` and counts what it did.

use std::{future::Future, time::Duration};

use futures_util::TryStreamExt as _;
use sqlx::{
    Decode, Executor, PgConnection, Postgres, Row as _, SqlSafeStr as _, SqlStr, Sqlite, SqliteConnection, Type,
    error::BoxDynError,
    postgres::{PgArguments, PgRow},
    sqlite::{SqliteArguments, SqliteRow},
};

use crate::StoreError;

/// How long a statement may take in PostgreSQL. None of ours takes as long; a server whose machine is gone without a word takes for ever,
/// and whoever waits for it holds others up.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);

/// Waits no longer than that.
pub(crate) async fn within<T>(time: Duration, work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    let late = |_| Err(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "the database does not answer")));
    tokio::time::timeout(time, work).await.unwrap_or_else(late)
}

/// A connection within a transaction.
pub(crate) enum Connection<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
}

/// A row of either engine.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// What a parameter may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Int(Option<i64>),
    Bool(bool),
    Text(Option<String>),
    Blob(Vec<u8>),
}

/// Parameters of very many rows, as the engine takes them.
pub(crate) enum Parameters {
    Sqlite(Result<SqliteArguments, BoxDynError>),
    Postgres(Result<PgArguments, BoxDynError>),
}

/// Runs a statement with such parameters, which are the engine's of the connection. Says how many rows it changed.
pub(crate) async fn execute(connection: Connection<'_>, sql: &'static str, parameters: Parameters) -> Result<u64, StoreError> {
    match (connection, parameters) {
        (Connection::Sqlite(connection), Parameters::Sqlite(parameters)) => {
            let done = sqlx::query_with(sql, parameters.map_err(sqlx::Error::Encode)?).execute(connection).await?;
            Ok(done.rows_affected())
        }
        (Connection::Postgres(connection), Parameters::Postgres(parameters)) => {
            let done = sqlx::query_with(sql, parameters.map_err(sqlx::Error::Encode)?).execute(connection);
            Ok(within(STATEMENT_TIMEOUT, done).await?.rows_affected())
        }
        (Connection::Sqlite(_), Parameters::Postgres(_)) | (Connection::Postgres(_), Parameters::Sqlite(_)) => {
            Err(StoreError::Database(sqlx::Error::Encode("these parameters were made for another engine".into())))
        }
    }
}

/// A statement and its parameters.
pub(crate) struct Query {
    sql: SqlStr,
    values: Vec<Value>,
}

/// A statement.
pub(crate) fn query(sql: &'static str) -> Query {
    Query { sql: sql.into_sql_str(), values: Vec::new() }
}

macro_rules! run {
    ($query:expr, $connection:expr, $method:ident, $sqlite:expr, $postgres:expr) => {{
        let Query { sql, values } = $query;
        match $connection {
            Connection::Sqlite(connection) => {
                let mut query = sqlx::query::<Sqlite>(sql);
                for value in values {
                    query = match value {
                        Value::Int(value) => query.bind(value),
                        Value::Bool(value) => query.bind(value),
                        Value::Text(value) => query.bind(value),
                        Value::Blob(value) => query.bind(value),
                    };
                }
                connection.$method(query).await.map($sqlite)
            }
            Connection::Postgres(connection) => {
                let mut query = sqlx::query::<Postgres>(sql);
                for value in values {
                    query = match value {
                        Value::Int(value) => query.bind(value),
                        Value::Bool(value) => query.bind(value),
                        Value::Text(value) => query.bind(value),
                        Value::Blob(value) => query.bind(value),
                    };
                }
                within(STATEMENT_TIMEOUT, connection.$method(query)).await.map($postgres)
            }
        }
    }};
}

impl Query {
    /// A statement that [`crate::select`] has put together, with its parameters.
    pub(crate) fn of_parts(sql: SqlStr, values: Vec<Value>) -> Self {
        Self { sql, values }
    }

    /// How many parameters it has.
    #[cfg(test)]
    pub(crate) fn parameters(&self) -> usize {
        self.values.len()
    }

    /// Its text.
    #[cfg(test)]
    pub(crate) fn text(&self) -> &str {
        self.sql.as_str()
    }

    /// How it would be done.
    #[cfg(test)]
    pub(crate) async fn explained(self, connection: Connection<'_>) -> Result<String, StoreError> {
        let (explain, column) = match connection {
            Connection::Sqlite(_) => ("EXPLAIN QUERY PLAN", "detail"),
            Connection::Postgres(_) => ("EXPLAIN", "QUERY PLAN"),
        };
        let sql = sqlx::AssertSqlSafe(format!("{explain} {}", self.sql.as_str())).into_sql_str();
        let rows = Self { sql, values: self.values }.fetch_all(connection).await?;
        rows.iter().map(|row| Ok(row.try_get::<String>(column)? + "\n")).collect()
    }

    /// The next parameter.
    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// How many rows it changed.
    pub(crate) async fn execute(self, connection: Connection<'_>) -> Result<u64, StoreError> {
        let affected = run!(self, connection, execute, |done| done.rows_affected(), |done| done.rows_affected());
        Ok(affected?)
    }

    /// All rows.
    pub(crate) async fn fetch_all(self, connection: Connection<'_>) -> Result<Vec<Row>, StoreError> {
        let rows = run!(self, connection, fetch_all, |rows| rows.into_iter().map(Row::Sqlite).collect::<Vec<_>>(), |rows| rows
            .into_iter()
            .map(Row::Postgres)
            .collect());
        Ok(rows?)
    }

    /// One row after another, until `visit` has seen enough and says so by `false`. Memory does not grow with how many there are.
    pub(crate) async fn for_each(
        self,
        connection: Connection<'_>,
        mut visit: impl FnMut(&Row) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        macro_rules! rows {
            ($engine:ident, $connection:expr) => {{
                let mut query = sqlx::query::<$engine>(self.sql);
                for value in self.values {
                    query = match value {
                        Value::Int(value) => query.bind(value),
                        Value::Bool(value) => query.bind(value),
                        Value::Text(value) => query.bind(value),
                        Value::Blob(value) => query.bind(value),
                    };
                }
                let mut rows = $connection.fetch(query);
                while let Some(row) = rows.try_next().await? {
                    if !visit(&Row::$engine(row))? {
                        break;
                    }
                }
            }};
        }
        match connection {
            Connection::Sqlite(connection) => rows!(Sqlite, connection),
            Connection::Postgres(connection) => rows!(Postgres, connection),
        }
        Ok(())
    }

    /// The first row, if there is one.
    pub(crate) async fn fetch_optional(self, connection: Connection<'_>) -> Result<Option<Row>, StoreError> {
        let row = run!(self, connection, fetch_optional, |row| row.map(Row::Sqlite), |row| row.map(Row::Postgres));
        Ok(row?)
    }

    /// The one row there is.
    pub(crate) async fn fetch_one(self, connection: Connection<'_>) -> Result<Row, StoreError> {
        self.fetch_optional(connection).await?.ok_or(StoreError::Database(sqlx::Error::RowNotFound))
    }
}

/// What a column may be read as.
pub(crate) trait Cell<'r>: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres> {}

impl<'r, T> Cell<'r> for T where T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres> {}

impl Row {
    pub(crate) fn try_get<'r, T: Cell<'r>>(&'r self, column: &str) -> Result<T, sqlx::Error> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }
}

macro_rules! values {
    ($($from:ty => $variant:ident($convert:expr)),* $(,)?) => {
        $(impl From<$from> for Value {
            fn from(value: $from) -> Self {
                let convert: fn($from) -> _ = $convert;
                Self::$variant(convert(value))
            }
        })*
    };
}

values! {
    i64 => Int(Some),
    i32 => Int(|value| Some(value.into())),
    u32 => Int(|value| Some(value.into())),
    u16 => Int(|value| Some(value.into())),
    u8 => Int(|value| Some(value.into())),
    Option<i64> => Int(|value| value),
    Option<u16> => Int(|value| value.map(Into::into)),
    bool => Bool(|value| value),
    String => Text(Some),
    &String => Text(|value| Some(value.clone())),
    &str => Text(|value| Some(value.to_owned())),
    Option<String> => Text(|value| value),
    &Option<String> => Text(Clone::clone),
    Option<&str> => Text(|value| value.map(str::to_owned)),
    Vec<u8> => Blob(|value| value),
    &Vec<u8> => Blob(Clone::clone),
    &[u8] => Blob(<[u8]>::to_vec),
}
