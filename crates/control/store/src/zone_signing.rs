//! What zones are signed with.

use std::collections::HashMap;

use poterne_model::ZoneId;

use crate::{
    Micros, Session, StoreError,
    database::{Row, query},
    rows::{cell, number, parsed},
    touched::Touched,
};

/// What name servers have of a zone's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHead {
    /// The sets of keys and their signatures, as they travel.
    pub signed: Vec<u8>,
    /// The algorithm's number.
    pub algorithm: u8,
    /// The key that signs everything else, wrapped for the node.
    pub wrapped: Vec<u8>,
}

/// A zone's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneSigning {
    /// The zone.
    pub zone: ZoneId,
    /// The keys in time, without their private parts, as JSON.
    pub keyset: String,
    /// What of it name servers have.
    pub head: SignedHead,
    /// When something of it is due.
    pub next_at: Micros,
    /// When the zone began or ceased to be signed.
    pub modified_at: Micros,
}

impl Session {
    /// A zone's keys; none where it is not signed.
    pub async fn zone_signing(&mut self, zone: ZoneId) -> Result<Option<ZoneSigning>, StoreError> {
        let statement = query("SELECT * FROM zone_signing WHERE zone = $1").bind(zone.to_string());
        statement.fetch_optional(self.connection()).await?.as_ref().map(signing).transpose()
    }

    /// What name servers have of each signed zone.
    pub async fn signed_heads(&mut self) -> Result<HashMap<ZoneId, SignedHead>, StoreError> {
        let rows = query("SELECT zone, signed, algorithm, wrapped FROM zone_signing").fetch_all(self.connection()).await?;
        rows.iter().map(|row| Ok((parsed(row, "zone")?, head(row)?))).collect()
    }

    /// Signed zones of which something is due by then, or whose key is wrapped for a node of another key; the longest due first.
    pub async fn zone_signings_due(&mut self, now: Micros, node_key: [u8; 8], rows_max: u32) -> Result<Vec<ZoneId>, StoreError> {
        // Sealed octets begin with their version and the key's name.
        let statement =
            "SELECT zone FROM zone_signing WHERE next_at <= $1 OR substr(wrapped, 2, 8) <> $2 ORDER BY next_at, zone LIMIT $3";
        let statement = query(statement).bind(now).bind(node_key.as_slice()).bind(rows_max);
        statement.fetch_all(self.connection()).await?.iter().map(|row| parsed(row, "zone")).collect()
    }

    /// Keeps a zone's keys; `is_shown` says whether name servers are to have others than before.
    pub async fn put_zone_signing(&mut self, signing: &ZoneSigning, is_shown: bool) -> Result<(), StoreError> {
        let statement = "INSERT INTO zone_signing (zone, keyset, signed, algorithm, wrapped, next_at, modified_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            ON CONFLICT (zone) DO UPDATE SET keyset = excluded.keyset, signed = excluded.signed, algorithm = excluded.algorithm,
                wrapped = excluded.wrapped, next_at = excluded.next_at, modified_at = excluded.modified_at";
        query(statement)
            .bind(signing.zone.to_string())
            .bind(signing.keyset.as_str())
            .bind(signing.head.signed.as_slice())
            .bind(i64::from(signing.head.algorithm))
            .bind(signing.head.wrapped.as_slice())
            .bind(signing.next_at)
            .bind(signing.modified_at)
            .execute(self.connection())
            .await?;
        if is_shown { self.touch(&Touched::Zone(signing.zone)).await } else { Ok(()) }
    }

    /// Forgets a zone's keys, the private parts too.
    pub async fn delete_zone_signing(&mut self, zone: ZoneId) -> Result<(), StoreError> {
        query("DELETE FROM zone_key WHERE zone = $1").bind(zone.to_string()).execute(self.connection()).await?;
        query("DELETE FROM zone_signing WHERE zone = $1").bind(zone.to_string()).execute(self.connection()).await?;
        self.touch(&Touched::Zone(zone)).await
    }

    /// The sealed private parts of a zone's keys, by their numbers.
    pub async fn zone_keys(&mut self, zone: ZoneId) -> Result<HashMap<u32, Vec<u8>>, StoreError> {
        let statement = query("SELECT number, sealed FROM zone_key WHERE zone = $1").bind(zone.to_string());
        let rows = statement.fetch_all(self.connection()).await?;
        rows.iter().map(|row| Ok((number(row, "number")?, cell(row, "sealed")?))).collect()
    }

    /// Keeps one.
    pub async fn insert_zone_key(&mut self, zone: ZoneId, number: u32, sealed: &[u8]) -> Result<(), StoreError> {
        let statement = query("INSERT INTO zone_key (zone, number, sealed) VALUES ($1, $2, $3)").bind(zone.to_string());
        statement.bind(i64::from(number)).bind(sealed).execute(self.connection()).await?;
        Ok(())
    }

    /// Forgets one.
    pub async fn delete_zone_key(&mut self, zone: ZoneId, number: u32) -> Result<(), StoreError> {
        let statement = query("DELETE FROM zone_key WHERE zone = $1 AND number = $2").bind(zone.to_string());
        statement.bind(i64::from(number)).execute(self.connection()).await?;
        Ok(())
    }
}

fn head(row: &Row) -> Result<SignedHead, StoreError> {
    Ok(SignedHead { signed: cell(row, "signed")?, algorithm: number(row, "algorithm")?, wrapped: cell(row, "wrapped")? })
}

fn signing(row: &Row) -> Result<ZoneSigning, StoreError> {
    Ok(ZoneSigning {
        zone: parsed(row, "zone")?,
        keyset: cell(row, "keyset")?,
        head: head(row)?,
        next_at: cell(row, "next_at")?,
        modified_at: cell(row, "modified_at")?,
    })
}
