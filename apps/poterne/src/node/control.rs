//! Control put together: opened on the state, run, and stopped; and once more where an upgrade came to nothing. What serves goes on
//! meanwhile by the snapshot.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context as _;
use axum::{Router, extract::ConnectInfo};
use poterne_control_api::ClientIp;
use poterne_control_app::{App, OriginAuthorities, Trouble};
use poterne_control_courier::{Courier, Mailer, webhook};
use poterne_control_notary::Notary;
use poterne_control_publish::Publisher;
use poterne_control_scout::Scout;
use poterne_control_store::{Store, Tables};
use poterne_dns_resolver::Resolver;
use poterne_feed::{Command, EVENTS_MAX, Event, NodeEnd};
use poterne_model::Name;
use poterne_snapshot::{Keeper, NodeChunk};
use poterne_telemetry::Metrics;
use poterne_tunnel_gateway::Gateway;
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{BACKGROUND_STOP, RECORD_PAUSE, RECORD_PAUSE_MAX, agents, edge::ApiSlot, running::Running};
use crate::{
    admin::server::AdminSocket,
    administration::{self, Administration},
    bind,
    config::Config,
    health::ControlMetrics,
    state::{self, StateDir},
    trust::Trust,
};

/// What control is made of, each time.
pub(super) struct Parts {
    pub config: Config,
    pub state: Arc<StateDir>,
    pub trust: Trust,
    pub names: Vec<Name>,
    pub keeper: Keeper,
    pub gateway: Gateway,
    /// What the node tells, and what it has told: nothing is lost while control is away.
    pub events: mpsc::Sender<Event>,
    pub told: Mutex<Option<mpsc::Receiver<Event>>>,
    /// Where the API is put for visitors of the node's names.
    pub api: ApiSlot,
    pub metrics: ControlMetrics,
    /// Verbs under way, which may outlive control.
    pub exchanges: TaskTracker,
}

/// Control, opened; it runs once [`Control::run`] was called.
pub(super) struct Control {
    pub administration: Arc<Administration>,
    pub resolver: Resolver,
    store: Store,
    app: App,
    api: Router,
    feed: NodeEnd,
    publisher: Publisher,
    courier: Arc<Courier>,
    scout: Arc<Scout>,
    notary: Option<Arc<Notary>>,
    metrics: Metrics,
    stop: CancellationToken,
}

/// Control that runs.
pub(super) struct RunningControl {
    store: Store,
    tasks: TaskTracker,
    recorder: JoinHandle<mpsc::Receiver<Event>>,
    notary: Option<Arc<Notary>>,
    stop: CancellationToken,
}

impl Control {
    /// Opens the store and puts everything on it; nothing runs yet, and nothing is published.
    pub(super) async fn open(parts: &Parts, tables: Tables) -> anyhow::Result<Self> {
        let Parts { config, state, trust, names, .. } = parts;
        let (stop, metrics) = (CancellationToken::new(), Metrics::new());
        let mailer = config.mail()?.map(Mailer::new).transpose()?;
        let authorities = config.acme_authorities()?;
        let pin = trust.tunnel_ca.spki_sha256();
        let (store, app) = administration::open_app(state, config, &trust.node_key, pin, tables).await?;
        let node_chunk = NodeChunk {
            names: names.clone(),
            edges: config.agents_dial(),
            tunnel_pins: vec![pin],
            quick_domain: config.tunnel.quick_domain.clone(),
            tunnel_domain: config.tunnel.domain.clone(),
            cname_suffix: config.dns.cname_suffix.clone(),
            management_names: config.management_names(),
            management_keys: vec![app.management_key().into()],
            edge_addresses: config.edge_addresses(),
            // HTTP/3 where there is TLS, and the zone wants it.
            edge_protocols: ["h3", "h2"].map(str::to_owned).to_vec(),
            nameservers: config.dns.nameservers.clone(),
            // Control's own: the publisher puts it in.
            cookie_secrets: Vec::new(),
            revoked_origin_certificates: Vec::new(),
            ticket_keys: Vec::new(),
        };
        let (down, feed) = poterne_feed::in_process();
        let publisher =
            Publisher::new(app.clone(), store.clone(), parts.keeper.handle(), down.changes, down.commands, node_chunk);
        app.tell_in(&metrics);
        app.certify_origins_by(OriginAuthorities {
            origins: Arc::clone(&trust.origin_ca),
            pulls: Arc::clone(&trust.origin_pull_ca),
        });
        app.wait_for(publisher.live());
        app.ask_agents(Arc::new(agents::Connected(parts.gateway.clone())));
        let api = poterne_control_api::router(app.clone(), config.control.rate_limit);
        let own = names.first().map_or_else(|| "localhost".to_owned(), Name::to_string);
        let courier = Courier::new(app.clone(), mailer.clone(), webhook::Caller::default(), own, config.languages(), &metrics);
        let resolver = Resolver::new(config.resolver(app.guard())?);
        let scout = Scout::new(app.clone(), resolver.clone(), &metrics);
        let orders = !authorities.is_empty();
        let notary = orders.then(|| Notary::new(app.clone(), resolver.clone(), authorities, &metrics, stop.clone()));
        let reachable = config.edge.https.first().copied().map(bind::reachable);
        let administration = Arc::new(Administration::new(app.clone(), state, reachable, mailer, resolver.clone()));
        Ok(Self { administration, resolver, store, app, api, feed, publisher, courier, scout, notary, metrics, stop })
    }

    /// The application.
    pub(super) fn app(&self) -> &App {
        &self.app
    }

    /// Begins: publishes, records, and answers verbs and the API.
    pub(super) fn run(self, parts: &Parts, running: Arc<Running>, admin: AdminSocket, listener: TcpListener) -> RunningControl {
        let (tasks, stop) = (TaskTracker::new(), self.stop);
        tasks.spawn(poterne_snapshot::follow(parts.keeper.clone(), self.feed.changes, parts.events.clone()));
        tasks.spawn(obey(parts.gateway.clone(), self.feed.commands));
        tasks.spawn(note_alive(Arc::clone(&parts.state), stop.clone()));
        let told = parts.told.lock().unwrap_or_else(PoisonError::into_inner).take();
        let told = told.unwrap_or_else(|| mpsc::channel(1).1);
        let recorder = tokio::spawn(record(self.app, told, stop.clone()));
        tasks.spawn(self.publisher.run(stop.clone()));
        tasks.spawn(self.courier.run(stop.clone()));
        tasks.spawn(self.scout.run(stop.clone()));
        parts.api.store(Some(Arc::new(self.api.clone())));
        parts.metrics.store(Some(Arc::new(self.metrics)));
        tasks.spawn(serve_api(listener, self.api, stop.clone()));
        tasks.spawn(admin.serve(running, stop.clone(), parts.exchanges.clone()));
        RunningControl { store: self.store, tasks, recorder, notary: self.notary, stop }
    }
}

impl RunningControl {
    /// Orders certificates from now on: authorities are answered.
    pub(super) fn order(&mut self) {
        if let Some(notary) = self.notary.take() {
            self.tasks.spawn(notary.run());
        }
    }

    /// Ends it, and closes the store; what the node tells from now on waits for the next.
    pub(super) async fn stop(self, parts: &Parts) {
        parts.api.store(None);
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(BACKGROUND_STOP, self.tasks.wait()).await.is_err() {
            tracing::warn!(left = self.tasks.len(), "some tasks of control did not end in time");
        }
        let told = self.recorder.await.ok();
        *parts.told.lock().unwrap_or_else(PoisonError::into_inner) = told;
        self.store.close().await;
    }
}

/// The administration socket of a state directory.
pub(super) fn admin_socket(state: &StateDir) -> anyhow::Result<AdminSocket> {
    let socket = state.join(state::SOCKET);
    AdminSocket::bind(&socket).with_context(|| {
        format!("{} cannot be made; a shorter --state-dir may help (a socket's path has at most 107 bytes)", socket.display())
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

/// Keeps what nodes tell, until told to stop; what was told by then is kept too, and what comes later is the next one's.
async fn record(app: App, mut events: mpsc::Receiver<Event>, stop: CancellationToken) -> mpsc::Receiver<Event> {
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
    events
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
