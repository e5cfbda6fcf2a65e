//! Zones: adding, putting in force, listing.

use poterne_control_store::{StoreError, Zone};
use poterne_keys::random_bytes;
use poterne_model::{Name, ZoneId, ZoneStatus, chain::TUNNEL_SUFFIX, name};

use crate::{App, AppError, Caller, Permission, Settings, open::is_named};

impl App {
    /// Adds a zone. It is pending, and serves nothing, until its delegation is seen or the operator activates it; a zone the
    /// node's configuration names under `[control] activate` is born active.
    pub async fn zone_add(&self, caller: &Caller, name: &str) -> Result<Zone, AppError> {
        caller.needs(Permission::ZoneEdit)?;
        let apex = Name::parse(name)?;
        let settings = self.settings();
        check_zone_name(&apex, &settings)?;
        let now = self.now();
        let mut session = self.0.store.write().await?;
        if session.zone_named(self.account(), &apex).await?.is_some() {
            return Err(AppError::ZoneExists(apex));
        }
        let taken = session.serving_zone_over(&apex).await?.is_some_and(|zone| zone.apex == apex);
        let active = is_named(&settings.activate, &apex) && !taken;
        let zone = Zone {
            id: ZoneId::from_bytes(random_bytes()),
            account: self.account(),
            apex,
            status: if active { ZoneStatus::Active } else { ZoneStatus::Pending },
            name_servers: settings.nameservers.iter().take(2).cloned().collect(),
            created_at: now,
            activated_at: active.then_some(now),
        };
        session.insert_zone(&zone).await?;
        self.finish(session).await?;
        tracing::info!(zone = %zone.apex, account = %zone.account, status = zone.status.as_str(), "zone added");
        Ok(zone)
    }

    /// Puts a zone in force without waiting for its delegation. Doing it twice changes nothing.
    pub async fn zone_activate(&self, caller: &Caller, name: &str) -> Result<Zone, AppError> {
        caller.needs(Permission::ZoneActivate)?;
        let apex = Name::parse(name)?;
        let now = self.now();
        let mut session = self.0.store.write().await?;
        let Some(mut zone) = session.zone_named(self.account(), &apex).await? else {
            return Err(AppError::ZoneNotFound(apex));
        };
        if zone.status == ZoneStatus::Active {
            return Ok(zone);
        }
        match session.set_zone_status(zone.id, ZoneStatus::Active, now).await {
            Err(StoreError::Conflict(_)) => return Err(AppError::ZoneServedElsewhere(apex)),
            done => done?,
        }
        self.finish(session).await?;
        zone.status = ZoneStatus::Active;
        zone.activated_at = zone.activated_at.or(Some(now));
        tracing::info!(zone = %zone.apex, account = %zone.account, "zone activated by the operator");
        Ok(zone)
    }

    /// The account's zones, by name.
    pub async fn zone_list(&self, caller: &Caller) -> Result<Vec<Zone>, AppError> {
        caller.needs(Permission::ZoneRead)?;
        Ok(self.0.store.read().await?.zones(Some(self.account())).await?)
    }
}

fn check_zone_name(apex: &Name, settings: &Settings) -> Result<(), AppError> {
    let wrong = |why| Err(AppError::ZoneName { name: apex.clone(), why });
    let labels: Vec<&str> = apex.as_str().split('.').collect();
    if apex.is_wildcard() {
        return wrong("a zone has no wildcard; add the zone without `*.`, then route `*.` under it");
    }
    if labels.len() < 2 {
        return wrong("it is a single label; a zone is a domain of yours, such as example.com or home.test");
    }
    if labels.last().is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit())) {
        return wrong("it looks like an address; a zone is a domain name");
    }
    if labels.iter().any(|label| label.contains('_')) {
        return wrong("a domain cannot be registered with an underscore");
    }
    let reserved = settings.tunnel_domain.as_ref().into_iter().chain(&settings.quick_domain);
    if name::is_within(apex.as_str(), TUNNEL_SUFFIX) || reserved.into_iter().any(|domain| apex.is_within(domain)) {
        return wrong("its names are given to tunnels by this node");
    }
    Ok(())
}
