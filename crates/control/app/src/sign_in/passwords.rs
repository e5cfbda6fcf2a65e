//! Setting passwords and global keys.

use poterne_control_store::{Person, Session};
use poterne_keys::{random_bytes, random_name, sha256};
use poterne_model::{SessionId, UserId};
use serde_json::json;

use super::{password::Password, traced};
use crate::{
    App, AppError, Caller,
    access::{Subject, Target},
    notice::SignInChange,
};

/// Characters of a password that is made for somebody, five random bits each.
const MADE_CHARS: usize = 20;

/// Hexadecimal digits of a global key, which is what clients look for.
const KEY_DIGITS: usize = 37;

impl App {
    /// Gives the caller another password, and ends their other sessions.
    ///
    /// # Errors
    /// It is not one that is taken, or the caller must show who they are first.
    pub async fn password_change(&self, caller: &Caller, new: &str) -> Result<(), AppError> {
        let (person, own) = caller.needs_session()?;
        caller.needs_confirmation(self.now())?;
        let hash = self.hashed(new, &person.email).await?;
        let mut session = self.0.store.write().await?;
        self.put_password(&mut session, person.id, hash, Some(own.id)).await?;
        self.trace(&mut session, caller, traced("password_change", "user", &person.id.to_string(), None, None)).await?;
        self.tell_changed(&mut session, caller, person, SignInChange::Password).await?;
        session.commit_silently().await?;
        self.0.identities.forget();
        Ok(())
    }

    /// Gives a person a password, for the operator: how whoever has forgotten theirs, or never had one, gets in. Without `new` one is made,
    /// and returned. Their sessions end. `forget_factors`: their second factors go too.
    pub async fn user_password_set(
        &self,
        caller: &Caller,
        email: &str,
        new: Option<&str>,
        forget_factors: bool,
    ) -> Result<(Person, Option<String>), AppError> {
        caller.needs_operator()?;
        let email = email.trim().to_lowercase();
        let person = self.0.store.read().await?.person_of_email(&email).await?.ok_or_else(|| unknown(&email))?;
        let made = new.is_none().then(|| random_name(MADE_CHARS));
        let hash = self.hashed(new.or(made.as_deref()).unwrap_or_default(), &email).await?;
        let mut session = self.0.store.write().await?;
        self.put_password(&mut session, person.id, hash, None).await?;
        if forget_factors {
            session.delete_totp(person.id).await?;
            session.delete_passkeys(person.id).await?;
            session.put_recovery_codes(person.id, &[]).await?;
        }
        let told = json!({ "email": email, "second_factors_forgotten": forget_factors });
        self.trace(&mut session, caller, traced("password_set", "user", &person.id.to_string(), None, Some(told))).await?;
        self.tell_changed(&mut session, caller, &person, SignInChange::Password).await?;
        if forget_factors && person.second_factor {
            self.tell_changed(&mut session, caller, &person, SignInChange::SecondFactorRemoved).await?;
        }
        session.commit_silently().await?;
        self.0.identities.forget();
        tracing::info!(user = %person.id, forget_factors, "the operator set a password");
        Ok((Person { second_factor: person.second_factor && !forget_factors, ..person }, made))
    }

    /// Everybody who may sign in, by address, for the operator.
    pub async fn user_list(&self, caller: &Caller) -> Result<Vec<Person>, AppError> {
        caller.needs_operator()?;
        Ok(self.0.store.read().await?.people().await?)
    }

    /// Whether the caller has a global key.
    pub async fn global_key_is_set(&self, caller: &Caller) -> Result<bool, AppError> {
        let (person, _) = caller.needs_session()?;
        Ok(self.0.store.read().await?.has_person_key(person.id).await?)
    }

    /// Gives the caller a global key, in place of one before it; told this once.
    pub async fn global_key_roll(&self, caller: &Caller) -> Result<String, AppError> {
        let (person, _) = caller.needs_session()?;
        caller.needs_confirmation(self.now())?;
        let mut key: String = random_bytes::<20>().iter().map(|byte| format!("{byte:02x}")).collect();
        key.truncate(KEY_DIGITS);
        self.put_key(caller, person.id, Some(&sha256(key.as_bytes()))).await?;
        Ok(key)
    }

    /// Takes the caller's global key away.
    pub async fn global_key_delete(&self, caller: &Caller) -> Result<(), AppError> {
        let person = caller.person().ok_or(AppError::NotFound("user"))?.id;
        caller.needs(Subject::UserDetails.to_edit(), Target::User(person))?;
        self.put_key(caller, person, None).await
    }

    async fn put_key(&self, caller: &Caller, person: UserId, digest: Option<&[u8; 32]>) -> Result<(), AppError> {
        let mut session = self.0.store.write().await?;
        session.set_person_key(person, digest).await?;
        let action = if digest.is_some() { "global_key_roll" } else { "global_key_delete" };
        self.trace(&mut session, caller, traced(action, "user", &person.to_string(), None, None)).await?;
        session.commit_silently().await?;
        self.0.identities.forget();
        Ok(())
    }

    /// What is kept of a password that somebody chose.
    pub(super) async fn hashed(&self, new: &str, email: &str) -> Result<String, AppError> {
        let chosen = Password::chosen(new, email)?;
        self.0.entrance.gate.enter()?.run(move || chosen.hash()).await?
    }

    /// Keeps it, and makes what the former one opened worth nothing: sessions but this one, and links.
    pub(super) async fn put_password(
        &self,
        session: &mut Session,
        person: UserId,
        hash: String,
        but: Option<SessionId>,
    ) -> Result<Person, AppError> {
        let before = session.person(person).await?.ok_or(AppError::NotFound("user"))?;
        let after = Person { password: Some(hash), modified_at: self.now(), ..before };
        session.update_person(&after).await?;
        session.delete_user_sessions(person, but).await?;
        session.delete_password_links(person).await?;
        Ok(after)
    }
}

/// For the operator, who may know.
pub(super) fn unknown(email: &str) -> AppError {
    let why = format!("nobody here has {email:?}: see `poterne user list`");
    AppError::Invalid { what: "e-mail address", why }
}
