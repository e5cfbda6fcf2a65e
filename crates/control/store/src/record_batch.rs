//! Many new records at once.
//!
//! A statement costs a round trip to the database's thread or server, some ten times what a row in it costs; so rows travel by the
//! hundred. Their texts are few, since each is prepared once and kept: batches come in four sizes, and rows that are left over go in
//! the smaller ones. Parameters are made ready as the engine takes them, apart from the session, which has nothing to do but to hand
//! them over. What a batch brings is told as one thing ([`Session::touch_all_names`]) where it is much.

use std::{
    fmt::Write as _,
    sync::{Arc, LazyLock},
};

use poterne_model::{RecordId, ZoneId, name};
use sqlx::{Arguments, Encode, Type, error::BoxDynError};

use crate::{
    Micros, Record, Session, StoreError,
    database::{Connection, Parameters, execute},
    record::{PRIORITY_NONE, json},
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
    /// When it was made.
    pub created_at: Micros,
    /// When it was last changed.
    pub modified_at: Micros,
    /// When its note was last changed.
    pub comment_modified_at: Option<Micros>,
    /// When its tags were last changed.
    pub tags_modified_at: Option<Micros>,
}

/// Makes batches of records of one zone, as the engine of the session takes them that it was asked of ([`Session::record_batches`]).
#[derive(Debug, Clone)]
pub struct RecordBatches {
    is_sqlite: bool,
    zone: Arc<str>,
    /// Texts that nearly every record has.
    usual: [Arc<str>; 6],
}

/// Records of one zone, ready to be written.
pub struct RecordBatch {
    /// Each with its place in [`SIZES`].
    statements: Vec<(usize, Parameters)>,
}

impl RecordBatches {
    /// How many records are best written at once.
    pub const RECORDS: usize = SIZES[0];

    fn new(is_sqlite: bool, zone: ZoneId) -> Self {
        Self { is_sqlite, zone: zone.to_string().into(), usual: ["{}", "[]", "A", "AAAA", "CNAME", "TXT"].map(Arc::from) }
    }

    /// Of these records, however many; they are written in this order, and fastest in that of their paths, with ids that go up.
    pub fn of(&self, records: &[NewRecord<'_>]) -> RecordBatch {
        let (mut statements, mut rest) = (Vec::new(), records);
        for (place, size) in SIZES.into_iter().enumerate() {
            while let Some((rows, after)) = rest.split_at_checked(size) {
                let parameters = if self.is_sqlite {
                    Parameters::Sqlite(self.parameters(rows))
                } else {
                    Parameters::Postgres(self.parameters(rows))
                };
                statements.push((place, parameters));
                rest = after;
            }
        }
        RecordBatch { statements }
    }

    /// Of records of this zone, of which no part of Poterne takes care ([`Record::managed_by`]).
    pub fn of_records(&self, records: &[Record]) -> RecordBatch {
        let texts: Vec<(String, String)> =
            records.iter().map(|record| (name::path(record.name.as_str()), json(&record.tags))).collect();
        let rows: Vec<NewRecord<'_>> = records.iter().zip(&texts).map(|(record, (path, tags))| new(record, path, tags)).collect();
        self.of(&rows)
    }

    fn parameters<A>(&self, rows: &[NewRecord<'_>]) -> Result<A, BoxDynError>
    where
        A: Arguments,
        i64: Encode<'static, A::Database> + Type<A::Database>,
        bool: Encode<'static, A::Database> + Type<A::Database>,
        Arc<str>: Encode<'static, A::Database> + Type<A::Database>,
        Option<i64>: Encode<'static, A::Database> + Type<A::Database>,
        Option<Arc<str>>: Encode<'static, A::Database> + Type<A::Database>,
    {
        let mut parameters = A::default();
        parameters.reserve(COLUMNS * rows.len(), 0);
        for row in rows {
            parameters.add(self.zone.clone())?;
            parameters.add(row.created_at)?;
            parameters.add(row.modified_at)?;
            parameters.add::<Arc<str>>(row.id.to_string().into())?;
            parameters.add::<Arc<str>>(name::of_path(row.path).into())?;
            parameters.add(self.text(row.kind))?;
            parameters.add::<Arc<str>>(row.content.into())?;
            parameters.add(i64::from(row.ttl_secs))?;
            parameters.add(row.proxied)?;
            parameters.add(row.comment.map(Arc::<str>::from))?;
            parameters.add(self.text(row.tags))?;
            parameters.add(row.priority.map_or(PRIORITY_NONE, i64::from))?;
            parameters.add(self.text(row.settings))?;
            parameters.add(row.comment_modified_at)?;
            parameters.add(row.tags_modified_at)?;
            parameters.add::<Arc<str>>(row.path.into())?;
        }
        Ok(parameters)
    }

    /// A text, without another copy of it where it is a usual one.
    fn text(&self, text: &str) -> Arc<str> {
        self.usual.iter().find(|usual| ***usual == *text).cloned().unwrap_or_else(|| text.into())
    }
}

fn new<'r>(record: &'r Record, path: &'r str, tags: &'r str) -> NewRecord<'r> {
    NewRecord {
        id: record.id,
        path,
        kind: record.kind.as_str(),
        content: &record.content,
        priority: record.priority,
        ttl_secs: record.ttl_secs,
        proxied: record.proxied,
        settings: &record.settings,
        comment: record.comment.as_deref(),
        tags,
        created_at: record.created_at,
        modified_at: record.modified_at,
        comment_modified_at: record.comment_modified_at,
        tags_modified_at: record.tags_modified_at,
    }
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
    /// What makes batches of records of a zone for this session; hand it to another thread.
    pub fn record_batches(&mut self, zone: ZoneId) -> RecordBatches {
        RecordBatches::new(matches!(self.connection(), Connection::Sqlite(_)), zone)
    }

    /// New records, none of which the zone has; conflict when it has one, and then the session is good for nothing but being dropped. That
    /// their names changed is told apart: [`Session::touch_names`].
    pub async fn insert_records(&mut self, batch: RecordBatch) -> Result<(), StoreError> {
        for (place, parameters) in batch.statements {
            let text = match &parameters {
                Parameters::Sqlite(_) => &SQLITE[place],
                Parameters::Postgres(_) => &POSTGRES[place],
            };
            let written = execute(self.connection(), text, parameters).await?;
            inserted(u64::from(written == SIZES[place] as u64), "record")?;
        }
        Ok(())
    }

    /// Takes records of a zone away, and says whose names they were no more than [`Session::insert_records`] does. Those that are not
    /// there are passed over.
    pub async fn delete_records(&mut self, zone: ZoneId, ids: &[RecordId]) -> Result<(), StoreError> {
        for ids in ids.chunks(SIZES[0]) {
            // Statements are prepared by their text: one that is not full names its last id again.
            let last = ids.last().into_iter().cycle();
            let size = SIZES.into_iter().rev().find(|size| *size >= ids.len()).unwrap_or(SIZES[0]);
            let mut delete = crate::select::Select::new("DELETE FROM record WHERE zone = ");
            delete.value(zone.to_string()).sql(" AND ");
            delete.one_of("id", ids.iter().chain(last).take(size).map(ToString::to_string));
            delete.into_query().execute(self.connection()).await?;
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
            created_at: 0,
            modified_at: 0,
            comment_modified_at: None,
            tags_modified_at: None,
        };
        for is_sqlite in [true, false] {
            let batch = RecordBatches::new(is_sqlite, ZoneId::from_bytes([1; 16])).of(&vec![record; 1157]);
            let rows: Vec<usize> = batch.statements.iter().map(|(place, _)| SIZES[*place]).collect();
            assert_eq!(rows, [500, 500, 50, 50, 50, 5, 1, 1]);
            for (place, parameters) in &batch.statements {
                let count = match parameters {
                    Parameters::Sqlite(parameters) => parameters.as_ref().unwrap().len(),
                    Parameters::Postgres(parameters) => parameters.as_ref().unwrap().len(),
                };
                assert_eq!((count, matches!(parameters, Parameters::Sqlite(_))), (COLUMNS * SIZES[*place], is_sqlite));
                assert_eq!(SQLITE[*place].matches('?').count(), count);
                assert!(POSTGRES[*place].ends_with(&format!(", ${count})")));
            }
        }
        assert_eq!(POSTGRES[3].replace(|c: char| c == '$' || c.is_ascii_digit(), ""), SQLITE[3].replace('?', ""));
    }
}
