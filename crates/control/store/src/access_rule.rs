//! Access rules, of users, accounts and zones.

use poterne_model::{
    AccessRuleId, Timestamp,
    access_rule::{AccessConfiguration, AccessMode, AccessRule, AccessScope, AccessTarget},
};

use crate::{
    Session, StoreError,
    database::{Query, Row, query},
    rows::{cell, changed, inserted, parsed},
};

/// A statement whose first three parameters are person, account and zone.
fn of(scope: AccessScope, sql: &'static str) -> Query {
    let (person, account, zone) = match scope {
        AccessScope::User(id) => (Some(id.to_string()), None, None),
        AccessScope::Account(id) => (None, Some(id.to_string()), None),
        AccessScope::Zone(id) => (None, None, Some(id.to_string())),
    };
    query(sql).bind(person).bind(account).bind(zone)
}

impl Session {
    /// A new rule. Conflict when its scope has one for the same already.
    pub async fn insert_access_rule(&mut self, rule: &AccessRule) -> Result<(), StoreError> {
        let statement = "INSERT INTO access_rule (person, account, zone, id, mode, target, value, notes, created_at, modified_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING";
        let done = of(rule.scope, statement)
            .bind(rule.id.to_string())
            .bind(rule.mode.as_str())
            .bind(rule.configuration.target.as_str())
            .bind(&rule.configuration.value)
            .bind(&rule.notes)
            .bind(rule.created_on.as_micros())
            .bind(rule.modified_on.as_micros())
            .execute(self.connection())
            .await?;
        inserted(done, "access rule")
    }

    /// Changes a rule's mode and notes.
    pub async fn update_access_rule(&mut self, rule: &AccessRule) -> Result<(), StoreError> {
        let done = query("UPDATE access_rule SET mode = $2, notes = $3, modified_at = $4 WHERE id = $1")
            .bind(rule.id.to_string())
            .bind(rule.mode.as_str())
            .bind(&rule.notes)
            .bind(rule.modified_on.as_micros())
            .execute(self.connection())
            .await?;
        changed(done, "access rule")
    }

    /// Takes a rule away.
    pub async fn delete_access_rule(&mut self, id: AccessRuleId) -> Result<(), StoreError> {
        let done = query("DELETE FROM access_rule WHERE id = $1").bind(id.to_string()).execute(self.connection()).await?;
        changed(done, "access rule")
    }

    /// A scope's rules, newest first.
    pub async fn access_rules(&mut self, scope: AccessScope) -> Result<Vec<AccessRule>, StoreError> {
        let statement = "SELECT * FROM access_rule WHERE person = $1 OR account = $2 OR zone = $3 ORDER BY created_at DESC, id";
        let rows = of(scope, statement).fetch_all(self.connection()).await?;
        rows.iter().map(|row| rule(row, scope)).collect()
    }

    /// How many rules a scope has.
    pub async fn access_rule_count(&mut self, scope: AccessScope) -> Result<u64, StoreError> {
        let statement = "SELECT count(*) AS count FROM access_rule WHERE person = $1 OR account = $2 OR zone = $3";
        Ok(cell::<i64>(&of(scope, statement).fetch_one(self.connection()).await?, "count")?.unsigned_abs())
    }

    /// One of a scope's rules.
    pub async fn access_rule(&mut self, scope: AccessScope, id: AccessRuleId) -> Result<Option<AccessRule>, StoreError> {
        let statement = "SELECT * FROM access_rule WHERE (person = $1 OR account = $2 OR zone = $3) AND id = $4";
        let row = of(scope, statement).bind(id.to_string()).fetch_optional(self.connection()).await?;
        row.map(|row| rule(&row, scope)).transpose()
    }

    /// The scope's rule that means the same.
    pub async fn access_rule_for(
        &mut self,
        scope: AccessScope,
        configuration: &AccessConfiguration,
    ) -> Result<Option<AccessRule>, StoreError> {
        let statement =
            "SELECT * FROM access_rule WHERE (person = $1 OR account = $2 OR zone = $3) AND target = $4 AND value = $5";
        let row = of(scope, statement).bind(configuration.target.as_str()).bind(&configuration.value);
        row.fetch_optional(self.connection()).await?.map(|row| rule(&row, scope)).transpose()
    }
}

fn rule(row: &Row, scope: AccessScope) -> Result<AccessRule, StoreError> {
    let (mode, target): (&str, &str) = (cell(row, "mode")?, cell(row, "target")?);
    let damaged = || StoreError::Damaged { what: "access rule", why: format!("it is {mode:?} for {target:?}") };
    Ok(AccessRule {
        id: parsed(row, "id")?,
        scope,
        mode: AccessMode::of_word(mode).ok_or_else(damaged)?,
        configuration: AccessConfiguration {
            target: AccessTarget::of_word(target).ok_or_else(damaged)?,
            value: cell(row, "value")?,
        },
        notes: cell(row, "notes")?,
        created_on: Timestamp::from_micros(cell(row, "created_at")?),
        modified_on: Timestamp::from_micros(cell(row, "modified_at")?),
    })
}
