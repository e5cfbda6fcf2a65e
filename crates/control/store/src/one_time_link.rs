//! Links that let somebody in once: what is kept of one is the digest of the secret in it.

use poterne_model::{MembershipId, UserId};

use crate::{
    Micros, Session, StoreError,
    database::{Row, query},
    rows::{cell, inserted, parsed, parsed_optional},
};

/// Such a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneTimeLink {
    /// SHA-256 of its secret.
    pub digest: [u8; 32],
    /// Whom it lets in.
    pub person: UserId,
    /// The invitation it answers; none: it sets a password.
    pub membership: Option<MembershipId>,
    /// When it was made.
    pub created_at: Micros,
    /// When it is worth nothing any more.
    pub expires_at: Micros,
}

impl OneTimeLink {
    const fn kind(&self) -> &'static str {
        if self.membership.is_some() { "invitation" } else { "password" }
    }
}

impl Session {
    /// A new link, in place of any before it of the same kind, person and invitation; those that are over go too.
    pub async fn put_one_time_link(&mut self, link: &OneTimeLink) -> Result<(), StoreError> {
        let membership = link.membership.map(|id| id.to_string());
        let statement = "DELETE FROM one_time_link WHERE expires_at <= $1
            OR (person = $2 AND kind = $3 AND coalesce(membership, '') = $4)";
        query(statement)
            .bind(link.created_at)
            .bind(link.person.to_string())
            .bind(link.kind())
            .bind(membership.clone().unwrap_or_default())
            .execute(self.connection())
            .await?;
        let statement = "INSERT INTO one_time_link (digest, kind, person, membership, created_at, expires_at)
            VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
        let done = query(statement)
            .bind(link.digest.as_slice())
            .bind(link.kind())
            .bind(link.person.to_string())
            .bind(membership)
            .bind(link.created_at)
            .bind(link.expires_at)
            .execute(self.connection())
            .await?;
        inserted(done, "link")
    }

    /// The link of that digest that is still worth something.
    pub async fn one_time_link(&mut self, digest: &[u8; 32], now: Micros) -> Result<Option<OneTimeLink>, StoreError> {
        let statement = query("SELECT * FROM one_time_link WHERE digest = $1 AND expires_at > $2").bind(digest.as_slice());
        statement.bind(now).fetch_optional(self.connection()).await?.as_ref().map(link).transpose()
    }

    /// Uses a link up; false when somebody else did meanwhile.
    pub async fn use_one_time_link(&mut self, digest: &[u8; 32]) -> Result<bool, StoreError> {
        let statement = query("DELETE FROM one_time_link WHERE digest = $1").bind(digest.as_slice());
        Ok(statement.execute(self.connection()).await? > 0)
    }

    /// Makes a person's links that set a password worth nothing.
    pub async fn delete_password_links(&mut self, person: UserId) -> Result<(), StoreError> {
        let statement = query("DELETE FROM one_time_link WHERE person = $1 AND kind = 'password'").bind(person.to_string());
        statement.execute(self.connection()).await?;
        Ok(())
    }
}

fn link(row: &Row) -> Result<OneTimeLink, StoreError> {
    let digest = cell::<Vec<u8>>(row, "digest")?.try_into();
    Ok(OneTimeLink {
        digest: digest.map_err(|_| StoreError::Damaged { what: "link", why: "its digest has not 32 bytes".into() })?,
        person: parsed(row, "person")?,
        membership: parsed_optional(row, "membership")?,
        created_at: cell(row, "created_at")?,
        expires_at: cell(row, "expires_at")?,
    })
}
