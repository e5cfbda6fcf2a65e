//! Plans and subscriptions (api-v4 §3): there is one plan, it is free, and every zone has it.

use axum::extract::State;
use poterne_control_app::{
    AppError, Zone,
    access::{Permission, Target},
};
use poterne_model::{AccountId, At, Schema, ShapeError, ZoneId, permission::Subject};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::{
    answer::{Answer, Answered},
    body::Json,
    door::{Door, Who},
    openapi::components::shown,
    path::{Id, Ids},
    routes::{Routes, edits, known, reads},
};

/// What the free plan is called in requests.
const FREE: [&str; 2] = ["free", "0feeeeeeeeeeeeeeeeeeeeeeeeeeeeee"];

/// Under `/zones/{zone}`, `/accounts/{account}` and `/user`.
pub(crate) fn routes() -> Routes {
    let (at, zones) = ("/zones/{zone}/subscription", Subject::Zones);
    let subscribe_op = || edits(zones, "Subscribe").about("To the free plan: there is no other.").body(subscription_schema());
    let none = "There are none.";
    Routes::of("Plans", "There is one, it is free, and every zone has it.")
        .get("/zones/{zone}/available_plans", plans, reads(zones, "List the plans there are"))
        .get("/zones/{zone}/available_plans/{plan}", plan, reads(zones, "Show a plan"))
        .get("/zones/{zone}/available_rate_plans", rate_plans, reads(zones, "List the rate plans there are"))
        .get(at, subscription, reads(zones, "Show a zone's subscription"))
        .post(at, subscribe, subscribe_op())
        .put(at, subscribe, subscribe_op())
        .get("/accounts/{account}/subscriptions", of_account, known("List an account's subscriptions").about(none))
        .get("/user/subscriptions", of_user, known("List the user's subscriptions").about(none).says([404]))
}

fn subscription_schema() -> Schema {
    let plan = Schema::object([("id", Schema::one_of(&FREE))]);
    Schema::object([("rate_plan", plan)]).named("Subscribe").example(json!({ "rate_plan": { "id": FREE[0] } }))
}

shown![PlanObject, RatePlan, Subscription];

/// A plan, as zones name it.
#[derive(Serialize, ToSchema)]
pub(crate) struct PlanObject {
    id: &'static str,
    name: &'static str,
    legacy_id: &'static str,
    price: u32,
    currency: &'static str,
    frequency: &'static str,
    is_subscribed: bool,
    can_subscribe: bool,
    legacy_discount: bool,
    externally_managed: bool,
}

/// The one plan there is: nothing is sold.
pub(crate) const fn free_plan() -> PlanObject {
    PlanObject {
        id: FREE[1],
        name: "Free Website",
        legacy_id: FREE[0],
        price: 0,
        currency: "USD",
        frequency: "",
        is_subscribed: false,
        can_subscribe: false,
        legacy_discount: false,
        externally_managed: false,
    }
}

/// The same plan, as it is paid for.
#[derive(Serialize, ToSchema)]
struct RatePlan {
    id: &'static str,
    name: &'static str,
    currency: &'static str,
    duration: u32,
    frequency: &'static str,
    #[schema(value_type = Vec<Object>, max_items = 0)]
    components: [(); 0],
}

/// What a zone is subscribed to.
#[derive(Serialize, ToSchema)]
struct Subscription {
    id: ZoneId,
    state: &'static str,
    price: u32,
    currency: &'static str,
    frequency: &'static str,
    #[schema(value_type = Option<String>)]
    current_period_start: Option<()>,
    #[schema(value_type = Option<String>)]
    current_period_end: Option<()>,
    #[schema(value_type = Object)]
    rate_plan: Value,
}

fn subscription_object(zone: &Zone) -> Subscription {
    Subscription {
        id: zone.id,
        state: "Provisioned",
        price: 0,
        currency: "USD",
        frequency: "monthly",
        current_period_start: None,
        current_period_end: None,
        rate_plan: json!({
            "id": FREE[0], "public_name": "Free Website", "currency": "USD", "scope": "zone", "sets": [],
            "is_contract": false, "externally_managed": false,
        }),
    }
}

async fn plans(State(door): State<Door>, Who(caller): Who, Id(id): Id<ZoneId>) -> Answered<Vec<PlanObject>> {
    door.app.zone_get(&caller, id).await?;
    Ok(Answer::success(vec![free_plan()]))
}

async fn plan(State(door): State<Door>, Who(caller): Who, Ids(zone, id): Ids<ZoneId, String>) -> Answered<PlanObject> {
    door.app.zone_get(&caller, zone).await?;
    if FREE[1] == id { Ok(Answer::success(free_plan())) } else { Err(Answer::no_route(&format!("plan {id}"))) }
}

async fn rate_plans(State(door): State<Door>, Who(caller): Who, Id(id): Id<ZoneId>) -> Answered<Vec<RatePlan>> {
    door.app.zone_get(&caller, id).await?;
    let free = RatePlan { id: FREE[0], name: "Free Website", currency: "USD", duration: 1, frequency: "monthly", components: [] };
    Ok(Answer::success(vec![free]))
}

async fn subscription(State(door): State<Door>, Who(caller): Who, Id(id): Id<ZoneId>) -> Answered<Subscription> {
    Ok(Answer::success(subscription_object(&door.app.zone_get(&caller, id).await?.0)))
}

/// Nothing can be subscribed to but what every zone has.
async fn subscribe(State(door): State<Door>, Who(caller): Who, Id(id): Id<ZoneId>, Json(body): Json) -> Answered<Subscription> {
    const EDIT: Permission = Subject::Zones.to_edit();
    let (zone, _) = door.app.zone_get(&caller, id).await?;
    if !caller.may(EDIT, Target::Zone(zone.account, id)) {
        return Err(AppError::Forbidden { permission: EDIT }.into());
    }
    let body = At::body(&body);
    body.object()?;
    let plan = body.member("rate_plan");
    plan.as_ref().map(At::object).transpose()?;
    if let Some(wanted) = plan.and_then(|plan| plan.member("id")) {
        let text = wanted.text(64)?;
        if !FREE.contains(&text) {
            let why = format!("{text:?} is not to be had: nothing is sold here, and every zone has the plan {:?}", FREE[0]);
            return Err(ShapeError::new(wanted.pointer(), why).into());
        }
    }
    Ok(Answer::success(subscription_object(&zone)))
}

async fn of_account(State(door): State<Door>, Who(caller): Who, Id(account): Id<AccountId>) -> Answered<[Value; 0]> {
    door.app.account_get(&caller, account).await?;
    Ok(Answer::success([]))
}

async fn of_user(State(door): State<Door>, Who(caller): Who) -> Answered<[Value; 0]> {
    door.app.person_get(&caller).await?;
    Ok(Answer::success([]))
}
