//! The instance that is measured.
//!
//! One zone holds a tenth of all names, the others share the rest evenly. Of a hundred names 90 lead straight to a tunnel, 5 to another
//! name of their zone, 3 to addresses, 1 is text, and each zone has a wildcard. Tunnels have a secret and a configuration.

use clap::Args;
use poterne_control_store::{
    Account, AccountKind, ConfigSource, Configuration, Record, SealedSecret, Session, Store, Tunnel, Zone,
};
use poterne_keys::random_bytes;
use poterne_model::{AccountId, Name, RecordId, RecordType, TunnelId, ZoneId, ZoneStatus};

use crate::{Cli, process::timed};

/// The apex of the zone that holds a tenth of all names.
pub(crate) const LARGE: &str = "large.test";

const NOW: i64 = 1_800_000_000_000_000;

/// Rows in one transaction.
const ROWS_MAX: usize = 50_000;

/// How much there is.
#[derive(Debug, Args)]
pub(crate) struct Size {
    #[arg(long, default_value_t = 10_000)]
    zones: usize,
    #[arg(long, default_value_t = 1_000_000)]
    hostnames: usize,
    #[arg(long, default_value_t = 100_000)]
    tunnels: usize,
}

pub(crate) async fn run(cli: &Cli, size: &Size) -> anyhow::Result<()> {
    std::fs::create_dir_all(&cli.dir)?;
    let store = cli.open().await?;
    let account = AccountId::from_bytes(random_bytes());
    let mut session = store.write().await?;
    let (kind, enforces_second_factor) = (AccountKind::Standard, false);
    session.insert_account(&Account { id: account, name: "default".into(), kind, enforces_second_factor, created_at: 1 }).await?;
    session.commit().await?;
    let tunnels = timed("fill: tunnels", tunnels(&store, account, size.tunnels)).await?;
    let zones = timed("fill: zones", zones(&store, account, size.zones)).await?;
    timed("fill: records", records(&store, &zones, &tunnels, size.hostnames)).await?;
    timed("fill: forgetting what was touched", async {
        let mut session = store.write().await?;
        let change = session.change().await?;
        session.forget_touched(change, u32::MAX).await?;
        Ok(session.commit_silently().await?)
    })
    .await?;
    store.close().await;
    if cli.store.is_none() {
        println!("store: {} MiB", std::fs::metadata(cli.dir.join("store.sqlite"))?.len() / 1024 / 1024);
    }
    Ok(())
}

/// Commits now and then.
pub(crate) struct Batch<'a> {
    store: &'a Store,
    pub(crate) session: Session,
    rows: usize,
}

impl<'a> Batch<'a> {
    pub(crate) async fn begin(store: &'a Store) -> anyhow::Result<Self> {
        Ok(Self { store, session: store.write().await?, rows: 0 })
    }

    pub(crate) async fn count(self) -> anyhow::Result<Self> {
        if self.rows < ROWS_MAX {
            return Ok(Self { rows: self.rows + 1, ..self });
        }
        self.session.commit().await?;
        Self::begin(self.store).await
    }
}

async fn tunnels(store: &Store, account: AccountId, count: usize) -> anyhow::Result<Vec<TunnelId>> {
    let mut batch = Batch::begin(store).await?;
    let mut made = Vec::with_capacity(count);
    for number in 0..count {
        let id = TunnelId::from_random_bytes(random_bytes());
        let tunnel = Tunnel {
            id,
            account,
            name: format!("tunnel-{number}"),
            config_source: ConfigSource::Remote,
            created_at: NOW,
            deleted_at: None,
            conns_active_at: None,
            conns_inactive_at: None,
            first_connected_at: None,
            last_loss_at: None,
            quick: false,
            expires_at: None,
        };
        batch.session.insert_tunnel(&tunnel).await?;
        let sealed = [random_bytes::<32>(), random_bytes::<32>()].concat();
        batch.session.insert_secret(id, &SealedSecret { digest: random_bytes(), sealed, created_at: NOW }).await?;
        let json = format!(
            r#"{{"ingress":[{{"hostname":"app-{number}.example.test","service":"http://localhost:8080"}},{{"service":"http_status:404"}}]}}"#
        );
        batch.session.insert_configuration(id, &Configuration { version: 1, json, created_at: NOW }).await?;
        made.push(id);
        batch = batch.count().await?;
    }
    batch.session.commit().await?;
    Ok(made)
}

pub(crate) async fn zones(store: &Store, account: AccountId, count: usize) -> anyhow::Result<Vec<(ZoneId, Name)>> {
    let mut batch = Batch::begin(store).await?;
    let mut made = Vec::with_capacity(count);
    for number in 0..count {
        let apex = if number == 0 { Name::parse(LARGE)? } else { Name::parse(&format!("zone-{number}.test"))? };
        let id = ZoneId::from_bytes(random_bytes());
        let zone = Zone {
            id,
            account,
            apex: apex.clone(),
            status: ZoneStatus::Active,
            name_servers: Vec::new(),
            paused: false,
            partial: false,
            created_at: NOW,
            modified_at: NOW,
            activated_at: Some(NOW),
        };
        batch.session.insert_zone(&zone).await?;
        made.push((id, apex));
        batch = batch.count().await?;
    }
    batch.session.commit().await?;
    Ok(made)
}

async fn records(store: &Store, zones: &[(ZoneId, Name)], tunnels: &[TunnelId], count: usize) -> anyhow::Result<()> {
    let mut batch = Batch::begin(store).await?;
    for number in 0..count {
        let zone = if number % 10 == 0 || zones.len() == 1 { 0 } else { 1 + number % (zones.len() - 1) };
        let (id, apex) = &zones[zone];
        let is_first = number < zones.len() && number == zone;
        let labels = if is_first { "*".to_owned() } else { format!("host-{number}") };
        let straight = |number: usize| format!("{}.cfargotunnel.com", tunnels[number % tunnels.len()]);
        let (kind, content) = match number / 10 % 100 {
            0..=4 if !is_first => (RecordType::Cname, format!("host-{}.{apex}", number + 50 * zones.len().max(20))),
            5..=7 => (RecordType::A, format!("203.0.113.{}", number % 250)),
            8 => (RecordType::Other("TXT".into()), format!("\"v={number}\"")),
            _ => (RecordType::Cname, straight(number)),
        };
        batch.session.insert_record(&record(*id, Name::parse(&format!("{labels}.{apex}"))?, kind, content)).await?;
        batch = batch.count().await?;
    }
    batch.session.commit().await?;
    Ok(())
}

/// A record nobody remarked upon.
pub(crate) fn record(zone: ZoneId, name: Name, kind: RecordType, content: String) -> Record {
    let proxied = !matches!(kind, RecordType::Other(_));
    let (comment, tags, managed_by) = (None, Vec::new(), None);
    let id = RecordId::from_bytes(random_bytes());
    Record {
        id,
        zone,
        name,
        kind,
        content,
        ttl_secs: 1,
        proxied,
        comment,
        tags,
        managed_by,
        created_at: NOW,
        modified_at: NOW,
        priority: None,
        settings: "{}".into(),
        comment_modified_at: None,
        tags_modified_at: None,
    }
}
