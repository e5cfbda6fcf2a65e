//! A node put together: the one place where everything is handed in.
//!
//! ```text
//! store ─ app ─ publish ─→ feed ─→ keeper ─→ snapshot ─→ pipeline, gateway, certificates
//!          ▲                 ◀──── events ◀───────────────────┘
//!          ├── admin.sock (verbs)
//!          └── api (8600, and the node's names on the edge)
//! ```
//!
//! What is on disk serves before control publishes: the snapshot is loaded first, listeners open next, publish converges then.
//!
//! A node that takes another's place ([`crate::handover`]) is put together in the same order, and waits where the other has to act.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use arc_swap::{ArcSwap, ArcSwapOption};
use poterne_control_store::Tables;
use poterne_dns_server::Server;
use poterne_edge_listen::Listener;
use poterne_edge_pipeline::Ports;
use poterne_model::Name;
use poterne_snapshot::Keeper;
use poterne_telemetry::Metrics;
use poterne_tunnel_gateway::{self as gateway, Gateway};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    access_log::{AccessLog, Opened, readers_of},
    administration::Administration,
    bind,
    config::{self, Config},
    handover::{AGENTS_PATIENCE, Predecessor},
    health,
    inherited::Inherited,
    ready::Ready,
    state::{self, StateDir},
    trust::{AgentCertificate, Trust},
};
use control::{Control, Parts};
use reload::Reloader;
use upgrade::{Quic, Upgrader};

mod agents;
mod control;
mod dns;
mod edge;
mod health_checks;
mod origin_pulls;
mod quic;
pub mod reload;
mod running;
mod traces;
pub mod upgrade;

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
    /// Whose place this one takes, and which in a row it is.
    pub predecessor: Option<(Predecessor, u8)>,
    /// What a program that takes this one's place is started with; none: there will be none.
    pub arguments: Option<Vec<std::ffi::OsString>>,
}

/// A running node.
pub struct Node {
    administration: Arc<Administration>,
    gateway: Gateway,
    edge: Arc<edge::Edge>,
    dns: Server,
    ready: Ready,
    upgrader: Arc<Upgrader>,
    drain: Arc<ArcSwap<Duration>>,
    access_log: Arc<AccessLog>,
    /// Verbs under way.
    exchanges: TaskTracker,
    /// Everything that is neither a visitor's connection nor an agent's, nor control.
    background: TaskTracker,
    stop: CancellationToken,
}

impl Node {
    /// Starts everything. A port that is taken is a [`bind::BindError`] at the root of the error, and nothing is left running.
    pub async fn start(mut config: Config, state: Arc<StateDir>, mut options: Options) -> anyhow::Result<Self> {
        let dns_tls = config.dns.listen_tls.iter_mut();
        let all = [&mut config.edge.http, &mut config.edge.https, &mut config.tunnel.listen, &mut config.dns.listen];
        for addresses in all.into_iter().chain(dns_tls) {
            bind::on_this_machine(addresses);
        }
        // Ports first: when one cannot be had, nothing else has begun.
        let sockets = &mut options.sockets;
        let mut http = Vec::new();
        for address in &config.edge.http {
            http.push(bind::listen_on_each_core("edge.http", *address, sockets)?);
        }
        let mut https = Vec::new();
        for address in &config.edge.https {
            https.push(bind::listen_on_each_core(quic::HTTPS, *address, sockets)?);
        }
        let https_at =
            https.iter().flat_map(|group| group.first()).map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
        let udp_on_https = quic::udp_beside(&https_at, sockets)?;
        // Links to this node's pages name the port that it has.
        config.edge.https.clone_from(&https_at);
        let (dns_bound, dns_tls) = dns::bind(&config, sockets)?;
        let agents_ports = quic::agents_ports(&config.tunnel.listen, sockets)?;
        config.tunnel.listen = agents_ports.iter().map(|port| port.address).collect();
        // What is wrong with them is told before anything has begun.
        config.mail()?;
        config.acme_authorities()?;
        let opened = Opened::of(&config.log).map_err(anyhow::Error::msg)?;
        config.resolver(poterne_guard::Guard::default())?;
        let traces = config.traces(|name| std::env::var(name).ok())?;
        let api_listener = bind::listen(bind::API, config.control.listen, sockets)?;
        let metrics_listener = bind::listen("control.metrics", config.control.metrics, sockets)?;
        options.sockets.warn_of_the_rest();
        let stop = CancellationToken::new();
        // What has begun ends when a later step fails.
        let guard = stop.clone().drop_guard();
        let background = TaskTracker::new();
        let metrics = Metrics::new();
        let tracer = traces.map(|settings| traces::begin(settings, &metrics, &background, stop.clone()));
        let trust = Trust::open(&state, options.visitors_under)?;
        let names = config.node_names();
        let (predecessor, generation) = options.predecessor.unzip();
        if let Some(predecessor) = &predecessor {
            // The operator's files are read below; what is wrong with them must be known before the other one gives anything up.
            poterne_edge_tls::Files::read(&config.edge.certificate_files())?;
            predecessor.prepared().await;
        }

        // What is on disk serves first.
        let snapshot_dir = state.join(state::SNAPSHOT);
        let keeper = tokio::task::spawn_blocking(move || Keeper::open(&snapshot_dir)).await?.context("the snapshot")?;
        let snapshot = keeper.handle();
        let (up, node) = poterne_feed::in_process();

        // The agents' side.
        let agents = AgentCertificate::issue(
            Arc::clone(&trust.tunnel_ca),
            &names.iter().map(Name::to_string).collect::<Vec<_>>(),
            &config.node.public_addresses,
            stop.clone(),
        )?;
        let stalls = edge::stalls(&config.edge, &metrics);
        let watched = stalls.clone();
        let settings = gateway::Settings {
            stalls: stalls.clone(),
            ..gateway_settings(&config, &trust, generation.unwrap_or(0), tracer.is_some())
        };
        let gateway = Gateway::new(settings, agents.clone(), snapshot.clone(), node.events.clone(), &metrics)?;

        // Control.
        let parts = Parts {
            config,
            state,
            trust,
            names,
            keeper,
            gateway: gateway.clone(),
            events: node.events.clone(),
            told: Mutex::new(Some(up.events)),
            api: Arc::default(),
            metrics: Arc::new(ArcSwapOption::empty()),
            exchanges: TaskTracker::new(),
        };
        let control = Control::open(&parts, Tables::Own).await?;
        let Parts { config, state, trust, names, .. } = &parts;

        // The visitors' side.
        let pin = trust.tunnel_ca.spki_sha256();
        let reaches = control.app().guard();
        let edge = edge::assemble(edge::Parts {
            config,
            names,
            ports: ports(&http, &https),
            snapshot: &snapshot,
            gateway: &gateway,
            agents,
            visitors_ca: &trust.visitors_ca,
            node_key: &trust.node_key,
            instance: pin[..6].iter().map(|byte| format!("{byte:02x}")).collect(),
            api: Arc::clone(&parts.api),
            origins: edge::origins(&config.edge, reaches.clone(), control.resolver.clone(), &snapshot, trust, &metrics, stalls)?,
            tracer,
            metrics: &metrics,
        })?;
        background.spawn(edge::sweep(Arc::clone(&edge), stop.clone()));
        let watching = stop.clone();
        background.spawn(async move {
            watching.run_until_cancelled(watched.run()).await;
        });
        let of_dns = (&control.resolver, node.events.clone());
        let mut dns = dns::assemble(config, names, &snapshot, &edge, &trust.node_key, of_dns, &metrics);
        let mut quic = Vec::new();
        let mut serving_agents = Vec::new();
        for (index, port) in agents_ports.into_iter().enumerate() {
            let shared = gateway.share_listener(index, port.udp.0, port.udp.1)?;
            quic.push(Quic { setting: quic::TUNNEL, address: port.set, shared: Arc::clone(&shared) });
            serving_agents.push((index, shared, port.tcp));
        }
        let mut serving_quic = Vec::new();
        for (index, (address, (socket, former))) in udp_on_https.into_iter().enumerate() {
            let shared = gateway.share(&quic::name(index), socket, former)?;
            quic.push(Quic { setting: quic::HTTPS, address, shared: Arc::clone(&shared) });
            serving_quic.push((index, shared));
        }

        // Nothing can fail any more.
        let first = |groups: &[Vec<TcpListener>]| groups.first()?.first()?.local_addr().ok();
        let url = |listener: &TcpListener| listener.local_addr().map(|address| format!("http://{}", bind::reachable(address)));
        let ready = Ready {
            state_dir: state.path().to_path_buf(),
            http: first(&http),
            https: https_at.first().copied(),
            dns: dns_bound.first().map(|bound| bound.address),
            dns_tls: dns_tls.first().map(Listener::local_addr),
            tunnel: config.tunnel.listen.first().copied(),
            api: Some(format!("{}/client/v4", url(&api_listener)?)),
            metrics: Some(url(&metrics_listener)?),
            ca_file: state.join(state::CA),
            demo: None,
        };
        let coming = match &predecessor {
            Some(predecessor) => predecessor.ready().await,
            None => Vec::new(),
        };
        for (index, udp, tcp) in serving_agents {
            gateway.serve(index, udp, tcp)?;
        }
        let drain = Arc::new(ArcSwap::from_pointee(options.drain));
        let readers = Arc::clone(&edge.pipeline);
        let access_log = Arc::new(AccessLog::new(move |change| readers_of(readers.readers(), change), &metrics));
        access_log.set(opened)?;
        let reloader = Arc::new(Reloader::new(options.source, Arc::clone(&edge), Arc::clone(&drain), Arc::clone(&access_log)));
        let (administration, control_metrics, exchanges) =
            (Arc::clone(&control.administration), Arc::clone(&parts.metrics), parts.exchanges.clone());
        let (alone, health_stop) = (CancellationToken::new(), stop.child_token());
        let upgrader = Arc::new(Upgrader {
            parts,
            control: tokio::sync::Mutex::default(),
            reloader,
            gateway: gateway.clone(),
            edge: Arc::clone(&edge),
            sockets: Mutex::new(options.sockets.into_kept()),
            quic,
            generation: generation.unwrap_or(0),
            arguments: options.arguments,
            drain: Arc::clone(&drain),
            health: health_stop.clone(),
            alone: alone.clone(),
            replaced: CancellationToken::new(),
            busy: tokio::sync::Mutex::default(),
            heir: Mutex::default(),
        });
        upgrader.parts.state.sign();
        upgrader.run_control(control, api_listener).await?;
        if let Some(predecessor) = &predecessor {
            let missing = gateway.arrived(&coming, Instant::now() + AGENTS_PATIENCE).await;
            gateway.expect(&predecessor.arrived(&missing).await);
        }
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
        for listener in http.into_iter().flatten() {
            edge.serve_http(Listener::from_std(listener.into_std()?)?);
        }
        for listener in https.into_iter().flatten() {
            edge.serve_https(Listener::from_std(listener.into_std()?)?);
        }
        for (index, socket) in serving_quic {
            edge.serve_quic(index, socket, &background, stop.clone())?;
        }
        let checks = health_checks::OfSnapshot { snapshot: snapshot.clone(), events: node.events.clone() };
        let origins = Arc::clone(&edge.origins);
        background.spawn(poterne_edge_upstream::health::run(origins, Arc::new(checks), &metrics, stop.clone()));
        match predecessor {
            Some(predecessor) => {
                predecessor.serving();
                let quic: Vec<_> = upgrader.quic.iter().map(|quic| Arc::clone(&quic.shared)).collect();
                background.spawn(stop.clone().run_until_cancelled_owned(async move {
                    predecessor.ended().await;
                    quic.iter().for_each(|shared| shared.alone());
                    alone.cancel();
                }));
            }
            None => alone.cancel(),
        }
        // Once authorities are answered.
        upgrader.order().await;
        let draining = edge.drain.clone();
        let readiness: health::Readiness = Arc::new(move || if draining.is_cancelled() { Err("draining") } else { Ok(()) });
        background.spawn(health::serve(metrics_listener, metrics, control_metrics, readiness, health_stop));
        let stop = guard.disarm();
        Ok(Self { administration, gateway, edge, dns, ready, upgrader, drain, access_log, exchanges, background, stop })
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
        &self.upgrader.reloader
    }

    /// Returns once another program has taken this one's place; what is left to do is to end.
    pub async fn replaced(&self) {
        self.upgrader.replaced.cancelled().await;
    }

    /// Visitors are not accepted any more, and those there end their requests; returns when they have, or when time is up.
    pub async fn drain_visitors(&self) {
        self.edge.drain.cancel();
        self.upgrader.drop_sockets();
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
        self.upgrader.stop_control().await;
        self.exchanges.close();
        self.stop.cancel();
        self.background.close();
        if tokio::time::timeout(BACKGROUND_STOP, self.dns.stop()).await.is_err() {
            tracing::warn!("the name server did not end in time");
        }
        drop(self.gateway);
        if tokio::time::timeout(BACKGROUND_STOP, self.background.wait()).await.is_err() {
            tracing::warn!(left = self.background.len(), "some background tasks did not end in time");
        }
        if tokio::time::timeout(BACKGROUND_STOP, self.exchanges.wait()).await.is_err() {
            tracing::warn!("a verb was not answered in time");
        }
        let access_log = self.access_log;
        let _ = tokio::task::spawn_blocking(move || access_log.close()).await;
    }
}

/// Where visitors come, by the first socket of each address.
fn ports(http: &[Vec<TcpListener>], https: &[Vec<TcpListener>]) -> Ports {
    let of = |groups: &[Vec<TcpListener>]| -> Vec<u16> {
        let first = groups.iter().filter_map(|group| group.first()?.local_addr().ok());
        first.map(|address| address.port()).collect()
    };
    Ports::of(&of(http), &of(https))
}

fn gateway_settings(config: &Config, trust: &Trust, generation: u8, traces: bool) -> gateway::Settings {
    let congestion = match config.tunnel.congestion {
        config::Congestion::Bbr => gateway::Congestion::Bbr,
        config::Congestion::Cubic => gateway::Congestion::Cubic,
    };
    gateway::Settings {
        listen: config.tunnel.listen.clone(),
        congestion,
        generation,
        traces,
        reset_key: trust.node_key.derive("poterne quic reset 1"),
        ..gateway::Settings::default()
    }
}
