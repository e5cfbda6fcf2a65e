//! Hosts whose origins are shown a certificate of their own.

use poterne_model::{CertificateId, Name, ZoneId};

use crate::{
    Micros, Session, StoreError,
    database::{Row, query},
    rows::{cell, parsed},
    touched::Touched,
};

/// One, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginPullHost {
    /// Its zone.
    pub zone: ZoneId,
    /// The host.
    pub host: Name,
    /// Which certificate.
    pub certificate: CertificateId,
    /// Whether it is shown; else the zone's setting holds for this host too.
    pub enabled: bool,
    /// When it was first given one.
    pub created_at: Micros,
    /// When it was changed last.
    pub modified_at: Micros,
}

impl Session {
    /// Keeps one, in the place of what was said of the host; nodes are told.
    pub async fn put_origin_pull_host(&mut self, host: &OriginPullHost) -> Result<(), StoreError> {
        let statement = "INSERT INTO origin_pull_host (zone, host, certificate, enabled, created_at, modified_at)
            VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (zone, host) DO UPDATE SET certificate = excluded.certificate, enabled = excluded.enabled,
            modified_at = excluded.modified_at";
        query(statement)
            .bind(host.zone.to_string())
            .bind(host.host.as_str())
            .bind(host.certificate.to_string())
            .bind(host.enabled)
            .bind(host.created_at)
            .bind(host.modified_at)
            .execute(self.connection())
            .await?;
        self.touch(&Touched::Zone(host.zone)).await
    }

    /// Forgets what was said of a host; nodes are told.
    pub async fn delete_origin_pull_host(&mut self, zone: ZoneId, host: &Name) -> Result<(), StoreError> {
        let statement = query("DELETE FROM origin_pull_host WHERE zone = $1 AND host = $2");
        statement.bind(zone.to_string()).bind(host.as_str()).execute(self.connection()).await?;
        self.touch(&Touched::Zone(zone)).await
    }

    /// Those of a zone, or of all; by zone and host.
    pub async fn origin_pull_hosts(&mut self, zone: Option<ZoneId>) -> Result<Vec<OriginPullHost>, StoreError> {
        let statement = match zone {
            Some(zone) => query("SELECT * FROM origin_pull_host WHERE zone = $1 ORDER BY host").bind(zone.to_string()),
            None => query("SELECT * FROM origin_pull_host ORDER BY zone, host"),
        };
        statement.fetch_all(self.connection()).await?.iter().map(host).collect()
    }
}

fn host(row: &Row) -> Result<OriginPullHost, StoreError> {
    Ok(OriginPullHost {
        zone: parsed(row, "zone")?,
        host: parsed(row, "host")?,
        certificate: parsed(row, "certificate")?,
        enabled: cell(row, "enabled")?,
        created_at: cell(row, "created_at")?,
        modified_at: cell(row, "modified_at")?,
    })
}
