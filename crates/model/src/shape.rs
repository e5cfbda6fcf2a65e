//! A JSON tree, looked at with its place in the body it came in.
//!
//! Whatever refuses a member says where it stood, as a JSON pointer (RFC 6901): the v4 API passes that on as
//! `source.pointer`, and a person with forty rules finds the wrong one. A member that is `null` counts as absent everywhere,
//! because the SDKs of typed languages send it so (api-v4 §0.11).

use std::{fmt, ops::RangeInclusive};

use serde_json::{Map, Value};

/// Longest piece of an offending value that a message repeats, in characters.
const SHOWN_CHARS_MAX: usize = 80;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub struct At<'a> {
    /// The value.
    pub value: &'a Value,
    pointer: String,
}

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct ShapeError {
    /// JSON pointer into the body; empty: the body as a whole.
    pub pointer: String,
    /// With the value and the remedy.
    pub why: String,
}

impl ShapeError {
    /// At this place, for this reason.
    pub fn new(pointer: impl Into<String>, why: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), why: why.into() }
    }
}

impl<'a> At<'a> {
    /// The body itself.
    pub const fn body(value: &'a Value) -> Self {
        Self { value, pointer: String::new() }
    }

    /// A value whose place is known.
    pub fn new(value: &'a Value, pointer: impl Into<String>) -> Self {
        Self { value, pointer: pointer.into() }
    }

    /// JSON pointer to it.
    pub fn pointer(&self) -> &str {
        &self.pointer
    }

    fn below(&self, value: &'a Value, step: impl fmt::Display) -> Self {
        let step = step.to_string().replace('~', "~0").replace('/', "~1");
        Self { value, pointer: format!("{}/{step}", self.pointer) }
    }

    /// Refused, with the value and this remedy.
    pub fn wrong(&self, remedy: impl fmt::Display) -> ShapeError {
        self.refused(format_args!("is {}: {remedy}", shown(self.value)))
    }

    fn refused(&self, why: impl fmt::Display) -> ShapeError {
        let what = if self.pointer.is_empty() { "the body" } else { &self.pointer };
        ShapeError::new(self.pointer.clone(), format!("{what} {why}"))
    }

    /// A member; none when it is absent or null, or when this is no object.
    pub fn member(&self, key: &str) -> Option<At<'a>> {
        self.value.get(key).filter(|value| !value.is_null()).map(|value| self.below(value, key))
    }

    /// A member that must be there.
    ///
    /// # Errors
    /// It is not.
    pub fn required(&self, key: &str) -> Result<At<'a>, ShapeError> {
        let missing = || ShapeError::new(format!("{}/{key}", self.pointer), format!("{}/{key} is missing", self.pointer));
        self.member(key).ok_or_else(missing)
    }

    /// Keys and values.
    ///
    /// # Errors
    /// It is something else.
    pub fn object(&self) -> Result<&'a Map<String, Value>, ShapeError> {
        self.value.as_object().ok_or_else(|| self.wrong("write an object"))
    }

    /// The members that are not null.
    ///
    /// # Errors
    /// It is no object.
    pub fn members(&self) -> Result<impl Iterator<Item = (&'a str, At<'a>)> + use<'a>, ShapeError> {
        let this = self.clone();
        let members = self.object()?.iter().filter(|(_, value)| !value.is_null());
        Ok(members.map(move |(key, value)| (key.as_str(), this.below(value, key))))
    }

    /// The items of a list of at most `max`.
    ///
    /// # Errors
    /// It is something else, or too long.
    pub fn items(&self, max: usize) -> Result<impl ExactSizeIterator<Item = At<'a>> + use<'a>, ShapeError> {
        let this = self.clone();
        let list = self.value.as_array().ok_or_else(|| self.wrong("write a list"))?;
        if list.len() > max {
            return Err(self.refused(format_args!("has {} items: at most {max} are taken", list.len())));
        }
        Ok(list.iter().enumerate().map(move |(index, value)| this.below(value, index)))
    }

    /// A text of at most `max` characters.
    ///
    /// # Errors
    /// It is something else, or too long.
    pub fn text(&self, max: usize) -> Result<&'a str, ShapeError> {
        let text = self.value.as_str().ok_or_else(|| self.wrong("write a text"))?;
        let length = text.chars().count();
        if length > max {
            return Err(self.refused(format_args!("has {length} characters: at most {max} are taken")));
        }
        Ok(text)
    }

    /// A text that is one of these.
    ///
    /// # Errors
    /// It is none of them; the message lists them.
    pub fn one_of<'w>(&self, words: &[&'w str]) -> Result<&'w str, ShapeError> {
        let found = self.value.as_str().and_then(|text| words.iter().find(|word| **word == text));
        found.copied().ok_or_else(|| self.wrong(format_args!("write one of {}", words.join(", "))))
    }

    /// True or false.
    ///
    /// # Errors
    /// It is something else.
    pub fn boolean(&self) -> Result<bool, ShapeError> {
        self.value.as_bool().ok_or_else(|| self.wrong("write true or false"))
    }

    /// A whole number within the range; a text of digits is read as one (api-v4 §0.12).
    ///
    /// # Errors
    /// It is something else, or out of range.
    pub fn integer(&self, range: RangeInclusive<i64>) -> Result<i64, ShapeError> {
        let number = self.value.as_i64().or_else(|| self.value.as_str()?.parse().ok());
        let fits = number.filter(|number| range.contains(number));
        fits.ok_or_else(|| self.wrong(format_args!("write a whole number from {} to {}", range.start(), range.end())))
    }

    /// Refuses members other than these.
    ///
    /// # Errors
    /// One is none of them, or this is no object.
    pub fn only(&self, keys: &[&str]) -> Result<(), ShapeError> {
        match self.members()?.find(|(key, _)| !keys.contains(key)) {
            Some((_, at)) => Err(at.refused(format_args!("is not known here: write {}", keys.join(", ")))),
            None => Ok(()),
        }
    }
}

/// The tree without members that are null; nothing else changes. Items of lists that are null stay.
pub fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key.clone(), without_nulls(value))).collect())
        }
        Value::Array(list) => list.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::String(text) => {
            let start: String = text.chars().take(SHOWN_CHARS_MAX).collect();
            let more = if start.len() < text.len() { "…" } else { "" };
            format!("{start:?}{more}")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_value() {
        let body = json!({"rules": [{"action": "bloc", "a/b": 7, "n": "12", "gone": null}]});
        let rule = At::body(&body).required("rules").unwrap().items(1).unwrap().next().unwrap();
        let error = rule.required("action").unwrap().one_of(&["block", "log"]).unwrap_err();
        assert_eq!(error, ShapeError::new("/rules/0/action", "/rules/0/action is \"bloc\": write one of block, log"));
        assert_eq!(rule.member("a/b").unwrap().text(9).unwrap_err().pointer, "/rules/0/a~1b");
        assert_eq!(rule.member("n").unwrap().integer(0..=20), Ok(12));
        assert!(rule.member("n").unwrap().integer(0..=11).is_err());
        assert!(rule.member("gone").is_none());
        assert_eq!(rule.required("gone").unwrap_err().pointer, "/rules/0/gone");
        assert_eq!(rule.only(&["action", "n"]).unwrap_err().pointer, "/rules/0/a~1b");
    }

    #[test]
    fn lengths_are_bounded_and_long_values_cut_in_messages() {
        let long = Value::String("é".repeat(5000));
        let at = At::new(&long, "/content");
        assert!(at.text(5000).is_ok());
        assert_eq!(at.text(4999).unwrap_err().why, "/content has 5000 characters: at most 4999 are taken");
        assert!(at.boolean().unwrap_err().why.chars().count() < 130);
        assert!(At::body(&json!([1, 2])).items(1).is_err());
        assert!(At::body(&json!({})).items(1).is_err());
    }

    #[test]
    fn null_members_go_and_everything_else_stays() {
        let tree = json!({"a": null, "b": {"c": null, "d": [null, {"e": null}]}});
        assert_eq!(without_nulls(&tree), json!({"b": {"d": [null, {}]}}));
    }
}
