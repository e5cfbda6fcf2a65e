//! The far end of the tunnel: dials out, maps ingress rules to local services, never listens (its status page on loopback aside).
//!
//! ```text
//!   supervise ──► dial ──► session ──► proxy ──► origin ──► local service
//!   (when)        (how)    (stream)    (rule)    (connection)
//! ```
//!
//! * [`supervise`]: who dials when, without a clock or a socket: back-off, order, never giving up;
//! * [`dial`]: QUIC and HTTP/2 raced, then port 443, through proxies too; [`trust`]: whom to believe there;
//! * [`session`]: registration, streams, goodbye, over each transport; [`side`]: the visitor's half of one stream;
//! * [`rules`]: the configuration in force; [`proxy`]: one request; [`origin`]: connections to services;
//! * `trace`: what is told of a request to whoever traces it;
//! * [`management`]: what the agent answers itself, its log among it; [`tail`]: the client that reads it;
//! * [`local_file`]: config.yml; [`quick`]: a tunnel without an account; [`status`]: metrics, readiness and
//!   diagnostics, from [`metrics`], [`connections`] and [`system`].
//!
//! The wire is `poterne_tunnel_proto`'s and `poterne_tunnel_rpc`'s. No edge code is linked here.
#![forbid(unsafe_code)]

mod connections;
mod dial;
mod edges;
pub mod local_file;
mod management;
mod metrics;
mod origin;
mod proxy;
pub mod quick;
mod rules;
mod session;
mod side;
mod status;
pub mod supervise;
mod system;
pub mod tail;
pub mod terminal;
mod trace;
pub mod trust;
mod uploads;
pub mod web;

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use poterne_model::{ConnectorId, TunnelId};
use poterne_stalls::Stalls;
use poterne_telemetry::Tracer;
use poterne_tunnel_proto::{
    config::TunnelConfig,
    token::{Secret, TunnelToken},
};
use poterne_tunnel_rpc::RpcThreads;
use tokio::{
    sync::{Mutex, mpsc, watch},
    time::sleep_until,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    connections::Connections,
    dial::{DialSettings, Dialer, Link},
    edges::EdgeBook,
    management::Management,
    metrics::AgentMetrics,
    rules::RulesBook,
    supervise::{Dial, Event, Supervisor},
    trace::EdgesThatTrace,
    trust::TrustError,
};
pub use crate::{
    dial::proxied::{Proxies, ProxyError},
    management::{LOG_TARGETS, ManagementConfig},
    rules::RulesError,
    status::StatusListen,
    trust::Trust,
};

/// How often idle connections to services are looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(15);

/// Which tunnel, and the proof.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The account's tag, as the token has it.
    pub account: String,
    /// The tunnel.
    pub tunnel: TunnelId,
    /// At least 32 bytes where Poterne made it.
    pub secret: Secret,
}

/// Transport to the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// QUIC, with HTTP/2 close behind where UDP is blocked.
    #[default]
    Auto,
    /// QUIC alone.
    Quic,
    /// HTTP/2 over TLS alone.
    Http2,
}

/// Congestion control of what the agent sends: over QUIC as said, over TCP where the kernel grants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Congestion {
    /// Keeps its pace on lossy paths, where cubic collapses.
    #[default]
    Bbr,
    /// For paths shared with others who must not be pushed aside.
    Cubic,
}

/// Address family towards the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IpVersion {
    /// Either.
    #[default]
    Auto,
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
}

/// All that an agent is told at its start.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// Which tunnel.
    pub identity: Identity,
    /// `host:port` of each edge. An address given several times is one edge.
    pub edges: Vec<String>,
    /// How to know the edge.
    pub trust: Trust,
    /// Default: QUIC and HTTP/2 raced.
    pub protocol: Protocol,
    /// Connections to the edge. Default 4; a quick tunnel has 1.
    pub ha_connections: u8,
    /// Local rules; absent: the edge is expected to push some, and everything gets 503 until then.
    pub local: Option<TunnelConfig>,
    /// Flags told to the edge beside the local rules (reference §7.4).
    pub local_flags: BTreeMap<String, String>,
    /// How long running requests may take after a shutdown was asked for. Default 30 s.
    pub grace_period: Duration,
    /// How long a connection that served hundreds of requests at once has to be calm before it is opened anew, to give their memory
    /// back. Default 20 s.
    pub calm: Duration,
    /// The status page.
    pub status: StatusListen,
    /// Where the list of edges is remembered; absent: nowhere.
    pub state_dir: Option<PathBuf>,
    /// Default BBR.
    pub congestion: Congestion,
    /// Offer X25519MLKEM768 and nothing else. Default false: it is preferred, not required.
    pub post_quantum: bool,
    /// Pauses between attempts grow to 2^retries seconds. Default 5.
    pub retries: u8,
    /// Longest wait for the answer to a registration. Default 5 s.
    pub rpc_timeout: Duration,
    /// Added to each request as `Cf-Warp-Tag-<key>`.
    pub tags: Vec<(String, String)>,
    /// Default: either family.
    pub ip_version: IpVersion,
    /// Local address to dial from.
    pub bind: Option<IpAddr>,
    /// Proxies of the environment; none by default.
    pub proxies: Proxies,
    /// The name a quick tunnel was given.
    pub quick_hostname: Option<String>,
    /// What the agent answers itself.
    pub management: ManagementConfig,
    /// Who is told of requests as parts of traces. Default nobody: then the fields of a trace pass as they came.
    pub tracer: Option<Tracer>,
    /// Told to the edge. Default: this crate's version.
    pub version: String,
}

impl AgentConfig {
    /// Defaults for everything else.
    pub fn new(identity: Identity, edges: Vec<String>, trust: Trust) -> Self {
        Self {
            identity,
            edges,
            trust,
            protocol: Protocol::default(),
            ha_connections: 4,
            local: None,
            local_flags: BTreeMap::new(),
            grace_period: Duration::from_secs(30),
            calm: Duration::from_secs(20),
            status: StatusListen::default(),
            state_dir: None,
            congestion: Congestion::default(),
            post_quantum: false,
            retries: 5,
            rpc_timeout: Duration::from_secs(5),
            tags: Vec::new(),
            ip_version: IpVersion::default(),
            bind: None,
            proxies: Proxies::default(),
            quick_hostname: None,
            management: ManagementConfig::default(),
            tracer: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// From a token of Poterne, which says where the edges are and how to know them; `None` for a token that does not.
    pub fn from_token(token: &TunnelToken) -> Option<Self> {
        let poterne = token.poterne.as_ref()?;
        Some(Self::new(Identity::from(token), poterne.edges.clone(), Trust::Pins(vec![poterne.pin])))
    }
}

impl From<&TunnelToken> for Identity {
    fn from(token: &TunnelToken) -> Self {
        Self { account: token.account.clone(), tunnel: token.tunnel, secret: token.secret.clone() }
    }
}

/// An agent that cannot begin. Once begun it never ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Whom to trust could not be prepared.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The local rules cannot be used.
    #[error("the local configuration cannot be used: {0}")]
    Rules(#[from] RulesError),
    /// Nobody said where the edge is.
    #[error("no edge is known: the token names none and no --edge (or TUNNEL_EDGE) was given; write --edge HOST:7844")]
    NoEdge,
    /// A tag that cannot be a header field.
    #[error("--tag {0}: a tag is KEY=VALUE of visible characters, since it becomes a header field")]
    Tag(String),
    /// The status page.
    #[error(transparent)]
    Status(io::Error),
}

/// What all connections and streams share.
pub(crate) struct Shared {
    identity: Identity,
    connector: ConnectorId,
    version: String,
    post_quantum: bool,
    rpc_timeout: Duration,
    grace_period: Duration,
    calm: Duration,
    connections_wanted: usize,
    /// Held by the connection that is being opened anew.
    renewing: Mutex<()>,
    trust: Trust,
    dialer: Dialer,
    edges: EdgeBook,
    rules: RulesBook,
    local_configuration: Bytes,
    tags: Vec<(HeaderName, HeaderValue)>,
    threads: RpcThreads,
    metrics: AgentMetrics,
    connections: Connections,
    /// Requests' bodies that services do not take.
    uploads: Stalls,
    management: Management,
    tracer: Option<Tracer>,
    edges_that_trace: EdgesThatTrace,
    flags: BTreeMap<String, String>,
    connected: watch::Sender<usize>,
    stopping: CancellationToken,
    quick_hostname: Option<String>,
    started: Instant,
}

/// One agent: a connector of one tunnel.
pub struct Agent {
    shared: Arc<Shared>,
    supervisor: Supervisor,
    status: StatusListen,
    status_address: watch::Sender<Option<SocketAddr>>,
}

impl Agent {
    /// Checks everything that can be checked before dialling.
    pub fn new(config: AgentConfig) -> Result<Self, AgentError> {
        let connector = ConnectorId::from_random_bytes(rand::random());
        let edges = EdgeBook::open(config.edges, config.state_dir.as_deref(), config.identity.tunnel);
        if edges.addresses().is_empty() {
            return Err(AgentError::NoEdge);
        }
        let mut trust = config.trust.clone();
        if let Trust::Pins(pins) = &mut trust {
            pins.extend(edges.pins());
        }
        let dialer = Dialer::new(DialSettings {
            trust: &trust,
            protocol: config.protocol,
            post_quantum: config.post_quantum,
            congestion: config.congestion,
            ip_version: config.ip_version,
            bind: config.bind,
            proxies: config.proxies,
        })?;
        let local = config.local.unwrap_or_default();
        let shared = Shared {
            identity: config.identity,
            connector,
            version: config.version,
            post_quantum: config.post_quantum,
            rpc_timeout: config.rpc_timeout,
            grace_period: config.grace_period,
            calm: config.calm,
            connections_wanted: usize::from(config.ha_connections),
            renewing: Mutex::default(),
            trust: config.trust,
            dialer,
            edges,
            local_configuration: local.local_configuration(&config.local_flags),
            rules: RulesBook::new(&local)?,
            tags: tags(connector, &config.tags)?,
            threads: RpcThreads::new(1),
            metrics: AgentMetrics::default(),
            connections: Connections::default(),
            uploads: Stalls::new(uploads::SETTINGS),
            management: Management::new(config.management),
            tracer: config.tracer,
            edges_that_trace: EdgesThatTrace::default(),
            flags: config.local_flags,
            connected: watch::Sender::new(0),
            stopping: CancellationToken::new(),
            quick_hostname: config.quick_hostname,
            started: Instant::now(),
        };
        Ok(Self {
            shared: Arc::new(shared),
            supervisor: Supervisor::new(config.ha_connections, config.retries),
            status: config.status,
            status_address: watch::Sender::new(None),
        })
    }

    /// How many connections are registered, now and whenever it changes.
    pub fn connected(&self) -> watch::Receiver<usize> {
        self.shared.connected.subscribe()
    }

    /// Where the status page listens, once it does.
    pub fn status_address(&self) -> watch::Receiver<Option<SocketAddr>> {
        self.status_address.subscribe()
    }

    /// This process, as the edge knows it.
    pub fn connector_id(&self) -> ConnectorId {
        self.shared.connector
    }

    /// Keeps the tunnel up until `shutdown`, then drains: returns when every connection has ended, at the latest after the grace
    /// period.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), AgentError> {
        let tasks = TaskTracker::new();
        if let Some(listener) = status::bind(self.status).await.map_err(AgentError::Status)? {
            let address = listener.local_addr().map_err(AgentError::Status)?;
            tracing::info!(%address, "Starting metrics server");
            self.status_address.send_replace(Some(address));
            tokio::spawn(abort_with(shutdown.clone(), self.shared.grace_period, status::serve(listener, self.shared.clone())));
        }
        let watching = self.shared.clone();
        tokio::spawn(abort_with(
            shutdown.clone(),
            self.shared.grace_period,
            async move { uploads::watch(&watching.uploads).await },
        ));
        // A connection has at most two events under way, and the loop below always reads.
        let (events, mut happened) = mpsc::channel(64);
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        let began = tokio::time::Instant::now();
        loop {
            for dial in self.supervisor.due(began.elapsed()) {
                tasks.spawn(connection(self.shared.clone(), dial, events.clone(), shutdown.clone()));
            }
            let due = self.supervisor.next_due().map(|due| began + due);
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some((index, event)) = happened.recv() => {
                    self.supervisor.handle(index, event, began.elapsed(), rand::random());
                    let up = self.supervisor.up();
                    self.shared.metrics.connections.store(up, Ordering::Relaxed);
                    self.shared.connected.send_if_modified(|connected| std::mem::replace(connected, up) != up);
                }
                () = sleep_until(due.unwrap_or(began)), if due.is_some() => {}
                _ = sweep.tick() => self.shared.rules.load_full().sweep(Instant::now()),
            }
        }
        tracing::info!("Initiating graceful shutdown");
        self.shared.stopping.cancel();
        tasks.close();
        // Each connection bounds itself by the grace period; events keep being read so that none waits for room.
        tokio::pin! { let ended = tasks.wait(); }
        loop {
            tokio::select! {
                () = &mut ended => break,
                Some(_) = happened.recv() => {}
            }
        }
        self.shared.dialer.flush().await;
        self.shared.connected.send_replace(0);
        Ok(())
    }
}

/// Dials, and lives with what comes of it.
async fn connection(shared: Arc<Shared>, dial: Dial, events: mpsc::Sender<(u8, Event)>, shutdown: CancellationToken) {
    let addresses = shared.edges.addresses();
    let edge = &addresses[dial.address % addresses.len()];
    let link = tokio::select! {
        link = shared.dialer.dial(edge) => link,
        () = shutdown.cancelled() => return,
    };
    let end = match link {
        Ok(Link::Quic(connection)) => Box::pin(session::quic::run(shared, connection, dial, events.clone(), shutdown)).await,
        Ok(Link::Http2(tls)) => Box::pin(session::http2::run(shared, *tls, dial, events.clone(), shutdown)).await,
        Err(error) => {
            shared.metrics.dial_errors.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(connIndex = dial.index, %error, "no connection to the edge; trying again");
            Event::Failed
        }
    };
    let _ = events.send((dial.index, end)).await;
}

async fn abort_with(shutdown: CancellationToken, grace: Duration, work: impl Future<Output = ()>) {
    let ended = async {
        shutdown.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        () = work => {}
        () = ended => {}
    }
}

/// `Cf-Warp-Tag-Id` and one field per `--tag` (reference §4.2).
fn tags(connector: ConnectorId, given: &[(String, String)]) -> Result<Vec<(HeaderName, HeaderValue)>, AgentError> {
    let id = ("Id".to_owned(), connector.to_string());
    std::iter::once(&id)
        .chain(given)
        .map(|(key, value)| {
            let wrong = || AgentError::Tag(format!("{key}={value}"));
            let name = format!("cf-warp-tag-{key}").parse().map_err(|_| wrong())?;
            Ok((name, HeaderValue::from_str(value).map_err(|_| wrong())?))
        })
        .collect()
}
