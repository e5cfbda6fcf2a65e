//! The edge end of the tunnel: accepts agents, and offers their tunnels as an upstream.
//!
//! ```text
//! agent ──QUIC, ALPN argotunnel──→ quic ─┐                              ┌─ exchange::quic ─→ a data stream
//! agent ──TLS + HTTP/2 reversed──→ http2 ┴→ register → registry ← send ─┴─ exchange::http2 → a request
//! ```
//!
//! * [`settings`]: what an operator may set, and every bound;
//! * `listen`: UDP and TCP on one port number;
//! * `quic`, `http2`: one accepted connection of each transport, to its end (`goaway`: over HTTP/2);
//! * `newcomers`: who may try, and how often;
//! * `register`: what an agent says on its control stream;
//! * `registry`: tunnel → live connections, chosen by power of two choices;
//! * `moving`: agents that leave for a successor of this program;
//! * `watch`: silent connections, configuration pushes, deleted tunnels;
//! * `exchange`: one request over one connection; `send`: on which, and whether again.
//!
//! The gateway obeys the snapshot (which tunnels exist, their secrets' digests, their configuration) and tells control by events.
//! It does not know visitors: fields of the origin's request are the pipeline's.
#![forbid(unsafe_code)]

mod connection;
mod exchange;
mod goaway;
mod http2;
mod listen;
mod metrics;
mod moving;
mod newcomers;
mod quic;
mod register;
mod registry;
mod send;
pub mod settings;
mod watch;

use std::{
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
    os::unix::net::UnixDatagram,
    sync::Arc,
    time::{Duration, Instant},
};

use poterne_feed::{Command, Event};
use poterne_model::{ConnectorInfo, TunnelId, TunnelStatus};
use poterne_snapshot::SnapshotHandle;
use poterne_telemetry::Metrics;
use poterne_tunnel_rpc::RpcThreads;
use poterne_tunnel_transport::handover::Shared;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use crate::{
    listen::{Bound, open},
    settings::{Congestion, Settings},
};
use crate::{
    metrics::Counters,
    newcomers::{Answer, Door, Limits},
    registry::Registry,
};

/// Names that agents ask for in their TLS handshakes; the listener's certificate carries them all.
pub const AGENT_NAMES: [&str; 3] = ["quic.cftunnel.com", "h2.cftunnel.com", "probe.cftunnel.com"];

/// ALPN of the tunnel over QUIC.
pub const ALPN: &[u8] = b"argotunnel";

/// The gateway; clones are the same one.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) settings: Settings,
    pub(crate) snapshot: SnapshotHandle,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) threads: RpcThreads,
    pub(crate) registry: Registry,
    pub(crate) counters: Counters,
    pub(crate) quic: quic::Configs,
    pub(crate) tls: Arc<rustls::ServerConfig>,
    /// No new connections are accepted once this is cancelled.
    pub(crate) stop: CancellationToken,
    /// Whether the listeners accept anybody.
    pub(crate) accepting: tokio::sync::watch::Sender<bool>,
    pub(crate) tasks: TaskTracker,
    pub(crate) door: Arc<Door>,
    /// Counts agents' answers to configurations.
    pub(crate) answers: tokio::sync::watch::Sender<u64>,
}

impl Gateway {
    /// Of these settings; `certificates` answers the agents' handshakes (see [`AGENT_NAMES`]).
    ///
    /// Must be called inside a runtime: the watch over connections begins at once.
    ///
    /// # Errors
    /// The TLS library refuses the configuration.
    pub fn new(
        settings: Settings,
        certificates: Arc<dyn rustls::server::ResolvesServerCert>,
        snapshot: SnapshotHandle,
        events: mpsc::Sender<Event>,
        metrics: &Metrics,
    ) -> Result<Self, rustls::Error> {
        let quic = quic::server_configs(&settings, certificates.clone())?;
        let tls = http2::server_config(certificates)?;
        let gateway = Self(Arc::new(Inner {
            threads: RpcThreads::new(settings.rpc_threads),
            door: Door::new(
                Limits {
                    newcomers_max: settings.newcomers_max,
                    per_source_max: settings.newcomers_per_source_max,
                    forgiven_after: settings.refusal_forgiven_after,
                },
                metrics,
            ),
            registry: Registry::new(Instant::now()),
            counters: Counters::new(metrics),
            settings,
            snapshot,
            events,
            quic,
            tls,
            accepting: tokio::sync::watch::Sender::new(true),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            answers: tokio::sync::watch::Sender::new(0),
        }));
        watch::start(&gateway.0);
        Ok(gateway)
    }

    /// Opens the listeners of the settings, UDP and TCP on the same port each, and tells their addresses.
    ///
    /// # Errors
    /// A port cannot be had.
    pub async fn bind(&self) -> io::Result<Vec<SocketAddr>> {
        listen::bind(&self.0).await
    }

    /// TLS for agents that come by TCP on another listener: no ALPN is asked for.
    pub fn tls_config(&self) -> Arc<rustls::ServerConfig> {
        self.0.tls.clone()
    }

    /// How another endpoint that agents come to is set up. `name` tells it from this process's other endpoints and is the same after a restart:
    /// were their reset keys one, an endpoint would give away the token of a connection at its neighbour (RFC 9000 §21.11).
    pub fn endpoint_config(&self, name: &str) -> quinn::EndpointConfig {
        listen::endpoint_config(&self.0, name)
    }

    /// The socket of such an endpoint, which a successor of this program may take over; `predecessor`: whom it was taken over from.
    ///
    /// # Errors
    /// The system refuses.
    pub fn share(&self, name: &str, socket: UdpSocket, predecessor: Option<UnixDatagram>) -> io::Result<Arc<Shared>> {
        listen::share(&self.0, name, socket, predecessor)
    }

    /// The same of the listener of this index among those of the settings.
    ///
    /// # Errors
    /// The system refuses.
    pub fn share_listener(&self, index: usize, socket: UdpSocket, predecessor: Option<UnixDatagram>) -> io::Result<Arc<Shared>> {
        self.share(&listen::name(index), socket, predecessor)
    }

    /// Accepts agents at the listener of this index, whose sockets the caller has.
    ///
    /// # Errors
    /// The system refuses.
    pub fn serve(&self, index: usize, udp: Arc<Shared>, tcp: TcpListener) -> io::Result<()> {
        listen::serve(&self.0, &listen::name(index), udp, tcp)
    }

    /// Whether the listeners accept anybody from now on, as they do at first. Agents that are there stay; who comes meanwhile is a
    /// successor's, which has the same listeners.
    pub fn accept(&self, anybody: bool) {
        self.0.accepting.send_replace(anybody);
    }

    /// Takes over an agent's connection that another listener accepted, its TLS handshake done.
    pub fn accept_tls<IO>(&self, stream: tokio_rustls::server::TlsStream<IO>, peer: SocketAddr)
    where
        IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        // Over TCP an address cannot be forged.
        if let Answer::Admit(ticket) = self.0.door.attempt(peer.ip(), true) {
            self.0.tasks.spawn(http2::run(self.0.clone(), stream, peer, ticket));
        }
    }

    /// Takes over an agent's connection that another endpoint accepted, its handshake done: it asked for [`ALPN`]. Of what was set for it there,
    /// the windows become an agent's; its idle timeout is the agent's own, which is the shorter one.
    pub fn accept_quic(&self, connection: quinn::Connection) {
        quic::take_over(&self.0, connection);
    }

    /// The connectors of a tunnel, with their live connections.
    pub fn connectors(&self, tunnel: TunnelId) -> Vec<ConnectorInfo> {
        self.0.registry.connectors(tunnel)
    }

    /// How a tunnel is, and since when, at `now` (seconds since the Unix epoch).
    pub fn status(&self, tunnel: TunnelId, now: u64) -> (TunnelStatus, Option<u64>) {
        self.0.registry.status(tunnel, now)
    }

    /// Returns once every agent of a tunnel has answered the configuration that the snapshot has for it; at once where none is
    /// connected. An agent that does not answer is waited for: the caller sets the bound.
    pub async fn configured(&self, tunnel: TunnelId) {
        let mut answers = self.0.answers.subscribe();
        while self.0.registry.connections(tunnel).iter().any(|connection| crate::watch::is_behind(&self.0, connection)) {
            if answers.changed().await.is_err() {
                return;
            }
        }
    }

    /// Live connections of all tunnels.
    pub fn connections(&self) -> usize {
        self.0.registry.all().len()
    }

    /// Carries out control's orders.
    pub fn command(&self, command: &Command) {
        match command {
            Command::DropConnections { tunnel, connector } => {
                // An order may be faster than the watch over the snapshot that it follows.
                let is_there = self.0.snapshot.load().tunnel(*tunnel).is_some();
                let reason = if is_there { "dropped by the operator" } else { "the tunnel was deleted" };
                for connection in self.0.registry.connections(*tunnel) {
                    if connector.is_none_or(|only| only == connection.connector) {
                        connection.close(reason);
                    }
                }
            }
        }
    }

    /// Accepts nobody any more, lets running requests end until `deadline`, then closes every connection.
    pub async fn drain(&self, deadline: Instant) {
        self.0.stop.cancel();
        let all = self.0.registry.all();
        all.iter().for_each(|connection| connection.start_draining());
        let quiet = async {
            for connection in &all {
                connection.quiet().await;
            }
        };
        // The deadline is the operator's: what still runs then is cut.
        let _ = tokio::time::timeout_at(deadline.into(), quiet).await;
        all.iter().for_each(|connection| connection.close("the edge is shutting down"));
        self.0.tasks.close();
        let _ = tokio::time::timeout(Duration::from_secs(2), self.0.tasks.wait()).await;
    }
}

/// Seconds since the Unix epoch, for what operators read; nothing is decided by it.
pub(crate) fn unix_now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Sixty-four random bits, cheap enough for each request: choice among connections needs no secrecy.
pub(crate) fn random() -> u64 {
    use std::cell::Cell;
    thread_local!(static STATE: Cell<u64> = const { Cell::new(0) });
    STATE.with(|state| {
        let mut x = state.get();
        if x == 0 {
            x = u64::from_le_bytes(poterne_keys::random_bytes()) | 1;
        }
        // Xorshift64 (Marsaglia, 2003).
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        state.set(x);
        x
    })
}
