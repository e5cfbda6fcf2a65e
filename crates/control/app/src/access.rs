//! Who may do what. Every verb asks here first, and nowhere else is decided.
//!
//! A verb names a [`Permission`] and the [`Target`] it is called on. What the caller may not even see is not there for it: its
//! error is the one for an id that nobody has ([`AppError::NotFound`]); what it may see and not do is forbidden.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use poterne_control_store::{Actor, ApiToken, Membership, MembershipStatus, Person, TokenOwner, UserSession, ZonesOf};
pub use poterne_model::permission::{Permission, Right, Subject, Target};
use poterne_model::{AccountId, Timestamp, UserId, ZoneId, permission::Level};

use crate::{AppError, SignInError, role, sign_in};

/// Whoever calls a verb, as its door has made sure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// The node's operator: who can open `admin.sock` or the state directory.
    Operator,
    /// Anybody, through what is public.
    Anybody,
    /// Whoever holds an API token or a global key, or is signed in.
    Identified(Arc<Identity>, Request),
}

/// Who is behind a token, a key or a session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The token; none where a global key was shown, or a session.
    pub token: Option<ApiToken>,
    /// The session, where it was one.
    pub session: Option<UserSession>,
    /// The person; none for an account's own token.
    pub person: Option<Person>,
    /// Their memberships.
    pub memberships: Vec<Membership>,
    /// Those of their accounts that ask for a second factor.
    pub enforcing: Vec<AccountId>,
}

/// From where a request came, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The address.
    pub ip: IpAddr,
    /// The instant.
    pub now: Timestamp,
    /// Its Ray id, which the log has too.
    pub ray: String,
}

impl Caller {
    /// Whether the permission is given over the target.
    pub fn may(&self, permission: Permission, target: Target) -> bool {
        match self {
            Self::Operator => true,
            Self::Anybody => false,
            Self::Identified(identity, request) => identity.may(permission, target, request),
        }
    }

    /// Whether its credentials may be used at all, from there and now.
    ///
    /// # Errors
    /// They may not, and why.
    pub fn is_usable(&self) -> Result<(), AppError> {
        let Self::Identified(identity, request) = self else { return Ok(()) };
        if identity.person.as_ref().is_some_and(|person| person.suspended) {
            return Err(AppError::Unusable("its user is suspended"));
        }
        if identity.session.as_ref().is_some_and(|session| !sign_in::is_alive(session, request.now.as_micros())) {
            return Err(SignInError::SessionOver.into());
        }
        let Some(token) = &identity.token else { return Ok(()) };
        if token.disabled {
            return Err(AppError::Unusable("it is disabled"));
        }
        if !token.terms.is_usable(request.ip, request.now) {
            let held = token.terms.condition.holds(request.ip);
            return Err(AppError::Unusable(if held { "it has expired, or is not valid yet" } else { "not from this address" }));
        }
        Ok(())
    }

    /// The person who calls, where it is one.
    pub fn person(&self) -> Option<&Person> {
        match self {
            Self::Identified(identity, _) => identity.person.as_ref(),
            Self::Operator | Self::Anybody => None,
        }
    }

    /// The token that was shown, where it was one.
    pub fn token(&self) -> Option<&ApiToken> {
        match self {
            Self::Identified(identity, _) => identity.token.as_ref(),
            Self::Operator | Self::Anybody => None,
        }
    }

    /// The accounts it may see something of, of those there are.
    pub(crate) fn reaches_account(&self, account: AccountId) -> bool {
        match self {
            Self::Operator => true,
            Self::Anybody => false,
            Self::Identified(identity, _) => match identity.token.as_ref().map(|token| token.owner) {
                Some(TokenOwner::Account(own)) => own == account,
                Some(TokenOwner::Person(_)) | None => identity.member_of(account).is_some(),
            },
        }
    }

    /// The accounts in which it may reach anything; none named for the operator, who reaches all.
    pub(crate) fn accounts(&self) -> Option<Vec<AccountId>> {
        match self {
            Self::Operator => None,
            Self::Anybody => Some(Vec::new()),
            Self::Identified(identity, _) => Some(match identity.token.as_ref().map(|token| token.owner) {
                Some(TokenOwner::Account(own)) => vec![own],
                Some(TokenOwner::Person(_)) | None => {
                    let accepted = |membership: &&Membership| membership.status == MembershipStatus::Accepted;
                    identity.memberships.iter().filter(accepted).map(|membership| membership.account).collect()
                }
            }),
        }
    }

    /// Over which zones of an account the permission is given. Policies speak of zones by name or of all alike, so one that none of
    /// them names is asked about for all of those.
    pub(crate) fn zones_of(&self, permission: Permission, account: AccountId) -> ZonesOf {
        let named = match self {
            Self::Identified(identity, _) => identity.token.as_ref().map(|token| token.terms.zones_named()).unwrap_or_default(),
            Self::Operator | Self::Anybody => BTreeSet::new(),
        };
        let may = |zone| self.may(permission, Target::Zone(account, zone));
        let unnamed = (0_u128..).map(|number| ZoneId::from_bytes(number.to_be_bytes())).find(|id| !named.contains(id));
        let every = unnamed.is_some_and(may);
        let but = named.into_iter().filter(|zone| may(*zone) != every).collect();
        ZonesOf { account, every, but }
    }

    /// Refuses whoever lacks the permission: as if the target were not there, when nothing of it may be seen.
    pub(crate) fn needs(&self, permission: Permission, target: Target) -> Result<(), AppError> {
        if self.may(permission, target) {
            return Ok(());
        }
        self.needs_second_factor(target)?;
        let sees = Subject::ALL
            .iter()
            .filter(|subject| subject.level() == target.level())
            .any(|subject| self.may(subject.to_read(), target));
        Err(if sees { AppError::Forbidden { permission } } else { AppError::NotFound(thing(target)) })
    }

    /// Refuses whoever is not the operator of the node.
    pub(crate) fn needs_operator(&self) -> Result<(), AppError> {
        if *self == Self::Operator { Ok(()) } else { Err(AppError::OperatorOnly) }
    }

    /// How the audit log names it.
    pub(crate) fn actor(&self) -> Actor {
        match self {
            Self::Operator | Self::Anybody => Actor { kind: "system".into(), ..Actor::default() },
            Self::Identified(identity, request) => Actor {
                kind: if identity.person.is_some() { "user" } else { "account" }.into(),
                person: identity.person.as_ref().map(|person| person.id),
                email: identity.person.as_ref().map(|person| person.email.clone()),
                ip: Some(request.ip.to_string()),
                token: identity.token.as_ref().map(|token| (token.id, token.name.clone())),
            },
        }
    }

    /// Through which door it came, and the Ray id of its request.
    pub(crate) fn door(&self) -> (&'static str, Option<String>) {
        match self {
            Self::Operator => ("operator", None),
            Self::Anybody => ("API", None),
            Self::Identified(identity, request) => {
                (if identity.session.is_some() { "UI" } else { "API" }, Some(request.ray.clone()))
            }
        }
    }
}

impl Identity {
    fn member_of(&self, account: AccountId) -> Option<&Membership> {
        let accepted = |membership: &&Membership| membership.status == MembershipStatus::Accepted;
        self.memberships.iter().filter(accepted).find(|membership| membership.account == account)
    }

    /// A token gives nothing its owner has not; a key or a session gives all that its owner has.
    fn may(&self, permission: Permission, target: Target, request: &Request) -> bool {
        let given = |token: &ApiToken| !token.disabled && token.terms.may(permission, target, request.ip, request.now);
        let by_token = self.token.as_ref().is_none_or(given);
        let by_owner = match (&self.person, target) {
            (None, _) => self.token.is_some(),
            (Some(person), _) if person.suspended => false,
            (Some(person), Target::User(user)) => person.id == user,
            (Some(_), Target::Account(account) | Target::Zone(account, _) | Target::NewZone(account)) => {
                !self.is_kept_out(target)
                    && self.member_of(account).is_some_and(|membership| role::gives(&membership.roles, permission))
            }
        };
        by_token && by_owner
    }

    /// Whose it is, for counting requests.
    pub fn key(&self) -> (Option<UserId>, Option<poterne_model::TokenId>) {
        (self.person.as_ref().map(|person| person.id), self.token.as_ref().map(|token| token.id))
    }
}

const fn thing(target: Target) -> &'static str {
    match target.level() {
        Level::Zone => "zone",
        Level::Account => "account",
        Level::User => "user",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use poterne_model::{
        MembershipId, PolicyId, TokenId,
        permission::{Effect, Policy, Resource, Selector, Terms, group},
    };

    use super::*;

    const MINE: AccountId = AccountId::from_bytes([1; 16]);
    const FOREIGN: AccountId = AccountId::from_bytes([2; 16]);
    const PERSON: UserId = UserId::from_bytes([3; 16]);
    const ZONE: ZoneId = ZoneId::from_bytes([4; 16]);

    fn caller(roles: &[&str], groups: Option<&[&str]>) -> Caller {
        let person = Person {
            id: PERSON,
            email: "a@example.com".into(),
            first_name: None,
            last_name: None,
            password: None,
            suspended: false,
            second_factor: false,
            created_at: 0,
            modified_at: 0,
        };
        let membership = Membership {
            id: MembershipId::from_bytes([5; 16]),
            account: MINE,
            person: PERSON,
            status: MembershipStatus::Accepted,
            roles: roles.iter().map(ToString::to_string).collect(),
            created_at: 0,
            modified_at: 0,
        };
        let token = groups.map(|names| ApiToken {
            id: TokenId::from_bytes([6; 16]),
            owner: TokenOwner::Person(PERSON),
            name: "ci".into(),
            digest: [0; 32],
            disabled: false,
            terms: Terms {
                policies: vec![Policy {
                    id: PolicyId::from_bytes([7; 16]),
                    effect: Effect::Allow,
                    resources: BTreeSet::from([Resource::Zone(Selector::All), Resource::Account(Selector::All)]),
                    groups: names.iter().map(|name| group::by_name(name).unwrap().id()).collect(),
                }],
                ..Terms::default()
            },
            issued_at: 0,
            modified_at: 0,
            last_used_at: None,
        });
        let request = Request { ip: [192, 0, 2, 1].into(), now: Timestamp::from_secs(1), ray: "0".into() };
        let identity = Identity { token, person: Some(person), memberships: vec![membership], ..Identity::default() };
        Caller::Identified(Arc::new(identity), request)
    }

    #[test]
    fn a_token_gives_what_its_owner_and_its_policies_both_give() {
        let (edit, read) = (Subject::DnsRecords.to_edit(), Subject::DnsRecords.to_read());
        let zone = Target::Zone(MINE, ZONE);
        let all = [role::SUPER_ADMINISTRATOR];
        assert!(caller(&all, None).may(edit, zone), "a key gives all that its owner has");
        assert!(caller(&all, Some(&["DNS Write"])).may(edit, zone));
        assert!(caller(&all, Some(&["DNS Read"])).may(read, zone));
        assert!(!caller(&all, Some(&["DNS Read"])).may(edit, zone));
        assert!(!caller(&["Administrator Read Only"], Some(&["DNS Write"])).may(edit, zone));
        assert!(!caller(&[], Some(&["DNS Write"])).may(edit, zone));
    }

    #[test]
    fn the_zones_that_may_be_seen_are_those_that_may_be_asked_for() {
        const OTHER: ZoneId = ZoneId::from_bytes([0; 16]);
        const THIRD: ZoneId = ZoneId::from_bytes([8; 16]);
        let read = Subject::DnsRecords.to_read();
        let all = Resource::Zone(Selector::All);
        let one = |zone| Resource::Zone(Selector::One(zone));
        for resources in [
            vec![],
            vec![all],
            vec![one(ZONE)],
            vec![one(ZONE), one(OTHER)],
            vec![Resource::ZoneOf(Selector::One(FOREIGN), Selector::All)],
        ] {
            for denied in [vec![], vec![one(ZONE)], vec![one(OTHER), one(THIRD)], vec![Resource::Account(Selector::One(MINE))]] {
                let Caller::Identified(identity, request) = caller(&[role::SUPER_ADMINISTRATOR], Some(&["DNS Read"])) else {
                    panic!()
                };
                let mut identity = Identity::clone(&identity);
                let policies = &mut identity.token.as_mut().unwrap().terms.policies;
                policies[0].resources = resources.iter().copied().collect();
                policies.push(Policy {
                    effect: Effect::Deny,
                    resources: denied.iter().copied().collect(),
                    ..policies[0].clone()
                });
                let caller = Caller::Identified(Arc::new(identity), request);
                for account in [MINE, FOREIGN] {
                    let seen = caller.zones_of(read, account);
                    for zone in [ZONE, OTHER, THIRD, ZoneId::from_bytes([7; 16])] {
                        let told = seen.every != seen.but.contains(&zone);
                        assert_eq!(told, caller.may(read, Target::Zone(account, zone)), "{zone} {resources:?} {denied:?}");
                    }
                }
            }
        }
        assert_eq!(Caller::Operator.zones_of(read, MINE), ZonesOf { account: MINE, every: true, but: vec![] });
    }

    #[test]
    fn what_is_foreign_is_not_there_and_what_is_seen_is_forbidden() {
        let token = caller(&[role::SUPER_ADMINISTRATOR], Some(&["DNS Read"]));
        let edit = Subject::DnsRecords.to_edit();
        assert!(matches!(token.needs(edit, Target::Zone(MINE, ZONE)), Err(AppError::Forbidden { .. })));
        assert!(matches!(token.needs(edit, Target::Zone(FOREIGN, ZONE)), Err(AppError::NotFound("zone"))));
        assert!(matches!(token.needs(Subject::Tunnels.to_read(), Target::Account(FOREIGN)), Err(AppError::NotFound("account"))));
        assert!(Caller::Operator.needs(edit, Target::Zone(FOREIGN, ZONE)).is_ok());
        assert!(Caller::Anybody.needs(edit, Target::Zone(MINE, ZONE)).is_err());
        assert!(token.needs_operator().is_err());
    }
}
