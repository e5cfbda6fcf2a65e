//! Records, one row each; a record set is the rows of one name and type.

use poterne_model::{AccountId, Name, RecordData, RecordId, RecordSet, RecordType, ZoneId, name::ancestors};

use crate::{
    Micros, Session, StoreError, Zone,
    database::{Row, query},
    published::data,
    rows::{cell, inserted, number, parsed},
    touched::Touched,
};

/// A record as the API will show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its id.
    pub id: RecordId,
    /// Its zone.
    pub zone: ZoneId,
    /// Its owner name, absolute.
    pub name: Name,
    /// Its type.
    pub kind: RecordType,
    /// Its data in the API's presentation form.
    pub content: String,
    /// The priority that the API shows beside the content.
    pub priority: Option<u16>,
    /// Seconds; 1 is automatic.
    pub ttl_secs: u32,
    /// Whether the edge stands before it.
    pub proxied: bool,
    /// What else the edge is told of it, JSON.
    pub settings: String,
    /// A person's note.
    pub comment: Option<String>,
    /// `name:value` or `name`.
    pub tags: Vec<String>,
    /// Which part of Poterne made it and may take it away again; none for people's.
    pub managed_by: Option<String>,
    /// When it was made.
    pub created_at: Micros,
    /// When it was last changed.
    pub modified_at: Micros,
    /// When its note was last changed.
    pub comment_modified_at: Option<Micros>,
    /// When its tags were last changed.
    pub tags_modified_at: Option<Micros>,
}

/// Which records a page is of.
#[derive(Debug, Clone, Default)]
pub struct RecordPage {
    /// Of this type alone.
    pub kind: Option<String>,
    /// Proxied ones, or those that are not.
    pub proxied: Option<bool>,
    /// How many come before.
    pub offset: u64,
    /// How many at most.
    pub count: u32,
}

impl Record {
    /// The content as the model reads it.
    pub fn data(&self) -> Result<RecordData, StoreError> {
        data(&self.kind, &self.content)
    }

    /// Record sets of these records, which are of one name.
    pub fn sets(records: &[Record]) -> Result<Vec<RecordSet>, StoreError> {
        let mut sets: Vec<RecordSet> = Vec::new();
        for record in records {
            let data = record.data()?;
            match sets.iter_mut().find(|set| set.kind == record.kind) {
                Some(set) => {
                    set.records.push(data);
                    // One proxied address makes all of the name proxied (edge-behaviour §1.5).
                    set.proxied |= record.proxied;
                }
                None => sets.push(RecordSet {
                    name: record.name.clone(),
                    kind: record.kind.clone(),
                    ttl_secs: record.ttl_secs,
                    proxied: record.proxied,
                    records: vec![data],
                }),
            }
        }
        Ok(sets)
    }
}

impl Session {
    /// A new record. Conflict when the zone has the same one.
    pub async fn insert_record(&mut self, record: &Record) -> Result<(), StoreError> {
        let statement =
            "INSERT INTO record (id, zone, name, type, content, ttl, proxied, comment, tags, managed_by, created_at, modified_at,
            priority, settings, comment_modified_at, tags_modified_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) ON CONFLICT DO NOTHING";
        let done = query(statement)
            .bind(record.id.to_string())
            .bind(record.zone.to_string())
            .bind(record.name.as_str())
            .bind(record.kind.as_str())
            .bind(&record.content)
            .bind(record.ttl_secs)
            .bind(record.proxied)
            .bind(&record.comment)
            .bind(json(&record.tags))
            .bind(&record.managed_by)
            .bind(record.created_at)
            .bind(record.modified_at)
            .bind(record.priority)
            .bind(&record.settings)
            .bind(record.comment_modified_at)
            .bind(record.tags_modified_at)
            .execute(self.connection())
            .await?;
        inserted(done, "record")?;
        self.touch(&Touched::Name(record.zone, record.name.clone())).await
    }

    /// Takes a record away.
    pub async fn delete_record(&mut self, id: RecordId) -> Result<(), StoreError> {
        let row = query("DELETE FROM record WHERE id = $1 RETURNING zone, name").bind(id.to_string());
        let row = row.fetch_optional(self.connection()).await?.ok_or(StoreError::NotFound("record"))?;
        self.touch(&Touched::Name(parsed(&row, "zone")?, parsed(&row, "name")?)).await
    }

    /// A record of a zone by id.
    pub async fn record(&mut self, zone: ZoneId, id: RecordId) -> Result<Option<Record>, StoreError> {
        let statement = query("SELECT * FROM record WHERE id = $1 AND zone = $2").bind(id.to_string()).bind(zone.to_string());
        statement.fetch_optional(self.connection()).await?.as_ref().map(record).transpose()
    }

    /// Part of a zone's records, by name, type and content; and how many there are in all.
    pub async fn record_page(&mut self, zone: ZoneId, page: &RecordPage) -> Result<(Vec<Record>, u64), StoreError> {
        // Truth values as numbers, so that an absent one can be told from false on both engines.
        let filtered = |statement: &'static str| {
            query(statement).bind(zone.to_string()).bind(page.kind.as_deref()).bind(page.proxied.map(i64::from))
        };
        let count = filtered(
            "SELECT count(*) AS count FROM record WHERE zone = $1 AND (CAST($2 AS TEXT) IS NULL OR type = $2)
            AND (CAST($3 AS BIGINT) IS NULL OR CASE WHEN proxied THEN 1 ELSE 0 END = $3)",
        );
        let total = cell::<i64>(&count.fetch_one(self.connection()).await?, "count")?.unsigned_abs();
        let rows = filtered(
            "SELECT * FROM record WHERE zone = $1 AND (CAST($2 AS TEXT) IS NULL OR type = $2)
            AND (CAST($3 AS BIGINT) IS NULL OR CASE WHEN proxied THEN 1 ELSE 0 END = $3)
            ORDER BY name, type, content, id LIMIT $4 OFFSET $5",
        );
        let offset = i64::try_from(page.offset).unwrap_or(i64::MAX);
        let rows = rows.bind(i64::from(page.count)).bind(offset).fetch_all(self.connection()).await?;
        Ok((rows.iter().map(record).collect::<Result<_, _>>()?, total))
    }

    /// The records at exactly this name.
    pub async fn records_at(&mut self, zone: ZoneId, name: &str) -> Result<Vec<Record>, StoreError> {
        let rows = query("SELECT * FROM record WHERE zone = $1 AND name = $2 ORDER BY type, content, id")
            .bind(zone.to_string())
            .bind(name)
            .fetch_all(self.connection())
            .await?;
        rows.iter().map(record).collect()
    }

    /// Every record of every zone, or of one, by zone and name.
    pub async fn records(&mut self, zone: Option<ZoneId>) -> Result<Vec<Record>, StoreError> {
        let statement = match zone {
            Some(zone) => query("SELECT * FROM record WHERE zone = $1 ORDER BY name, type, content, id").bind(zone.to_string()),
            None => query("SELECT * FROM record ORDER BY zone, name, type, content, id"),
        };
        let rows = statement.fetch_all(self.connection()).await?;
        rows.iter().map(record).collect()
    }

    /// The account's CNAME records that lead straight to this name.
    pub async fn cnames_to(&mut self, account: AccountId, target: &Name) -> Result<Vec<Record>, StoreError> {
        let statement = "SELECT record.* FROM record JOIN zone ON zone.id = record.zone
            WHERE zone.account = $1 AND record.type = 'CNAME' AND record.content = $2 ORDER BY record.name, record.id";
        let rows = query(statement).bind(account.to_string()).bind(target.as_str()).fetch_all(self.connection()).await?;
        rows.iter().map(record).collect()
    }

    /// The records that answer for a name in a zone: its own or, where the name does not exist, those of its closest encloser's
    /// wildcard (RFC 4592 §3.3.1). Looking for names below reads the zone through, once a label.
    pub async fn records_answering(&mut self, zone: &Zone, name: &Name) -> Result<Vec<Record>, StoreError> {
        for ancestor in ancestors(name.as_str()) {
            let own = self.records_at(zone.id, ancestor).await?;
            let exact = ancestor == name.as_str();
            if exact && !own.is_empty() {
                return Ok(own);
            }
            let exists = !own.is_empty() || ancestor == zone.apex.as_str() || self.has_names_below(zone.id, ancestor).await?;
            if exists {
                return if exact { Ok(Vec::new()) } else { self.records_at(zone.id, &format!("*.{ancestor}")).await };
            }
        }
        Ok(Vec::new())
    }

    async fn has_names_below(&mut self, zone: ZoneId, name: &str) -> Result<bool, StoreError> {
        let suffix = format!(".{name}");
        let statement =
            "SELECT 1 AS one FROM record WHERE zone = $1 AND substr(name, length(name) - length($2) + 1) = $2 LIMIT 1";
        let found = query(statement).bind(zone.to_string()).bind(suffix).fetch_optional(self.connection()).await?;
        Ok(found.is_some())
    }
}

fn record(row: &Row) -> Result<Record, StoreError> {
    let tags = serde_json::from_str(cell(row, "tags")?);
    Ok(Record {
        id: parsed(row, "id")?,
        zone: parsed(row, "zone")?,
        name: parsed(row, "name")?,
        kind: RecordType::from(cell::<String>(row, "type")?),
        content: cell(row, "content")?,
        priority: cell::<Option<i64>>(row, "priority")?.and_then(|priority| u16::try_from(priority).ok()),
        settings: cell(row, "settings")?,
        ttl_secs: number(row, "ttl")?,
        proxied: cell(row, "proxied")?,
        comment: cell(row, "comment")?,
        tags: tags.map_err(|error| StoreError::Damaged { what: "record", why: error.to_string() })?,
        managed_by: cell(row, "managed_by")?,
        created_at: cell(row, "created_at")?,
        modified_at: cell(row, "modified_at")?,
        comment_modified_at: cell(row, "comment_modified_at")?,
        tags_modified_at: cell(row, "tags_modified_at")?,
    })
}

fn json(tags: &[String]) -> String {
    serde_json::to_string(tags).expect("a list of texts is always JSON")
}
