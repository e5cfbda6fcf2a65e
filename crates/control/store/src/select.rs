//! Lists, filtered as they are asked for: statements put together from parts that are written here, and from parameters.
//!
//! A part is a text of this program; whatever comes from outside is a parameter. So no request can become SQL.

use std::fmt::Write as _;

use sqlx::{AssertSqlSafe, SqlSafeStr as _};

use crate::{
    StoreError,
    database::{Connection, Query, Row, Value},
    rows::cell,
};

/// Ids named one by one; more are looked for in one text that holds them all, since engines bound the parameters of a statement.
const LISTED_MAX: usize = 1000;

/// How a text must be. Case matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextMatch {
    /// This one.
    Equal(String),
    /// Any but this one.
    NotEqual(String),
    /// It begins so.
    StartsWith(String),
    /// It ends so.
    EndsWith(String),
    /// It holds this.
    Contains(String),
}

/// A statement under way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Select {
    sql: String,
    values: Vec<Value>,
}

/// Conditions under way; see [`Select::conditions`].
#[derive(Debug)]
pub(crate) struct Conditions<'s> {
    select: &'s mut Select,
    between: &'static str,
    is_empty: bool,
}

impl Select {
    pub(crate) fn new(begin: &'static str) -> Self {
        Self { sql: begin.to_owned(), values: Vec::new() }
    }

    /// A part of this program's own.
    pub(crate) fn sql(&mut self, part: &'static str) -> &mut Self {
        self.sql.push_str(part);
        self
    }

    /// A parameter.
    pub(crate) fn value(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        let _ = write!(self.sql, "${}", self.values.len());
        self
    }

    /// The last parameter once more.
    fn again(&mut self) -> &mut Self {
        let _ = write!(self.sql, "${}", self.values.len());
        self
    }

    /// `column` is one of these texts; of none, nothing is.
    pub(crate) fn one_of(&mut self, column: &'static str, texts: impl IntoIterator<Item = String>) -> &mut Self {
        self.sql(column).sql(" IN (");
        for (place, text) in texts.into_iter().enumerate() {
            self.sql(if place == 0 { "" } else { ", " }).value(text);
        }
        if self.sql.ends_with('(') {
            // An empty list is an error in PostgreSQL.
            self.sql("NULL");
        }
        self.sql(")")
    }

    /// `column` is one of these ids, all of the same length and without a comma.
    pub(crate) fn one_of_ids(&mut self, column: &'static str, ids: Vec<String>) -> &mut Self {
        if ids.len() <= LISTED_MAX {
            return self.one_of(column, ids);
        }
        self.sql("replace(").value(ids.join(",")).sql(", ").sql(column).sql(", '') <> ").again()
    }

    /// `column`, a text that is there, is so.
    pub(crate) fn text(&mut self, column: &'static str, wanted: &TextMatch) -> &mut Self {
        match wanted {
            TextMatch::Equal(text) => self.sql(column).sql(" = ").value(text),
            TextMatch::NotEqual(text) => self.sql(column).sql(" <> ").value(text),
            TextMatch::StartsWith(text) => self.sql("substr(").sql(column).sql(", 1, length(").value(text).sql(")) = ").again(),
            // Where the text is the longer one, what is cut out is shorter than it, on either engine, and so another.
            TextMatch::EndsWith(text) => self
                .sql("substr(")
                .sql(column)
                .sql(", length(")
                .sql(column)
                .sql(") - length(")
                .value(text)
                .sql(") + 1) = ")
                .again(),
            // `LIKE` folds case on one engine and not on the other.
            TextMatch::Contains(text) if text.is_empty() => self.sql("1 = 1"),
            TextMatch::Contains(text) => self.sql("replace(").sql(column).sql(", ").value(text).sql(", '') <> ").sql(column),
        }
    }

    /// A page of what the statement finds so far: at most `count` rows after `offset` of them.
    pub(crate) fn page(&mut self, offset: u64, count: u32) -> &mut Self {
        let offset = i64::try_from(offset).unwrap_or(i64::MAX);
        self.sql(" LIMIT ").value(count).sql(" OFFSET ").value(offset)
    }

    /// Conditions in brackets, all of which must be met, or one; where there is none, everything passes.
    pub(crate) fn conditions(&mut self, any: bool) -> Conditions<'_> {
        Conditions { select: self, between: if any { " OR " } else { " AND " }, is_empty: true }
    }

    /// The statement.
    pub(crate) fn into_query(self) -> Query {
        Query::of_parts(AssertSqlSafe(self.sql).into_sql_str(), self.values)
    }

    pub(crate) async fn fetch_all(self, connection: Connection<'_>) -> Result<Vec<Row>, StoreError> {
        self.into_query().fetch_all(connection).await
    }

    /// The number in the only row's column `count`.
    pub(crate) async fn fetch_count(self, connection: Connection<'_>) -> Result<u64, StoreError> {
        Ok(cell::<i64>(&self.into_query().fetch_one(connection).await?, "count")?.unsigned_abs())
    }
}

impl Conditions<'_> {
    /// One more.
    pub(crate) fn add(&mut self, write: impl FnOnce(&mut Select) -> &mut Select) {
        self.select.sql(if self.is_empty { "(" } else { self.between }).sql("(");
        self.is_empty = false;
        write(self.select);
        self.select.sql(")");
    }

    /// One more, where it is asked for.
    pub(crate) fn add_some<T>(&mut self, asked: Option<T>, write: impl FnOnce(&mut Select, T) -> &mut Select) {
        if let Some(asked) = asked {
            self.add(|select| write(select, asked));
        }
    }

    /// There are no more.
    pub(crate) fn end(self) {
        self.select.sql(if self.is_empty { "1 = 1" } else { ")" });
    }
}

/// How many there are in all, where a page tells it: one that is not full, unless it is empty and not the first.
pub(crate) fn total_told(offset: u64, count: u32, found: usize) -> Option<u64> {
    let found = found as u64;
    (found < u64::from(count) && (found > 0 || offset == 0)).then_some(offset.saturating_add(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_is_a_parameter() {
        let mut select = Select::new("SELECT * FROM zone WHERE ");
        let mut conditions = select.conditions(true);
        conditions.add(|select| select.text("name", &TextMatch::StartsWith("'; DROP".into())));
        conditions.add_some(Some(["a".to_owned(), "b".to_owned()]), |select, texts| select.one_of("status", texts));
        conditions.add_some(None::<String>, |_, _| unreachable!("it was not asked for"));
        conditions.end();
        select.page(7, 3);
        assert_eq!(
            select.sql,
            "SELECT * FROM zone WHERE ((substr(name, 1, length($1)) = $1) OR (status IN ($2, $3))) LIMIT $4 OFFSET $5"
        );
        assert_eq!(select.values.len(), 5);
        let mut select = Select::new("");
        select.conditions(true).end();
        select.sql(" AND ").one_of("id", []);
        assert_eq!(select.sql, "1 = 1 AND id IN (NULL)");
    }

    #[test]
    fn a_page_that_is_not_full_tells_how_many_there_are() {
        for (offset, found, told) in [(0, 0, Some(0)), (0, 3, Some(3)), (20, 3, Some(23)), (20, 0, None), (0, 10, None)] {
            assert_eq!(total_told(offset, 10, found), told, "{offset} {found}");
        }
    }
}
