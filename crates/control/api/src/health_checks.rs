//! Health checks of zones' origins.

use axum::extract::State;
use poterne_control_app::Rewrite;
use poterne_control_wire::{
    health_check::HealthCheckObject,
    query::page::{Page, PageLimits},
};
use poterne_model::{At, HealthCheckId, ZoneId, health_check::HealthCheckTerms, permission::Subject};

use crate::{
    answer::{Answer, Answered},
    body::{Json, Query},
    door::{Door, Who},
    openapi::components::shown,
    path::{Id, Ids},
    routes::{Routes, edits, reads},
    tokens::Gone,
};

/// Under `/zones/{zone}`.
pub(crate) fn routes() -> Routes {
    let (base, one) = ("/zones/{zone}/healthchecks", "/zones/{zone}/healthchecks/{health_check}");
    let (checks, new) = (Subject::HealthChecks, HealthCheckTerms::schema(true));
    let about = "What origins are asked again and again. An address that a check of its zone calls unhealthy gets no visitor while a record's \
                 other addresses will do.";
    Routes::of("Health checks", about)
        .get(base, list, reads(checks, "List a zone's health checks").pages(PageLimits::OTHERS))
        .post(base, create, edits(checks, "Make a health check").body(new.clone()))
        .get(one, show, reads(checks, "Show a health check, and how its origin is"))
        .put(one, put, edits(checks, "Change a health check; what the body does not say has its default").body(new))
        .patch(one, patch, edits(checks, "Change a health check in part").body(HealthCheckTerms::schema(false)))
        .delete(one, delete, edits(checks, "Delete a health check"))
}

shown![HealthCheckObject];

async fn list(
    State(door): State<Door>,
    Who(caller): Who,
    Id(zone): Id<ZoneId>,
    Query(query): Query,
) -> Answered<Vec<HealthCheckObject>> {
    let page = Page::read(&query, PageLimits::OTHERS)?;
    let checks = door.app.health_checks(&caller, zone).await?;
    let shown: Vec<_> = page.of(&checks).iter().cloned().map(HealthCheckObject::from).collect();
    let info = page.info(shown.len(), checks.len() as u64);
    Ok(Answer::part(shown, info))
}

async fn create(
    State(door): State<Door>,
    Who(caller): Who,
    Id(zone): Id<ZoneId>,
    Json(body): Json,
) -> Answered<HealthCheckObject> {
    let check = door.app.health_check_create(&caller, zone, &At::body(&body)).await?;
    Ok(Answer::success(check.into()))
}

/// A check of a zone.
type OfZone = Ids<ZoneId, HealthCheckId>;

async fn show(State(door): State<Door>, Who(caller): Who, Ids(zone, id): OfZone) -> Answered<HealthCheckObject> {
    Ok(Answer::success(door.app.health_check(&caller, zone, id).await?.into()))
}

async fn put(State(door): State<Door>, Who(caller): Who, Ids(zone, id): OfZone, Json(body): Json) -> Answered<HealthCheckObject> {
    let check = door.app.health_check_change(&caller, zone, id, &At::body(&body), Rewrite::Whole).await?;
    Ok(Answer::success(check.into()))
}

async fn patch(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(zone, id): OfZone,
    Json(body): Json,
) -> Answered<HealthCheckObject> {
    let check = door.app.health_check_change(&caller, zone, id, &At::body(&body), Rewrite::Part).await?;
    Ok(Answer::success(check.into()))
}

async fn delete(State(door): State<Door>, Who(caller): Who, Ids(zone, id): OfZone) -> Answered<Gone<HealthCheckId>> {
    door.app.health_check_delete(&caller, zone, id).await?;
    Ok(Answer::success(Gone { id }))
}
