//! Passkeys (WebAuthn level 3): making, listing, and what they open.
//!
//! An authenticator that has checked its user (a finger, a face, a PIN) is two factors in one, so a passkey signs in alone, or stands as
//! second factor beside a password. What is asked of it waits in memory ([`super::waiting`]) and is used once.

use std::net::IpAddr;

use poterne_control_store::{Passkey, Person, Session};
use poterne_keys::random_bytes;
use poterne_model::{PasskeyId, SessionId, ShapeError, UserId};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;
use webauthn_rs::prelude::{
    AuthenticationResult, DiscoverableAuthentication, PasskeyAuthentication, PasskeyRegistration, PublicKeyCredential,
    RegisterPublicKeyCredential, WebauthnError,
};

use super::{SignInError, SignedIn, Site, Visit, gate::Place, refuse_suspended, throttled, traced};
use crate::{
    App, AppError, Caller,
    access::{Subject, Target},
    notice::SignInChange,
};

/// The library's.
type Kept = webauthn_rs::prelude::Passkey;

/// Most passkeys of one person.
const PASSKEYS_MAX: usize = 20;

/// Longest name of one, in characters.
const NAME_MAX: usize = 60;

/// What an authenticator was asked.
pub(crate) enum Ceremony {
    /// To make a passkey.
    Make { session: SessionId, site: Site, state: PasskeyRegistration },
    /// To say who its user is.
    Alone { site: Site, state: DiscoverableAuthentication },
    /// To answer for a person who is known: on their way in, with a ticket, or signed in already.
    Known { site: Site, person: UserId, why: Why, state: PasskeyAuthentication },
}

/// What a known person's passkey is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Why {
    /// As second factor.
    Ticket(String),
    /// To show once more who they are.
    Confirm(SessionId),
}

impl App {
    /// The site that a page is of, by the `Origin` its request came with.
    ///
    /// # Errors
    /// It is none of this node's.
    pub fn site(&self, origin: Option<&str>, ip: IpAddr) -> Result<Site, AppError> {
        Ok(Site::read(origin, ip, &self.settings().node_names)?)
    }

    /// The caller's passkeys, oldest first.
    pub async fn passkey_list(&self, caller: &Caller) -> Result<Vec<Passkey>, AppError> {
        let person = caller.person().ok_or(AppError::NotFound("user"))?.id;
        caller.needs(Subject::UserDetails.to_read(), Target::User(person))?;
        Ok(self.0.store.read().await?.passkeys(person).await?)
    }

    /// Begins to make one: what names the ceremony, and what the browser is told (`PublicKeyCredentialCreationOptionsJSON`).
    pub async fn passkey_begin(&self, caller: &Caller, visit: &Visit, site: Site) -> Result<(String, Value), AppError> {
        let (person, own) = caller.needs_session()?;
        caller.needs_confirmation(self.now())?;
        let passkeys = self.0.store.read().await?.passkeys(person.id).await?;
        check_room(&passkeys)?;
        let known = passkeys.into_iter().filter(|one| one.site == site.name()).map(|one| one.credential_id).collect();
        let webauthn = site.webauthn().map_err(|error| failed(&error))?;
        let id = Uuid::from_bytes(*person.id.as_bytes());
        let shown = shown_name(person);
        let begun = webauthn.start_passkey_registration(id, &person.email, &shown, Some(known));
        let (options, state) = begun.map_err(|error| failed(&error))?;
        let mut options = told(&options.public_key)?;
        if let Some(selection) = options.get_mut("authenticatorSelection") {
            // So that it signs in without an address, where the authenticator has room for that.
            selection["residentKey"] = json!("preferred");
        }
        let ceremony = Ceremony::Make { session: own.id, site, state };
        Ok((self.0.entrance.ceremonies().add(self.now(), visit.source(), ceremony), options))
    }

    /// Takes the passkey that was made. Recovery codes come with the first second factor.
    ///
    /// # Errors
    /// The answer is not one to what was asked.
    pub async fn passkey_finish(
        &self,
        caller: &Caller,
        ceremony: &str,
        name: &str,
        credential: Value,
    ) -> Result<(Passkey, Option<Vec<String>>), AppError> {
        let (person, own) = caller.needs_session()?;
        let now = self.now();
        caller.needs_confirmation(now)?;
        check_name(name)?;
        let answer: RegisterPublicKeyCredential = answer(credential)?;
        let place = self.0.entrance.gate.enter()?;
        let begun = self.0.entrance.ceremonies().take(now, ceremony);
        let Some(Ceremony::Make { session: of, site, state }) = begun else { return Err(SignInError::Unfinished.into()) };
        if of != own.id {
            return Err(SignInError::Unfinished.into());
        }
        let webauthn = site.webauthn().map_err(|error| failed(&error))?;
        let made = place.run(move || webauthn.finish_passkey_registration(&answer, &state)).await?;
        let made = made.map_err(|error| refused(&error))?;
        let passkey = Passkey {
            id: PasskeyId::from_bytes(random_bytes()),
            person: person.id,
            credential_id: made.cred_id().clone(),
            site: site.name().to_owned(),
            name: name.to_owned(),
            credential: kept(&made)?,
            created_at: now,
            last_used_at: None,
        };
        let mut session = self.0.store.write().await?;
        // Others may have been made since this one was begun.
        check_room(&session.passkeys(person.id).await?)?;
        if session.passkey_of_credential(&passkey.credential_id).await?.is_some() {
            return Err(AppError::Exists("this passkey is there already".into()));
        }
        session.insert_passkey(&passkey).await?;
        let codes = self.first_recovery_codes(&mut session, person.id).await?;
        let event = traced("passkey_add", "passkey", &passkey.id.to_string(), None, Some(told_of(&passkey)));
        self.trace(&mut session, caller, event).await?;
        self.tell_changed(&mut session, caller, person, SignInChange::PasskeyAdded).await?;
        session.commit_silently().await?;
        self.0.identities.forget();
        Ok((passkey, codes))
    }

    /// Calls one otherwise.
    pub async fn passkey_rename(&self, caller: &Caller, id: PasskeyId, name: &str) -> Result<Passkey, AppError> {
        let (person, _) = caller.needs_session()?;
        check_name(name)?;
        let mut session = self.0.store.write().await?;
        let before = own(&mut session, person, id).await?;
        session.rename_passkey(id, name).await?;
        let after = Passkey { name: name.to_owned(), ..before.clone() };
        let event = traced("passkey_rename", "passkey", &id.to_string(), Some(told_of(&before)), Some(told_of(&after)));
        self.trace(&mut session, caller, event).await?;
        session.commit_silently().await?;
        Ok(after)
    }

    /// Takes one away.
    pub async fn passkey_delete(&self, caller: &Caller, id: PasskeyId) -> Result<(), AppError> {
        let (person, _) = caller.needs_session()?;
        caller.needs_confirmation(self.now())?;
        let mut session = self.0.store.write().await?;
        let before = own(&mut session, person, id).await?;
        session.delete_passkey(id).await?;
        self.without_factors_no_codes(&mut session, person.id).await?;
        let event = traced("passkey_delete", "passkey", &id.to_string(), Some(told_of(&before)), None);
        self.trace(&mut session, caller, event).await?;
        self.tell_changed(&mut session, caller, person, SignInChange::PasskeyRemoved).await?;
        session.commit_silently().await?;
        self.0.identities.forget();
        Ok(())
    }

    /// What a browser asks an authenticator before somebody is signed in (`PublicKeyCredentialRequestOptionsJSON`), and what names it.
    /// With a ticket as second factor; without one the passkey says who they are, and the source has a try less until it did.
    ///
    /// # Errors
    /// The ticket is not known, or the source asks too often.
    pub async fn passkey_challenge(&self, visit: &Visit, site: Site, ticket: Option<&str>) -> Result<(String, Value), AppError> {
        let Some(ticket) = ticket else {
            self.0.entrance.throttle().try_source(self.now(), visit.source()).map_err(throttled)?;
            let webauthn = site.webauthn().map_err(|error| failed(&error))?;
            let (options, state) = webauthn.start_discoverable_authentication().map_err(|error| failed(&error))?;
            let options = told(&options.public_key)?;
            let ceremony = Ceremony::Alone { site, state };
            return Ok((self.0.entrance.ceremonies().add(self.now(), visit.source(), ceremony), options));
        };
        let person = self.0.entrance.tickets().look(self.now(), ticket).map(|half| half.person);
        let person = person.ok_or(SignInError::Unfinished)?;
        self.challenge_known(visit, site, person, Why::Ticket(ticket.to_owned())).await
    }

    /// The same for somebody who is signed in, and shows once more who they are.
    pub async fn passkey_challenge_of(&self, caller: &Caller, visit: &Visit, site: Site) -> Result<(String, Value), AppError> {
        let (person, own) = caller.needs_session()?;
        self.challenge_known(visit, site, person.id, Why::Confirm(own.id)).await
    }

    async fn challenge_known(&self, visit: &Visit, site: Site, person: UserId, why: Why) -> Result<(String, Value), AppError> {
        let passkeys = self.0.store.read().await?.passkeys(person).await?;
        let here = passkeys.iter().filter(|one| one.site == site.name());
        let here = here.map(read).collect::<Result<Vec<_>, _>>()?;
        if here.is_empty() {
            return Err(AppError::NotFound("passkey of yours for this site"));
        }
        let webauthn = site.webauthn().map_err(|error| failed(&error))?;
        let (options, state) = webauthn.start_passkey_authentication(&here).map_err(|error| failed(&error))?;
        let options = told(&options.public_key)?;
        let ceremony = Ceremony::Known { site, person, why, state };
        Ok((self.0.entrance.ceremonies().add(self.now(), visit.source(), ceremony), options))
    }

    /// Signs in with what an authenticator answered.
    ///
    /// # Errors
    /// It is not right: one error, whatever exactly is wrong.
    pub async fn sign_in_with_passkey(&self, visit: &Visit, ceremony: &str, credential: Value) -> Result<SignedIn, AppError> {
        let (now, source) = (self.now(), visit.source());
        let answer: PublicKeyCredential = answer(credential)?;
        // Whoever finds no place has lost neither a try nor what was begun.
        let place = self.0.entrance.gate.enter()?;
        self.0.entrance.throttle().try_source(now, source).map_err(throttled)?;
        let begun = self.0.entrance.ceremonies().take(now, ceremony).ok_or(SignInError::Unfinished)?;
        let (factors, rehashed, session, person) = match begun {
            Ceremony::Alone { site, state } => {
                let (session, person) = self.shown_alone(visit, site, state, answer, place).await?;
                // The challenge was a try, too.
                self.0.entrance.throttle().give_back(source);
                ("passkey", None, session, person)
            }
            Ceremony::Known { site, person, why: Why::Ticket(ticket), state } => {
                let half = self.half(&ticket)?;
                let (mut session, _) = self.shown_by(visit, site, person, state, answer, place).await?;
                let person = self.person_of_half(&mut session, &half).await?;
                let half = self.0.entrance.tickets().take(now, &ticket).ok_or(SignInError::Unfinished)?;
                ("password+passkey", half.rehashed, session, person)
            }
            _ => return Err(SignInError::Unfinished.into()),
        };
        self.0.entrance.throttle().give_back(source);
        refuse_suspended(&person)?;
        self.begin(session, visit, person, factors, rehashed).await
    }

    /// The proof of somebody who is signed in; the transaction has noted that the passkey was used.
    pub(super) async fn confirming_passkey(
        &self,
        visit: &Visit,
        caller: &Person,
        own: SessionId,
        ceremony: &str,
        credential: Value,
    ) -> Result<Session, AppError> {
        let answer: PublicKeyCredential = answer(credential)?;
        let place = self.0.entrance.gate.enter()?;
        let begun = self.0.entrance.ceremonies().take(self.now(), ceremony);
        match begun {
            Some(Ceremony::Known { site, person, why, state }) if person == caller.id && why == Why::Confirm(own) => {
                Ok(self.shown_by(visit, site, person, state, answer, place).await?.0)
            }
            _ => Err(SignInError::Unfinished.into()),
        }
    }

    async fn shown_alone(
        &self,
        visit: &Visit,
        site: Site,
        state: DiscoverableAuthentication,
        answer: PublicKeyCredential,
        place: Place,
    ) -> Result<(Session, Person), AppError> {
        let found = self.0.store.read().await?.passkey_of_credential(answer.get_credential_id()).await?;
        // The authenticator names its user, too; both must be the same.
        let named = |passkey: &Passkey| answer.get_user_unique_id() == Some(passkey.person.as_bytes().as_slice());
        let found = found.filter(|passkey| passkey.site == site.name() && named(passkey));
        let found = found.ok_or_else(|| refused(&"no passkey of this site is called so"))?;
        let (webauthn, key) = (site.webauthn().map_err(|error| failed(&error))?, read(&found)?);
        let verify = move || webauthn.finish_discoverable_authentication_v2(&answer, state, &key);
        self.verified(visit, found, place, verify).await
    }

    async fn shown_by(
        &self,
        visit: &Visit,
        site: Site,
        person: UserId,
        state: PasskeyAuthentication,
        answer: PublicKeyCredential,
        place: Place,
    ) -> Result<(Session, Person), AppError> {
        let found = self.0.store.read().await?.passkey_of_credential(answer.get_credential_id()).await?;
        let found = found.filter(|passkey| passkey.person == person && passkey.site == site.name());
        let found = found.ok_or_else(|| refused(&"none of this person's passkeys for this site is called so"))?;
        let webauthn = site.webauthn().map_err(|error| failed(&error))?;
        self.verified(visit, found, place, move || webauthn.finish_passkey_authentication(&answer, &state)).await
    }

    /// Looks at the signature, and notes that the passkey was used: in a transaction that goes on.
    async fn verified(
        &self,
        visit: &Visit,
        passkey: Passkey,
        place: Place,
        verify: impl FnOnce() -> Result<AuthenticationResult, WebauthnError> + Send + 'static,
    ) -> Result<(Session, Person), AppError> {
        let outcome = place.run(verify).await?;
        let outcome = outcome.and_then(|done| if done.user_verified() { Ok(done) } else { Err(WebauthnError::UserNotVerified) });
        let done = match outcome {
            Ok(done) => done,
            Err(error) => {
                if let Some(person) = self.0.store.read().await?.person(passkey.person).await? {
                    self.note_failure(visit, &person.email, "passkey");
                }
                return Err(refused(&error));
            }
        };
        let mut session = self.0.store.write().await?;
        // As it is now: the counter of another answer may have come between, and the key may be gone.
        let current = session.passkey_of_credential(&passkey.credential_id).await?;
        let current = current.ok_or_else(|| refused(&"it was taken away meanwhile"))?;
        let mut key = read(&current)?;
        key.update_credential(&done);
        session.passkey_used(current.id, &kept(&key)?, self.now()).await?;
        let person = session.person(current.person).await?.ok_or(SignInError::Passkey)?;
        Ok((session, person))
    }
}

async fn own(session: &mut Session, person: &Person, id: PasskeyId) -> Result<Passkey, AppError> {
    let passkeys = session.passkeys(person.id).await?;
    passkeys.into_iter().find(|passkey| passkey.id == id).ok_or(AppError::NotFound("passkey"))
}

/// A browser's answer.
fn answer<T: DeserializeOwned>(mut credential: Value) -> Result<T, AppError> {
    // Absent is what browsers write for none.
    if let Some(response) = credential.get_mut("response").and_then(Value::as_object_mut) {
        response.entry("userHandle").or_insert(Value::Null);
    }
    serde_json::from_value(credential).map_err(|error| {
        let why = format!("/credential is not what a browser's credential.toJSON() gives: {error}");
        ShapeError::new("/credential", why).into()
    })
}

fn read(passkey: &Passkey) -> Result<Kept, AppError> {
    serde_json::from_str(&passkey.credential).map_err(|error| AppError::Hashing(format!("a passkey is damaged: {error}")))
}

fn kept(passkey: &Kept) -> Result<String, AppError> {
    serde_json::to_string(passkey).map_err(|error| AppError::Hashing(error.to_string()))
}

fn told(options: &impl serde::Serialize) -> Result<Value, AppError> {
    serde_json::to_value(options).map_err(|error| AppError::Hashing(error.to_string()))
}

fn told_of(passkey: &Passkey) -> Value {
    json!({ "name": passkey.name, "site": passkey.site })
}

fn failed(error: &WebauthnError) -> AppError {
    AppError::Hashing(error.to_string())
}

fn refused(error: &impl ToString) -> AppError {
    tracing::info!(error = error.to_string(), "a passkey was refused");
    SignInError::Passkey.into()
}

fn shown_name(person: &Person) -> String {
    let names: Vec<_> = [&person.first_name, &person.last_name].into_iter().flatten().map(String::as_str).collect();
    if names.is_empty() { person.email.clone() } else { names.join(" ") }
}

fn check_room(passkeys: &[Passkey]) -> Result<(), AppError> {
    if passkeys.len() >= PASSKEYS_MAX {
        let why = format!("you have {PASSKEYS_MAX} already: take one away first");
        return Err(AppError::Invalid { what: "passkeys", why });
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), AppError> {
    let length = name.chars().count();
    if name.trim().is_empty() || length > NAME_MAX || name.chars().any(char::is_control) {
        let why = format!("a passkey's name has 1 to {NAME_MAX} characters and no control characters; this one has {length}");
        return Err(AppError::Invalid { what: "name", why });
    }
    Ok(())
}
