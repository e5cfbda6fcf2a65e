//! From the store to the world: everything at the start, afterwards what was touched.

use std::collections::HashSet;

use poterne_control_store::{RecordBrief, Session, StoreError, Touched};
use poterne_model::{Name, TunnelId, ZoneId};
use poterne_snapshot::NodeChunk;

use crate::{
    rows::{self, News, Records},
    world::World,
};

/// Rows read at a time: few enough to hold no task up while they are parsed.
const PAGE_ROWS: u32 = 2000;

/// Rows looked at again in each round of [`Audit`].
const AUDIT_ROWS: u32 = 1000;

/// Where looking again has come to.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    record: Option<(ZoneId, Name)>,
    tunnel: Option<TunnelId>,
}

/// The world as the session sees it, read page by page.
pub(crate) async fn everything(session: &mut Session, node: &NodeChunk) -> Result<World, StoreError> {
    let mut world = World::new(node.clone());
    let accounts = session.accounts().await?.into_iter().map(|account| (account.id, Some(rows::account(account)))).collect();
    let zones = session.zones(None).await?.into_iter().map(|zone| (zone.id, Some(rows::zone(zone)))).collect();
    world.load(News { accounts, zones, ..News::default() });
    let mut after = None;
    loop {
        let page = session.tunnel_page(after, PAGE_ROWS).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.tunnel.id);
        let tunnels = page.into_iter().map(|details| (details.tunnel.id, Some(rows::tunnel(details)))).collect();
        world.load(News { tunnels, ..News::default() });
    }
    let mut after = None;
    loop {
        let page = session.record_briefs(None, after, PAGE_ROWS).await?;
        let Some(last) = page.last() else { break };
        after = Some((last.zone, last.name.clone()));
        let names = names(&page, &world)?;
        world.load(News { names, ..News::default() });
    }
    Ok(world)
}

/// What was touched, as the session sees it now. A zone that begins to proxy comes with all its names; names of zones that do not
/// proxy are passed over.
pub(crate) async fn news(session: &mut Session, world: &World, touched: Vec<Touched>) -> Result<News, StoreError> {
    let mut news = News::default();
    let mut names_touched = Vec::new();
    let mut begins = HashSet::new();
    for what in touched {
        match what {
            Touched::Account(id) => news.accounts.push((id, session.account(id).await?.map(rows::account))),
            Touched::Tunnel(id) => news.tunnels.push((id, session.tunnel_details(id).await?.map(rows::tunnel))),
            Touched::Name(zone, name) => names_touched.push((zone, name)),
            Touched::Zone(id) => {
                let zone = session.zone(id).await?.map(rows::zone);
                if zone.as_ref().is_some_and(|zone| zone.proxies) && !world.proxies(id) {
                    begins.insert(id);
                }
                news.zones.push((id, zone));
            }
        }
    }
    for (zone, name) in names_touched {
        if world.proxies(zone) && !begins.contains(&zone) {
            let records: Vec<RecordBrief> = session.records_at(zone, name.as_str()).await?.into_iter().map(Into::into).collect();
            let records = Records::of(&records, world.node.tunnel_domain.as_ref())?;
            news.names.push((zone, name, records));
        }
    }
    for zone in begins {
        let mut after = None;
        loop {
            let page = session.record_briefs(Some(zone), after, PAGE_ROWS).await?;
            let Some(last) = page.last() else { break };
            after = Some((last.zone, last.name.clone()));
            news.names.extend(names_of(&page, world)?);
        }
    }
    Ok(news)
}

impl Audit {
    /// The next rows, whether touched or not; after the last the first again.
    pub(crate) async fn next(&mut self, session: &mut Session, world: &World) -> Result<News, StoreError> {
        let records = session.record_briefs(None, self.record.take(), AUDIT_ROWS).await?;
        self.record = records.last().map(|last| (last.zone, last.name.clone()));
        let tunnels = session.tunnel_page(self.tunnel.take(), AUDIT_ROWS).await?;
        self.tunnel = tunnels.last().map(|last| last.tunnel.id);
        let zones: HashSet<ZoneId> = records.iter().map(|record| record.zone).collect();
        let mut news = self::news(session, world, zones.into_iter().map(Touched::Zone).collect()).await?;
        news.names.extend(names(&records, world)?);
        news.tunnels = tunnels.into_iter().map(|details| (details.tunnel.id, Some(rows::tunnel(details)))).collect();
        Ok(news)
    }
}

/// What these records say, of zones that proxy.
fn names(page: &[RecordBrief], world: &World) -> Result<Vec<(ZoneId, Name, Option<Records>)>, StoreError> {
    let mut names = Vec::with_capacity(page.len());
    for records in page.chunk_by(|one, other| one.zone == other.zone && one.name == other.name) {
        if let Some(first) = records.first().filter(|first| world.proxies(first.zone)) {
            names.push((first.zone, first.name.clone(), Records::of(records, world.node.tunnel_domain.as_ref())?));
        }
    }
    Ok(names)
}

/// What these records of one zone say, whether it proxies yet or not.
fn names_of(page: &[RecordBrief], world: &World) -> Result<Vec<(ZoneId, Name, Option<Records>)>, StoreError> {
    let read = |records: &[RecordBrief]| {
        let (zone, name) = (records[0].zone, records[0].name.clone());
        Ok((zone, name, Records::of(records, world.node.tunnel_domain.as_ref())?))
    };
    page.chunk_by(|one, other| one.name == other.name).map(read).collect()
}
