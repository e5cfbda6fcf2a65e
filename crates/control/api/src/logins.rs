//! `…/poterne/login`: an agent asks for a `cert.pem` and waits for the operator's word. Open to all; nothing is given before that word.

use std::net::{IpAddr, Ipv4Addr};

use axum::{Extension, Router, extract::State, routing::post};
use poterne_control_app::{LOGIN_LIFE, LOGIN_POLL};
use poterne_control_wire::login::{LoginObject, LoginOutcome};
use poterne_model::At;

use crate::{
    ClientIp,
    answer::{Answer, Answered},
    body::Json,
    door::Door,
};

/// Longest text of either member that is looked at.
const TEXT_MAX: usize = 200;

/// Without [`crate::door::identify`]: whoever logs in has nothing to show yet.
pub(crate) fn routes() -> Router<Door> {
    Router::new().route("/poterne/login", post(begin)).route("/poterne/login/claim", post(claim))
}

async fn begin(State(door): State<Door>, client: Option<Extension<ClientIp>>, Json(body): Json) -> Answered<LoginObject> {
    let source = client.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Extension(ClientIp(address))| address);
    let who = At::body(&body).member("who").map(|who| who.text(TEXT_MAX).map(str::to_owned)).transpose()?;
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
