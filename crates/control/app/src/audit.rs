//! The trace of who changed what, written in the transaction that changes it. No secret may be handed in.

use poterne_control_store::{AuditEvent, AuditFilter, Session};
use poterne_keys::random_bytes;
use poterne_model::{AccountId, AuditId, UserId, ZoneId};

use crate::{
    App, AppError, Caller,
    access::{Subject, Target},
};

/// What was changed, for the trace.
#[derive(Debug, Clone, Default)]
pub(crate) struct Traced {
    pub(crate) account: Option<AccountId>,
    pub(crate) zone: Option<(ZoneId, String)>,
    pub(crate) action: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) id: String,
    pub(crate) old: Option<serde_json::Value>,
    pub(crate) new: Option<serde_json::Value>,
}

impl App {
    /// Adds to the trace what this session changes.
    pub(crate) async fn trace(&self, session: &mut Session, caller: &Caller, traced: Traced) -> Result<(), AppError> {
        let (door, ray) = caller.door();
        let event = AuditEvent {
            id: AuditId::from_bytes(random_bytes()),
            at: self.now(),
            account: traced.account,
            zone: traced.zone,
            actor: caller.actor(),
            door: door.to_owned(),
            ray,
            action: traced.action.to_owned(),
            resource_kind: traced.kind.to_owned(),
            resource: traced.id,
            old_value: traced.old.map(|value| value.to_string()),
            new_value: traced.new.map(|value| value.to_string()),
        };
        Ok(session.insert_audit(&event).await?)
    }

    /// An account's trace, and how much of it passes in all.
    pub async fn audit_of_account(
        &self,
        caller: &Caller,
        account: AccountId,
        filter: AuditFilter,
        offset: u64,
        count: u32,
    ) -> Result<(Vec<AuditEvent>, u64), AppError> {
        caller.needs(Subject::AuditLogs.to_read(), Target::Account(account))?;
        let filter = AuditFilter { account: Some(account), ..filter };
        Ok(self.0.store.read().await?.audit(&filter, offset, count).await?)
    }

    /// What a person did, in whichever account.
    pub async fn audit_of_person(
        &self,
        caller: &Caller,
        person: UserId,
        filter: AuditFilter,
        offset: u64,
        count: u32,
    ) -> Result<(Vec<AuditEvent>, u64), AppError> {
        caller.needs(Subject::UserDetails.to_read(), Target::User(person))?;
        let filter = AuditFilter { person: Some(person), ..filter };
        Ok(self.0.store.read().await?.audit(&filter, offset, count).await?)
    }
}
