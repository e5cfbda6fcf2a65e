//! Holds of zones (api-v4 §3).

use axum::extract::State;
use poterne_control_wire::{WireTime, query::Parameter};
use poterne_model::{At, Schema, ShapeError, Timestamp, ZoneHold, ZoneId, permission::Subject};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::{
    answer::{Answer, Answered},
    body::{Json, Query},
    door::{Door, Who},
    openapi::components::shown,
    path::Id,
    routes::{Routes, edits, reads},
};

/// Under `/zones/{zone}`.
pub(crate) fn routes() -> Routes {
    let (at, zones) = ("/zones/{zone}/hold", Subject::Zones);
    let below = Parameter::boolean("include_subdomains", "names below it, too");
    let until = Parameter::instant("hold_after", "when it holds again; absent: never");
    let changes = Schema::object([
        ("include_subdomains", Schema::boolean()),
        ("hold_after", Schema::any_of([Schema::instant(), Schema::one_of(&[""])]).about("when it holds again; empty: as it is")),
    ]);
    let changes = changes.named("HoldChanges").example(json!({ "include_subdomains": true }));
    Routes::of("Zone holds", "They keep other accounts of this node from adding a zone that serves.")
        .get(at, show, reads(zones, "Show a zone's hold"))
        .post(at, create, edits(zones, "Hold a zone").query([below]))
        .patch(at, change, edits(zones, "Change a zone's hold").body(changes))
        .delete(at, delete, edits(zones, "End a zone's hold").query([until]))
}

shown![HoldObject];

/// Whether others are kept from adding the zone, now.
#[derive(Serialize, ToSchema)]
struct HoldObject {
    hold: bool,
    hold_after: Option<WireTime>,
    // As the hosted service answers. Newer SDKs describe a text, and pass over what it is; older ones in Go read a truth value, and fail on
    // a text.
    include_subdomains: bool,
}

fn object(hold: Option<ZoneHold>, now: Timestamp) -> HoldObject {
    HoldObject {
        hold: hold.is_some_and(|hold| hold.holds(now)),
        hold_after: hold.and_then(|hold| hold.hold_after).map(WireTime),
        include_subdomains: hold.is_some_and(|hold| hold.include_subdomains),
    }
}

async fn show(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>) -> Answered<HoldObject> {
    Ok(Answer::success(object(door.app.zone_hold(&caller, zone).await?, door.app.instant())))
}

async fn create(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>, Query(query): Query) -> Answered<HoldObject> {
    let include_subdomains = query.boolean("include_subdomains")?.unwrap_or(false);
    let hold = door.app.zone_hold_create(&caller, zone, include_subdomains).await?;
    Ok(Answer::success(object(Some(hold), door.app.instant())))
}

async fn change(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>, Json(body): Json) -> Answered<HoldObject> {
    let body = At::body(&body);
    body.object()?;
    let include_subdomains = body.member("include_subdomains").map(|given| given.boolean()).transpose()?;
    let instant =
        |given: At<'_>| WireTime::parse(given.text(64)?).map_err(|error| ShapeError::new(given.pointer(), error.to_string()));
    // Terraform sends an empty one for none.
    let hold_after = body.member("hold_after").filter(|given| given.value != "").map(instant).transpose()?;
    let hold = door.app.zone_hold_change(&caller, zone, include_subdomains, hold_after.map(|time| time.0)).await?;
    Ok(Answer::success(object(Some(hold), door.app.instant())))
}

async fn delete(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>, Query(query): Query) -> Answered<HoldObject> {
    let left = door.app.zone_hold_delete(&caller, zone, query.instant("hold_after")?).await?;
    Ok(Answer::success(object(left, door.app.instant())))
}
