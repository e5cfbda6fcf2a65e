//! A zone's settings. They are kept and told; which of them nodes obey is asked elsewhere.

use poterne_control_store::{Session, Zone};
use poterne_model::{
    AccountId, At, ShapeError, ZoneId,
    setting::{DnsSettings, ManagedHeaders, UrlNormalization, ZoneSettings},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    App, AppError, Caller,
    access::{Permission, Subject, Target},
    audit::Traced,
};

pub(crate) const DEVELOPMENT: &str = "development_mode";
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
            self.finish(session).await?;
        }
        Ok(settings)
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

    /// What the name servers say of an account's zones that are added from now on.
    pub async fn account_dns_settings(&self, caller: &Caller, account: AccountId) -> Result<DnsSettings, AppError> {
        caller.needs(Subject::DnsRecords.to_read(), Target::NewZone(account))?;
        let mut session = self.0.store.read().await?;
        session.account(account).await?.ok_or(AppError::NotFound("account"))?;
        kept_of_account(&mut session, account, DNS).await
    }

    /// Changes what a body names of that.
    pub async fn account_dns_settings_patch(
        &self,
        caller: &Caller,
        account: AccountId,
        body: &At<'_>,
    ) -> Result<DnsSettings, AppError> {
        caller.needs(Subject::DnsRecords.to_edit(), Target::NewZone(account))?;
        let mut session = self.0.store.write().await?;
        session.account(account).await?.ok_or(AppError::NotFound("account"))?;
        let before: DnsSettings = kept_of_account(&mut session, account, DNS).await?;
        let after = before.patched(body)?;
        if let Some(reference) = after.internal_dns.reference_zone_id
            && session.zone(reference).await?.is_none_or(|other| other.account != account)
        {
            let pointer = format!("{}/internal_dns/reference_zone_id", body.pointer());
            return Err(ShapeError::new(pointer, format!("{reference} is no zone of this account")).into());
        }
        if before != after {
            let (old, new) = (json(&before), json(&after));
            session.put_account_setting(account, DNS, &new, self.now()).await?;
            let traced = Traced {
                account: Some(account),
                action: "set",
                kind: "account_setting",
                id: DNS.to_owned(),
                old: Some(old),
                new: Some(new),
                ..Traced::default()
            };
            self.trace(&mut session, caller, traced).await?;
            session.commit().await?;
        }
        Ok(after)
    }

    /// Gives a zone that is being added what its account has set for such.
    pub(crate) async fn begin_settings(&self, session: &mut Session, zone: &Zone) -> Result<(), AppError> {
        let begins: DnsSettings = kept_of_account(session, zone.account, DNS).await?;
        if begins != DnsSettings::default() {
            session.put_zone_setting(zone.id, DNS, &json(&begins), self.now()).await?;
        }
        Ok(())
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

    /// Does it again as where nothing was set.
    pub async fn url_normalization_reset(&self, caller: &Caller, zone: ZoneId) -> Result<UrlNormalization, AppError> {
        self.reset(caller, zone, NORMALIZATION, Subject::ZoneSettings.to_edit()).await
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

    /// Turns all of those off.
    pub async fn managed_headers_reset(&self, caller: &Caller, zone: ZoneId) -> Result<ManagedHeaders, AppError> {
        self.reset(caller, zone, MANAGED, Subject::TransformRules.to_edit()).await
    }

    async fn reset<T: Default + PartialEq + Serialize + DeserializeOwned>(
        &self,
        caller: &Caller,
        zone: ZoneId,
        id: &'static str,
        permission: Permission,
    ) -> Result<T, AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, zone, permission).await?;
        let before: T = kept(&mut session, zone.id, id).await?;
        self.keep(session, caller, &zone, id, before, T::default()).await
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
            self.finish(session).await?;
        }
        Ok(after)
    }
}

/// What was kept whole under that name; the default where nothing was, or what an older version wrote is not understood any more.
async fn kept<T: Default + DeserializeOwned>(session: &mut Session, zone: ZoneId, id: &'static str) -> Result<T, AppError> {
    Ok(understood(session.zone_setting(zone, id).await?, &zone, id))
}

/// The same of an account.
async fn kept_of_account<T: Default + DeserializeOwned>(
    session: &mut Session,
    account: AccountId,
    id: &'static str,
) -> Result<T, AppError> {
    Ok(understood(session.account_setting(account, id).await?, &account, id))
}

fn understood<T: Default + DeserializeOwned>(value: Option<Value>, of: &dyn std::fmt::Display, id: &'static str) -> T {
    let read =
        |value| serde_json::from_value(value).inspect_err(|error| tracing::warn!(%of, id, %error, "a setting is not understood"));
    value.and_then(|value| read(value).ok()).unwrap_or_default()
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
