//! Lists that rules refer to by name: `ip.src in $office` (api-v4 §8, edge-behaviour §4.6).
//!
//! * [`item`]: the four kinds of item, and their one spelling;
//! * [`edit`]: what appending, replacing and deleting do; an item that is there already is changed, not doubled.
//!
//! Writes are decided at once; clients that poll a bulk operation find it completed.

pub mod edit;
pub mod item;

use serde::{Deserialize, Serialize};
use serde_json::json;

pub use edit::{ListError, ListWrite};
pub use item::{ItemDraft, ItemValue, ListItem};

use crate::{At, ListId, ListOperationId, Schema, ShapeError, Timestamp, word::words};

/// Longest name of a list, in characters.
pub const NAME_CHARS_MAX: usize = 50;

/// Longest description of a list, or comment of an item, in characters.
pub const COMMENT_CHARS_MAX: usize = 500;

/// Most items one list holds.
pub const ITEMS_MAX: usize = 1_000_000;

/// Most items one call brings.
pub const ITEMS_A_CALL_MAX: usize = 100_000;

words! {
    /// What a list holds.
    pub enum ListKind {
        /// Addresses and networks.
        Ip = "ip",
        /// Where requests for an address are led.
        Redirect = "redirect",
        /// Host names, and all below one.
        Hostname = "hostname",
        /// Autonomous systems.
        Asn = "asn",
    }
}

/// A list, without its items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// Its id.
    pub id: ListId,
    /// What expressions call it: letters of a to z, digits and `_`. Unique in its account.
    pub name: String,
    /// What it holds; never changes.
    pub kind: ListKind,
    /// For people; may be empty.
    pub description: String,
    /// When it was made.
    pub created_on: Timestamp,
    /// When it, or an item, was last changed.
    pub modified_on: Timestamp,
}

/// A new list, as a body brings it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListDraft {
    /// See [`List::name`].
    pub name: String,
    /// See [`List::kind`].
    pub kind: ListKind,
    /// See [`List::description`].
    pub description: String,
}

impl ListDraft {
    /// What [`Self::read`] reads.
    pub fn schema() -> Schema {
        let name = Schema::text(NAME_CHARS_MAX).not_empty().pattern("^[a-z0-9_]+$").about("what rules call it");
        let members = [
            ("name", name.required()),
            ("kind", Schema::one_of(ListKind::WORDS).required()),
            ("description", Schema::text(COMMENT_CHARS_MAX)),
        ];
        Schema::object(members).named("NewList").example(json!({ "name": "office", "kind": "ip", "description": "our own" }))
    }

    /// From the body of a POST.
    ///
    /// # Errors
    /// The first member that is wrong.
    pub fn read(body: &At<'_>) -> Result<Self, ShapeError> {
        let name = check_name(&body.required("name")?)?.to_owned();
        let kind = ListKind::read(&body.required("kind")?)?;
        Ok(Self { name, kind, description: read_description(body)? })
    }
}

/// What [`read_description`] reads.
pub fn description_schema() -> Schema {
    Schema::object([("description", Schema::text(COMMENT_CHARS_MAX))])
        .named("ListChanges")
        .example(json!({ "description": "ours" }))
}

/// The `description` of a body; empty when it has none.
///
/// # Errors
/// It is no text, or too long.
pub fn read_description(body: &At<'_>) -> Result<String, ShapeError> {
    body.object()?;
    body.member("description").map_or(Ok(String::new()), |text| text.text(COMMENT_CHARS_MAX).map(str::to_owned))
}

/// A list's name.
///
/// # Errors
/// It is empty, too long, or has another character than `a` to `z`, `0` to `9` and `_`.
pub fn check_name<'a>(at: &At<'a>) -> Result<&'a str, ShapeError> {
    let name = at.text(NAME_CHARS_MAX)?;
    let valid = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if valid { Ok(name) } else { Err(at.wrong("write a name of a to z, 0 to 9 and _")) }
}

words! {
    /// How far a bulk operation is.
    pub enum OperationStatus {
        /// Not begun.
        Pending = "pending",
        /// Begun.
        Running = "running",
        /// Done.
        Completed = "completed",
        /// Nothing was changed.
        Failed = "failed",
    }
}

/// The writing of a list, as clients ask after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListOperation {
    /// Its id.
    pub id: ListOperationId,
    /// How far it is.
    pub status: OperationStatus,
    /// When it ended.
    pub completed: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<String>,
}

impl ListOperation {
    /// One that ended well at this instant.
    pub const fn completed(id: ListOperationId, now: Timestamp) -> Self {
        Self { id, status: OperationStatus::Completed, completed: Some(now), error: None }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_has_a_name_that_expressions_can_say() {
        let body = json!({"name": "office_1", "kind": "ip", "description": null});
        let draft = ListDraft::read(&At::body(&body)).unwrap();
        assert_eq!((draft.name.as_str(), draft.kind, draft.description.as_str()), ("office_1", ListKind::Ip, ""));
        for name in ["", "Office", "of-fice", "büro", &"a".repeat(51)] {
            let body = json!({"name": name, "kind": "ip"});
            assert_eq!(ListDraft::read(&At::body(&body)).unwrap_err().pointer, "/name", "{name}");
        }
        assert_eq!(ListDraft::read(&At::body(&json!({"name": "a", "kind": "ips"}))).unwrap_err().pointer, "/kind");
    }
}
