//! A zone's settings. They are kept and told; which of them nodes obey is asked elsewhere.

use poterne_control_store::{Account, Session, Zone};
use poterne_model::{
    At, ShapeError, ZoneId,
    setting::{DnsSettings, ManagedHeaders, UrlNormalization, ZoneSettings},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    App, AppError, Caller,
    access::{Permission, Subject},
    audit::Traced,
};

const DEVELOPMENT: &str = "development_mode";
const DNS: &str = "dns_settings";
const MANAGED: &str = "managed_headers";
const NORMALIZATION: &str = "url_normalization";

impl App {
    /// What a zone set.
    pub async fn zone_settings(&self, caller: &Caller, zone: ZoneId) -> Result<ZoneSettings, AppError> {
        let mut session = self.0.store.read().await?;
        self.seen_zone(&mut session, caller, zone, Subject::ZoneSettings.to_read()).await?;
        Ok(session.zone_settings(zone).await?)
    }

    /// Sets these, given by name and as they stand in a body: all of them, or none.
    pub async fn zone_settings_set(
        &self,
        caller: &Caller,
        zone: ZoneId,
        items: Vec<(&str, At<'_>)>,
    ) -> Result<ZoneSettings, AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, Subject::ZoneSettings.to_edit()).await?;
        let mut settings = session.zone_settings(zone.id).await?;
        let now = self.now();
        let changes = settings.set_all(items, self.instant())?;
        for change in &changes {
            session.put_zone_setting(zone.id, change.id, &change.new, now).await?;
            self.trace(&mut session, caller, traced(&zone, change.id, change.old.clone(), change.new.clone())).await?;
        }
        if !changes.is_empty() {
            session.commit().await?;
        }
        Ok(settings)
    }

    /// How long development mode goes on, or has been over, in these zones that the caller has seen, in their order
    /// (api-v4 §3).
    pub async fn development_modes(&self, zones: &[(Zone, Account)]) -> Result<Vec<i64>, AppError> {
        let mut session = self.0.store.read().await?;
        let mut modes = Vec::with_capacity(zones.len());
        for (zone, _) in zones {
            modes.push(session.zone_settings_of(zone.id, DEVELOPMENT).await?.development_mode(self.instant()).of_zone());
        }
        Ok(modes)
    }

    /// What its name servers say of a zone itself.
    pub async fn dns_settings(&self, caller: &Caller, zone: ZoneId) -> Result<DnsSettings, AppError> {
        self.whole(caller, zone, DNS, Subject::DnsRecords.to_read()).await
    }

    /// Changes what a body names of that.
    pub async fn dns_settings_patch(&self, caller: &Caller, zone: ZoneId, body: &At<'_>) -> Result<DnsSettings, AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, Subject::DnsRecords.to_edit()).await?;
        let before: DnsSettings = kept(&mut session, zone.id, DNS).await?;
        let after = before.patched(body)?;
        if let Some(reference) = after.internal_dns.reference_zone_id
            && session.zone(reference).await?.is_none_or(|other| other.account != zone.account || other.id == zone.id)
        {
            let why = format!("{reference} is no other zone of this account");
            return Err(ShapeError::new("/internal_dns/reference_zone_id", why).into());
        }
        self.keep(session, caller, &zone, DNS, before, after).await
    }

    /// What is done to URLs before rules see them.
    pub async fn url_normalization(&self, caller: &Caller, zone: ZoneId) -> Result<UrlNormalization, AppError> {
        self.whole(caller, zone, NORMALIZATION, Subject::ZoneSettings.to_read()).await
    }

    /// Sets that.
    pub async fn url_normalization_put(
        &self,
        caller: &Caller,
        zone: ZoneId,
        body: &At<'_>,
    ) -> Result<UrlNormalization, AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, Subject::ZoneSettings.to_edit()).await?;
        let before = kept(&mut session, zone.id, NORMALIZATION).await?;
        let after = UrlNormalization::read(body)?;
        self.keep(session, caller, &zone, NORMALIZATION, before, after).await
    }

    /// Which fields are added and removed by name.
    pub async fn managed_headers(&self, caller: &Caller, zone: ZoneId) -> Result<ManagedHeaders, AppError> {
        self.whole(caller, zone, MANAGED, Subject::TransformRules.to_read()).await
    }

    /// Turns those on and off that a body names.
    pub async fn managed_headers_patch(&self, caller: &Caller, zone: ZoneId, body: &At<'_>) -> Result<ManagedHeaders, AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, Subject::TransformRules.to_edit()).await?;
        let before: ManagedHeaders = kept(&mut session, zone.id, MANAGED).await?;
        let after = before.patched(body)?;
        self.keep(session, caller, &zone, MANAGED, before, after).await
    }

    async fn whole<T: Default + DeserializeOwned>(
        &self,
        caller: &Caller,
        zone: ZoneId,
        id: &'static str,
        permission: Permission,
    ) -> Result<T, AppError> {
        let mut session = self.0.store.read().await?;
        self.seen_zone(&mut session, caller, zone, permission).await?;
        kept(&mut session, zone, id).await
    }

    async fn keep<T: PartialEq + Serialize>(
        &self,
        mut session: Session,
        caller: &Caller,
        zone: &Zone,
        id: &'static str,
        before: T,
        after: T,
    ) -> Result<T, AppError> {
        if before != after {
            let (old, new) = (json(&before), json(&after));
            session.put_zone_setting(zone.id, id, &new, self.now()).await?;
            self.trace(&mut session, caller, traced(zone, id, old, new)).await?;
            session.commit().await?;
        }
        Ok(after)
    }
}

/// What was kept whole under that name; the default where nothing was, or what an older version wrote is not understood any more.
async fn kept<T: Default + DeserializeOwned>(session: &mut Session, zone: ZoneId, id: &'static str) -> Result<T, AppError> {
    let value = session.zone_setting(zone, id).await?;
    let read = |value| {
        serde_json::from_value(value).inspect_err(|error| tracing::warn!(%zone, id, %error, "a setting is not understood"))
    };
    Ok(value.and_then(|value| read(value).ok()).unwrap_or_default())
}

fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("the model's types are always JSON")
}

fn traced(zone: &Zone, id: &'static str, old: Value, new: Value) -> Traced {
    Traced {
        account: Some(zone.account),
        zone: Some((zone.id, zone.apex.to_string())),
        action: "set",
        kind: "zone_setting",
        id: id.to_owned(),
        old: Some(old),
        new: Some(new),
    }
}
