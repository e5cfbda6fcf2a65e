//! What a write does to the items of a list.
//!
//! Two items are the same when their [`key`](super::ItemValue::key) is: an item that is there already, or that a body brings twice, is changed
//! to what was said last and keeps its id. That is what lets a blocker append whatever it meets without asking first.

use std::collections::HashMap;

use serde_json::json;

use super::{ITEMS_A_CALL_MAX, ITEMS_MAX, ItemDraft, ListItem, ListKind};
use crate::{At, ListItemId, Schema, ShapeError, Timestamp};

/// Why a list stayed as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// The body is wrong.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The list would hold too many.
    #[error("the list would hold {0} items: at most {ITEMS_MAX} fit")]
    Full(usize),
}

/// What is to be stored.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ListWrite {
    /// New items.
    pub inserted: Vec<ListItem>,
    /// Items that are there and say something else now.
    pub updated: Vec<ListItem>,
    /// Items that go.
    pub removed: Vec<ListItemId>,
}

impl ListWrite {
    /// Whether it changes nothing.
    pub const fn is_empty(&self) -> bool {
        self.inserted.is_empty() && self.updated.is_empty() && self.removed.is_empty()
    }
}

/// What [`read_items`] reads.
pub fn items_schema() -> Schema {
    Schema::items(ItemDraft::schema(), ITEMS_A_CALL_MAX)
        .named("NewItems")
        .example(json!([{ "ip": "192.0.2.0/24", "comment": "ours" }]))
}

/// What [`read_ids`] reads.
pub fn ids_schema() -> Schema {
    let item = Schema::object([("id", Schema::hex("an item of the list").required())]);
    let example = json!({ "items": [{ "id": "0123456789abcdef0123456789abcdef" }] });
    Schema::object([("items", Schema::items(item, ITEMS_A_CALL_MAX).not_empty().required())]).named("GoneItems").example(example)
}

/// The bare list that POST and PUT bring.
///
/// # Errors
/// It is none, too long, or an item is wrong.
pub fn read_items(body: &At<'_>, kind: ListKind) -> Result<Vec<ItemDraft>, ShapeError> {
    body.items(ITEMS_A_CALL_MAX)?.map(|item| ItemDraft::read(&item, kind)).collect()
}

/// The ids that DELETE brings, as `{"items": [{"id": …}]}`.
///
/// # Errors
/// It brings none, too many, or one that is no id.
pub fn read_ids(body: &At<'_>) -> Result<Vec<ListItemId>, ShapeError> {
    let items = body.required("items")?;
    let list = items.items(ITEMS_A_CALL_MAX)?;
    if list.len() == 0 {
        return Err(items.wrong("write the items that go, as in {\"id\": \"…\"}"));
    }
    list.map(|item| {
        let id = item.required("id")?;
        id.text(64)?.parse().map_err(|error: crate::id::IdError| ShapeError::new(id.pointer(), error.to_string()))
    })
    .collect()
}

/// POST: `existing` holds at least those of the list's items that a draft means, by key; `count` is how many the list has.
///
/// # Errors
/// The list would hold too many.
pub fn append(
    existing: &HashMap<String, ListItem>,
    count: usize,
    drafts: Vec<ItemDraft>,
    new_id: &mut dyn FnMut() -> ListItemId,
    now: Timestamp,
) -> Result<ListWrite, ListError> {
    let mut write = ListWrite::default();
    for (key, draft) in last_said(drafts) {
        match existing.get(&key) {
            Some(item) => write.updated.extend(renewed(item, draft, now)),
            None => write.inserted.push(fresh(draft, new_id(), now)),
        }
    }
    fits(count + write.inserted.len()).map(|()| write)
}

/// PUT: `existing` holds every item of the list, by key.
///
/// # Errors
/// The list would hold too many.
pub fn replace(
    existing: &HashMap<String, ListItem>,
    drafts: Vec<ItemDraft>,
    new_id: &mut dyn FnMut() -> ListItemId,
    now: Timestamp,
) -> Result<ListWrite, ListError> {
    let said = last_said(drafts);
    fits(said.len())?;
    let kept: std::collections::HashSet<&str> = said.iter().map(|(key, _)| key.as_str()).collect();
    let mut removed: Vec<ListItemId> =
        existing.iter().filter(|(key, _)| !kept.contains(key.as_str())).map(|(_, item)| item.id).collect();
    removed.sort_unstable();
    Ok(ListWrite { removed, ..append(existing, 0, said.into_iter().map(|(_, draft)| draft).collect(), new_id, now)? })
}

fn fits(count: usize) -> Result<(), ListError> {
    if count > ITEMS_MAX { Err(ListError::Full(count)) } else { Ok(()) }
}

/// Each key once, in the order of its first mention, with what was said of it last.
fn last_said(drafts: Vec<ItemDraft>) -> Vec<(String, ItemDraft)> {
    let mut places: HashMap<String, usize> = HashMap::with_capacity(drafts.len());
    let mut said: Vec<(String, ItemDraft)> = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let key = draft.value.key();
        match places.get(&key) {
            Some(place) => said[*place].1 = draft,
            None => {
                places.insert(key.clone(), said.len());
                said.push((key, draft));
            }
        }
    }
    said
}

fn fresh(draft: ItemDraft, id: ListItemId, now: Timestamp) -> ListItem {
    let ItemDraft { value, comment } = draft;
    ListItem { id, value, comment, created_on: now, modified_on: now }
}

fn renewed(item: &ListItem, draft: ItemDraft, now: Timestamp) -> Option<ListItem> {
    let ItemDraft { value, comment } = draft;
    (item.value != value || item.comment != comment).then_some(ListItem {
        value,
        comment,
        modified_on: now,
        id: item.id,
        created_on: item.created_on,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn drafts(items: &Value) -> Vec<ItemDraft> {
        read_items(&At::body(items), ListKind::Ip).unwrap()
    }

    fn ids() -> impl FnMut() -> ListItemId {
        let mut last = 0_u128;
        move || {
            last += 1;
            ListItemId::from_bytes(last.to_be_bytes())
        }
    }

    fn by_key(items: impl IntoIterator<Item = ListItem>) -> HashMap<String, ListItem> {
        items.into_iter().map(|item| (item.value.key(), item)).collect()
    }

    fn applied(existing: &HashMap<String, ListItem>, write: ListWrite) -> HashMap<String, ListItem> {
        let mut after = existing.clone();
        after.retain(|_, item| !write.removed.contains(&item.id));
        after.extend(by_key(write.inserted.into_iter().chain(write.updated)));
        after
    }

    #[test]
    fn what_is_there_is_changed_and_not_doubled() {
        let mut new_id = ids();
        let first = json!([{"ip": "192.0.2.1"}, {"ip": "2001:db8::1"}, {"ip": "2001:db8::2", "comment": "same /64"}]);
        let write = append(&HashMap::new(), 0, drafts(&first), &mut new_id, NOW).unwrap();
        assert_eq!((write.inserted.len(), write.updated.len()), (2, 0));
        assert_eq!(write.inserted[1].comment.as_deref(), Some("same /64"));
        let existing = by_key(write.inserted);
        assert!(append(&existing, 2, drafts(&json!([{"ip": "192.0.2.1"}])), &mut new_id, NOW).unwrap().is_empty());
        let later = NOW.plus_secs(5);
        let write = append(&existing, 2, drafts(&json!([{"ip": "192.0.2.1/32", "comment": "x"}])), &mut new_id, later).unwrap();
        let updated = &write.updated[0];
        assert_eq!((updated.id, updated.created_on, updated.modified_on), (existing["192.0.2.1"].id, NOW, later));
        assert!(write.inserted.is_empty());
    }

    #[test]
    fn a_list_has_a_bound_and_bodies_too() {
        let mut new_id = ids();
        let one = drafts(&json!([{"ip": "192.0.2.1"}]));
        assert_eq!(append(&HashMap::new(), ITEMS_MAX, one, &mut new_id, NOW), Err(ListError::Full(ITEMS_MAX + 1)));
        let many = Value::from(vec![json!({"ip": "192.0.2.1"}); ITEMS_A_CALL_MAX + 1]);
        assert!(read_items(&At::body(&many), ListKind::Ip).is_err());
        assert_eq!(read_items(&At::body(&json!([{"ip": "1.1.1.1"}, {"ip": "x"}])), ListKind::Ip).unwrap_err().pointer, "/1/ip");
        assert_eq!(read_ids(&At::body(&json!({"items": []}))).unwrap_err().pointer, "/items");
        assert_eq!(read_ids(&At::body(&json!({"items": [{"id": "x"}]}))).unwrap_err().pointer, "/items/0/id");
        assert_eq!(read_ids(&At::body(&json!({"items": [{"id": "00".repeat(16)}]}))).unwrap().len(), 1);
    }

    proptest! {
        /// After a PUT the list holds exactly what was said; what was there before keeps its id; the same PUT again is nothing.
        #[test]
        fn a_put_leaves_exactly_what_was_said(before in prop::collection::vec(0..20_u8, 0..10), after in prop::collection::vec(0..20_u8, 0..10)) {
            let mut new_id = ids();
            let items = |numbers: &[u8]| drafts(&numbers.iter().map(|n| json!({"ip": format!("192.0.2.{n}")})).collect());
            let first = applied(&HashMap::new(), replace(&HashMap::new(), items(&before), &mut new_id, NOW).unwrap());
            let second = applied(&first, replace(&first, items(&after), &mut new_id, NOW).unwrap());
            let mut expected: Vec<String> = after.iter().map(|n| format!("192.0.2.{n}")).collect();
            expected.sort();
            expected.dedup();
            let mut held: Vec<String> = second.keys().cloned().collect();
            held.sort();
            prop_assert_eq!(held, expected);
            for (key, item) in &second {
                if let Some(old) = first.get(key) {
                    prop_assert_eq!(old.id, item.id);
                }
            }
            prop_assert!(replace(&second, items(&after), &mut new_id, NOW).unwrap().is_empty());
        }
    }
}
