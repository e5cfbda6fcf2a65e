//! Lists that rules name, and their items.
//!
//! A list may have a hundred thousand items and a call may bring as many, so items are written and looked up many to a statement.

use std::{collections::HashMap, fmt::Write as _, sync::LazyLock};

use poterne_model::{
    AccountId, At, ListId, ListItemId, ListOperationId, Timestamp,
    list::{ItemDraft, ItemValue, List, ListItem, ListKind, ListOperation, ListWrite},
};

use crate::{
    Micros, Session, StoreError,
    database::{Row, query},
    rows::{cell, changed, containing, inserted, parsed},
    select::Select,
    touched::Touched,
};

/// Items, keys or ids in one statement.
const BATCH: usize = 50;

/// Most operations of an account that can be asked after; older ones are forgotten.
const OPERATIONS_MAX: u32 = 1000;

/// Columns of an item, as they are bound.
const COLUMNS: usize = 8;

static INSERT: LazyLock<String> = LazyLock::new(|| insert(1));
static INSERT_BATCH: LazyLock<String> = LazyLock::new(|| insert(BATCH));
static BY_KEYS: LazyLock<String> =
    LazyLock::new(|| format!("SELECT * FROM list_item WHERE list = $1 AND key IN ({})", places(2)));
static DELETE: LazyLock<String> = LazyLock::new(|| format!("DELETE FROM list_item WHERE list = $1 AND id IN ({})", places(2)));

fn insert(rows: usize) -> String {
    let mut sql = "INSERT INTO list_item (id, list, key, value, comment, search, created_at, modified_at) VALUES ".to_owned();
    for row in 0..rows {
        let places: Vec<String> = (1..=COLUMNS).map(|column| format!("${}", row * COLUMNS + column)).collect();
        let _ = write!(sql, "{}({})", if row == 0 { "" } else { ", " }, places.join(", "));
    }
    sql + " ON CONFLICT DO NOTHING"
}

fn places(first: usize) -> String {
    (first..first + BATCH).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ")
}

impl Session {
    /// A new list. Conflict when the account has one of that name.
    pub async fn insert_list(&mut self, account: AccountId, list: &List) -> Result<(), StoreError> {
        let statement = "INSERT INTO list (id, account, name, kind, description, created_at, modified_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
        let done = query(statement)
            .bind(list.id.to_string())
            .bind(account.to_string())
            .bind(&list.name)
            .bind(list.kind.as_str())
            .bind(&list.description)
            .bind(list.created_on.as_micros())
            .bind(list.modified_on.as_micros())
            .execute(self.connection())
            .await?;
        inserted(done, "list")?;
        // Rules may have named it before.
        self.touch_list(list).await
    }

    /// Changes what a list is described as, and when it was changed.
    pub async fn update_list(&mut self, list: &List) -> Result<(), StoreError> {
        let statement = query("UPDATE list SET description = $2, modified_at = $3 WHERE id = $1").bind(list.id.to_string());
        let done = statement.bind(&list.description).bind(list.modified_on.as_micros()).execute(self.connection()).await?;
        changed(done, "list")
    }

    /// Takes a list away, with its items.
    pub async fn delete_list(&mut self, id: ListId) -> Result<(), StoreError> {
        let done = query("DELETE FROM list WHERE id = $1").bind(id.to_string()).execute(self.connection()).await?;
        changed(done, "list")
    }

    /// An account's lists by name, each with how many items it has.
    pub async fn lists(&mut self, account: AccountId) -> Result<Vec<(List, u64)>, StoreError> {
        let statement = "SELECT list.*, (SELECT count(*) FROM list_item WHERE list_item.list = list.id) AS items
            FROM list WHERE account = $1 ORDER BY name";
        query(statement).bind(account.to_string()).fetch_all(self.connection()).await?.iter().map(list).collect()
    }

    /// One of them.
    pub async fn list(&mut self, account: AccountId, id: ListId) -> Result<Option<(List, u64)>, StoreError> {
        let statement = "SELECT list.*, (SELECT count(*) FROM list_item WHERE list_item.list = list.id) AS items
            FROM list WHERE account = $1 AND id = $2";
        let row = query(statement).bind(account.to_string()).bind(id.to_string()).fetch_optional(self.connection()).await?;
        row.as_ref().map(list).transpose()
    }

    /// Items by key, those after a key alone, those that a text in lower case stands in; at most `count`.
    pub async fn list_items(
        &mut self,
        list: &List,
        after: Option<&str>,
        search: Option<&str>,
        count: u32,
    ) -> Result<Vec<ListItem>, StoreError> {
        let mut select = Select::new("SELECT * FROM list_item WHERE list = ");
        select.value(list.id.to_string());
        if let Some(after) = after {
            select.sql(" AND key > ").value(after);
        }
        if let Some(search) = search {
            select.sql(" AND search LIKE ").value(containing(search)).sql(" ESCAPE '\\'");
        }
        select.sql(" ORDER BY key").page(0, count);
        let rows = select.fetch_all(self.connection()).await?;
        rows.iter().map(|row| item(row, list.kind)).collect()
    }

    /// Every item, by its key.
    pub async fn list_items_all(&mut self, list: &List) -> Result<HashMap<String, ListItem>, StoreError> {
        let statement = query("SELECT * FROM list_item WHERE list = $1").bind(list.id.to_string());
        keyed(&statement.fetch_all(self.connection()).await?, list.kind)
    }

    /// Those of these keys.
    pub async fn list_items_of(&mut self, list: &List, keys: &[String]) -> Result<HashMap<String, ListItem>, StoreError> {
        let mut found = HashMap::new();
        for keys in keys.chunks(BATCH) {
            let mut statement = query(&BY_KEYS).bind(list.id.to_string());
            for place in 0..BATCH {
                // A batch that is not full names its last key again.
                statement = statement.bind(&keys[place.min(keys.len() - 1)]);
            }
            found.extend(keyed(&statement.fetch_all(self.connection()).await?, list.kind)?);
        }
        Ok(found)
    }

    /// One item.
    pub async fn list_item(&mut self, list: &List, id: ListItemId) -> Result<Option<ListItem>, StoreError> {
        let statement =
            query("SELECT * FROM list_item WHERE list = $1 AND id = $2").bind(list.id.to_string()).bind(id.to_string());
        statement.fetch_optional(self.connection()).await?.map(|row| item(&row, list.kind)).transpose()
    }

    /// Writes what was decided of a list's items; ids that are not there are passed over.
    pub async fn write_list(&mut self, list: &List, write: &ListWrite) -> Result<(), StoreError> {
        for ids in write.removed.chunks(BATCH) {
            let mut statement = query(&DELETE).bind(list.id.to_string());
            for place in 0..BATCH {
                statement = statement.bind(ids[place.min(ids.len() - 1)].to_string());
            }
            statement.execute(self.connection()).await?;
        }
        for updated in &write.updated {
            let statement = "UPDATE list_item SET value = $2, comment = $3, search = $4, modified_at = $5 WHERE id = $1";
            let done = query(statement)
                .bind(updated.id.to_string())
                .bind(value(updated))
                .bind(&updated.comment)
                .bind(search(updated))
                .bind(updated.modified_on.as_micros())
                .execute(self.connection())
                .await?;
            changed(done, "list item")?;
        }
        let (batches, rest) = write.inserted.as_chunks::<BATCH>();
        for items in batches.iter().map(<[ListItem; BATCH]>::as_slice).chain(rest.chunks(1)) {
            let mut statement = query(if items.len() == BATCH { &INSERT_BATCH } else { &INSERT });
            for new in items {
                statement = statement
                    .bind(new.id.to_string())
                    .bind(list.id.to_string())
                    .bind(new.value.key())
                    .bind(value(new))
                    .bind(&new.comment)
                    .bind(search(new))
                    .bind(new.created_on.as_micros())
                    .bind(new.modified_on.as_micros());
            }
            if statement.execute(self.connection()).await? != items.len() as u64 {
                return Err(StoreError::Conflict("list item"));
            }
        }
        self.touch_list(list).await
    }

    /// Says that what edges obey changed of the zones, and of the account, whose rules name a list; zones that execute a ruleset of the
    /// account's which names it are touched with that.
    async fn touch_list(&mut self, list: &List) -> Result<(), StoreError> {
        let statement = "SELECT DISTINCT ruleset.zone FROM ruleset
            JOIN ruleset_version AS newest ON newest.ruleset = ruleset.id AND newest.version = ruleset.version
            JOIN zone ON zone.id = ruleset.zone JOIN list ON list.account = zone.account
            WHERE list.id = $1 AND newest.rules LIKE $2 ESCAPE '\\'";
        let statement = query(statement).bind(list.id.to_string()).bind(containing(&format!("${}", list.name)));
        for row in &statement.fetch_all(self.connection()).await? {
            self.touch(&Touched::Zone(parsed(row, "zone")?)).await?;
        }
        // Redirects name a list without `$`.
        let statement = "SELECT ruleset.id FROM ruleset
            JOIN ruleset_version AS newest ON newest.ruleset = ruleset.id AND newest.version = ruleset.version
            JOIN list ON list.account = ruleset.account
            WHERE list.id = $1 AND newest.rules LIKE $2 ESCAPE '\\'";
        let statement = query(statement).bind(list.id.to_string()).bind(containing(&list.name));
        for row in &statement.fetch_all(self.connection()).await? {
            self.touch_ruleset(parsed(row, "id")?).await?;
        }
        Ok(())
    }

    /// What is in an account's list of that name, which is of that kind; at most `count` items. None where there is none.
    pub async fn items_of_list(
        &mut self,
        account: AccountId,
        name: &str,
        count: u32,
    ) -> Result<Option<(ListKind, Vec<ItemValue>)>, StoreError> {
        let statement = "SELECT *, 0 AS items FROM list WHERE account = $1 AND name = $2";
        let statement = query(statement).bind(account.to_string()).bind(name);
        let Some(row) = statement.fetch_optional(self.connection()).await? else { return Ok(None) };
        let (List { id, kind, .. }, _) = list(&row)?;
        let statement = "SELECT * FROM list_item WHERE list = $1 ORDER BY key LIMIT $2";
        let rows = query(statement).bind(id.to_string()).bind(i64::from(count)).fetch_all(self.connection()).await?;
        let items = rows.iter().map(|row| item(row, kind).map(|item| item.value)).collect::<Result<_, _>>()?;
        Ok(Some((kind, items)))
    }

    /// Notes that a list's items were written, so that it can be asked after.
    pub async fn insert_list_operation(
        &mut self,
        account: AccountId,
        id: ListOperationId,
        now: Micros,
    ) -> Result<(), StoreError> {
        let statement = query("INSERT INTO list_operation (id, account, completed_at) VALUES ($1, $2, $3)").bind(id.to_string());
        statement.bind(account.to_string()).bind(now).execute(self.connection()).await?;
        let statement = "DELETE FROM list_operation WHERE account = $1 AND id IN
            (SELECT id FROM list_operation WHERE account = $1 ORDER BY completed_at DESC, id LIMIT 100000 OFFSET $2)";
        query(statement).bind(account.to_string()).bind(OPERATIONS_MAX).execute(self.connection()).await?;
        Ok(())
    }

    /// One such writing.
    pub async fn list_operation(&mut self, account: AccountId, id: ListOperationId) -> Result<Option<ListOperation>, StoreError> {
        let statement = query("SELECT * FROM list_operation WHERE account = $1 AND id = $2").bind(account.to_string());
        let row = statement.bind(id.to_string()).fetch_optional(self.connection()).await?;
        row.map(|row| Ok(ListOperation::completed(id, Timestamp::from_micros(cell(&row, "completed_at")?)))).transpose()
    }
}

fn value(item: &ListItem) -> String {
    serde_json::Value::Object(item.value.members()).to_string()
}

/// What [`ListItem::matches`] looks at.
fn search(item: &ListItem) -> String {
    let members = item.value.members();
    let target = members.get("redirect").and_then(|redirect| redirect["target_url"].as_str()).unwrap_or_default();
    format!("{}\n{target}\n{}", item.value.key(), item.comment.as_deref().unwrap_or_default()).to_lowercase()
}

fn keyed(rows: &[Row], kind: ListKind) -> Result<HashMap<String, ListItem>, StoreError> {
    rows.iter().map(|row| item(row, kind).map(|item| (item.value.key(), item))).collect()
}

fn list(row: &Row) -> Result<(List, u64), StoreError> {
    let kind: &str = cell(row, "kind")?;
    let damaged = || StoreError::Damaged { what: "list", why: format!("its kind is {kind:?}") };
    let list = List {
        id: parsed(row, "id")?,
        name: cell(row, "name")?,
        kind: ListKind::of_word(kind).ok_or_else(damaged)?,
        description: cell(row, "description")?,
        created_on: Timestamp::from_micros(cell(row, "created_at")?),
        modified_on: Timestamp::from_micros(cell(row, "modified_at")?),
    };
    Ok((list, cell::<i64>(row, "items")?.unsigned_abs()))
}

fn item(row: &Row, kind: ListKind) -> Result<ListItem, StoreError> {
    let damaged = |why| StoreError::Damaged { what: "list item", why };
    let value = serde_json::from_str(cell(row, "value")?).map_err(|error| damaged(error.to_string()))?;
    let draft = ItemDraft::read(&At::body(&value), kind).map_err(|error| damaged(error.to_string()))?;
    Ok(ListItem {
        id: parsed(row, "id")?,
        value: draft.value,
        comment: cell(row, "comment")?,
        created_on: Timestamp::from_micros(cell(row, "created_at")?),
        modified_on: Timestamp::from_micros(cell(row, "modified_at")?),
    })
}
