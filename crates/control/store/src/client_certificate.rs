//! Certificates that the edge shows a zone's origins, where somebody brought them.

use poterne_model::{CertificateId, ZoneId};

use crate::{
    Micros, Session, StoreError,
    database::{Row, query},
    rows::{cell, parsed},
    touched::Touched,
};

/// One, as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Its id.
    pub id: CertificateId,
    /// Whose origins it is shown to.
    pub zone: ZoneId,
    /// Whether it is for single hosts of the zone, and never shown to the origins of all.
    pub for_hosts: bool,
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
    /// Until when it is good.
    pub not_after: Micros,
    /// When it came.
    pub created_at: Micros,
}

impl std::fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientCertificate").field("id", &self.id).field("zone", &self.zone).finish_non_exhaustive()
    }
}

impl Session {
    /// Keeps one; nodes are told.
    pub async fn put_client_certificate(&mut self, certificate: &ClientCertificate) -> Result<(), StoreError> {
        let statement = "INSERT INTO client_certificate
            (id, zone, issuer, signature, chain, sealed, wrapped, not_after, created_at, for_hosts)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
            ON CONFLICT (id) DO UPDATE SET wrapped = excluded.wrapped";
        query(statement)
            .bind(certificate.id.to_string())
            .bind(certificate.zone.to_string())
            .bind(certificate.issuer.as_str())
            .bind(certificate.signature.as_str())
            .bind(certificate.chain.as_str())
            .bind(certificate.sealed.as_slice())
            .bind(certificate.wrapped.as_slice())
            .bind(certificate.not_after)
            .bind(certificate.created_at)
            .bind(certificate.for_hosts)
            .execute(self.connection())
            .await?;
        self.touch(&Touched::Zone(certificate.zone)).await
    }

    /// Forgets one; false: its zone has none of that id.
    pub async fn delete_client_certificate(&mut self, zone: ZoneId, id: CertificateId) -> Result<bool, StoreError> {
        let statement = query("DELETE FROM client_certificate WHERE zone = $1 AND id = $2");
        let done = statement.bind(zone.to_string()).bind(id.to_string()).execute(self.connection()).await?;
        if done > 0 {
            self.touch(&Touched::Zone(zone)).await?;
        }
        Ok(done > 0)
    }

    /// Those of a zone, or of all; the newest of each zone last.
    pub async fn client_certificates(&mut self, zone: Option<ZoneId>) -> Result<Vec<ClientCertificate>, StoreError> {
        let statement = match zone {
            Some(zone) => {
                query("SELECT * FROM client_certificate WHERE zone = $1 ORDER BY created_at, id").bind(zone.to_string())
            }
            None => query("SELECT * FROM client_certificate ORDER BY zone, created_at, id"),
        };
        statement.fetch_all(self.connection()).await?.iter().map(certificate).collect()
    }

    /// Those whose key is wrapped for a node of another key.
    pub async fn client_certificates_of_other_node(
        &mut self,
        node_key: [u8; 8],
        rows_max: u32,
    ) -> Result<Vec<ClientCertificate>, StoreError> {
        // Sealed octets begin with their version and the key's name.
        let statement = query("SELECT * FROM client_certificate WHERE substr(wrapped, 2, 8) <> $1 ORDER BY id LIMIT $2");
        let rows = statement.bind(node_key.as_slice()).bind(rows_max).fetch_all(self.connection()).await?;
        rows.iter().map(certificate).collect()
    }
}

fn certificate(row: &Row) -> Result<ClientCertificate, StoreError> {
    Ok(ClientCertificate {
        id: parsed(row, "id")?,
        zone: parsed(row, "zone")?,
        for_hosts: cell(row, "for_hosts")?,
        issuer: cell(row, "issuer")?,
        signature: cell(row, "signature")?,
        chain: cell(row, "chain")?,
        sealed: cell(row, "sealed")?,
        wrapped: cell(row, "wrapped")?,
        not_after: cell(row, "not_after")?,
        created_at: cell(row, "created_at")?,
    })
}
