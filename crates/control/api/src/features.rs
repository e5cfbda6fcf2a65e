//! Ours: which stored settings, phases and objects are in force today.

use axum::extract::State;
use poterne_control_app::Feature;
use poterne_model::{AccountId, ZoneId, permission::Subject};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    answer::{Answer, Answered},
    door::{Door, Who},
    openapi::components::shown,
    path::Id,
    routes::{Routes, known, reads},
};

/// Under `/accounts/{account}` and `/zones/{zone}`.
pub(crate) fn routes() -> Routes {
    let about = "Of the settings, phases and objects that are stored, which nodes obey today.";
    Routes::of("Poterne", "What the hosted service has not: this node's own resources.")
        .get("/accounts/{account}/poterne/features", of_account, known("List what is in force of an account").about(about))
        .get("/zones/{zone}/poterne/features", of_zone, reads(Subject::Zones, "List what is in force of a zone").about(about))
}

/// Something that is stored, and whether nodes obey it.
#[derive(Serialize, ToSchema)]
struct FeatureObject {
    id: &'static str,
    r#type: &'static str,
    in_force: bool,
}

shown![FeatureObject];

fn objects(features: Vec<Feature>) -> Vec<FeatureObject> {
    features.into_iter().map(|Feature { kind, id, in_force }| FeatureObject { id, r#type: kind, in_force }).collect()
}

async fn of_account(State(door): State<Door>, Who(caller): Who, Id(account): Id<AccountId>) -> Answered<Vec<FeatureObject>> {
    Ok(Answer::success(objects(door.app.features_of_account(&caller, account).await?)))
}

async fn of_zone(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>) -> Answered<Vec<FeatureObject>> {
    Ok(Answer::success(objects(door.app.features_of_zone(&caller, zone).await?)))
}
