//! The application: its parts, its first start, and how a verb ends.

use std::{
    net::IpAddr,
    path::Path,
    sync::{Arc, Mutex, OnceLock, PoisonError, RwLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use poterne_control_store::{Account, AccountKind, Micros, Session, Store, Zone};
use poterne_guard::Range;
use poterne_keys::{DataKey, KeyRing, NodeKey, SigningKey, random_bytes};
use poterne_model::{AccountId, Name, Timestamp, ZoneId, ZoneStatus};
use tokio::sync::{Notify, watch};

use crate::{
    AcmeSettings, Agents, AppError, Caller, Live, OriginAuthorities, certificates::ZonesChanged, identity::Remembered, logins,
    outbox::Outbox, people, quick::Limiter, records::ToldOfFiles, sign_in::Entrance,
};

/// Where the time comes from.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// The system's clock.
pub fn system_clock() -> Clock {
    Arc::new(SystemTime::now)
}

/// How long a verb waits for its change to be obeyed before it answers anyway. Publication is a matter of milliseconds; a node
/// that cannot apply a change must not hold up its operator.
const LIVE_TIMEOUT: Duration = Duration::from_secs(2);

/// What the node's configuration says to the verbs.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The edges agents dial, `host:port`; written into tokens.
    pub edges: Vec<String>,
    /// SHA-256 of the tunnel CA's SubjectPublicKeyInfo; written into tokens.
    pub pin: [u8; 32],
    /// Name servers to assign to zones; may be empty while this instance serves no DNS.
    pub nameservers: Vec<Name>,
    /// The node's own parent of tunnel names.
    pub tunnel_domain: Option<Name>,
    /// Parent of quick tunnels' names; none when they are off.
    pub quick_domain: Option<Name>,
    /// Below which the names of partial zones lead here; none: there are no such zones.
    pub cname_suffix: Option<Name>,
    /// The addresses that proxied names are answered with.
    pub public_addresses: Vec<IpAddr>,
    /// Private addresses that origins and webhooks may have, and whose.
    pub origins_allowed: Vec<Range>,
    /// The hostname of agents' management services, with its port unless that is 443: what their tokens name as issuer. None: the stock
    /// agent's.
    pub management_hostname: Option<String>,
    /// The node's own names: never published through a tunnel.
    pub node_names: Vec<Name>,
    /// How many nodes agents connect to; 0 counts as 1.
    pub nodes: usize,
    /// Zones put in force without a delegation: names, or `*.` and a suffix.
    pub activate: Vec<String>,
    /// The authorities that certificates are ordered of, and how names are proven to them.
    pub acme: AcmeSettings,
    /// Whether mail leaves this node.
    pub sends_mail: bool,
    /// What links in notices begin with, as in `https://node.example.net`; no slash at its end.
    pub pages: String,
}

/// The verbs. Clones share one.
#[derive(Clone)]
pub struct App(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) keys: KeyRing,
    /// What nodes open their keys with.
    pub(crate) node_key: NodeKey,
    /// Signs management tokens.
    pub(crate) management_key: SigningKey,
    pub(crate) settings: RwLock<Settings>,
    pub(crate) clock: Clock,
    pub(crate) account: AccountId,
    pub(crate) quick_account: AccountId,
    pub(crate) limiter: Mutex<Limiter>,
    pub(crate) logins: logins::Shared,
    pub(crate) identities: Remembered,
    pub(crate) entrance: Entrance,
    pub(crate) outbox: Outbox,
    /// Somebody asked for a look at a zone's delegation.
    pub(crate) zones_due: Notify,
    /// Zones whose names changed since it was looked at what certificates they need.
    pub(crate) certificates: ZonesChanged,
    /// Copies of other servers' zones that somebody waits for.
    pub(crate) copies: crate::copies::Copies,
    /// Somebody asked for a scan.
    pub(crate) scans_due: Notify,
    /// How many scans have ended in this process.
    pub(crate) scans_ended: watch::Sender<u64>,
    /// Held by the zone file that is being taken in: one after the other, since all of one is held in memory.
    pub(crate) import: tokio::sync::Mutex<()>,
    /// Who is told of what large zone files bring.
    pub(crate) files: OnceLock<ToldOfFiles>,
    live: OnceLock<watch::Receiver<Live>>,
    pub(crate) agents: OnceLock<Arc<dyn Agents>>,
    pub(crate) origin_authorities: OnceLock<OriginAuthorities>,
}

impl App {
    /// Opens the application over a store. The first time it makes the account, the one for quick tunnels, and a data key;
    /// every time it puts zones named by `activate` in force and forgets connections of a former run.
    ///
    /// Connections still on record were lost with a node that was killed: at `last_alive`, where that is known, and not only now. A
    /// tunnel whose node died an hour ago is down, since then.
    pub async fn open(
        store: Store,
        node_key: &NodeKey,
        settings: Settings,
        clock: Clock,
        last_alive: Option<SystemTime>,
    ) -> Result<Self, AppError> {
        let now = micros(clock());
        let mut session = store.write().await?;
        let keys = data_keys(&mut session, node_key, now).await?;
        let account = account(&mut session, AccountKind::Standard, "default", now).await?;
        let host = settings.node_names.first().map_or("poterne.localhost", Name::as_str);
        people::first(&mut session, account, &format!("admin@{host}"), now).await?;
        let quick_account = account_of_quick_tunnels(&mut session, &settings, now).await?;
        let waiting = if settings.activate.is_empty() { Vec::new() } else { session.zones_pending().await? };
        for zone in waiting {
            let named = is_named(&settings.activate, &zone.apex);
            if named && session.serving_zone_over(&zone.apex).await?.is_none_or(|serving| serving.apex != zone.apex) {
                session.set_zone_status(zone.id, ZoneStatus::Active, now).await?;
            }
        }
        session.forget_connections(last_alive.map_or(now, |at| micros(at).min(now))).await?;
        let outbox = Outbox::open(&mut session, settings.pin, now).await?;
        session.commit().await?;
        Ok(Self(Arc::new(Inner {
            store,
            keys,
            node_key: node_key.clone(),
            management_key: SigningKey::derive(node_key, "poterne management token 1"),
            settings: RwLock::new(settings),
            clock,
            account,
            quick_account,
            limiter: Mutex::default(),
            logins: logins::Shared::default(),
            identities: Remembered::default(),
            entrance: Entrance::default(),
            outbox,
            zones_due: Notify::new(),
            certificates: ZonesChanged::default(),
            copies: crate::copies::Copies::default(),
            scans_due: Notify::new(),
            scans_ended: watch::Sender::new(0),
            import: tokio::sync::Mutex::default(),
            files: OnceLock::new(),
            live: OnceLock::new(),
            agents: OnceLock::new(),
            origin_authorities: OnceLock::new(),
        })))
    }

    /// Writes a copy of the store, as of now, to a file that is not there yet.
    pub async fn copy_store(&self, caller: &Caller, path: &Path) -> Result<(), AppError> {
        caller.needs_operator()?;
        Ok(self.0.store.copy_to(path).await?)
    }

    /// The node's first account, its operator's own.
    pub fn account(&self) -> AccountId {
        self.0.account
    }

    /// From now on tokens name these edges and this pin: listeners learn their ports after the verbs are there.
    pub fn announce(&self, edges: Vec<String>, pin: [u8; 32]) {
        let mut settings = self.0.settings.write().unwrap_or_else(PoisonError::into_inner);
        settings.edges = edges;
        settings.pin = pin;
    }

    /// From now on verbs return only once their change is obeyed: `live` tells which is.
    pub fn wait_for(&self, live: watch::Receiver<Live>) {
        // A second publisher in one process would be a mistake of the caller; the first stays.
        let _ = self.0.live.set(live);
    }

    /// The addresses that the world reaches this node at, as its operator says.
    pub fn public_addresses(&self) -> Vec<IpAddr> {
        self.settings().public_addresses
    }

    pub(crate) fn live(&self) -> Option<watch::Receiver<Live>> {
        self.0.live.get().cloned()
    }

    pub(crate) fn settings(&self) -> Settings {
        self.0.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn now(&self) -> Micros {
        micros((self.0.clock)())
    }

    /// The instant, as objects carry it.
    pub fn instant(&self) -> Timestamp {
        Timestamp::from_micros(self.now())
    }

    /// Makes a verb's writes durable, then waits until this node obeys them.
    pub(crate) async fn finish(&self, session: Session) -> Result<(), AppError> {
        let change = session.commit().await?;
        self.obeyed_within(LIVE_TIMEOUT, change).await;
        Ok(())
    }

    /// Waits until this node obeys a change that is durable, or that long.
    pub(crate) async fn obeyed_within(&self, time: Duration, change: u64) {
        if let Some(mut live) = self.live() {
            let reached = tokio::time::timeout(time, live.wait_for(|live| live.change >= change)).await;
            if !matches!(reached, Ok(Ok(_))) {
                tracing::warn!(change, "a change is durable and not yet obeyed by this node");
            }
        }
    }
}

/// Microseconds since the epoch.
pub(crate) fn micros(time: SystemTime) -> Micros {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Whether one of these names, or a `*.suffix` among them, means the zone.
pub(crate) fn is_named(patterns: &[String], apex: &Name) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_prefix("*.") {
        Some(suffix) => Name::parse(suffix).is_ok_and(|suffix| apex.is_within(&suffix) && *apex != suffix),
        None => Name::parse(pattern).is_ok_and(|name| *apex == name),
    })
}

async fn data_keys(session: &mut Session, node_key: &NodeKey, now: Micros) -> Result<KeyRing, AppError> {
    let mut keys = Vec::new();
    for (id, wrapped) in session.data_keys().await? {
        keys.push(node_key.unwrap(id, &wrapped)?);
    }
    if keys.is_empty() {
        let key = DataKey::generate();
        session.put_data_key(key.id(), &node_key.wrap(&key), now).await?;
        keys.push(key);
    }
    Ok(KeyRing::new(keys).expect("it has just been given one"))
}

async fn account(session: &mut Session, kind: AccountKind, name: &str, now: Micros) -> Result<AccountId, AppError> {
    if let Some(account) = session.accounts().await?.into_iter().find(|account| account.kind == kind) {
        return Ok(account.id);
    }
    let account = Account {
        id: AccountId::from_bytes(random_bytes()),
        name: name.to_owned(),
        kind,
        enforces_second_factor: false,
        created_at: now,
    };
    session.insert_account(&account).await?;
    Ok(account.id)
}

/// The account that owns quick tunnels, and the zone their names are in.
async fn account_of_quick_tunnels(session: &mut Session, settings: &Settings, now: Micros) -> Result<AccountId, AppError> {
    let quick = account(session, AccountKind::Quick, "quick tunnels", now).await?;
    let Some(domain) = &settings.quick_domain else { return Ok(quick) };
    match session.serving_zone_over(domain).await? {
        Some(zone) if zone.apex == *domain && zone.account == quick => {}
        Some(zone) if zone.apex == *domain => return Err(AppError::QuickDomainTaken(domain.clone())),
        _ => {
            let zone = Zone {
                id: ZoneId::from_bytes(random_bytes()),
                account: quick,
                apex: domain.clone(),
                status: ZoneStatus::Active,
                name_servers: settings.nameservers.iter().take(2).cloned().collect(),
                paused: false,
                partial: false,
                created_at: now,
                modified_at: now,
                activated_at: Some(now),
            };
            session.insert_zone(&zone).await?;
        }
    }
    Ok(quick)
}
