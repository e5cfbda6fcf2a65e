//! Rulesets, of zones and of accounts (api-v4 §7).

use std::str::FromStr;

use axum::{
    Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use poterne_control_app::RulesetOwner;
use poterne_control_wire::{
    query::page::{CursorPage, PageLimits},
    ruleset::RulesetObject,
};
use poterne_model::{AccountId, At, RuleId, RulesetId, ZoneId, ruleset::Ruleset};
use serde_json::Value;

use crate::{
    answer::{Answer, Answered},
    body::{Json, Query},
    door::{Door, Who},
    path::{Id, Ids, Ids3},
};

/// Whose id begins the path.
trait Owner: FromStr + Send + 'static {
    fn owner(self) -> RulesetOwner;
}

impl Owner for ZoneId {
    fn owner(self) -> RulesetOwner {
        RulesetOwner::Zone(self)
    }
}

impl Owner for AccountId {
    fn owner(self) -> RulesetOwner {
        RulesetOwner::Account(self)
    }
}

/// Under `/zones/{zone}` and `/accounts/{account}`.
pub(crate) fn routes() -> Router<Door> {
    routes_of::<ZoneId>("/zones/{owner}/rulesets").merge(routes_of::<AccountId>("/accounts/{owner}/rulesets"))
}

fn routes_of<O: Owner>(base: &str) -> Router<Door> {
    let path = |rest: &str| format!("{base}{rest}");
    Router::new()
        .route(base, get(list::<O>).post(create::<O>))
        .route(&path("/{ruleset}"), get(show::<O>).put(put::<O>).delete(delete::<O>))
        .route(&path("/{ruleset}/rules"), post(rule_add::<O>))
        .route(&path("/{ruleset}/rules/{rule}"), axum::routing::patch(rule_patch::<O>).delete(rule_delete::<O>))
        .route(&path("/{ruleset}/versions"), get(versions::<O>))
        .route(&path("/{ruleset}/versions/{version}"), get(version::<O>).delete(version_delete::<O>))
        .route(&path("/phases/{phase}/entrypoint"), get(entry_point::<O>).put(entry_point_put::<O>))
        .route(&path("/phases/{phase}/entrypoint/versions"), get(entry_point_versions::<O>))
        .route(&path("/phases/{phase}/entrypoint/versions/{version}"), get(entry_point_version::<O>))
}

fn whole(ruleset: &Ruleset) -> Answer<Value> {
    Answer::success(serde_json::to_value(RulesetObject::whole(ruleset)).expect("the wire's types are always JSON"))
}

fn heads(rulesets: &[Ruleset]) -> Vec<Value> {
    let head = |ruleset| serde_json::to_value(RulesetObject::head(ruleset)).expect("the wire's types are always JSON");
    rulesets.iter().map(head).collect()
}

async fn list<O: Owner>(
    State(door): State<Door>,
    Who(caller): Who,
    Id(owner): Id<O>,
    Query(query): Query,
) -> Answered<Vec<Value>> {
    let page = CursorPage::read(&query, PageLimits::OTHERS)?;
    let rulesets = door.app.ruleset_list(&caller, owner.owner()).await?;
    let after = |ruleset: &Ruleset| page.after.as_ref().is_none_or(|last| ruleset.id.to_string() > *last);
    let mut rest: Vec<Ruleset> = rulesets.into_iter().filter(after).collect();
    let more = rest.len() > page.per_page as usize;
    rest.truncate(page.per_page as usize);
    let last = rest.last().filter(|_| more).map(|ruleset| ruleset.id.to_string());
    Ok(Answer::part(heads(&rest), page.info(rest.len(), last.as_deref())))
}

async fn create<O: Owner>(State(door): State<Door>, Who(caller): Who, Id(owner): Id<O>, Json(body): Json) -> Answered<Value> {
    Ok(whole(&door.app.ruleset_create(&caller, owner.owner(), &At::body(&body)).await?))
}

async fn show<O: Owner>(State(door): State<Door>, Who(caller): Who, Ids(owner, id): Ids<O, RulesetId>) -> Answered<Value> {
    Ok(whole(&door.app.ruleset_get(&caller, owner.owner(), id).await?))
}

async fn put<O: Owner>(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(owner, id): Ids<O, RulesetId>,
    Json(body): Json,
) -> Answered<Value> {
    Ok(whole(&door.app.ruleset_put(&caller, owner.owner(), id, &At::body(&body)).await?))
}

/// Answered without a body: SDKs expect none.
async fn delete<O: Owner>(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(owner, id): Ids<O, RulesetId>,
) -> Result<StatusCode, Answer<()>> {
    door.app.ruleset_delete(&caller, owner.owner(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn rule_add<O: Owner>(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(owner, id): Ids<O, RulesetId>,
    Json(body): Json,
) -> Answered<Value> {
    Ok(whole(&door.app.rule_add(&caller, owner.owner(), id, &At::body(&body)).await?))
}

async fn rule_patch<O: Owner>(
    State(door): State<Door>,
    Who(caller): Who,
    Ids3(owner, id, rule): Ids3<O, RulesetId, RuleId>,
    Json(body): Json,
) -> Answered<Value> {
    Ok(whole(&door.app.rule_patch(&caller, owner.owner(), id, rule, &At::body(&body)).await?))
}

async fn rule_delete<O: Owner>(
    State(door): State<Door>,
    Who(caller): Who,
    Ids3(owner, id, rule): Ids3<O, RulesetId, RuleId>,
) -> Answered<Value> {
    Ok(whole(&door.app.rule_delete(&caller, owner.owner(), id, rule).await?))
}

async fn versions<O: Owner>(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(owner, id): Ids<O, RulesetId>,
) -> Answered<Vec<Value>> {
    Ok(Answer::success(heads(&door.app.ruleset_versions(&caller, owner.owner(), id).await?)))
}

async fn version<O: Owner>(
    State(door): State<Door>,
    Who(caller): Who,
    Ids3(owner, id, version): Ids3<O, RulesetId, u64>,
) -> Answered<Value> {
    Ok(whole(&door.app.ruleset_version(&caller, owner.owner(), id, version).await?))
}

async fn version_delete<O: Owner>(
    State(door): State<Door>,
    Who(caller): Who,
    Ids3(owner, id, version): Ids3<O, RulesetId, u64>,
) -> Result<StatusCode, Answer<()>> {
    door.app.ruleset_version_delete(&caller, owner.owner(), id, version).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn entry_point<O: Owner>(State(door): State<Door>, Who(caller): Who, Ids(owner, phase): Ids<O, String>) -> Answered<Value> {
    Ok(whole(&door.app.entry_point_get(&caller, owner.owner(), &phase).await?))
}

async fn entry_point_put<O: Owner>(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(owner, phase): Ids<O, String>,
    Json(body): Json,
) -> Answered<Value> {
    Ok(whole(&door.app.entry_point_put(&caller, owner.owner(), &phase, &At::body(&body)).await?))
}

async fn entry_point_versions<O: Owner>(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(owner, phase): Ids<O, String>,
) -> Answered<Vec<Value>> {
    let owner = owner.owner();
    let id = door.app.entry_point_get(&caller, owner, &phase).await?.id;
    Ok(Answer::success(heads(&door.app.ruleset_versions(&caller, owner, id).await?)))
}

async fn entry_point_version<O: Owner>(
    State(door): State<Door>,
    Who(caller): Who,
    Ids3(owner, phase, version): Ids3<O, String, u64>,
) -> Answered<Value> {
    let owner = owner.owner();
    let id = door.app.entry_point_get(&caller, owner, &phase).await?.id;
    Ok(whole(&door.app.ruleset_version(&caller, owner, id, version).await?))
}
