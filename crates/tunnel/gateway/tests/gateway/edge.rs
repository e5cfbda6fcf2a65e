//! The gateway under test: its own authority, a snapshot that tests write, and requests as the pipeline would send them.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Method, StatusCode};
use poterne_edge_http::{Body, Kind, Request, Response};
use poterne_edge_upstream::{Trail, TunnelRoute, Tunnels as _, UpstreamError};
use poterne_feed::{Change, Event};
use poterne_model::{AccountId, TunnelId, ZoneId};
use poterne_snapshot::{Applied, Chunk, ChunkKey, RemoteConfig, SnapshotHandle, TunnelChunk};
use poterne_telemetry::Metrics;
use poterne_tunnel_gateway::{AGENT_NAMES, Gateway, Settings};
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::sync::{Mutex, mpsc};

/// Longest anything is waited for; only a failing test waits that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The tunnel of the recorded registration, and its account and secret.
pub(crate) const TUNNEL: &str = "3d539f97-cd3a-4d8e-833b-65e9099c7a8d";
pub(crate) const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";

pub(crate) fn secret() -> Vec<u8> {
    (0..32).collect()
}

pub(crate) fn tunnel() -> TunnelId {
    TUNNEL.parse().unwrap()
}

/// Another tunnel, for those whose requests must not suffer.
pub(crate) fn other_tunnel() -> TunnelId {
    TunnelId::from_bytes([7; 16])
}

/// What must happen, or the test fails.
pub(crate) async fn soon<F: Future>(what: &str, work: F) -> F::Output {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("{what} did not happen"))
}

/// Asks until the answer is yes.
pub(crate) async fn eventually(what: &str, mut ask: impl FnMut() -> bool) {
    soon(what, async {
        while !ask() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

pub(crate) struct Edge {
    pub(crate) gateway: Gateway,
    pub(crate) address: SocketAddr,
    pub(crate) certificate: CertificateDer<'static>,
    snapshot: SnapshotHandle,
    generation: AtomicU64,
    events: Mutex<mpsc::Receiver<Event>>,
    metrics: Metrics,
}

impl Edge {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// A gateway with other settings than the defaults. It knows both tunnels, locally managed.
    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings =
            Settings { listen: vec!["127.0.0.1:0".parse().unwrap()], location: "LAB01".into(), ..Settings::default() };
        change(&mut settings);
        let issued = rcgen::generate_simple_self_signed(AGENT_NAMES.map(String::from)).unwrap();
        let certificate = issued.cert.der().clone();
        let key = PrivateKeyDer::try_from(issued.signing_key.serialize_der()).unwrap();
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
        let certified = Arc::new(CertifiedKey::new(vec![certificate.clone()], key));
        let (snapshot, metrics) = (SnapshotHandle::empty(), Metrics::new());
        let (sender, events) = mpsc::channel(4096);
        let gateway = Gateway::new(settings, Arc::new(Fixed(certified)), snapshot.clone(), sender, &metrics).unwrap();
        let address = gateway.bind().await.unwrap()[0];
        let edge =
            Self { gateway, address, certificate, snapshot, generation: AtomicU64::new(0), events: Mutex::new(events), metrics };
        edge.publish(tunnel(), None);
        edge.publish(other_tunnel(), None);
        edge
    }

    /// Puts a tunnel in force, with the configuration to push if any.
    pub(crate) fn publish(&self, id: TunnelId, remote: Option<(i32, &str)>) {
        let chunk = TunnelChunk {
            id,
            account: ACCOUNT.parse::<AccountId>().unwrap(),
            name: "test".into(),
            secret_digests: vec![poterne_keys::sha256(&secret())],
            remote: remote.map(|(version, json)| RemoteConfig { version, json: Bytes::copy_from_slice(json.as_bytes()) }),
            quick: false,
        };
        self.apply(id, Some(Chunk::Tunnel(chunk).encode()));
    }

    pub(crate) fn delete(&self, id: TunnelId) {
        self.apply(id, None);
    }

    fn apply(&self, id: TunnelId, body: Option<Bytes>) {
        let generation = self.generation.fetch_add(1, Ordering::Relaxed) + 1;
        let change = Change { generation, chunks: vec![(ChunkKey::Tunnel(id).encode(), body)] };
        assert_eq!(self.snapshot.apply(&change), Ok(Applied::Applied));
    }

    /// The next thing the gateway tells control.
    pub(crate) async fn event(&self) -> Event {
        let mut events = self.events.lock().await;
        soon("an event", events.recv()).await.unwrap()
    }

    /// The next end of a connection, and why it ended.
    pub(crate) async fn end(&self) -> String {
        loop {
            if let Event::ConnectionClosed { reason, .. } = self.event().await {
                return reason;
            }
        }
    }

    /// A metric's value, by its name without prefix and suffix.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let text = self.metrics.encode();
        let (gauge, counter) = (format!("poterne_{name} "), format!("poterne_{name}_total "));
        let value = text.lines().find_map(|line| line.strip_prefix(&gauge).or_else(|| line.strip_prefix(&counter)));
        value.unwrap_or_else(|| panic!("no metric {name} in\n{text}")).parse().unwrap()
    }

    pub(crate) async fn send(&self, id: TunnelId, request: Request) -> Result<Response, UpstreamError> {
        send(&self.gateway, id, request).await
    }

    /// Status and body of a GET through the recorded tunnel.
    pub(crate) async fn get(&self, path: &str) -> Result<(StatusCode, String), UpstreamError> {
        let response = self.send(tunnel(), request(Method::GET, path, Body::empty())).await?;
        let status = response.status();
        Ok((status, read(response).await.expect("a whole body")))
    }
}

/// What the pipeline does: one request through a tunnel.
pub(crate) async fn send(gateway: &Gateway, id: TunnelId, request: Request) -> Result<Response, UpstreamError> {
    let zone = Some(ZoneId::from_bytes([9; 16]));
    let route = TunnelRoute { tunnel: id, zone, account: ACCOUNT.parse().unwrap(), connector: None };
    soon("an answer", gateway.send(route, request, &mut Trail::off())).await
}

/// The body; none if it broke off.
pub(crate) async fn read(response: Response) -> Option<String> {
    let mut body = response.into_body();
    let mut all = Vec::new();
    while let Some(frame) = soon("more of a body", body.frame()).await {
        if let Ok(data) = frame.ok()?.into_data() {
            all.extend_from_slice(&data);
        }
    }
    Some(String::from_utf8_lossy(&all).into_owned())
}

pub(crate) fn request(method: Method, path: &str, body: Body) -> Request {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().unwrap();
    request.headers_mut().insert("host", "app.example.test".parse().unwrap());
    request.extensions_mut().insert(Kind::Http);
    request
}

#[derive(Debug)]
struct Fixed(Arc<CertifiedKey>);

impl ResolvesServerCert for Fixed {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}
