//! What certificate authorities ask to be shown.

use poterne_model::{ChallengeId, Name, ZoneId};

use crate::{
    Micros, Session, StoreError,
    database::{Row, query},
    rows::{cell, changed, parsed},
    touched::Touched,
};

/// What stands over a zone for a while, so that a certificate authority sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// Its id.
    pub id: ChallengeId,
    /// The zone it is for.
    pub zone: ZoneId,
    /// How it is shown, as the protocol calls it: `dns-01`, `http-01`, `tls-alpn-01`.
    pub kind: String,
    /// The TXT record's owner, `_acme-challenge.` included; otherwise the host.
    pub owner: Name,
    /// The last segment of the path, of `http-01`; else empty.
    pub token: String,
    /// What is shown, at most 255 octets of ASCII: the record's text, the path's, or the digest in base64url.
    pub text: String,
    /// Since when.
    pub created_at: Micros,
    /// Until when.
    pub expires_at: Micros,
}

impl Session {
    /// Keeps one.
    pub async fn insert_challenge(&mut self, challenge: &Challenge) -> Result<(), StoreError> {
        let statement = "INSERT INTO challenge (id, zone, owner, text, created_at, expires_at, kind, token)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        query(statement)
            .bind(challenge.id.to_string())
            .bind(challenge.zone.to_string())
            .bind(challenge.owner.as_str())
            .bind(challenge.text.as_str())
            .bind(challenge.created_at)
            .bind(challenge.expires_at)
            .bind(challenge.kind.as_str())
            .bind(challenge.token.as_str())
            .execute(self.connection())
            .await?;
        self.touch(&Touched::Challenge(challenge.id)).await
    }

    /// Lets one last until then.
    pub async fn extend_challenge(&mut self, id: ChallengeId, expires_at: Micros) -> Result<(), StoreError> {
        let statement = query("UPDATE challenge SET expires_at = $2 WHERE id = $1").bind(id.to_string()).bind(expires_at);
        changed(statement.execute(self.connection()).await?, "challenge")?;
        self.touch(&Touched::Challenge(id)).await
    }

    /// Forgets one; false: it was not there.
    pub async fn delete_challenge(&mut self, id: ChallengeId) -> Result<bool, StoreError> {
        let done = query("DELETE FROM challenge WHERE id = $1").bind(id.to_string()).execute(self.connection()).await?;
        if done == 0 {
            return Ok(false);
        }
        self.touch(&Touched::Challenge(id)).await?;
        Ok(true)
    }

    /// One of them.
    pub async fn challenge(&mut self, id: ChallengeId) -> Result<Option<Challenge>, StoreError> {
        let row = query("SELECT * FROM challenge WHERE id = $1").bind(id.to_string()).fetch_optional(self.connection()).await?;
        row.as_ref().map(challenge).transpose()
    }

    /// A zone's, or every zone's, by owner.
    pub async fn challenges(&mut self, zone: Option<ZoneId>) -> Result<Vec<Challenge>, StoreError> {
        let statement = "SELECT * FROM challenge WHERE CAST($1 AS TEXT) IS NULL OR zone = $1 ORDER BY owner, id";
        let rows = query(statement).bind(zone.map(|id| id.to_string())).fetch_all(self.connection()).await?;
        rows.iter().map(challenge).collect()
    }

    /// Those whose time is over by then, the longest first, at most `rows_max`.
    pub async fn challenges_expired(&mut self, now: Micros, rows_max: u32) -> Result<Vec<ChallengeId>, StoreError> {
        let statement = "SELECT id FROM challenge WHERE expires_at <= $1 ORDER BY expires_at, id LIMIT $2";
        let rows = query(statement).bind(now).bind(rows_max).fetch_all(self.connection()).await?;
        rows.iter().map(|row| parsed(row, "id")).collect()
    }
}

fn challenge(row: &Row) -> Result<Challenge, StoreError> {
    Ok(Challenge {
        id: parsed(row, "id")?,
        zone: parsed(row, "zone")?,
        owner: parsed(row, "owner")?,
        kind: cell(row, "kind")?,
        token: cell(row, "token")?,
        text: cell(row, "text")?,
        created_at: cell(row, "created_at")?,
        expires_at: cell(row, "expires_at")?,
    })
}
