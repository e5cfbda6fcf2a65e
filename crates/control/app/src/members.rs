//! Who belongs to an account: inviting, answering an invitation, changing roles, leaving.
//!
//! An invited person need not be known: they are made, without a password or key, and go with their last invitation. Whatever happens, an
//! account keeps a member who may do everything in it.

use std::collections::HashMap;

use poterne_control_store::{Account, Channel, Membership, MembershipStatus, Person, Session};
use poterne_keys::random_bytes;
use poterne_model::{AccountId, At, MembershipId, Name, ShapeError, Timestamp, UserId};
use serde_json::{Value, json};

use crate::{
    App, AppError, Caller,
    access::{Subject, Target},
    audit::Traced,
    notice::{Link, Notice},
    outbox::Told,
    role::{self, Role},
};

/// Most members of an account, invited ones included.
const MEMBERS_MAX: usize = 1000;

/// Longest address, in characters (RFC 5321 §4.5.3.1.3, without its brackets).
const EMAIL_MAX: usize = 254;

/// An invitation that was made.
#[derive(Debug, Clone)]
pub struct InvitationMade {
    /// The membership it is about.
    pub membership: Membership,
    /// Who is invited.
    pub person: Person,
    /// Where it is answered. For the operator's eyes, who may hand it over, and for no answer of the API: whoever has it is let in as
    /// the person invited.
    pub link: Link,
    /// Until when the link is good.
    pub expires_at: Timestamp,
    /// Whether it is on its way to them.
    pub told: Told,
}

impl App {
    /// An account's members, oldest first; invited ones too, and not those who declined.
    pub async fn member_list(&self, caller: &Caller, account: AccountId) -> Result<Vec<(Membership, Person)>, AppError> {
        caller.needs(Subject::Members.to_read(), Target::Account(account))?;
        let mut members = self.0.store.read().await?.members(account).await?;
        members.retain(|(membership, _)| membership.status != MembershipStatus::Rejected);
        Ok(members)
    }

    /// One of them.
    pub async fn member_get(
        &self,
        caller: &Caller,
        account: AccountId,
        id: MembershipId,
    ) -> Result<(Membership, Person), AppError> {
        caller.needs(Subject::Members.to_read(), Target::Account(account))?;
        let found = self.0.store.read().await?.member(account, id).await?;
        found.filter(|(membership, _)| membership.status != MembershipStatus::Rejected).ok_or(AppError::NotFound("member"))
    }

    /// The roles there are, for whoever may see members.
    pub fn role_list(&self, caller: &Caller, account: AccountId) -> Result<&'static [Role], AppError> {
        caller.needs(Subject::Members.to_read(), Target::Account(account))?;
        Ok(&role::ROLES)
    }

    /// Whether invitations are sent from here by mail.
    pub fn invites_by_mail(&self) -> bool {
        self.settings().sends_mail
    }

    /// Invites whom the body of a POST names. They become a member when they accept. The operator may invite again whoever has not
    /// answered yet: the link is another then.
    pub async fn member_invite(&self, caller: &Caller, account: AccountId, body: &At<'_>) -> Result<InvitationMade, AppError> {
        caller.needs(Subject::Members.to_edit(), Target::Account(account))?;
        body.object()?;
        let email = email(&body.required("email")?)?;
        let roles = roles(body)?;
        if let Some(status) = body.member("status").filter(|status| status.value != "pending") {
            return Err(status.wrong("whoever is invited accepts for themself: leave it out, or write \"pending\"").into());
        }
        let now = self.now();
        let mut session = self.0.store.write().await?;
        let members = session.members(account).await?;
        let is_full = members.len() >= MEMBERS_MAX;
        let before = members.into_iter().find(|(_, person)| person.email == email);
        let (membership, person) = match before {
            Some((before, person))
                if before.status == MembershipStatus::Rejected
                    || before.status == MembershipStatus::Pending && *caller == Caller::Operator =>
            {
                let again = Membership { status: MembershipStatus::Pending, roles, modified_at: now, ..before };
                session.update_membership(&again).await?;
                (again, person)
            }
            Some((before, _)) => {
                return Err(AppError::Exists(format!(
                    "{email} is a member already ({}): change their roles",
                    before.status.as_str()
                )));
            }
            None if is_full => {
                let why = format!("there are {MEMBERS_MAX} already: take one away first");
                return Err(AppError::Invalid { what: "members", why });
            }
            None => {
                let person = match session.person_of_email(&email).await? {
                    Some(person) => person,
                    None => invited(&mut session, email, now).await?,
                };
                let membership = Membership {
                    id: MembershipId::from_bytes(random_bytes()),
                    account,
                    person: person.id,
                    status: MembershipStatus::Pending,
                    roles,
                    created_at: now,
                    modified_at: now,
                };
                session.insert_membership(&membership).await?;
                (membership, person)
            }
        };
        // The operator may write to whomever they like; nobody else makes this node send mail after mail.
        if self.settings().sends_mail && *caller != Caller::Operator {
            self.0.entrance.admit_invitation(now, account, &person.email)?;
        }
        self.trace(&mut session, caller, traced("invite", &membership, &person, None, Some(&membership))).await?;
        let name = session.account(account).await?.ok_or(AppError::NotFound("account"))?.name;
        let (link, expires_at) = self.invitation_link(&mut session, &person, &membership).await?;
        let notice = Notice::Invitation {
            account: name,
            inviter: caller.person().map(|person| person.email.clone()),
            roles: membership.roles.clone(),
            link: link.clone(),
            expires_at,
        };
        // One that waits still has a link that is worth nothing now.
        session.delete_notices_for(account, Channel::Mail, &person.email, Some(notice.kind())).await?;
        let told = self.notify(&mut session, Some(account), &person.email, &notice).await?;
        session.commit().await?;
        tracing::info!(account = %account, member = %membership.id, "member invited");
        Ok(InvitationMade { membership, person, link, expires_at, told })
    }

    /// Gives a member other roles, as the body of a PUT says.
    pub async fn member_update(
        &self,
        caller: &Caller,
        account: AccountId,
        id: MembershipId,
        body: &At<'_>,
    ) -> Result<(Membership, Person), AppError> {
        caller.needs(Subject::Members.to_edit(), Target::Account(account))?;
        body.object()?;
        let roles = roles(body)?;
        let mut session = self.0.store.write().await?;
        let (before, person) = member(&mut session, account, id).await?;
        if before.status == MembershipStatus::Rejected {
            return Err(AppError::NotFound("member"));
        }
        let after = Membership { roles, modified_at: self.now(), ..before.clone() };
        session.update_membership(&after).await?;
        check_owned(&mut session, account).await?;
        self.trace(&mut session, caller, traced("update", &before, &person, Some(&before), Some(&after))).await?;
        session.commit().await?;
        self.0.identities.forget();
        Ok((after, person))
    }

    /// Ends a membership, or takes an invitation back.
    pub async fn member_delete(&self, caller: &Caller, account: AccountId, id: MembershipId) -> Result<(), AppError> {
        caller.needs(Subject::Members.to_edit(), Target::Account(account))?;
        let mut session = self.0.store.write().await?;
        let (before, person) = member(&mut session, account, id).await?;
        self.end(session, caller, before, person).await
    }

    /// What the caller belongs to, and is invited to, oldest first; each with its account.
    pub async fn membership_list(&self, caller: &Caller) -> Result<Vec<(Membership, Account)>, AppError> {
        let person = caller.person().ok_or(AppError::NotFound("user"))?.id;
        caller.needs(Subject::UserDetails.to_read(), Target::User(person))?;
        let mut session = self.0.store.read().await?;
        let memberships = session.memberships(person).await?;
        let ids: Vec<AccountId> = memberships.iter().map(|membership| membership.account).collect();
        let accounts: HashMap<AccountId, Account> =
            session.accounts_of(&ids).await?.into_iter().map(|account| (account.id, account)).collect();
        let with_account = |membership: Membership| {
            let account = accounts.get(&membership.account).cloned().ok_or(AppError::NotFound("account"))?;
            Ok((membership, account))
        };
        memberships.into_iter().map(with_account).collect()
    }

    /// One of them.
    pub async fn membership_get(&self, caller: &Caller, id: MembershipId) -> Result<(Membership, Account), AppError> {
        let memberships = self.membership_list(caller).await?;
        memberships.into_iter().find(|(membership, _)| membership.id == id).ok_or(AppError::NotFound("membership"))
    }

    /// Accepts an invitation, or declines it. What was declined needs another invitation.
    pub async fn membership_answer(
        &self,
        caller: &Caller,
        id: MembershipId,
        accepted: bool,
    ) -> Result<(Membership, Account), AppError> {
        let mut session = self.0.store.write().await?;
        let (before, person) = own(&mut session, caller, id).await?;
        let status = if accepted { MembershipStatus::Accepted } else { MembershipStatus::Rejected };
        if before.status == status {
            let account = session.account(before.account).await?.ok_or(AppError::NotFound("account"))?;
            return Ok((before, account));
        }
        if before.status != MembershipStatus::Pending {
            let why = match before.status {
                MembershipStatus::Accepted => "the invitation was accepted already: to leave the account, delete the membership",
                _ => "the invitation was declined: ask to be invited again",
            };
            return Err(AppError::Invalid { what: "status", why: why.to_owned() });
        }
        self.answered(session, caller, before, &person, status).await
    }

    /// Keeps what the person invited answered, by whichever door, and ends the transaction. An account's policies hear of whoever accepts.
    pub(crate) async fn answered(
        &self,
        mut session: Session,
        caller: &Caller,
        before: Membership,
        person: &Person,
        status: MembershipStatus,
    ) -> Result<(Membership, Account), AppError> {
        let account = session.account(before.account).await?.ok_or(AppError::NotFound("account"))?;
        let after = Membership { status, modified_at: self.now(), ..before.clone() };
        session.update_membership(&after).await?;
        self.trace(&mut session, caller, traced("update", &before, person, Some(&before), Some(&after))).await?;
        if status == MembershipStatus::Accepted {
            let (account_name, email, roles) = (account.name.clone(), person.email.clone(), after.roles.clone());
            let notice = Notice::MemberAdded { account: account_name, email, roles, at: self.instant() };
            self.alert(&mut session, account.id, &notice).await?;
        }
        session.commit().await?;
        self.0.identities.forget();
        Ok((after, account))
    }

    /// Leaves an account.
    pub async fn membership_leave(&self, caller: &Caller, id: MembershipId) -> Result<(), AppError> {
        let mut session = self.0.store.write().await?;
        let (before, person) = own(&mut session, caller, id).await?;
        self.end(session, caller, before, person).await
    }

    async fn end(&self, mut session: Session, caller: &Caller, membership: Membership, person: Person) -> Result<(), AppError> {
        session.delete_membership(membership.id).await?;
        check_owned(&mut session, membership.account).await?;
        session.delete_person_unless_used(person.id).await?;
        self.trace(&mut session, caller, traced("delete", &membership, &person, Some(&membership), None)).await?;
        // What this account would still tell them by mail is not for them any more.
        session.delete_notices_for(membership.account, Channel::Mail, &person.email, None).await?;
        if membership.status == MembershipStatus::Accepted {
            let account = session.account(membership.account).await?.ok_or(AppError::NotFound("account"))?.name;
            let notice = Notice::MemberRemoved { account, email: person.email, at: self.instant() };
            self.alert(&mut session, membership.account, &notice).await?;
        }
        session.commit().await?;
        self.0.identities.forget();
        Ok(())
    }
}

async fn invited(session: &mut Session, email: String, now: i64) -> Result<Person, AppError> {
    let person = Person {
        id: UserId::from_bytes(random_bytes()),
        email,
        first_name: None,
        last_name: None,
        password: None,
        suspended: false,
        second_factor: false,
        created_at: now,
        modified_at: now,
    };
    session.insert_person(&person).await?;
    Ok(person)
}

async fn member(session: &mut Session, account: AccountId, id: MembershipId) -> Result<(Membership, Person), AppError> {
    session.member(account, id).await?.ok_or(AppError::NotFound("member"))
}

async fn own(session: &mut Session, caller: &Caller, id: MembershipId) -> Result<(Membership, Person), AppError> {
    let person = caller.person().ok_or(AppError::NotFound("user"))?;
    caller.needs(Subject::UserDetails.to_edit(), Target::User(person.id))?;
    let memberships = session.memberships(person.id).await?;
    let found = memberships.into_iter().find(|membership| membership.id == id);
    found.map(|membership| (membership, person.clone())).ok_or(AppError::NotFound("membership"))
}

/// Whether somebody is left who may do everything and has accepted to; else nothing of the session may be kept.
async fn check_owned(session: &mut Session, account: AccountId) -> Result<(), AppError> {
    let members = session.members(account).await?;
    if members.iter().any(|(membership, person)| owns(membership) && !person.suspended) {
        return Ok(());
    }
    let why = format!("nobody else is its {}: give that role to another member first", role::SUPER_ADMINISTRATOR);
    Err(AppError::InUse { what: "member", name: "last administrator".into(), why })
}

/// An address, in lower case: something, an @, and a domain.
fn email(at: &At<'_>) -> Result<String, ShapeError> {
    let text = at.text(EMAIL_MAX)?.trim();
    let wrong = || at.wrong("write an e-mail address, as in ada@example.com");
    let (local, domain) = text.rsplit_once('@').ok_or_else(wrong)?;
    let fits = |c: char| !c.is_control() && !c.is_whitespace() && !matches!(c, '<' | '>' | '"' | ',' | ';' | '@');
    let fine = !local.is_empty() && local.chars().all(fits) && Name::parse(domain).is_ok_and(|domain| !domain.is_wildcard());
    if fine { Ok(text.to_lowercase()) } else { Err(wrong()) }
}

/// Names of the roles that a body lists, by id or name, bare or as objects.
fn roles(body: &At<'_>) -> Result<Vec<String>, ShapeError> {
    if let Some(policies) = body.member("policies")
        && !policies.items(100)?.collect::<Vec<_>>().is_empty()
    {
        return Err(policies.wrong("members have roles here: write `roles`, with ids of …/roles"));
    }
    let given = body.required("roles")?;
    let mut names: Vec<String> = Vec::new();
    for item in given.items(role::ROLES.len() * 2)? {
        let id = if item.value.is_object() { item.required("id")? } else { item };
        let known = || role::ROLES.iter().map(|role| format!("{} ({})", role.id, role.name)).collect::<Vec<_>>().join(", ");
        let role = role::find(id.text(100)?).ok_or_else(|| id.wrong(format_args!("write one of {}", known())))?;
        if !names.iter().any(|name| name == role.name) {
            names.push(role.name.to_owned());
        }
    }
    if names.is_empty() { Err(given.wrong("write at least one role")) } else { Ok(names) }
}

fn shown(membership: &Membership, person: &Person) -> Value {
    json!({ "email": person.email, "status": membership.status.as_str(), "roles": membership.roles })
}

fn traced(action: &'static str, of: &Membership, person: &Person, old: Option<&Membership>, new: Option<&Membership>) -> Traced {
    let shown = |membership: &Membership| shown(membership, person);
    Traced {
        account: Some(of.account),
        action,
        kind: "member",
        id: of.id.to_string(),
        old: old.map(shown),
        new: new.map(shown),
        ..Traced::default()
    }
}

/// Whether a membership makes its person one of those who may do everything in the account.
pub(crate) fn owns(membership: &Membership) -> bool {
    membership.status == MembershipStatus::Accepted && membership.roles.iter().any(|role| role == role::SUPER_ADMINISTRATOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_something_at_a_domain() {
        let read = |text: &str| email(&At::body(&json!(text)));
        assert_eq!(read("Ada.L@Example.COM").unwrap(), "ada.l@example.com");
        for wrong in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "a b@example.com",
            "a@b@example.com",
            "<a@example.com>",
            "a@*.example.com",
            "a\n@b.c",
        ] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
        assert!(read(&format!("{}@example.com", "a".repeat(250))).is_err());
    }

    #[test]
    fn roles_are_named_in_every_way_clients_do() {
        let read = |value: Value| roles(&At::body(&json!({ "roles": value })));
        let id = role::ROLES[3].id;
        assert_eq!(read(json!([id, "dns", { "id": id, "name": "x" }])).unwrap(), ["DNS"]);
        assert_eq!(read(json!(["nothing"])).unwrap_err().pointer, "/roles/0");
        assert!(read(json!([])).is_err());
    }
}
