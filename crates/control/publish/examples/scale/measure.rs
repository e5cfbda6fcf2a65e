//! A node without sockets over the store that was filled: how it starts, what it takes, and what one change costs.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use poterne_control_app::{App, Caller, Settings, system_clock};
use poterne_control_publish::Publisher;
use poterne_control_store::Store;
use poterne_feed::ControlEnd;
use poterne_keys::NodeKey;
use poterne_model::{Name, RecordType, chain::TUNNEL_SUFFIX};
use poterne_snapshot::{Keeper, NodeChunk, SnapshotHandle, follow};
use tokio_util::sync::CancellationToken;

use crate::{
    Cli,
    fill::{LARGE, record},
    lists,
    process::{cpu, memory, spread, timed},
};

pub(crate) async fn run(cli: &Cli, rounds: u32) -> anyhow::Result<()> {
    let began = Instant::now();
    let snapshot_dir = cli.dir.join("snapshot");
    let keeper = timed("start: snapshot from disk (visitors are served from here)", async {
        Ok(tokio::task::spawn_blocking(move || Keeper::open(&snapshot_dir)).await??)
    });
    let keeper = keeper.await?;
    let handle = keeper.handle();
    let store = timed("start: store opened", cli.open()).await?;
    let node_key = NodeKey::load_or_create(&cli.dir.join("node.key"))?;
    let app = timed("start: application opened (verbs and the API work)", async {
        Ok(App::open(store.clone(), &node_key, Settings::default(), system_clock(), None).await?)
    })
    .await?;
    let (control, node) = poterne_feed::in_process();
    let following = tokio::spawn(follow(keeper, node.changes, node.events));
    let ControlEnd { changes, commands, mut events } = control;
    let events = tokio::spawn(async move { while events.recv().await.is_some() {} });
    let publisher = Publisher::new(app.clone(), store.clone(), handle.clone(), changes, commands, NodeChunk::default());
    let mut live = publisher.live();
    app.wait_for(publisher.live());
    let stop = CancellationToken::new();
    let task = timed("start: everything read, compared and in force", async {
        let task = tokio::spawn(publisher.run(stop.clone()));
        live.wait_for(|live| live.change > 0).await?;
        Ok(task)
    })
    .await?;
    let names: usize = handle.load().zones().map(poterne_snapshot::Zone::names_len).sum();
    let rss = memory()?.0;
    println!(
        "started in {:.1} s: {names} names, {} zones, {} tunnels; {} MiB resident, {} bytes a hostname",
        began.elapsed().as_secs_f64(),
        handle.load().zones().count(),
        handle.load().tunnels().count(),
        rss / 1024,
        rss * 1024 / names.max(1) as u64
    );
    queries(&store).await?;
    lists::run(&store).await?;
    changes_published(&store, &app, &handle, rounds).await?;
    zone_paused(&store, &app).await?;
    let (rss, peak) = memory()?;
    println!(
        "at the end: {} MiB resident, {} at most, {} bytes a hostname",
        rss / 1024,
        peak / 1024,
        rss * 1024 / names.max(1) as u64
    );
    stop.cancel();
    task.await?;
    following.await?;
    events.await?;
    store.close().await;
    Ok(())
}

async fn queries(store: &Store) -> anyhow::Result<()> {
    let mut session = store.read().await?;
    let account = session.accounts().await?.first().context("an account")?.id;
    let large = session.zone_named(account, &Name::parse(LARGE)?).await?.context("the large zone")?;
    let some = session.record_lines(Some(large.id), None, 1000).await?.records().collect::<Result<Vec<_>, _>>()?;
    let (all, tunnels) = (session.zones(Some(account)).await?, session.tunnels(Some(account)).await?);
    let mut times: [Vec<Duration>; 6] = Default::default();
    for number in 0..300 {
        let (zone, tunnel, name) =
            (&all[number * 37 % all.len()], &tunnels[number * 331 % tunnels.len()], &some[number % some.len()].name);
        let mut clock = Clock::start();
        session.zone(zone.id).await?;
        times[0].push(clock.lap());
        session.zone_of_account_over(account, name).await?;
        times[1].push(clock.lap());
        session.records_at(large.id, name.as_str()).await?;
        times[2].push(clock.lap());
        session.tunnel(tunnel.id).await?;
        times[3].push(clock.lap());
        session.tunnel_named(account, &tunnel.name).await?;
        times[4].push(clock.lap());
        session.records_answering(&large, &Name::parse(&format!("deep.below-{number}.{LARGE}"))?).await?;
        times[5].push(clock.lap());
    }
    let whats = [
        "zone by id",
        "zone over a name",
        "records at a name",
        "tunnel by id",
        "tunnel by name",
        "records that answer for a name in the largest zone",
    ];
    for (what, times) in whats.into_iter().zip(times) {
        spread(&format!("get: {what}"), times);
    }
    Ok(())
}

async fn changes_published(store: &Store, app: &App, handle: &SnapshotHandle, rounds: u32) -> anyhow::Result<()> {
    let mut session = store.read().await?;
    let account = session.accounts().await?.first().context("an account")?.id;
    let large = session.zone_named(account, &Name::parse(LARGE)?).await?.context("the large zone")?;
    let tunnel = session.tunnel_page(None, 1).await?.first().context("a tunnel")?.id;
    drop(session);
    let stamp = Instant::now().elapsed().as_nanos() + u128::from(std::process::id());
    let name = |kind: &str, number: u32| Name::parse(&format!("{kind}-{stamp}-{number}.{LARGE}"));
    let target = format!("{tunnel}.{TUNNEL_SUFFIX}");
    // What a write costs that nobody publishes: the store's part, subtracted below.
    let (began, before) = (Instant::now(), cpu()?);
    for number in 0..rounds {
        let mut session = store.write().await?;
        session.insert_record(&record(large.id, name("quiet", number)?, RecordType::Cname, target.clone())).await?;
        session.commit_silently().await?;
    }
    let (silent, silent_wall) = (cpu()? - before, began.elapsed());
    // They come with the next change, which is not counted.
    let mut times = Vec::new();
    one_change(store, handle, &record(large.id, name("first", 0)?, RecordType::Cname, target.clone()), app).await?;
    let before = cpu()?;
    for number in 0..rounds {
        let record = record(large.id, name("loud", number)?, RecordType::Cname, target.clone());
        times.push(one_change(store, handle, &record, app).await?);
    }
    let spent = cpu()? - before;
    println!(
        "one change: cpu {:.2} ms, of which the store's write {:.2} ms (alone it takes {:.2} ms)",
        spent.as_secs_f64() * 1e3 / f64::from(rounds),
        silent.as_secs_f64() * 1e3 / f64::from(rounds),
        silent_wall.as_secs_f64() * 1e3 / f64::from(rounds)
    );
    spread("one change: from its commit until it is in force", times);
    Ok(())
}

/// How long the largest zone takes to be paused, and to go on.
async fn zone_paused(store: &Store, app: &App) -> anyhow::Result<()> {
    let mut session = store.read().await?;
    let account = session.accounts().await?.first().context("an account")?.id;
    let large = session.zone_named(account, &Name::parse(LARGE)?).await?.context("the large zone")?;
    drop(session);
    for (paused, what) in [(true, "the largest zone paused"), (false, "the largest zone goes on")] {
        timed(what, async {
            let mut session = store.write().await?;
            session.set_zone_paused(large.id, paused, 2).await?;
            let change = session.commit().await?;
            let generations = app.generations(&Caller::Operator, Some(change), Duration::from_secs(60)).await?;
            anyhow::ensure!(generations.is_live, "it is not in force after 60 s");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// From the commit until the snapshot leads there.
async fn one_change(
    store: &Store,
    handle: &SnapshotHandle,
    record: &poterne_control_store::Record,
    app: &App,
) -> anyhow::Result<Duration> {
    let mut session = store.write().await?;
    session.insert_record(record).await?;
    let change = session.commit().await?;
    let clock = Instant::now();
    let generations = app.generations(&Caller::Operator, Some(change), Duration::from_secs(30)).await?;
    let time = clock.elapsed();
    anyhow::ensure!(generations.is_live, "{} is not in force after 30 s", record.name);
    let snapshot = handle.load();
    anyhow::ensure!(matches!(snapshot.route(record.name.as_str()), poterne_snapshot::Lookup::Route { .. }), "it is not routed");
    Ok(time)
}

pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn lap(&mut self) -> Duration {
        let time = self.0.elapsed();
        self.0 = Instant::now();
        time
    }
}
