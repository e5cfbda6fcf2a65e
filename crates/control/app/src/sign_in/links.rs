//! Links that let somebody in once: to set a password, or to answer an invitation.
//!
//! The secret stands behind a `#`, which browsers send to nobody: neither logs nor `Referer` have it. What is kept is its digest. A link
//! to set a password lives for an hour, or a day when the operator made it; an invitation for a week. Each is used once, and replaced by
//! the next.

use poterne_control_store::{Membership, MembershipStatus, Micros, OneTimeLink, Person, Session};
use poterne_keys::{random_token, sha256};
use poterne_model::Timestamp;
use serde_json::json;

use super::{HOUR, SignInError, Visit, passwords::unknown, throttle::Address, throttled, traced};
use crate::{
    App, AppError, Caller,
    access::Request,
    notice::{Link, Notice, SignInChange},
    outbox::Told,
};

/// How long a link lives that somebody asked for who forgot their password.
const ASKED: Micros = HOUR;

/// How long one lives that the operator made.
const BY_OPERATOR: Micros = 24 * HOUR;

/// How long an invitation lives.
const INVITATION: Micros = 7 * 24 * HOUR;

/// Where a link leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkTo {
    /// Setting a password.
    Password,
    /// Answering an invitation.
    Invitation,
}

/// What an invitation says to whoever holds its link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invited {
    /// Whom it was sent to.
    pub email: String,
    /// What the account is called.
    pub account: String,
    /// The roles they would have.
    pub roles: Vec<String>,
    /// Whether they must choose a password.
    pub needs_password: bool,
}

impl App {
    /// The link with this secret in it.
    pub fn link(&self, to: LinkTo, secret: &str) -> Link {
        let page = match to {
            LinkTo::Password => "password",
            LinkTo::Invitation => "invitation",
        };
        self.link_to(page, secret)
    }

    /// A link that sets a person's password, for the operator to hand over, and until when.
    pub async fn user_link(&self, caller: &Caller, email: &str) -> Result<(String, Timestamp), AppError> {
        caller.needs_operator()?;
        let email = email.trim().to_lowercase();
        let mut session = self.0.store.write().await?;
        let person = session.person_of_email(&email).await?.ok_or_else(|| unknown(&email))?;
        let (secret, until) = self.new_link(&mut session, &person, None, BY_OPERATOR).await?;
        self.trace(&mut session, caller, traced("password_link", "user", &person.id.to_string(), None, None)).await?;
        session.commit_silently().await?;
        Ok((secret, Timestamp::from_micros(until)))
    }

    /// Sends a link to whoever says they forgot their password. Whether there is such a person is not told: the work is done after the
    /// answer.
    ///
    /// # Errors
    /// The source asks too often.
    pub async fn password_link_ask(&self, visit: &Visit, email: &str) -> Result<(), AppError> {
        let email = email.trim().to_lowercase();
        let admitted = self.0.entrance.throttle().try_link(self.now(), Address::of(&email), visit.source());
        if !admitted.map_err(throttled)? {
            tracing::info!(ip = %visit.request.ip, ray = visit.request.ray, "a link was asked for too often, and not sent");
            return Ok(());
        }
        let (app, visit) = (self.clone(), visit.clone());
        tokio::spawn(async move {
            if let Err(error) = app.send_password_link(&visit, &email).await {
                tracing::warn!(%error, "a link to set a password was not sent");
            }
        });
        Ok(())
    }

    /// A link that is not sent replaces none: whoever holds one from the operator keeps it.
    async fn send_password_link(&self, visit: &Visit, email: &str) -> Result<(), AppError> {
        let otherwise = "hand the person a link, with `poterne user password --link`";
        if !self.settings().sends_mail {
            let Request { ip, ray, .. } = &visit.request;
            tracing::info!(%ip, ray, "a link to set a password was asked for, and this node sends no mail: {otherwise}");
            return Ok(());
        }
        let mut session = self.0.store.write().await?;
        let Some(person) = session.person_of_email(email).await?.filter(|person| !person.suspended) else { return Ok(()) };
        let (secret, until) = self.new_link(&mut session, &person, None, ASKED).await?;
        let notice = Notice::PasswordReset {
            link: self.link(LinkTo::Password, &secret),
            expires_at: Timestamp::from_micros(until),
            ip: Some(visit.request.ip.to_canonical().to_string()),
        };
        let told = self.notify(&mut session, None, &person.email, &notice).await?;
        if !matches!(told, Told::Queued(_)) {
            tracing::warn!(user = %person.id, ?told, "a link to set a password was not sent: {otherwise}");
            return Ok(());
        }
        let event = traced("password_link", "user", &person.id.to_string(), None, Some(json!({ "sent": true })));
        self.trace(&mut session, &visit.caller(&person), event).await?;
        Ok(session.commit_silently().await?)
    }

    /// Sets a password with what was in a link. All sessions end; second factors stay.
    ///
    /// # Errors
    /// The link is worth nothing, or the password is not one that is taken.
    pub async fn password_reset(&self, visit: &Visit, secret: &str, new: &str) -> Result<(), AppError> {
        let (link, person) = self.linked(visit, secret).await?;
        if link.membership.is_some() {
            return Err(SignInError::LinkOver.into());
        }
        let hash = self.hashed(new, &person.email).await?;
        let mut session = self.0.store.write().await?;
        self.use_link(&mut session, &link).await?;
        self.put_password(&mut session, person.id, hash, None).await?;
        let (event, caller) = (traced("password_reset", "user", &person.id.to_string(), None, None), visit.caller(&person));
        self.trace(&mut session, &caller, event).await?;
        self.tell_changed(&mut session, &caller, &person, SignInChange::Password).await?;
        session.commit_silently().await?;
        self.0.identities.forget();
        tracing::info!(user = %person.id, ip = %visit.request.ip, ray = visit.request.ray, "a password was set by a link");
        Ok(())
    }

    /// What an invitation says, for whoever holds its link.
    pub async fn invitation_get(&self, visit: &Visit, secret: &str) -> Result<Invited, AppError> {
        let (link, person) = self.linked(visit, secret).await?;
        let mut session = self.0.store.read().await?;
        let membership = invitation(&mut session, &link).await?;
        let account = session.account(membership.account).await?.ok_or(AppError::NotFound("account"))?;
        let needs_password = person.password.is_none();
        Ok(Invited { email: person.email, account: account.name, roles: membership.roles, needs_password })
    }

    /// Accepts an invitation with what was in its link. Whoever has no password yet chooses one; whoever has one keeps it, and is asked
    /// for it when they sign in.
    ///
    /// # Errors
    /// The link is worth nothing, or the password is missing or not one that is taken.
    pub async fn invitation_accept(&self, visit: &Visit, secret: &str, password: Option<&str>) -> Result<(), AppError> {
        let (link, person) = self.linked(visit, secret).await?;
        let hash = match (&person.password, password) {
            (None, Some(new)) => Some(self.hashed(new, &person.email).await?),
            (None, None) => {
                let why = "choose one: it is what you sign in with from now on".to_owned();
                return Err(AppError::Invalid { what: "password", why });
            }
            (Some(_), Some(_)) => {
                let why = "you have one already: leave it out, and sign in with it afterwards".to_owned();
                return Err(AppError::Invalid { what: "password", why });
            }
            (Some(_), None) => None,
        };
        let caller = visit.caller(&person);
        let mut session = self.0.store.write().await?;
        let before = invitation(&mut session, &link).await?;
        self.use_link(&mut session, &link).await?;
        if let Some(hash) = hash {
            // Somebody may have set one meanwhile, with another link.
            if session.person(person.id).await?.is_none_or(|current| current.password.is_some()) {
                return Err(SignInError::LinkOver.into());
            }
            self.put_password(&mut session, person.id, hash, None).await?;
            self.tell_changed(&mut session, &caller, &person, SignInChange::Password).await?;
        }
        self.answered(session, &caller, before, &person, MembershipStatus::Accepted).await?;
        Ok(())
    }

    /// A new link for a person, in place of any before it; its secret, and until when.
    async fn new_link(
        &self,
        session: &mut Session,
        person: &Person,
        membership: Option<&Membership>,
        life: Micros,
    ) -> Result<(String, Micros), AppError> {
        let (secret, now) = (random_token("pol_"), self.now());
        let link = OneTimeLink {
            digest: sha256(secret.as_bytes()),
            person: person.id,
            membership: membership.map(|membership| membership.id),
            created_at: now,
            expires_at: now.saturating_add(life),
        };
        session.put_one_time_link(&link).await?;
        Ok((secret, link.expires_at))
    }

    /// A link by which an invitation is answered, and until when; one made before is worth nothing from then on.
    pub(crate) async fn invitation_link(
        &self,
        session: &mut Session,
        person: &Person,
        membership: &Membership,
    ) -> Result<(Link, Timestamp), AppError> {
        let (secret, until) = self.new_link(session, person, Some(membership), INVITATION).await?;
        Ok((self.link(LinkTo::Invitation, &secret), Timestamp::from_micros(until)))
    }

    /// The link of that secret and whom it lets in, where it is worth something. Guessing is throttled by source.
    async fn linked(&self, visit: &Visit, secret: &str) -> Result<(OneTimeLink, Person), AppError> {
        let source = visit.source();
        self.0.entrance.throttle().try_source(self.now(), source).map_err(throttled)?;
        let mut session = self.0.store.read().await?;
        let link = session.one_time_link(&sha256(secret.as_bytes()), self.now()).await?.ok_or(SignInError::LinkOver)?;
        let person = session.person(link.person).await?.filter(|person| !person.suspended);
        let person = person.ok_or(SignInError::LinkOver)?;
        self.0.entrance.throttle().give_back(source);
        Ok((link, person))
    }

    async fn use_link(&self, session: &mut Session, link: &OneTimeLink) -> Result<(), AppError> {
        if session.use_one_time_link(&link.digest).await? { Ok(()) } else { Err(SignInError::LinkOver.into()) }
    }
}

/// The invitation that a link answers, while it is one.
async fn invitation(session: &mut Session, link: &OneTimeLink) -> Result<Membership, AppError> {
    let memberships = session.memberships(link.person).await?;
    let pending = |one: &Membership| Some(one.id) == link.membership && one.status == MembershipStatus::Pending;
    Ok(memberships.into_iter().find(pending).ok_or(SignInError::LinkOver)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        outbox::NOTICES_FOR_RECIPIENT_MAX,
        sign_in::tests::{ADMIN, node, visit},
    };

    #[tokio::test]
    async fn a_link_that_is_not_sent_leaves_the_operators_as_it_was() {
        for sends_mail in [false, true] {
            let (app, _dir) = node(sends_mail).await;
            let (first, _) = app.user_link(&Caller::Operator, ADMIN).await.unwrap();
            if sends_mail {
                for _ in 0..NOTICES_FOR_RECIPIENT_MAX {
                    app.send_password_link(&visit(), ADMIN).await.unwrap();
                }
                assert!(app.linked(&visit(), &first).await.is_err(), "one that is on its way takes its place");
            }
            let (secret, _) = app.user_link(&Caller::Operator, ADMIN).await.unwrap();
            app.send_password_link(&visit(), ADMIN).await.unwrap();
            let expected = if sends_mail { NOTICES_FOR_RECIPIENT_MAX } else { 0 };
            assert_eq!(app.outbox_length().await.unwrap(), expected);
            app.password_reset(&visit(), &secret, "some good words").await.unwrap();
        }
    }
}
