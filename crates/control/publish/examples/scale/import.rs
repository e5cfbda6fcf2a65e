//! A zone file taken in: how long until it answers, how long others wait for their turn to write, and what it takes of memory.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use poterne_control_app::{App, Caller, Settings, system_clock};
use poterne_control_publish::Publisher;
use poterne_control_store::Store;
use poterne_feed::ControlEnd;
use poterne_keys::NodeKey;
use poterne_model::{Name, RecordType, ZoneId};
use poterne_snapshot::{Keeper, NodeChunk, follow};
use tokio_util::sync::CancellationToken;

use crate::{
    Cli,
    fill::record,
    process::{memory, spread, timed},
};

/// Pause between the writes of whoever waits.
const WRITE_EVERY: Duration = Duration::from_millis(20);

/// How long what was freed may take to be given back.
const SETTLED: Duration = Duration::from_secs(20);

pub(crate) async fn run(cli: &Cli, records: u32) -> anyhow::Result<()> {
    std::fs::create_dir_all(&cli.dir)?;
    let store = cli.open().await?;
    let node_key = NodeKey::load_or_create(&cli.dir.join("node.key"))?;
    let settings = Settings { activate: vec!["*.test".into()], ..Settings::default() };
    let app = App::open(store.clone(), &node_key, settings, system_clock(), None).await?;
    let keeper = Keeper::open(&cli.dir.join("snapshot"))?;
    let handle = keeper.handle();
    let (control, node) = poterne_feed::in_process();
    let following = tokio::spawn(follow(keeper, node.changes, node.events));
    let ControlEnd { changes, commands, mut events } = control;
    let events = tokio::spawn(async move { while events.recv().await.is_some() {} });
    let publisher = Publisher::new(app.clone(), store.clone(), handle.clone(), changes, commands, NodeChunk::default());
    app.wait_for(publisher.live());
    let stop = CancellationToken::new();
    let task = tokio::spawn(publisher.run(stop.clone()));
    let zone = app.zone_add(&Caller::Operator, "large.test").await?.id;
    let other = app.zone_add(&Caller::Operator, "other.test").await?.id;
    tokio::time::sleep(SETTLED / 2).await;
    let before = memory()?.0;
    println!("before: {} MiB resident", before / 1024);
    let file =
        || Bytes::from((0..records).map(|number| format!("h{number} 300 A 192.0.2.{}\n", number % 250)).collect::<String>());
    let ends = Arc::new(AtomicBool::new(false));
    let others = tokio::spawn(waiting(store.clone(), other, ends.clone()));
    let done = timed("import: read, written, published, in force", async {
        Ok(app.record_import(&Caller::Operator, zone, file(), false).await?)
    });
    let done = done.await?;
    ends.store(true, Ordering::Relaxed);
    let (waits, refused) = others.await??;
    spread("import: another's write meanwhile", waits);
    println!("import: {} records added, {refused} writes of others refused as too late", done.added);
    let in_force = handle.load().zone(zone).map_or(0, |zone| zone.names_len());
    anyhow::ensure!(in_force == records as usize, "{in_force} names are in force");
    tokio::time::sleep(SETTLED).await;
    let (after, peak) = memory()?;
    println!(
        "import: {} MiB resident after {SETTLED:?}, {} at most; {} bytes a record, {} without what there was before",
        after / 1024,
        peak / 1024,
        after * 1024 / u64::from(records),
        after.saturating_sub(before) * 1024 / u64::from(records)
    );
    let again =
        timed("import: the same file once more", async { Ok(app.record_import(&Caller::Operator, zone, file(), false).await?) });
    anyhow::ensure!(again.await?.added == 0, "it was there already");
    stop.cancel();
    task.await?;
    following.await?;
    events.await?;
    store.close().await;
    Ok(())
}

/// Writes now and then, and says how long each write took, its turn and its commit.
async fn waiting(store: Store, zone: ZoneId, ends: Arc<AtomicBool>) -> anyhow::Result<(Vec<Duration>, u32)> {
    let (mut waits, mut refused, mut number) = (Vec::new(), 0, 0);
    while !ends.load(Ordering::Relaxed) {
        number += 1;
        let record = record(zone, Name::parse(&format!("w{number}.other.test"))?, RecordType::A, "192.0.2.1".into());
        let began = Instant::now();
        match store.write().await {
            Ok(mut session) => {
                session.insert_record(&record).await?;
                session.commit().await?;
            }
            Err(_) => refused += 1,
        }
        waits.push(began.elapsed());
        tokio::time::sleep(WRITE_EVERY).await;
    }
    Ok((waits, refused))
}
