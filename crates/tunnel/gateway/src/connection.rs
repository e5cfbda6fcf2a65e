//! One registered connection, as requests and the watch see it.

use std::{
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use poterne_edge_upstream::Over;
use poterne_model::{ConnectionId, ConnectionInfo, ConnectorId, TunnelId, tunnel::Transport};
use poterne_tunnel_proto::registration::features::DatagramVersion;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How to speak over it.
#[derive(Clone)]
pub(crate) enum Link {
    Quic(quinn::Connection),
    Http2 { requests: h2::client::SendRequest<Bytes>, closed: CancellationToken },
}

impl Link {
    fn transport(&self) -> Transport {
        match self {
            Self::Quic(_) => Transport::Quic,
            Self::Http2 { .. } => Transport::Http2,
        }
    }

    /// Lets an agent that has registered send so much that nobody has read. Over HTTP/2 it sends what it was asked for alone.
    pub(crate) fn grant(&self, window: u32) {
        if let Self::Quic(connection) = self {
            connection.set_receive_window(window.into());
        }
    }

    pub(crate) fn close(&self, reason: &str) {
        match self {
            Self::Quic(connection) => connection.close(0u32.into(), reason.as_bytes()),
            Self::Http2 { closed, .. } => closed.cancel(),
        }
    }
}

/// Streams over HTTP/2 that are no requests: the registration's, and a configuration on its way.
const STREAMS_OF_CONTROL: usize = 2;

/// A registered connection.
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) tunnel: TunnelId,
    pub(crate) connector: ConnectorId,
    pub(crate) index: u8,
    pub(crate) version: String,
    pub(crate) arch: String,
    pub(crate) features: Vec<String>,
    pub(crate) peer: SocketAddr,
    pub(crate) location: String,
    pub(crate) opened_at: u64,
    /// The agent announced `poterne_trailers_1`.
    pub(crate) trailers: bool,
    /// Which datagrams it speaks.
    pub(crate) datagrams: DatagramVersion,
    pub(crate) link: Link,
    /// Version of the configuration that the agent has, as far as we know.
    pub(crate) pushed: AtomicI64,
    /// Its other version of data streams was told.
    other_version: AtomicBool,
    /// Why we closed it.
    pub(crate) closed_for: OnceLock<String>,
    /// A push is under way.
    pub(crate) pushing: AtomicBool,
    /// The tunnel is remotely managed and this agent has not answered its first configuration: it would answer 503.
    unconfigured: AtomicBool,
    in_flight: AtomicUsize,
    draining: AtomicBool,
    silent: AtomicBool,
    quiet: Notify,
}

/// What registration tells of a connection.
pub(crate) struct Introduction {
    pub(crate) id: ConnectionId,
    pub(crate) tunnel: TunnelId,
    pub(crate) connector: ConnectorId,
    pub(crate) index: u8,
    pub(crate) version: String,
    pub(crate) arch: String,
    pub(crate) features: Vec<String>,
    pub(crate) peer: SocketAddr,
    pub(crate) location: String,
    pub(crate) trailers: bool,
    /// It is told its configuration before it can serve.
    pub(crate) remotely_managed: bool,
    pub(crate) datagrams: DatagramVersion,
}

impl Connection {
    pub(crate) fn new(of: Introduction, link: Link) -> Self {
        Self {
            id: of.id,
            tunnel: of.tunnel,
            connector: of.connector,
            index: of.index,
            version: of.version,
            arch: of.arch,
            features: of.features,
            peer: of.peer,
            location: of.location,
            trailers: of.trailers,
            datagrams: of.datagrams,
            opened_at: crate::unix_now(),
            link,
            pushed: AtomicI64::new(-1),
            other_version: AtomicBool::new(false),
            closed_for: OnceLock::new(),
            pushing: AtomicBool::new(false),
            unconfigured: AtomicBool::new(of.remotely_managed),
            in_flight: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            quiet: Notify::new(),
        }
    }

    /// Whether a new request may be sent over it.
    pub(crate) fn is_usable(&self) -> bool {
        !self.is_draining() && !self.is_silent() && !self.unconfigured.load(Ordering::Relaxed)
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.silent.load(Ordering::Relaxed)
    }

    /// It answered its first configuration, or never will. True if that is news.
    pub(crate) fn set_configured(&self) -> bool {
        self.unconfigured.swap(false, Ordering::Relaxed)
    }

    /// True if that is news.
    pub(crate) fn set_silent(&self, silent: bool) -> bool {
        let news = self.silent.swap(silent, Ordering::Relaxed) != silent;
        if news {
            tracing::info!(tunnel = %self.tunnel, connection = %self.id, silent, "an agent's connection {}", if silent { "is silent: no new requests" } else { "is heard again" });
        }
        news
    }

    /// The agent answers with another version of data streams: nobody minds, and it is worth a line once.
    pub(crate) fn answers_with_version(&self, version: [u8; 2]) {
        if version != poterne_tunnel_proto::stream::VERSION && !self.other_version.swap(true, Ordering::Relaxed) {
            tracing::info!(tunnel = %self.tunnel, connection = %self.id, agent = %self.version, version = %version.escape_ascii(), "an agent answers with another version of data streams; it is read like ours");
        }
    }

    /// No new requests; running ones go on.
    pub(crate) fn start_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether the agent lets one more request begin now. Over HTTP/2 it says how many streams it takes at once (RFC 9113 §5.1.2), and h2
    /// holds back what is more without a word; over QUIC opening a stream waits, which `exchange` bounds.
    pub(crate) fn has_room(&self) -> bool {
        match &self.link {
            Link::Quic(_) => true,
            Link::Http2 { requests, .. } => {
                self.in_flight().saturating_add(STREAMS_OF_CONTROL) < requests.current_max_send_streams()
            }
        }
    }

    /// Counts a request for as long as the guard lives.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self.clone())
    }

    /// Resolves when no request is in flight.
    pub(crate) async fn quiet(&self) {
        loop {
            let mut quiet = std::pin::pin!(self.quiet.notified());
            // Registered before the count is read, so that no last request is missed.
            quiet.as_mut().enable();
            if self.in_flight.load(Ordering::Acquire) == 0 {
                return;
            }
            quiet.await;
        }
    }

    pub(crate) fn close(&self, reason: &str) {
        self.start_draining();
        // Before the transport is told, which asks for it.
        self.closed_for.get_or_init(|| reason.to_owned());
        self.link.close(reason);
    }

    /// As whoever traces a request that takes it is told.
    pub(crate) fn told(&self) -> Over {
        let transport = self.link.transport();
        Over::Tunnel { connection: self.id, connector: self.connector, transport, agent: self.peer }
    }

    pub(crate) fn info(&self) -> ConnectionInfo {
        ConnectionInfo {
            id: self.id,
            index: self.index,
            transport: self.link.transport(),
            origin_ip: self.peer.ip().to_canonical(),
            location: self.location.clone(),
            opened_at: self.opened_at,
            draining: self.is_draining(),
        }
    }
}

/// A request in flight.
pub(crate) struct InFlight(Arc<Connection>);

impl InFlight {
    pub(crate) fn connection(&self) -> &Connection {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.0.in_flight.fetch_sub(1, Ordering::Release) == 1 {
            self.0.quiet.notify_waiters();
        }
    }
}
