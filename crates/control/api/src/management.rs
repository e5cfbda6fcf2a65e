//! Management tokens of a tunnel's agents (api-v4 §6.1, tunnel-protocol §9.5).

use axum::{Router, extract::State, routing::post};
use poterne_model::{AccountId, At, TunnelId};
use poterne_tunnel_proto::management::token::Resource;

use crate::{
    answer::{Answer, Answered},
    body::Json,
    door::{Door, Who},
    path::{Ids, Ids3},
};

/// Under both names of tunnels.
pub(crate) fn routes() -> Router<Door> {
    let mut router = Router::new();
    for base in ["/accounts/{account}/cfd_tunnel/{tunnel}/management", "/accounts/{account}/tunnels/{tunnel}/management"] {
        router = router.route(base, post(several)).route(&format!("{base}/{{resource}}"), post(one));
    }
    router
}

async fn several(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(account, tunnel): Ids<AccountId, TunnelId>,
    Json(body): Json,
) -> Answered<String> {
    let words = Resource::ALL.map(Resource::as_str);
    let listed = At::body(&body).required("resources")?;
    let mut resources = Vec::new();
    for word in listed.items(words.len())? {
        resources.extend(Resource::of_word(word.one_of(&words)?));
    }
    if resources.is_empty() {
        return Err(listed.wrong("write at least one of \"logs\", \"admin\" and \"host_details\"").into());
    }
    Ok(Answer::success(door.app.management_token(&caller, account, tunnel, &resources).await?.to_string()))
}

/// The body, which the agent's program leaves empty, is not read.
async fn one(
    State(door): State<Door>,
    Who(caller): Who,
    Ids3(account, tunnel, resource): Ids3<AccountId, TunnelId, Resource>,
) -> Answered<String> {
    Ok(Answer::success(door.app.management_token(&caller, account, tunnel, &[resource]).await?.to_string()))
}
