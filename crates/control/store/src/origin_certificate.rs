//! Certificates that this node's authority for origins issued.

use poterne_model::{Name, ZoneId};

use crate::{
    Micros, Session, StoreError,
    certificate_pack::{joined, names},
    database::{Row, query},
    rows::{cell, number, parsed},
    touched::Touched,
};

/// One, as it is kept. Its key was never here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginCertificate {
    /// What its authority knows it by.
    pub serial: [u8; 16],
    /// The zone of its names.
    pub zone: ZoneId,
    /// The names it is for.
    pub hostnames: Vec<Name>,
    /// `origin-rsa` or `origin-ecc`.
    pub request_type: String,
    /// For how many days it was asked for.
    pub validity_days: u32,
    /// The request, as PEM.
    pub request: String,
    /// It, as PEM.
    pub certificate: String,
    /// Until when it is good.
    pub not_after: Micros,
    /// When it was issued.
    pub created_at: Micros,
    /// When it was revoked.
    pub revoked_at: Option<Micros>,
}

impl Session {
    /// Keeps one.
    pub async fn insert_origin_certificate(&mut self, certificate: &OriginCertificate) -> Result<(), StoreError> {
        let statement = "INSERT INTO origin_certificate
            (serial, zone, hostnames, request_type, validity_days, request, certificate, not_after, created_at, revoked_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        query(statement)
            .bind(hex(certificate.serial))
            .bind(certificate.zone.to_string())
            .bind(joined(&certificate.hostnames))
            .bind(certificate.request_type.as_str())
            .bind(certificate.validity_days)
            .bind(certificate.request.as_str())
            .bind(certificate.certificate.as_str())
            .bind(certificate.not_after)
            .bind(certificate.created_at)
            .bind(certificate.revoked_at)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// One.
    pub async fn origin_certificate(&mut self, serial: [u8; 16]) -> Result<Option<OriginCertificate>, StoreError> {
        let statement = query("SELECT * FROM origin_certificate WHERE serial = $1").bind(hex(serial));
        statement.fetch_optional(self.connection()).await?.as_ref().map(certificate).transpose()
    }

    /// Those of a zone that were not revoked, the newest first.
    pub async fn origin_certificates(&mut self, zone: ZoneId) -> Result<Vec<OriginCertificate>, StoreError> {
        let statement =
            "SELECT * FROM origin_certificate WHERE zone = $1 AND revoked_at IS NULL ORDER BY created_at DESC, serial";
        query(statement).bind(zone.to_string()).fetch_all(self.connection()).await?.iter().map(certificate).collect()
    }

    /// Revokes one; nodes are told.
    pub async fn revoke_origin_certificate(&mut self, serial: [u8; 16], now: Micros) -> Result<(), StoreError> {
        let statement = query("UPDATE origin_certificate SET revoked_at = $1 WHERE serial = $2 AND revoked_at IS NULL");
        statement.bind(now).bind(hex(serial)).execute(self.connection()).await?;
        self.touch(&Touched::Node).await
    }

    /// Revokes those of a zone that goes; nodes are told where there were any.
    pub async fn revoke_origin_certificates_of(&mut self, zone: ZoneId, now: Micros) -> Result<(), StoreError> {
        let statement = query("UPDATE origin_certificate SET revoked_at = $1 WHERE zone = $2 AND revoked_at IS NULL");
        if statement.bind(now).bind(zone.to_string()).execute(self.connection()).await? > 0 {
            self.touch(&Touched::Node).await?;
        }
        Ok(())
    }

    /// What was revoked and is not over, by serial number.
    pub async fn revoked_origin_certificates(&mut self) -> Result<Vec<[u8; 16]>, StoreError> {
        let statement = query("SELECT serial FROM origin_certificate WHERE revoked_at IS NOT NULL ORDER BY serial");
        statement.fetch_all(self.connection()).await?.iter().map(serial).collect()
    }

    /// Whether there are any that were revoked and are over.
    pub async fn has_origin_certificates_over(&mut self, now: Micros) -> Result<bool, StoreError> {
        let statement = query("SELECT 1 AS one FROM origin_certificate WHERE revoked_at IS NOT NULL AND not_after < $1 LIMIT 1");
        Ok(statement.bind(now).fetch_optional(self.connection()).await?.is_some())
    }

    /// Forgets those that are over; how many.
    pub async fn forget_origin_certificates(&mut self, now: Micros) -> Result<u64, StoreError> {
        let statement = query("DELETE FROM origin_certificate WHERE revoked_at IS NOT NULL AND not_after < $1");
        let done = statement.bind(now).execute(self.connection()).await?;
        if done > 0 {
            self.touch(&Touched::Node).await?;
        }
        Ok(done)
    }
}

/// A serial number, as it is kept.
pub(crate) fn hex(serial: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(serial))
}

/// What [`hex`] wrote, of a column of that name.
pub(crate) fn serial(row: &Row) -> Result<[u8; 16], StoreError> {
    let text: String = cell(row, "serial")?;
    let damaged = |_| StoreError::Damaged { what: "serial number", why: text.clone() };
    u128::from_str_radix(&text, 16).map(u128::to_be_bytes).map_err(damaged)
}

fn certificate(row: &Row) -> Result<OriginCertificate, StoreError> {
    Ok(OriginCertificate {
        serial: serial(row)?,
        zone: parsed(row, "zone")?,
        hostnames: names(cell(row, "hostnames")?)?,
        request_type: cell(row, "request_type")?,
        validity_days: number(row, "validity_days")?,
        request: cell(row, "request")?,
        certificate: cell(row, "certificate")?,
        not_after: cell(row, "not_after")?,
        created_at: cell(row, "created_at")?,
        revoked_at: cell(row, "revoked_at")?,
    })
}
