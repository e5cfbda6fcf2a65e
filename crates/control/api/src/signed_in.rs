//! Ours: what whoever is signed in does with what they sign in with (docs/decisions/0012-sign-in.md).

use axum::extract::State;
use poterne_control_app::{Enrolment, Passkey, Proof, SecondFactors};
use poterne_control_wire::{
    WireTime,
    query::page::{Page, PageLimits},
};
use poterne_model::{At, PasskeyId, Schema, SessionId, ShapeError, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::{
    answer::{Answer, Answered},
    body::{Json, Query},
    cookie,
    door::{Door, Visiting, Who},
    openapi::components::shown,
    path::Id,
    routes::{Op, Routes, known},
    sign_in::{ChallengeObject, PASSWORD_MAX, SECRET_MAX, SessionObject, Told, password},
    tokens::Gone,
};

/// Longest name of a passkey that is looked at, in characters.
const NAME_MAX: usize = 200;

/// Under `/user/poterne`.
pub(crate) fn routes() -> Routes {
    let op = |summary| -> Op { known(summary).says([401, 403, 404, 429, 503]) };
    let body =
        |name, members: &[(&str, Schema)], example: Value| Schema::object(members.iter().cloned()).named(name).example(example);
    let text = || Schema::text(SECRET_MAX);
    let credential = || Schema::object([]).about("what the browser's authenticator answered");
    let new_password = ("password", Schema::text(PASSWORD_MAX).required());
    let proof = [("password", Schema::text(PASSWORD_MAX)), ("code", text()), ("ceremony", text()), ("credential", credential())];
    let passkey = [("ceremony", text().required()), ("name", Schema::text(NAME_MAX)), ("credential", credential().required())];
    let (session, passkey_at) = ("/user/poterne/sessions/{session}", "/user/poterne/passkeys/{passkey}");
    let (totp, key) = ("/user/poterne/totp", "/user/poterne/global_key");
    Routes::of("Signed in", "What one signs in with. Changing it asks for who one is, shown in the last minutes.")
        .get("/user/poterne/sessions", sessions, op("List one's sessions").pages(PageLimits::OTHERS))
        .delete("/user/poterne/sessions", end_others, op("End all sessions but this one"))
        .delete(session, end, op("End a session"))
        .post("/user/poterne/sign_out", sign_out, op("Sign out"))
        .post(
            "/user/poterne/confirmation",
            confirm,
            op("Show once more who one is").about("With one of them.").body(body(
                "Confirmation",
                &proof,
                json!({ "password": "some long words" }),
            )),
        )
        .post("/user/poterne/confirmation/challenge", challenge, op("Begin to do so with a passkey"))
        .put(
            "/user/poterne/password",
            change_password,
            op("Change the password").body(body("NewPassword", &[new_password], json!({ "password": "some long words" }))),
        )
        .get("/user/poterne/second_factors", second_factors, op("Tell which second factors there are"))
        .post(totp, begin_totp, op("Begin with an authenticator application"))
        .put(
            totp,
            confirm_totp,
            op("Show a code of it").body(body("Code", &[("code", text().required())], json!({ "code": "123456" }))),
        )
        .delete(totp, delete_totp, op("Ask for its codes no more"))
        .post("/user/poterne/recovery_codes", renew_recovery_codes, op("Make new recovery codes"))
        .get("/user/poterne/passkeys", passkeys, op("List one's passkeys").pages(PageLimits::OTHERS))
        .post(
            "/user/poterne/passkeys",
            add_passkey,
            op("Keep a passkey").body(body(
                "NewPasskey",
                &passkey,
                json!({ "ceremony": "…", "name": "key ring", "credential": {} }),
            )),
        )
        .post("/user/poterne/passkeys/challenge", begin_passkey, op("Begin to make a passkey"))
        .patch(
            passkey_at,
            rename_passkey,
            op("Rename a passkey").body(body(
                "PasskeyName",
                &[("name", Schema::text(NAME_MAX).required())],
                json!({ "name": "key ring" }),
            )),
        )
        .delete(passkey_at, delete_passkey, op("Delete a passkey"))
        .get(key, global_key, op("Tell whether there is a global key"))
        .post(key, roll_global_key, op("Make a new global key").about("It is told once, here."))
        .delete(key, delete_global_key, op("Delete the global key"))
}

shown![
    Ended,
    Confirmed,
    SecondFactorsObject,
    EnrolmentObject,
    RecoveryCodesObject,
    PasskeyObject,
    NewPasskeyObject,
    GlobalKeyObject,
];

async fn sessions(State(door): State<Door>, Who(caller): Who, Query(query): Query) -> Answered<Vec<SessionObject>> {
    let page = Page::read(&query, PageLimits::OTHERS)?;
    let sessions = door.app.session_list(&caller).await?;
    let own = caller.session().map(|own| own.id);
    let shown: Vec<_> = page.of(&sessions).iter().map(|one| SessionObject::new(one, own == Some(one.id))).collect();
    let info = page.info(shown.len(), sessions.len() as u64);
    Ok(Answer::part(shown, info))
}

/// How many were ended.
#[derive(Serialize, ToSchema)]
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
#[derive(Serialize, ToSchema)]
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

async fn change_password(State(door): State<Door>, Who(caller): Who, _: Visiting, Json(body): Json) -> Answered<Told> {
    let body = At::body(&body);
    door.app.password_change(&caller, password(&body.required("password")?)?).await?;
    Ok(Answer::success(Told { told: "the password is changed, and every other session is over" }))
}

#[derive(Serialize, ToSchema)]
struct SecondFactorsObject {
    totp: TotpObject,
    passkeys: usize,
    recovery_codes_left: u64,
}

#[derive(Serialize, ToSchema)]
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
#[derive(Serialize, ToSchema)]
struct EnrolmentObject {
    secret: String,
    uri: String,
}

async fn begin_totp(State(door): State<Door>, Who(caller): Who, _: Visiting) -> Answered<EnrolmentObject> {
    let Enrolment { secret, uri } = door.app.totp_begin(&caller).await?;
    Ok(Answer::success(EnrolmentObject { secret, uri }))
}

/// Recovery codes where there are new ones, told this once.
#[derive(Serialize, ToSchema)]
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
#[derive(Serialize, ToSchema)]
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
#[derive(Serialize, ToSchema)]
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
#[derive(Serialize, ToSchema)]
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
