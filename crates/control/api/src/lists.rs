//! Lists that rules name, and their items (api-v4 §8).

use axum::extract::State;
use poterne_control_app::{ItemsChange, ListInfo};
use poterne_control_wire::{
    list::{ItemObject, ListObject, OperationObject, OperationStarted, item_object},
    query::{
        Parameter,
        page::{CursorPage, PageLimits},
    },
};
use poterne_model::{
    AccountId, At, ListId, ListItemId, ListOperationId,
    list::{ListDraft, description_schema, edit},
    permission::Subject,
};

use crate::{
    answer::{Answer, Answered},
    body::{Json, Query},
    door::{Door, Who},
    openapi::components::{Like, shown},
    path::{Id, Ids, Ids3},
    routes::{Routes, edits, reads},
    tokens::Gone,
};

/// Under `/accounts/{account}/rules/lists`.
pub(crate) fn routes() -> Routes {
    let base = "/accounts/{account}/rules/lists";
    let path = |rest: &str| format!("{base}{rest}");
    let (one, items, lists) = (path("/{list}"), path("/{list}/items"), Subject::Lists);
    let search = Parameter::text("search", "items that hold this text");
    Routes::of("Lists", "Lists that rules name, and their items.")
        .get(base, list, reads(lists, "List the lists"))
        .post(base, create, edits(lists, "Make a list").body(ListDraft::schema()))
        .get(&path("/bulk_operations/{operation}"), operation, reads(lists, "Tell how far a write of items is"))
        .get(&one, show, reads(lists, "Show a list"))
        .put(&one, describe, edits(lists, "Describe a list").body(description_schema()))
        .delete(&one, delete, edits(lists, "Delete a list"))
        .get(&items, self::items, reads(lists, "List a list's items").cursors(PageLimits::LIST_ITEMS).query([search]))
        .post(&items, append, edits(lists, "Append items").body(edit::items_schema()))
        .put(&items, replace, edits(lists, "Replace all items").body(edit::items_schema()))
        .delete(&items, remove, edits(lists, "Delete items").body(edit::ids_schema()))
        .get(&path("/{list}/items/{item}"), item, reads(lists, "Show an item"))
}

shown![ListObject, OperationObject, OperationStarted, ItemObject];

fn object(info: ListInfo) -> ListObject {
    ListObject::new(info.list, info.items, info.rules)
}

async fn list(State(door): State<Door>, Who(caller): Who, Id(account): Id<AccountId>) -> Answered<Vec<ListObject>> {
    let lists = door.app.list_all(&caller, account).await?;
    Ok(Answer::success(lists.into_iter().map(object).collect()))
}

async fn create(
    State(door): State<Door>,
    Who(caller): Who,
    Id(account): Id<AccountId>,
    Json(body): Json,
) -> Answered<ListObject> {
    Ok(Answer::success(object(door.app.list_create(&caller, account, &At::body(&body)).await?)))
}

type OfAccount = Ids<AccountId, ListId>;

async fn show(State(door): State<Door>, Who(caller): Who, Ids(account, id): OfAccount) -> Answered<ListObject> {
    Ok(Answer::success(object(door.app.list_get(&caller, account, id).await?)))
}

async fn describe(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(account, id): OfAccount,
    Json(body): Json,
) -> Answered<ListObject> {
    Ok(Answer::success(object(door.app.list_describe(&caller, account, id, &At::body(&body)).await?)))
}

async fn delete(State(door): State<Door>, Who(caller): Who, Ids(account, id): OfAccount) -> Answered<Gone<ListId>> {
    door.app.list_delete(&caller, account, id).await?;
    Ok(Answer::success(Gone { id }))
}

async fn items(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(account, id): OfAccount,
    Query(query): Query,
) -> Answered<Vec<Like<ItemObject>>> {
    let page = CursorPage::read(&query, PageLimits::LIST_ITEMS)?;
    let (after, search) = (page.after.as_deref(), query.text("search"));
    // One more than is shown tells whether more follow.
    let mut found = door.app.list_items(&caller, account, id, after, search, page.per_page + 1).await?;
    let more = found.len() > page.per_page as usize;
    found.truncate(page.per_page as usize);
    let last = found.last().filter(|_| more).map(|item| item.value.key());
    let info = page.info(found.len(), last.as_deref());
    Ok(Answer::part(found.iter().map(|item| Like::new(item_object(item))).collect(), info))
}

async fn item(
    State(door): State<Door>,
    Who(caller): Who,
    Ids3(account, id, item): Ids3<AccountId, ListId, ListItemId>,
) -> Answered<Like<ItemObject>> {
    Ok(Answer::success(Like::new(item_object(&door.app.list_item(&caller, account, id, item).await?))))
}

async fn write(
    door: Door,
    caller: poterne_control_app::Caller,
    Ids(account, id): OfAccount,
    change: ItemsChange,
    body: Json,
) -> Answered<OperationStarted> {
    let operation = door.app.list_write(&caller, account, id, change, &At::body(&body.0)).await?;
    Ok(Answer::success(OperationStarted { operation_id: operation.id }))
}

async fn append(State(door): State<Door>, Who(caller): Who, of: OfAccount, body: Json) -> Answered<OperationStarted> {
    write(door, caller, of, ItemsChange::Append, body).await
}

async fn replace(State(door): State<Door>, Who(caller): Who, of: OfAccount, body: Json) -> Answered<OperationStarted> {
    write(door, caller, of, ItemsChange::Replace, body).await
}

async fn remove(State(door): State<Door>, Who(caller): Who, of: OfAccount, body: Json) -> Answered<OperationStarted> {
    write(door, caller, of, ItemsChange::Delete, body).await
}

async fn operation(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(account, id): Ids<AccountId, ListOperationId>,
) -> Answered<OperationObject> {
    Ok(Answer::success(door.app.list_operation(&caller, account, id).await?.into()))
}
