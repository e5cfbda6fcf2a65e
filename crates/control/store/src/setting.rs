//! What zones set, as JSON; what a zone never set has no row.
//!
//! Beside the settings of the catalogue, a zone's DNS settings, URL normalization and managed fields are rows of the same table, whole,
//! under the names of their paths.

use std::collections::{BTreeMap, HashMap};

use poterne_model::{AccountId, ZoneId, setting::ZoneSettings};
use serde_json::{Value, json};

use crate::{
    Micros, Session, StoreError,
    database::{Row, query},
    rows::{cell, parsed},
    touched::Touched,
};

impl Session {
    /// What a zone changed.
    pub async fn zone_settings(&mut self, zone: ZoneId) -> Result<ZoneSettings, StoreError> {
        let rows =
            query("SELECT * FROM zone_setting WHERE zone = $1").bind(zone.to_string()).fetch_all(self.connection()).await?;
        settings(&rows)
    }

    /// Of what a zone changed, the setting of that name alone.
    pub async fn zone_settings_of(&mut self, zone: ZoneId, id: &str) -> Result<ZoneSettings, StoreError> {
        let statement = query("SELECT * FROM zone_setting WHERE zone = $1 AND id = $2").bind(zone.to_string()).bind(id);
        settings(&statement.fetch_all(self.connection()).await?)
    }

    /// One value as it was set; none: never.
    pub async fn zone_setting(&mut self, zone: ZoneId, id: &str) -> Result<Option<Value>, StoreError> {
        let statement = query("SELECT value FROM zone_setting WHERE zone = $1 AND id = $2").bind(zone.to_string()).bind(id);
        statement.fetch_optional(self.connection()).await?.as_ref().map(value).transpose()
    }

    /// What each zone set under that name, of those that did.
    pub async fn zone_settings_named(&mut self, id: &str) -> Result<HashMap<ZoneId, Value>, StoreError> {
        let rows = query("SELECT zone, value FROM zone_setting WHERE id = $1").bind(id).fetch_all(self.connection()).await?;
        rows.iter().map(|row| Ok((parsed(row, "zone")?, value(row)?))).collect()
    }

    /// Sets one.
    pub async fn put_zone_setting(&mut self, zone: ZoneId, id: &str, value: &Value, now: Micros) -> Result<(), StoreError> {
        let statement = "INSERT INTO zone_setting (zone, id, value, modified_at) VALUES ($1, $2, $3, $4)
            ON CONFLICT (zone, id) DO UPDATE SET value = excluded.value, modified_at = excluded.modified_at";
        query(statement).bind(zone.to_string()).bind(id).bind(value.to_string()).bind(now).execute(self.connection()).await?;
        self.touch(&Touched::Zone(zone)).await
    }

    /// What an account set under that name; none: never.
    pub async fn account_setting(&mut self, account: AccountId, id: &str) -> Result<Option<Value>, StoreError> {
        let statement =
            query("SELECT value FROM account_setting WHERE account = $1 AND id = $2").bind(account.to_string()).bind(id);
        statement.fetch_optional(self.connection()).await?.as_ref().map(value).transpose()
    }

    /// Sets it.
    pub async fn put_account_setting(
        &mut self,
        account: AccountId,
        id: &str,
        value: &Value,
        now: Micros,
    ) -> Result<(), StoreError> {
        let statement = "INSERT INTO account_setting (account, id, value, modified_at) VALUES ($1, $2, $3, $4)
            ON CONFLICT (account, id) DO UPDATE SET value = excluded.value, modified_at = excluded.modified_at";
        let statement = query(statement).bind(account.to_string()).bind(id).bind(value.to_string()).bind(now);
        statement.execute(self.connection()).await?;
        Ok(())
    }
}

fn value(row: &Row) -> Result<Value, StoreError> {
    serde_json::from_str(cell(row, "value")?)
        .map_err(|error| StoreError::Damaged { what: "zone setting", why: error.to_string() })
}

pub(crate) fn settings(rows: &[Row]) -> Result<ZoneSettings, StoreError> {
    let mut changed = BTreeMap::new();
    for row in rows {
        let at: Micros = cell(row, "modified_at")?;
        changed.insert(cell::<String>(row, "id")?, json!({ "value": value(row)?, "modified_on": at }));
    }
    serde_json::from_value(json!(changed)).map_err(|error| StoreError::Damaged { what: "zone settings", why: error.to_string() })
}
