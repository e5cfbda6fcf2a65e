//! Second factors: authenticator applications, recovery codes, passkeys.

use poterne_model::{PasskeyId, UserId};

use crate::{
    Micros, Session, StoreError,
    database::{Row, query},
    rows::{cell, changed, inserted, parsed},
};

/// A person's authenticator application (RFC 6238).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totp {
    /// Whose.
    pub person: UserId,
    /// Its seed, sealed.
    pub sealed: Vec<u8>,
    /// The step of the last code that was taken.
    pub last_step: i64,
    /// When it was set up.
    pub created_at: Micros,
    /// When it first showed a code; none while it has not.
    pub confirmed_at: Option<Micros>,
}

/// A passkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passkey {
    /// Its id in lists.
    pub id: PasskeyId,
    /// Whose.
    pub person: UserId,
    /// The authenticator's name for it.
    pub credential_id: Vec<u8>,
    /// The name of the site it was made for.
    pub site: String,
    /// What its owner calls it.
    pub name: String,
    /// Public key, counter and flags, JSON.
    pub credential: String,
    /// When it was made.
    pub created_at: Micros,
    /// When it was last used.
    pub last_used_at: Option<Micros>,
}

impl Session {
    /// A person's authenticator application.
    pub async fn totp(&mut self, person: UserId) -> Result<Option<Totp>, StoreError> {
        let row =
            query("SELECT * FROM totp WHERE person = $1").bind(person.to_string()).fetch_optional(self.connection()).await?;
        row.as_ref().map(totp).transpose()
    }

    /// Keeps a person's authenticator application, in place of one before it.
    pub async fn put_totp(&mut self, new: &Totp) -> Result<(), StoreError> {
        let statement = "INSERT INTO totp (person, sealed, last_step, created_at, confirmed_at) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (person) DO UPDATE SET sealed = excluded.sealed, last_step = excluded.last_step,
            created_at = excluded.created_at, confirmed_at = excluded.confirmed_at";
        query(statement)
            .bind(new.person.to_string())
            .bind(&new.sealed)
            .bind(new.last_step)
            .bind(new.created_at)
            .bind(new.confirmed_at)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Uses a step up; false when it, or a later one, was used already.
    pub async fn use_totp_step(&mut self, person: UserId, step: i64) -> Result<bool, StoreError> {
        let statement = query("UPDATE totp SET last_step = $2 WHERE person = $1 AND last_step < $2").bind(person.to_string());
        Ok(statement.bind(step).execute(self.connection()).await? > 0)
    }

    /// Takes a person's authenticator application away; whether there was one.
    pub async fn delete_totp(&mut self, person: UserId) -> Result<bool, StoreError> {
        let done = query("DELETE FROM totp WHERE person = $1").bind(person.to_string()).execute(self.connection()).await?;
        Ok(done > 0)
    }

    /// Gives a person these recovery codes, by their digests, in place of those before.
    pub async fn put_recovery_codes(&mut self, person: UserId, digests: &[[u8; 32]]) -> Result<(), StoreError> {
        query("DELETE FROM recovery_code WHERE person = $1").bind(person.to_string()).execute(self.connection()).await?;
        for digest in digests {
            let statement = query("INSERT INTO recovery_code (person, digest) VALUES ($1, $2)").bind(person.to_string());
            statement.bind(digest.as_slice()).execute(self.connection()).await?;
        }
        Ok(())
    }

    /// Uses a recovery code up; false when it is none of the person's, or was used.
    pub async fn use_recovery_code(&mut self, person: UserId, digest: &[u8; 32]) -> Result<bool, StoreError> {
        let statement = query("DELETE FROM recovery_code WHERE person = $1 AND digest = $2").bind(person.to_string());
        Ok(statement.bind(digest.as_slice()).execute(self.connection()).await? > 0)
    }

    /// How many recovery codes a person has left.
    pub async fn recovery_codes(&mut self, person: UserId) -> Result<u64, StoreError> {
        let statement = query("SELECT COUNT(*) AS left_over FROM recovery_code WHERE person = $1").bind(person.to_string());
        let row = statement.fetch_one(self.connection()).await?;
        Ok(cell::<i64>(&row, "left_over")?.unsigned_abs())
    }

    /// A new passkey. Conflict when its authenticator has shown it before.
    pub async fn insert_passkey(&mut self, new: &Passkey) -> Result<(), StoreError> {
        let statement = "INSERT INTO passkey (id, person, credential_id, site, name, credential, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
        let done = query(statement)
            .bind(new.id.to_string())
            .bind(new.person.to_string())
            .bind(&new.credential_id)
            .bind(&new.site)
            .bind(&new.name)
            .bind(&new.credential)
            .bind(new.created_at)
            .execute(self.connection())
            .await?;
        inserted(done, "passkey")
    }

    /// A person's passkeys, oldest first.
    pub async fn passkeys(&mut self, person: UserId) -> Result<Vec<Passkey>, StoreError> {
        let statement = query("SELECT * FROM passkey WHERE person = $1 ORDER BY created_at, id").bind(person.to_string());
        statement.fetch_all(self.connection()).await?.iter().map(passkey).collect()
    }

    /// The passkey that an authenticator calls so.
    pub async fn passkey_of_credential(&mut self, credential_id: &[u8]) -> Result<Option<Passkey>, StoreError> {
        let statement = query("SELECT * FROM passkey WHERE credential_id = $1").bind(credential_id);
        statement.fetch_optional(self.connection()).await?.as_ref().map(passkey).transpose()
    }

    /// Calls a passkey otherwise.
    pub async fn rename_passkey(&mut self, id: PasskeyId, name: &str) -> Result<(), StoreError> {
        let done = query("UPDATE passkey SET name = $2 WHERE id = $1").bind(id.to_string()).bind(name);
        changed(done.execute(self.connection()).await?, "passkey")
    }

    /// Notes that a passkey was used, and what its authenticator now says of it.
    pub async fn passkey_used(&mut self, id: PasskeyId, credential: &str, at: Micros) -> Result<(), StoreError> {
        let done = query("UPDATE passkey SET credential = $2, last_used_at = $3 WHERE id = $1").bind(id.to_string());
        changed(done.bind(credential).bind(at).execute(self.connection()).await?, "passkey")
    }

    /// Takes a passkey away.
    pub async fn delete_passkey(&mut self, id: PasskeyId) -> Result<(), StoreError> {
        let done = query("DELETE FROM passkey WHERE id = $1").bind(id.to_string()).execute(self.connection()).await?;
        changed(done, "passkey")
    }

    /// Takes all of a person's passkeys away; how many there were.
    pub async fn delete_passkeys(&mut self, person: UserId) -> Result<u64, StoreError> {
        query("DELETE FROM passkey WHERE person = $1").bind(person.to_string()).execute(self.connection()).await
    }
}

fn totp(row: &Row) -> Result<Totp, StoreError> {
    Ok(Totp {
        person: parsed(row, "person")?,
        sealed: cell(row, "sealed")?,
        last_step: cell(row, "last_step")?,
        created_at: cell(row, "created_at")?,
        confirmed_at: cell(row, "confirmed_at")?,
    })
}

fn passkey(row: &Row) -> Result<Passkey, StoreError> {
    Ok(Passkey {
        id: parsed(row, "id")?,
        person: parsed(row, "person")?,
        credential_id: cell(row, "credential_id")?,
        site: cell(row, "site")?,
        name: cell(row, "name")?,
        credential: cell(row, "credential")?,
        created_at: cell(row, "created_at")?,
        last_used_at: cell(row, "last_used_at")?,
    })
}
