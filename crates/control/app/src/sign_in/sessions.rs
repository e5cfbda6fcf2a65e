//! Sessions: beginning one, seeing and ending one's own, and showing once more who one is.

use poterne_control_store::{Micros, Person, Session, UserSession};
use poterne_keys::{random_bytes, random_token, sha256};
use poterne_model::SessionId;
use serde_json::{Value, json};

use super::{
    HOUR, SOURCE_KNOWN_FOR, SignInError, SignedIn, Visit, one_time_code::Typed, password::Password, throttle::Address, throttled,
    traced,
};
use crate::{
    App, AppError, Caller,
    access::{Subject, Target},
    notice::Notice,
};

/// How long a session lasts that is not used, and however much it is used.
pub const SESSION_IDLE: Micros = 12 * HOUR;
/// See [`SESSION_IDLE`].
pub const SESSION_LIFE: Micros = 7 * 24 * HOUR;

/// Sessions of one person; the one seen least recently goes.
const SESSIONS_MAX: usize = 50;

/// Places remembered of one person.
const SOURCES_MAX: u32 = 20;

/// Characters kept of what a browser calls itself.
const DEVICE_CHARS: usize = 200;

/// How somebody shows once more who they are. No `Debug`: secrets are in it.
pub enum Proof {
    /// Their password.
    Password(String),
    /// A code of their authenticator application.
    Code(String),
    /// A passkey's answer to [`App::passkey_challenge_of`].
    Passkey {
        /// Names the challenge.
        ceremony: String,
        /// The answer.
        credential: Value,
    },
}

/// Whether a session may still be used.
pub(crate) fn is_alive(session: &UserSession, now: Micros) -> bool {
    now < session.expires_at && now.saturating_sub(session.last_seen_at) < SESSION_IDLE
}

/// What is kept of a session's secret. A secret shown as an API token is thus nothing, nor the other way round.
pub(crate) fn session_digest(secret: &str) -> [u8; 32] {
    sha256(format!("session\n{secret}").as_bytes())
}

impl App {
    /// Begins the session of somebody who has shown who they are, and ends the transaction.
    pub(super) async fn begin(
        &self,
        mut session: Session,
        visit: &Visit,
        person: Person,
        factors: &str,
        rehashed: Option<String>,
    ) -> Result<SignedIn, AppError> {
        let now = self.now();
        session.delete_user_sessions_over(now, now - SESSION_IDLE).await?;
        for over in session.user_sessions(person.id).await?.iter().skip(SESSIONS_MAX - 1) {
            session.delete_user_session(person.id, over.id).await?;
        }
        if let Some(rehashed) = rehashed
            && let Some(current) = session.person(person.id).await?.filter(|current| current.password == person.password)
        {
            session.update_person(&Person { password: Some(rehashed), ..current }).await?;
        }
        let secret = random_token("pos_");
        let ip = visit.request.ip.to_canonical().to_string();
        let new = UserSession {
            id: SessionId::from_bytes(random_bytes()),
            digest: session_digest(&secret),
            person: person.id,
            device: visit.device.chars().filter(|c| !c.is_control()).take(DEVICE_CHARS).collect(),
            factors: factors.to_owned(),
            last_ip: ip.clone(),
            ip,
            created_at: now,
            confirmed_at: now,
            last_seen_at: now,
            expires_at: now.saturating_add(SESSION_LIFE),
        };
        session.insert_user_session(&new).await?;
        let source = visit.source().to_string();
        if !session.is_known_source(person.id, &source, now - SOURCE_KNOWN_FOR).await? {
            let program = Some(&new.device).filter(|device| !device.is_empty()).cloned();
            let notice = Notice::NewSignIn { at: self.instant(), ip: new.ip.clone(), program };
            self.notify(&mut session, None, &person.email, &notice).await?;
        }
        session.note_source(person.id, &source, now, SOURCES_MAX).await?;
        let told = json!({ "factors": new.factors, "device": new.device });
        self.trace(&mut session, &visit.caller(&person), traced("login", "session", &new.id.to_string(), None, Some(told)))
            .await?;
        session.commit_silently().await?;
        self.0.identities.forget();
        tracing::info!(user = %person.id, session = %new.id, ip = new.ip, factors, ray = visit.request.ray, "signed in");
        Ok(SignedIn { secret, session: new, person })
    }

    /// The caller's sessions, the one seen last first.
    pub async fn session_list(&self, caller: &Caller) -> Result<Vec<UserSession>, AppError> {
        let person = caller.person().ok_or(AppError::NotFound("user"))?.id;
        caller.needs(Subject::UserDetails.to_read(), Target::User(person))?;
        let mut sessions = self.0.store.read().await?.user_sessions(person).await?;
        let now = self.now();
        sessions.retain(|session| is_alive(session, now));
        Ok(sessions)
    }

    /// Ends one of them.
    pub async fn session_end(&self, caller: &Caller, id: SessionId) -> Result<(), AppError> {
        let person = caller.person().ok_or(AppError::NotFound("user"))?.id;
        caller.needs(Subject::UserDetails.to_edit(), Target::User(person))?;
        let mut session = self.0.store.write().await?;
        if !session.delete_user_session(person, id).await? {
            return Err(AppError::NotFound("session"));
        }
        self.trace(&mut session, caller, traced("logout", "session", &id.to_string(), None, None)).await?;
        session.commit_silently().await?;
        self.0.identities.forget();
        Ok(())
    }

    /// Ends all of them but the one that asks; how many there were.
    pub async fn session_end_others(&self, caller: &Caller) -> Result<u64, AppError> {
        let person = caller.person().ok_or(AppError::NotFound("user"))?.id;
        caller.needs(Subject::UserDetails.to_edit(), Target::User(person))?;
        let mut session = self.0.store.write().await?;
        let ended = session.delete_user_sessions(person, caller.session().map(|own| own.id)).await?;
        let told = json!({ "ended": ended });
        self.trace(&mut session, caller, traced("logout_others", "user", &person.to_string(), None, Some(told))).await?;
        session.commit_silently().await?;
        self.0.identities.forget();
        Ok(ended)
    }

    /// Ends the session that asks.
    pub async fn sign_out(&self, caller: &Caller) -> Result<(), AppError> {
        let (_, own) = caller.needs_session()?;
        self.session_end(caller, own.id).await
    }

    /// Takes the proof that it is still they who sit there: for [`super::CONFIRMED_FOR`] they may change what they sign in with.
    ///
    /// # Errors
    /// It is none.
    pub async fn session_confirm(&self, caller: &Caller, visit: &Visit, proof: Proof) -> Result<(), AppError> {
        let (person, own) = caller.needs_session()?;
        let (now, source) = (self.now(), visit.source());
        let mut session = match proof {
            Proof::Password(text) => {
                let address = Address::of(&person.email);
                let place = self.0.entrance.gate.enter()?;
                let kept = self.0.store.read().await?.person(person.id).await?.and_then(|person| person.password);
                // They came in from here: strangers elsewhere are not theirs to wait for.
                self.0.entrance.throttle().try_password(now, address, source, true).map_err(throttled)?;
                let shown = Password::shown(&text);
                if !place.run(move || shown.is_of(kept.as_deref())).await?? {
                    self.note_failure(visit, &person.email, "password");
                    return Err(SignInError::Wrong.into());
                }
                self.0.entrance.throttle().was_right(address, source, true);
                self.0.store.write().await?
            }
            Proof::Code(code) => {
                self.0.entrance.throttle().try_second_factor(now, person.id, source).map_err(throttled)?;
                let mut session = self.0.store.write().await?;
                // A recovery code is for getting in, and not spent here.
                let typed = Typed::read(person.id, &code).filter(|typed| matches!(typed, Typed::Digits(_)));
                if self.use_code(&mut session, person, typed, now).await?.is_none() {
                    drop(session);
                    self.note_failure(visit, &person.email, "second factor");
                    return Err(SignInError::WrongCode.into());
                }
                self.0.entrance.throttle().second_factor_was_right(person.id, source);
                session
            }
            Proof::Passkey { ceremony, credential } => {
                self.confirming_passkey(visit, person, own.id, &ceremony, credential).await?
            }
        };
        session.user_session_confirmed(own.id, now).await?;
        self.trace(&mut session, caller, traced("confirm", "session", &own.id.to_string(), None, None)).await?;
        session.commit_silently().await?;
        self.0.identities.forget();
        Ok(())
    }
}
