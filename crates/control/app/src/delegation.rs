//! Zones' delegations: which are due to be looked at, and what becomes of what was seen.
//!
//! Whoever looks is elsewhere (`control/scout`): it takes what is due, asks the parent's servers, and says what it saw. When a zone is
//! due is kept in the store, so that a node that was started again goes on where it was; what was taken up and not said comes again.

use std::time::Duration;

use poterne_control_store::{Session, StoreError, Zone};
use poterne_model::{
    Name, Rdata, Timestamp, ZoneId, ZoneStatus,
    delegation::{Sight, Verdict, trigger_wait_secs, verdict},
};

use crate::{
    App, AppError, Caller,
    access::Subject,
    notice::Notice,
    zones::{shown, traced},
};

/// For how long a zone belongs to whoever took it up, in seconds; a look takes less.
const LEASE_SECS: i64 = 300;

/// How soon a zone is looked at whose parent should show another DS, in seconds, and how soon after that was asked for.
const DS_WAIT_SECS: i64 = 3600;
const DS_FIRST_WAIT_SECS: i64 = 60;

/// How long zones are left alone when nobody in this process has asked for a look: other processes may.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// A zone to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueZone {
    /// It.
    pub zone: Zone,
    /// The name servers it should be delegated to; none where this node has no names for them.
    pub assigned: Vec<Name>,
}

/// What was seen of a zone's delegation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeenDelegation {
    /// The name servers that the parent's servers name; none where none of them answers.
    pub name_servers: Option<Vec<Name>>,
    /// What each of them that answers says.
    pub parent: Vec<Sight>,
    /// What each resolver that answers says.
    pub others: Vec<Sight>,
    /// The digests of keys that the parent's servers have; none where not all say, or not all the same.
    pub ds: Option<Vec<Rdata>>,
}

impl App {
    /// The name servers a zone should be delegated to; of a partial one none.
    pub fn assigned_name_servers(&self, zone: &Zone) -> Vec<Name> {
        if zone.partial {
            Vec::new()
        } else if zone.name_servers.is_empty() {
            self.settings().nameservers.into_iter().take(2).collect()
        } else {
            zone.name_servers.clone()
        }
    }

    /// Below which names of partial zones lead here; none: there are no such zones.
    pub fn cname_suffix(&self) -> Option<Name> {
        self.settings().cname_suffix
    }

    /// Takes up zones that are due to be looked at, at most `count`.
    pub async fn zones_due(&self, count: u32) -> Result<Vec<DueZone>, AppError> {
        let mut session = self.0.store.write().await?;
        let again_at = self.instant().plus_secs(LEASE_SECS).as_micros();
        let zones = session.take_zones_due(self.now(), again_at, count).await?;
        if zones.is_empty() {
            return Ok(Vec::new());
        }
        session.commit_silently().await?;
        Ok(zones.into_iter().map(|zone| DueZone { assigned: self.assigned_name_servers(&zone), zone }).collect())
    }

    /// Waits until a zone may be due.
    pub async fn zones_due_woken(&self) {
        let due = match self.0.store.read().await {
            Ok(mut session) => session.next_zone_due().await.ok().flatten(),
            Err(_) => None,
        };
        let until = due.map(|due| Duration::from_micros(due.saturating_sub(self.now()).max(0).unsigned_abs()));
        let wait = until.unwrap_or(LOOK_EVERY).min(LOOK_EVERY);
        let _ = tokio::time::timeout(wait, self.0.zones_due.notified()).await;
    }

    /// Keeps what was seen of a zone, and changes its status where that is what follows. The status it has then; none: it is gone.
    pub async fn delegation_seen(&self, id: ZoneId, seen: &SeenDelegation) -> Result<Option<ZoneStatus>, AppError> {
        if let Some(ds) = &seen.ds {
            let shown: Vec<Vec<u8>> = ds.iter().map(poterne_dns_wire::rdata).collect();
            self.ds_at_parent(id, &shown).await?;
        }
        let mut session = self.0.store.write().await?;
        let now = self.instant();
        let Some((mut zone, mut kept)) = session.zone_watch(id).await? else { return Ok(None) };
        let before = zone.status;
        let said = verdict(&seen.parent, &seen.others);
        let mut next = kept.watch.after(said, now);
        let mut touched = false;
        if next.status != before {
            match self.set_status(&mut session, &mut zone, next.status).await {
                Ok(()) => touched = true,
                Err(AppError::Store(StoreError::Conflict(_))) => {
                    tracing::warn!(zone = %zone.apex, account = %zone.account,
                        "a zone is delegated here, and another account's zone of that name serves: it waits");
                    next = kept.watch.after(Verdict::Unknown, now);
                }
                Err(error) => return Err(error),
            }
        }
        kept.watch = next;
        kept.looked_at = Some(now.as_micros());
        let wait =
            if self.waits_for_parent(&mut session, id).await? { next.wait_secs().min(DS_WAIT_SECS) } else { next.wait_secs() };
        // Who asked for a look while this one was under way changed something that it may not have seen.
        let is_asked_again = kept.triggered_at == Some(kept.due_at);
        if !is_asked_again {
            kept.due_at = now.plus_secs(wait).as_micros();
        }
        if kept.original.is_none() {
            kept.original.clone_from(&seen.name_servers);
        }
        session.put_zone_watch(id, &kept).await?;
        if touched {
            self.trace_of_node(
                &mut session,
                traced("delegation", &zone, Some(shown(&Zone { status: before, ..zone.clone() })), Some(shown(&zone))),
            )
            .await?;
            self.finish(session).await?;
            tracing::info!(zone = %zone.apex, account = %zone.account, status = zone.status.as_str(), "zone's delegation decided");
        } else {
            session.commit_silently().await?;
        }
        Ok(Some(zone.status))
    }

    /// Has a zone looked at in a minute, as its parent should show another DS from now on.
    pub(crate) async fn look_for_ds(&self, session: &mut Session, id: ZoneId) -> Result<(), AppError> {
        let Some((_, mut kept)) = session.zone_watch(id).await? else { return Ok(()) };
        let soon = self.instant().plus_secs(DS_FIRST_WAIT_SECS).as_micros();
        if kept.due_at > soon {
            kept.due_at = soon;
            session.put_zone_watch(id, &kept).await?;
        }
        // Whoever looks waits for its own turn at the store, so that it finds what is being written.
        self.0.zones_due.notify_one();
        Ok(())
    }

    /// Looks at a zone's delegation soon, as somebody asks who changed it at their registrar a moment ago.
    pub async fn activation_check(&self, caller: &Caller, id: ZoneId) -> Result<Zone, AppError> {
        let mut session = self.0.store.write().await?;
        self.seen_zone(&mut session, caller, id, Subject::Zones.to_edit()).await?;
        let (zone, mut kept) = session.zone_watch(id).await?.ok_or(AppError::NotFound("zone"))?;
        let now = self.instant();
        let wait = trigger_wait_secs(kept.triggered_at.map(Timestamp::from_micros), now);
        if wait > 0 {
            return Err(AppError::ChecksLimited { zone: zone.apex, retry_secs: wait.unsigned_abs() });
        }
        (kept.triggered_at, kept.due_at) = (Some(now.as_micros()), now.as_micros());
        session.put_zone_watch(id, &kept).await?;
        // Whoever asks wants the zone.
        session.put_zone_end(id, None).await?;
        session.commit_silently().await?;
        // Whoever looks waits for its own turn at the store, so that it finds what was just written.
        self.0.zones_due.notify_one();
        Ok(zone)
    }

    /// Gives a zone another status, and tells of it; the one way by which that happens.
    pub(crate) async fn set_status(&self, session: &mut Session, zone: &mut Zone, status: ZoneStatus) -> Result<(), AppError> {
        let (now, before) = (self.now(), zone.status);
        session.set_zone_status(zone.id, status, now).await?;
        // What was told of its end was of the status before.
        session.put_zone_end(zone.id, None).await?;
        (zone.status, zone.modified_at) = (status, now);
        if status == ZoneStatus::Active {
            zone.activated_at = zone.activated_at.or(Some(now));
        }
        let name = zone.apex.to_string();
        let notice = Notice::ZoneStatus { zone: zone.id, name, status, before, at: self.instant() };
        self.tell_of_zone(session, zone, &notice).await?;
        Ok(())
    }
}
