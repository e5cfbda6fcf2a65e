//! Reading cells into the model's types, so that a damaged row is an error and never a default.

use std::{fmt::Display, str::FromStr};

use crate::{
    StoreError,
    database::{Cell, Row},
};

/// A cell as it is kept.
pub(crate) fn cell<'r, T: Cell<'r>>(row: &'r Row, column: &'static str) -> Result<T, StoreError> {
    row.try_get(column).map_err(StoreError::Database)
}

/// A text cell as what it means.
pub(crate) fn parsed<T>(row: &Row, column: &'static str) -> Result<T, StoreError>
where
    T: FromStr,
    T::Err: Display,
{
    parse(cell(row, column)?, column)
}

/// A text as what it means.
pub(crate) fn parse<T>(text: &str, what: &'static str) -> Result<T, StoreError>
where
    T: FromStr,
    T::Err: Display,
{
    text.parse().map_err(|error: T::Err| StoreError::Damaged { what, why: error.to_string() })
}

/// A text cell that may be absent, as what it means.
pub(crate) fn parsed_optional<T>(row: &Row, column: &'static str) -> Result<Option<T>, StoreError>
where
    T: FromStr,
    T::Err: Display,
{
    cell::<Option<&str>>(row, column)?.map(|text| parse(text, column)).transpose()
}

/// A non-negative number of a narrower kind.
pub(crate) fn number<T: TryFrom<i64>>(row: &Row, column: &'static str) -> Result<T, StoreError> {
    let value: i64 = cell(row, column)?;
    T::try_from(value).map_err(|_| StoreError::Damaged { what: column, why: format!("{value} is out of range") })
}

/// What an insert that meets an equal row, and does nothing, has to say.
pub(crate) fn inserted(rows: u64, what: &'static str) -> Result<(), StoreError> {
    if rows == 0 { Err(StoreError::Conflict(what)) } else { Ok(()) }
}

/// What an update of a row that is not there has to say.
pub(crate) fn changed(rows: u64, what: &'static str) -> Result<(), StoreError> {
    if rows == 0 { Err(StoreError::NotFound(what)) } else { Ok(()) }
}

/// The pattern of `LIKE … ESCAPE '\'` for whatever holds this text.
pub(crate) fn containing(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}
