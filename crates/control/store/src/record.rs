//! Records, one row each; a record set is the rows of one name and type.

use poterne_model::{AccountId, Name, RecordData, RecordId, RecordSet, RecordType, ZoneId, name};

use crate::{
    Micros, Session, StoreError, Zone,
    database::{Row, query},
    published::data,
    rows::{cell, inserted, number, parsed},
    touched::Touched,
};

/// In the place of a priority that is not there: what makes two records the same may not be unknown. (In a PostgreSQL database of before it may
/// be none as well.)
pub(crate) const PRIORITY_NONE: i64 = -1;

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
            priority, settings, comment_modified_at, tags_modified_at, path)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) ON CONFLICT DO NOTHING";
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
            .bind(record.priority.map_or(PRIORITY_NONE, i64::from))
            .bind(&record.settings)
            .bind(record.comment_modified_at)
            .bind(record.tags_modified_at)
            .bind(name::path(record.name.as_str()))
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

    /// The records at exactly this name.
    pub async fn records_at(&mut self, zone: ZoneId, name: &str) -> Result<Vec<Record>, StoreError> {
        let rows = query("SELECT * FROM record WHERE zone = $1 AND path = $2 ORDER BY type, content, priority, id")
            .bind(zone.to_string())
            .bind(name::path(name))
            .fetch_all(self.connection())
            .await?;
        rows.iter().map(record).collect()
    }

    /// Every record of every zone, or of one, by zone and the path of their names ([`name::path`]).
    pub async fn records(&mut self, zone: Option<ZoneId>) -> Result<Vec<Record>, StoreError> {
        let statement = match zone {
            Some(zone) => query("SELECT * FROM record WHERE zone = $1 ORDER BY path, type, content, id").bind(zone.to_string()),
            None => query("SELECT * FROM record ORDER BY zone, path, type, content, id"),
        };
        let rows = statement.fetch_all(self.connection()).await?;
        rows.iter().map(record).collect()
    }

    /// The account's CNAME records that lead straight to this name.
    pub async fn cnames_to(&mut self, account: AccountId, target: &Name) -> Result<Vec<Record>, StoreError> {
        let rows = query(CNAMES_TO).bind(account.to_string()).bind(target.as_str()).fetch_all(self.connection()).await?;
        rows.iter().map(record).collect()
    }

    /// The records that answer for a name in a zone: its own or, where the name does not exist, those of its closest encloser's
    /// wildcard (RFC 4592 §3.3.1). Three statements at most, each answered by an index.
    pub async fn records_answering(&mut self, zone: &Zone, name: &Name) -> Result<Vec<Record>, StoreError> {
        if !name.is_within(&zone.apex) {
            return Ok(Vec::new());
        }
        let own = self.records_at(zone.id, name.as_str()).await?;
        if !own.is_empty() {
            return Ok(own);
        }
        match self.closest_encloser(zone, name).await? {
            Some(encloser) => self.records_at(zone.id, &format!("*.{}", name::of_path(&encloser))).await,
            None => Ok(Vec::new()),
        }
    }

    /// The path of the closest encloser of a name that has no records (RFC 4592 §3.3.1); none where it exists all the same, because
    /// something below it does or it is the apex.
    pub async fn closest_encloser(&mut self, zone: &Zone, name: &Name) -> Result<Option<String>, StoreError> {
        let path = name::path(name.as_str());
        let row = query(NEIGHBOURS).bind(zone.id.to_string()).bind(&path).fetch_one(self.connection()).await?;
        let neighbours = [cell::<Option<&str>>(&row, "lesser")?, cell(&row, "greater")?];
        Ok(closest_encloser(&path, &name::path(zone.apex.as_str()), neighbours).map(str::to_owned))
    }

    /// How many records a zone has, counted no further than that.
    pub async fn record_count(&mut self, zone: ZoneId, most: u32) -> Result<u64, StoreError> {
        let statement = query("SELECT count(*) AS count FROM (SELECT 1 AS one FROM record WHERE zone = $1 LIMIT $2) AS counted");
        let row = statement.bind(zone.to_string()).bind(most).fetch_one(self.connection()).await?;
        Ok(cell::<i64>(&row, "count")?.unsigned_abs())
    }
}

/// An account's CNAMEs to a name; the index of contents is one of CNAMEs' alone, and so the type stands here and is no parameter.
pub(crate) const CNAMES_TO: &str = "SELECT record.* FROM record JOIN zone ON zone.id = record.zone
    WHERE zone.account = $1 AND zone.deleted_at IS NULL AND record.type = 'CNAME' AND record.content = $2
    ORDER BY record.name, record.id";

/// The owner names right before and right after a path.
pub(crate) const NEIGHBOURS: &str =
    "SELECT (SELECT path FROM record WHERE zone = $1 AND path < $2 ORDER BY path DESC LIMIT 1) AS lesser,
    (SELECT path FROM record WHERE zone = $1 AND path > $2 ORDER BY path LIMIT 1) AS greater";

/// The longest of a path's ancestors that exists, given the owner names right before and after it; none where the path exists itself,
/// because something below it does (RFC 4592 §2.2.2) or it is the apex. No other name shares more labels with it than those two.
fn closest_encloser<'p>(path: &'p str, apex: &str, neighbours: [Option<&str>; 2]) -> Option<&'p str> {
    let shared = |other: &str| {
        let common = path.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
        // A label that is the same so far, and goes on, is another one.
        let ends = |text: &str| text.len() == common || text.as_bytes()[common] == b' ';
        if ends(path) && ends(other) { common } else { path[..common].rfind(' ').unwrap_or(0) }
    };
    let longest = neighbours.into_iter().flatten().map(shared).max().unwrap_or(0).max(apex.len());
    (longest < path.len()).then(|| &path[..longest])
}

pub(crate) fn record(row: &Row) -> Result<Record, StoreError> {
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

pub(crate) fn json(tags: &[String]) -> String {
    serde_json::to_string(tags).expect("a list of texts is always JSON")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_closest_encloser_is_told_by_the_neighbours() {
        // Whatever exists of a zone over these labels, and whatever is asked: as RFC 4592 says, name by name.
        let all = ["a.z", "b.z", "a.b.z", "ab.z", "a.ab.z", "a-b.z", "a.a.a.z", "*.z", "*.b.z", "z"];
        let asked = ["a.z", "b.z", "x.z", "x.a.z", "x.b.z", "b.a.z", "a.a.z", "b.a.a.z", "a.b.a.z", "a-.z", "x.a-b.z", "z"];
        for bits in 0_u32..1 << all.len() {
            let owners: BTreeSet<&str> = (0..all.len()).filter(|at| bits & (1 << at) != 0).map(|at| all[at]).collect();
            let paths: BTreeSet<String> = owners.iter().map(|owner| name::path(owner)).collect();
            let exists = |name: &str| name == "z" || owners.iter().any(|owner| name::is_within(owner, name));
            for host in asked.iter().filter(|host| !owners.contains(**host)) {
                let path = name::path(host);
                let before = paths.range(..path.clone()).next_back().map(String::as_str);
                let after = paths.range(path.clone()..).next().map(String::as_str);
                let wanted = (!exists(host)).then(|| name::ancestors(host).find(|name| exists(name)).unwrap());
                let found = closest_encloser(&path, "z", [before, after]).map(name::of_path);
                assert_eq!(found.as_deref(), wanted, "{host} among {owners:?}");
            }
        }
    }
}
