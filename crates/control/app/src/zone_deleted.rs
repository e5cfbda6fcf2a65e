//! Zones that were deleted: kept for a week with all that was in them, so that who deletes the wrong one takes it back (edge-behaviour §1.1).
//!
//! Nothing of them is answered, served, renewed or told of, and their name is free at once. What cannot be taken back is not: certificates that this
//! instance issued for origins are revoked when the zone goes, since whoever has the name next is not to be vouched for by keys of who had it.

use poterne_control_store::{Account, AccountKind, DeletedZone, Session, StoreError, Zone};
use poterne_model::{AccountId, Name, ZoneId, ZoneStatus};

use crate::{
    App, AppError, Caller,
    access::{Subject, Target},
    zones::{shown, traced},
};

/// How long a deleted zone is kept, in seconds.
pub const ZONE_KEPT_SECS: i64 = 7 * 86_400;

/// Most that are kept of an account; with another the one that was deleted first goes.
pub const ZONES_KEPT_MAX: usize = 20;

/// Zones that go for good in one transaction: each takes its records along.
const PURGED_AT_ONCE: u32 = 10;

impl App {
    /// The zones that were deleted, of accounts within the caller's reach, or of one; the last first.
    pub async fn zones_deleted(
        &self,
        caller: &Caller,
        account: Option<AccountId>,
    ) -> Result<Vec<(DeletedZone, Account)>, AppError> {
        let mut session = self.0.store.read().await?;
        let mut accounts = match caller.accounts() {
            Some(ids) => session.accounts_of(&ids).await?,
            None => session.accounts().await?,
        };
        accounts.retain(|one| one.kind == AccountKind::Standard && account.is_none_or(|id| id == one.id));
        let mut all = Vec::new();
        for account in accounts {
            let of_account = session.deleted_zones(account.id).await?.into_iter();
            let seen = of_account.filter(|one| caller.may(Subject::Zones.to_read(), Target::Zone(account.id, one.zone.id)));
            all.extend(seen.map(|one| (one, account.clone())));
        }
        all.sort_by_key(|(one, _)| std::cmp::Reverse((one.deleted_at, one.zone.id)));
        Ok(all)
    }

    /// Takes a deleted zone back: in force where it was and nobody else's of that name is, and looked at soon.
    pub async fn zone_restore(&self, caller: &Caller, id: ZoneId) -> Result<Zone, AppError> {
        let mut session = self.0.store.write().await?;
        let Some(DeletedZone { zone, .. }) = session.deleted_zone(id).await? else {
            // Who may not change zones learns that, and not whether this one is deleted.
            self.seen_zone(&mut session, caller, id, Subject::Zones.to_edit()).await?;
            return Err(AppError::NotFound("deleted zone"));
        };
        caller.needs(Subject::Zones.to_edit(), Target::Zone(zone.account, id))?;
        for (held, hold) in session.holds_over(zone.account, &zone.apex).await? {
            if hold.blocks(&held, &zone.apex, self.instant()) {
                return Err(AppError::ZoneHeld { name: zone.apex, held });
            }
        }
        let serving = session.serving_zone_over(&zone.apex).await?.is_some_and(|other| other.apex == zone.apex);
        let status = if serving { ZoneStatus::Pending } else { zone.status };
        match session.bring_zone_back(id, status, self.now()).await {
            Err(StoreError::Conflict(_)) => return Err(AppError::ZoneExists(zone.apex)),
            done => done?,
        }
        let zone = session.zone(id).await?.ok_or(AppError::NotFound("zone"))?;
        self.trace(&mut session, caller, traced("restore", &zone, None, Some(shown(&zone)))).await?;
        self.finish(session).await?;
        tracing::info!(zone = %zone.apex, account = %zone.account, status = zone.status.as_str(), "a deleted zone was taken back");
        self.0.zones_due.notify_one();
        self.0.copies.due.notify_one();
        Ok(zone)
    }

    /// Takes the zone of that name back that the node's first account deleted last.
    pub async fn zone_restore_named(&self, caller: &Caller, name: &str) -> Result<Zone, AppError> {
        let apex = Name::parse(name)?;
        let deleted = self.0.store.read().await?.deleted_zones(self.account()).await?;
        let last = deleted.iter().rev().find(|one| one.zone.apex == apex).ok_or(AppError::ZoneNotFound(apex))?;
        self.zone_restore(caller, last.zone.id).await
    }

    /// Lets a deleted zone go for good.
    pub async fn zone_purge(&self, caller: &Caller, id: ZoneId) -> Result<Zone, AppError> {
        let mut session = self.0.store.write().await?;
        let DeletedZone { zone, .. } = session.deleted_zone(id).await?.ok_or(AppError::NotFound("deleted zone"))?;
        caller.needs(Subject::Zones.to_edit(), Target::Zone(zone.account, id))?;
        session.delete_zone(id).await?;
        self.trace(&mut session, caller, traced("purge", &zone, Some(shown(&zone)), None)).await?;
        self.finish(session).await?;
        Ok(zone)
    }

    /// Deletes a zone, which may be taken back for a while.
    pub(crate) async fn put_away(&self, session: &mut Session, zone: &Zone) -> Result<(), AppError> {
        session.revoke_origin_certificates_of(zone.id, self.now()).await?;
        session.put_zone_away(zone.id, self.now()).await?;
        let kept = session.deleted_zones(zone.account).await?;
        for oldest in &kept[..kept.len().saturating_sub(ZONES_KEPT_MAX)] {
            self.let_go(session, &oldest.zone).await?;
        }
        Ok(())
    }

    /// Lets zones go for good that were deleted a week ago; how many.
    pub(crate) async fn purge_zones(&self) -> Result<usize, AppError> {
        let before = self.instant().plus_secs(-ZONE_KEPT_SECS).as_micros();
        let mut count = 0;
        loop {
            if self.0.store.read().await?.zones_deleted_before(before, 1).await?.is_empty() {
                return Ok(count);
            }
            let mut session = self.0.store.write().await?;
            let over = session.zones_deleted_before(before, PURGED_AT_ONCE).await?;
            for one in &over {
                self.let_go(&mut session, &one.zone).await?;
            }
            count += over.len();
            session.commit().await?;
        }
    }

    async fn let_go(&self, session: &mut Session, zone: &Zone) -> Result<(), AppError> {
        session.delete_zone(zone.id).await?;
        self.trace_of_node(session, traced("purge", zone, Some(shown(zone)), None)).await?;
        tracing::info!(zone = %zone.apex, account = %zone.account, "a deleted zone is kept no more");
        Ok(())
    }
}
