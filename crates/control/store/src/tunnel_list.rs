//! Part of an account's tunnels, filtered (api-v4 §6.1), and what is told of many at once.

use std::collections::HashMap;

use poterne_model::{
    AccountId, TunnelId, TunnelStatus,
    tunnel::{DEGRADED_AFTER_SECS, DOWN_AFTER_SECS, connections_wanted},
};

use crate::{
    Micros, Session, StoreError, TextMatch, Tunnel,
    rows::{cell, parsed},
    select::{Select, total_told},
    tunnel::tunnel,
};

/// Which tunnels of an account. What is not asked lets every tunnel pass, deleted ones too.
#[derive(Debug, Clone, Default)]
pub struct TunnelFilter {
    /// Only this one.
    pub id: Option<TunnelId>,
    /// Called so.
    pub name: Option<String>,
    /// Called so at the beginning; one of these is enough.
    pub prefixes: Vec<String>,
    /// And so not at the beginning.
    pub excluded: Vec<String>,
    /// Deleted ones, or those that live.
    pub deleted: Option<bool>,
    /// That were there then.
    pub existed_at: Option<Micros>,
    /// Connected, since that time or before it.
    pub active_at: Option<Micros>,
    /// Not connected any more, since that time or before it.
    pub inactive_at: Option<Micros>,
    /// How they are: one of these, if any is named.
    pub statuses: Option<StatusFilter>,
}

/// How tunnels are. The database says what [`poterne_model::tunnel::status`] says.
#[derive(Debug, Clone)]
pub struct StatusFilter {
    /// One of these is enough.
    pub wanted: Vec<TunnelStatus>,
    /// How many nodes agents connect to; 0 counts as 1.
    pub nodes: usize,
    /// The instant.
    pub now: Micros,
}

const MICROS: Micros = 1_000_000;

impl TunnelFilter {
    pub(crate) fn select(&self, begin: &'static str, account: AccountId) -> Select {
        let mut select = Select::new(begin);
        select.sql(" FROM tunnel WHERE account = ").value(account.to_string()).sql(" AND ");
        let mut conditions = select.conditions(false);
        conditions.add_some(self.id, |select, id| select.sql("id = ").value(id.to_string()));
        conditions.add_some(self.name.as_ref(), |select, name| select.sql("name = ").value(name));
        if !self.prefixes.is_empty() {
            conditions.add(|select| starts(select, &self.prefixes));
        }
        if !self.excluded.is_empty() {
            conditions.add(|select| starts(select.sql("NOT ("), &self.excluded).sql(")"));
        }
        conditions.add_some(self.deleted, |select, deleted| {
            select.sql(if deleted { "deleted_at IS NOT NULL" } else { "deleted_at IS NULL" })
        });
        conditions.add_some(self.existed_at, |select, at| {
            select.sql("created_at <= ").value(at).sql(" AND (deleted_at IS NULL OR deleted_at > ").value(at).sql(")")
        });
        conditions.add_some(self.active_at, |select, at| select.sql("conns_active_at <= ").value(at));
        conditions.add_some(self.inactive_at, |select, at| select.sql("conns_inactive_at <= ").value(at));
        conditions.add_some(self.statuses.as_ref(), |select, statuses| {
            let mut any = select.conditions(true);
            for status in &statuses.wanted {
                any.add(|select| statuses.say(*status, select));
            }
            if statuses.wanted.is_empty() {
                any.add(|select| select.sql("1 = 0"));
            }
            any.end();
            select
        });
        conditions.end();
        select
    }
}

fn starts<'s>(select: &'s mut Select, prefixes: &[String]) -> &'s mut Select {
    let mut any = select.conditions(true);
    for prefix in prefixes {
        any.add(|select| select.text("name", &TextMatch::StartsWith(prefix.clone())));
    }
    any.end();
    select
}

impl StatusFilter {
    fn say<'s>(&self, status: TunnelStatus, select: &'s mut Select) -> &'s mut Select {
        select.sql("first_connected_at IS ");
        if status == TunnelStatus::Inactive {
            return select.sql("NULL");
        }
        select.sql("NOT NULL AND ");
        match status {
            TunnelStatus::Inactive | TunnelStatus::Healthy => self.is_healthy(select),
            TunnelStatus::Degraded => {
                self.is_healthy(select.sql("NOT "));
                is_connected(select.sql(" AND ("));
                self.lost_within(select.sql(" OR "), DOWN_AFTER_SECS).sql(")")
            }
            TunnelStatus::Down => {
                self.is_healthy(select.sql("NOT "));
                is_connected(select.sql(" AND NOT ("));
                self.lost_within(select.sql(" OR "), DOWN_AFTER_SECS).sql(")")
            }
        }
    }

    /// A connector is whole, or a loss is still forgiven.
    fn is_healthy<'s>(&self, select: &'s mut Select) -> &'s mut Select {
        let wanted = |quick| i64::try_from(connections_wanted(self.nodes, quick)).unwrap_or(i64::MAX);
        select.sql("(EXISTS (SELECT 1 FROM connection WHERE connection.tunnel = tunnel.id AND NOT draining GROUP BY connector");
        select.sql(" HAVING count(*) >= CASE WHEN quick THEN ").value(wanted(true)).sql(" ELSE ").value(wanted(false));
        self.lost_within(select.sql(" END) OR "), DEGRADED_AFTER_SECS).sql(")")
    }

    /// The last loss, or the first connection where there was none, is younger than that; in whole seconds.
    fn lost_within<'s>(&self, select: &'s mut Select, secs: u64) -> &'s mut Select {
        let since = self.now.div_euclid(MICROS).saturating_sub(i64::try_from(secs).unwrap_or(i64::MAX));
        select.sql("coalesce(last_loss_at, first_connected_at) >= ").value(since.saturating_add(1).saturating_mul(MICROS))
    }
}

fn is_connected(select: &mut Select) -> &mut Select {
    select.sql("EXISTS (SELECT 1 FROM connection WHERE connection.tunnel = tunnel.id AND NOT draining)")
}

impl Session {
    /// Part of an account's tunnels that pass, oldest first, and how many pass in all.
    pub async fn tunnel_list(
        &mut self,
        account: AccountId,
        filter: &TunnelFilter,
        offset: u64,
        count: u32,
    ) -> Result<(Vec<Tunnel>, u64), StoreError> {
        let mut select = filter.select("SELECT *", account);
        select.sql(" ORDER BY created_at, id").page(offset, count);
        let rows = select.fetch_all(self.connection()).await?;
        let total = match total_told(offset, count, rows.len()) {
            Some(total) => total,
            None => filter.select("SELECT count(*) AS count", account).fetch_count(self.connection()).await?,
        };
        Ok((rows.iter().map(tunnel).collect::<Result<_, _>>()?, total))
    }

    /// How many of an account's tunnels live.
    pub async fn tunnel_count(&mut self, account: AccountId) -> Result<u64, StoreError> {
        let live = TunnelFilter { deleted: Some(false), ..TunnelFilter::default() };
        live.select("SELECT count(*) AS count", account).fetch_count(self.connection()).await
    }

    /// What these tunnels of an account are called, deleted ones too.
    pub async fn tunnel_names(&mut self, account: AccountId, ids: &[TunnelId]) -> Result<HashMap<TunnelId, String>, StoreError> {
        let mut select = Select::new("SELECT id, name FROM tunnel WHERE account = ");
        select.value(account.to_string()).sql(" AND (").one_of_ids("id", ids.iter().map(TunnelId::to_string).collect()).sql(")");
        let rows = select.fetch_all(self.connection()).await?;
        rows.iter().map(|row| Ok((parsed(row, "id")?, cell(row, "name")?))).collect()
    }
}
