//! Who vouches for zones' visitors: authorities that an account brought, a zone's own, and the hosts that ask for a certificate.

use poterne_model::{AccountId, CertificateId, Name, ZoneId};

use crate::{
    Micros, Session, StoreError,
    database::{Row, query},
    rows::{cell, parsed},
    touched::Touched,
};

/// An authority that an account brought, as it is kept. None of it ever changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MtlsCertificate {
    /// Its id.
    pub id: CertificateId,
    /// Whose zones it may vouch for visitors of.
    pub account: AccountId,
    /// What it is called.
    pub name: String,
    /// Its certificates, PEM.
    pub certificates: String,
    /// Who issued the first.
    pub issuer: String,
    /// What that is signed with.
    pub signature: String,
    /// Its serial number, in digits.
    pub serial: String,
    /// Until when it is good.
    pub not_after: Micros,
    /// When it came.
    pub created_at: Micros,
}

/// A zone's own authority for visitors, as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientAuthority {
    /// The zone.
    pub zone: ZoneId,
    /// Its id.
    pub id: CertificateId,
    /// Its certificate, PEM.
    pub certificate: String,
    /// Its key (PKCS#8 DER), sealed with a data key.
    pub sealed: Vec<u8>,
    /// When it was made.
    pub created_at: Micros,
}

impl std::fmt::Debug for ClientAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientAuthority").field("zone", &self.zone).field("id", &self.id).finish_non_exhaustive()
    }
}

/// That visitors of a host are asked for a certificate which this authority may vouch for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisitorHost {
    /// The host's zone.
    pub zone: ZoneId,
    /// The host.
    pub host: Name,
    /// The authority.
    pub authority: CertificateId,
}

impl Session {
    /// Keeps one that was brought.
    pub async fn insert_mtls_certificate(&mut self, certificate: &MtlsCertificate) -> Result<(), StoreError> {
        let statement = "INSERT INTO mtls_certificate
            (id, account, name, certificates, issuer, signature, serial, not_after, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        query(statement)
            .bind(certificate.id.to_string())
            .bind(certificate.account.to_string())
            .bind(certificate.name.as_str())
            .bind(certificate.certificates.as_str())
            .bind(certificate.issuer.as_str())
            .bind(certificate.signature.as_str())
            .bind(certificate.serial.as_str())
            .bind(certificate.not_after)
            .bind(certificate.created_at)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Those of an account, or of all; the oldest first.
    pub async fn mtls_certificates(&mut self, account: Option<AccountId>) -> Result<Vec<MtlsCertificate>, StoreError> {
        let statement = match account {
            Some(account) => {
                query("SELECT * FROM mtls_certificate WHERE account = $1 ORDER BY created_at, id").bind(account.to_string())
            }
            None => query("SELECT * FROM mtls_certificate ORDER BY created_at, id"),
        };
        statement.fetch_all(self.connection()).await?.iter().map(mtls_certificate).collect()
    }

    /// One, whosever it is.
    pub async fn mtls_certificate(&mut self, id: CertificateId) -> Result<Option<MtlsCertificate>, StoreError> {
        let statement = query("SELECT * FROM mtls_certificate WHERE id = $1").bind(id.to_string());
        statement.fetch_optional(self.connection()).await?.as_ref().map(mtls_certificate).transpose()
    }

    /// Forgets one that no host asks for; false: its account has none of that id.
    pub async fn delete_mtls_certificate(&mut self, account: AccountId, id: CertificateId) -> Result<bool, StoreError> {
        let statement = query("DELETE FROM mtls_certificate WHERE account = $1 AND id = $2");
        Ok(statement.bind(account.to_string()).bind(id.to_string()).execute(self.connection()).await? > 0)
    }

    /// Keeps a zone's own; conflicts where it has one.
    pub async fn insert_client_authority(&mut self, authority: &ClientAuthority) -> Result<(), StoreError> {
        let statement = "INSERT INTO client_authority (zone, id, certificate, sealed, created_at) VALUES ($1, $2, $3, $4, $5)";
        query(statement)
            .bind(authority.zone.to_string())
            .bind(authority.id.to_string())
            .bind(authority.certificate.as_str())
            .bind(authority.sealed.as_slice())
            .bind(authority.created_at)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// A zone's own, or those of all.
    pub async fn client_authorities(&mut self, zone: Option<ZoneId>) -> Result<Vec<ClientAuthority>, StoreError> {
        let statement = match zone {
            Some(zone) => query("SELECT * FROM client_authority WHERE zone = $1").bind(zone.to_string()),
            None => query("SELECT * FROM client_authority ORDER BY zone"),
        };
        statement.fetch_all(self.connection()).await?.iter().map(client_authority).collect()
    }

    /// Has these hosts of a zone, and no others of it, ask for certificates that the authority may vouch for; nodes are told.
    pub async fn put_visitor_hosts(&mut self, zone: ZoneId, authority: CertificateId, hosts: &[Name]) -> Result<(), StoreError> {
        let statement = query("DELETE FROM visitor_host WHERE zone = $1 AND authority = $2");
        statement.bind(zone.to_string()).bind(authority.to_string()).execute(self.connection()).await?;
        for host in hosts {
            let statement = query("INSERT INTO visitor_host (zone, host, authority) VALUES ($1, $2, $3)");
            let statement = statement.bind(zone.to_string()).bind(host.as_str()).bind(authority.to_string());
            statement.execute(self.connection()).await?;
        }
        self.touch(&Touched::Zone(zone)).await
    }

    /// The hosts of a zone, or of all, that ask; by zone, host and authority.
    pub async fn visitor_hosts(&mut self, zone: Option<ZoneId>) -> Result<Vec<VisitorHost>, StoreError> {
        let statement = match zone {
            Some(zone) => query("SELECT * FROM visitor_host WHERE zone = $1 ORDER BY host, authority").bind(zone.to_string()),
            None => query("SELECT * FROM visitor_host ORDER BY zone, host, authority"),
        };
        statement.fetch_all(self.connection()).await?.iter().map(visitor_host).collect()
    }

    /// The hosts, of whatever zone, that ask for what an authority vouches for.
    pub async fn hosts_of_authority(&mut self, authority: CertificateId) -> Result<Vec<VisitorHost>, StoreError> {
        let statement = query("SELECT * FROM visitor_host WHERE authority = $1 ORDER BY zone, host");
        statement.bind(authority.to_string()).fetch_all(self.connection()).await?.iter().map(visitor_host).collect()
    }
}

fn mtls_certificate(row: &Row) -> Result<MtlsCertificate, StoreError> {
    Ok(MtlsCertificate {
        id: parsed(row, "id")?,
        account: parsed(row, "account")?,
        name: cell(row, "name")?,
        certificates: cell(row, "certificates")?,
        issuer: cell(row, "issuer")?,
        signature: cell(row, "signature")?,
        serial: cell(row, "serial")?,
        not_after: cell(row, "not_after")?,
        created_at: cell(row, "created_at")?,
    })
}

fn client_authority(row: &Row) -> Result<ClientAuthority, StoreError> {
    Ok(ClientAuthority {
        zone: parsed(row, "zone")?,
        id: parsed(row, "id")?,
        certificate: cell(row, "certificate")?,
        sealed: cell(row, "sealed")?,
        created_at: cell(row, "created_at")?,
    })
}

fn visitor_host(row: &Row) -> Result<VisitorHost, StoreError> {
    Ok(VisitorHost { zone: parsed(row, "zone")?, host: parsed(row, "host")?, authority: parsed(row, "authority")? })
}
