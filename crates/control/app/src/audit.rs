//! The trace of who changed what, written in the transaction that changes it. No secret may be handed in.

use poterne_control_store::{Actor, AuditEvent, AuditFilter, Micros, Session};
use poterne_keys::random_bytes;
use poterne_model::{AccountId, AuditId, UserId, ZoneId};

use crate::{
    App, AppError, Caller,
    access::{Subject, Target},
};

/// Most events that one call looks at, and how many it reads at once.
const EXAMINED_MAX: u32 = 20_000;
const CHUNK: u32 = 1000;

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
        self.trace_as(session, caller.actor(), caller.door(), traced).await
    }

    /// The same of what the node does by itself.
    pub(crate) async fn trace_of_node(&self, session: &mut Session, traced: Traced) -> Result<(), AppError> {
        let actor = Actor { kind: "system".into(), ..Actor::default() };
        self.trace_as(session, actor, ("node", None), traced).await
    }

    async fn trace_as(
        &self,
        session: &mut Session,
        actor: Actor,
        (door, ray): (&'static str, Option<String>),
        traced: Traced,
    ) -> Result<(), AppError> {
        let event = AuditEvent {
            id: AuditId::from_bytes(random_bytes()),
            at: self.now(),
            account: traced.account,
            zone: traced.zone,
            actor,
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
        let mut session = self.0.store.read().await?;
        Ok((session.audit(&filter, offset, count).await?, session.audit_count(&filter).await?))
    }

    /// What of an account's trace `wanted` takes, at most `count` events; and where to go on, if there may be more. So many events as
    /// are asked for may not be found in one call: at most [`EXAMINED_MAX`] are looked at.
    pub async fn audit_examined(
        &self,
        caller: &Caller,
        account: AccountId,
        filter: AuditFilter,
        count: usize,
        wanted: impl Fn(&AuditEvent) -> bool,
    ) -> Result<(Vec<AuditEvent>, Option<(Micros, AuditId)>), AppError> {
        caller.needs(Subject::AuditLogs.to_read(), Target::Account(account))?;
        let mut filter = AuditFilter { account: Some(account), ..filter };
        let mut session = self.0.store.read().await?;
        let mut found = Vec::new();
        for _ in 0..EXAMINED_MAX / CHUNK {
            let events = session.audit(&filter, 0, CHUNK).await?;
            let last = events.len() < CHUNK as usize;
            for event in events {
                if found.len() == count {
                    return Ok((found, filter.after));
                }
                filter.after = Some((event.at, event.id));
                if wanted(&event) {
                    found.push(event);
                }
            }
            if last {
                return Ok((found, None));
            }
        }
        Ok((found, filter.after))
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
        let mut session = self.0.store.read().await?;
        Ok((session.audit(&filter, offset, count).await?, session.audit_count(&filter).await?))
    }
}
