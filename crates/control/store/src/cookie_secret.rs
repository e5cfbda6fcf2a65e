//! What name servers make cookies with.

use crate::{
    Micros, Session, StoreError,
    database::{Row, query},
    rows::{cell, number},
    touched::Touched,
};

/// A secret of cookies (RFC 9018), as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieSecret {
    /// Counted up from the first that there was.
    pub number: u32,
    /// When it was made.
    pub made_at: Micros,
    /// Sealed with a data key.
    pub sealed: Vec<u8>,
    /// Wrapped for the node: what travels.
    pub wrapped: Vec<u8>,
}

impl Session {
    /// The secrets in force, the one that makes cookies first.
    pub async fn cookie_secrets(&mut self) -> Result<Vec<CookieSecret>, StoreError> {
        let rows = query("SELECT * FROM dns_cookie_secret ORDER BY place").fetch_all(self.connection()).await?;
        rows.iter().map(secret).collect()
    }

    /// Keeps these in their order, and no others; nodes are told.
    pub async fn put_cookie_secrets(&mut self, secrets: &[CookieSecret]) -> Result<(), StoreError> {
        query("DELETE FROM dns_cookie_secret").execute(self.connection()).await?;
        let statement = "INSERT INTO dns_cookie_secret (number, made_at, place, sealed, wrapped) VALUES ($1, $2, $3, $4, $5)";
        for (place, secret) in (0i64..).zip(secrets) {
            query(statement)
                .bind(i64::from(secret.number))
                .bind(secret.made_at)
                .bind(place)
                .bind(secret.sealed.as_slice())
                .bind(secret.wrapped.as_slice())
                .execute(self.connection())
                .await?;
        }
        self.touch(&Touched::Node).await
    }
}

fn secret(row: &Row) -> Result<CookieSecret, StoreError> {
    Ok(CookieSecret {
        number: number(row, "number")?,
        made_at: cell(row, "made_at")?,
        sealed: cell(row, "sealed")?,
        wrapped: cell(row, "wrapped")?,
    })
}
