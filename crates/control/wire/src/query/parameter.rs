//! What stands behind the `?`, for the description of the API: told beside the function that reads it.

use poterne_model::Schema;
use serde_json::{Value, json};

use super::page::PageLimits;

/// One parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    name: String,
    about: String,
    schema: Schema,
}

impl Parameter {
    /// Of this name and form; `about` says what it does.
    pub fn new(name: impl Into<String>, schema: Schema, about: impl Into<String>) -> Self {
        Self { name: name.into(), about: about.into(), schema }
    }

    /// As [`Query::text`](super::Query::text) reads.
    pub fn text(name: impl Into<String>, about: impl Into<String>) -> Self {
        Self::new(name, Schema::text(super::VALUE_BYTES_MAX), about)
    }

    /// As [`Query::boolean`](super::Query::boolean) reads.
    pub fn boolean(name: &str, about: &str) -> Self {
        Self::new(name, Schema::boolean(), about)
    }

    /// As [`Query::instant`](super::Query::instant) reads.
    pub fn instant(name: &str, about: &str) -> Self {
        Self::new(name, Schema::instant(), about)
    }

    /// As [`Query::word`](super::Query::word) reads.
    pub fn word(name: &str, words: &[&str], about: &str) -> Self {
        Self::new(name, Schema::one_of(words), about)
    }

    /// As [`Query::list`](super::Query::list) reads.
    pub fn list(name: impl Into<String>, of: Schema, about: impl Into<String>) -> Self {
        Self::new(name, Schema::items(of, super::ITEMS_MAX), about)
    }

    /// As [`Match::read`](super::filter::Match::read) reads.
    pub fn matching(name: &str) -> Self {
        Self::new(
            name,
            Schema::one_of(&["all", "any"]).by_default("all"),
            "whether every condition must be met, or one is enough",
        )
    }

    /// As [`Order::read`](super::filter::Order::read) reads.
    pub fn order(fields: &[&str]) -> [Self; 2] {
        let direction = Schema::one_of(&["asc", "desc"]).by_default("asc");
        [
            Self::word("order", fields, "by which member the list is ordered"),
            Self::new("direction", direction, "which end comes first"),
        ]
    }

    /// As [`Page::read`](super::page::Page::read) reads.
    pub fn pages(limits: PageLimits) -> [Self; 2] {
        let page = Schema::integer(1..=i64::MAX).by_default(1);
        [Self::new("page", page, "which page; one past the end is empty"), per_page("per_page", limits)]
    }

    /// As [`CursorPage::read`](super::page::CursorPage::read) reads.
    pub fn cursors(limits: PageLimits) -> [Self; 2] {
        let cursor = Schema::text(super::VALUE_BYTES_MAX).about("as an answer gave it");
        [Self::new("cursor", cursor, "where the list goes on, as the answer before gave it"), per_page("per_page", limits)]
    }

    /// It must be there.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.schema = self.schema.required();
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// As OpenAPI's Parameter Object (3.1 §4.8.12): a list may be repeated, or one text with commas.
    pub fn into_object(self) -> Value {
        let required = self.schema.is_required();
        let mut out = json!({ "name": self.name, "in": "query", "description": self.about, "schema": self.schema.into_value() });
        if required {
            out["required"] = true.into();
        }
        if out["schema"]["type"] == "array" {
            out["style"] = "form".into();
            out["explode"] = false.into();
        }
        out
    }
}

fn per_page(name: &str, limits: PageLimits) -> Parameter {
    let schema = Schema::integer(1..=limits.max.into()).by_default(limits.default);
    Parameter::new(name, schema, "how many at once; whoever asks for more gets the most there is")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_told_as_openapi_wants_it() {
        let told = Parameter::list("status", Schema::one_of(&["a"]), "which").into_object();
        let schema = json!({"type": "array", "items": {"type": "string", "enum": ["a"]}, "maxItems": 200});
        let expected =
            json!({"name": "status", "in": "query", "description": "which", "schema": schema, "style": "form", "explode": false});
        assert_eq!(told, expected);
        assert_eq!(Parameter::instant("since", "x").required().into_object()["required"], true);
        let [page, per_page] = Parameter::pages(PageLimits::ZONES).map(Parameter::into_object);
        assert_eq!((&page["schema"]["default"], &per_page["schema"]["maximum"]), (&json!(1), &json!(50)));
    }
}
