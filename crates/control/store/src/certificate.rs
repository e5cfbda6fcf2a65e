//! Certificates: each is its pack's, and the next one takes its place.

use poterne_model::{CertificateId, CertificatePackId, Name, ZoneId};

use crate::{
    Micros, Session, StoreError,
    certificate_pack::{joined, names},
    database::{Row, query},
    rows::{cell, number, parsed},
    touched::Touched,
};

/// A certificate, as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Its id.
    pub id: CertificateId,
    /// Its pack.
    pub pack: CertificatePackId,
    /// The names it is for.
    pub hosts: Vec<Name>,
    /// Who issued it.
    pub issuer: String,
    /// What it is signed with.
    pub signature: String,
    /// PEM, leaf first.
    pub chain: String,
    /// Its key (PKCS#8 DER), sealed with a data key.
    pub sealed: Vec<u8>,
    /// The same, wrapped for the node.
    pub wrapped: Vec<u8>,
    /// From when it is good.
    pub not_before: Micros,
    /// Until when.
    pub not_after: Micros,
    /// When it came.
    pub created_at: Micros,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("id", &self.id).field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

/// What nodes have of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateInForce {
    /// It.
    pub certificate: Certificate,
    /// The zone of its pack.
    pub zone: ZoneId,
    /// What the pack is for.
    pub kind: String,
    /// Its pack's priority.
    pub priority: i32,
}

const IN_FORCE: &str = "SELECT certificate.*, certificate_pack.zone, certificate_pack.kind, certificate_pack.priority
    FROM certificate JOIN certificate_pack ON certificate_pack.id = certificate.pack WHERE certificate.pack = $1";
const ALL_IN_FORCE: &str = "SELECT certificate.*, certificate_pack.zone, certificate_pack.kind, certificate_pack.priority
    FROM certificate JOIN certificate_pack ON certificate_pack.id = certificate.pack WHERE certificate.pack > $1
    ORDER BY certificate.pack LIMIT $2";

impl Session {
    /// Keeps one in the place of its pack's last; nodes are told.
    pub async fn put_certificate(&mut self, certificate: &Certificate) -> Result<(), StoreError> {
        let statement = "INSERT INTO certificate
            (id, pack, hosts, issuer, signature, chain, sealed, wrapped, not_before, not_after, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
            ON CONFLICT (pack) DO UPDATE SET id = excluded.id, hosts = excluded.hosts, issuer = excluded.issuer,
                signature = excluded.signature, chain = excluded.chain, sealed = excluded.sealed, wrapped = excluded.wrapped,
                not_before = excluded.not_before, not_after = excluded.not_after, created_at = excluded.created_at";
        query(statement)
            .bind(certificate.id.to_string())
            .bind(certificate.pack.to_string())
            .bind(joined(&certificate.hosts))
            .bind(certificate.issuer.as_str())
            .bind(certificate.signature.as_str())
            .bind(certificate.chain.as_str())
            .bind(certificate.sealed.as_slice())
            .bind(certificate.wrapped.as_slice())
            .bind(certificate.not_before)
            .bind(certificate.not_after)
            .bind(certificate.created_at)
            .execute(self.connection())
            .await?;
        self.touch(&Touched::Certificate(certificate.pack)).await
    }

    /// Forgets a pack's; false: it has none.
    pub async fn delete_certificate_of(&mut self, pack: CertificatePackId) -> Result<bool, StoreError> {
        let done = query("DELETE FROM certificate WHERE pack = $1").bind(pack.to_string()).execute(self.connection()).await?;
        if done > 0 {
            self.touch(&Touched::Certificate(pack)).await?;
        }
        Ok(done > 0)
    }

    /// A pack's.
    pub async fn certificate_of(&mut self, pack: CertificatePackId) -> Result<Option<Certificate>, StoreError> {
        let statement = query("SELECT * FROM certificate WHERE pack = $1").bind(pack.to_string());
        statement.fetch_optional(self.connection()).await?.as_ref().map(certificate).transpose()
    }

    /// Those of a zone's packs.
    pub async fn certificates_of_zone(&mut self, zone: ZoneId) -> Result<Vec<Certificate>, StoreError> {
        let statement = "SELECT certificate.* FROM certificate JOIN certificate_pack ON certificate_pack.id = certificate.pack
            WHERE certificate_pack.zone = $1";
        let rows = query(statement).bind(zone.to_string()).fetch_all(self.connection()).await?;
        rows.iter().map(certificate).collect()
    }

    /// What nodes have of a pack.
    pub async fn certificate_in_force(&mut self, pack: CertificatePackId) -> Result<Option<CertificateInForce>, StoreError> {
        let row = query(IN_FORCE).bind(pack.to_string()).fetch_optional(self.connection()).await?;
        row.as_ref().map(in_force).transpose()
    }

    /// What they have of all packs after one, by id.
    pub async fn certificate_page(
        &mut self,
        after: Option<CertificatePackId>,
        rows_max: u32,
    ) -> Result<Vec<CertificateInForce>, StoreError> {
        let after = after.map_or_else(String::new, |id| id.to_string());
        let rows = query(ALL_IN_FORCE).bind(after).bind(rows_max).fetch_all(self.connection()).await?;
        rows.iter().map(in_force).collect()
    }

    /// Packs whose key is wrapped for a node of another key; the first by id.
    pub async fn certificates_of_other_node(&mut self, node_key: [u8; 8], rows_max: u32) -> Result<Vec<Certificate>, StoreError> {
        // Sealed octets begin with their version and the key's name.
        let statement = query("SELECT * FROM certificate WHERE substr(wrapped, 2, 8) <> $1 ORDER BY pack LIMIT $2");
        let rows = statement.bind(node_key.as_slice()).bind(rows_max).fetch_all(self.connection()).await?;
        rows.iter().map(certificate).collect()
    }
}

fn certificate(row: &Row) -> Result<Certificate, StoreError> {
    Ok(Certificate {
        id: parsed(row, "id")?,
        pack: parsed(row, "pack")?,
        hosts: names(cell(row, "hosts")?)?,
        issuer: cell(row, "issuer")?,
        signature: cell(row, "signature")?,
        chain: cell(row, "chain")?,
        sealed: cell(row, "sealed")?,
        wrapped: cell(row, "wrapped")?,
        not_before: cell(row, "not_before")?,
        not_after: cell(row, "not_after")?,
        created_at: cell(row, "created_at")?,
    })
}

fn in_force(row: &Row) -> Result<CertificateInForce, StoreError> {
    Ok(CertificateInForce {
        certificate: certificate(row)?,
        zone: parsed(row, "zone")?,
        kind: cell(row, "kind")?,
        priority: number(row, "priority")?,
    })
}
