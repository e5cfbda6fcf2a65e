//! Who did what.

use poterne_model::{AccountId, AuditId, TokenId, UserId, ZoneId};

use crate::{
    Micros, Session, StoreError,
    database::{Row, query},
    rows::{cell, parsed, parsed_optional},
    select::Select,
};

/// One change, as it is told afterwards. No secret is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// Its id.
    pub id: AuditId,
    /// When.
    pub at: Micros,
    /// In which account.
    pub account: Option<AccountId>,
    /// In which zone, and what it was called then.
    pub zone: Option<(ZoneId, String)>,
    /// By whom.
    pub actor: Actor,
    /// Through which door: `API`, `UI` or `operator`.
    pub door: String,
    /// The request's Ray id.
    pub ray: Option<String>,
    /// What was done: `add`, `set`, `delete`, `rec_add` and the like.
    pub action: String,
    /// To what kind of thing.
    pub resource_kind: String,
    /// To which.
    pub resource: String,
    /// As it was, JSON.
    pub old_value: Option<String>,
    /// As it is, JSON.
    pub new_value: Option<String>,
}

/// Who did it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Actor {
    /// `user`, `account` (its own token) or `system` (the operator, and Poterne itself).
    pub kind: String,
    /// The person.
    pub person: Option<UserId>,
    /// Their address, as it was.
    pub email: Option<String>,
    /// From where.
    pub ip: Option<String>,
    /// With which token, and what it was called then.
    pub token: Option<(TokenId, String)>,
}

/// Which events are wanted.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Of this account.
    pub account: Option<AccountId>,
    /// By this person.
    pub person: Option<UserId>,
    /// From this instant on.
    pub since: Option<Micros>,
    /// Before this one.
    pub before: Option<Micros>,
    /// Only this one.
    pub id: Option<AuditId>,
    /// That did this.
    pub action: Option<String>,
    /// By whoever had this address.
    pub actor_email: Option<String>,
    /// From there.
    pub actor_ip: Option<String>,
    /// In the zone that was called so.
    pub zone_name: Option<String>,
    /// Only what happened in some account.
    pub in_accounts: bool,
    /// Only what comes after this one, in the order asked for.
    pub after: Option<(Micros, AuditId)>,
    /// Oldest first.
    pub ascending: bool,
}

impl AuditFilter {
    fn select(&self, begin: &'static str) -> Select {
        let mut select = Select::new(begin);
        select.sql(" FROM audit WHERE ");
        let mut conditions = select.conditions(false);
        conditions.add_some(self.account, |select, id| select.sql("account = ").value(id.to_string()));
        conditions.add_some(self.person, |select, id| select.sql("actor = ").value(id.to_string()));
        conditions.add_some(self.since, |select, at| select.sql("at >= ").value(at));
        conditions.add_some(self.before, |select, at| select.sql("at < ").value(at));
        conditions.add_some(self.id, |select, id| select.sql("id = ").value(id.to_string()));
        conditions.add_some(self.action.as_ref(), |select, action| select.sql("action = ").value(action));
        conditions.add_some(self.actor_email.as_ref(), |select, email| select.sql("actor_email = ").value(email));
        conditions.add_some(self.actor_ip.as_ref(), |select, ip| select.sql("actor_ip = ").value(ip));
        conditions.add_some(self.zone_name.as_ref(), |select, name| select.sql("zone_name = ").value(name));
        conditions.add_some(self.in_accounts.then_some(()), |select, ()| select.sql("account IS NOT NULL"));
        conditions.end();
        select
    }

    /// Those that pass, in their order, from the one on that they are to begin after.
    pub(crate) fn ordered(&self) -> Select {
        let mut select = self.select("SELECT *");
        let (after, order) = match self.ascending {
            true => (" AND (at, id) > (", " ORDER BY at, id"),
            false => (" AND (at, id) < (", " ORDER BY at DESC, id DESC"),
        };
        if let Some((at, id)) = self.after {
            select.sql(after).value(at).sql(", ").value(id.to_string()).sql(")");
        }
        select.sql(order);
        select
    }
}

impl Session {
    /// Adds one.
    pub async fn insert_audit(&mut self, event: &AuditEvent) -> Result<(), StoreError> {
        let statement = "INSERT INTO audit (id, at, account, zone, zone_name, actor_kind, actor, actor_email, actor_ip, token,
            token_name, door, ray, action, resource_kind, resource, old_value, new_value)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)";
        let zone = event.zone.as_ref();
        let token = event.actor.token.as_ref();
        query(statement)
            .bind(event.id.to_string())
            .bind(event.at)
            .bind(event.account.map(|id| id.to_string()))
            .bind(zone.map(|(id, _)| id.to_string()))
            .bind(zone.map(|(_, name)| name.as_str()))
            .bind(&event.actor.kind)
            .bind(event.actor.person.map(|id| id.to_string()))
            .bind(&event.actor.email)
            .bind(&event.actor.ip)
            .bind(token.map(|(id, _)| id.to_string()))
            .bind(token.map(|(_, name)| name.as_str()))
            .bind(&event.door)
            .bind(&event.ray)
            .bind(&event.action)
            .bind(&event.resource_kind)
            .bind(&event.resource)
            .bind(&event.old_value)
            .bind(&event.new_value)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Those that pass, newest first unless told otherwise; `offset` of them are left out.
    pub async fn audit(&mut self, filter: &AuditFilter, offset: u64, count: u32) -> Result<Vec<AuditEvent>, StoreError> {
        let mut select = filter.ordered();
        select.page(offset, count);
        select.fetch_all(self.connection()).await?.iter().map(event).collect()
    }

    /// How many there are in all, wherever one begins.
    pub async fn audit_count(&mut self, filter: &AuditFilter) -> Result<u64, StoreError> {
        filter.select("SELECT count(*) AS count").fetch_count(self.connection()).await
    }
}

fn event(row: &Row) -> Result<AuditEvent, StoreError> {
    let name = |column| Ok::<_, StoreError>(cell::<Option<String>>(row, column)?.unwrap_or_default());
    let zone = match parsed_optional(row, "zone")? {
        Some(id) => Some((id, name("zone_name")?)),
        None => None,
    };
    let token = match parsed_optional(row, "token")? {
        Some(id) => Some((id, name("token_name")?)),
        None => None,
    };
    Ok(AuditEvent {
        id: parsed(row, "id")?,
        at: cell(row, "at")?,
        account: parsed_optional(row, "account")?,
        zone,
        actor: Actor {
            kind: cell(row, "actor_kind")?,
            person: parsed_optional(row, "actor")?,
            email: cell(row, "actor_email")?,
            ip: cell(row, "actor_ip")?,
            token,
        },
        door: cell(row, "door")?,
        ray: cell(row, "ray")?,
        action: cell(row, "action")?,
        resource_kind: cell(row, "resource_kind")?,
        resource: cell(row, "resource")?,
        old_value: cell(row, "old_value")?,
        new_value: cell(row, "new_value")?,
    })
}
