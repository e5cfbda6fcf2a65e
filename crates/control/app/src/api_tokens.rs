//! API tokens: making, changing, rolling, deleting. A secret is told once, when it is made.

use std::collections::BTreeSet;

use poterne_control_store::{ApiToken, Membership, MembershipStatus, Session, TokenOwner, Zone};
use poterne_keys::{random_bytes, random_token, sha256};
use poterne_model::{
    AccountId, Name, PolicyId, TokenId,
    permission::{Effect, GROUPS, Level, PermissionGroup, Policy, Resource, Selector, Terms, group},
};
use serde_json::json;

use crate::{
    App, AppError, Caller,
    access::{Permission, Subject, Target},
    audit::Traced,
    notice::Notice,
};

/// Longest name of a token, in characters.
const NAME_MAX: usize = 120;

/// Most tokens of one owner.
const TOKENS_MAX: usize = 1000;

/// What a token is called and may do.
#[derive(Debug, Clone)]
pub struct TokenText {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub terms: Terms,
    /// Off.
    pub disabled: bool,
}

impl App {
    /// Makes a token; the text is its secret, told this once.
    pub async fn api_token_create(
        &self,
        caller: &Caller,
        owner: TokenOwner,
        text: TokenText,
    ) -> Result<(ApiToken, String), AppError> {
        caller.needs(right(owner, true), target(owner))?;
        caller.needs_confirmation(self.now())?;
        check_name(&text.name)?;
        let now = self.now();
        let secret = random_token(prefix(owner));
        let token = ApiToken {
            id: TokenId::from_bytes(random_bytes()),
            owner,
            name: text.name,
            digest: sha256(secret.as_bytes()),
            disabled: text.disabled,
            terms: owned(owner, text.terms),
            issued_at: now,
            modified_at: now,
            last_used_at: None,
        };
        let mut session = self.0.store.write().await?;
        if session.api_tokens(owner).await?.len() >= TOKENS_MAX {
            return Err(AppError::Invalid { what: "tokens", why: format!("there are {TOKENS_MAX} already: delete one first") });
        }
        session.insert_api_token(&token).await?;
        self.trace(&mut session, caller, traced("create", &token, None)).await?;
        self.tell_of(&mut session, caller, &token).await?;
        session.commit().await?;
        tracing::info!(token = %token.id, name = token.name, "API token created");
        Ok((token, secret))
    }

    /// Tells those who want to know: of an account's own token, that account; of a person's, the accounts they belong to.
    async fn tell_of(&self, session: &mut Session, caller: &Caller, token: &ApiToken) -> Result<(), AppError> {
        let accounts = match token.owner {
            TokenOwner::Account(account) => vec![account],
            TokenOwner::Person(person) => {
                let accepted = |of: &Membership| of.status == MembershipStatus::Accepted;
                session.memberships(person).await?.into_iter().filter(accepted).map(|of| of.account).collect()
            }
        };
        let actor = caller.actor();
        let notice = Notice::TokenCreated { name: token.name.clone(), by: actor.email, ip: actor.ip, at: self.instant() };
        for account in accounts {
            self.alert(session, account, &notice).await?;
        }
        Ok(())
    }

    /// Makes a token of the first account's owner for the operator: these permission groups, by name, over all of that account.
    /// `all` stands for every group.
    pub async fn api_token_of_operator(
        &self,
        caller: &Caller,
        name: &str,
        groups: &[String],
    ) -> Result<(ApiToken, String), AppError> {
        caller.needs_operator()?;
        let (owner, account) = (self.owner().await?, self.account());
        let mut wanted: Vec<&PermissionGroup> = Vec::new();
        for group in groups {
            match group::by_name(group) {
                Some(group) => wanted.push(group),
                None if group.eq_ignore_ascii_case("all") => wanted.extend(GROUPS),
                None => {
                    let known: Vec<_> = GROUPS.iter().map(|group| group.name).collect();
                    let why = format!("there is no {group:?}; known are all, {}", known.join(", "));
                    return Err(AppError::Invalid { what: "permissions", why });
                }
            }
        }
        let over = [
            (Level::Zone, Resource::ZoneOf(Selector::One(account), Selector::All)),
            (Level::Account, Resource::Account(Selector::One(account))),
            (Level::User, Resource::User(owner)),
        ];
        let policy = |(level, resource)| {
            let groups: BTreeSet<_> = wanted.iter().filter(|group| group.level() == level).map(|group| group.id()).collect();
            let resources = BTreeSet::from([resource]);
            (!groups.is_empty()).then(|| Policy {
                id: PolicyId::from_bytes(random_bytes()),
                effect: Effect::Allow,
                resources,
                groups: groups.into_iter().collect(),
            })
        };
        let policies: Vec<_> = over.into_iter().filter_map(policy).collect();
        if policies.is_empty() {
            let why = "name at least one permission group, as in `DNS Write`".to_owned();
            return Err(AppError::Invalid { what: "permissions", why });
        }
        let text = TokenText { name: name.to_owned(), terms: Terms { policies, ..Terms::default() }, disabled: false };
        self.api_token_create(caller, TokenOwner::Person(owner), text).await
    }

    /// A token for the agent's own commands on a zone: what `tunnel create`, `route dns` and the like need, and no more. Also the zone.
    pub async fn api_token_for_agent(&self, caller: &Caller, zone: &str) -> Result<(Zone, String), AppError> {
        caller.needs_operator()?;
        let apex = Name::parse(zone)?;
        let zone = self.0.store.read().await?.zone_named(self.account(), &apex).await?.ok_or(AppError::ZoneNotFound(apex))?;
        let named = |name: &&str| group::by_name(name).map(PermissionGroup::id);
        let zone_groups: Vec<_> = ["Zone Read", "DNS Write"].iter().filter_map(named).collect();
        let account_groups: Vec<_> = ["Cloudflare Tunnel Write"].iter().filter_map(named).collect();
        let policy = |resource, groups| Policy {
            id: PolicyId::from_bytes(random_bytes()),
            effect: Effect::Allow,
            resources: BTreeSet::from([resource]),
            groups,
        };
        let policies = vec![
            policy(Resource::ZoneOf(Selector::One(zone.account), Selector::One(zone.id)), zone_groups),
            policy(Resource::Account(Selector::One(zone.account)), account_groups),
        ];
        let name = format!("agent's certificate for {}", zone.apex).chars().take(NAME_MAX).collect();
        let text = TokenText { name, terms: Terms { policies, ..Terms::default() }, disabled: false };
        let owner = TokenOwner::Person(self.owner().await?);
        let (_, secret) = self.api_token_create(caller, owner, text).await?;
        Ok((zone, secret))
    }

    /// The tokens that [`App::api_token_of_operator`] makes, and the owner's other ones.
    pub async fn api_tokens_of_operator(&self, caller: &Caller) -> Result<Vec<ApiToken>, AppError> {
        let owner = self.owner().await?;
        self.api_token_list(caller, TokenOwner::Person(owner)).await
    }

    /// Takes one of them away.
    pub async fn api_token_of_operator_delete(&self, caller: &Caller, id: TokenId) -> Result<(), AppError> {
        let owner = self.owner().await?;
        self.api_token_delete(caller, TokenOwner::Person(owner), id).await
    }

    /// An owner's tokens, oldest first.
    pub async fn api_token_list(&self, caller: &Caller, owner: TokenOwner) -> Result<Vec<ApiToken>, AppError> {
        caller.needs(right(owner, false), target(owner))?;
        Ok(self.0.store.read().await?.api_tokens(owner).await?)
    }

    /// One of an owner's tokens.
    pub async fn api_token_get(&self, caller: &Caller, owner: TokenOwner, id: TokenId) -> Result<ApiToken, AppError> {
        caller.needs(right(owner, false), target(owner))?;
        found(self.0.store.read().await?.api_token(id).await?, owner)
    }

    /// Changes what a token is called and may do.
    pub async fn api_token_update(
        &self,
        caller: &Caller,
        owner: TokenOwner,
        id: TokenId,
        text: TokenText,
    ) -> Result<ApiToken, AppError> {
        caller.needs(right(owner, true), target(owner))?;
        caller.needs_confirmation(self.now())?;
        check_name(&text.name)?;
        let mut session = self.0.store.write().await?;
        let old = found(session.api_token(id).await?, owner)?;
        let terms = owned(owner, text.terms).keeping_ids(&old.terms);
        let token = ApiToken { name: text.name, terms, disabled: text.disabled, modified_at: self.now(), ..old.clone() };
        session.update_api_token(&token).await?;
        self.trace(&mut session, caller, traced("update", &token, Some(&old))).await?;
        session.commit().await?;
        self.0.identities.forget();
        Ok(token)
    }

    /// Gives a token another secret; the old one is worth nothing from now on.
    pub async fn api_token_roll(&self, caller: &Caller, owner: TokenOwner, id: TokenId) -> Result<String, AppError> {
        caller.needs(right(owner, true), target(owner))?;
        caller.needs_confirmation(self.now())?;
        let mut session = self.0.store.write().await?;
        let old = found(session.api_token(id).await?, owner)?;
        let (secret, now) = (random_token(prefix(owner)), self.now());
        let token = ApiToken { digest: sha256(secret.as_bytes()), issued_at: now, modified_at: now, ..old };
        session.update_api_token(&token).await?;
        self.trace(&mut session, caller, traced("roll", &token, None)).await?;
        session.commit().await?;
        self.0.identities.forget();
        Ok(secret)
    }

    /// Takes a token away.
    pub async fn api_token_delete(&self, caller: &Caller, owner: TokenOwner, id: TokenId) -> Result<(), AppError> {
        caller.needs(right(owner, true), target(owner))?;
        caller.needs_confirmation(self.now())?;
        let mut session = self.0.store.write().await?;
        let token = found(session.api_token(id).await?, owner)?;
        session.delete_api_token(id).await?;
        let traced = Traced { new: None, old: Some(shown(&token)), ..traced("delete", &token, None) };
        self.trace(&mut session, caller, traced).await?;
        session.commit().await?;
        self.0.identities.forget();
        Ok(())
    }
}

fn found(token: Option<ApiToken>, owner: TokenOwner) -> Result<ApiToken, AppError> {
    token.filter(|token| token.owner == owner).ok_or(AppError::NotFound("API token"))
}

fn check_name(name: &str) -> Result<(), AppError> {
    let length = name.chars().count();
    if name.trim().is_empty() || length > NAME_MAX || name.chars().any(char::is_control) {
        let why = format!("a token's name has 1 to {NAME_MAX} characters and no control characters; this one has {length}");
        return Err(AppError::Invalid { what: "name", why });
    }
    Ok(())
}

const fn right(owner: TokenOwner, edit: bool) -> Permission {
    match (owner, edit) {
        (TokenOwner::Person(_), false) => Subject::UserTokens.to_read(),
        (TokenOwner::Person(_), true) => Subject::UserTokens.to_edit(),
        (TokenOwner::Account(_), false) => Subject::AccountTokens.to_read(),
        (TokenOwner::Account(_), true) => Subject::AccountTokens.to_edit(),
    }
}

const fn target(owner: TokenOwner) -> Target {
    match owner {
        TokenOwner::Person(id) => Target::User(id),
        TokenOwner::Account(id) => Target::Account(id),
    }
}

const fn prefix(owner: TokenOwner) -> &'static str {
    match owner {
        TokenOwner::Person(_) => "",
        TokenOwner::Account(_) => "cfat_",
    }
}

fn owned(owner: TokenOwner, terms: Terms) -> Terms {
    let account: Option<AccountId> = match owner {
        TokenOwner::Account(id) => Some(id),
        TokenOwner::Person(_) => None,
    };
    Terms { owner: account, ..terms }
}

fn shown(token: &ApiToken) -> serde_json::Value {
    json!({ "name": token.name, "disabled": token.disabled, "terms": token.terms })
}

fn traced(action: &'static str, token: &ApiToken, old: Option<&ApiToken>) -> Traced {
    Traced {
        account: token.terms.owner,
        action,
        kind: "token",
        id: token.id.to_string(),
        old: old.map(shown),
        new: Some(shown(token)),
        ..Traced::default()
    }
}
