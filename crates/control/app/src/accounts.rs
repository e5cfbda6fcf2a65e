//! Accounts, and what a caller sees of them.

use poterne_control_store::{Account, AccountKind};
use poterne_model::AccountId;
use serde_json::json;

use crate::{
    App, AppError, Caller,
    access::{Subject, Target},
    audit::Traced,
};

/// Longest name of an account, in characters.
const NAME_MAX: usize = 100;

impl App {
    /// The accounts the caller belongs to, or whose token it holds.
    pub async fn account_list(&self, caller: &Caller) -> Result<Vec<Account>, AppError> {
        let accounts = self.0.store.read().await?.accounts().await?;
        let seen = |account: &Account| account.kind == AccountKind::Standard && caller.reaches_account(account.id);
        Ok(accounts.into_iter().filter(seen).collect())
    }

    /// One of them. Belonging to it is enough: whoever may do anything in an account may know what it is called.
    pub async fn account_get(&self, caller: &Caller, id: AccountId) -> Result<Account, AppError> {
        let account = self.0.store.read().await?.account(id).await?;
        account.filter(|account| caller.reaches_account(account.id)).ok_or(AppError::NotFound("account"))
    }

    /// Calls it otherwise.
    pub async fn account_rename(&self, caller: &Caller, id: AccountId, name: &str) -> Result<Account, AppError> {
        caller.needs(Subject::Accounts.to_edit(), Target::Account(id))?;
        let length = name.chars().count();
        if name.trim().is_empty() || length > NAME_MAX || name.chars().any(char::is_control) {
            let why =
                format!("an account's name has 1 to {NAME_MAX} characters and no control characters; this one has {length}");
            return Err(AppError::Invalid { what: "name", why });
        }
        let mut session = self.0.store.write().await?;
        let account = session.account(id).await?.ok_or(AppError::NotFound("account"))?;
        session.rename_account(id, name, self.now()).await?;
        let traced = Traced {
            account: Some(id),
            action: "update",
            kind: "account",
            id: id.to_string(),
            old: Some(json!({ "name": account.name })),
            new: Some(json!({ "name": name })),
            ..Traced::default()
        };
        self.trace(&mut session, caller, traced).await?;
        self.finish(session).await?;
        Ok(Account { name: name.to_owned(), ..account })
    }
}
