//! From the store to the world: everything at the start, afterwards what was touched.

use std::collections::{BTreeMap, HashMap, HashSet};

use poterne_control_store::{RecordBrief, RecordLines, Session, StoreError, Touched};
use poterne_model::{Name, TunnelId, ZoneId};
use poterne_snapshot::NodeChunk;
use tokio::sync::mpsc;

use crate::{
    PublishError,
    load::Load,
    rows::{self, News, Records},
    world::World,
};

/// Records and tunnels read at a time: a text of a megabyte or less.
const PAGE_ROWS: u32 = 5000;

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
    let mut load = Load::new(node.clone());
    let accounts = session.accounts().await?.into_iter().map(|account| (account.id, Some(rows::account(account)))).collect();
    let mut settings = session.zone_settings_named(rows::DNS_SETTINGS).await?;
    let mut signed = session.signed_heads().await?;
    let mut sharing = session.sharing(None).await?;
    let mut transfers = Vec::new();
    let zones = session.zones(None).await?.into_iter().map(|zone| {
        let dns = rows::dns_settings(settings.remove(&zone.id));
        let (id, signed) = (zone.id, signed.remove(&zone.id));
        let mut known = rows::zone(zone, dns, signed);
        transfers.push((id, rows::transfer(&mut known, sharing.remove(&id))));
        (id, Some(known))
    });
    let zones = zones.collect();
    load.heads(News { accounts, zones, transfers, ..News::default() });
    let mut after = None;
    loop {
        let page = session.tunnel_page(after, PAGE_ROWS).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        let tunnels = page.into_iter().map(|details| (details.id, Some(rows::tunnel(details)))).collect();
        load.heads(News { tunnels, ..News::default() });
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

/// What was touched, as the session sees it now. A zone that is new, or begins or ends to proxy, comes with all its names.
pub(crate) async fn news(session: &mut Session, world: &World, touched: Vec<Touched>) -> Result<News, StoreError> {
    let mut news = News::default();
    let mut names_touched: BTreeMap<ZoneId, Vec<Name>> = BTreeMap::new();
    let mut begins = HashMap::new();
    for what in touched {
        match what {
            Touched::Account(id) => news.accounts.push((id, session.account(id).await?.map(rows::account))),
            Touched::Tunnel(id) => news.tunnels.push((id, session.tunnel_details(id).await?.map(rows::tunnel))),
            Touched::Name(zone, name) => names_touched.entry(zone).or_default().push(name),
            Touched::Zone(id) => {
                let zone = match session.zone(id).await? {
                    Some(zone) => {
                        let dns = session.zone_setting(id, rows::DNS_SETTINGS).await?;
                        let signed = session.zone_signing(id).await?.map(|signing| signing.head);
                        let mut known = rows::zone(zone, rows::dns_settings(dns), signed);
                        let sharing = session.sharing(Some(id)).await?.remove(&id);
                        news.transfers.push((id, rows::transfer(&mut known, sharing)));
                        Some(known)
                    }
                    None => None,
                };
                if let Some(zone) = zone.as_ref().filter(|zone| world.proxies(id) != Some(zone.proxies)) {
                    begins.insert(id, zone.proxies);
                }
                news.zones.push((id, zone));
            }
        }
    }
    for (zone, names) in names_touched {
        if let (Some(proxies), false) = (world.proxies(zone), begins.contains_key(&zone)) {
            let records = session.record_briefs(zone, &names).await?;
            // A name without records is told of, too.
            let mut found: BTreeMap<Name, Option<Records>> = names.into_iter().map(|name| (name, None)).collect();
            for records in records.chunk_by(|one, other| one.name == other.name) {
                found.insert(records[0].name.clone(), Records::of(records, world.node.tunnel_domain.as_ref(), proxies)?);
            }
            news.names.extend(found.into_iter().map(|(name, records)| (zone, name, records)));
        }
    }
    for (zone, proxies) in begins {
        let mut after = None;
        loop {
            let lines = session.record_lines(Some(zone), after, PAGE_ROWS).await?;
            let page: Vec<RecordBrief> = lines.records().collect::<Result<_, _>>()?;
            news.names.extend(names(&page, world, |_| Some(proxies))?);
            after = lines.next();
            if after.is_none() {
                break;
            }
        }
    }
    Ok(news)
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
        let mut news = self::news(session, world, zones.into_iter().map(Touched::Zone).collect()).await?;
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
            let read = Records::of(records, world.node.tunnel_domain.as_ref(), proxies)?;
            names.push((first.zone, first.name.clone(), read));
        }
    }
    Ok(names)
}
