//! Accounts: what a caller sees of them, and who may make and delete them.
//!
//! Whoever owns the node's first account is its operator, or was let in by them: they make accounts, become the new one's first member,
//! and invite others. An account is deleted by its own Super Administrators or by those, once it has neither zones nor tunnels; the first
//! one stays.

use poterne_control_store::{Account, AccountKind, Membership, MembershipStatus};
use poterne_keys::random_bytes;
use poterne_model::{AccountId, MembershipId};
use serde_json::json;

use crate::{
    App, AppError, Caller,
    access::{Subject, Target},
    audit::Traced,
    role,
};

/// Longest name of an account, in characters.
const NAME_MAX: usize = 100;

/// Most accounts of an installation.
const ACCOUNTS_MAX: usize = 10_000;

impl App {
    /// The accounts the caller belongs to, or whose token it holds.
    pub async fn account_list(&self, caller: &Caller) -> Result<Vec<Account>, AppError> {
        let mut session = self.0.store.read().await?;
        let mut accounts = match caller.accounts() {
            Some(ids) => session.accounts_of(&ids).await?,
            None => session.accounts().await?,
        };
        accounts.retain(|account| account.kind == AccountKind::Standard);
        Ok(accounts)
    }

    /// One of them. Belonging to it is enough: whoever may do anything in an account may know what it is called.
    pub async fn account_get(&self, caller: &Caller, id: AccountId) -> Result<Account, AppError> {
        let account = self.0.store.read().await?.account(id).await?;
        account.filter(|account| caller.reaches_account(account.id)).ok_or(AppError::NotFound("account"))
    }

    /// Makes an account. Whoever calls is its first member, and may do everything in it.
    pub async fn account_create(&self, caller: &Caller, name: &str) -> Result<Account, AppError> {
        let first = self.account();
        if !caller.may(Subject::Accounts.to_edit(), Target::Account(first)) {
            return Err(AppError::FirstAccountOnly);
        }
        let owner = match caller.person() {
            Some(person) => person.id,
            None if *caller == Caller::Operator => self.owner().await?,
            None => {
                let why = "an account's own token is nobody who could own another: use a user's token".to_owned();
                return Err(AppError::Invalid { what: "owner", why });
            }
        };
        check_name(name)?;
        let now = self.now();
        let mut session = self.0.store.write().await?;
        if session.accounts().await?.len() >= ACCOUNTS_MAX {
            let why = format!("there are {ACCOUNTS_MAX} already: delete one first");
            return Err(AppError::Invalid { what: "accounts", why });
        }
        let account = Account {
            id: AccountId::from_bytes(random_bytes()),
            name: name.to_owned(),
            kind: AccountKind::Standard,
            enforces_second_factor: false,
            created_at: now,
        };
        session.insert_account(&account).await?;
        let membership = Membership {
            id: MembershipId::from_bytes(random_bytes()),
            account: account.id,
            person: owner,
            status: MembershipStatus::Accepted,
            roles: vec![role::SUPER_ADMINISTRATOR.to_owned()],
            created_at: now,
            modified_at: now,
        };
        session.insert_membership(&membership).await?;
        // In the trace of the one that was made, and of the one whose owners did it.
        for of in [account.id, first] {
            self.trace(&mut session, caller, traced("create", of, &account, None, Some(account.name.as_str()))).await?;
        }
        self.finish(session).await?;
        self.0.identities.forget();
        tracing::info!(account = %account.id, name, "account created");
        Ok(account)
    }

    /// Takes an account away, with its members, tokens, lists and whatever else is its own.
    pub async fn account_delete(&self, caller: &Caller, id: AccountId) -> Result<(), AppError> {
        let (first, edit) = (self.account(), Subject::Accounts.to_edit());
        if !caller.may(edit, Target::Account(first)) {
            caller.needs(edit, Target::Account(id))?;
        }
        let mut session = self.0.store.write().await?;
        let account = session.account(id).await?.filter(|account| account.kind == AccountKind::Standard);
        let account = account.ok_or(AppError::NotFound("account"))?;
        let in_use = |why: String| Err(AppError::InUse { what: "account", name: account.name.clone(), why });
        if id == first {
            return in_use("it is the node's first one, whose owners make the others".to_owned());
        }
        let (zones, tunnels) = (session.zones(Some(id)).await?.len(), session.tunnels(Some(id)).await?.len());
        if zones + tunnels > 0 {
            return in_use(format!("it has {zones} zones and {tunnels} tunnels: delete them first"));
        }
        let members = session.members(id).await?;
        session.delete_account(id).await?;
        for (membership, _) in members {
            session.delete_person_unless_used(membership.person).await?;
        }
        self.trace(&mut session, caller, traced("delete", first, &account, Some(account.name.as_str()), None)).await?;
        self.finish(session).await?;
        self.0.identities.forget();
        tracing::info!(account = %id, name = account.name, "account deleted");
        Ok(())
    }

    /// Calls it otherwise, and says whether its members need a second factor; what is none stays as it was.
    pub async fn account_update(
        &self,
        caller: &Caller,
        id: AccountId,
        name: Option<&str>,
        enforces_second_factor: Option<bool>,
    ) -> Result<Account, AppError> {
        caller.needs(Subject::Accounts.to_edit(), Target::Account(id))?;
        if let Some(name) = name {
            check_name(name)?;
        }
        let mut session = self.0.store.write().await?;
        let before = session.account(id).await?.ok_or(AppError::NotFound("account"))?;
        let after = Account {
            name: name.map_or_else(|| before.name.clone(), str::to_owned),
            enforces_second_factor: enforces_second_factor.unwrap_or(before.enforces_second_factor),
            ..before.clone()
        };
        if after.enforces_second_factor != before.enforces_second_factor {
            caller.needs_confirmation(self.now())?;
            // Whoever turns the key must not be the first to stand outside.
            if after.enforces_second_factor
                && let Some(person) = caller.person()
                && !session.person(person.id).await?.is_some_and(|person| person.second_factor)
            {
                let why = "you have none yourself, and could do nothing here from then on: set one up first".to_owned();
                return Err(AppError::Invalid { what: "enforce_twofactor", why });
            }
        }
        session.rename_account(id, &after.name, self.now()).await?;
        session.enforce_second_factor(id, after.enforces_second_factor, self.now()).await?;
        let told = |account: &Account| json!({ "name": account.name, "enforce_twofactor": account.enforces_second_factor });
        let traced = Traced {
            account: Some(id),
            action: "update",
            kind: "account",
            id: id.to_string(),
            old: Some(told(&before)),
            new: Some(told(&after)),
            ..Traced::default()
        };
        self.trace(&mut session, caller, traced).await?;
        self.finish(session).await?;
        self.0.identities.forget();
        Ok(after)
    }
}

fn check_name(name: &str) -> Result<(), AppError> {
    let length = name.chars().count();
    if name.trim().is_empty() || length > NAME_MAX || name.chars().any(char::is_control) {
        let why = format!("an account's name has 1 to {NAME_MAX} characters and no control characters; this one has {length}");
        return Err(AppError::Invalid { what: "name", why });
    }
    Ok(())
}

/// What happened to `account`, in the trace of `of`.
fn traced(action: &'static str, of: AccountId, account: &Account, old: Option<&str>, new: Option<&str>) -> Traced {
    let named = |name: &str| json!({ "name": name });
    Traced {
        account: Some(of),
        action,
        kind: "account",
        id: account.id.to_string(),
        old: old.map(named),
        new: new.map(named),
        ..Traced::default()
    }
}
