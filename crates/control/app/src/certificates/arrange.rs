//! What a zone's names need, made and taken away as the names come and go.
//!
//! Whoever brings the store's changes in force says which zones changed ([`App::zones_changed`]); those are looked at soon after, each by
//! itself. Of a zone that waits, is lost or is paused nothing is made, and nothing taken away: it may come back, and its packs are due then.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use poterne_acme::{
    Change, Kind, Standing,
    names::{DEEPER_NAMES_MAX, Wanted, arrange},
};
use poterne_control_store::{CertificatePack, Session, Zone};
use poterne_model::{CertificatePackId, ZoneId};
use tokio::sync::Notify;

use super::{course, is_ordered_for, is_universal, set_course};
use crate::{App, AppError};

/// Zones remembered by name; beyond it all are looked at.
const ZONES_MAX: usize = 10_000;

/// Zones read at a time.
const PAGE_ROWS: u32 = 500;

/// How long deeper names are waited for that may come right after the first, so that one certificate has them all.
const SETTLE_SECS: i64 = 15;

/// Zones whose names changed since they were looked at.
#[derive(Default)]
pub(crate) struct ZonesChanged {
    some: Mutex<Changed>,
    woken: Notify,
    /// No certificate's key is wrapped for another node.
    pub(super) are_tended: AtomicBool,
}

#[derive(Default)]
struct Changed {
    zones: BTreeSet<ZoneId>,
    all: bool,
}

impl ZonesChanged {
    /// Whoever waits looks again.
    pub(super) fn wake(&self) {
        self.woken.notify_one();
    }
}

impl App {
    /// Something changed of these zones that their certificates may hang on.
    pub fn zones_changed(&self, zones: impl Iterator<Item = ZoneId>) {
        if !self.orders_certificates() {
            return;
        }
        let mut changed = self.0.certificates.some.lock().unwrap_or_else(PoisonError::into_inner);
        let before = changed.zones.len();
        changed.zones.extend(zones);
        let has_more = changed.zones.len() > before;
        if changed.zones.len() > ZONES_MAX {
            *changed = Changed { zones: BTreeSet::new(), all: true };
        }
        if has_more {
            self.0.certificates.woken.notify_one();
        }
    }

    /// Anything may have changed.
    pub fn all_zones_changed(&self) {
        if self.orders_certificates() {
            self.0.certificates.some.lock().unwrap_or_else(PoisonError::into_inner).all = true;
            self.0.certificates.woken.notify_one();
        }
    }

    /// Whether there is an authority to order of.
    pub fn orders_certificates(&self) -> bool {
        let settings = self.0.settings.read().unwrap_or_else(PoisonError::into_inner);
        !settings.acme.authorities.is_empty()
    }

    /// Waits until zones changed, or a pack may be due, or so long.
    pub async fn certificates_woken(&self, longest: Duration) {
        let due = match self.0.store.read().await {
            Ok(mut session) => session.next_certificate_pack_due().await.ok().flatten(),
            Err(_) => None,
        };
        let until = due.map(|due| Duration::from_micros(due.saturating_sub(self.now()).max(0).unsigned_abs()));
        let wait = until.unwrap_or(longest).min(longest);
        let _ = tokio::time::timeout(wait, self.0.certificates.woken.notified()).await;
    }

    /// Looks at the zones that changed; how many packs were made or taken away.
    ///
    /// # Errors
    /// The store fails; what was not looked at is not forgotten.
    pub async fn arrange_certificates(&self) -> Result<usize, AppError> {
        let Changed { zones, all } =
            std::mem::take(&mut *self.0.certificates.some.lock().unwrap_or_else(PoisonError::into_inner));
        let arranged = if all { self.arrange_all().await } else { self.arrange_some(&zones).await };
        if arranged.is_err() {
            let mut changed = self.0.certificates.some.lock().unwrap_or_else(PoisonError::into_inner);
            changed.zones.extend(zones);
            changed.all |= all;
        }
        arranged
    }

    async fn arrange_all(&self) -> Result<usize, AppError> {
        let (mut done, mut after) = (0, None);
        loop {
            let page = self.0.store.read().await?.zones_proxying_after(after, PAGE_ROWS).await?;
            let Some(last) = page.last() else { return Ok(done) };
            after = Some(*last);
            done += self.arrange_some(&page.into_iter().collect()).await?;
        }
    }

    async fn arrange_some(&self, zones: &BTreeSet<ZoneId>) -> Result<usize, AppError> {
        let mut done = 0;
        for zone in zones {
            done += self.arrange_zone(*zone).await?;
        }
        Ok(done)
    }

    async fn arrange_zone(&self, id: ZoneId) -> Result<usize, AppError> {
        // Looked at first without a turn at writing: nearly always there is nothing to do.
        let mut session = self.0.store.read().await?;
        if self.changes_of(&mut session, id).await?.is_none() {
            return Ok(0);
        }
        drop(session);
        let mut session = self.0.store.write().await?;
        let Some((zone, changes)) = self.changes_of(&mut session, id).await? else { return Ok(0) };
        let mut count = changes.len();
        for change in changes {
            match change {
                Change::Make(kind, hosts) => {
                    let mut pack = self.new_pack(id, kind, hosts);
                    let settles = if kind == Kind::TotalTls { SETTLE_SECS } else { 0 };
                    pack.due_at = Some(self.instant().plus_secs(settles).as_micros());
                    session.insert_certificate_pack(&pack).await?;
                }
                Change::Rename(pack, hosts) => {
                    if let Some(mut pack) = session.certificate_pack(pack).await? {
                        pack.hosts = hosts;
                        session.put_certificate_pack(&pack).await?;
                    }
                }
                Change::End(pack) => session.delete_certificate_pack(pack).await?,
            }
        }
        for mut pack in session.certificate_packs(id).await?.into_iter().filter(is_put_off) {
            let course = course(&pack);
            set_course(&mut pack, &course);
            session.put_certificate_pack(&pack).await?;
            count += 1;
        }
        session.commit().await?;
        tracing::info!(zone = %zone.apex, account = %zone.account, changes = count, "what certificates a zone needs was arranged");
        self.0.certificates.woken.notify_one();
        Ok(count)
    }

    /// What is to be done with a zone's packs; none where it is nothing.
    async fn changes_of(
        &self,
        session: &mut Session,
        id: ZoneId,
    ) -> Result<Option<(Zone, Vec<Change<CertificatePackId>>)>, AppError> {
        let Some(zone) = session.zone(id).await?.filter(is_ordered_for) else { return Ok(None) };
        let is_wanted = is_universal(session, id).await?;
        let rows_max = u32::try_from(2 * DEEPER_NAMES_MAX).unwrap_or(u32::MAX);
        let wanted = match (is_wanted, zone.partial) {
            (false, _) => Wanted::nothing(),
            (true, false) => Wanted::of_zone(&zone.apex, session.deeper_proxied_names(id, &zone.apex, rows_max).await?),
            (true, true) => Wanted::of_hosts(session.proxied_names(id, rows_max).await?),
        };
        let packs = session.certificate_packs(id).await?;
        let standing = packs.iter().filter_map(|pack| {
            let (kind, course) = (Kind::parse(&pack.kind)?, course(pack));
            let is_tried = course.held.is_some() || course.failure.is_some() || course.is_ordering;
            Some(Standing { id: pack.id, kind, hosts: pack.hosts.clone(), is_tried })
        });
        let standing: Vec<_> = standing.collect();
        let changes = arrange(&wanted, &standing);
        let has_work = !changes.is_empty() || packs.iter().any(is_put_off);
        Ok(has_work.then_some((zone, changes)))
    }
}

/// Whether a pack waited for its zone to be here to be ordered for.
fn is_put_off(pack: &CertificatePack) -> bool {
    pack.due_at.is_none() && Kind::parse(&pack.kind).is_some_and(Kind::is_ordered)
}
