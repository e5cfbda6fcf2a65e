//! The looking at zones' delegations.

use std::collections::HashMap;

use poterne_model::{Name, Timestamp, ZoneId, delegation::Watch};

use crate::{
    Micros, Session, StoreError,
    database::{Row, query},
    due::LOOKS,
    rows::{cell, changed, number, parse, parsed},
    select::Select,
    zone::{Zone, zone},
};

/// Where the looking at one zone stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneWatch {
    /// When it is looked at next.
    pub due_at: Micros,
    /// Where it stands.
    pub watch: Watch,
    /// When it was last looked at.
    pub looked_at: Option<Micros>,
    /// When somebody last asked for a look.
    pub triggered_at: Option<Micros>,
    /// The name servers that the parent named when it was first looked at; none: it was not yet.
    pub original: Option<Vec<Name>>,
}

const WATCHED: &str = "SELECT zone.*, zone_watch.due_at, zone_watch.looks, zone_watch.delegated, zone_watch.failures,
    zone_watch.failing_since, zone_watch.looked_at, zone_watch.triggered_at, zone_watch.original
    FROM zone_watch JOIN zone ON zone.id = zone_watch.zone";

impl Session {
    /// From when on a zone is looked at; for one that is new.
    pub(crate) async fn begin_watch(&mut self, id: ZoneId, due_at: Micros) -> Result<(), StoreError> {
        let statement = query("INSERT INTO zone_watch (zone, due_at) VALUES ($1, $2)").bind(id.to_string()).bind(due_at);
        statement.execute(self.connection()).await?;
        Ok(())
    }

    /// Takes up at most `count` zones that are due, the longest due first: they are due again at `again_at`, unless
    /// [`put_zone_watch`](Self::put_zone_watch) says otherwise.
    pub async fn take_zones_due(&mut self, now: Micros, again_at: Micros, count: u32) -> Result<Vec<Zone>, StoreError> {
        self.take_due(LOOKS, now, again_at, count).await
    }

    /// When the next zone is due.
    pub async fn next_zone_due(&mut self) -> Result<Option<Micros>, StoreError> {
        let row = query("SELECT min(due_at) AS due_at FROM zone_watch").fetch_optional(self.connection()).await?;
        row.as_ref().map_or(Ok(None), |row| cell(row, "due_at"))
    }

    /// A zone and where the looking at it stands.
    pub async fn zone_watch(&mut self, id: ZoneId) -> Result<Option<(Zone, ZoneWatch)>, StoreError> {
        let mut select = Select::new(WATCHED);
        select.sql(" WHERE zone.deleted_at IS NULL AND zone.id = ").value(id.to_string());
        select.fetch_all(self.connection()).await?.first().map(|row| Ok((zone(row)?, watched(row)?))).transpose()
    }

    /// Writes down where it stands. The status within is the zone's own, and is not written here.
    pub async fn put_zone_watch(&mut self, id: ZoneId, of: &ZoneWatch) -> Result<(), StoreError> {
        let statement = "UPDATE zone_watch SET due_at = $2, looks = $3, delegated = $4, failures = $5, failing_since = $6,
            looked_at = $7, triggered_at = $8, original = $9 WHERE zone = $1";
        let original = of.original.as_ref().map(|names| names.iter().map(Name::as_str).collect::<Vec<_>>().join(" "));
        let done = query(statement)
            .bind(id.to_string())
            .bind(of.due_at)
            .bind(i64::from(of.watch.looks))
            .bind(of.watch.delegated)
            .bind(i64::from(of.watch.failures))
            .bind(of.watch.failing_since.map(Timestamp::as_micros))
            .bind(of.looked_at)
            .bind(of.triggered_at)
            .bind(original)
            .execute(self.connection())
            .await?;
        changed(done, "zone")
    }

    /// The name servers that the parent named of these zones when they were first looked at.
    pub async fn original_name_servers(
        &mut self,
        zones: impl Iterator<Item = ZoneId>,
    ) -> Result<HashMap<ZoneId, Vec<Name>>, StoreError> {
        let zones: Vec<String> = zones.map(|id| id.to_string()).collect();
        if zones.is_empty() {
            return Ok(HashMap::new());
        }
        let mut select = Select::new("SELECT zone, original FROM zone_watch WHERE original IS NOT NULL AND (");
        select.one_of_ids("zone", zones).sql(")");
        let rows = select.fetch_all(self.connection()).await?;
        rows.iter().map(|row| Ok((parsed(row, "zone")?, names(cell(row, "original")?)?))).collect()
    }
}

fn names(text: &str) -> Result<Vec<Name>, StoreError> {
    text.split_whitespace().map(|name| parse(name, "original")).collect()
}

fn watched(row: &Row) -> Result<ZoneWatch, StoreError> {
    Ok(ZoneWatch {
        due_at: cell(row, "due_at")?,
        watch: Watch {
            status: zone(row)?.status,
            looks: number(row, "looks")?,
            delegated: cell(row, "delegated")?,
            failures: number(row, "failures")?,
            failing_since: cell::<Option<i64>>(row, "failing_since")?.map(Timestamp::from_micros),
        },
        looked_at: cell(row, "looked_at")?,
        triggered_at: cell(row, "triggered_at")?,
        original: cell::<Option<&str>>(row, "original")?.map(names).transpose()?,
    })
}
