//! What a verb may ask of whoever is signed in.

use poterne_control_store::{Membership, Micros, Person, UserSession};

use super::{CONFIRMED_FOR, SignInError};
use crate::{AppError, Caller, Identity, access::Target};

impl Caller {
    /// The session that was shown, where it was one.
    pub fn session(&self) -> Option<&UserSession> {
        match self {
            Self::Identified(identity, _) => identity.session.as_ref(),
            Self::Operator | Self::Anybody => None,
        }
    }

    /// Somebody who is signed in, and their session: for what no token may do.
    pub(crate) fn needs_session(&self) -> Result<(&Person, &UserSession), AppError> {
        match (self.person(), self.session()) {
            (Some(person), Some(session)) => Ok((person, session)),
            _ => Err(SignInError::SessionNeeded.into()),
        }
    }

    /// Of somebody who is signed in: that they have shown who they are a short while ago. Tokens have shown all they have.
    pub(crate) fn needs_confirmation(&self, now: Micros) -> Result<(), AppError> {
        let old = |session: &UserSession| now.saturating_sub(session.confirmed_at) > CONFIRMED_FOR;
        if self.session().is_some_and(old) { Err(SignInError::ConfirmationNeeded.into()) } else { Ok(()) }
    }

    /// Refuses members of an account that asks for a second factor which they have not.
    pub(crate) fn needs_second_factor(&self, target: Target) -> Result<(), AppError> {
        let Self::Identified(identity, _) = self else { return Ok(()) };
        if identity.is_kept_out(target) { Err(SignInError::SecondFactorNeeded.into()) } else { Ok(()) }
    }
}

impl Identity {
    /// Whether an account asks for a second factor that its member has not.
    pub(crate) fn is_kept_out(&self, target: Target) -> bool {
        let (Target::Account(account) | Target::Zone(account, _) | Target::NewZone(account)) = target else { return false };
        let lacks = self.person.as_ref().is_some_and(|person| !person.second_factor);
        lacks && self.enforcing.contains(&account) && self.memberships.iter().any(|one: &Membership| one.account == account)
    }
}
