//! Authenticator applications and recovery codes of whoever is signed in.

use poterne_control_store::{Micros, Session, Totp};
use poterne_keys::{Purpose, Secret};
use poterne_model::{Timestamp, UserId};

use super::{SignInError, Visit, one_time_code, throttled, traced};
use crate::{
    App, AppError, Caller,
    access::{Subject, Target},
    notice::SignInChange,
};

/// What an authenticator application is told, this once. No `Debug`: it is a secret.
pub struct Enrolment {
    /// The seed as people type it, base 32 (RFC 4648 §6).
    pub secret: String,
    /// The same as applications scan it.
    pub uri: String,
}

/// What somebody has beside their password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecondFactors {
    /// Since when they have an authenticator application.
    pub totp: Option<Timestamp>,
    /// How many passkeys.
    pub passkeys: usize,
    /// How many recovery codes are left.
    pub recovery_codes: u64,
}

impl App {
    /// What the caller has.
    pub async fn second_factors(&self, caller: &Caller) -> Result<SecondFactors, AppError> {
        let person = caller.person().ok_or(AppError::NotFound("user"))?.id;
        caller.needs(Subject::UserDetails.to_read(), Target::User(person))?;
        let mut session = self.0.store.read().await?;
        let totp = session.totp(person).await?.and_then(|totp| totp.confirmed_at).map(Timestamp::from_micros);
        let passkeys = session.passkeys(person).await?.len();
        Ok(SecondFactors { totp, passkeys, recovery_codes: session.recovery_codes(person).await? })
    }

    /// Begins with an authenticator application; it counts once it has shown a code ([`App::totp_confirm`]).
    pub async fn totp_begin(&self, caller: &Caller) -> Result<Enrolment, AppError> {
        let (person, _) = caller.needs_session()?;
        let now = self.now();
        caller.needs_confirmation(now)?;
        let mut session = self.0.store.write().await?;
        if session.totp(person.id).await?.is_some_and(|totp| totp.confirmed_at.is_some()) {
            return Err(AppError::Exists("you have an authenticator application already: take it away first".into()));
        }
        let seed = Secret::random(one_time_code::SEED_BYTES);
        let (secret, uri) = one_time_code::told(&seed, &self.issuer(), &person.email)?;
        let sealed = self.0.keys.seal(Purpose::TotpSeed, person.id.as_bytes(), seed.expose());
        session.put_totp(&Totp { person: person.id, sealed, last_step: 0, created_at: now, confirmed_at: None }).await?;
        session.commit_silently().await?;
        Ok(Enrolment { secret, uri })
    }

    /// Takes the application's first code, and with it the application. Recovery codes come with the first second factor.
    ///
    /// # Errors
    /// The code is not right, or nothing was begun.
    pub async fn totp_confirm(&self, caller: &Caller, visit: &Visit, code: &str) -> Result<Option<Vec<String>>, AppError> {
        let (person, _) = caller.needs_session()?;
        let (now, source) = (self.now(), visit.source());
        caller.needs_confirmation(now)?;
        self.0.entrance.throttle().try_second_factor(now, person.id, source).map_err(throttled)?;
        let mut session = self.0.store.write().await?;
        let begun = session.totp(person.id).await?.filter(|totp| totp.confirmed_at.is_none());
        let begun = begun.ok_or(AppError::NotFound("authenticator application that waits for its first code"))?;
        let digits: String = code.chars().filter(char::is_ascii_digit).take(6).collect();
        let step = self.step_of(&begun, &digits, now)?.ok_or(SignInError::WrongCode)?;
        session.put_totp(&Totp { last_step: step, confirmed_at: Some(now), ..begun }).await?;
        let codes = self.first_recovery_codes(&mut session, person.id).await?;
        self.trace(&mut session, caller, traced("totp_add", "user", &person.id.to_string(), None, None)).await?;
        self.tell_changed(&mut session, caller, person, SignInChange::SecondFactorAdded).await?;
        session.commit_silently().await?;
        self.0.entrance.throttle().second_factor_was_right(person.id, source);
        self.0.identities.forget();
        Ok(codes)
    }

    /// Takes the caller's authenticator application away.
    pub async fn totp_delete(&self, caller: &Caller) -> Result<(), AppError> {
        let (person, _) = caller.needs_session()?;
        caller.needs_confirmation(self.now())?;
        let mut session = self.0.store.write().await?;
        if !session.delete_totp(person.id).await? {
            return Err(AppError::NotFound("authenticator application"));
        }
        self.without_factors_no_codes(&mut session, person.id).await?;
        self.trace(&mut session, caller, traced("totp_delete", "user", &person.id.to_string(), None, None)).await?;
        self.tell_changed(&mut session, caller, person, SignInChange::SecondFactorRemoved).await?;
        session.commit_silently().await?;
        self.0.identities.forget();
        Ok(())
    }

    /// Gives the caller new recovery codes; those before are worth nothing.
    pub async fn recovery_codes_renew(&self, caller: &Caller) -> Result<Vec<String>, AppError> {
        let (person, _) = caller.needs_session()?;
        caller.needs_confirmation(self.now())?;
        let mut session = self.0.store.write().await?;
        if !session.person(person.id).await?.is_some_and(|person| person.second_factor) {
            let why = "they stand in for a second factor, and you have none: set one up first".to_owned();
            return Err(AppError::Invalid { what: "recovery codes", why });
        }
        let (codes, digests) = one_time_code::recovery_codes(person.id);
        session.put_recovery_codes(person.id, &digests).await?;
        self.trace(&mut session, caller, traced("recovery_codes_renew", "user", &person.id.to_string(), None, None)).await?;
        self.tell_changed(&mut session, caller, person, SignInChange::RecoveryCodes).await?;
        session.commit_silently().await?;
        Ok(codes)
    }

    /// Uses six digits up; false when they are not right, or were used.
    pub(super) async fn use_digits(
        &self,
        session: &mut Session,
        person: UserId,
        digits: &str,
        now: Micros,
    ) -> Result<bool, AppError> {
        let Some(totp) = session.totp(person).await?.filter(|totp| totp.confirmed_at.is_some()) else { return Ok(false) };
        match self.step_of(&totp, digits, now)? {
            Some(step) => Ok(session.use_totp_step(person, step).await?),
            None => Ok(false),
        }
    }

    /// Recovery codes for somebody who has none yet.
    pub(super) async fn first_recovery_codes(
        &self,
        session: &mut Session,
        person: UserId,
    ) -> Result<Option<Vec<String>>, AppError> {
        if session.recovery_codes(person).await? > 0 {
            return Ok(None);
        }
        let (codes, digests) = one_time_code::recovery_codes(person);
        session.put_recovery_codes(person, &digests).await?;
        Ok(Some(codes))
    }

    /// Takes the recovery codes of somebody who has no second factor any more.
    pub(super) async fn without_factors_no_codes(&self, session: &mut Session, person: UserId) -> Result<(), AppError> {
        if !session.person(person).await?.is_some_and(|person| person.second_factor) {
            session.put_recovery_codes(person, &[]).await?;
        }
        Ok(())
    }

    fn step_of(&self, totp: &Totp, digits: &str, now: Micros) -> Result<Option<i64>, AppError> {
        let seed = self.0.keys.open(Purpose::TotpSeed, totp.person.as_bytes(), &totp.sealed)?;
        one_time_code::step(&seed, digits, Timestamp::from_micros(now).as_secs())
    }

    /// What applications call this node.
    fn issuer(&self) -> String {
        self.settings().node_names.first().map_or_else(|| "Poterne".to_owned(), |name| format!("Poterne {name}"))
    }
}
