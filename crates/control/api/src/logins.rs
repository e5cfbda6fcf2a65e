//! `…/poterne/login`: an agent asks for a `cert.pem` and waits for the operator's word. Open to all; nothing is given before that word.

use std::net::{IpAddr, Ipv4Addr};

use axum::{Extension, extract::State};
use poterne_control_app::{LOGIN_LIFE, LOGIN_POLL};
use poterne_control_wire::login::{LoginObject, LoginOutcome};
use poterne_model::{At, Schema};
use serde_json::json;

use crate::{
    ClientIp,
    answer::{Answer, Answered},
    body::Json,
    door::Door,
    openapi::components::shown,
    routes::{Routes, open},
};

/// Longest text of either member that is looked at.
const TEXT_MAX: usize = 200;

/// Whoever logs in has nothing to show yet.
pub(crate) fn routes() -> Routes {
    let who = Schema::object([("who", Schema::text(TEXT_MAX).about("what the operator reads beside the code"))]);
    let secret = Schema::object([("secret", Schema::text(TEXT_MAX).required().about("as the login that was begun told it"))]);
    let begin_op = open("Begin a login of an agent").about("The operator is shown its code.").says([429]);
    let claim_op = open("Ask whether the operator has approved it").says([404]);
    Routes::of("Poterne", "What the hosted service has not: this node's own resources.")
        .post("/poterne/login", begin, begin_op.body(who.named("NewLogin").example(json!({ "who": "ada at home" }))))
        .post("/poterne/login/claim", claim, claim_op.body(secret.named("LoginClaim").example(json!({ "secret": "login-…" }))))
}

shown![LoginObject, LoginOutcome];

async fn begin(State(door): State<Door>, client: Option<Extension<ClientIp>>, Json(body): Json) -> Answered<LoginObject> {
    let source = client.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Extension(ClientIp(address))| address);
    let body = At::body(&body);
    if !body.value.is_null() {
        body.object()?;
    }
    let who = body.member("who").map(|who| who.text(TEXT_MAX).map(str::to_owned)).transpose()?;
    let begun = door.app.login_begin(source, who.as_deref().unwrap_or_default())?;
    let (expires_in, interval) = (LOGIN_LIFE.as_secs(), LOGIN_POLL.as_secs());
    Ok(Answer::success(LoginObject { code: begun.code, secret: begun.secret, expires_in, interval }))
}

async fn claim(State(door): State<Door>, Json(body): Json) -> Answered<LoginOutcome> {
    let secret = At::body(&body).required("secret")?.text(TEXT_MAX)?.to_owned();
    let claimed = door.app.login_claim(&secret).await?;
    Ok(Answer::success(match claimed {
        None => LoginOutcome::Waiting,
        Some((zone, api_token)) => {
            LoginOutcome::Approved { zone_id: zone.id, zone_name: zone.apex, account_id: zone.account, api_token }
        }
    }))
}
