//! Accounts, and the data keys that seal what is theirs.

use poterne_model::{AccountId, UserId};

use crate::{
    Micros, Session, StoreError,
    database::{Row, query},
    rows::{cell, changed, inserted, parsed},
    select::Select,
    touched::Touched,
};

/// What an account is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountKind {
    /// People's.
    Standard,
    /// The one that owns all quick tunnels.
    Quick,
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub kind: AccountKind,
    /// Whether its members need a second factor to do anything in it.
    pub enforces_second_factor: bool,
    /// When it was made.
    pub created_at: Micros,
}

/// The word of the settings under which the API knows [`Account::enforces_second_factor`].
const ENFORCE: &str = "enforce_twofactor";

impl AccountKind {
    const fn word(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Quick => "quick",
        }
    }
}

impl Session {
    /// Every account, oldest first.
    pub async fn accounts(&mut self) -> Result<Vec<Account>, StoreError> {
        let rows = query("SELECT * FROM account ORDER BY created_at, id").fetch_all(self.connection()).await?;
        rows.iter().map(account).collect()
    }

    /// Those of these accounts that there are, oldest first.
    pub async fn accounts_of(&mut self, ids: &[AccountId]) -> Result<Vec<Account>, StoreError> {
        let mut select = Select::new("SELECT * FROM account WHERE ");
        select.one_of_ids("id", ids.iter().map(AccountId::to_string).collect()).sql(" ORDER BY created_at, id");
        select.fetch_all(self.connection()).await?.iter().map(account).collect()
    }

    /// A new account. Conflict when there is one of that id.
    pub async fn insert_account(&mut self, account: &Account) -> Result<(), StoreError> {
        let statement = "INSERT INTO account (id, name, kind, settings, created_at, modified_at)
            VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
        let done = query(statement)
            .bind(account.id.to_string())
            .bind(&account.name)
            .bind(account.kind.word())
            .bind(serde_json::json!({ ENFORCE: account.enforces_second_factor }).to_string())
            .bind(account.created_at)
            .bind(account.created_at)
            .execute(self.connection())
            .await?;
        inserted(done, "account")?;
        self.touch(&Touched::Account(account.id)).await
    }

    /// An account by id.
    pub async fn account(&mut self, id: AccountId) -> Result<Option<Account>, StoreError> {
        let row = query("SELECT * FROM account WHERE id = $1").bind(id.to_string()).fetch_optional(self.connection()).await?;
        row.as_ref().map(account).transpose()
    }

    /// Calls an account otherwise.
    pub async fn rename_account(&mut self, id: AccountId, name: &str, now: Micros) -> Result<(), StoreError> {
        let statement = query("UPDATE account SET name = $2, modified_at = $3 WHERE id = $1").bind(id.to_string());
        changed(statement.bind(name).bind(now).execute(self.connection()).await?, "account")?;
        self.touch(&Touched::Account(id)).await
    }

    /// Takes an account away with all that is its own. It has no zone and no live tunnel any more: those of others may lean on them.
    pub async fn delete_account(&mut self, id: AccountId) -> Result<(), StoreError> {
        let statement = query("DELETE FROM tunnel WHERE account = $1 AND deleted_at IS NOT NULL").bind(id.to_string());
        statement.execute(self.connection()).await?;
        let statement = query("DELETE FROM zone WHERE account = $1 AND deleted_at IS NOT NULL").bind(id.to_string());
        statement.execute(self.connection()).await?;
        let done = query("DELETE FROM account WHERE id = $1").bind(id.to_string()).execute(self.connection()).await?;
        changed(done, "account")?;
        self.touch(&Touched::Account(id)).await
    }

    /// Says whether an account's members need a second factor.
    pub async fn enforce_second_factor(&mut self, id: AccountId, enforced: bool, now: Micros) -> Result<(), StoreError> {
        let row = query("SELECT settings FROM account WHERE id = $1").bind(id.to_string());
        let row = row.fetch_optional(self.connection()).await?.ok_or(StoreError::NotFound("account"))?;
        let mut kept = settings(&row)?;
        kept.insert(ENFORCE.into(), enforced.into());
        let statement = query("UPDATE account SET settings = $2, modified_at = $3 WHERE id = $1").bind(id.to_string());
        let text = serde_json::Value::Object(kept).to_string();
        changed(statement.bind(text).bind(now).execute(self.connection()).await?, "account")?;
        self.touch(&Touched::Account(id)).await
    }

    /// The accounts a person belongs to, or is invited to, oldest first.
    pub async fn accounts_of_person(&mut self, person: UserId) -> Result<Vec<Account>, StoreError> {
        let statement = "SELECT account.* FROM account JOIN membership ON membership.account = account.id
            WHERE membership.person = $1 ORDER BY account.created_at, account.id";
        query(statement).bind(person.to_string()).fetch_all(self.connection()).await?.iter().map(account).collect()
    }

    /// The wrapped data keys with their ids, oldest first.
    pub async fn data_keys(&mut self) -> Result<Vec<([u8; 8], Vec<u8>)>, StoreError> {
        let rows = query("SELECT id, wrapped FROM data_key ORDER BY created_at, id").fetch_all(self.connection()).await?;
        let read = |row: &Row| {
            let id = cell::<Vec<u8>>(row, "id")?.try_into();
            let id = id.map_err(|_| StoreError::Damaged { what: "data key", why: "its id has not eight bytes".into() })?;
            Ok((id, cell(row, "wrapped")?))
        };
        rows.iter().map(read).collect()
    }

    /// Adds a wrapped data key, or replaces its wrapping.
    pub async fn put_data_key(&mut self, id: [u8; 8], wrapped: &[u8], now: Micros) -> Result<(), StoreError> {
        let statement = "INSERT INTO data_key (id, wrapped, created_at) VALUES ($1, $2, $3)
            ON CONFLICT (id) DO UPDATE SET wrapped = excluded.wrapped";
        query(statement).bind(id.as_slice()).bind(wrapped).bind(now).execute(self.connection()).await?;
        Ok(())
    }
}

fn account(row: &Row) -> Result<Account, StoreError> {
    let kind = match cell(row, "kind")? {
        "standard" => AccountKind::Standard,
        "quick" => AccountKind::Quick,
        other => return Err(StoreError::Damaged { what: "account", why: format!("its kind is {other:?}") }),
    };
    Ok(Account {
        id: parsed(row, "id")?,
        name: cell(row, "name")?,
        kind,
        enforces_second_factor: settings(row)?.get(ENFORCE).and_then(serde_json::Value::as_bool).unwrap_or(false),
        created_at: cell(row, "created_at")?,
    })
}

fn settings(row: &Row) -> Result<serde_json::Map<String, serde_json::Value>, StoreError> {
    let read = serde_json::from_str(cell(row, "settings")?);
    read.map_err(|error| StoreError::Damaged { what: "account's settings", why: error.to_string() })
}
