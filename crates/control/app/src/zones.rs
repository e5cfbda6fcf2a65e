//! Zones: adding, putting in force, listing.

use poterne_control_store::{Account, AccountKind, Session, StoreError, TextMatch, Zone, ZoneFilter, ZoneIncoming, ZoneOrder};
use poterne_keys::random_bytes;
use poterne_model::{AccountId, Name, ZoneId, ZoneKind, ZoneStatus, chain::TUNNEL_SUFFIX, name, secondary::Refresh};
use serde_json::json;

use crate::{
    App, AppError, Caller, Settings,
    access::{Permission, Subject, Target},
    audit::Traced,
    open::is_named,
    settings::DEVELOPMENT,
};

/// Which zones a list is of.
#[derive(Default)]
pub struct ZoneWanted<'w> {
    /// Whether one of what is asked is enough.
    pub any: bool,
    /// Their name; in lower case, unless case matters.
    pub name: Option<TextMatch>,
    /// What the account is called.
    pub account_named: Option<&'w (dyn Fn(&str) -> bool + Sync)>,
    /// The account.
    pub account: Option<AccountId>,
    /// Their status: one of these.
    pub statuses: Option<Vec<ZoneStatus>>,
    /// Their kind: one of these.
    pub kinds: Option<Vec<ZoneKind>>,
}

/// A zone, as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneListed {
    /// The zone.
    pub zone: Zone,
    /// Its account.
    pub account: Account,
    /// How long its development mode goes on, or has been over.
    pub development_mode: i64,
    /// The name servers that the parent named when it was first looked at.
    pub original_name_servers: Option<Vec<Name>>,
    /// Who answers for its names.
    pub kind: ZoneKind,
    /// Of a partial one: what shows that it is its owner's.
    pub proof: Option<PartialProof>,
}

impl App {
    /// Adds a zone to the node's first account.
    pub async fn zone_add(&self, caller: &Caller, name: &str) -> Result<Zone, AppError> {
        self.zone_create(caller, self.account(), name).await
    }

    /// Adds a zone. It is pending, and serves nothing, until its delegation is seen or the operator activates it; a zone the
    /// node's configuration names under `[control] activate` is born active.
    pub async fn zone_create(&self, caller: &Caller, account: AccountId, name: &str) -> Result<Zone, AppError> {
        self.zone_create_of(caller, account, name, ZoneKind::Full).await
    }

    /// The same of any kind: a secondary zone is another server's, and comes from there once somebody says where that is; a partial one is
    /// its owner's own servers', who proves by a record there that it is his ([`PartialProof`]).
    pub async fn zone_create_of(
        &self,
        caller: &Caller,
        account: AccountId,
        name: &str,
        kind: ZoneKind,
    ) -> Result<Zone, AppError> {
        caller.needs(Subject::Zones.to_edit(), Target::NewZone(account))?;
        let apex = Name::parse(name)?;
        let settings = self.settings();
        check_zone_name(&apex, &settings)?;
        if kind == ZoneKind::Partial && settings.cname_suffix.is_none() {
            let why = "this node has no domain below which names of partial zones lead here: set [dns] cname_suffix in its configuration";
            return Err(AppError::Invalid { what: "type", why: why.to_owned() });
        }
        let now = self.now();
        let mut session = self.0.store.write().await?;
        if session.zone_named(account, &apex).await?.is_some() {
            return Err(AppError::ZoneExists(apex));
        }
        for (held, hold) in session.holds_over(account, &apex).await? {
            if hold.blocks(&held, &apex, self.instant()) {
                return Err(AppError::ZoneHeld { name: apex, held });
            }
        }
        let taken = session.serving_zone_over(&apex).await?.is_some_and(|zone| zone.apex == apex);
        let active = is_named(&settings.activate, &apex) && !taken;
        let zone = Zone {
            id: ZoneId::from_bytes(random_bytes()),
            account,
            apex,
            status: if active { ZoneStatus::Active } else { ZoneStatus::Pending },
            name_servers: match kind {
                ZoneKind::Full | ZoneKind::Secondary => settings.nameservers.iter().take(2).cloned().collect(),
                ZoneKind::Partial => Vec::new(),
            },
            paused: false,
            partial: kind == ZoneKind::Partial,
            created_at: now,
            modified_at: now,
            activated_at: active.then_some(now),
        };
        session.insert_zone(&zone).await?;
        self.begin_settings(&mut session, &zone).await?;
        if kind == ZoneKind::Secondary {
            let incoming = ZoneIncoming {
                zone: zone.id,
                name: None,
                peers: Vec::new(),
                every_secs: 0,
                refresh: Refresh::begin(now.div_euclid(1_000_000)),
                due_at: now,
                created_at: now,
                modified_at: now,
            };
            session.put_zone_incoming(&incoming, true).await?;
        }
        self.trace(&mut session, caller, traced("add", &zone, None, Some(shown(&zone)))).await?;
        self.finish(session).await?;
        tracing::info!(zone = %zone.apex, account = %zone.account, status = zone.status.as_str(), "zone added");
        self.0.zones_due.notify_one();
        Ok(zone)
    }

    /// A zone, with the account it belongs to.
    pub async fn zone_get(&self, caller: &Caller, id: ZoneId) -> Result<(Zone, Account), AppError> {
        let mut session = self.0.store.read().await?;
        let zone = self.seen_zone(&mut session, caller, id, Subject::Zones.to_read()).await?;
        let account = session.account(zone.account).await?.ok_or(AppError::NotFound("account"))?;
        Ok((zone, account))
    }

    /// Part of the zones that the caller may see and that pass, each with its account and how long its development mode goes on, or has
    /// been over (api-v4 §3); and how many pass in all.
    pub async fn zone_page(
        &self,
        caller: &Caller,
        wanted: ZoneWanted<'_>,
        order: (ZoneOrder, bool),
        offset: u64,
        count: u32,
    ) -> Result<(Vec<ZoneListed>, u64), AppError> {
        let mut session = self.0.store.read().await?;
        let mut accounts = match caller.accounts() {
            Some(ids) => session.accounts_of(&ids).await?,
            None => session.accounts().await?,
        };
        accounts.retain(|account| account.kind == AccountKind::Standard);
        let named =
            wanted.account_named.map(|named| accounts.iter().filter(|account| named(&account.name)).map(|account| account.id));
        let filter = ZoneFilter {
            seen: accounts.iter().map(|account| caller.zones_of(Subject::Zones.to_read(), account.id)).collect(),
            any: wanted.any,
            name: wanted.name,
            accounts: named.map(Iterator::collect).into_iter().chain(wanted.account.map(|account| vec![account])).collect(),
            statuses: wanted.statuses,
            kinds: wanted.kinds,
        };
        let (zones, total) = session.zone_list(&filter, order.0, order.1, offset, count).await?;
        let of = |zone: Zone| {
            let account = accounts.iter().find(|account| account.id == zone.account)?.clone();
            Some((zone, account))
        };
        Ok((self.listed(&mut session, zones.into_iter().filter_map(of).collect()).await?, total))
    }

    /// A zone that its caller sees, as a list shows it.
    pub async fn zone_listed(&self, zone: (Zone, Account)) -> Result<ZoneListed, AppError> {
        let mut session = self.0.store.read().await?;
        let listed = self.listed(&mut session, vec![zone]).await?.pop();
        listed.ok_or(AppError::NotFound("zone"))
    }

    async fn listed(&self, session: &mut Session, zones: Vec<(Zone, Account)>) -> Result<Vec<ZoneListed>, AppError> {
        let ids = || zones.iter().map(|(zone, _)| zone.id);
        let modes = session.settings_of_zones(ids(), DEVELOPMENT).await?;
        let mut originals = session.original_name_servers(ids()).await?;
        let secondary = session.secondary_among(ids()).await?;
        let now = self.instant();
        let listed = |(zone, account): (Zone, Account)| ZoneListed {
            development_mode: modes.get(&zone.id).map_or(0, |settings| settings.development_mode(now).of_zone()),
            original_name_servers: originals.remove(&zone.id),
            kind: match (zone.partial, secondary.contains(&zone.id)) {
                (true, _) => ZoneKind::Partial,
                (false, true) => ZoneKind::Secondary,
                (false, false) => ZoneKind::Full,
            },
            proof: zone.partial.then(|| PartialProof::of(&zone)),
            zone,
            account,
        };
        Ok(zones.into_iter().map(listed).collect())
    }

    /// Stops proxying a zone's names, or goes on with it.
    pub async fn zone_pause(&self, caller: &Caller, id: ZoneId, paused: bool) -> Result<(Zone, Account), AppError> {
        let mut session = self.0.store.write().await?;
        let mut zone = self.seen_zone(&mut session, caller, id, Subject::Zones.to_edit()).await?;
        let account = session.account(zone.account).await?.ok_or(AppError::NotFound("account"))?;
        if zone.paused != paused {
            let (old, now) = (shown(&zone), self.now());
            session.set_zone_paused(id, paused, now).await?;
            (zone.paused, zone.modified_at) = (paused, now);
            self.trace(&mut session, caller, traced("update", &zone, Some(old), Some(shown(&zone)))).await?;
            self.finish(session).await?;
        }
        Ok((zone, account))
    }

    /// Deletes a zone, with all its records; it may be taken back for a while ([`App::zone_restore`]).
    ///
    /// # Errors
    /// Its parent shows a DS record of it: whoever validates would find the next provider's answers false. It has to be taken away first, or
    /// the zone deleted all the same ([`App::zone_delete_despite_ds`]).
    pub async fn zone_delete(&self, caller: &Caller, id: ZoneId) -> Result<Zone, AppError> {
        self.take_zone_away(caller, id, false).await
    }

    /// The same, whatever its parent shows.
    pub async fn zone_delete_despite_ds(&self, caller: &Caller, id: ZoneId) -> Result<Zone, AppError> {
        self.take_zone_away(caller, id, true).await
    }

    async fn take_zone_away(&self, caller: &Caller, id: ZoneId, despite_ds: bool) -> Result<Zone, AppError> {
        let mut session = self.0.store.write().await?;
        let zone = self.seen_zone(&mut session, caller, id, Subject::Zones.to_edit()).await?;
        if !despite_ds && self.ds_is_seen(&mut session, id).await? {
            return Err(AppError::DsAtParent(zone.apex));
        }
        self.put_away(&mut session, &zone).await?;
        self.trace(&mut session, caller, traced("delete", &zone, Some(shown(&zone)), None)).await?;
        self.finish(session).await?;
        tracing::info!(zone = %zone.apex, account = %zone.account, "zone deleted");
        Ok(zone)
    }

    /// The zone, if the caller has that permission over it.
    pub(crate) async fn seen_zone(
        &self,
        session: &mut Session,
        caller: &Caller,
        id: ZoneId,
        permission: Permission,
    ) -> Result<Zone, AppError> {
        let zone = session.zone(id).await?.ok_or(AppError::NotFound("zone"))?;
        caller.needs(permission, Target::Zone(zone.account, zone.id))?;
        Ok(zone)
    }

    /// Refuses what only whoever answers for a zone's name can do.
    pub(crate) fn needs_delegation(zone: &Zone, what: &'static str) -> Result<(), AppError> {
        if !zone.partial {
            return Ok(());
        }
        let why = format!("{} is a partial zone, which its own name servers answer for: set that up there", zone.apex);
        Err(AppError::Invalid { what, why })
    }

    /// Puts a zone in force without waiting for its delegation. Doing it twice changes nothing.
    pub async fn zone_activate(&self, caller: &Caller, name: &str) -> Result<Zone, AppError> {
        caller.needs_operator()?;
        let apex = Name::parse(name)?;
        let mut session = self.0.store.write().await?;
        let Some(mut zone) = session.zone_named(self.account(), &apex).await? else {
            return Err(AppError::ZoneNotFound(apex));
        };
        if zone.status == ZoneStatus::Active {
            return Ok(zone);
        }
        let old = shown(&zone);
        match self.set_status(&mut session, &mut zone, ZoneStatus::Active).await {
            Err(AppError::Store(StoreError::Conflict(_))) => return Err(AppError::ZoneServedElsewhere(apex)),
            done => done?,
        }
        self.trace(&mut session, caller, traced("activate", &zone, Some(old), Some(shown(&zone)))).await?;
        self.finish(session).await?;
        tracing::info!(zone = %zone.apex, account = %zone.account, "zone activated by the operator");
        Ok(zone)
    }

    /// Takes the node's first account's zone of that name away, as [`App::zone_delete`] or [`App::zone_delete_despite_ds`] do.
    pub async fn zone_delete_named(&self, caller: &Caller, name: &str, despite_ds: bool) -> Result<Zone, AppError> {
        let apex = Name::parse(name)?;
        let found = self.0.store.read().await?.zone_named(self.account(), &apex).await?;
        let zone = found.ok_or(AppError::ZoneNotFound(apex))?;
        self.take_zone_away(caller, zone.id, despite_ds).await
    }

    /// The account's zones, by name.
    pub async fn zone_list(&self, caller: &Caller) -> Result<Vec<Zone>, AppError> {
        caller.needs(Subject::Zones.to_read(), Target::NewZone(self.account()))?;
        Ok(self.0.store.read().await?.zones(Some(self.account())).await?)
    }
}

/// What shows that a partial zone is its owner's: a TXT record that only who rules the zone elsewhere can set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartialProof {
    /// The record's name; none where that would be too long for a name, and the zone cannot be proven.
    pub name: Option<Name>,
    /// What it says. Another account's zone of this name says another.
    pub text: String,
}

impl PartialProof {
    /// The record that is looked for. Clients and their users' instructions know this name.
    const LABEL: &'static str = "cloudflare-verify";

    /// Of a zone.
    pub fn of(zone: &Zone) -> Self {
        // It need not be kept secret, and only be nobody else's: who may set records there could as well delegate the zone.
        Self { name: Name::parse(&format!("{}.{}", Self::LABEL, zone.apex)).ok(), text: zone.id.to_string() }
    }
}

pub(crate) fn shown(zone: &Zone) -> serde_json::Value {
    json!({ "name": zone.apex.as_str(), "status": zone.status.as_str(), "paused": zone.paused })
}

pub(crate) fn traced(
    action: &'static str,
    zone: &Zone,
    old: Option<serde_json::Value>,
    new: Option<serde_json::Value>,
) -> Traced {
    let named = Some((zone.id, zone.apex.to_string()));
    Traced { account: Some(zone.account), zone: named, action, kind: "zone", id: zone.id.to_string(), old, new }
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
    if settings.cname_suffix.as_ref().is_some_and(|suffix| apex.is_within(suffix)) {
        return wrong("its names are where partial zones lead here ([dns] cname_suffix)");
    }
    let reserved = settings.tunnel_domain.as_ref().into_iter().chain(&settings.quick_domain);
    if name::is_within(apex.as_str(), TUNNEL_SUFFIX) || reserved.into_iter().any(|domain| apex.is_within(domain)) {
        return wrong("its names are given to tunnels by this node");
    }
    Ok(())
}
