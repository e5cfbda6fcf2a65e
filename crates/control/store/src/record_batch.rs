//! Many new records at once.
//!
//! A statement costs a round trip to the database's thread or server, some ten times what a row in it costs; so rows travel by the
//! hundred. Their texts are few, since each is prepared once and kept: batches come in four sizes, and rows that are left over go in
//! the smaller ones. What a batch brings is told as one thing ([`Session::touch_all_names`]) where it is much.

use std::{fmt::Write as _, sync::LazyLock};

use poterne_model::{RecordId, ZoneId, name};

use crate::{
    Micros, Session, StoreError,
    database::{Connection, Query, Value},
    rows::inserted,
};

/// Rows of one statement. The largest has 8,000 parameters of the 32,766 that SQLite takes.
const SIZES: [usize; 4] = [500, 50, 5, 1];

/// What every row says, and what only some do: the schema's defaults are what the others mean. A parameter costs SQLite about as much as
/// what it is then used for.
const BARE: &[&str] = &["zone", "created_at", "modified_at", "id", "name", "type", "content", "ttl", "proxied", "path"];
const FURTHER: &[&str] = &["comment", "tags", "priority", "settings", "comment_modified_at", "tags_modified_at"];

/// `tags` and `settings` of a record that has none.
const NO_TAGS: &str = "[]";
const NO_SETTINGS: &str = "{}";

/// Most names that are told of one by one; more are told of as their zone's.
pub const NAMES_TOUCHED_MAX: usize = 2000;

/// The same statements with each engine's marks. SQLite knows parameters with a number by their names, and looks through the list of names
/// for each: with thousands of them that takes longer than all else.
static SQLITE: LazyLock<Texts> = LazyLock::new(|| Texts::with(|_| "?".to_owned()));
static POSTGRES: LazyLock<Texts> = LazyLock::new(|| Texts::with(|number| format!("${number}")));

/// One engine's statements, by size.
struct Texts {
    bare: [String; 4],
    whole: [String; 4],
}

impl Texts {
    fn with(mark: impl Fn(usize) -> String) -> Self {
        let whole = [BARE, FURTHER].concat();
        Self { bare: SIZES.map(|rows| statement(BARE, rows, &mark)), whole: SIZES.map(|rows| statement(&whole, rows, &mark)) }
    }

    fn of(&self, rows: &Rows) -> &str {
        let texts = if rows.is_bare { &self.bare } else { &self.whole };
        &texts[rows.size]
    }
}

/// The values of one statement.
struct Rows {
    /// Its place in [`SIZES`].
    size: usize,
    /// Whether the rows say nothing but [`BARE`].
    is_bare: bool,
    values: Vec<Value>,
}

/// A new record, borrowed from wherever it stands.
#[derive(Debug, Clone, Copy)]
pub struct NewRecord<'a> {
    /// Its id.
    pub id: RecordId,
    /// The path of its owner name ([`name::path`]).
    pub path: &'a str,
    /// Its type.
    pub kind: &'a str,
    /// Its data in the API's presentation form.
    pub content: &'a str,
    /// The priority that the API shows beside the content.
    pub priority: Option<u16>,
    /// Seconds; 1 is automatic.
    pub ttl_secs: u32,
    /// Whether the edge stands before it.
    pub proxied: bool,
    /// What else the edge is told of it, JSON.
    pub settings: &'a str,
    /// A person's note.
    pub comment: Option<&'a str>,
    /// A list of `name:value` or `name`, JSON.
    pub tags: &'a str,
}

/// Records of one zone that come at one instant, ready to be written; made apart from the session that writes them, so that the next ones
/// can be made meanwhile.
pub struct RecordBatch {
    statements: Vec<Rows>,
}

impl RecordBatch {
    /// How many records are best written at once.
    pub const RECORDS: usize = SIZES[0];

    /// Of these, however many; they are written in this order, and fastest in that of their paths, with ids that go up.
    pub fn of(zone: ZoneId, at: Micros, records: &[NewRecord<'_>]) -> Self {
        let (mut statements, mut rest, zone) = (Vec::new(), records, zone.to_string());
        for (size, count) in SIZES.into_iter().enumerate() {
            while let Some((rows, after)) = rest.split_at_checked(count) {
                let is_bare = rows.iter().all(NewRecord::is_bare);
                let columns = if is_bare { BARE.len() } else { BARE.len() + FURTHER.len() };
                let mut values = Vec::with_capacity(columns * count);
                for row in rows {
                    push_bare(row, &zone, at, &mut values);
                    if !is_bare {
                        push_further(row, at, &mut values);
                    }
                }
                statements.push(Rows { size, is_bare, values });
                rest = after;
            }
        }
        Self { statements }
    }
}

/// In the order of [`BARE`].
fn push_bare(row: &NewRecord<'_>, zone: &str, at: Micros, values: &mut Vec<Value>) {
    let NewRecord { id, path, kind, content, ttl_secs, proxied, .. } = *row;
    values.push(zone.into());
    values.push(at.into());
    values.push(at.into());
    values.push(id.to_string().into());
    values.push(name::of_path(path).into());
    values.push(kind.into());
    values.push(content.into());
    values.push(ttl_secs.into());
    values.push(proxied.into());
    values.push(path.into());
}

/// In the order of [`FURTHER`].
fn push_further(row: &NewRecord<'_>, at: Micros, values: &mut Vec<Value>) {
    let NewRecord { priority, settings, comment, tags, .. } = *row;
    values.push(comment.into());
    values.push(tags.into());
    values.push(priority.into());
    values.push(settings.into());
    values.push(comment.map(|_| at).into());
    values.push((tags != NO_TAGS).then_some(at).into());
}

/// The statement for so many rows of these columns.
fn statement(columns: &[&str], rows: usize, mark: impl Fn(usize) -> String) -> String {
    let mut sql = format!("INSERT INTO record ({}) VALUES", columns.join(", "));
    for row in 0..rows {
        let marks: Vec<String> = (1..=columns.len()).map(|column| mark(row * columns.len() + column)).collect();
        let _ = write!(sql, "{} ({})", if row == 0 { "" } else { "," }, marks.join(", "));
    }
    // Without `ON CONFLICT`, which costs a look-up a row: one that is there already fails, and the session with it.
    sql
}

impl NewRecord<'_> {
    fn is_bare(&self) -> bool {
        let Self { priority, settings, comment, tags, .. } = self;
        priority.is_none() && comment.is_none() && *settings == NO_SETTINGS && *tags == NO_TAGS
    }
}

impl Session {
    /// New records, none of which the zone has; conflict when it has one, and then the session is good for nothing but being dropped. That
    /// their names changed is told apart: [`Session::touch_names`].
    pub async fn insert_records(&mut self, batch: RecordBatch) -> Result<(), StoreError> {
        for rows in batch.statements {
            let connection = self.connection();
            let texts = match &connection {
                Connection::Sqlite(_) => &SQLITE,
                Connection::Postgres(_) => &POSTGRES,
            };
            let text = texts.of(&rows);
            let written = Query::with(text, rows.values).execute(connection).await?;
            inserted(u64::from(written == SIZES[rows.size] as u64), "record")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_cut_into_statements_of_few_texts() {
        let record = NewRecord {
            id: RecordId::from_bytes([1; 16]),
            path: "com example www",
            kind: "A",
            content: "192.0.2.1",
            priority: None,
            ttl_secs: 1,
            proxied: false,
            settings: "{}",
            comment: None,
            tags: "[]",
        };
        let sizes = |records: &[NewRecord<'_>]| -> Vec<_> {
            let batch = RecordBatch::of(ZoneId::from_bytes([1; 16]), 0, records);
            let size = |rows: &Rows| {
                let (sqlite, postgres) = (SQLITE.of(rows), POSTGRES.of(rows));
                assert_eq!(sqlite.matches('?').count(), rows.values.len());
                assert!(postgres.ends_with(&format!(", ${})", rows.values.len())));
                assert_eq!(postgres.replace(|c: char| c == '$' || c.is_ascii_digit(), ""), sqlite.replace('?', ""));
                (SIZES[rows.size], rows.values.len() / SIZES[rows.size])
            };
            batch.statements.iter().map(size).collect()
        };
        let mut records = vec![record; 1157];
        assert_eq!(sizes(&records), [(500, 10), (500, 10), (50, 10), (50, 10), (50, 10), (5, 10), (1, 10), (1, 10)]);
        records[700].comment = Some("by hand");
        records[1155].tags = r#"["a"]"#;
        assert_eq!(sizes(&records), [(500, 10), (500, 16), (50, 10), (50, 10), (50, 10), (5, 10), (1, 16), (1, 10)]);
    }
}
