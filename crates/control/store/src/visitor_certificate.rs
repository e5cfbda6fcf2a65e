//! Certificates that zones' own authorities issued to visitors.

use poterne_model::{CertificateId, ZoneId};

use crate::{
    Micros, Session, StoreError,
    database::{Row, query},
    origin_certificate::{hex, serial},
    rows::{cell, number, parsed},
    touched::Touched,
};

/// One, as it is kept. Its key was never here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisitorCertificate {
    /// Its id.
    pub id: CertificateId,
    /// Whose visitors it is for.
    pub zone: ZoneId,
    /// What its authority knows it by.
    pub serial: [u8; 16],
    /// Whom it names, JSON.
    pub subject: String,
    /// The request, PEM.
    pub request: String,
    /// It, PEM.
    pub certificate: String,
    /// Its key's identifier, in digits.
    pub ski: String,
    /// Its SHA-256, in digits.
    pub fingerprint: String,
    /// For how many days it was asked for.
    pub validity_days: u32,
    /// Until when it is good.
    pub not_after: Micros,
    /// When it was issued.
    pub created_at: Micros,
    /// When it was revoked.
    pub revoked_at: Option<Micros>,
}

impl Session {
    /// Keeps one.
    pub async fn insert_visitor_certificate(&mut self, certificate: &VisitorCertificate) -> Result<(), StoreError> {
        let statement = "INSERT INTO visitor_certificate
            (id, zone, serial, subject, request, certificate, ski, fingerprint, validity_days, not_after, created_at, revoked_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
        query(statement)
            .bind(certificate.id.to_string())
            .bind(certificate.zone.to_string())
            .bind(hex(certificate.serial))
            .bind(certificate.subject.as_str())
            .bind(certificate.request.as_str())
            .bind(certificate.certificate.as_str())
            .bind(certificate.ski.as_str())
            .bind(certificate.fingerprint.as_str())
            .bind(certificate.validity_days)
            .bind(certificate.not_after)
            .bind(certificate.created_at)
            .bind(certificate.revoked_at)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Says since when one is revoked, or that it is not; nodes are told.
    pub async fn set_visitor_certificate_revoked(
        &mut self,
        zone: ZoneId,
        id: CertificateId,
        revoked_at: Option<Micros>,
    ) -> Result<(), StoreError> {
        let statement = query("UPDATE visitor_certificate SET revoked_at = $3 WHERE zone = $1 AND id = $2");
        statement.bind(zone.to_string()).bind(id.to_string()).bind(revoked_at).execute(self.connection()).await?;
        self.touch(&Touched::Zone(zone)).await
    }

    /// One of a zone.
    pub async fn visitor_certificate(
        &mut self,
        zone: ZoneId,
        id: CertificateId,
    ) -> Result<Option<VisitorCertificate>, StoreError> {
        let statement = query("SELECT * FROM visitor_certificate WHERE zone = $1 AND id = $2");
        let row = statement.bind(zone.to_string()).bind(id.to_string()).fetch_optional(self.connection()).await?;
        row.as_ref().map(certificate).transpose()
    }

    /// Those of a zone, the newest first.
    pub async fn visitor_certificates(&mut self, zone: ZoneId) -> Result<Vec<VisitorCertificate>, StoreError> {
        let statement = query("SELECT * FROM visitor_certificate WHERE zone = $1 ORDER BY created_at DESC, id");
        statement.bind(zone.to_string()).fetch_all(self.connection()).await?.iter().map(certificate).collect()
    }

    /// How many a zone has.
    pub async fn visitor_certificates_count(&mut self, zone: ZoneId) -> Result<u64, StoreError> {
        let statement = query("SELECT count(*) AS count FROM visitor_certificate WHERE zone = $1").bind(zone.to_string());
        statement.fetch_optional(self.connection()).await?.as_ref().map_or(Ok(0), |row| number(row, "count"))
    }

    /// What was revoked of a zone, or of all, by zone and serial number.
    pub async fn revoked_visitor_certificates(&mut self, zone: Option<ZoneId>) -> Result<Vec<(ZoneId, [u8; 16])>, StoreError> {
        let statement = match zone {
            Some(zone) => {
                query("SELECT zone, serial FROM visitor_certificate WHERE zone = $1 AND revoked_at IS NOT NULL ORDER BY serial")
                    .bind(zone.to_string())
            }
            None => query("SELECT zone, serial FROM visitor_certificate WHERE revoked_at IS NOT NULL ORDER BY zone, serial"),
        };
        let rows = statement.fetch_all(self.connection()).await?;
        rows.iter().map(|row| Ok((parsed(row, "zone")?, serial(row)?))).collect()
    }

    /// Some that are over, of whatever zone.
    pub async fn visitor_certificates_over(&mut self, now: Micros, rows_max: u32) -> Result<Vec<VisitorCertificate>, StoreError> {
        let statement = query("SELECT * FROM visitor_certificate WHERE not_after < $1 ORDER BY not_after, id LIMIT $2");
        statement.bind(now).bind(rows_max).fetch_all(self.connection()).await?.iter().map(certificate).collect()
    }

    /// Forgets one; nodes are told where it was revoked.
    pub async fn delete_visitor_certificate(&mut self, certificate: &VisitorCertificate) -> Result<(), StoreError> {
        let statement = query("DELETE FROM visitor_certificate WHERE id = $1").bind(certificate.id.to_string());
        statement.execute(self.connection()).await?;
        if certificate.revoked_at.is_some() {
            self.touch(&Touched::Zone(certificate.zone)).await?;
        }
        Ok(())
    }
}

fn certificate(row: &Row) -> Result<VisitorCertificate, StoreError> {
    Ok(VisitorCertificate {
        id: parsed(row, "id")?,
        zone: parsed(row, "zone")?,
        serial: serial(row)?,
        subject: cell(row, "subject")?,
        request: cell(row, "request")?,
        certificate: cell(row, "certificate")?,
        ski: cell(row, "ski")?,
        fingerprint: cell(row, "fingerprint")?,
        validity_days: number(row, "validity_days")?,
        not_after: cell(row, "not_after")?,
        created_at: cell(row, "created_at")?,
        revoked_at: cell(row, "revoked_at")?,
    })
}
