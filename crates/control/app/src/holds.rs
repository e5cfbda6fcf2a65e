//! Holds: keeping other accounts of this installation from adding a zone that serves, or names below it.

use poterne_control_store::Zone;
use poterne_model::{Timestamp, ZoneHold, ZoneId};
use serde_json::{Value, json};

use crate::{App, AppError, Caller, access::Subject, audit::Traced};

impl App {
    /// A zone's hold; none where there is none.
    pub async fn zone_hold(&self, caller: &Caller, zone: ZoneId) -> Result<Option<ZoneHold>, AppError> {
        let mut session = self.0.store.read().await?;
        self.seen_zone(&mut session, caller, zone, Subject::Zones.to_read()).await?;
        Ok(session.zone_hold(zone).await?)
    }

    /// Holds a zone from now on. A pending one cannot be held: nothing has shown yet whose it is.
    pub async fn zone_hold_create(&self, caller: &Caller, zone: ZoneId, include_subdomains: bool) -> Result<ZoneHold, AppError> {
        let hold = ZoneHold { include_subdomains, hold_after: None };
        self.change_hold(caller, zone, |_| Ok(Some(hold))).await?;
        Ok(hold)
    }

    /// Changes what is given of a zone's hold.
    pub async fn zone_hold_change(
        &self,
        caller: &Caller,
        zone: ZoneId,
        include_subdomains: Option<bool>,
        hold_after: Option<Timestamp>,
    ) -> Result<ZoneHold, AppError> {
        let changed = |before: Option<ZoneHold>| {
            let before = before.ok_or(AppError::NotFound("zone hold"))?;
            let include_subdomains = include_subdomains.unwrap_or(before.include_subdomains);
            Ok(Some(ZoneHold { include_subdomains, hold_after: hold_after.or(before.hold_after) }))
        };
        self.change_hold(caller, zone, changed).await?.ok_or(AppError::NotFound("zone hold"))
    }

    /// Ends a zone's hold, or with `until` suspends it until then. Where there is none, there is none.
    pub async fn zone_hold_delete(
        &self,
        caller: &Caller,
        zone: ZoneId,
        until: Option<Timestamp>,
    ) -> Result<Option<ZoneHold>, AppError> {
        let suspended = |before: Option<ZoneHold>| {
            Ok(before.zip(until).map(|(before, until)| ZoneHold { hold_after: Some(until), ..before }))
        };
        self.change_hold(caller, zone, suspended).await
    }

    async fn change_hold(
        &self,
        caller: &Caller,
        id: ZoneId,
        change: impl FnOnce(Option<ZoneHold>) -> Result<Option<ZoneHold>, AppError>,
    ) -> Result<Option<ZoneHold>, AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, id, Subject::Zones.to_edit()).await?;
        let before = session.zone_hold(id).await?;
        let after = change(before)?;
        if after.is_some() && !zone.status.serves() {
            let why = format!("{} is {}: a zone is held once it is active", zone.apex, zone.status.as_str());
            return Err(AppError::Invalid { what: "hold", why });
        }
        if before != after {
            session.put_zone_hold(id, after).await?;
            self.trace(&mut session, caller, traced(&zone, before, after)).await?;
            session.commit().await?;
        }
        Ok(after)
    }
}

fn traced(zone: &Zone, old: Option<ZoneHold>, new: Option<ZoneHold>) -> Traced {
    let shown = |hold: ZoneHold| -> Value {
        json!({ "include_subdomains": hold.include_subdomains, "hold_after": hold.hold_after.map(Timestamp::as_micros) })
    };
    Traced {
        account: Some(zone.account),
        zone: Some((zone.id, zone.apex.to_string())),
        action: "set",
        kind: "zone_hold",
        id: zone.id.to_string(),
        old: old.map(shown),
        new: new.map(shown),
    }
}
