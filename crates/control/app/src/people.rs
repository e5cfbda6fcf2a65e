//! People: the first one, who owns what the node began with, and what everybody may change of themselves.

use poterne_control_store::{Membership, MembershipStatus, Micros, Person, Session};
use poterne_keys::random_bytes;
use poterne_model::{AccountId, MembershipId, UserId};
use serde_json::json;

use crate::{
    App, AppError, Caller,
    access::{Subject, Target},
    audit::Traced,
    members, role,
};

/// Longest first or last name, in characters.
const NAME_MAX: usize = 60;

impl App {
    /// The person who calls.
    pub async fn person_get(&self, caller: &Caller) -> Result<Person, AppError> {
        // Whose token it is may be known to whoever holds it; without a person there is none to tell of.
        caller.person().cloned().ok_or(AppError::NotFound("user"))
    }

    /// Changes what a person is called.
    pub async fn person_rename(
        &self,
        caller: &Caller,
        first_name: Option<Option<String>>,
        last_name: Option<Option<String>>,
    ) -> Result<Person, AppError> {
        let id = caller.person().ok_or(AppError::NotFound("user"))?.id;
        caller.needs(Subject::UserDetails.to_edit(), Target::User(id))?;
        let mut session = self.0.store.write().await?;
        let mut person = session.person(id).await?.ok_or(AppError::NotFound("user"))?;
        for (what, new, old) in
            [("first_name", first_name, &mut person.first_name), ("last_name", last_name, &mut person.last_name)]
        {
            let Some(new) = new else { continue };
            if new.as_ref().is_some_and(|name| name.chars().count() > NAME_MAX || name.chars().any(char::is_control)) {
                return Err(AppError::Invalid {
                    what,
                    why: format!("it has at most {NAME_MAX} characters, none of them a control"),
                });
            }
            *old = new.filter(|name| !name.is_empty());
        }
        person.modified_at = self.now();
        session.update_person(&person).await?;
        session.commit_silently().await?;
        self.0.identities.forget();
        Ok(person)
    }

    /// Says who the owner of the node's first account is: for the node's operator, before anything else.
    ///
    /// Somebody of that address who was invited and has not answered is nobody yet but an address: the owner takes it over with its
    /// invitations. Somebody who is a member, or can prove who they are, keeps it.
    pub async fn own_by(&self, email: &str) -> Result<(), AppError> {
        let owner = self.owner().await?;
        let email = email.to_lowercase();
        let mut session = self.0.store.write().await?;
        let person = session.person(owner).await?.ok_or(AppError::NotFound("user"))?;
        if let Some(other) = session.person_of_email(&email).await?.filter(|other| other.id != owner) {
            self.take_over(&mut session, other, owner).await?;
        }
        let after = Person { email, modified_at: self.now(), ..person.clone() };
        session.update_person(&after).await?;
        let told = |person: &Person| Some(json!({ "email": person.email }));
        let traced = Traced {
            account: Some(self.account()),
            action: "update",
            kind: "user",
            id: owner.to_string(),
            old: told(&person),
            new: told(&after),
            ..Traced::default()
        };
        self.trace(&mut session, &Caller::Operator, traced).await?;
        session.commit_silently().await?;
        self.0.identities.forget();
        Ok(())
    }

    /// Gives a person's invitations to another, and takes the person away. Refused where they are more than an address.
    async fn take_over(&self, session: &mut Session, person: Person, by: UserId) -> Result<(), AppError> {
        let own: Vec<_> = session.memberships(by).await?.into_iter().map(|membership| membership.account).collect();
        for invitation in session.memberships(person.id).await? {
            if invitation.status == MembershipStatus::Accepted {
                continue;
            }
            session.delete_membership(invitation.id).await?;
            if invitation.status == MembershipStatus::Pending && !own.contains(&invitation.account) {
                session.insert_membership(&Membership { person: by, modified_at: self.now(), ..invitation }).await?;
            }
        }
        session.delete_person_unless_used(person.id).await?;
        if session.person(person.id).await?.is_some() {
            return Err(AppError::Exists(format!(
                "{} is another user's address: take another, or have them change theirs",
                person.email
            )));
        }
        Ok(())
    }

    /// The person who owns the node's first account, and whose tokens the operator makes.
    pub async fn owner(&self) -> Result<UserId, AppError> {
        let all = self.0.store.read().await?.members(self.account()).await?;
        let owns = |(membership, _): &&(Membership, Person)| members::owns(membership);
        all.iter().find(owns).map(|(membership, _)| membership.person).ok_or(AppError::NotFound("user"))
    }
}

/// Makes the first person, where the account has nobody yet.
pub(crate) async fn first(session: &mut Session, account: AccountId, email: &str, now: Micros) -> Result<(), AppError> {
    if !session.members(account).await?.is_empty() {
        return Ok(());
    }
    let person = Person {
        id: UserId::from_bytes(random_bytes()),
        email: email.to_ascii_lowercase(),
        first_name: None,
        last_name: None,
        password: None,
        suspended: false,
        second_factor: false,
        created_at: now,
        modified_at: now,
    };
    session.insert_person(&person).await?;
    let membership = Membership {
        id: MembershipId::from_bytes(random_bytes()),
        account,
        person: person.id,
        status: MembershipStatus::Accepted,
        roles: vec![role::SUPER_ADMINISTRATOR.to_owned()],
        created_at: now,
        modified_at: now,
    };
    Ok(session.insert_membership(&membership).await?)
}
