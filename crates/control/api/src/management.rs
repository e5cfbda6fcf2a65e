//! Management tokens of a tunnel's agents (api-v4 §6.1, tunnel-protocol §9.5).

use axum::extract::State;
use poterne_model::{AccountId, At, Schema, TunnelId, permission::Subject};
use poterne_tunnel_proto::management::token::Resource;
use serde_json::{Value, json};

use crate::{
    answer::{Answer, Answered},
    body::Json,
    door::{Door, Who},
    openapi::components::{Components, Shown},
    path::{Ids, Ids3},
    routes::{Routes, edits, reads},
};

/// Under both names of tunnels.
pub(crate) fn routes() -> Routes {
    let about = "Tunnels, their connectors and configurations. `tunnels` is the older name of `cfd_tunnel`.";
    let mut routes = Routes::of("Tunnels", about);
    for base in ["/accounts/{account}/cfd_tunnel/{tunnel}/management", "/accounts/{account}/tunnels/{tunnel}/management"] {
        let words = Schema::items(Schema::one_of(&WORDS), WORDS.len()).not_empty().required();
        let body = Schema::object([("resources", words)]).named("ManagementResources").example(json!({ "resources": ["admin"] }));
        let several_op = edits(Subject::Tunnels, "Give a token for what agents answer themselves").body(body);
        let one_op = reads(Subject::Tunnels, "Give such a token for one resource");
        routes = routes.post(base, several, several_op.about("For logs alone, to read tunnels is enough.")).post(
            &format!("{base}/{{resource}}"),
            one,
            one_op.about("For what is no log, tunnels must be the caller's to edit."),
        );
    }
    routes
}

/// What a token may be for.
const WORDS: [&str; 3] = [Resource::ALL[0].as_str(), Resource::ALL[1].as_str(), Resource::ALL[2].as_str()];

impl Shown for Resource {
    fn shown(_: &mut Components) -> Value {
        Schema::one_of(&WORDS).into_value()
    }
}

async fn several(
    State(door): State<Door>,
    Who(caller): Who,
    Ids(account, tunnel): Ids<AccountId, TunnelId>,
    Json(body): Json,
) -> Answered<String> {
    let listed = At::body(&body).required("resources")?;
    let mut resources = Vec::new();
    for word in listed.items(WORDS.len())? {
        resources.extend(Resource::of_word(word.one_of(&WORDS)?));
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
