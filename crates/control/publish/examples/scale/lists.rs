//! What lists cost, page by page.

use std::time::Duration;

use anyhow::Context as _;
use poterne_control_store::{RecordQuery, Session, Store, StoreError, TextMatch, TunnelFilter, ZoneFilter, ZoneOrder, ZonesOf};
use poterne_model::{
    AccountId, Name, TunnelStatus, ZoneId,
    filter::{Condition, Order, OrderBy, RecordFilter, Text},
};

use crate::{
    fill::LARGE,
    measure::Clock,
    process::{cpu, spread},
};

/// How often each is asked for.
const ROUNDS: usize = 20;

pub(crate) async fn run(store: &Store) -> anyhow::Result<()> {
    let mut session = store.read().await?;
    let account = session.accounts().await?.first().context("an account")?.id;
    let large = session.zone_named(account, &Name::parse(LARGE)?).await?.context("the large zone")?.id;
    zones(&mut session, account).await?;
    tunnels(&mut session, account).await?;
    records(&mut session, large).await
}

/// Does it some times, and says how long each took, what CPU it cost and what it found.
macro_rules! listed {
    ($what:expr, $page:expr) => {{
        let (mut times, before, mut clock) = (Vec::<Duration>::new(), cpu()?, Clock::start());
        let mut found = (0, 0);
        for _ in 0..ROUNDS {
            let (items, total) = $page?;
            found = (items.len(), total);
            times.push(clock.lap());
        }
        let spent = (cpu()? - before).as_secs_f64() * 1e3 / ROUNDS as f64;
        spread(&format!("list: {} ({} of {}, cpu {spent:.1} ms)", $what, found.0, found.1), times);
    }};
}

async fn zones(session: &mut Session, account: AccountId) -> anyhow::Result<()> {
    let seen = || vec![ZonesOf { account, every: true, but: Vec::new() }];
    let all = ZoneFilter { seen: seen(), ..ZoneFilter::default() };
    let named = ZoneFilter { name: Some(TextMatch::Contains("zone-77".into())), ..all.clone() };
    listed!("zones, first page", session.zone_list(&all, ZoneOrder::Name, false, 0, 50).await);
    listed!("zones, last page", session.zone_list(&all, ZoneOrder::Name, false, 9950, 50).await);
    listed!("zones by status, falling", session.zone_list(&all, ZoneOrder::Status, true, 0, 50).await);
    listed!("zones with a text in their name", session.zone_list(&named, ZoneOrder::Name, false, 0, 50).await);
    Ok(())
}

async fn tunnels(session: &mut Session, account: AccountId) -> anyhow::Result<()> {
    let all = TunnelFilter::default();
    let prefix = TunnelFilter { prefixes: vec!["tunnel-999".into()], deleted: Some(false), ..TunnelFilter::default() };
    let statuses = poterne_control_store::StatusFilter { wanted: vec![TunnelStatus::Down], nodes: 1, now: 1 };
    let down = TunnelFilter { statuses: Some(statuses), ..TunnelFilter::default() };
    listed!("tunnels, first page", session.tunnel_list(account, &all, 0, 20).await);
    listed!("tunnels, last page", session.tunnel_list(account, &all, 99_980, 20).await);
    listed!("tunnels by prefix", session.tunnel_list(account, &prefix, 0, 20).await);
    listed!("tunnels that are down", session.tunnel_list(account, &down, 0, 20).await);
    Ok(())
}

async fn records(session: &mut Session, zone: ZoneId) -> anyhow::Result<()> {
    let (none, any) = (RecordFilter::default(), Order::default());
    let of = |condition| RecordFilter { conditions: vec![condition], ..RecordFilter::default() };
    let named = of(Condition::Name(Text::Exact(format!("host-770.{LARGE}"))));
    let content = of(Condition::Content(Text::Contains("203.0.113.7".into())));
    let words = of(Condition::Search("host-7777".into()));
    let by_content = Order { by: Some(OrderBy::Content), descending: true };
    for (what, filter, order, offset) in [
        ("records, first page", &none, any, 0),
        ("records, last page", &none, any, 99_900),
        ("records by content, falling", &none, by_content, 0),
        ("records at a name", &named, any, 0),
        ("records with a text in their content", &content, any, 0),
        ("records with a word", &words, any, 0),
    ] {
        let query = RecordQuery { zone, filter, order };
        // The filter's last word is the application's; here the rows are counted that it would be asked about.
        listed!(what, session.record_page(query, offset, 100, Ok::<_, StoreError>, |_| true).await);
    }
    Ok(())
}
