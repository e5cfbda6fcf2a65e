//! Ours: signing in, for whoever is not yet; and the links that let somebody in once (docs/decisions/0012-sign-in.md).

use axum::extract::State;
use poterne_control_app::{Invited, SESSION_LIFE, SecondFactorAsked, SignedIn, Step, UserSession};
use poterne_control_wire::WireTime;
use poterne_model::{At, Schema, SessionId, ShapeError, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::{
    answer::{Answer, Answered},
    body::Json,
    cookie,
    door::{Door, Visiting},
    openapi::components::shown,
    routes::{Op, Routes, open},
    user::UserObject,
};

/// Longest body, in bytes: what an authenticator answers takes a few thousand.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;

/// Longest address, secret and password that are read, in characters.
const EMAIL_MAX: usize = 254;
pub(crate) const SECRET_MAX: usize = 128;
pub(crate) const PASSWORD_MAX: usize = 1024;

/// Under `/poterne`: nobody is asked for credentials.
pub(crate) fn routes() -> Routes {
    let op = |summary, name, members: &[(&str, Schema)], example: Value| -> Op {
        let body = Schema::object(members.iter().cloned()).named(name).example(example);
        open(summary).body(body).says([401, 404, 429, 503])
    };
    let email = ("email", Schema::text(EMAIL_MAX).required());
    let chosen = || Schema::text(PASSWORD_MAX);
    let secret = |name| (name, Schema::text(SECRET_MAX).required());
    let credential = ("credential", Schema::object([]).required().about("what the browser's authenticator answered"));
    let ticket = ("ticket", Schema::text(SECRET_MAX).about("where a password came first"));
    Routes::of("Signing in", "For browsers, over TLS or on this machine alone: what lets in is a cookie.")
        .post(
            "/poterne/sign_in",
            with_password,
            op(
                "Sign in with a password",
                "SignIn",
                &[email.clone(), ("password", chosen().required())],
                json!({ "email": "ada@example.com", "password": "some long words" }),
            ),
        )
        .post(
            "/poterne/sign_in/code",
            with_code,
            op(
                "Give the second factor",
                "SecondFactor",
                &[secret("ticket"), secret("code")],
                json!({ "ticket": "…", "code": "123456" }),
            ),
        )
        .post(
            "/poterne/sign_in/passkey",
            with_passkey,
            op(
                "Sign in with a passkey",
                "PasskeyAnswer",
                &[secret("ceremony"), credential],
                json!({ "ceremony": "…", "credential": {} }),
            ),
        )
        .post(
            "/poterne/sign_in/passkey/challenge",
            challenge,
            op("Begin with a passkey", "PasskeyBeginning", &[ticket], json!({})),
        )
        .post(
            "/poterne/password_link",
            ask_password_link,
            op("Ask for a link to set a password", "PasswordLink", &[email], json!({ "email": "ada@example.com" })),
        )
        .post(
            "/poterne/password_reset",
            reset_password,
            op(
                "Set a password by a link",
                "PasswordReset",
                &[secret("token"), ("password", chosen().required())],
                json!({ "token": "pol_…", "password": "some long words" }),
            ),
        )
        .post(
            "/poterne/invitation",
            show_invitation,
            op("Show an invitation", "InvitationLink", &[secret("token")], json!({ "token": "pol_…" })),
        )
        .post(
            "/poterne/invitation/acceptance",
            accept_invitation,
            op(
                "Accept an invitation",
                "InvitationAnswer",
                &[secret("token"), ("password", chosen())],
                json!({ "token": "pol_…", "password": "some long words" }),
            ),
        )
        .bodies_within(BODY_BYTES_MAX)
}

shown![SignInObject, SessionObject, ChallengeObject, InvitationObject, Told];

/// How far somebody has come.
#[derive(Serialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
enum SignInObject {
    /// All the way; the cookie is beside it.
    SignedIn { session: Box<SessionObject>, user: Box<UserObject> },
    /// To the second factor: the ticket goes with the code, or the passkey.
    SecondFactor { ticket: String, methods: Vec<&'static str> },
}

/// A session.
#[derive(Serialize, ToSchema)]
pub(crate) struct SessionObject {
    id: SessionId,
    /// What the browser calls itself.
    device: String,
    /// With what its person signed in.
    factors: Vec<String>,
    ip: String,
    last_ip: String,
    created_on: WireTime,
    /// When its person last showed who they are.
    confirmed_on: WireTime,
    last_seen_on: WireTime,
    expires_on: WireTime,
    /// Whether it is the one that asks.
    current: bool,
}

impl SessionObject {
    pub(crate) fn new(session: &UserSession, current: bool) -> Self {
        let time = |micros| WireTime(Timestamp::from_micros(micros));
        Self {
            id: session.id,
            device: session.device.clone(),
            factors: session.factors.split('+').map(str::to_owned).collect(),
            ip: session.ip.clone(),
            last_ip: session.last_ip.clone(),
            created_on: time(session.created_at),
            confirmed_on: time(session.confirmed_at),
            last_seen_on: time(session.last_seen_at),
            expires_on: time(session.expires_at),
            current,
        }
    }
}

/// What a browser hands to `navigator.credentials`, and what its answer goes with.
#[derive(Serialize, ToSchema)]
pub(crate) struct ChallengeObject {
    pub(crate) ceremony: String,
    /// As `PublicKeyCredential.parseRequestOptionsFromJSON`, or `…Creation…`, reads it.
    #[schema(value_type = Object)]
    pub(crate) options: Value,
}

/// An invitation, as whoever holds its link sees it.
#[derive(Serialize, ToSchema)]
struct InvitationObject {
    email: String,
    account: String,
    roles: Vec<String>,
    needs_password: bool,
}

fn signed_in(visiting: &Visiting, done: SignedIn) -> Answer<SignInObject> {
    let cookie = cookie::set(visiting.way, &done.secret, SESSION_LIFE / 1_000_000);
    let session = Box::new(SessionObject::new(&done.session, true));
    Answer::success(SignInObject::SignedIn { session, user: Box::new(done.person.into()) }).with_cookie(cookie)
}

async fn with_password(State(door): State<Door>, visiting: Visiting, Json(body): Json) -> Answered<SignInObject> {
    let body = At::body(&body);
    let email = body.required("email")?.text(EMAIL_MAX)?;
    let password = password(&body.required("password")?)?;
    match door.app.sign_in(&visiting.visit, email, password).await? {
        Step::SignedIn(done) => Ok(signed_in(&visiting, *done)),
        Step::SecondFactor(SecondFactorAsked { ticket, totp, passkey, recovery_code }) => {
            let all = [(totp, "totp"), (passkey, "passkey"), (recovery_code, "recovery_code")];
            let methods = all.into_iter().filter(|(has, _)| *has).map(|(_, name)| name).collect();
            Ok(Answer::success(SignInObject::SecondFactor { ticket, methods }))
        }
    }
}

async fn with_code(State(door): State<Door>, visiting: Visiting, Json(body): Json) -> Answered<SignInObject> {
    let body = At::body(&body);
    let ticket = body.required("ticket")?.text(SECRET_MAX)?;
    let code = body.required("code")?.text(SECRET_MAX)?;
    Ok(signed_in(&visiting, door.app.sign_in_with_code(&visiting.visit, ticket, code).await?))
}

async fn challenge(State(door): State<Door>, visiting: Visiting, Json(body): Json) -> Answered<ChallengeObject> {
    let body = At::body(&body);
    let ticket = body.member("ticket");
    let ticket = ticket.as_ref().map(|ticket| ticket.text(SECRET_MAX)).transpose()?;
    let site = door.app.site(visiting.origin.as_deref(), visiting.visit.request.ip)?;
    let (ceremony, options) = door.app.passkey_challenge(&visiting.visit, site, ticket).await?;
    Ok(Answer::success(ChallengeObject { ceremony, options }))
}

async fn with_passkey(State(door): State<Door>, visiting: Visiting, Json(body): Json) -> Answered<SignInObject> {
    let body = At::body(&body);
    let ceremony = body.required("ceremony")?.text(SECRET_MAX)?;
    let credential = body.required("credential")?.value.clone();
    Ok(signed_in(&visiting, door.app.sign_in_with_passkey(&visiting.visit, ceremony, credential).await?))
}

/// What happens next, in words for whoever asked.
#[derive(Serialize, ToSchema)]
pub(crate) struct Told {
    pub(crate) told: &'static str,
}

async fn ask_password_link(State(door): State<Door>, visiting: Visiting, Json(body): Json) -> Answered<Told> {
    let body = At::body(&body);
    let email = body.required("email")?.text(EMAIL_MAX)?;
    door.app.password_link_ask(&visiting.visit, email).await?;
    Ok(Answer::success(Told { told: "if somebody here has this address, a link to set a password is on its way to it" }))
}

async fn reset_password(State(door): State<Door>, visiting: Visiting, Json(body): Json) -> Answered<Told> {
    let body = At::body(&body);
    let token = body.required("token")?.text(SECRET_MAX)?;
    let password = password(&body.required("password")?)?;
    door.app.password_reset(&visiting.visit, token, password).await?;
    Ok(Answer::success(Told { told: "the password is set, and every session is over: sign in with it" }))
}

async fn show_invitation(State(door): State<Door>, visiting: Visiting, Json(body): Json) -> Answered<InvitationObject> {
    let body = At::body(&body);
    let token = body.required("token")?.text(SECRET_MAX)?;
    let Invited { email, account, roles, needs_password } = door.app.invitation_get(&visiting.visit, token).await?;
    Ok(Answer::success(InvitationObject { email, account, roles, needs_password }))
}

async fn accept_invitation(State(door): State<Door>, visiting: Visiting, Json(body): Json) -> Answered<Told> {
    let body = At::body(&body);
    let token = body.required("token")?.text(SECRET_MAX)?;
    let chosen = body.member("password");
    let chosen = chosen.as_ref().map(password).transpose()?;
    door.app.invitation_accept(&visiting.visit, token, chosen).await?;
    Ok(Answer::success(Told { told: "the invitation is accepted: sign in" }))
}

/// A password as it is written; what is wrong with it never repeats it.
pub(crate) fn password<'a>(at: &At<'a>) -> Result<&'a str, ShapeError> {
    let text = at.value.as_str().filter(|text| text.len() <= PASSWORD_MAX);
    text.ok_or_else(|| ShapeError::new(at.pointer(), format!("{} is a text of at most {PASSWORD_MAX} bytes", at.pointer())))
}
