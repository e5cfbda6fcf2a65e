//! Tunnels, their secrets and configurations.

use poterne_model::{AccountId, ConnectorId, TunnelId};

use crate::{
    Micros, Session, StoreError,
    database::{Row, query},
    rows::{cell, changed, inserted, number, parsed},
    touched::Touched,
};

/// Where a tunnel's configuration lives, by the API's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigSource {
    /// On the server; pushed to agents. The word is `cloudflare`, which clients compare with.
    Remote,
    /// With the agent.
    Local,
}

/// A tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tunnel {
    /// Its id.
    pub id: TunnelId,
    /// Its owner.
    pub account: AccountId,
    /// Its name, unique among the account's live tunnels.
    pub name: String,
    /// Where its configuration lives.
    pub config_source: ConfigSource,
    /// When it was made.
    pub created_at: Micros,
    /// When it was deleted; the row stays.
    pub deleted_at: Option<Micros>,
    /// Since when it has had a connection, while it has one.
    pub conns_active_at: Option<Micros>,
    /// Since when it has had none, while it has none and had some.
    pub conns_inactive_at: Option<Micros>,
    /// First registration ever.
    pub first_connected_at: Option<Micros>,
    /// Last loss of a connection.
    pub last_loss_at: Option<Micros>,
    /// Whether `POST /tunnel` made it.
    pub quick: bool,
    /// When it is deleted by itself.
    pub expires_at: Option<Micros>,
}

/// A secret as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSecret {
    /// SHA-256 of the secret.
    pub digest: [u8; 32],
    /// The secret, sealed for this tunnel.
    pub sealed: Vec<u8>,
    /// When it was made.
    pub created_at: Micros,
}

/// A version of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// From 1.
    pub version: i32,
    /// JSON as the agent reads it.
    pub json: String,
    /// When it was set.
    pub created_at: Micros,
}

impl ConfigSource {
    /// The API's word, also the one kept.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Remote => "cloudflare",
            Self::Local => "local",
        }
    }
}

impl Session {
    /// A new tunnel. Conflict when a live one of the account has the name.
    pub async fn insert_tunnel(&mut self, tunnel: &Tunnel) -> Result<(), StoreError> {
        let statement =
            "INSERT INTO tunnel (id, account, name, config_src, created_at, quick, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
            ON CONFLICT DO NOTHING";
        let done = query(statement)
            .bind(tunnel.id.to_string())
            .bind(tunnel.account.to_string())
            .bind(&tunnel.name)
            .bind(tunnel.config_source.as_str())
            .bind(tunnel.created_at)
            .bind(tunnel.quick)
            .bind(tunnel.expires_at)
            .execute(self.connection())
            .await?;
        inserted(done, "tunnel")?;
        self.touch(&Touched::Tunnel(tunnel.id)).await
    }

    /// A tunnel, deleted ones included.
    pub async fn tunnel(&mut self, id: TunnelId) -> Result<Option<Tunnel>, StoreError> {
        let row = query("SELECT * FROM tunnel WHERE id = $1").bind(id.to_string()).fetch_optional(self.connection()).await?;
        row.as_ref().map(tunnel).transpose()
    }

    /// The account's live tunnel of this name.
    pub async fn tunnel_named(&mut self, account: AccountId, name: &str) -> Result<Option<Tunnel>, StoreError> {
        let row = query("SELECT * FROM tunnel WHERE account = $1 AND name = $2 AND deleted_at IS NULL")
            .bind(account.to_string())
            .bind(name)
            .fetch_optional(self.connection())
            .await?;
        row.as_ref().map(tunnel).transpose()
    }

    /// Live tunnels of an account, or of all, oldest first.
    pub async fn tunnels(&mut self, account: Option<AccountId>) -> Result<Vec<Tunnel>, StoreError> {
        let statement = "SELECT * FROM tunnel WHERE deleted_at IS NULL AND (CAST($1 AS TEXT) IS NULL OR account = $1) ORDER BY created_at, id";
        let rows = query(statement).bind(account.map(|id| id.to_string())).fetch_all(self.connection()).await?;
        rows.iter().map(tunnel).collect()
    }

    /// Calls a live tunnel otherwise. Conflict when another of the account has the name.
    pub async fn rename_tunnel(&mut self, account: AccountId, id: TunnelId, name: &str) -> Result<(), StoreError> {
        if self.tunnel_named(account, name).await?.is_some_and(|other| other.id != id) {
            return Err(StoreError::Conflict("tunnel"));
        }
        let statement = query("UPDATE tunnel SET name = $2 WHERE id = $1 AND deleted_at IS NULL").bind(id.to_string()).bind(name);
        changed(statement.execute(self.connection()).await?, "tunnel")?;
        self.touch(&Touched::Tunnel(id)).await
    }

    /// From now on a tunnel's configuration is kept here.
    pub async fn manage_tunnel_remotely(&mut self, id: TunnelId) -> Result<(), StoreError> {
        let statement = query("UPDATE tunnel SET config_src = 'cloudflare' WHERE id = $1 AND deleted_at IS NULL");
        changed(statement.bind(id.to_string()).execute(self.connection()).await?, "tunnel")?;
        self.touch(&Touched::Tunnel(id)).await
    }

    /// Live tunnels whose time is over.
    pub async fn tunnels_expired(&mut self, now: Micros) -> Result<Vec<Tunnel>, StoreError> {
        let rows = query("SELECT * FROM tunnel WHERE deleted_at IS NULL AND expires_at <= $1")
            .bind(now)
            .fetch_all(self.connection())
            .await?;
        rows.iter().map(tunnel).collect()
    }

    /// Marks a live tunnel deleted; its secrets go at once, so that no later mistake can admit it.
    pub async fn delete_tunnel(&mut self, id: TunnelId, now: Micros) -> Result<(), StoreError> {
        let done = query("UPDATE tunnel SET deleted_at = $1 WHERE id = $2 AND deleted_at IS NULL")
            .bind(now)
            .bind(id.to_string())
            .execute(self.connection())
            .await?;
        changed(done, "tunnel")?;
        self.touch(&Touched::Tunnel(id)).await?;
        query("DELETE FROM tunnel_secret WHERE tunnel = $1").bind(id.to_string()).execute(self.connection()).await?;
        Ok(())
    }

    /// A tunnel's secrets, oldest first.
    pub async fn secrets(&mut self, tunnel: TunnelId) -> Result<Vec<SealedSecret>, StoreError> {
        let rows = query("SELECT * FROM tunnel_secret WHERE tunnel = $1 ORDER BY number")
            .bind(tunnel.to_string())
            .fetch_all(self.connection())
            .await?;
        rows.iter().map(secret).collect()
    }

    /// Adds a secret.
    pub async fn insert_secret(&mut self, tunnel: TunnelId, secret: &SealedSecret) -> Result<(), StoreError> {
        let statement = "INSERT INTO tunnel_secret (tunnel, digest, sealed, created_at, number)
            SELECT $1, $2, $3, $4, coalesce(max(number), 0) + 1 FROM tunnel_secret WHERE tunnel = $1";
        query(statement)
            .bind(tunnel.to_string())
            .bind(secret.digest.as_slice())
            .bind(&secret.sealed)
            .bind(secret.created_at)
            .execute(self.connection())
            .await?;
        self.touch(&Touched::Tunnel(tunnel)).await
    }

    /// Takes a secret away.
    pub async fn delete_secret(&mut self, tunnel: TunnelId, digest: &[u8; 32]) -> Result<(), StoreError> {
        query("DELETE FROM tunnel_secret WHERE tunnel = $1 AND digest = $2")
            .bind(tunnel.to_string())
            .bind(digest.as_slice())
            .execute(self.connection())
            .await?;
        self.touch(&Touched::Tunnel(tunnel)).await
    }

    /// The newest configuration, if any was ever set.
    pub async fn configuration(&mut self, tunnel: TunnelId) -> Result<Option<Configuration>, StoreError> {
        let statement =
            "SELECT version, config, created_at FROM tunnel_configuration WHERE tunnel = $1 ORDER BY version DESC LIMIT 1";
        let row = query(statement).bind(tunnel.to_string()).fetch_optional(self.connection()).await?;
        row.as_ref().map(configuration).transpose()
    }

    /// Adds a version. Conflict when it exists.
    pub async fn insert_configuration(&mut self, tunnel: TunnelId, configuration: &Configuration) -> Result<(), StoreError> {
        let statement = "INSERT INTO tunnel_configuration (tunnel, version, config, created_at) VALUES ($1, $2, $3, $4)
            ON CONFLICT DO NOTHING";
        let done = query(statement)
            .bind(tunnel.to_string())
            .bind(configuration.version)
            .bind(&configuration.json)
            .bind(configuration.created_at)
            .execute(self.connection())
            .await?;
        inserted(done, "configuration")?;
        self.touch(&Touched::Tunnel(tunnel)).await
    }

    /// What an agent told of a locally managed tunnel. A tunnel that is gone is no error: the agent may be slower than its owner.
    pub async fn put_local_configuration(
        &mut self,
        tunnel: TunnelId,
        connector: ConnectorId,
        config: &str,
        now: Micros,
    ) -> Result<(), StoreError> {
        let statement = "INSERT INTO tunnel_local_configuration (tunnel, connector, config, told_at)
            SELECT id, $2, $3, $4 FROM tunnel WHERE id = $1
            ON CONFLICT (tunnel) DO UPDATE SET connector = excluded.connector, config = excluded.config, told_at = excluded.told_at";
        query(statement)
            .bind(tunnel.to_string())
            .bind(connector.to_string())
            .bind(config)
            .bind(now)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// What its agent last told of a locally managed tunnel's configuration.
    pub async fn local_configuration(&mut self, tunnel: TunnelId) -> Result<Option<String>, StoreError> {
        let row = query("SELECT config FROM tunnel_local_configuration WHERE tunnel = $1")
            .bind(tunnel.to_string())
            .fetch_optional(self.connection())
            .await?;
        row.as_ref().map(|row| cell(row, "config")).transpose()
    }
}

pub(crate) fn tunnel(row: &Row) -> Result<Tunnel, StoreError> {
    let config_source = config_source(cell(row, "config_src")?)?;
    Ok(Tunnel {
        id: parsed(row, "id")?,
        account: parsed(row, "account")?,
        name: cell(row, "name")?,
        config_source,
        created_at: cell(row, "created_at")?,
        deleted_at: cell(row, "deleted_at")?,
        conns_active_at: cell(row, "conns_active_at")?,
        conns_inactive_at: cell(row, "conns_inactive_at")?,
        first_connected_at: cell(row, "first_connected_at")?,
        last_loss_at: cell(row, "last_loss_at")?,
        quick: cell(row, "quick")?,
        expires_at: cell(row, "expires_at")?,
    })
}

pub(crate) fn config_source(word: &str) -> Result<ConfigSource, StoreError> {
    match word {
        "cloudflare" => Ok(ConfigSource::Remote),
        "local" => Ok(ConfigSource::Local),
        other => Err(StoreError::Damaged { what: "tunnel", why: format!("its config_src is {other:?}") }),
    }
}

fn digest(row: &Row) -> Result<[u8; 32], StoreError> {
    let digest = cell::<Vec<u8>>(row, "digest")?.try_into();
    digest.map_err(|_| StoreError::Damaged { what: "tunnel secret", why: "its digest has not 32 bytes".into() })
}

fn secret(row: &Row) -> Result<SealedSecret, StoreError> {
    Ok(SealedSecret { digest: digest(row)?, sealed: cell(row, "sealed")?, created_at: cell(row, "created_at")? })
}

fn configuration(row: &Row) -> Result<Configuration, StoreError> {
    Ok(Configuration { version: number(row, "version")?, json: cell(row, "config")?, created_at: cell(row, "created_at")? })
}
