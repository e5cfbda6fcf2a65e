//! Who did what.

use poterne_model::{AccountId, AuditId, TokenId, UserId, ZoneId};

use crate::{
    Micros, Session, StoreError,
    database::{Row, query},
    rows::{cell, parsed, parsed_optional},
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
    /// Oldest first.
    pub ascending: bool,
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

    /// Those that pass, newest first unless told otherwise; `offset` of them are left out. Also how many there are in all.
    pub async fn audit(&mut self, filter: &AuditFilter, offset: u64, count: u32) -> Result<(Vec<AuditEvent>, u64), StoreError> {
        let filtered = |statement: &'static str| {
            query(statement)
                .bind(filter.account.map(|id| id.to_string()))
                .bind(filter.person.map(|id| id.to_string()))
                .bind(filter.since.unwrap_or(Micros::MIN))
                .bind(filter.before.unwrap_or(Micros::MAX))
                .bind(filter.id.map(|id| id.to_string()))
        };
        let all = filtered(
            "SELECT count(*) AS count FROM audit WHERE (CAST($1 AS TEXT) IS NULL OR account = $1)
            AND (CAST($2 AS TEXT) IS NULL OR actor = $2) AND at >= $3 AND at < $4 AND (CAST($5 AS TEXT) IS NULL OR id = $5)",
        );
        let total = cell::<i64>(&all.fetch_one(self.connection()).await?, "count")?.unsigned_abs();
        let statement = if filter.ascending {
            "SELECT * FROM audit WHERE (CAST($1 AS TEXT) IS NULL OR account = $1)
            AND (CAST($2 AS TEXT) IS NULL OR actor = $2) AND at >= $3 AND at < $4 AND (CAST($5 AS TEXT) IS NULL OR id = $5)
            ORDER BY at, id LIMIT $6 OFFSET $7"
        } else {
            "SELECT * FROM audit WHERE (CAST($1 AS TEXT) IS NULL OR account = $1)
            AND (CAST($2 AS TEXT) IS NULL OR actor = $2) AND at >= $3 AND at < $4 AND (CAST($5 AS TEXT) IS NULL OR id = $5)
            ORDER BY at DESC, id DESC LIMIT $6 OFFSET $7"
        };
        let offset = i64::try_from(offset).unwrap_or(i64::MAX);
        let rows = filtered(statement).bind(i64::from(count)).bind(offset).fetch_all(self.connection()).await?;
        Ok((rows.iter().map(event).collect::<Result<_, _>>()?, total))
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
