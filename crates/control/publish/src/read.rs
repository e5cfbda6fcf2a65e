//! From the store to the world: everything at the start, afterwards what was touched.

use std::collections::{BTreeMap, HashMap, HashSet};

use poterne_control_app::{Named, names_of};
use poterne_control_store::{RecordBrief, RecordLines, Session, StoreError, Touched};
use poterne_model::{AccountId, Name, TunnelId, ZoneId, ruleset::Ruleset};
use poterne_rules::ZoneRules;
use poterne_snapshot::{NodeChunk, TicketKey};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::{
    PublishError,
    clients::Clients,
    load::Load,
    rows::{self, News, OfStore, Records, Set},
    world::World,
};

/// Records and tunnels read at a time: a text of a megabyte or less.
const PAGE_ROWS: u32 = 5000;

/// Certificates read at a time: some KiB each.
const CERTIFICATES: u32 = 500;

/// Pages read while others are taken in.
const PAGES_AHEAD: usize = 2;

/// Rows looked at again in each round of [`Audit`].
const AUDIT_ROWS: u32 = 1000;

/// Where looking again has come to.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    record: Option<(ZoneId, Name)>,
    tunnel: Option<TunnelId>,
}

/// The world as the session sees it, read page by page. The database makes the next page while the last one is taken in.
pub(crate) async fn everything(session: &mut Session, node: &NodeChunk) -> Result<World, PublishError> {
    let issuers = rows::issuers(session.acme_accounts().await?);
    let OfStore { cookie_secrets, revoked_origin_certificates, ticket_keys } = of_store(session).await?;
    let node = NodeChunk { cookie_secrets, revoked_origin_certificates, ticket_keys, ..node.clone() };
    let mut load = Load::new(node, issuers);
    let accounts = session.accounts().await?.into_iter().map(|account| (account.id, Some(rows::account(account)))).collect();
    let mut settings: HashMap<ZoneId, HashMap<&'static str, Value>> = HashMap::new();
    for id in Set::ids() {
        for (zone, value) in session.zone_settings_named(id).await? {
            settings.entry(zone).or_default().insert(id, value);
        }
    }
    let mut signed = session.signed_heads().await?;
    let clients = Clients::read(session, None).await?;
    let mut sharing = session.sharing(None).await?;
    let mut normalizations = session.zone_settings_named(rows::NORMALIZATION).await?;
    let mut entry_points = session.zone_entry_points(None).await?;
    let of_accounts = session.account_entry_points(None).await?;
    let mut checks = session.health_checks_of_all().await?;
    let (mut transfers, mut ruled, mut health_checks) = (Vec::new(), Vec::new(), Vec::new());
    let zones = session.zones(None).await?.into_iter().map(|zone| {
        let (id, signed) = (zone.id, signed.remove(&zone.id));
        let set = settings.remove(&id).map_or_else(Set::default, |set| Set::of(|id| set.get(id)));
        let mut known = rows::zone(zone, set, signed);
        known.head.client = clients.of_zone(id);
        transfers.push((id, rows::transfer(&mut known, sharing.remove(&id))));
        health_checks.push((id, rows::health_checks(checks.remove(&id).unwrap_or_default())));
        ruled.push((id, known.head.account, normalizations.remove(&id), entry_points.remove(&id)));
        (id, Some(known))
    });
    let zones = zones.collect();
    let mut rules = Vec::new();
    for (id, account, normalization, entry_points) in ruled {
        rules.push((id, self::rules(session, account, id, normalization, entry_points).await?));
    }
    let mut account_rules = Vec::new();
    for (id, entry_points) in of_accounts {
        account_rules.push((id, self::account_rules(session, id, entry_points).await?));
    }
    let challenges = session.challenges(None).await?.into_iter().map(|one| (one.id, rows::challenge(one))).collect();
    load.heads(News { accounts, account_rules, zones, transfers, rules, health_checks, challenges, ..News::default() });
    let mut after = None;
    loop {
        let page = session.tunnel_page(after, PAGE_ROWS).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        let tunnels = page.into_iter().map(|details| (details.id, Some(rows::tunnel(details)))).collect();
        load.heads(News { tunnels, ..News::default() });
    }
    let mut after = None;
    loop {
        let page = session.certificate_page(after, CERTIFICATES).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.certificate.pack);
        let certificates = page.into_iter().map(|one| (one.certificate.pack, rows::known_certificate(one))).collect();
        load.heads(News { certificates, ..News::default() });
    }
    let (pages, mut read) = mpsc::channel::<RecordLines>(PAGES_AHEAD);
    let loading = tokio::task::spawn_blocking(move || {
        while let Some(lines) = read.blocking_recv() {
            load.lines(&lines)?;
        }
        Ok::<_, StoreError>(load.finish())
    });
    let mut after = None;
    loop {
        let lines = session.record_lines(None, after, PAGE_ROWS).await?;
        after = lines.next();
        // Nobody takes them in any more: why, is told below.
        if pages.send(lines).await.is_err() || after.is_none() {
            break;
        }
    }
    drop(pages);
    Ok(loading.await.map_err(|error| PublishError::Compile(error.to_string()))??)
}

/// What was touched, as the session sees it now. A zone that is new, or begins or ends to proxy, or of which very many names were touched,
/// is to be read with all its names afterwards ([`News::whole`], [`Pages`]); but for one of which all that changed at once is at hand.
pub(crate) async fn news(
    session: &mut Session,
    world: &World,
    touched: Vec<Touched>,
    at_hand: Option<ZoneId>,
) -> Result<News, StoreError> {
    let mut news = News::default();
    let mut names_touched: BTreeMap<ZoneId, Vec<Name>> = BTreeMap::new();
    for what in touched {
        match what {
            Touched::Node => {
                news.node = Some(of_store(session).await?);
                news.begins_anew |= rows::issuers(session.acme_accounts().await?) != world.issuers;
            }
            Touched::Account(id) => {
                news.accounts.push((id, session.account(id).await?.map(rows::account)));
                let entry_points = session.account_entry_points(Some(id)).await?.remove(&id).unwrap_or_default();
                news.account_rules.push((id, self::account_rules(session, id, entry_points).await?));
            }
            Touched::Tunnel(id) => news.tunnels.push((id, session.tunnel_details(id).await?.map(rows::tunnel))),
            Touched::Challenge(id) => {
                news.challenges.push((id, session.challenge(id).await?.and_then(rows::challenge)));
            }
            Touched::Certificate(id) => {
                news.certificates.push((id, session.certificate_in_force(id).await?.and_then(rows::known_certificate)));
            }
            Touched::Name(zone, name) => names_touched.entry(zone).or_default().push(name),
            Touched::Names(id) if Some(id) == at_hand => {}
            Touched::Names(id) => drop(news.whole.insert(id)),
            Touched::Zone(id) => {
                let zone = match session.zone(id).await? {
                    Some(zone) => {
                        let settings = session.zone_settings(id).await?;
                        let signed = session.zone_signing(id).await?.map(|signing| signing.head);
                        let mut known = rows::zone(zone, Set::of(|id| settings.value(id)), signed);
                        known.head.client = Clients::read(session, Some(id)).await?.of_zone(id);
                        let sharing = session.sharing(Some(id)).await?.remove(&id);
                        news.transfers.push((id, rows::transfer(&mut known, sharing)));
                        let normalization = session.zone_setting(id, rows::NORMALIZATION).await?;
                        let entry_points = session.zone_entry_points(Some(id)).await?.remove(&id);
                        let rules = self::rules(session, known.head.account, id, normalization, entry_points).await?;
                        news.rules.push((id, rules));
                        news.health_checks.push((id, rows::health_checks(session.health_checks(id).await?)));
                        Some(known)
                    }
                    None => None,
                };
                if zone.as_ref().is_some_and(|zone| world.proxies(id) != Some(zone.proxies)) {
                    news.whole.insert(id);
                }
                news.zones.push((id, zone));
            }
        }
    }
    // One that is gone has no names to be read; its head says so.
    let gone = news.zones.iter().filter(|(_, zone)| zone.is_none()).map(|(id, _)| *id);
    let gone: Vec<ZoneId> = gone.collect();
    news.whole.retain(|id| !gone.contains(id) && (world.proxies(*id).is_some() || news.zones.iter().any(|(zone, _)| zone == id)));
    begin_small(session, world, &mut news).await?;
    for (zone, names) in names_touched {
        let begins =
            news.zones.iter().any(|(id, head)| *id == zone && head.as_ref().map(|head| head.proxies) != world.proxies(zone));
        if let (Some(proxies), false) = (world.proxies(zone), begins || news.whole.contains(&zone)) {
            let records = session.record_briefs(zone, &names).await?;
            // A name without records is told of, too.
            let mut found: BTreeMap<Name, Option<Records>> = names.into_iter().map(|name| (name, None)).collect();
            for records in records.chunk_by(|one, other| one.name == other.name) {
                found.insert(records[0].name.clone(), Records::of(records, world.reading(), proxies)?);
            }
            news.names.extend(found.into_iter().map(|(name, records)| (zone, name, records)));
        }
    }
    Ok(news)
}

/// What a zone's rules make of requests, with the lists that they look into and the rulesets that they execute.
async fn rules(
    session: &mut Session,
    account: AccountId,
    zone: ZoneId,
    normalization: Option<Value>,
    entry_points: Option<Vec<Ruleset>>,
) -> Result<Option<ZoneRules>, StoreError> {
    let Named { entry_points, customs, lists } = names_of(session, account, Some(zone), entry_points.unwrap_or_default()).await?;
    Ok(rows::rules(normalization, &entry_points, &customs, lists))
}

/// What an account's rules make of requests for all its zones, likewise.
async fn account_rules(
    session: &mut Session,
    account: AccountId,
    entry_points: Vec<Ruleset>,
) -> Result<Option<ZoneRules>, StoreError> {
    let Named { entry_points, customs, lists } = names_of(session, account, None, entry_points).await?;
    Ok(rows::rules(None, &entry_points, &customs, lists))
}

/// A zone that is new, or begins or ends to proxy, and has no more names than a page holds, comes with them: what one verb changes of it
/// is then one change.
async fn begin_small(session: &mut Session, world: &World, news: &mut News) -> Result<(), StoreError> {
    let mut small = Vec::new();
    for (id, zone) in &news.zones {
        let Some(zone) = zone.as_ref().filter(|zone| world.proxies(*id) != Some(zone.proxies)) else { continue };
        let lines = session.record_lines(Some(*id), None, PAGE_ROWS).await?;
        if lines.next().is_none() {
            let page: Vec<RecordBrief> = lines.records().collect::<Result<_, _>>()?;
            small.push((*id, names(&page, world, |_| Some(zone.proxies))?));
        }
    }
    for (id, names) in small {
        news.whole.remove(&id);
        news.names.extend(names);
    }
    Ok(())
}

/// All names of a zone, page by page.
pub(crate) struct Pages {
    zone: ZoneId,
    after: Option<(ZoneId, Name)>,
    is_over: bool,
}

/// The next of a zone's records, and the names that they are all of.
pub(crate) struct ZonePage {
    zone: ZoneId,
    lines: RecordLines,
    after: Option<Name>,
}

impl Pages {
    pub(crate) fn of(zone: ZoneId) -> Self {
        Self { zone, after: None, is_over: false }
    }

    /// The next page; none after the last.
    pub(crate) async fn next(&mut self, session: &mut Session) -> Result<Option<ZonePage>, StoreError> {
        if self.is_over {
            return Ok(None);
        }
        let after = self.after.take();
        let lines = session.record_lines(Some(self.zone), after.clone(), PAGE_ROWS).await?;
        self.after = lines.next();
        self.is_over = self.after.is_none();
        Ok(Some(ZonePage { zone: self.zone, lines, after: after.map(|(_, name)| name) }))
    }
}

impl ZonePage {
    /// What it says, as far as the world says otherwise: with none where a name has gone.
    pub(crate) fn differing(&self, world: &World) -> Result<Vec<(Name, Option<Records>)>, StoreError> {
        let records: Vec<RecordBrief> = self.lines.records().collect::<Result<_, _>>()?;
        let names = names(&records, world, |zone| world.proxies(zone))?;
        let last = self.lines.next().map(|(_, name)| name);
        Ok(differing(world, self.zone, names, self.after.as_ref(), last.as_ref()))
    }
}

/// What of these names of a zone, which are all after one and up to another, the world says otherwise.
pub(crate) fn differing(
    world: &World,
    zone: ZoneId,
    names: Vec<(ZoneId, Name, Option<Records>)>,
    after: Option<&Name>,
    last: Option<&Name>,
) -> Vec<(Name, Option<Records>)> {
    let found: HashSet<Name> = names.iter().map(|(_, name, _)| name.clone()).collect();
    let gone = world.names_between(zone, after, last).filter(|name| !found.contains(name)).map(|name| (name, None));
    let others = names.into_iter().filter(|(zone, name, records)| world.records(*zone, name) != records.as_ref());
    gone.chain(others.map(|(_, name, records)| (name, records))).collect()
}

/// What all nodes are told of themselves, as far as the store knows it, as it travels.
async fn of_store(session: &mut Session) -> Result<OfStore, StoreError> {
    let key = |key: poterne_control_store::TicketKey| TicketKey { starts_at: key.starts_at, key: key.wrapped.into() };
    Ok(OfStore {
        cookie_secrets: session.cookie_secrets().await?.into_iter().map(|secret| secret.wrapped.into()).collect(),
        revoked_origin_certificates: session.revoked_origin_certificates().await?,
        ticket_keys: session.ticket_keys().await?.into_iter().map(key).collect(),
    })
}

impl Audit {
    /// The next rows, whether touched or not; after the last the first again.
    pub(crate) async fn next(&mut self, session: &mut Session, world: &World) -> Result<News, StoreError> {
        let lines = session.record_lines(None, self.record.take(), AUDIT_ROWS).await?;
        self.record = lines.next();
        let records: Vec<RecordBrief> = lines.records().collect::<Result<_, _>>()?;
        let tunnels = session.tunnel_page(self.tunnel.take(), AUDIT_ROWS).await?;
        self.tunnel = tunnels.last().map(|last| last.id);
        let zones: HashSet<ZoneId> = records.iter().map(|record| record.zone).collect();
        let mut news = self::news(session, world, zones.into_iter().map(Touched::Zone).collect(), None).await?;
        // One that has changed so much unseen is read as a whole at the next look; nothing of it is told before.
        news.zones.retain(|(id, _)| !news.whole.contains(id));
        news.whole.clear();
        news.names.extend(names(&records, world, |zone| world.proxies(zone))?);
        news.tunnels = tunnels.into_iter().map(|details| (details.id, Some(rows::tunnel(details)))).collect();
        Ok(news)
    }
}

/// What these records say, of zones of which it is known whether they proxy.
fn names(
    page: &[RecordBrief],
    world: &World,
    proxies: impl Fn(ZoneId) -> Option<bool>,
) -> Result<Vec<(ZoneId, Name, Option<Records>)>, StoreError> {
    let mut names = Vec::with_capacity(page.len());
    for records in page.chunk_by(|one, other| one.zone == other.zone && one.name == other.name) {
        let Some(first) = records.first() else { continue };
        if let Some(proxies) = proxies(first.zone) {
            let read = Records::of(records, world.reading(), proxies)?;
            names.push((first.zone, first.name.clone(), read));
        }
    }
    Ok(names)
}
