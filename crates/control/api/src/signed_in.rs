//! Ours: what whoever is signed in does with what they sign in with (docs/decisions/0012-sign-in.md).

use axum::{
    Router,
    extract::State,
    routing::{get, post, put},
};
use poterne_control_app::{Enrolment, Passkey, Proof, SecondFactors};
use poterne_control_wire::{
    WireTime,
    query::page::{Page, PageLimits},
};
use poterne_model::{At, PasskeyId, SessionId, ShapeError, Timestamp};
use serde::Serialize;

use crate::{
    answer::{Answer, Answered},
    body::{Json, Query},
    cookie,
    door::{Door, Visiting, Who},
    path::Id,
    sign_in::{ChallengeObject, SECRET_MAX, SessionObject, password},
    tokens::Gone,
};

/// Longest name of a passkey that is looked at, in characters.
const NAME_MAX: usize = 200;

/// Under `/user/poterne`.
pub(crate) fn routes() -> Router<Door> {
    Router::new()
        .route("/user/poterne/sessions", get(sessions).delete(end_others))
        .route("/user/poterne/sessions/{session}", axum::routing::delete(end))
        .route("/user/poterne/sign_out", post(sign_out))
        .route("/user/poterne/confirmation", post(confirm))
        .route("/user/poterne/confirmation/challenge", post(challenge))
        .route("/user/poterne/password", put(change_password))
        .route("/user/poterne/second_factors", get(second_factors))
        .route("/user/poterne/totp", post(begin_totp).put(confirm_totp).delete(delete_totp))
        .route("/user/poterne/recovery_codes", post(renew_recovery_codes))
        .route("/user/poterne/passkeys", get(passkeys).post(add_passkey))
        .route("/user/poterne/passkeys/challenge", post(begin_passkey))
        .route("/user/poterne/passkeys/{passkey}", axum::routing::patch(rename_passkey).delete(delete_passkey))
        .route("/user/poterne/global_key", get(global_key).post(roll_global_key).delete(delete_global_key))
}

async fn sessions(State(door): State<Door>, Who(caller): Who, Query(query): Query) -> Answered<Vec<SessionObject>> {
    let page = Page::read(&query, PageLimits::OTHERS)?;
    let sessions = door.app.session_list(&caller).await?;
    let own = caller.session().map(|own| own.id);
    let shown: Vec<_> = page.of(&sessions).iter().map(|one| SessionObject::new(one, own == Some(one.id))).collect();
    let info = page.info(shown.len(), sessions.len() as u64);
    Ok(Answer::part(shown, info))
}

/// How many were ended.
#[derive(Serialize)]
struct Ended {
    ended: u64,
}

async fn end_others(State(door): State<Door>, Who(caller): Who) -> Answered<Ended> {
    Ok(Answer::success(Ended { ended: door.app.session_end_others(&caller).await? }))
}

async fn end(State(door): State<Door>, Who(caller): Who, Id(id): Id<SessionId>) -> Answered<Gone<SessionId>> {
    door.app.session_end(&caller, id).await?;
    Ok(Answer::success(Gone { id }))
}

async fn sign_out(State(door): State<Door>, Who(caller): Who, visiting: Visiting) -> Answered<Ended> {
    door.app.sign_out(&caller).await?;
    Ok(Answer::success(Ended { ended: 1 }).with_cookie(cookie::set(visiting.way, "", 0)))
}

/// Until when a confirmation holds.
#[derive(Serialize)]
struct Confirmed {
    until: WireTime,
}

async fn confirm(State(door): State<Door>, Who(caller): Who, visiting: Visiting, Json(body): Json) -> Answered<Confirmed> {
    let body = At::body(&body);
    let proof = if let Some(text) = body.member("password") {
        Proof::Password(password(&text)?.to_owned())
    } else if let Some(code) = body.member("code") {
        Proof::Code(code.text(SECRET_MAX)?.to_owned())
    } else if body.member("credential").is_some() {
        let ceremony = body.required("ceremony")?.text(SECRET_MAX)?.to_owned();
        Proof::Passkey { ceremony, credential: body.required("credential")?.value.clone() }
    } else {
        return Err(ShapeError::new("", "the body says nothing: write one of password, code, or ceremony and credential").into());
    };
    let now = door.app.instant();
    door.app.session_confirm(&caller, &visiting.visit, proof).await?;
    let until = now.plus_secs(poterne_control_app::CONFIRMED_FOR / 1_000_000);
    Ok(Answer::success(Confirmed { until: WireTime(until) }))
}

async fn challenge(State(door): State<Door>, Who(caller): Who, visiting: Visiting) -> Answered<ChallengeObject> {
    let site = door.app.site(visiting.origin.as_deref(), visiting.visit.request.ip)?;
    let (ceremony, options) = door.app.passkey_challenge_of(&caller, &visiting.visit, site).await?;
    Ok(Answer::success(ChallengeObject { ceremony, options }))
}

/// What was done, in words.
#[derive(Serialize)]
struct Told {
    told: &'static str,
}

async fn change_password(State(door): State<Door>, Who(caller): Who, _: Visiting, Json(body): Json) -> Answered<Told> {
    let body = At::body(&body);
    door.app.password_change(&caller, password(&body.required("password")?)?).await?;
    Ok(Answer::success(Told { told: "the password is changed, and every other session is over" }))
}

#[derive(Serialize)]
struct SecondFactorsObject {
    totp: TotpObject,
    passkeys: usize,
    recovery_codes_left: u64,
}

#[derive(Serialize)]
struct TotpObject {
    enabled: bool,
    created_on: Option<WireTime>,
}

async fn second_factors(State(door): State<Door>, Who(caller): Who) -> Answered<SecondFactorsObject> {
    let SecondFactors { totp, passkeys, recovery_codes } = door.app.second_factors(&caller).await?;
    let totp = TotpObject { enabled: totp.is_some(), created_on: totp.map(WireTime) };
    Ok(Answer::success(SecondFactorsObject { totp, passkeys, recovery_codes_left: recovery_codes }))
}

/// What an authenticator application is told.
#[derive(Serialize)]
struct EnrolmentObject {
    secret: String,
    uri: String,
}

async fn begin_totp(State(door): State<Door>, Who(caller): Who, _: Visiting) -> Answered<EnrolmentObject> {
    let Enrolment { secret, uri } = door.app.totp_begin(&caller).await?;
    Ok(Answer::success(EnrolmentObject { secret, uri }))
}

/// Recovery codes where there are new ones, told this once.
#[derive(Serialize)]
struct RecoveryCodesObject {
    recovery_codes: Option<Vec<String>>,
}

async fn confirm_totp(
    State(door): State<Door>,
    Who(caller): Who,
    visiting: Visiting,
    Json(body): Json,
) -> Answered<RecoveryCodesObject> {
    let body = At::body(&body);
    let code = body.required("code")?.text(SECRET_MAX)?;
    let recovery_codes = door.app.totp_confirm(&caller, &visiting.visit, code).await?;
    Ok(Answer::success(RecoveryCodesObject { recovery_codes }))
}

async fn delete_totp(State(door): State<Door>, Who(caller): Who) -> Answered<Told> {
    door.app.totp_delete(&caller).await?;
    Ok(Answer::success(Told { told: "the authenticator application is not asked any more" }))
}

async fn renew_recovery_codes(State(door): State<Door>, Who(caller): Who, _: Visiting) -> Answered<RecoveryCodesObject> {
    let recovery_codes = Some(door.app.recovery_codes_renew(&caller).await?);
    Ok(Answer::success(RecoveryCodesObject { recovery_codes }))
}

/// A passkey.
#[derive(Serialize)]
struct PasskeyObject {
    id: PasskeyId,
    name: String,
    /// The name of the site it signs in at.
    site: String,
    created_on: WireTime,
    last_used_on: Option<WireTime>,
}

impl From<&Passkey> for PasskeyObject {
    fn from(passkey: &Passkey) -> Self {
        let time = |micros| WireTime(Timestamp::from_micros(micros));
        Self {
            id: passkey.id,
            name: passkey.name.clone(),
            site: passkey.site.clone(),
            created_on: time(passkey.created_at),
            last_used_on: passkey.last_used_at.map(time),
        }
    }
}

async fn passkeys(State(door): State<Door>, Who(caller): Who, Query(query): Query) -> Answered<Vec<PasskeyObject>> {
    let page = Page::read(&query, PageLimits::OTHERS)?;
    let passkeys = door.app.passkey_list(&caller).await?;
    let shown: Vec<_> = page.of(&passkeys).iter().map(PasskeyObject::from).collect();
    let info = page.info(shown.len(), passkeys.len() as u64);
    Ok(Answer::part(shown, info))
}

async fn begin_passkey(State(door): State<Door>, Who(caller): Who, visiting: Visiting) -> Answered<ChallengeObject> {
    let site = door.app.site(visiting.origin.as_deref(), visiting.visit.request.ip)?;
    let (ceremony, options) = door.app.passkey_begin(&caller, &visiting.visit, site).await?;
    Ok(Answer::success(ChallengeObject { ceremony, options }))
}

/// A new passkey, and recovery codes where it is the first second factor.
#[derive(Serialize)]
struct NewPasskeyObject {
    passkey: PasskeyObject,
    recovery_codes: Option<Vec<String>>,
}

async fn add_passkey(State(door): State<Door>, Who(caller): Who, _: Visiting, Json(body): Json) -> Answered<NewPasskeyObject> {
    let body = At::body(&body);
    let ceremony = body.required("ceremony")?.text(SECRET_MAX)?;
    let name = body.member("name");
    let name = name.as_ref().map_or(Ok("passkey"), |name| name.text(NAME_MAX))?;
    let credential = body.required("credential")?.value.clone();
    let (passkey, recovery_codes) = door.app.passkey_finish(&caller, ceremony, name, credential).await?;
    Ok(Answer::success(NewPasskeyObject { passkey: (&passkey).into(), recovery_codes }))
}

async fn rename_passkey(
    State(door): State<Door>,
    Who(caller): Who,
    Id(id): Id<PasskeyId>,
    Json(body): Json,
) -> Answered<PasskeyObject> {
    let body = At::body(&body);
    let name = body.required("name")?.text(NAME_MAX)?;
    Ok(Answer::success((&door.app.passkey_rename(&caller, id, name).await?).into()))
}

async fn delete_passkey(State(door): State<Door>, Who(caller): Who, Id(id): Id<PasskeyId>) -> Answered<Gone<PasskeyId>> {
    door.app.passkey_delete(&caller, id).await?;
    Ok(Answer::success(Gone { id }))
}

/// The caller's global key: itself only when it is new.
#[derive(Serialize)]
struct GlobalKeyObject {
    is_set: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

async fn global_key(State(door): State<Door>, Who(caller): Who) -> Answered<GlobalKeyObject> {
    Ok(Answer::success(GlobalKeyObject { is_set: door.app.global_key_is_set(&caller).await?, key: None }))
}

async fn roll_global_key(State(door): State<Door>, Who(caller): Who, _: Visiting) -> Answered<GlobalKeyObject> {
    Ok(Answer::success(GlobalKeyObject { is_set: true, key: Some(door.app.global_key_roll(&caller).await?) }))
}

async fn delete_global_key(State(door): State<Door>, Who(caller): Who) -> Answered<GlobalKeyObject> {
    door.app.global_key_delete(&caller).await?;
    Ok(Answer::success(GlobalKeyObject { is_set: false, key: None }))
}
