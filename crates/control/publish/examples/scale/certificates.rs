//! What certificates take that nobody has asked for: a node over a store with zones alone, and then with certificates, each time in a process
//! of its own; and what the first visitor of one waits for.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clap::Args;
use poterne_control_app::{App, Settings, system_clock};
use poterne_control_publish::Publisher;
use poterne_control_store::{Account, AccountKind, Certificate, CertificatePack, Store};
use poterne_feed::ControlEnd;
use poterne_keys::{NodeKey, Purpose, random_bytes};
use poterne_model::{AccountId, CertificateId, CertificatePackId, Name, ZoneId};
use poterne_snapshot::{Keeper, NodeChunk, follow};
use tokio_util::sync::CancellationToken;

use crate::{
    Cli,
    fill::{Batch, zones},
    measure::Clock,
    process::{memory, spread, timed},
};

/// How long what was freed may take to be given back.
const SETTLED: Duration = Duration::from_secs(5);

/// Certificates that are read one after another.
const LOADS: usize = 2000;

const NOW: i64 = 1_800_000_000_000_000;

/// How many of what there are to be.
#[derive(Debug, Args)]
pub(crate) struct Size {
    #[arg(long, default_value_t = 10_000)]
    zones: usize,
    /// Certificates; none: the zones alone
    #[arg(long, default_value_t = 0)]
    certificates: usize,
}

/// Fills the store, whose zones are there once it was filled before.
pub(crate) async fn fill(cli: &Cli, size: &Size) -> anyhow::Result<()> {
    std::fs::create_dir_all(&cli.dir)?;
    let store = cli.open().await?;
    if store.read().await?.zones(None).await?.is_empty() {
        let account = AccountId::from_bytes(random_bytes());
        let mut session = store.write().await?;
        let (kind, enforces_second_factor) = (AccountKind::Standard, false);
        let account_row = Account { id: account, name: "default".into(), kind, enforces_second_factor, created_at: 1 };
        session.insert_account(&account_row).await?;
        session.commit().await?;
        timed("fill: zones", zones(&store, account, size.zones)).await?;
    }
    if size.certificates > 0 {
        timed("fill: certificates", certificates(&store, &cli.dir, size.certificates)).await?;
    }
    let mut session = store.write().await?;
    let change = session.change().await?;
    session.forget_touched(change, u32::MAX).await?;
    session.commit_silently().await?;
    store.close().await;
    Ok(())
}

/// Each is its own, for a name and all below it, by one issuer; one key does for all, wrapped anew for each.
async fn certificates(store: &Store, dir: &Path, count: usize) -> anyhow::Result<()> {
    let node_key = NodeKey::load_or_create(&dir.join("node.key"))?;
    let zones: Vec<(ZoneId, Name)> =
        store.read().await?.zones(None).await?.into_iter().map(|zone| (zone.id, zone.apex)).collect();
    let (key, issuer_key) = (rcgen::KeyPair::generate()?, rcgen::KeyPair::generate()?);
    let mut params = rcgen::CertificateParams::new(Vec::new())?;
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    params.distinguished_name.push(rcgen::DnType::CommonName, "An issuer");
    let intermediate = params.self_signed(&issuer_key)?.pem();
    let issuer = rcgen::Issuer::new(params, issuer_key);
    let secret = key.serialize_der();
    let mut batch = Batch::begin(store).await?;
    for number in 0..count {
        let (zone, apex) = &zones[number % zones.len()];
        let names = [format!("host-{number}.{apex}"), format!("*.host-{number}.{apex}")];
        let leaf = rcgen::CertificateParams::new(names.to_vec())?.signed_by(&key, &issuer)?;
        let id = CertificatePackId::from_bytes(random_bytes());
        let hosts = names.iter().map(|name| Name::parse(name)).collect::<Result<Vec<_>, _>>()?;
        let pack = CertificatePack {
            id,
            zone: *zone,
            kind: "total_tls".into(),
            hosts: hosts.clone(),
            authority: None,
            method: None,
            validity_days: None,
            priority: 0,
            bundle_method: "ubiquitous".into(),
            course: "{}".into(),
            due_at: None,
            created_at: NOW,
            modified_at: NOW,
        };
        batch.session.insert_certificate_pack(&pack).await?;
        let wrapped = node_key.seal(Purpose::CertificateKey, id.as_bytes(), &secret);
        let certificate = Certificate {
            id: CertificateId::from_bytes(random_bytes()),
            pack: id,
            hosts,
            issuer: "An issuer".into(),
            signature: "ECDSAWithSHA256".into(),
            chain: leaf.pem() + &intermediate,
            sealed: wrapped.clone(),
            wrapped,
            not_before: NOW,
            not_after: 2 * NOW,
            created_at: NOW,
        };
        batch.session.put_certificate(&certificate).await?;
        batch = batch.count().await?;
    }
    Ok(batch.session.commit().await.map(drop)?)
}

/// Starts over it and says what is resident; what a start without certificates takes is remembered beside the store.
pub(crate) async fn measure(cli: &Cli) -> anyhow::Result<()> {
    let dir = cli.dir.join("snapshot");
    let keeper =
        timed("certificates: snapshot from disk", async { Ok(tokio::task::spawn_blocking(move || Keeper::open(&dir)).await??) });
    let keeper = keeper.await?;
    tokio::time::sleep(SETTLED).await;
    let (handle, of_edge) = (keeper.handle(), memory()?.0);
    let store = cli.open().await?;
    let node_key = NodeKey::load_or_create(&cli.dir.join("node.key"))?;
    let app = App::open(store.clone(), &node_key, Settings::default(), system_clock(), None).await?;
    let (control, node) = poterne_feed::in_process();
    let following = tokio::spawn(follow(keeper.clone(), node.changes, node.events));
    let ControlEnd { changes, commands, mut events } = control;
    let events = tokio::spawn(async move { while events.recv().await.is_some() {} });
    let publisher = Publisher::new(app.clone(), store.clone(), handle.clone(), changes, commands, NodeChunk::default());
    let mut live = publisher.live();
    let stop = CancellationToken::new();
    let task = timed("certificates: everything read, compared and in force", async {
        let task = tokio::spawn(publisher.run(stop.clone()));
        live.wait_for(|live| live.change > 0).await?;
        Ok(task)
    })
    .await?;
    tokio::time::sleep(SETTLED).await;
    let (of_all, peak) = memory()?;
    let known = handle.load().certificates().count();
    let remembered = cli.dir.join("before");
    println!(
        "certificates: {known} known; {} MiB resident of an edge, {} of all, {} at most",
        of_edge / 1024,
        of_all / 1024,
        peak / 1024
    );
    if known == 0 {
        std::fs::write(&remembered, format!("{of_edge} {of_all}"))?;
    } else if let Ok(before) = std::fs::read_to_string(&remembered) {
        let before: Vec<u64> = before.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let each = |now: u64, before: u64| now.saturating_sub(before) * 1024 / known as u64;
        let [edge, all] = before[..] else { anyhow::bail!("{} holds no two numbers", remembered.display()) };
        println!("certificates: {} bytes each of an edge, {} of all", each(of_edge, edge), each(of_all, all));
        loads(&handle, known)?;
        println!("certificates: {} bytes each on disk", on_disk(&cli.dir.join("snapshot"))? / known as u64);
    }
    stop.cancel();
    task.await?;
    following.await?;
    events.await?;
    store.close().await;
    Ok(())
}

/// How long one is read that lies on disk.
fn loads(handle: &poterne_snapshot::SnapshotHandle, known: usize) -> anyhow::Result<()> {
    let snapshot = handle.load().clone();
    let (mut times, mut clock) = (Vec::with_capacity(LOADS), Clock::start());
    for entry in snapshot.certificates().step_by((known / LOADS).max(1)) {
        clock.lap();
        let name = entry.names().next().context("a name")?;
        let found = snapshot.certificate(name).context("its certificate")?;
        found.load()?;
        times.push(clock.lap());
    }
    spread("certificates: found by name and read", times);
    let began = Instant::now();
    let all = snapshot.certificates().count();
    println!("certificates: all {all} looked at in {:.0} ms", began.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

fn on_disk(dir: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}
