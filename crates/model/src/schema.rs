//! What a body may be, told in JSON Schema (2020-12, which is OpenAPI 3.1's).
//!
//! The words are those of [`crate::shape`], which reads the body: where the reader says `text(500)`, `one_of(WORDS)` or
//! `integer(1..=5)`, the schema beside it says so again, out of the same constants. [`Schema::variations`] makes bodies of it that are
//! wrong in one place each: whoever has the reader asks it to refuse every one of them there.
//!
//! A member that is not required may be `null`, which counts as absent everywhere ([`crate::shape`]); that is told once for the whole API
//! and not with every member.

use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};

/// A JSON Schema.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    tree: Value,
    required: bool,
}

/// A body that is wrong in one place.
#[derive(Debug, Clone, PartialEq)]
pub struct Variation {
    /// It.
    pub body: Value,
    /// JSON pointer to what is wrong.
    pub pointer: String,
}

impl Schema {
    /// Any schema, written out.
    pub const fn of(tree: Value) -> Self {
        Self { tree, required: false }
    }

    /// Whatever it is.
    pub fn anything() -> Self {
        Self::of(json!({}))
    }

    /// As [`At::text`](crate::At::text) reads.
    pub fn text(max: usize) -> Self {
        Self::of(json!({ "type": "string", "maxLength": max }))
    }

    /// As [`At::one_of`](crate::At::one_of) reads.
    pub fn one_of(words: &[&str]) -> Self {
        Self::of(json!({ "type": "string", "enum": words }))
    }

    /// As [`At::boolean`](crate::At::boolean) reads.
    pub fn boolean() -> Self {
        Self::of(json!({ "type": "boolean" }))
    }

    /// As [`At::integer`](crate::At::integer) reads. That digits in a text are taken too is not told: nobody should begin to.
    pub fn integer(range: RangeInclusive<i64>) -> Self {
        Self::of(json!({ "type": "integer", "minimum": range.start(), "maximum": range.end() }))
    }

    /// As [`At::items`](crate::At::items) reads.
    pub fn items(of: Self, max: usize) -> Self {
        Self::of(json!({ "type": "array", "items": of.tree, "maxItems": max }))
    }

    /// A list of which nothing but the size of the body bounds the length.
    pub fn list(of: Self) -> Self {
        Self::of(json!({ "type": "array", "items": of.tree }))
    }

    /// An id of 32 hexadecimal digits.
    pub fn hex(what: &str) -> Self {
        Self::of(json!({ "type": "string", "pattern": "^[0-9a-f]{32}$" })).about(what)
    }

    /// An id that is a UUID.
    pub fn uuid(what: &str) -> Self {
        Self::of(json!({ "type": "string", "format": "uuid" })).about(what)
    }

    /// An instant of RFC 3339.
    pub fn instant() -> Self {
        Self::of(json!({ "type": "string", "format": "date-time" }))
    }

    /// An address or a network in the notation of bits.
    pub fn network() -> Self {
        Self::text(64).about("an address, or a network as in 192.0.2.0/24")
    }

    /// The name of a domain.
    pub fn name() -> Self {
        Self::text(254).about("the name of a domain")
    }

    /// An object of these members. Others are passed over unless [`Self::closed`].
    pub fn object<'a>(members: impl IntoIterator<Item = (&'a str, Self)>) -> Self {
        let (mut properties, mut required) = (Map::new(), Vec::new());
        for (name, member) in members {
            if member.required {
                required.push(Value::from(name));
            }
            properties.insert(name.to_owned(), member.tree);
        }
        let mut out = Self::of(json!({ "type": "object", "properties": properties }));
        if !required.is_empty() {
            out.tree["required"] = required.into();
        }
        out
    }

    /// One of these.
    pub fn any_of(choices: impl IntoIterator<Item = Self>) -> Self {
        Self::of(json!({ "anyOf": choices.into_iter().map(|choice| choice.tree).collect::<Vec<_>>() }))
    }

    /// As a member: it must be there.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// With a description.
    #[must_use]
    pub fn about(self, what: &str) -> Self {
        self.with("description", what)
    }

    /// With a body, or value, that is right.
    #[must_use]
    pub fn example(self, example: impl Into<Value>) -> Self {
        self.with("examples", json!([example.into()]))
    }

    /// Under a name of its own in the document.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        self.with("title", name)
    }

    /// With what holds where nothing is said.
    #[must_use]
    pub fn by_default(self, value: impl Into<Value>) -> Self {
        self.with("default", value)
    }

    /// Text: not empty; list: not empty.
    #[must_use]
    pub fn not_empty(self) -> Self {
        let key = if self.tree["type"] == "array" { "minItems" } else { "minLength" };
        self.with(key, 1)
    }

    /// Text of this pattern.
    #[must_use]
    pub fn pattern(self, pattern: &str) -> Self {
        self.with("pattern", pattern)
    }

    /// Null is a value of its own here.
    #[must_use]
    pub fn or_null(mut self) -> Self {
        let kind = self.tree["type"].take();
        self.with("type", json!([kind, "null"]))
    }

    /// Object: other members are refused, as by [`At::only`](crate::At::only).
    #[must_use]
    pub fn closed(self) -> Self {
        self.with("additionalProperties", false)
    }

    /// With any other keyword.
    #[must_use]
    pub fn with(mut self, keyword: &str, value: impl Into<Value>) -> Self {
        self.tree[keyword] = value.into();
        self
    }

    /// Whether [`Self::required`] was said.
    pub const fn is_required(&self) -> bool {
        self.required
    }

    /// The schema itself.
    pub fn into_value(self) -> Value {
        self.tree
    }

    /// Its example, changed in one place each, so that it is wrong there: a required member that is missing, a value of another type, a
    /// text that is too long, a word or number that is none of those allowed, one item too many. Empty where there is no example.
    ///
    /// Lists of more than a thousand items are not made too long.
    pub fn variations(tree: &Value) -> Vec<Variation> {
        let mut out = Vec::new();
        if let Some(example) = tree["examples"].get(0) {
            vary(tree, example, "", &mut |pointer: &str, value: Option<Value>| {
                let mut body = example.clone();
                let is_root = pointer.is_empty();
                match value {
                    Some(value) if is_root => body = value,
                    other => put(&mut body, pointer, other),
                }
                // What stands in an object that the example leaves out is not reached.
                if body != *example {
                    out.push(Variation { body, pointer: pointer.to_owned() });
                }
            });
        }
        out
    }
}

/// Puts a value there, where there is a place for it; or takes away what is there.
fn put(body: &mut Value, pointer: &str, value: Option<Value>) {
    let Some((parent, key)) = pointer.rsplit_once('/') else { return };
    match (body.pointer_mut(parent), value) {
        (Some(Value::Object(members)), Some(value)) => drop(members.insert(key.to_owned(), value)),
        (Some(Value::Object(members)), None) => drop(members.remove(key)),
        (Some(Value::Array(items)), Some(value)) => {
            if let Some(item) = key.parse::<usize>().ok().and_then(|place| items.get_mut(place)) {
                *item = value;
            }
        }
        _ => {}
    }
}

/// Tells `wrong` each place and what to put there; nothing: the member goes.
fn vary(schema: &Value, example: &Value, at: &str, wrong: &mut dyn FnMut(&str, Option<Value>)) {
    let kind = &schema["type"];
    let another = match kind.as_str() {
        Some("string" | "integer" | "boolean" | "array") => Some(json!({ "other": [] })),
        Some("object") => Some(json!("other")),
        _ => None,
    };
    if let Some(another) = another {
        wrong(at, Some(another));
    }
    if schema.get("enum").is_some() {
        wrong(at, Some("none-of-them".into()));
    }
    if let Some(max) = schema["maxLength"].as_u64().and_then(|max| usize::try_from(max).ok()) {
        wrong(at, Some("x".repeat(max + 1).into()));
    }
    for (bound, beyond) in [("minimum", -1), ("maximum", 1)] {
        if let Some(beyond) = schema[bound].as_i64().and_then(|bound| bound.checked_add(beyond)) {
            wrong(at, Some(beyond.into()));
        }
    }
    if let Some(list) = example.as_array() {
        let max = schema["maxItems"].as_u64().filter(|max| *max <= 1000).and_then(|max| usize::try_from(max).ok());
        if let (Some(max), Some(first)) = (max, list.first()) {
            wrong(at, Some(vec![first.clone(); max + 1].into()));
        }
        if schema["minItems"] == 1 {
            wrong(at, Some(json!([])));
        }
        if let Some(first) = list.first() {
            vary(&schema["items"], first, &format!("{at}/0"), wrong);
        }
    }
    let Some(members) = schema["properties"].as_object() else { return };
    let is_required = |name: &String| schema["required"].as_array().is_some_and(|all| all.contains(&Value::from(name.as_str())));
    for (name, member) in members {
        let place = format!("{at}/{name}");
        if is_required(name) {
            wrong(&place, None);
        }
        // What the example leaves out is tried with its own, or is wrong all the same.
        let inner = example.get(name).or_else(|| member["examples"].get(0)).unwrap_or(&Value::Null);
        vary(member, inner, &place, wrong);
    }
    if schema["additionalProperties"] == false {
        wrong(&format!("{at}/another-member"), Some(1.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_says_what_the_reader_says() {
        let schema = Schema::object([
            ("name", Schema::text(5).required().about("of it")),
            ("kind", Schema::one_of(&["a", "b"])),
            ("count", Schema::integer(1..=3).by_default(2)),
        ]);
        let expected = json!({"type": "object", "required": ["name"], "properties": {
            "name": {"type": "string", "maxLength": 5, "description": "of it"},
            "kind": {"type": "string", "enum": ["a", "b"]},
            "count": {"type": "integer", "minimum": 1, "maximum": 3, "default": 2}}});
        assert_eq!(schema.into_value(), expected);
        assert_eq!(Schema::text(5).or_null().into_value()["type"], json!(["string", "null"]));
    }

    #[test]
    fn each_variation_is_wrong_in_one_place() {
        let rule = Schema::object([("n", Schema::integer(1..=3).required())]).closed();
        let schema = Schema::object([("name", Schema::text(2).required()), ("rules", Schema::items(rule, 1).not_empty())])
            .example(json!({"name": "a", "rules": [{"n": 2}]}));
        let variations = Schema::variations(&schema.into_value());
        let has = |pointer: &str, body: Value| variations.contains(&Variation { body, pointer: pointer.into() });
        assert!(has("", json!("other")));
        assert!(has("/name", json!({"rules": [{"n": 2}]})));
        assert!(has("/name", json!({"name": "xxx", "rules": [{"n": 2}]})));
        assert!(has("/rules", json!({"name": "a", "rules": []})));
        assert!(has("/rules", json!({"name": "a", "rules": [{"n": 2}, {"n": 2}]})));
        assert!(has("/rules/0/n", json!({"name": "a", "rules": [{"n": 4}]})));
        assert!(has("/rules/0/n", json!({"name": "a", "rules": [{}]})));
        assert!(has("/rules/0/another-member", json!({"name": "a", "rules": [{"n": 2, "another-member": 1}]})));
        assert!(Schema::variations(&Schema::text(3).into_value()).is_empty());
    }
}
