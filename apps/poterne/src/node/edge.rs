//! The visitors' side put together: listeners, certificates, pipeline, and who gets what on port 443.

use std::{
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use arc_swap::{ArcSwap, ArcSwapOption};
use axum::{
    Router,
    http::{HeaderValue, StatusCode, header},
};
use http_body_util::BodyExt as _;
use ipnet::IpNet;
use poterne_control_api::{ClientIp, OverTls};
use poterne_dns_resolver::Resolver;
use poterne_edge_http::{
    Body, BodyError, Connection, Limits, Request, Scheme, SocketOf, drain,
    serve::{Protocol, serve_connection},
};
use poterne_edge_listen::{Admission, AdmissionLimits, Arrival, Handshakes, Listener, Proxies};
use poterne_edge_pipeline::{NodeFuture, NodeService, Pipeline, Ports};
use poterne_edge_tls::{Accepted, Acceptor, Certificates, CertificatesSettings, Class, Issued, Issuer, certificates::Unwrap};
use poterne_edge_upstream::{Origins, Stalls, stalls};
use poterne_guard::Guard;
use poterne_keys::{LocalCa, NodeKey, Purpose};
use poterne_model::Name;
use poterne_snapshot::{CertificateChunk, SnapshotHandle};
use poterne_telemetry::{Metrics, Tracer};
use poterne_tunnel_gateway::Gateway;
use rustls_pki_types::PrivatePkcs8KeyDer;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

use super::{origin_pulls::OriginPulls, quic::QuicConfigs};
use crate::{
    config::Config,
    trust::{AgentCertificate, Trust, is_agent_name},
};

/// A visitor's connection, to its end.
type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How long a visitor's TLS handshake may take.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// What serves visitors, shared by all listeners.
pub(super) struct Edge {
    /// The stages of a request.
    pub pipeline: Arc<Pipeline<Gateway>>,
    /// The way straight to origins.
    pub origins: Arc<Origins>,
    /// Where agents that come on 443 go on to.
    pub gateway: Gateway,
    /// Handshakes.
    pub acceptor: Arc<Acceptor>,
    /// What they are answered with.
    pub certificates: Arc<Certificates>,
    /// Bounds of a connection.
    pub limits: ArcSwap<Limits>,
    /// How QUIC is answered.
    pub quic: QuicConfigs,
    /// Who is let in.
    pub admission: Arc<Admission>,
    /// And, over UDP, begins to be.
    pub handshakes: Arc<Handshakes>,
    /// Load balancers that say first whose connections they bring.
    pub proxies: Proxies,
    /// Connections finish their requests and close.
    pub drain: CancellationToken,
    /// Connections end now, whatever they carry.
    pub cut: CancellationToken,
    /// Every connection.
    pub tasks: TaskTracker,
}

/// What the visitors' side is made of.
pub(super) struct Parts<'a> {
    pub config: &'a Config,
    pub names: &'a [Name],
    /// Where its visitors come.
    pub ports: Ports,
    pub snapshot: &'a SnapshotHandle,
    pub gateway: &'a Gateway,
    /// What agents are answered with.
    pub agents: Arc<AgentCertificate>,
    pub visitors_ca: &'a Arc<LocalCa>,
    /// Opens the keys of certificates.
    pub node_key: &'a NodeKey,
    /// What tells this instance from others, to find requests that go in circles.
    pub instance: String,
    pub api: ApiSlot,
    pub origins: Arc<Origins>,
    /// Who is told of requests as parts of traces.
    pub tracer: Option<Tracer>,
    pub metrics: &'a Metrics,
}

/// Puts the visitors' side together; nothing listens yet.
pub(super) fn assemble(parts: Parts<'_>) -> anyhow::Result<Arc<Edge>> {
    let Parts { config, names, ports, snapshot, gateway, agents, visitors_ca, node_key, instance, api, origins, tracer, metrics } =
        parts;
    let settings = CertificatesSettings {
        files: config.edge.certificate_files(),
        // A name server is asked over TLS and HTTPS under its name.
        node_names: names
            .iter()
            .cloned()
            .chain(config.management_names())
            .chain(config.dns.nameservers.iter().cloned())
            .collect(),
        issuer: Some(Arc::new(LocalIssuer(Arc::clone(visitors_ca)))),
        unwrap: Some(unwrap(node_key.clone())),
        node_key: Some(node_key.clone()),
    };
    let certificates = Arc::new(Certificates::new(snapshot.clone(), settings)?);
    let node_names = names.to_vec();
    let classify = move |sni: Option<&str>| match sni {
        Some(sni) if is_agent_name(sni) => Class::Agent,
        Some(sni) if node_names.iter().any(|name| name.as_str() == sni) => Class::Node,
        _ => Class::Visitor,
    };
    let acceptor = Acceptor::new(Arc::clone(&certificates), Some(gateway.tls_config()), classify, HANDSHAKE_TIMEOUT);
    let limits = limits(&config.edge);
    let quic = QuicConfigs::new(acceptor.quic(Arc::clone(&certificates), Some(super::quic::agents(agents)))?, &limits, config);
    let pipeline = Pipeline::new(
        poterne_edge_pipeline::Settings {
            trusted_proxies: ranges(&config.edge.trusted_proxies),
            node_names: names.to_vec(),
            instance,
            tracer,
            parents: config.parents(),
            ports,
            ..poterne_edge_pipeline::Settings::default()
        },
        snapshot.clone(),
        Arc::new(gateway.clone()),
        Arc::clone(&origins),
        Some(Arc::new(Api(api))),
        metrics,
    );
    Ok(Arc::new(Edge {
        pipeline: Arc::new(pipeline),
        origins,
        gateway: gateway.clone(),
        acceptor: Arc::new(acceptor),
        certificates,
        limits: ArcSwap::from_pointee(limits),
        quic,
        admission: Admission::new(admission(&config.edge), metrics),
        proxies: Arc::new(ArcSwap::from_pointee(ranges(&config.edge.proxy_protocol))),
        handshakes: Handshakes::new(Handshakes::MAX, metrics),
        drain: CancellationToken::new(),
        cut: CancellationToken::new(),
        tasks: TaskTracker::new(),
    }))
}

/// Who watches answers that visitors do not take, and lets them go where they are too many.
pub(super) fn stalls(edge: &crate::config::Edge, metrics: &Metrics) -> Stalls {
    let said = edge.stalled_mib_max.map(|mib| stalls::Settings { bytes_max: u64::from(mib.get()) << 20 });
    Stalls::new(said.unwrap_or_else(|| stalls::Settings::for_memory(memory())), metrics)
}

/// How much memory this process may take: the machine's, or its control group's where that is less; 2 GiB where neither is told.
fn memory() -> u64 {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().trim_end_matches(" kB").parse::<u64>().ok()?.checked_mul(1024)
    });
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    machine.into_iter().chain(group).min().unwrap_or(2 << 30)
}

/// How many files this process may open.
fn files() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The way straight to origins.
pub(super) fn origins(
    edge: &crate::config::Edge,
    guard: Guard,
    resolver: Resolver,
    snapshot: &SnapshotHandle,
    trust: &Trust,
    metrics: &Metrics,
    stalls: Stalls,
) -> anyhow::Result<Arc<Origins>> {
    let mut roots = poterne_edge_upstream::web_roots();
    if roots.is_empty() {
        tracing::warn!(
            "this machine knows no certificate authority: zones in mode strict are answered 526; install ca-certificates"
        );
    }
    roots.add(trust.origin_ca.certificate().clone()).context("the authority for origins")?;
    let mut settings = poterne_edge_upstream::Settings { stalls, ..poterne_edge_upstream::Settings::for_files(files()) };
    if let Some(max) = edge.origin_connections_max {
        settings.connections_max = max.get();
        settings.connections_per_zone_max = (max.get() / 2).max(1);
    }
    if let Some(max) = edge.origin_connections_per_zone_max {
        settings.connections_per_zone_max = max.get();
    }
    let pulls = OriginPulls::new(snapshot.clone(), Arc::clone(&trust.origin_pull_ca), trust.node_key.clone());
    let snapshot = snapshot.clone();
    let is_revoked = move |serial: &[u8]| {
        let snapshot = snapshot.load();
        let revoked = &snapshot.node().revoked_origin_certificates;
        revoked.binary_search_by(|known| known.as_slice().cmp(serial)).is_ok()
    };
    let origins = Origins::new(settings, roots, guard, Some(resolver), metrics)?;
    Ok(Arc::new(origins.identified_by(Arc::new(pulls)).revoking(Arc::new(is_revoked))))
}

/// Closes connections to origins that nobody uses, until told to stop.
pub(super) async fn sweep(edge: Arc<Edge>, stop: CancellationToken) {
    edge.origins.sweep(stop).await;
}

/// Addresses and ranges; `Config::load` has seen that each is one.
fn ranges(texts: &[String]) -> Vec<IpNet> {
    texts.iter().filter_map(|text| crate::config::range(text)).collect()
}

/// The default of this process, and what the operator chose.
fn admission(edge: &crate::config::Edge) -> AdmissionLimits {
    AdmissionLimits {
        connections_max: edge.connections_max.unwrap_or(AdmissionLimits::for_files(files()).connections_max),
        connections_per_prefix_max: edge.connections_per_address_max,
    }
}

/// The defaults, and what the operator chose.
fn limits(edge: &crate::config::Edge) -> Limits {
    Limits {
        body_rate_min: edge.upload_bytes_per_sec_min,
        stalled_write_timeout: edge.stalled_write_secs.map(|secs| Duration::from_secs(secs.get().into())),
        half_closed_served: edge.serve_half_closed,
        ..Limits::default()
    }
}

impl Edge {
    /// Obeys these settings, as far as a running node can: for requests of trusted proxies at once, for what concerns connections from
    /// the next one on.
    pub(super) fn obey(&self, settings: &crate::config::Edge) {
        self.pipeline.trust(ranges(&settings.trusted_proxies));
        self.proxies.store(Arc::new(ranges(&settings.proxy_protocol)));
        self.admission.set(admission(settings));
        self.limits.store(Arc::new(limits(settings)));
    }

    /// Receives visitors in clear.
    pub(super) fn serve_http(self: &Arc<Self>, listener: Listener) {
        let edge = Arc::clone(self);
        let (admission, stop, tasks) = (Arc::clone(&self.admission), self.drain.clone(), self.tasks.clone());
        self.tasks.spawn(async move {
            listener
                .behind(Arc::clone(&edge.proxies))
                .run(admission, stop, tasks, move |arrival| {
                    let edge = Arc::clone(&edge);
                    async move { edge.plain(arrival).await }
                })
                .await;
        });
    }

    /// Receives visitors, and agents whose network lets nothing else out, over TLS.
    pub(super) fn serve_https(self: &Arc<Self>, listener: Listener) {
        let edge = Arc::clone(self);
        let (admission, stop, tasks) = (Arc::clone(&self.admission), self.drain.clone(), self.tasks.clone());
        self.tasks.spawn(async move {
            listener
                .behind(Arc::clone(&edge.proxies))
                .run(admission, stop, tasks, move |arrival| {
                    let edge = Arc::clone(&edge);
                    async move { edge.tls(arrival).await }
                })
                .await;
        });
    }

    async fn plain(&self, arrival: Arrival) {
        let Arrival { stream, peer, local } = arrival;
        let connection = Arc::new(Connection::new(peer, local, Scheme::Http, None));
        self.serve(stream, |stream| Some(stream), Protocol::Http1, connection).await;
    }

    async fn tls(&self, arrival: Arrival) {
        // What a handshake takes is not kept by a connection that waits for years.
        if let Some(serving) = Box::pin(self.handshake(arrival)).await {
            serving.await;
        }
    }

    /// How a visitor over TLS is served, where one came of it.
    async fn handshake(&self, arrival: Arrival) -> Option<Serving> {
        let Arrival { stream, peer, local } = arrival;
        match self.acceptor.accept(stream).await {
            Ok(Accepted::Agent(arrived)) => {
                self.gateway.accept_tls(arrived.stream, peer);
                None
            }
            // The pipeline tells the node's own names from visitors' hostnames, by the Host field that the name must agree with.
            Ok(Accepted::Visitor(arrived) | Accepted::Node(arrived)) => {
                // UDP is open beside each of these listeners.
                let offers_http3 = arrived.sni.as_deref().is_some_and(|name| self.certificates.takes_http3(name));
                let connection = Connection::new(peer, local, Scheme::Https, arrived.sni)
                    .with_ja4(arrived.ja4)
                    .with_tls(arrived.tls)
                    .with_client(arrived.client)
                    .offering_http3(offers_http3);
                let connection = Arc::new(connection);
                Some(self.serve(arrived.stream, |tls| Some(tls.get_ref().0), arrived.protocol, connection))
            }
            Ok(Accepted::Authority) => {
                tracing::debug!(%peer, "an authority was shown a challenge");
                None
            }
            Err(error) => {
                tracing::debug!(%peer, %error, "a TLS handshake failed");
                None
            }
        }
    }

    fn serve<IO>(&self, io: IO, socket: SocketOf<IO>, protocol: Protocol, connection: Arc<Connection>) -> Serving
    where
        IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let (handler, limits) = (Arc::clone(&self.pipeline), self.limits.load_full());
        let serving = serve_connection(io, socket, protocol, connection, handler, limits, self.drain.clone());
        Box::pin(drain::until(self.cut.clone(), serving))
    }
}

/// Opens the keys of the snapshot's certificates, which travel wrapped for the node.
fn unwrap(key: NodeKey) -> Arc<Unwrap> {
    Arc::new(move |chunk: &CertificateChunk| {
        let opened = key.open(Purpose::CertificateKey, chunk.id.as_bytes(), &chunk.key);
        let secret =
            opened.inspect_err(|error| tracing::error!(pack = %chunk.id, %error, "a certificate's key does not open")).ok()?;
        Some(PrivatePkcs8KeyDer::from(secret.expose().to_vec()).into())
    })
}

/// Certificates of the node's visitors' authority, by name as they are asked for.
pub(super) struct LocalIssuer(pub Arc<LocalCa>);

impl Issuer for LocalIssuer {
    fn issue(&self, name: &str) -> Result<Issued, String> {
        let leaf = self.0.issue(&[name.to_owned()], SystemTime::now(), None).map_err(|error| error.to_string())?;
        Ok(Issued { chain: leaf.chain, key: leaf.key, renew_after: leaf.renew_at })
    }
}

/// The API, while control runs.
pub(super) type ApiSlot = Arc<ArcSwapOption<Router>>;

/// The API under the node's own names.
pub(super) struct Api(pub ApiSlot);

/// While control is on its way to another program: it is there in a moment.
fn elsewhere() -> poterne_edge_http::Response {
    let body = r#"{"success":false,"errors":[{"code":10000503,"message":"the node is being upgraded: try again in a moment"}],"messages":[],"result":null}"#;
    let mut response = poterne_edge_http::Response::new(Body::full(body));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

impl NodeService for Api {
    fn handle(&self, request: Request, connection: &Arc<Connection>) -> NodeFuture {
        let (router, connection) = (self.0.load_full(), Arc::clone(connection));
        Box::pin(async move {
            let Some(router) = router.map(|router| Router::clone(&router)) else { return elsewhere() };
            let mut request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(ClientIp(connection.peer.ip()));
            if connection.scheme == Scheme::Https {
                request.extensions_mut().insert(OverTls);
            }
            let response = match router.oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            response.map(|body| Body::flow(body.map_err(|error| BodyError::Upstream(error.to_string()))))
        })
    }
}
