//! What stands behind the `?`: values, lists, pages, orders and filters in the API's conventions (api-v4 §1.1, §1.4, §1.5).
//!
//! A parameter that is not known is ignored; one that is known and makes no sense is refused by name. Values are decoded by the
//! door that has the URL; here they are bounded.
//!
//! * [`page`]: page numbers and cursors, and the `result_info` of an answer;
//! * [`filter`]: texts that must be met, and the order of a list;
//! * [`parameter`]: what each is, for the description of the API.

pub mod filter;
pub mod page;
pub mod parameter;

use std::{fmt::Display, str::FromStr};

pub use parameter::Parameter;
use poterne_model::Timestamp;

use crate::WireTime;

/// Most parameters of one request.
pub const PARAMETERS_MAX: usize = 100;

/// Longest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 4096;

/// Most items of one list among them.
pub const ITEMS_MAX: usize = 200;

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the query parameter {parameter:?} {why}")]
pub struct QueryError {
    /// Which parameter; at most 64 characters of it.
    pub parameter: String,
    /// Why, with the value and the remedy.
    pub why: String,
}

impl QueryError {
    pub(crate) fn new(parameter: &str, why: impl Into<String>) -> Self {
        Self { parameter: parameter.chars().take(64).collect(), why: why.into() }
    }

    pub(crate) fn value(parameter: &str, value: &str, remedy: impl Display) -> Self {
        let shown: String = value.chars().take(64).collect();
        Self::new(parameter, format!("is {shown:?}: {remedy}"))
    }
}

/// The parameters of one request, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Of these names and values, already decoded.
    ///
    /// # Errors
    /// There are more, or longer ones, than any client sends.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, QueryError> {
        let mut kept = Vec::new();
        for (name, value) in pairs {
            if kept.len() >= PARAMETERS_MAX {
                return Err(QueryError::new(&name, format!("is one too many: at most {PARAMETERS_MAX} are read")));
            }
            if name.len() > VALUE_BYTES_MAX || value.len() > VALUE_BYTES_MAX {
                return Err(QueryError::new(&name, format!("is too long: at most {VALUE_BYTES_MAX} bytes are read")));
            }
            kept.push((name, value));
        }
        Ok(Self { pairs: kept })
    }

    /// All of them.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether it is there, whatever its value.
    pub fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(key, _)| key == name)
    }

    /// Its first value that is not empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.values(name).find(|value| !value.is_empty())
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.pairs.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All its values, whether repeated or separated by commas.
    ///
    /// # Errors
    /// There are more than [`ITEMS_MAX`].
    pub fn list(&self, name: &str) -> Result<Vec<&str>, QueryError> {
        let items = self.values(name).flat_map(|value| value.split(',')).map(str::trim).filter(|item| !item.is_empty());
        let list: Vec<&str> = items.take(ITEMS_MAX + 1).collect();
        if list.len() > ITEMS_MAX {
            return Err(QueryError::new(name, format!("has more than {ITEMS_MAX} values")));
        }
        Ok(list)
    }

    /// True or false.
    ///
    /// # Errors
    /// It is another word.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>, QueryError> {
        match self.text(name) {
            None => Ok(None),
            Some("true" | "True" | "1") => Ok(Some(true)),
            Some("false" | "False" | "0") => Ok(Some(false)),
            Some(other) => Err(QueryError::value(name, other, "write true or false")),
        }
    }

    /// Whatever is read from a text: an id, an address, a network, a word of the API.
    ///
    /// # Errors
    /// It is none, as its own error says.
    pub fn parsed<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, QueryError> {
        let parse = |text: &str| text.parse().map_err(|error| QueryError::new(name, format!("makes no sense: {error}")));
        self.text(name).map(parse).transpose()
    }

    /// A word of an enum, by the function that knows its words.
    ///
    /// # Errors
    /// It is none of `words`.
    pub fn word<T>(&self, name: &str, of_word: impl Fn(&str) -> Option<T>, words: &[&str]) -> Result<Option<T>, QueryError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let wrong = || QueryError::value(name, text, format_args!("write one of {}", words.join(", ")));
        of_word(text).ok_or_else(wrong).map(Some)
    }

    /// An instant.
    ///
    /// # Errors
    /// It is none.
    pub fn instant(&self, name: &str) -> Result<Option<Timestamp>, QueryError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        // A + that nobody encoded arrives as a space.
        let text = if text.contains('T') { text.replace(' ', "+") } else { text.to_owned() };
        WireTime::parse(&text).map(|time| Some(time.0)).map_err(|error| QueryError::new(name, format!("makes no sense: {error}")))
    }
}

#[cfg(test)]
pub(crate) fn query(pairs: &[(&str, &str)]) -> Query {
    Query::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))).unwrap()
}

#[cfg(test)]
mod tests {
    use poterne_model::{TunnelId, access_rule::AccessMode};

    use super::*;

    #[test]
    fn lists_come_repeated_or_with_commas() {
        let query = query(&[("type", "full"), ("type", "partial,secondary"), ("types", "x"), ("type", ",")]);
        assert_eq!(query.list("type").unwrap(), ["full", "partial", "secondary"]);
        assert_eq!(query.list("none").unwrap(), Vec::<&str>::new());
    }

    #[test]
    fn values_are_read_and_nonsense_is_named() {
        let id = "3d539f97-cd3a-4d8e-833b-65e9099c7a8d";
        let query = query(&[
            ("is_deleted", "false"),
            ("uuid", id),
            ("bad", "maybe"),
            ("empty", ""),
            ("mode", "block"),
            ("since", "2026-01-02T03:04:05 02:00"),
        ]);
        assert_eq!(query.boolean("is_deleted"), Ok(Some(false)));
        assert_eq!(query.boolean("empty"), Ok(None));
        assert!(query.has("empty") && query.text("empty").is_none());
        assert_eq!(query.parsed::<TunnelId>("uuid").unwrap().unwrap().to_string(), id);
        let error = query.boolean("bad").unwrap_err().to_string();
        assert_eq!(error, "the query parameter \"bad\" is \"maybe\": write true or false");
        assert!(query.parsed::<TunnelId>("bad").unwrap_err().to_string().contains("not a valid tunnel id"));
        assert_eq!(query.word("mode", AccessMode::of_word, AccessMode::WORDS), Ok(Some(AccessMode::Block)));
        assert!(query.word("bad", AccessMode::of_word, AccessMode::WORDS).is_err());
        assert_eq!(query.instant("since").unwrap().unwrap().as_secs(), 1_767_315_845);
    }

    #[test]
    fn parameters_are_bounded() {
        let many = |count: usize| Query::new((0..count).map(|n| (n.to_string(), String::new())));
        assert!(many(PARAMETERS_MAX).is_ok() && many(PARAMETERS_MAX + 1).is_err());
        assert!(Query::new([("a".to_owned(), "x".repeat(VALUE_BYTES_MAX + 1))]).is_err());
        let commas = ",x".repeat(ITEMS_MAX + 1);
        assert!(query(&[("a", &commas)]).list("a").is_err());
    }
}
