//! Who is signed in, and from where people have signed in before.

use poterne_model::{SessionId, UserId};

use crate::{
    Micros, Session, StoreError,
    database::{Row, query},
    rows::{cell, inserted, parsed},
};

/// Somebody who is signed in, in one browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSession {
    /// Its id; not its secret.
    pub id: SessionId,
    /// SHA-256 of what the browser shows.
    pub digest: [u8; 32],
    /// Who.
    pub person: UserId,
    /// What the browser calls itself.
    pub device: String,
    /// With what they signed in: words joined by `+`.
    pub factors: String,
    /// From where they signed in.
    pub ip: String,
    /// From where they were last seen.
    pub last_ip: String,
    /// When they signed in.
    pub created_at: Micros,
    /// When they last proved who they are.
    pub confirmed_at: Micros,
    /// When they were last seen, give or take a minute.
    pub last_seen_at: Micros,
    /// When it is over, however much it is used.
    pub expires_at: Micros,
}

impl Session {
    /// Somebody signs in.
    pub async fn insert_user_session(&mut self, new: &UserSession) -> Result<(), StoreError> {
        let statement = "INSERT INTO user_session (id, digest, person, device, factors, ip, last_ip, created_at, confirmed_at,
            last_seen_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING";
        let done = query(statement)
            .bind(new.id.to_string())
            .bind(new.digest.as_slice())
            .bind(new.person.to_string())
            .bind(&new.device)
            .bind(&new.factors)
            .bind(&new.ip)
            .bind(&new.last_ip)
            .bind(new.created_at)
            .bind(new.confirmed_at)
            .bind(new.last_seen_at)
            .bind(new.expires_at)
            .execute(self.connection())
            .await?;
        inserted(done, "session")
    }

    /// The session whose secret has this digest.
    pub async fn user_session_of_digest(&mut self, digest: &[u8; 32]) -> Result<Option<UserSession>, StoreError> {
        let statement = query("SELECT * FROM user_session WHERE digest = $1").bind(digest.as_slice());
        statement.fetch_optional(self.connection()).await?.as_ref().map(user_session).transpose()
    }

    /// A person's sessions, the one seen last first.
    pub async fn user_sessions(&mut self, person: UserId) -> Result<Vec<UserSession>, StoreError> {
        let statement = "SELECT * FROM user_session WHERE person = $1 ORDER BY last_seen_at DESC, created_at DESC, id";
        let rows = query(statement).bind(person.to_string()).fetch_all(self.connection()).await?;
        rows.iter().map(user_session).collect()
    }

    /// Notes that a session was used, and from where.
    pub async fn user_session_seen(&mut self, id: SessionId, ip: &str, at: Micros) -> Result<(), StoreError> {
        let statement = query("UPDATE user_session SET last_seen_at = $2, last_ip = $3 WHERE id = $1").bind(id.to_string());
        statement.bind(at).bind(ip).execute(self.connection()).await?;
        Ok(())
    }

    /// Notes that its person proved again who they are.
    pub async fn user_session_confirmed(&mut self, id: SessionId, at: Micros) -> Result<(), StoreError> {
        let statement = query("UPDATE user_session SET confirmed_at = $2 WHERE id = $1").bind(id.to_string());
        statement.bind(at).execute(self.connection()).await?;
        Ok(())
    }

    /// Ends a person's session; whether there was one.
    pub async fn delete_user_session(&mut self, person: UserId, id: SessionId) -> Result<bool, StoreError> {
        let statement = query("DELETE FROM user_session WHERE id = $1 AND person = $2").bind(id.to_string());
        Ok(statement.bind(person.to_string()).execute(self.connection()).await? > 0)
    }

    /// Ends all of a person's sessions but this one; how many there were.
    pub async fn delete_user_sessions(&mut self, person: UserId, but: Option<SessionId>) -> Result<u64, StoreError> {
        let statement = query("DELETE FROM user_session WHERE person = $1 AND id <> $2").bind(person.to_string());
        statement.bind(but.map_or_else(String::new, |id| id.to_string())).execute(self.connection()).await
    }

    /// Takes away the sessions that are over: by their own word, or because they were last seen before `idle_since`.
    pub async fn delete_user_sessions_over(&mut self, now: Micros, idle_since: Micros) -> Result<(), StoreError> {
        let statement = query("DELETE FROM user_session WHERE expires_at <= $1 OR last_seen_at <= $2").bind(now);
        statement.bind(idle_since).execute(self.connection()).await?;
        Ok(())
    }

    /// Whether a person has signed in from there since that instant.
    pub async fn is_known_source(&mut self, person: UserId, source: &str, since: Micros) -> Result<bool, StoreError> {
        let statement = "SELECT 1 FROM known_source WHERE person = $1 AND source = $2 AND seen_at >= $3";
        let row = query(statement).bind(person.to_string()).bind(source).bind(since).fetch_optional(self.connection()).await?;
        Ok(row.is_some())
    }

    /// Notes that a person has signed in from there; only the last `keep` places are remembered.
    pub async fn note_source(&mut self, person: UserId, source: &str, at: Micros, keep: u32) -> Result<(), StoreError> {
        let statement = "INSERT INTO known_source (person, source, seen_at) VALUES ($1, $2, $3)
            ON CONFLICT (person, source) DO UPDATE SET seen_at = excluded.seen_at";
        query(statement).bind(person.to_string()).bind(source).bind(at).execute(self.connection()).await?;
        let statement = "DELETE FROM known_source WHERE person = $1 AND source NOT IN
            (SELECT source FROM known_source WHERE person = $1 ORDER BY seen_at DESC, source LIMIT $2)";
        query(statement).bind(person.to_string()).bind(keep).execute(self.connection()).await?;
        Ok(())
    }
}

fn user_session(row: &Row) -> Result<UserSession, StoreError> {
    let digest = cell::<Vec<u8>>(row, "digest")?.try_into();
    Ok(UserSession {
        id: parsed(row, "id")?,
        digest: digest.map_err(|_| StoreError::Damaged { what: "session", why: "its digest has not 32 bytes".into() })?,
        person: parsed(row, "person")?,
        device: cell(row, "device")?,
        factors: cell(row, "factors")?,
        ip: cell(row, "ip")?,
        last_ip: cell(row, "last_ip")?,
        created_at: cell(row, "created_at")?,
        confirmed_at: cell(row, "confirmed_at")?,
        last_seen_at: cell(row, "last_seen_at")?,
        expires_at: cell(row, "expires_at")?,
    })
}
