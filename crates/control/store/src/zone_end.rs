//! When zones that nothing is delegated to end.

use poterne_model::{Timestamp, ZoneId, zone_life::End};

use crate::{
    Micros, Session, StoreError,
    database::{Row, query},
    rows::{cell, changed},
    zone::{Zone, zone},
};

/// A zone that may end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndingZone {
    /// It.
    pub zone: Zone,
    /// When somebody last asked for a look at its delegation.
    pub triggered_at: Option<Micros>,
    /// The end that was told.
    pub told: Option<End>,
}

impl Session {
    /// The next zones that are not active, by id: at most `rows_max` after that one. An empty page is the end.
    pub async fn zones_ending(&mut self, after: Option<ZoneId>, rows_max: u32) -> Result<Vec<EndingZone>, StoreError> {
        let statement = "SELECT zone.*, zone_watch.triggered_at, zone_watch.ends_at, zone_watch.reminded
            FROM zone_watch JOIN zone ON zone.id = zone_watch.zone
            WHERE zone.status <> 'active' AND zone.deleted_at IS NULL AND zone.id > $1 ORDER BY zone.id LIMIT $2";
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let rows = query(statement).bind(after).bind(rows_max).fetch_all(self.connection()).await?;
        rows.iter().map(ending).collect()
    }

    /// One of them; none where it is active or gone.
    pub async fn zone_ending(&mut self, id: ZoneId) -> Result<Option<EndingZone>, StoreError> {
        let statement = "SELECT zone.*, zone_watch.triggered_at, zone_watch.ends_at, zone_watch.reminded
            FROM zone_watch JOIN zone ON zone.id = zone_watch.zone
            WHERE zone.status <> 'active' AND zone.deleted_at IS NULL AND zone.id = $1";
        let row = query(statement).bind(id.to_string()).fetch_optional(self.connection()).await?;
        row.as_ref().map(ending).transpose()
    }

    /// Notes the end that was told; none: there is none any more.
    pub async fn put_zone_end(&mut self, id: ZoneId, told: Option<End>) -> Result<(), StoreError> {
        let statement = query("UPDATE zone_watch SET ends_at = $2, reminded = $3 WHERE zone = $1").bind(id.to_string());
        let statement = statement.bind(told.map(|end| end.at.as_micros())).bind(told.is_some_and(|end| end.reminded));
        changed(statement.execute(self.connection()).await?, "zone")
    }
}

fn ending(row: &Row) -> Result<EndingZone, StoreError> {
    let reminded = cell(row, "reminded")?;
    let told = cell::<Option<i64>>(row, "ends_at")?.map(|at| End { at: Timestamp::from_micros(at), reminded });
    Ok(EndingZone { zone: zone(row)?, triggered_at: cell(row, "triggered_at")?, told })
}
