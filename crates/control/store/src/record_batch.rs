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

/// Parameters of a row.
const COLUMNS: usize = 16;

/// Most names that are told of one by one; more are told of as their zone's.
pub const NAMES_TOUCHED_MAX: usize = 2000;

/// The same statements with each engine's marks. SQLite knows parameters with a number by their names, and looks through the list of names
/// for each: with thousands of them that takes longer than all else.
static SQLITE: LazyLock<[String; 4]> = LazyLock::new(|| SIZES.map(|rows| statement(rows, |_| "?".to_owned())));
static POSTGRES: LazyLock<[String; 4]> = LazyLock::new(|| SIZES.map(|rows| statement(rows, |number| format!("${number}"))));

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
    /// Each with its place in [`SIZES`].
    statements: Vec<(usize, Vec<Value>)>,
}

impl RecordBatch {
    /// How many records are best written at once.
    pub const RECORDS: usize = SIZES[0];

    /// Of these, however many; they are written in this order, and fastest in that of their paths, with ids that go up.
    pub fn of(zone: ZoneId, at: Micros, records: &[NewRecord<'_>]) -> Self {
        let (mut statements, mut rest, zone) = (Vec::new(), records, zone.to_string());
        for (place, size) in SIZES.into_iter().enumerate() {
            while let Some((rows, after)) = rest.split_at_checked(size) {
                let mut values = Vec::with_capacity(COLUMNS * size);
                rows.iter().for_each(|row| push(row, &zone, at, &mut values));
                statements.push((place, values));
                rest = after;
            }
        }
        Self { statements }
    }
}

fn push(row: &NewRecord<'_>, zone: &str, at: Micros, values: &mut Vec<Value>) {
    let NewRecord { id, path, kind, content, priority, ttl_secs, proxied, settings, comment, tags } = *row;
    values.push(zone.into());
    values.push(at.into());
    values.push(at.into());
    values.push(id.to_string().into());
    values.push(name::of_path(path).into());
    values.push(kind.into());
    values.push(content.into());
    values.push(ttl_secs.into());
    values.push(proxied.into());
    values.push(comment.into());
    values.push(tags.into());
    values.push(priority.into());
    values.push(settings.into());
    values.push(comment.map(|_| at).into());
    values.push((tags != "[]").then_some(at).into());
    values.push(path.into());
}

/// The statement for so many rows.
fn statement(rows: usize, mark: impl Fn(usize) -> String) -> String {
    let mut sql =
        "INSERT INTO record (zone, created_at, modified_at, id, name, type, content, ttl, proxied, comment, tags, priority,
        settings, comment_modified_at, tags_modified_at, path) VALUES"
            .to_owned();
    for row in 0..rows {
        let marks: Vec<String> = (1..=COLUMNS).map(|column| mark(row * COLUMNS + column)).collect();
        let _ = write!(sql, "{} ({})", if row == 0 { "" } else { "," }, marks.join(", "));
    }
    // Without `ON CONFLICT`, which costs a look-up a row: one that is there already fails, and the session with it.
    sql
}

impl Session {
    /// New records, none of which the zone has; conflict when it has one, and then the session is good for nothing but being dropped. That
    /// their names changed is told apart: [`Session::touch_names`].
    pub async fn insert_records(&mut self, batch: RecordBatch) -> Result<(), StoreError> {
        for (place, values) in batch.statements {
            let connection = self.connection();
            let text = match &connection {
                Connection::Sqlite(_) => &SQLITE[place],
                Connection::Postgres(_) => &POSTGRES[place],
            };
            let written = Query::with(text, values).execute(connection).await?;
            inserted(u64::from(written == SIZES[place] as u64), "record")?;
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
        let batch = RecordBatch::of(ZoneId::from_bytes([1; 16]), 0, &vec![record; 1157]);
        let rows: Vec<usize> = batch.statements.iter().map(|(place, _)| SIZES[*place]).collect();
        assert_eq!(rows, [500, 500, 50, 50, 50, 5, 1, 1]);
        for (place, values) in &batch.statements {
            assert_eq!(values.len(), COLUMNS * SIZES[*place]);
            assert_eq!(SQLITE[*place].matches('?').count(), values.len());
            assert!(POSTGRES[*place].ends_with(&format!(", ${})", values.len())));
        }
        assert_eq!(POSTGRES[3].replace(|c: char| c == '$' || c.is_ascii_digit(), ""), SQLITE[3].replace('?', ""));
    }
}
