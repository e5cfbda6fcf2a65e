//! Rulesets, and a version of each for every change. Those of a zone are touched with it, and those of an account with that.

use std::collections::HashMap;

use poterne_model::{
    AccountId, RulesetId, Timestamp, ZoneId,
    ruleset::{Kind, Phase, Rule, Ruleset},
};

use crate::{
    Session, StoreError,
    database::{Query, Row, query},
    rows::{cell, changed, inserted, number, parsed},
    touched::Touched,
};

/// Most versions of a ruleset that are kept; older ones go.
pub const RULESET_VERSIONS_MAX: u32 = 100;

/// Whose a ruleset is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RulesetOwner {
    /// An account's.
    Account(AccountId),
    /// A zone's.
    Zone(ZoneId),
}

impl RulesetOwner {
    fn cells(self) -> (Option<String>, Option<String>) {
        match self {
            Self::Account(id) => (Some(id.to_string()), None),
            Self::Zone(id) => (None, Some(id.to_string())),
        }
    }

    /// A statement whose first two parameters are account and zone.
    fn of(self, sql: &'static str) -> Query {
        let (account, zone) = self.cells();
        query(sql).bind(account).bind(zone)
    }
}

impl Session {
    /// A new ruleset, with its first version. Conflict when the phase has an entry point already.
    pub async fn insert_ruleset(&mut self, owner: RulesetOwner, ruleset: &Ruleset) -> Result<(), StoreError> {
        let statement = "INSERT INTO ruleset (account, zone, id, kind, phase, name, description, version, last_updated)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING";
        let done = owner
            .of(statement)
            .bind(ruleset.id.to_string())
            .bind(ruleset.kind.as_str())
            .bind(ruleset.phase.as_str())
            .bind(&ruleset.name)
            .bind(&ruleset.description)
            .bind(version(ruleset.version))
            .bind(ruleset.last_updated.as_micros())
            .execute(self.connection())
            .await?;
        inserted(done, "ruleset")?;
        self.insert_ruleset_version(ruleset).await?;
        self.touch_ruleset(ruleset.id).await
    }

    /// Says that what edges obey of a zone changed; of an account, and of its zones that execute the ruleset.
    pub(crate) async fn touch_ruleset(&mut self, id: RulesetId) -> Result<(), StoreError> {
        let statement = query("SELECT account, zone FROM ruleset WHERE id = $1").bind(id.to_string());
        let Some(row) = statement.fetch_optional(self.connection()).await? else { return Ok(()) };
        let (account, zone): (Option<&str>, Option<&str>) = (cell(&row, "account")?, cell(&row, "zone")?);
        if zone.is_some() {
            return self.touch(&Touched::Zone(parsed(&row, "zone")?)).await;
        }
        if account.is_none() {
            return Ok(());
        }
        self.touch(&Touched::Account(parsed(&row, "account")?)).await?;
        let statement = "SELECT ruleset.zone FROM ruleset
            JOIN ruleset_version AS newest ON newest.ruleset = ruleset.id AND newest.version = ruleset.version
            JOIN zone ON zone.id = ruleset.zone
            WHERE zone.account = $1 AND ruleset.kind = 'zone' AND newest.rules LIKE $2 ESCAPE '\\'";
        let statement = query(statement).bind(account).bind(crate::rows::containing(&id.to_string()));
        for row in &statement.fetch_all(self.connection()).await? {
            self.touch(&Touched::Zone(parsed(row, "zone")?)).await?;
        }
        Ok(())
    }

    /// The next version of a ruleset. The oldest beyond [`RULESET_VERSIONS_MAX`] go.
    pub async fn update_ruleset(&mut self, ruleset: &Ruleset) -> Result<(), StoreError> {
        let statement = "UPDATE ruleset SET name = $2, description = $3, version = $4, last_updated = $5 WHERE id = $1";
        let done = query(statement)
            .bind(ruleset.id.to_string())
            .bind(&ruleset.name)
            .bind(&ruleset.description)
            .bind(version(ruleset.version))
            .bind(ruleset.last_updated.as_micros())
            .execute(self.connection())
            .await?;
        changed(done, "ruleset")?;
        self.insert_ruleset_version(ruleset).await?;
        query("DELETE FROM ruleset_version WHERE ruleset = $1 AND version <= $2")
            .bind(ruleset.id.to_string())
            .bind(version(ruleset.version) - i64::from(RULESET_VERSIONS_MAX))
            .execute(self.connection())
            .await?;
        self.touch_ruleset(ruleset.id).await
    }

    async fn insert_ruleset_version(&mut self, ruleset: &Ruleset) -> Result<(), StoreError> {
        let statement = "INSERT INTO ruleset_version (ruleset, version, name, description, rules, last_updated)
            VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
        let done = query(statement)
            .bind(ruleset.id.to_string())
            .bind(version(ruleset.version))
            .bind(&ruleset.name)
            .bind(&ruleset.description)
            .bind(serde_json::to_string(&ruleset.rules).expect("the model's types are always JSON"))
            .bind(ruleset.last_updated.as_micros())
            .execute(self.connection())
            .await?;
        inserted(done, "ruleset version")
    }

    /// An owner's rulesets without their rules, by id.
    pub async fn rulesets(&mut self, owner: RulesetOwner) -> Result<Vec<Ruleset>, StoreError> {
        let statement = "SELECT *, '[]' AS rules FROM ruleset WHERE account = $1 OR zone = $2 ORDER BY id";
        owner.of(statement).fetch_all(self.connection()).await?.iter().map(ruleset).collect()
    }

    /// How many rulesets an owner has.
    pub async fn ruleset_count(&mut self, owner: RulesetOwner) -> Result<u64, StoreError> {
        let row = owner.of("SELECT count(*) AS count FROM ruleset WHERE account = $1 OR zone = $2");
        Ok(cell::<i64>(&row.fetch_one(self.connection()).await?, "count")?.unsigned_abs())
    }

    /// One of an owner's rulesets, whole.
    pub async fn ruleset(&mut self, owner: RulesetOwner, id: RulesetId) -> Result<Option<Ruleset>, StoreError> {
        let statement = "SELECT ruleset.*, newest.rules FROM ruleset
            JOIN ruleset_version AS newest ON newest.ruleset = ruleset.id AND newest.version = ruleset.version
            WHERE (account = $1 OR zone = $2) AND id = $3";
        let row = owner.of(statement).bind(id.to_string()).fetch_optional(self.connection()).await?;
        row.as_ref().map(ruleset).transpose()
    }

    /// The entry point of an owner's phase, whole.
    pub async fn entry_point(&mut self, owner: RulesetOwner, phase: Phase) -> Result<Option<Ruleset>, StoreError> {
        let statement = "SELECT ruleset.*, newest.rules FROM ruleset
            JOIN ruleset_version AS newest ON newest.ruleset = ruleset.id AND newest.version = ruleset.version
            WHERE (account = $1 OR zone = $2) AND phase = $3 AND kind <> 'custom'";
        let row = owner.of(statement).bind(phase.as_str()).fetch_optional(self.connection()).await?;
        row.as_ref().map(ruleset).transpose()
    }

    /// The entry points of one zone's phases, or of every zone's, whole, by zone.
    pub async fn zone_entry_points(&mut self, zone: Option<ZoneId>) -> Result<HashMap<ZoneId, Vec<Ruleset>>, StoreError> {
        let statement = "SELECT ruleset.*, newest.rules FROM ruleset
            JOIN ruleset_version AS newest ON newest.ruleset = ruleset.id AND newest.version = ruleset.version
            WHERE kind = 'zone' AND (zone = $1 OR ($1 IS NULL AND zone IS NOT NULL))";
        let rows = query(statement).bind(zone.map(|id| id.to_string())).fetch_all(self.connection()).await?;
        let mut by_zone: HashMap<ZoneId, Vec<Ruleset>> = HashMap::new();
        for row in &rows {
            by_zone.entry(parsed(row, "zone")?).or_default().push(ruleset(row)?);
        }
        Ok(by_zone)
    }

    /// The entry points of one account's phases, or of every account's, whole, by account.
    pub async fn account_entry_points(
        &mut self,
        account: Option<AccountId>,
    ) -> Result<HashMap<AccountId, Vec<Ruleset>>, StoreError> {
        let statement = "SELECT ruleset.*, newest.rules FROM ruleset
            JOIN ruleset_version AS newest ON newest.ruleset = ruleset.id AND newest.version = ruleset.version
            WHERE kind = 'root' AND (account = $1 OR ($1 IS NULL AND account IS NOT NULL))";
        let rows = query(statement).bind(account.map(|id| id.to_string())).fetch_all(self.connection()).await?;
        let mut by_account: HashMap<AccountId, Vec<Ruleset>> = HashMap::new();
        for row in &rows {
            by_account.entry(parsed(row, "account")?).or_default().push(ruleset(row)?);
        }
        Ok(by_account)
    }

    /// The custom rulesets that entry points of an account, or of one of its zones, may execute, whole.
    pub async fn custom_rulesets(&mut self, account: AccountId, zone: Option<ZoneId>) -> Result<Vec<Ruleset>, StoreError> {
        let statement = "SELECT ruleset.*, newest.rules FROM ruleset
            JOIN ruleset_version AS newest ON newest.ruleset = ruleset.id AND newest.version = ruleset.version
            WHERE kind = 'custom' AND (account = $1 OR zone = $2) ORDER BY ruleset.id";
        let statement = query(statement).bind(account.to_string()).bind(zone.map(|id| id.to_string()));
        statement.fetch_all(self.connection()).await?.iter().map(ruleset).collect()
    }

    /// Takes a ruleset away, with all its versions.
    pub async fn delete_ruleset(&mut self, id: RulesetId) -> Result<(), StoreError> {
        self.touch_ruleset(id).await?;
        let done = query("DELETE FROM ruleset WHERE id = $1").bind(id.to_string()).execute(self.connection()).await?;
        changed(done, "ruleset")
    }

    /// A ruleset's versions without their rules, newest first.
    pub async fn ruleset_versions(&mut self, id: RulesetId) -> Result<Vec<Ruleset>, StoreError> {
        let statement =
            "SELECT ruleset.id, ruleset.kind, ruleset.phase, old.version, old.name, old.description, old.last_updated,
            '[]' AS rules FROM ruleset JOIN ruleset_version AS old ON old.ruleset = ruleset.id
            WHERE ruleset.id = $1 ORDER BY old.version DESC";
        query(statement).bind(id.to_string()).fetch_all(self.connection()).await?.iter().map(ruleset).collect()
    }

    /// One of a ruleset's versions, whole.
    pub async fn ruleset_version(&mut self, id: RulesetId, number: u64) -> Result<Option<Ruleset>, StoreError> {
        let statement =
            "SELECT ruleset.id, ruleset.kind, ruleset.phase, old.version, old.name, old.description, old.last_updated,
            old.rules FROM ruleset JOIN ruleset_version AS old ON old.ruleset = ruleset.id
            WHERE ruleset.id = $1 AND old.version = $2";
        let row = query(statement).bind(id.to_string()).bind(version(number)).fetch_optional(self.connection()).await?;
        row.as_ref().map(ruleset).transpose()
    }

    /// Takes one of a ruleset's older versions away.
    pub async fn delete_ruleset_version(&mut self, id: RulesetId, number: u64) -> Result<(), StoreError> {
        let statement = query("DELETE FROM ruleset_version WHERE ruleset = $1 AND version = $2").bind(id.to_string());
        changed(statement.bind(version(number)).execute(self.connection()).await?, "ruleset version")
    }

    /// The rules in force of an account and of its zones that have this text somewhere in them.
    pub async fn rules_with(&mut self, account: AccountId, text: &str) -> Result<Vec<Rule>, StoreError> {
        let statement = "SELECT newest.rules FROM ruleset
            JOIN ruleset_version AS newest ON newest.ruleset = ruleset.id AND newest.version = ruleset.version
            LEFT JOIN zone ON zone.id = ruleset.zone
            WHERE (ruleset.account = $1 OR zone.account = $1) AND newest.rules LIKE $2 ESCAPE '\\'";
        let pattern = crate::rows::containing(text);
        let rows = query(statement).bind(account.to_string()).bind(pattern).fetch_all(self.connection()).await?;
        let mut found = Vec::new();
        for row in &rows {
            found.extend(rules(row)?);
        }
        Ok(found)
    }
}

/// Numbers beyond what the engines count are versions that nobody has.
fn version(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn rules(row: &Row) -> Result<Vec<Rule>, StoreError> {
    serde_json::from_str(cell(row, "rules")?).map_err(|error| damaged(error.to_string()))
}

fn damaged(why: String) -> StoreError {
    StoreError::Damaged { what: "ruleset", why }
}

fn ruleset(row: &Row) -> Result<Ruleset, StoreError> {
    let (kind, phase): (&str, &str) = (cell(row, "kind")?, cell(row, "phase")?);
    Ok(Ruleset {
        id: parsed(row, "id")?,
        name: cell(row, "name")?,
        description: cell(row, "description")?,
        kind: Kind::of_word(kind).ok_or_else(|| damaged(format!("its kind is {kind:?}")))?,
        phase: Phase::of_word(phase).ok_or_else(|| damaged(format!("its phase is {phase:?}")))?,
        version: number(row, "version")?,
        last_updated: Timestamp::from_micros(cell(row, "last_updated")?),
        rules: rules(row)?,
    })
}
