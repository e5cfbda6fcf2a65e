//! Ours: what each node has applied, and waiting until a change is live.

use std::time::Duration;

use axum::extract::State;
use poterne_control_wire::query::Parameter;
use poterne_model::{AccountId, Schema};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    answer::{Answer, Answered},
    body::Query,
    door::{Door, Who},
    openapi::components::shown,
    path::Id,
    routes::{Routes, known},
};

/// `/accounts/{account}/poterne/generation`: `change` is the number waited for (absent: the last one durable), `wait` for how many
/// seconds at most (absent: not at all).
pub(crate) fn routes() -> Routes {
    let wait = Schema::integer(0..=600).by_default(0);
    let parameters = [
        Parameter::new("change", Schema::integer(0..=i64::MAX), "which change is waited for; absent: the last one durable"),
        Parameter::new("wait", wait, "for how many seconds at most; more than a minute are one"),
    ];
    let op = known("Tell whether a change is live, or wait until it is").query(parameters);
    let about = "What the hosted service has not: this node's own resources.";
    Routes::of("Poterne", about).get("/accounts/{account}/poterne/generation", show, op)
}

shown![GenerationObject];

#[derive(Serialize, ToSchema)]
struct GenerationObject {
    change: u64,
    is_live: bool,
    nodes: Vec<NodeObject>,
}

#[derive(Serialize, ToSchema)]
struct NodeObject {
    name: String,
    change: u64,
    generation: u64,
}

async fn show(
    State(door): State<Door>,
    Who(caller): Who,
    Id(account): Id<AccountId>,
    Query(query): Query,
) -> Answered<GenerationObject> {
    door.app.account_get(&caller, account).await?;
    let change: Option<u64> = query.parsed("change")?;
    let wait = Duration::from_secs(query.parsed("wait")?.unwrap_or(0));
    let told = door.app.generations(&caller, change, wait).await?;
    let node = |node: poterne_control_app::NodeGeneration| NodeObject {
        name: node.name,
        change: node.live.change,
        generation: node.live.generation,
    };
    let nodes = told.nodes.into_iter().map(node).collect();
    Ok(Answer::success(GenerationObject { change: told.change, is_live: told.is_live, nodes }))
}
