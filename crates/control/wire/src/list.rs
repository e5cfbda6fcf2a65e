//! Lists, their items and bulk operations on the wire (api-v4 §8).

use poterne_model::{
    ListId, ListOperationId,
    list::{List, ListItem, ListKind, ListOperation, OperationStatus},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::WireTime;

/// A list.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each is documented in `List`")]
pub struct ListObject {
    pub id: ListId,
    pub name: String,
    pub kind: ListKind,
    /// Absent where there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// How many items it has.
    pub num_items: u64,
    /// How many rules name it.
    pub num_referencing_filters: u64,
    pub created_on: WireTime,
    pub modified_on: WireTime,
}

impl ListObject {
    /// With so many items, named by so many rules.
    pub fn new(list: List, num_items: u64, num_referencing_filters: u64) -> Self {
        let List { id, name, kind, description, created_on, modified_on } = list;
        let (created_on, modified_on) = (created_on.into(), modified_on.into());
        Self { id, name, kind, description, num_items, num_referencing_filters, created_on, modified_on }
    }
}

/// An item as [`item_object`] tells it, for the description of the API: one of `ip`, `asn`, `hostname` and `redirect`, by its list's kind.
#[cfg(feature = "openapi")]
#[derive(Debug, Clone, utoipa::ToSchema)]
#[allow(missing_docs, reason = "each is documented in `ListItem`")]
pub struct ItemObject {
    pub id: poterne_model::ListItemId,
    pub ip: Option<poterne_model::Network>,
    pub asn: Option<u32>,
    pub hostname: Option<HostnameItem>,
    pub redirect: Option<RedirectItem>,
    pub comment: Option<String>,
    pub created_on: WireTime,
    pub modified_on: WireTime,
}

/// Of a `hostname` list.
#[cfg(feature = "openapi")]
#[derive(Debug, Clone, utoipa::ToSchema)]
#[allow(missing_docs, reason = "each is documented in `ItemValue`")]
pub struct HostnameItem {
    pub url_hostname: String,
    pub exclude_exact_hostname: Option<bool>,
}

/// Of a `redirect` list.
#[cfg(feature = "openapi")]
#[derive(Debug, Clone, utoipa::ToSchema)]
#[allow(missing_docs, reason = "each is documented in `Redirect`")]
pub struct RedirectItem {
    pub source_url: String,
    pub target_url: String,
    pub status_code: u16,
    pub include_subdomains: Option<bool>,
    pub subpath_matching: Option<bool>,
    pub preserve_query_string: Option<bool>,
    pub preserve_path_suffix: Option<bool>,
}

/// An item: its value, and what it is.
pub fn item_object(item: &ListItem) -> Value {
    let mut out: Map<String, Value> = item.value.members();
    out.insert("id".into(), item.id.to_string().into());
    if let Some(comment) = &item.comment {
        out.insert("comment".into(), comment.as_str().into());
    }
    out.insert("created_on".into(), WireTime(item.created_on).to_string().into());
    out.insert("modified_on".into(), WireTime(item.modified_on).to_string().into());
    Value::Object(out)
}

/// What every write of items is answered with.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationStarted {
    /// To be asked after.
    pub operation_id: ListOperationId,
}

/// How far such a write is.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each is documented in `ListOperation`")]
pub struct OperationObject {
    pub id: ListOperationId,
    pub status: OperationStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed: Option<WireTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl From<ListOperation> for OperationObject {
    fn from(operation: ListOperation) -> Self {
        let ListOperation { id, status, completed, error } = operation;
        Self { id, status, completed: completed.map(WireTime), error }
    }
}

#[cfg(test)]
mod tests {
    use poterne_model::{At, ListItemId, Timestamp, list::ItemDraft};
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
    const SHOWN: &str = "2027-01-15T08:00:00.000000Z";

    #[test]
    fn an_item_is_told_with_its_value_in_normal_form() {
        let ItemDraft { value, comment } =
            ItemDraft::read(&At::body(&json!({"ip": "192.0.2.7/24", "comment": "office"})), ListKind::Ip).unwrap();
        let item = ListItem { id: ListItemId::from_bytes([2; 16]), value, comment, created_on: NOW, modified_on: NOW };
        let expected =
            json!({"id": "02".repeat(16), "ip": "192.0.2.0/24", "comment": "office", "created_on": SHOWN, "modified_on": SHOWN});
        assert_eq!(item_object(&item), expected);
    }

    #[test]
    fn a_write_that_is_done_says_when() {
        let operation = ListOperation::completed(ListOperationId::from_bytes([3; 16]), NOW);
        let told = serde_json::to_value(OperationObject::from(operation)).unwrap();
        assert_eq!(told, json!({"id": "03".repeat(16), "status": "completed", "completed": SHOWN}));
    }

    #[test]
    fn a_list_is_told_with_its_counts() {
        let list = List {
            id: ListId::from_bytes([1; 16]),
            name: "office".into(),
            kind: ListKind::Ip,
            description: String::new(),
            created_on: NOW,
            modified_on: NOW,
        };
        let told = serde_json::to_value(ListObject::new(list, 3, 1)).unwrap();
        assert_eq!((&told["num_items"], &told["num_referencing_filters"], &told["kind"]), (&json!(3), &json!(1), &json!("ip")));
        assert_eq!(told.get("description"), None, "nobody wrote one");
    }
}
