//! Scans of what zones have elsewhere.

use poterne_model::ZoneId;

use crate::{Micros, Session, StoreError, database::query, due::SCANS, rows::cell, zone::Zone};

/// The last scan of a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneScan {
    /// When it was asked for.
    pub requested_at: Micros,
    /// When it is to be taken up, or again; none: it has ended.
    pub due_at: Option<Micros>,
    /// When it ended.
    pub ended_at: Option<Micros>,
    /// What it came to, JSON.
    pub report: String,
}

impl Session {
    /// A zone's last scan.
    pub async fn zone_scan(&mut self, id: ZoneId) -> Result<Option<ZoneScan>, StoreError> {
        let row = query("SELECT * FROM zone_scan WHERE zone = $1").bind(id.to_string()).fetch_optional(self.connection()).await?;
        let scan = |row| {
            Ok(ZoneScan {
                requested_at: cell(row, "requested_at")?,
                due_at: cell(row, "due_at")?,
                ended_at: cell(row, "ended_at")?,
                report: cell(row, "report")?,
            })
        };
        row.as_ref().map(scan).transpose()
    }

    /// Writes it down, new or not.
    pub async fn put_zone_scan(&mut self, id: ZoneId, scan: &ZoneScan) -> Result<(), StoreError> {
        let statement = "INSERT INTO zone_scan (zone, requested_at, due_at, ended_at, report) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (zone) DO UPDATE SET requested_at = excluded.requested_at, due_at = excluded.due_at,
            ended_at = excluded.ended_at, report = excluded.report";
        let statement = query(statement).bind(id.to_string()).bind(scan.requested_at).bind(scan.due_at).bind(scan.ended_at);
        statement.bind(&scan.report).execute(self.connection()).await?;
        Ok(())
    }

    /// Takes up at most `count` scans that are due, the longest due first; they are due again at `again_at`, unless they end.
    pub async fn take_scans_due(&mut self, now: Micros, again_at: Micros, count: u32) -> Result<Vec<Zone>, StoreError> {
        self.take_due(SCANS, now, again_at, count).await
    }
}
