//! Ours: which stored settings, phases and objects are in force today.

use axum::{Router, extract::State, routing::get};
use poterne_control_app::Feature;
use poterne_model::{AccountId, ZoneId};
use serde::Serialize;

use crate::{
    answer::{Answer, Answered},
    door::{Door, Who},
    path::Id,
};

/// Under `/accounts/{account}` and `/zones/{zone}`.
pub(crate) fn routes() -> Router<Door> {
    Router::new()
        .route("/accounts/{account}/poterne/features", get(of_account))
        .route("/zones/{zone}/poterne/features", get(of_zone))
}

/// Something that is stored, and whether nodes obey it.
#[derive(Serialize)]
struct FeatureObject {
    id: &'static str,
    r#type: &'static str,
    in_force: bool,
}

fn objects(features: Vec<Feature>) -> Vec<FeatureObject> {
    features.into_iter().map(|Feature { kind, id, in_force }| FeatureObject { id, r#type: kind, in_force }).collect()
}

async fn of_account(State(door): State<Door>, Who(caller): Who, Id(account): Id<AccountId>) -> Answered<Vec<FeatureObject>> {
    Ok(Answer::success(objects(door.app.features_of_account(&caller, account).await?)))
}

async fn of_zone(State(door): State<Door>, Who(caller): Who, Id(zone): Id<ZoneId>) -> Answered<Vec<FeatureObject>> {
    Ok(Answer::success(objects(door.app.features_of_zone(&caller, zone).await?)))
}
