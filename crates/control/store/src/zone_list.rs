//! Part of the zones that somebody may see, filtered and ordered (api-v4 §3).

use std::collections::HashMap;

use poterne_model::{AccountId, ZoneId, ZoneKind, ZoneStatus, setting::ZoneSettings};

use crate::{
    Session, StoreError, TextMatch, Zone,
    rows::parsed,
    select::{Select, total_told},
    setting::settings,
    zone::zone,
};

/// Which zones of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZonesOf {
    /// The account.
    pub account: AccountId,
    /// Every one, or none,
    pub every: bool,
    /// but for these, with which it is the other way round.
    pub but: Vec<ZoneId>,
}

/// Which zones.
#[derive(Debug, Clone, Default)]
pub struct ZoneFilter {
    /// Those that may be seen; of these accounts alone.
    pub seen: Vec<ZonesOf>,
    /// Whether one of the conditions is enough.
    pub any: bool,
    /// Their name.
    pub name: Option<TextMatch>,
    /// One of these accounts.
    pub accounts: Vec<Vec<AccountId>>,
    /// One of these statuses.
    pub statuses: Option<Vec<ZoneStatus>>,
    /// Of these kinds.
    pub kinds: Option<Vec<ZoneKind>>,
}

/// By what zones are ordered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ZoneOrder {
    /// Their name.
    #[default]
    Name,
    /// Their status.
    Status,
    /// Their account's id.
    Account,
    /// Their account's name.
    AccountName,
}

impl ZoneFilter {
    fn select(&self, begin: &'static str) -> Select {
        let mut select = Select::new(begin);
        select.sql(" FROM zone JOIN account ON account.id = zone.account WHERE zone.deleted_at IS NULL AND ");
        let mut seen = select.conditions(true);
        let (whole, parts): (Vec<_>, Vec<_>) = self.seen.iter().partition(|of| of.every && of.but.is_empty());
        // Also where there is none: nobody sees nothing.
        seen.add(|select| select.one_of_ids("zone.account", whole.iter().map(|of| of.account.to_string()).collect()));
        for of in parts {
            seen.add(|select| {
                select.sql("zone.account = ").value(of.account.to_string()).sql(if of.every { " AND NOT (" } else { " AND (" });
                select.one_of_ids("zone.id", of.but.iter().map(ZoneId::to_string).collect()).sql(")")
            });
        }
        seen.end();
        select.sql(" AND ");
        let mut conditions = select.conditions(self.any);
        conditions.add_some(self.name.as_ref(), |select, name| select.text("zone.name", name));
        for accounts in &self.accounts {
            conditions.add(|select| select.one_of_ids("zone.account", accounts.iter().map(AccountId::to_string).collect()));
        }
        conditions.add_some(self.statuses.as_ref(), |select, statuses| {
            select.one_of("zone.status", statuses.iter().map(|status| status.as_str().to_owned()))
        });
        conditions.add_some(self.kinds.as_ref(), |select, kinds| {
            select.sql("(1 = 0");
            for kind in kinds {
                match kind {
                    ZoneKind::Full => select.sql(" OR (NOT zone.partial AND zone.id NOT IN (SELECT zone FROM zone_incoming))"),
                    ZoneKind::Partial => select.sql(" OR zone.partial"),
                    ZoneKind::Secondary => select.sql(" OR zone.id IN (SELECT zone FROM zone_incoming)"),
                };
            }
            select.sql(")")
        });
        conditions.end();
        select
    }
}

impl Session {
    /// Part of the zones that pass, and how many pass in all; equal ones by name.
    pub async fn zone_list(
        &mut self,
        filter: &ZoneFilter,
        order: ZoneOrder,
        descending: bool,
        offset: u64,
        count: u32,
    ) -> Result<(Vec<Zone>, u64), StoreError> {
        let mut select = filter.select("SELECT zone.*");
        select.sql(match order {
            ZoneOrder::Name => " ORDER BY zone.name",
            ZoneOrder::Status => " ORDER BY zone.status",
            ZoneOrder::Account => " ORDER BY zone.account",
            ZoneOrder::AccountName => " ORDER BY account.name",
        });
        select.sql(if descending { " DESC" } else { "" });
        select.sql(if order == ZoneOrder::Name { ", zone.id" } else { ", zone.name, zone.id" }).page(offset, count);
        let rows = select.fetch_all(self.connection()).await?;
        let total = match total_told(offset, count, rows.len()) {
            Some(total) => total,
            None => filter.select("SELECT count(*) AS count").fetch_count(self.connection()).await?,
        };
        Ok((rows.iter().map(zone).collect::<Result<_, _>>()?, total))
    }

    /// The setting of that name, of those of these zones that changed it.
    pub async fn settings_of_zones(
        &mut self,
        zones: impl Iterator<Item = ZoneId>,
        id: &str,
    ) -> Result<HashMap<ZoneId, ZoneSettings>, StoreError> {
        let zones: Vec<String> = zones.map(|id| id.to_string()).collect();
        if zones.is_empty() {
            return Ok(HashMap::new());
        }
        let mut select = Select::new("SELECT * FROM zone_setting WHERE id = ");
        select.value(id).sql(" AND (").one_of_ids("zone", zones).sql(")");
        let rows = select.fetch_all(self.connection()).await?;
        rows.iter().map(|row| Ok((parsed(row, "zone")?, settings(std::slice::from_ref(row))?))).collect()
    }
}
