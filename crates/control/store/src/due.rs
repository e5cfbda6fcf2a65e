//! Zones of which something is due, whichever table says so.

use crate::{
    Micros, Session, StoreError,
    database::query,
    zone::{Zone, zone},
};

/// What is due: the statement that finds the zones, and the one that says when one of them is due again.
pub(crate) struct Due([&'static str; 2]);

macro_rules! due {
    ($table:literal) => {
        Due([
            concat!(
                "SELECT zone.* FROM ",
                $table,
                " AS due JOIN zone ON zone.id = due.zone WHERE due.due_at <= $1 ORDER BY due.due_at, due.zone LIMIT $2"
            ),
            concat!("UPDATE ", $table, " SET due_at = $2 WHERE zone = $1"),
        ])
    };
}

/// Looks at delegations.
pub(crate) const LOOKS: Due = due!("zone_watch");

/// Scans.
pub(crate) const SCANS: Due = due!("zone_scan");

impl Session {
    /// Takes up at most `count` zones, the longest due first: they are due again at `again_at`, unless something else is said of them.
    pub(crate) async fn take_due(
        &mut self,
        Due([find, again]): Due,
        now: Micros,
        again_at: Micros,
        count: u32,
    ) -> Result<Vec<Zone>, StoreError> {
        let rows = query(find).bind(now).bind(i64::from(count)).fetch_all(self.connection()).await?;
        let zones: Vec<Zone> = rows.iter().map(zone).collect::<Result<_, _>>()?;
        for zone in &zones {
            query(again).bind(zone.id.to_string()).bind(again_at).execute(self.connection()).await?;
        }
        Ok(zones)
    }
}
