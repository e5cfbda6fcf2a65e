//! API tokens: what is kept of them is a digest.

use poterne_model::{
    AccountId, Timestamp, TokenId, UserId,
    permission::{self, Terms},
};

use crate::{
    Micros, Session, StoreError,
    database::{Row, query},
    rows::{cell, changed, inserted, parse, parsed},
};

/// Whose a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenOwner {
    /// A person's: it reaches what they reach, as far as its terms go.
    Person(UserId),
    /// An account's own.
    Account(AccountId),
}

/// An API token without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// Its id; not its secret.
    pub id: TokenId,
    /// Whose it is.
    pub owner: TokenOwner,
    /// What its owner calls it.
    pub name: String,
    /// SHA-256 of its secret.
    pub digest: [u8; 32],
    /// Off by its owner's word.
    pub disabled: bool,
    /// What it may do, from where, and when.
    pub terms: Terms,
    /// When it was made, or its secret was last changed.
    pub issued_at: Micros,
    /// When it was last changed.
    pub modified_at: Micros,
    /// When it was last used, give or take a minute.
    pub last_used_at: Option<Micros>,
}

impl ApiToken {
    /// What of it may be told.
    pub fn told(&self) -> permission::ApiToken {
        permission::ApiToken {
            id: self.id,
            name: self.name.clone(),
            disabled: self.disabled,
            terms: self.terms.clone(),
            issued_on: Timestamp::from_micros(self.issued_at),
            modified_on: Timestamp::from_micros(self.modified_at),
            last_used_on: self.last_used_at.map(Timestamp::from_micros),
        }
    }
}

impl TokenOwner {
    fn cells(self) -> (Option<String>, Option<String>) {
        match self {
            Self::Person(id) => (Some(id.to_string()), None),
            Self::Account(id) => (None, Some(id.to_string())),
        }
    }
}

impl Session {
    /// A new token.
    pub async fn insert_api_token(&mut self, token: &ApiToken) -> Result<(), StoreError> {
        let (person, account) = token.owner.cells();
        let statement = "INSERT INTO api_token (id, person, account, name, digest, status, terms, issued_at, modified_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING";
        let done = query(statement)
            .bind(token.id.to_string())
            .bind(person)
            .bind(account)
            .bind(&token.name)
            .bind(token.digest.as_slice())
            .bind(status(token.disabled))
            .bind(terms(&token.terms))
            .bind(token.issued_at)
            .bind(token.modified_at)
            .execute(self.connection())
            .await?;
        inserted(done, "API token")
    }

    /// Changes all of a token but its id and owner.
    pub async fn update_api_token(&mut self, token: &ApiToken) -> Result<(), StoreError> {
        let statement = "UPDATE api_token SET name = $2, digest = $3, status = $4, terms = $5, issued_at = $6, modified_at = $7
            WHERE id = $1";
        let done = query(statement)
            .bind(token.id.to_string())
            .bind(&token.name)
            .bind(token.digest.as_slice())
            .bind(status(token.disabled))
            .bind(terms(&token.terms))
            .bind(token.issued_at)
            .bind(token.modified_at)
            .execute(self.connection())
            .await?;
        changed(done, "API token")
    }

    /// Takes a token away.
    pub async fn delete_api_token(&mut self, id: TokenId) -> Result<(), StoreError> {
        let done = query("DELETE FROM api_token WHERE id = $1").bind(id.to_string()).execute(self.connection()).await?;
        changed(done, "API token")
    }

    /// Notes that a token was used.
    pub async fn api_token_used(&mut self, id: TokenId, at: Micros) -> Result<(), StoreError> {
        query("UPDATE api_token SET last_used_at = $2 WHERE id = $1")
            .bind(id.to_string())
            .bind(at)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// The token whose secret has this digest.
    pub async fn api_token_of_digest(&mut self, digest: &[u8; 32]) -> Result<Option<ApiToken>, StoreError> {
        let statement = query("SELECT * FROM api_token WHERE digest = $1").bind(digest.as_slice());
        statement.fetch_optional(self.connection()).await?.as_ref().map(api_token).transpose()
    }

    /// An owner's tokens, oldest first.
    pub async fn api_tokens(&mut self, owner: TokenOwner) -> Result<Vec<ApiToken>, StoreError> {
        let statement = match owner {
            TokenOwner::Person(id) => {
                query("SELECT * FROM api_token WHERE person = $1 ORDER BY issued_at, id").bind(id.to_string())
            }
            TokenOwner::Account(id) => {
                query("SELECT * FROM api_token WHERE account = $1 ORDER BY issued_at, id").bind(id.to_string())
            }
        };
        statement.fetch_all(self.connection()).await?.iter().map(api_token).collect()
    }

    /// A token by id.
    pub async fn api_token(&mut self, id: TokenId) -> Result<Option<ApiToken>, StoreError> {
        let row = query("SELECT * FROM api_token WHERE id = $1").bind(id.to_string()).fetch_optional(self.connection()).await?;
        row.as_ref().map(api_token).transpose()
    }
}

const fn status(disabled: bool) -> &'static str {
    if disabled { "disabled" } else { "active" }
}

fn terms(terms: &Terms) -> String {
    serde_json::to_string(terms).expect("the model's types are always JSON")
}

fn api_token(row: &Row) -> Result<ApiToken, StoreError> {
    let damaged = |why: String| StoreError::Damaged { what: "API token", why };
    let owner = match (cell::<Option<&str>>(row, "person")?, cell::<Option<&str>>(row, "account")?) {
        (Some(person), None) => TokenOwner::Person(parse(person, "API token's person")?),
        (None, Some(account)) => TokenOwner::Account(parse(account, "API token's account")?),
        _ => return Err(damaged("it has not one owner".into())),
    };
    let digest = cell::<Vec<u8>>(row, "digest")?.try_into();
    Ok(ApiToken {
        id: parsed(row, "id")?,
        owner,
        name: cell(row, "name")?,
        digest: digest.map_err(|_| damaged("its digest has not 32 bytes".into()))?,
        disabled: cell::<&str>(row, "status")? != "active",
        terms: serde_json::from_str(cell(row, "terms")?).map_err(|error| damaged(error.to_string()))?,
        issued_at: cell(row, "issued_at")?,
        modified_at: cell(row, "modified_at")?,
        last_used_at: cell(row, "last_used_at")?,
    })
}
