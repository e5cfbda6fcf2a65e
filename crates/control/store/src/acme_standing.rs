//! How this instance stands with certificate authorities: what it asked of them lately, and which of them it leaves alone.

use crate::{Session, StoreError, database::query, rows::cell};

impl Session {
    /// An authority is given an order at a time, in seconds since the Unix epoch; those of `forgotten` and before are remembered no more.
    pub async fn insert_acme_order(&mut self, directory: &str, given_at: i64, forgotten: i64) -> Result<(), StoreError> {
        query("DELETE FROM acme_order WHERE given_at <= $1").bind(forgotten).execute(self.connection()).await?;
        let statement = query("INSERT INTO acme_order (directory, given_at) VALUES ($1, $2)");
        statement.bind(directory).bind(given_at).execute(self.connection()).await?;
        Ok(())
    }

    /// The orders that are remembered: to whom, and when; the first given first.
    pub async fn acme_orders(&mut self) -> Result<Vec<(String, i64)>, StoreError> {
        let rows = query("SELECT * FROM acme_order ORDER BY given_at, directory").fetch_all(self.connection()).await?;
        rows.iter().map(|row| Ok((cell(row, "directory")?, cell(row, "given_at")?))).collect()
    }

    /// An authority is left alone until then, in seconds since the Unix epoch; none: no longer.
    pub async fn put_acme_rest(&mut self, directory: &str, rest: Option<(i64, &str)>) -> Result<(), StoreError> {
        let Some((until, why)) = rest else {
            query("DELETE FROM acme_rest WHERE directory = $1").bind(directory).execute(self.connection()).await?;
            return Ok(());
        };
        let statement = "INSERT INTO acme_rest (directory, until, why) VALUES ($1, $2, $3)
            ON CONFLICT (directory) DO UPDATE SET until = excluded.until, why = excluded.why";
        query(statement).bind(directory).bind(until).bind(why).execute(self.connection()).await?;
        Ok(())
    }

    /// Those that are left alone: until when, and why; by directory.
    pub async fn acme_rests(&mut self) -> Result<Vec<(String, i64, String)>, StoreError> {
        let rows = query("SELECT * FROM acme_rest ORDER BY directory").fetch_all(self.connection()).await?;
        rows.iter().map(|row| Ok((cell(row, "directory")?, cell(row, "until")?, cell(row, "why")?))).collect()
    }
}
