//! A node put together: the one place where everything is handed in.
//!
//! ```text
//! store ─ app ─ publish ─→ feed ─→ keeper ─→ snapshot ─→ pipeline, gateway, certificates
//!          ▲                 ◀──── events ◀───────────────────┘
//!          ├── admin.sock (verbs)
//!          └── api (8600, and the node's names on the edge)
//! ```
//!
//! What is on disk serves before control is up: the snapshot is loaded first, listeners open next, publish converges then.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use axum::{Router, extract::ConnectInfo};
use poterne_control_api::ClientIp;
use poterne_control_app::{App, Trouble};
use poterne_control_courier::{Courier, Mailer, webhook};
use poterne_control_notary::Notary;
use poterne_control_publish::Publisher;
use poterne_control_scout::Scout;
use poterne_control_store::Store;
use poterne_dns_resolver::Resolver;
use poterne_dns_server::Server;
use poterne_edge_listen::Listener;
use poterne_feed::{Command, EVENTS_MAX, Event};
use poterne_model::Name;
use poterne_snapshot::{Keeper, NodeChunk};
use poterne_telemetry::Metrics;
use poterne_tunnel_gateway::{self as gateway, Gateway};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    admin::server::AdminSocket,
    administration::{self, Administration},
    bind::{self, BindError},
    config::{self, Config},
    health,
    inherited::Inherited,
    ready::Ready,
    state::{self, StateDir},
    trust::{AgentCertificate, Trust},
};
use reload::Reloader;
use running::Running;

mod agents;
mod dns;
mod edge;
mod quic;
pub mod reload;
mod running;

/// How long agents get to finish after they were told to go elsewhere: visitors are gone by then.
const AGENTS_DRAIN: Duration = Duration::from_secs(5);
/// How long what a node told waits before it is written down again, when the store did not take it; it doubles, up to the greatest.
const RECORD_PAUSE: Duration = Duration::from_millis(250);
const RECORD_PAUSE_MAX: Duration = Duration::from_secs(5);
/// How long background tasks may take to see that they should end.
const BACKGROUND_STOP: Duration = Duration::from_secs(5);

/// What the caller decides beside the settings.
#[derive(Debug)]
pub struct Options {
    /// What the visitors' authority may vouch for when it is made; empty: any name.
    pub visitors_under: &'static [&'static str],
    /// How long requests in flight may take to end when the node stops.
    pub drain: Duration,
    /// Sockets that were opened for this program.
    pub sockets: Inherited,
    /// Where the settings come from; none where they cannot be read again.
    pub source: Option<reload::Source>,
}

/// A running node.
pub struct Node {
    state: Arc<StateDir>,
    administration: Arc<Administration>,
    gateway: Gateway,
    edge: Arc<edge::Edge>,
    dns: Server,
    store: Store,
    ready: Ready,
    reloader: Arc<Reloader>,
    drain: Arc<ArcSwap<Duration>>,
    /// Everything that is neither a visitor's connection nor an agent's.
    background: TaskTracker,
    stop: CancellationToken,
}

impl Node {
    /// Starts everything. A port that is taken is a [`BindError`] at the root of the error, and nothing is left running.
    pub async fn start(mut config: Config, state: Arc<StateDir>, mut options: Options) -> anyhow::Result<Self> {
        let dns_tls = config.dns.listen_tls.iter_mut();
        let all = [&mut config.edge.http, &mut config.edge.https, &mut config.tunnel.listen, &mut config.dns.listen];
        for addresses in all.into_iter().chain(dns_tls) {
            bind::on_this_machine(addresses);
        }
        // Ports first: when one cannot be had, nothing else has begun.
        let mut http = Vec::new();
        for address in &config.edge.http {
            http.push(bind::listen("edge.http", *address, &mut options.sockets)?);
        }
        let mut https = Vec::new();
        for address in &config.edge.https {
            https.push(bind::listen("edge.https", *address, &mut options.sockets)?);
        }
        let udp_on_https = quic::udp_beside(&https, &mut options.sockets)?;
        // Links to this node's pages name the port that it has.
        for (address, listener) in config.edge.https.iter_mut().zip(&https) {
            *address = listener.local_addr()?;
        }
        let (dns_bound, dns_tls) = dns::bind(&config)?;
        let mailer = config.mail()?.map(Mailer::new).transpose()?;
        let authorities = config.acme_authorities()?;
        let api_listener = bind::listen("control.listen", config.control.listen, &mut options.sockets)?;
        let metrics_listener = bind::listen("control.metrics", config.control.metrics, &mut options.sockets)?;
        options.sockets.warn_of_the_rest();
        let stop = CancellationToken::new();
        // What has begun ends when a later step fails.
        let guard = stop.clone().drop_guard();
        let background = TaskTracker::new();
        let metrics = Metrics::new();
        let trust = Trust::open(&state, options.visitors_under)?;
        let pin = trust.tunnel_ca.spki_sha256();
        let names = config.node_names();

        // What is on disk serves first.
        let snapshot_dir = state.join(state::SNAPSHOT);
        let keeper = tokio::task::spawn_blocking(move || Keeper::open(&snapshot_dir)).await?.context("the snapshot")?;
        let snapshot = keeper.handle();
        let (control, node) = poterne_feed::in_process();
        background.spawn(poterne_snapshot::follow(keeper, node.changes, node.events.clone()));

        // The agents' side.
        let agents = AgentCertificate::issue(
            Arc::clone(&trust.tunnel_ca),
            &names.iter().map(Name::to_string).collect::<Vec<_>>(),
            &config.node.public_addresses,
            stop.clone(),
        )?;
        let dns_events = node.events.clone();
        let gateway = Gateway::new(gateway_settings(&config, &trust), agents.clone(), snapshot.clone(), node.events, &metrics)?;
        config.tunnel.listen = bind_gateway(&gateway, &config.tunnel.listen).await?;
        background.spawn(obey(gateway.clone(), node.commands));
        background.spawn(note_alive(Arc::clone(&state), stop.clone()));

        // Control.
        let (store, app) = administration::open_app(&state, &config, &trust.node_key, pin).await?;
        let node_chunk = NodeChunk {
            names: names.clone(),
            edges: config.agents_dial(),
            tunnel_pins: vec![pin],
            quick_domain: config.tunnel.quick_domain.clone(),
            tunnel_domain: config.tunnel.domain.clone(),
            management_names: config.management_names(),
            management_keys: vec![app.management_key().into()],
            edge_addresses: config.edge_addresses(),
            // HTTP/3 where there is TLS, and the zone wants it.
            edge_protocols: ["h3", "h2"].map(str::to_owned).to_vec(),
            nameservers: config.dns.nameservers.clone(),
            // Control's own: the publisher puts it in.
            cookie_secrets: Vec::new(),
        };
        let publisher =
            Publisher::new(app.clone(), store.clone(), snapshot.clone(), control.changes, control.commands, node_chunk);
        app.tell_in(&metrics);
        app.wait_for(publisher.live());
        app.ask_agents(Arc::new(agents::Connected(gateway.clone())));
        background.spawn(record(app.clone(), control.events, stop.clone()));
        background.spawn(publisher.run(stop.clone()));
        let api = poterne_control_api::router(app.clone(), config.control.rate_limit);
        let own = names.first().map_or_else(|| "localhost".to_owned(), Name::to_string);
        let courier = Courier::new(app.clone(), mailer.clone(), webhook::Caller::default(), own, config.languages(), &metrics);
        background.spawn(courier.run(stop.clone()));
        let resolver = Resolver::new(config.resolver(app.guard())?);
        background.spawn(Scout::new(app.clone(), resolver.clone(), &metrics).run(stop.clone()));
        let orders = !authorities.is_empty();
        let notary = orders.then(|| Notary::new(app.clone(), resolver.clone(), authorities, &metrics, stop.clone()));
        let (eyes, resolves) = (resolver.clone(), resolver.clone());
        let reachable = config.edge.https.first().copied().map(bind::reachable);
        let reaches = app.guard();
        let administration = Arc::new(Administration::new(app, &state, reachable, mailer, resolver));

        // The visitors' side.
        let edge = edge::assemble(edge::Parts {
            config: &config,
            names: &names,
            snapshot: &snapshot,
            gateway: &gateway,
            agents,
            visitors_ca: &trust.visitors_ca,
            node_key: &trust.node_key,
            instance: pin[..6].iter().map(|byte| format!("{byte:02x}")).collect(),
            api: api.clone(),
            origins: edge::origins(reaches.clone(), resolves, &metrics)?,
            metrics: &metrics,
        })?;
        background.spawn(edge::sweep(Arc::clone(&edge), stop.clone()));
        let mut dns = dns::assemble(&config, &names, &snapshot, &edge, &trust.node_key, (&eyes, dns_events), &metrics);
        let drain = Arc::new(ArcSwap::from_pointee(options.drain));
        let reloader = Arc::new(Reloader::new(options.source, Arc::clone(&edge), Arc::clone(&drain)));
        let running = Running { administration: Arc::clone(&administration), reloader: Arc::clone(&reloader) };
        let socket = state.join(state::SOCKET);
        let admin = AdminSocket::bind(&socket).with_context(|| {
            format!("{} cannot be made; a shorter --state-dir may help (a socket's path has at most 107 bytes)", socket.display())
        })?;

        // Nothing can fail any more.
        let first = |listeners: &[TcpListener]| listeners.first().and_then(|listener| listener.local_addr().ok());
        let url = |listener: &TcpListener| listener.local_addr().map(|address| format!("http://{}", bind::reachable(address)));
        let ready = Ready {
            state_dir: state.path().to_path_buf(),
            http: first(&http),
            https: first(&https),
            dns: dns_bound.first().map(|bound| bound.address),
            dns_tls: dns_tls.first().map(Listener::local_addr),
            tunnel: config.tunnel.listen.first().copied(),
            api: Some(format!("{}/client/v4", url(&api_listener)?)),
            metrics: Some(url(&metrics_listener)?),
            ca_file: state.join(state::CA),
            demo: None,
        };
        if !dns_bound.is_empty() {
            edge.pipeline.answer_dns_by(Arc::new(dns::OverHttps(dns.doh())));
            // Where it listens it is known.
            let from = dns_bound.iter().map(|bound| bound.address.ip()).filter(|ip| !ip.is_unspecified());
            dns.tell_peers(reaches, from.collect());
        }
        for bound in dns_bound {
            dns.serve(bound)?;
        }
        for listener in dns_tls {
            dns.serve_tls(listener);
        }
        for listener in http {
            edge.serve_http(Listener::from_std(listener.into_std()?)?);
        }
        for listener in https {
            edge.serve_https(Listener::from_std(listener.into_std()?)?);
        }
        for (index, socket) in udp_on_https.into_iter().enumerate() {
            edge.serve_quic(index, socket, &background, stop.clone())?;
        }
        // Once authorities are answered.
        if let Some(notary) = notary {
            background.spawn(notary.run());
        }
        let draining = edge.drain.clone();
        let readiness: health::Readiness = Arc::new(move || if draining.is_cancelled() { Err("draining") } else { Ok(()) });
        background.spawn(health::serve(metrics_listener, metrics, readiness, stop.clone()));
        background.spawn(serve_api(api_listener, api, stop.clone()));
        background.spawn(admin.serve(Arc::new(running), stop.clone()));
        let stop = guard.disarm();
        Ok(Self { state, administration, gateway, edge, dns, store, ready, reloader, drain, background, stop })
    }

    /// Where everything is.
    pub fn ready(&self) -> Ready {
        self.ready.clone()
    }

    /// The verbs.
    pub fn administration(&self) -> &Administration {
        &self.administration
    }

    /// Reads the settings again.
    pub fn reloader(&self) -> &Arc<Reloader> {
        &self.reloader
    }

    /// Visitors are not accepted any more, and those there end their requests; returns when they have, or when time is up.
    pub async fn drain_visitors(&self) {
        self.edge.drain.cancel();
        self.edge.tasks.close();
        if tokio::time::timeout(**self.drain.load(), self.edge.tasks.wait()).await.is_err() {
            let left = self.edge.tasks.len();
            tracing::warn!(left, "time to drain is up; the visitors' connections left are cut");
            self.edge.cut.cancel();
            let _ = tokio::time::timeout(Duration::from_secs(1), self.edge.tasks.wait()).await;
        }
    }

    /// Agents are told to go elsewhere, then everything ends; the state directory is free afterwards.
    pub async fn stop(self) {
        self.gateway.drain(Instant::now() + (**self.drain.load()).min(AGENTS_DRAIN)).await;
        self.stop.cancel();
        self.background.close();
        if tokio::time::timeout(BACKGROUND_STOP, self.dns.stop()).await.is_err() {
            tracing::warn!("the name server did not end in time");
        }
        drop(self.gateway);
        if tokio::time::timeout(BACKGROUND_STOP, self.background.wait()).await.is_err() {
            tracing::warn!(left = self.background.len(), "some background tasks did not end in time");
        }
        self.store.close().await;
        drop(self.state);
    }
}

fn gateway_settings(config: &Config, trust: &Trust) -> gateway::Settings {
    let congestion = match config.tunnel.congestion {
        config::Congestion::Bbr => gateway::Congestion::Bbr,
        config::Congestion::Cubic => gateway::Congestion::Cubic,
    };
    gateway::Settings {
        listen: config.tunnel.listen.clone(),
        congestion,
        reset_key: trust.node_key.derive("poterne quic reset 1"),
        ..gateway::Settings::default()
    }
}

/// Opens the agents' listeners; the addresses are those in fact bound, where a port was left to the kernel.
async fn bind_gateway(gateway: &Gateway, addresses: &[SocketAddr]) -> Result<Vec<SocketAddr>, BindError> {
    gateway.bind().await.map_err(|error| {
        // The gateway does not say which of its addresses failed: usually there is one.
        let address = addresses.first().copied().unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
        BindError { setting: "tunnel.listen", address, error }
    })
}

/// Leaves a trace of when this node was alive, until told to stop.
async fn note_alive(state: Arc<StateDir>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(state::ALIVE_INTERVAL)).await.is_some() {
        state.note_alive();
    }
}

/// Hands control's orders to the gateway, until the feed ends.
async fn obey(gateway: Gateway, mut commands: mpsc::Receiver<Command>) {
    while let Some(command) = commands.recv().await {
        gateway.command(&command);
    }
}

/// Keeps what nodes tell, until told to stop; what was told by then is kept too.
async fn record(app: App, mut events: mpsc::Receiver<Event>, stop: CancellationToken) {
    while let Some(Some(event)) = stop.run_until_cancelled(events.recv()).await {
        let mut pause = RECORD_PAUSE;
        while let Err(error) = app.record_event(event.clone()).await {
            let may_pass = matches!(error.trouble(), Trouble::Busy | Trouble::Unreachable | Trouble::Full);
            // Agents wait for room among the events: a store that is gone for long must not keep them out.
            if !may_pass || stop.is_cancelled() || events.len() >= EVENTS_MAX / 2 {
                tracing::error!(%error, "what a node told could not be kept");
                break;
            }
            tracing::warn!(%error, waiting = events.len(), "what a node told is not kept yet; trying again");
            stop.run_until_cancelled(tokio::time::sleep(pause)).await;
            pause = (pause * 2).min(RECORD_PAUSE_MAX);
        }
    }
    while let Ok(event) = events.try_recv() {
        if let Err(error) = app.record_event(event).await {
            tracing::error!(%error, "what a node told could not be kept");
        }
    }
}

/// The API on its own listener.
async fn serve_api(listener: TcpListener, api: Router, stop: CancellationToken) {
    let api = api.layer(axum::middleware::map_request(
        async |ConnectInfo(peer): ConnectInfo<SocketAddr>, mut request: axum::extract::Request| {
            request.extensions_mut().insert(ClientIp(peer.ip().to_canonical()));
            request
        },
    ));
    let service = api.into_make_service_with_connect_info::<SocketAddr>();
    if let Err(error) = axum::serve(listener, service).with_graceful_shutdown(stop.cancelled_owned()).await {
        tracing::error!(%error, "the API is no longer served on its own address");
    }
}
