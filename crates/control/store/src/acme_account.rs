//! Accounts at certificate authorities.

use crate::{
    Micros, Session, StoreError,
    database::{Row, query},
    rows::cell,
    touched::Touched,
};

/// An account, as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct AcmeAccount {
    /// The authority's directory, which names it.
    pub directory: String,
    /// What the authority calls the account, a URL.
    pub uri: String,
    /// What CAA records call the authority.
    pub issuers: Vec<String>,
    /// What the account is used with, sealed with a data key.
    pub sealed: Vec<u8>,
    /// Since when.
    pub created_at: Micros,
}

impl std::fmt::Debug for AcmeAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AcmeAccount").field("directory", &self.directory).field("uri", &self.uri).finish_non_exhaustive()
    }
}

impl Session {
    /// The account with an authority.
    pub async fn acme_account(&mut self, directory: &str) -> Result<Option<AcmeAccount>, StoreError> {
        let statement = query("SELECT * FROM acme_account WHERE directory = $1").bind(directory);
        statement.fetch_optional(self.connection()).await?.as_ref().map(account).transpose()
    }

    /// Every account, by directory.
    pub async fn acme_accounts(&mut self) -> Result<Vec<AcmeAccount>, StoreError> {
        let rows = query("SELECT * FROM acme_account ORDER BY directory").fetch_all(self.connection()).await?;
        rows.iter().map(account).collect()
    }

    /// Keeps one, in the place of the one with the same authority; the name servers are told whom to name.
    pub async fn put_acme_account(&mut self, account: &AcmeAccount) -> Result<(), StoreError> {
        let statement = "INSERT INTO acme_account (directory, uri, issuers, sealed, created_at) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (directory) DO UPDATE SET uri = excluded.uri, issuers = excluded.issuers, sealed = excluded.sealed,
                created_at = excluded.created_at";
        query(statement)
            .bind(account.directory.as_str())
            .bind(account.uri.as_str())
            .bind(account.issuers.join(" "))
            .bind(account.sealed.as_slice())
            .bind(account.created_at)
            .execute(self.connection())
            .await?;
        self.touch(&Touched::Node).await
    }

    /// Forgets one.
    pub async fn delete_acme_account(&mut self, directory: &str) -> Result<(), StoreError> {
        query("DELETE FROM acme_account WHERE directory = $1").bind(directory).execute(self.connection()).await?;
        self.touch(&Touched::Node).await
    }
}

fn account(row: &Row) -> Result<AcmeAccount, StoreError> {
    Ok(AcmeAccount {
        directory: cell(row, "directory")?,
        uri: cell(row, "uri")?,
        issuers: cell::<&str>(row, "issuers")?.split_whitespace().map(str::to_owned).collect(),
        sealed: cell(row, "sealed")?,
        created_at: cell(row, "created_at")?,
    })
}
