//! Zones.

use poterne_model::{AccountId, Name, Timestamp, ZoneId, ZoneStatus, delegation::Watch, name::ancestors};

use crate::{
    Micros, Session, StoreError,
    database::{Row, query},
    rows::{cell, changed, inserted, parse, parsed, parsed_optional},
    select::Select,
    touched::Touched,
};

/// How long after it was added a zone is first looked at, at most: one born active, too.
const FIRST_LOOK_SECS: i64 = 60;

/// Names that are looked for at once.
const NAMES: usize = 4;

/// A zone without its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// Its id.
    pub id: ZoneId,
    /// Its owner.
    pub account: AccountId,
    /// Its name.
    pub apex: Name,
    /// Where it stands in its life.
    pub status: ZoneStatus,
    /// The name servers assigned to it: two, or none while this instance has no names for them.
    pub name_servers: Vec<Name>,
    /// Its names are answered, and not proxied.
    pub paused: bool,
    /// Its names are answered by its owner's own name servers, and lead here by CNAMEs.
    pub partial: bool,
    /// When it was added.
    pub created_at: Micros,
    /// When it was last changed.
    pub modified_at: Micros,
    /// When it began to serve.
    pub activated_at: Option<Micros>,
}

impl Session {
    /// A new zone. Conflict when the account has it already, or when it is born serving and another serves that name.
    pub async fn insert_zone(&mut self, zone: &Zone) -> Result<(), StoreError> {
        let statement =
            "INSERT INTO zone (id, account, name, status, name_server_1, name_server_2, created_at, modified_at, activated_at, paused,
                partial)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING";
        let done = query(statement)
            .bind(zone.id.to_string())
            .bind(zone.account.to_string())
            .bind(zone.apex.as_str())
            .bind(zone.status.as_str())
            .bind(zone.name_servers.first().map(Name::as_str))
            .bind(zone.name_servers.get(1).map(Name::as_str))
            .bind(zone.created_at)
            .bind(zone.modified_at)
            .bind(zone.activated_at)
            .bind(zone.paused)
            .bind(zone.partial)
            .execute(self.connection())
            .await?;
        inserted(done, "zone")?;
        let first_look_secs = Watch::new(zone.status).wait_secs().min(FIRST_LOOK_SECS);
        self.begin_watch(zone.id, Timestamp::from_micros(zone.created_at).plus_secs(first_look_secs).as_micros()).await?;
        self.touch(&Touched::Zone(zone.id)).await
    }

    /// Every zone of an account, or of all, by name.
    pub async fn zones(&mut self, account: Option<AccountId>) -> Result<Vec<Zone>, StoreError> {
        let statement =
            "SELECT * FROM zone WHERE deleted_at IS NULL AND (CAST($1 AS TEXT) IS NULL OR account = $1) ORDER BY name, id";
        let rows = query(statement).bind(account.map(|id| id.to_string())).fetch_all(self.connection()).await?;
        rows.iter().map(zone).collect()
    }

    /// An account's zone of exactly this name.
    pub async fn zone_named(&mut self, account: AccountId, apex: &Name) -> Result<Option<Zone>, StoreError> {
        let row = query("SELECT * FROM zone WHERE account = $1 AND name = $2")
            .bind(account.to_string())
            .bind(apex.as_str())
            .fetch_optional(self.connection())
            .await?;
        row.as_ref().map(zone).transpose()
    }

    /// The account's most specific zone that a name lies in, serving or not.
    pub async fn zone_of_account_over(&mut self, account: AccountId, name: &Name) -> Result<Option<Zone>, StoreError> {
        let mut select = over(name);
        select.sql(" AND account = ").value(account.to_string());
        Ok(self.longest_first(select).await?.into_iter().next())
    }

    /// The most specific serving zone of any account that a name lies in.
    pub async fn serving_zone_over(&mut self, name: &Name) -> Result<Option<Zone>, StoreError> {
        let mut select = over(name);
        select.sql(" AND status IN ('active', 'moved')");
        Ok(self.longest_first(select).await?.into_iter().next())
    }

    /// The zones that a name lies in and that serve or are the account's, the most specific first.
    pub async fn zones_for(&mut self, account: AccountId, name: &Name) -> Result<Vec<Zone>, StoreError> {
        let mut select = over(name);
        select.sql(" AND (account = ").value(account.to_string()).sql(" OR status IN ('active', 'moved'))");
        self.longest_first(select).await
    }

    async fn longest_first(&mut self, mut select: Select) -> Result<Vec<Zone>, StoreError> {
        select.sql(" ORDER BY length(name) DESC, id");
        select.fetch_all(self.connection()).await?.iter().map(zone).collect()
    }

    /// The name of every zone of every account, each once.
    pub async fn zone_names(&mut self) -> Result<Vec<Name>, StoreError> {
        // As one text: a row costs more to hand over than all that is in it.
        let statement =
            "SELECT string_agg(name, ' ') AS names FROM (SELECT DISTINCT name FROM zone WHERE deleted_at IS NULL) AS named";
        let statement = query(statement);
        let row = statement.fetch_one(self.connection()).await?;
        let names = cell::<Option<&str>>(&row, "names")?.unwrap_or_default();
        names.split(' ').filter(|name| !name.is_empty()).map(|name| parse(name, "zone")).collect()
    }

    /// The zones that wait for their delegation, by name.
    pub async fn zones_pending(&mut self) -> Result<Vec<Zone>, StoreError> {
        let statement = query("SELECT * FROM zone WHERE status = 'pending' AND deleted_at IS NULL ORDER BY name, id");
        statement.fetch_all(self.connection()).await?.iter().map(zone).collect()
    }

    /// A zone by id; none where it was deleted.
    pub async fn zone(&mut self, id: ZoneId) -> Result<Option<Zone>, StoreError> {
        let statement = query("SELECT * FROM zone WHERE id = $1 AND deleted_at IS NULL").bind(id.to_string());
        statement.fetch_optional(self.connection()).await?.as_ref().map(zone).transpose()
    }

    /// Pauses a zone, or goes on with it.
    pub async fn set_zone_paused(&mut self, id: ZoneId, paused: bool, now: Micros) -> Result<(), StoreError> {
        let statement = query("UPDATE zone SET paused = $2, modified_at = $3 WHERE id = $1").bind(id.to_string());
        changed(statement.bind(paused).bind(now).execute(self.connection()).await?, "zone")?;
        self.touch(&Touched::Zone(id)).await
    }

    /// Takes a zone away with all that is in it, for good.
    pub async fn delete_zone(&mut self, id: ZoneId) -> Result<(), StoreError> {
        let done = query("DELETE FROM zone WHERE id = $1").bind(id.to_string()).execute(self.connection()).await?;
        changed(done, "zone")?;
        self.touch(&Touched::Zone(id)).await
    }

    /// Changes a zone's status. Conflict when another account's zone of that name serves.
    pub async fn set_zone_status(&mut self, id: ZoneId, status: ZoneStatus, now: Micros) -> Result<(), StoreError> {
        if status.serves() {
            let statement = "SELECT 1 AS one FROM zone AS other JOIN zone ON zone.name = other.name
                WHERE zone.id = $1 AND other.id <> zone.id AND other.status IN ('active', 'moved')";
            if query(statement).bind(id.to_string()).fetch_optional(self.connection()).await?.is_some() {
                return Err(StoreError::Conflict("zone"));
            }
        }
        let statement = "UPDATE zone SET status = $1, modified_at = $2,
            activated_at = CASE WHEN $1 = 'active' THEN coalesce(activated_at, $2) ELSE activated_at END WHERE id = $3";
        let done = query(statement).bind(status.as_str()).bind(now).bind(id.to_string()).execute(self.connection()).await?;
        changed(done, "zone")?;
        self.touch(&Touched::Zone(id)).await
    }
}

/// Zones whose name is this one or one that it lies in.
pub(crate) fn over(name: &Name) -> Select {
    // Statements are prepared by their text: as many parameters as nearly every name needs, so that there are few texts.
    let mut names: Vec<String> = ancestors(name.as_str()).map(str::to_owned).collect();
    names.resize(names.len().next_multiple_of(NAMES), name.to_string());
    let mut select = Select::new("SELECT * FROM zone WHERE ");
    select.one_of("name", names);
    select
}

pub(crate) fn status(word: &str) -> Result<ZoneStatus, StoreError> {
    let known = ZoneStatus::ALL.into_iter().find(|status| status.as_str() == word);
    known.ok_or_else(|| StoreError::Damaged { what: "zone", why: format!("its status is {word:?}") })
}

pub(crate) fn zone(row: &Row) -> Result<Zone, StoreError> {
    let status = status(cell(row, "status")?)?;
    let name_servers = [parsed_optional(row, "name_server_1")?, parsed_optional(row, "name_server_2")?];
    Ok(Zone {
        id: parsed(row, "id")?,
        account: parsed(row, "account")?,
        apex: parsed(row, "name")?,
        status,
        name_servers: name_servers.into_iter().flatten().collect(),
        paused: cell(row, "paused")?,
        partial: cell(row, "partial")?,
        created_at: cell(row, "created_at")?,
        modified_at: cell(row, "modified_at")?,
        activated_at: cell(row, "activated_at")?,
    })
}
