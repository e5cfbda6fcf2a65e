//! Ours: what each node has applied, and waiting until a change is live.

use std::time::Duration;

use axum::{Router, extract::State, routing::get};
use poterne_model::AccountId;
use serde::Serialize;

use crate::{
    answer::{Answer, Answered},
    body::Query,
    door::{Door, Who},
    path::Id,
};

/// `/accounts/{account}/poterne/generation`: `change` is the number waited for (absent: the last one durable), `wait` for how many
/// seconds at most (absent: not at all).
pub(crate) fn routes() -> Router<Door> {
    Router::new().route("/accounts/{account}/poterne/generation", get(show))
}

#[derive(Serialize)]
struct GenerationObject {
    change: u64,
    is_live: bool,
    nodes: Vec<NodeObject>,
}

#[derive(Serialize)]
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
