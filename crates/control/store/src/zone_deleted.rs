//! Zones that were deleted, and are kept for a while with all that is in them.
//!
//! A row that is kept must not keep its name from anybody: it goes by its id then, which is no name that a zone can have, and the name that it had stands beside it. So
//! nothing that looks for a zone by a name finds it, and what looks by an id asks for those that are not deleted. What was due of it is due
//! in [`AWAY`], and so never.

use poterne_model::{AccountId, CertificatePackId, ZoneId, ZoneStatus};

use crate::{
    Micros, Session, StoreError, Zone,
    database::{Row, query},
    rows::{cell, changed, parsed},
    touched::Touched,
    zone::{status, zone},
};

/// By how much later all is due of a zone that is deleted, in microseconds: some 3,000 years.
const AWAY: i64 = 100_000_000_000_000_000;

/// What is due of a zone, in each table that says so: put away, and taken back.
const DUE: [(&str, &str); 5] = [
    (
        "UPDATE zone_watch SET due_at = due_at + $2 WHERE zone = $1",
        "UPDATE zone_watch SET due_at = due_at - $2, ends_at = NULL, reminded = FALSE WHERE zone = $1",
    ),
    (
        "UPDATE zone_scan SET due_at = due_at + $2 WHERE zone = $1 AND due_at IS NOT NULL",
        "UPDATE zone_scan SET due_at = due_at - $2 WHERE zone = $1 AND due_at IS NOT NULL",
    ),
    (
        "UPDATE zone_signing SET next_at = next_at + $2 WHERE zone = $1",
        "UPDATE zone_signing SET next_at = next_at - $2 WHERE zone = $1",
    ),
    (
        "UPDATE zone_incoming SET due_at = due_at + $2 WHERE zone = $1",
        "UPDATE zone_incoming SET due_at = due_at - $2 WHERE zone = $1",
    ),
    (
        "UPDATE certificate_pack SET due_at = due_at + $2 WHERE zone = $1 AND due_at IS NOT NULL",
        "UPDATE certificate_pack SET due_at = due_at - $2 WHERE zone = $1 AND due_at IS NOT NULL",
    ),
];

/// A zone that was deleted, as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedZone {
    /// It.
    pub zone: Zone,
    /// When that was.
    pub deleted_at: Micros,
}

impl Session {
    /// Deletes a zone, and keeps it with all that is in it but what authorities want to be shown now. Its name is free.
    pub async fn put_zone_away(&mut self, id: ZoneId, now: Micros) -> Result<(), StoreError> {
        // It is pending, so that it is not in force, whoever asks.
        let statement = "UPDATE zone SET deleted_name = name, deleted_status = status, deleted_at = $2, modified_at = $2,
            name = id, status = 'pending' WHERE id = $1 AND deleted_at IS NULL";
        changed(query(statement).bind(id.to_string()).bind(now).execute(self.connection()).await?, "zone")?;
        query("DELETE FROM challenge WHERE zone = $1").bind(id.to_string()).execute(self.connection()).await?;
        for (away, _) in DUE {
            query(away).bind(id.to_string()).bind(AWAY).execute(self.connection()).await?;
        }
        self.touch(&Touched::Zone(id)).await
    }

    /// Takes a deleted zone back, with this status. Conflict where its account has another of that name, or another serves it and this one is to.
    pub async fn bring_zone_back(&mut self, id: ZoneId, to: ZoneStatus, now: Micros) -> Result<(), StoreError> {
        let statement = "SELECT 1 AS one FROM zone AS other JOIN zone ON other.name = zone.deleted_name
            WHERE zone.id = $1 AND (other.account = zone.account OR (other.status IN ('active', 'moved') AND $2))";
        let taken = query(statement).bind(id.to_string()).bind(to.serves()).fetch_optional(self.connection()).await?;
        if taken.is_some() {
            return Err(StoreError::Conflict("zone"));
        }
        let statement = "UPDATE zone SET name = deleted_name, status = $2, modified_at = $3,
            deleted_name = NULL, deleted_status = NULL, deleted_at = NULL WHERE id = $1 AND deleted_at IS NOT NULL";
        let done = query(statement).bind(id.to_string()).bind(to.as_str()).bind(now).execute(self.connection()).await?;
        changed(done, "deleted zone")?;
        for (_, back) in DUE {
            query(back).bind(id.to_string()).bind(AWAY).execute(self.connection()).await?;
        }
        // Whoever takes it back wants to know where it is delegated to.
        let soon = query("UPDATE zone_watch SET due_at = $2 WHERE zone = $1").bind(id.to_string()).bind(now);
        soon.execute(self.connection()).await?;
        let packs = query("SELECT id FROM certificate_pack WHERE zone = $1").bind(id.to_string());
        let packs: Vec<CertificatePackId> =
            packs.fetch_all(self.connection()).await?.iter().map(|row| parsed(row, "id")).collect::<Result<_, _>>()?;
        for pack in packs {
            self.touch(&Touched::Certificate(pack)).await?;
        }
        self.touch(&Touched::Zone(id)).await
    }

    /// A deleted zone.
    pub async fn deleted_zone(&mut self, id: ZoneId) -> Result<Option<DeletedZone>, StoreError> {
        let statement = query("SELECT * FROM zone WHERE id = $1 AND deleted_at IS NOT NULL").bind(id.to_string());
        statement.fetch_optional(self.connection()).await?.as_ref().map(deleted).transpose()
    }

    /// An account's deleted zones, the one that was deleted first first.
    pub async fn deleted_zones(&mut self, account: AccountId) -> Result<Vec<DeletedZone>, StoreError> {
        let statement = "SELECT * FROM zone WHERE account = $1 AND deleted_at IS NOT NULL ORDER BY deleted_at, id";
        let rows = query(statement).bind(account.to_string()).fetch_all(self.connection()).await?;
        rows.iter().map(deleted).collect()
    }

    /// Zones that were deleted before then, at most `count`.
    pub async fn zones_deleted_before(&mut self, then: Micros, count: u32) -> Result<Vec<DeletedZone>, StoreError> {
        let statement = "SELECT * FROM zone WHERE deleted_at IS NOT NULL AND deleted_at < $1 ORDER BY deleted_at, id LIMIT $2";
        let rows = query(statement).bind(then).bind(count).fetch_all(self.connection()).await?;
        rows.iter().map(deleted).collect()
    }
}

fn deleted(row: &Row) -> Result<DeletedZone, StoreError> {
    let status = status(cell(row, "deleted_status")?)?;
    Ok(DeletedZone {
        zone: Zone { apex: parsed(row, "deleted_name")?, status, ..zone(row)? },
        deleted_at: cell(row, "deleted_at")?,
    })
}
