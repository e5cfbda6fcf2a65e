//! Rulesets, of zones and of accounts (api-v4 §7).

use std::str::FromStr;

use axum::{extract::State, http::StatusCode};
use poterne_control_app::RulesetOwner;
use poterne_control_wire::{
    query::page::{CursorPage, PageLimits},
    ruleset::RulesetObject,
};
use poterne_model::{
    AccountId, At, RuleId, RulesetId, ZoneId,
    permission::Subject,
    ruleset::{RuleDraft, Ruleset, RulesetDraft, RulesetPut, Scope},
};

use crate::{
    answer::{Answer, Answered},
    body::{Json, Query},
    door::{Door, Who},
    openapi::components::{Like, Shown, shown},
    path::{Id, Ids, Ids3},
    routes::{Routes, edits, known, reads},
};

/// Whose id begins the path.
pub(crate) trait Owner: FromStr + Shown + Send + 'static {
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
pub(crate) fn routes() -> Routes {
    let of_zone = routes_of::<ZoneId>("/zones/{zone}/rulesets", Scope::Zone, Subject::ZoneRulesets);
    Routes::all([of_zone, routes_of::<AccountId>("/accounts/{account}/rulesets", Scope::Account, Subject::AccountRulesets)])
}

fn routes_of<O: Owner>(base: &str, scope: Scope, subject: Subject) -> Routes {
    let path = |rest: &str| format!("{base}{rest}");
    let (one, rule) = (path("/{ruleset}"), path("/{ruleset}/rules/{rule}"));
    let (versions_at, version_at) = (path("/{ruleset}/versions"), path("/{ruleset}/versions/{version}"));
    let point = path("/phases/{phase}/entrypoint");
    let (read, edit) = (|summary| reads(subject, summary).about(PERMISSION), |summary| edits(subject, summary).about(PERMISSION));
    let listed = match scope {
        Scope::Account => read("List rulesets"),
        Scope::Zone => known("List rulesets").about("Those of phases whose rules may be read."),
    };
    Routes::of(
        "Rulesets",
        "Rules in phases of a request's life. They are stored and told back; which are in force, …/poterne/features tells.",
    )
    .get(base, list::<O>, listed.cursors(PageLimits::OTHERS))
    .post(base, create::<O>, edit("Make a ruleset").body(RulesetDraft::schema(scope)))
    .get(&one, show::<O>, read("Show a ruleset"))
    .put(&one, put::<O>, edit("Replace what a ruleset says").body(RulesetPut::schema()))
    .delete(&one, delete::<O>, edit("Delete a ruleset"))
    .post(&path("/{ruleset}/rules"), rule_add::<O>, edit("Add a rule").body(RuleDraft::schema_of_one(true)))
    .patch(&rule, rule_patch::<O>, edit("Change a rule, or move it").body(RuleDraft::schema_of_one(false)))
    .delete(&rule, rule_delete::<O>, edit("Delete a rule"))
    .get(&versions_at, versions::<O>, read("List a ruleset's versions"))
    .get(&version_at, version::<O>, read("Show a version"))
    .delete(&version_at, version_delete::<O>, edit("Delete a version that is not the latest"))
    .get(&point, entry_point::<O>, read("Show a phase's entry point"))
    .put(&point, entry_point_put::<O>, edit("Replace what a phase's entry point says").body(RulesetPut::schema()))
    .get(&format!("{point}/versions"), entry_point_versions::<O>, read("List the versions of an entry point"))
    .get(&format!("{point}/versions/{{version}}"), entry_point_version::<O>, read("Show a version of an entry point"))
}

/// Of every operation here.
const PERMISSION: &str = "A zone's phases that have a permission of their own (redirects, transforms, origins, configuration, cache) ask for that one.";

/// A ruleset as its answers tell it.
type Told = Like<RulesetObject<'static>>;

shown![RulesetObject<'static>];

fn whole(ruleset: &Ruleset) -> Answer<Told> {
    Answer::success(told(RulesetObject::whole(ruleset)))
}

fn heads(rulesets: &[Ruleset]) -> Vec<Told> {
    rulesets.iter().map(|ruleset| told(RulesetObject::head(ruleset))).collect()
}

fn told(object: RulesetObject<'_>) -> Told {
    Like::new(serde_json::to_value(object).expect("the wire's types are always JSON"))
}

async fn list<O: Owner>(
    State(door): State<Door>,
    Who(caller): Who,
    Id(owner): Id<O>,
    Query(query): Query,
) -> Answered<Vec<Told>> {
    let page = CursorPage::read(&query, PageLimits::OTHERS)?;
    let rulesets = door.app.ruleset_list(&caller, owner.owner()).await?;
    let after = |ruleset: &Ruleset| page.after.as_ref().is_none_or(|last| ruleset.id.to_string() > *last);
    let mut rest: Vec<Ruleset> = rulesets.into_iter().filter(after).collect();
    let more = rest.len() > page.per_page as usize;
    rest.truncate(page.per_page as usize);
    let last = rest.last().filter(|_| more).map(|ruleset| ruleset.id.to_string());
    Ok(Answer::part(heads(&rest), page.info(rest.len(), last.as_deref())))
}

async fn create<O: Owner>(State(door): State<Door>, Who(caller): Who, Id(owner): Id<O>, Json(body): Json) -> Answered<Told> {
    Ok(whole(&door.app.ruleset_create(&caller, owner.owner(), &At::body(&body)).await?))
}

async fn show<O: Owner>(State(door): State<Door>, Who(caller): Who, Ids(owner, id): Ids<O, RulesetId>) -> Answered<Told> {
    Ok(whole(&door.app.ruleset_get(&caller, owner.owner(), id).await?))
}

async fn put<O: Owner>(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(owner, id): Ids<O, RulesetId>,
    Json(body): Json,
) -> Answered<Told> {
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
) -> Answered<Told> {
    Ok(whole(&door.app.rule_add(&caller, owner.owner(), id, &At::body(&body)).await?))
}

async fn rule_patch<O: Owner>(
    State(door): State<Door>,
    Who(caller): Who,
    Ids3(owner, id, rule): Ids3<O, RulesetId, RuleId>,
    Json(body): Json,
) -> Answered<Told> {
    Ok(whole(&door.app.rule_patch(&caller, owner.owner(), id, rule, &At::body(&body)).await?))
}

async fn rule_delete<O: Owner>(
    State(door): State<Door>,
    Who(caller): Who,
    Ids3(owner, id, rule): Ids3<O, RulesetId, RuleId>,
) -> Answered<Told> {
    Ok(whole(&door.app.rule_delete(&caller, owner.owner(), id, rule).await?))
}

async fn versions<O: Owner>(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(owner, id): Ids<O, RulesetId>,
) -> Answered<Vec<Told>> {
    Ok(Answer::success(heads(&door.app.ruleset_versions(&caller, owner.owner(), id).await?)))
}

async fn version<O: Owner>(
    State(door): State<Door>,
    Who(caller): Who,
    Ids3(owner, id, version): Ids3<O, RulesetId, u64>,
) -> Answered<Told> {
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

async fn entry_point<O: Owner>(State(door): State<Door>, Who(caller): Who, Ids(owner, phase): Ids<O, String>) -> Answered<Told> {
    Ok(whole(&door.app.entry_point_get(&caller, owner.owner(), &phase).await?))
}

async fn entry_point_put<O: Owner>(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(owner, phase): Ids<O, String>,
    Json(body): Json,
) -> Answered<Told> {
    Ok(whole(&door.app.entry_point_put(&caller, owner.owner(), &phase, &At::body(&body)).await?))
}

async fn entry_point_versions<O: Owner>(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(owner, phase): Ids<O, String>,
) -> Answered<Vec<Told>> {
    let owner = owner.owner();
    let id = door.app.entry_point_get(&caller, owner, &phase).await?.id;
    Ok(Answer::success(heads(&door.app.ruleset_versions(&caller, owner, id).await?)))
}

async fn entry_point_version<O: Owner>(
    State(door): State<Door>,
    Who(caller): Who,
    Ids3(owner, phase, version): Ids3<O, String, u64>,
) -> Answered<Told> {
    let owner = owner.owner();
    let id = door.app.entry_point_get(&caller, owner, &phase).await?.id;
    Ok(whole(&door.app.ruleset_version(&caller, owner, id, version).await?))
}
