//! Holds of zones.

use poterne_model::{AccountId, Name, Timestamp, ZoneHold, ZoneId, name::ancestors};

use crate::{
    Session, StoreError,
    database::{Row, query},
    rows::{cell, parsed},
};

impl Session {
    /// A zone's hold.
    pub async fn zone_hold(&mut self, zone: ZoneId) -> Result<Option<ZoneHold>, StoreError> {
        let statement = query("SELECT * FROM zone_hold WHERE zone = $1").bind(zone.to_string());
        statement.fetch_optional(self.connection()).await?.as_ref().map(hold).transpose()
    }

    /// Sets it, or takes it away.
    pub async fn put_zone_hold(&mut self, zone: ZoneId, hold: Option<ZoneHold>) -> Result<(), StoreError> {
        let Some(hold) = hold else {
            query("DELETE FROM zone_hold WHERE zone = $1").bind(zone.to_string()).execute(self.connection()).await?;
            return Ok(());
        };
        let statement = "INSERT INTO zone_hold (zone, include_subdomains, hold_after) VALUES ($1, $2, $3)
            ON CONFLICT (zone) DO UPDATE SET include_subdomains = excluded.include_subdomains, hold_after = excluded.hold_after";
        let statement = query(statement).bind(zone.to_string()).bind(hold.include_subdomains);
        statement.bind(hold.hold_after.map(Timestamp::as_micros)).execute(self.connection()).await?;
        Ok(())
    }

    /// The holds of other accounts' serving zones that a name lies in, each with its zone's name.
    pub async fn holds_over(&mut self, account: AccountId, name: &Name) -> Result<Vec<(Name, ZoneHold)>, StoreError> {
        let mut holds = Vec::new();
        for ancestor in ancestors(name.as_str()) {
            let statement = "SELECT zone.name, zone_hold.include_subdomains, zone_hold.hold_after
                FROM zone_hold JOIN zone ON zone.id = zone_hold.zone
                WHERE zone.name = $1 AND zone.account <> $2 AND zone.status IN ('active', 'moved')";
            for row in query(statement).bind(ancestor).bind(account.to_string()).fetch_all(self.connection()).await? {
                holds.push((parsed(&row, "name")?, hold(&row)?));
            }
        }
        Ok(holds)
    }
}

fn hold(row: &Row) -> Result<ZoneHold, StoreError> {
    let hold_after = cell::<Option<i64>>(row, "hold_after")?.map(Timestamp::from_micros);
    Ok(ZoneHold { include_subdomains: cell(row, "include_subdomains")?, hold_after })
}
