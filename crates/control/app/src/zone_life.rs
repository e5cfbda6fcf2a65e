//! Zones that nothing is delegated to: told that they end, and then deleted ([`poterne_model::zone_life`]), and kept for a while as each that
//! is deleted.
//!
//! A self-hoster must not lose a zone by surprise. So a zone ends only where somebody was told a week before, as notification policies say
//! or, without any, by mail to the account's owners; on a node that sends no mail and has no such policy, every zone stays. Zones that the
//! operator named under `[control] activate` never end.

use poterne_control_store::{EndingZone, Session, Zone};
use poterne_model::{
    Timestamp,
    notification::AlertType,
    zone_life::{End, Step, step},
};

use crate::{
    App, AppError,
    members::owns,
    notice::Notice,
    open::is_named,
    outbox::Told,
    zones::{shown, traced},
};

/// Zones read at a time.
const PAGE_ROWS: u32 = 500;

impl App {
    /// Does what is due with zones that are not active: tells of their end, or ends them; how many of either. Those that were deleted a week ago go for good. Called by the publisher now
    /// and then, so it does not wait for publication.
    pub async fn end_zones(&self) -> Result<(usize, usize), AppError> {
        self.purge_zones().await?;
        let (mut told, mut deleted, mut after) = (0, 0, None);
        loop {
            let page = self.0.store.read().await?.zones_ending(after, PAGE_ROWS).await?;
            let Some(last) = page.last() else { return Ok((told, deleted)) };
            after = Some(last.zone.id);
            for found in page.iter().filter(|found| self.step_towards_end(found) != Step::Stay) {
                // Each by itself, and as it stands when it is its turn.
                let mut session = self.0.store.write().await?;
                let Some(ending) = session.zone_ending(found.zone.id).await? else { continue };
                match self.step_towards_end(&ending) {
                    Step::Stay => {}
                    Step::Tell(end) => told += usize::from(self.tell_end(session, &ending.zone, end).await?),
                    Step::Delete => {
                        self.end_zone(session, &ending.zone).await?;
                        deleted += 1;
                    }
                }
            }
        }
    }

    fn step_towards_end(&self, ending: &EndingZone) -> Step {
        let EndingZone { zone, triggered_at, told } = ending;
        if is_named(&self.settings().activate, &zone.apex) {
            return Step::Stay;
        }
        let since = Timestamp::from_micros(triggered_at.map_or(zone.created_at, |at| at.max(zone.created_at)));
        step(zone.status, since, *told, self.instant())
    }

    /// Whether somebody was told, without which the zone stays.
    async fn tell_end(&self, mut session: Session, zone: &Zone, end: End) -> Result<bool, AppError> {
        let (id, name, status) = (zone.id, zone.apex.to_string(), zone.status);
        let notice = Notice::ZoneEnd { zone: id, name, status, ends_at: end.at, over: false, at: self.instant() };
        if self.tell_of_zone(&mut session, zone, &notice).await? == 0 && !end.reminded {
            return Ok(false);
        }
        session.put_zone_end(zone.id, Some(end)).await?;
        session.commit_silently().await?;
        tracing::warn!(zone = %zone.apex, account = %zone.account, status = zone.status.as_str(), ends_at = end.at.as_secs(),
            "nothing is delegated to a zone: it is deleted then, which was told");
        Ok(true)
    }

    async fn end_zone(&self, mut session: Session, zone: &Zone) -> Result<(), AppError> {
        let (id, name, status, now) = (zone.id, zone.apex.to_string(), zone.status, self.instant());
        self.put_away(&mut session, zone).await?;
        self.trace_of_node(&mut session, traced("delete", zone, Some(shown(zone)), None)).await?;
        let notice = Notice::ZoneEnd { zone: id, name, status, ends_at: now, over: true, at: now };
        self.tell_of_zone(&mut session, zone, &notice).await?;
        session.commit().await?;
        tracing::warn!(zone = %zone.apex, account = %zone.account, status = status.as_str(), "a zone that nothing was delegated to is deleted");
        Ok(())
    }

    /// Tells of a zone, within the transaction that changes it: whom the account's policies name and, where there is none of that kind, its
    /// owners (edge-behaviour §1.1). How many are told.
    pub(crate) async fn tell_of_zone(&self, session: &mut Session, zone: &Zone, notice: &Notice) -> Result<usize, AppError> {
        let mut told = self.alert(session, zone.account, notice).await?;
        if session.notification_policies_for(zone.account, AlertType::ZoneStatus).await?.is_empty() {
            for (membership, person) in session.members(zone.account).await? {
                if owns(&membership) && !person.suspended {
                    let queued = self.notify(session, Some(zone.account), &person.email, notice).await?;
                    told += usize::from(matches!(queued, Told::Queued(_)));
                }
            }
        }
        Ok(told)
    }
}
