//! A tree of values, out of JSON or YAML, before anything is known of its keys.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};

/// Any YAML or JSON value; key order is kept.
#[derive(Debug, Clone, PartialEq)]
pub enum Document {
    /// Nothing.
    Null,
    /// true or false.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Another number.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Document>),
    /// Keys and values.
    Map(Vec<(String, Document)>),
}

impl Document {
    /// What it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a number with a fraction",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "keys and values",
        }
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Document;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_unit<E>(self) -> Result<Document, E> {
                Ok(Document::Null)
            }
            fn visit_none<E>(self) -> Result<Document, E> {
                Ok(Document::Null)
            }
            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Document, D::Error> {
                Document::deserialize(deserializer)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Document, E> {
                Ok(Document::Bool(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Document, E> {
                Ok(Document::Integer(value))
            }
            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Document, E> {
                i64::try_from(value).map(Document::Integer).map_err(|_| E::custom(format!("the number {value} is too large")))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Document, E> {
                Ok(Document::Float(value))
            }
            fn visit_str<E>(self, value: &str) -> Result<Document, E> {
                Ok(Document::Text(value.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Document, A::Error> {
                let mut list = Vec::new();
                while let Some(value) = seq.next_element()? {
                    list.push(value);
                }
                Ok(Document::List(list))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry::<String, Document>()? {
                    entries.push(entry);
                }
                Ok(Document::Map(entries))
            }
        }
        deserializer.deserialize_any(Any)
    }
}
