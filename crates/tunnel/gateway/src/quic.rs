//! One agent's QUIC connection, from its first packet to its end.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use poterne_tunnel_proto::{
    datagram,
    registration::features::DatagramVersion,
    stream::{Opening, Parsed, parse_opening},
};
use poterne_tunnel_rpc::{Limits, SessionServer, serve_registration, serve_sessions};
use poterne_tunnel_transport::Route;
use quinn::{VarInt, congestion};

use crate::{
    ALPN, Congestion, Inner, Settings,
    connection::Link,
    newcomers::{Answer, Ticket},
    register::Registration,
    settings::{AGENT_STREAMS_MAX, DATAGRAM_BYTES_MAX, NEWCOMER_BYTES_MAX, PING_INTERVAL},
};

/// How agents are met.
pub(crate) struct Configs {
    pub(crate) ordinary: quinn::ServerConfig,
    /// For those on a way with large packets.
    large: Arc<quinn::ServerConfig>,
}

pub(crate) fn server_configs(
    settings: &Settings,
    certificates: Arc<dyn rustls::server::ResolvesServerCert>,
) -> Result<Configs, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let tls = quinn::crypto::rustls::QuicServerConfig::try_from(tls)
        .map_err(|_| rustls::Error::General("no cipher suite for QUIC".into()))?;
    let mut ordinary = quinn::ServerConfig::with_crypto(Arc::new(tls));
    ordinary.transport_config(Arc::new(transport(settings, Route::Ordinary)));
    // An agent that changes its address (a home router's new lease) keeps its connection.
    ordinary.migration(true);
    let mut large = ordinary.clone();
    large.transport_config(Arc::new(transport(settings, Route::Large)));
    Ok(Configs { ordinary, large: Arc::new(large) })
}

fn transport(settings: &Settings, route: Route) -> quinn::TransportConfig {
    let mut transport = quinn::TransportConfig::default();
    transport
        .max_idle_timeout(settings.dead_after.try_into().ok())
        .keep_alive_interval(Some(PING_INTERVAL))
        .max_concurrent_bidi_streams(AGENT_STREAMS_MAX.into())
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(settings.stream_window.into())
        .receive_window(NEWCOMER_BYTES_MAX.into())
        .send_window(send_window(settings))
        .datagram_receive_buffer_size(Some(DATAGRAM_BYTES_MAX))
        .datagram_send_buffer_size(DATAGRAM_BYTES_MAX)
        .mtu_discovery_config(Some(route.discovery()));
    match settings.congestion {
        Congestion::Bbr => transport.congestion_controller_factory(Arc::new(congestion::BbrConfig::default())),
        Congestion::Cubic => transport.congestion_controller_factory(Arc::new(congestion::CubicConfig::default())),
    };
    transport
}

/// Answers a connection attempt, or asks it to prove its address first.
pub(crate) fn accept(inner: &Arc<Inner>, incoming: quinn::Incoming) {
    match inner.door.attempt(incoming.remote_address().ip(), incoming.remote_address_validated()) {
        Answer::Admit(ticket) => {
            let inner = inner.clone();
            inner.clone().tasks.spawn(async move {
                if let Some(connection) = handshake(&inner, incoming).await {
                    run(inner, connection, ticket).await;
                }
            });
        }
        Answer::Prove => {
            // Only what is proved already cannot be asked to, and that is never answered so.
            let _ = incoming.retry();
        }
        Answer::Refuse => incoming.refuse(),
    }
}

/// A connection whose handshake was another endpoint's. Its address is proved by that.
pub(crate) fn take_over(inner: &Arc<Inner>, connection: quinn::Connection) {
    let Answer::Admit(ticket) = inner.door.attempt(connection.remote_address().ip(), true) else {
        return connection.close(0u32.into(), b"too many newcomers");
    };
    connection.set_send_window(send_window(&inner.settings));
    let inner = inner.clone();
    inner.clone().tasks.spawn(run(inner, connection, ticket));
}

fn send_window(settings: &Settings) -> u64 {
    u64::from(settings.stream_window) * 8
}

async fn handshake(inner: &Inner, incoming: quinn::Incoming) -> Option<quinn::Connection> {
    let peer = incoming.remote_address();
    let connecting = match Route::to(peer) {
        Route::Ordinary => incoming.accept(),
        Route::Large => incoming.accept_with(inner.quic.large.clone()),
    };
    let connecting = connecting.ok()?;
    match tokio::time::timeout(inner.settings.handshake_timeout, connecting).await {
        Ok(Ok(connection)) => Some(connection),
        Ok(Err(error)) => {
            inner.counters.handshakes_failed.inc();
            tracing::debug!(%peer, %error, "a QUIC handshake failed");
            None
        }
        Err(_) => {
            inner.counters.handshakes_failed.inc();
            tracing::debug!(%peer, "a QUIC handshake was not finished in time");
            None
        }
    }
}

async fn run(inner: Arc<Inner>, connection: quinn::Connection, ticket: Ticket) {
    let peer = connection.remote_address();
    // A pre-check opens no stream and closes by itself; who does neither is no agent.
    let control = tokio::time::timeout(inner.settings.handshake_timeout, connection.accept_bi());
    let Ok(Ok((send, recv))) = control.await else {
        connection.close(0u32.into(), b"no control stream");
        return;
    };
    let registration = Registration::new(inner.clone(), Link::Quic(connection.clone()), peer, ticket);
    let control = serve_registration(&inner.threads, recv, send, registration.server(), Limits::default());
    let reason = tokio::select! {
        reason = connection.closed() => registration.closed_for().unwrap_or_else(|| reason.to_string()),
        reason = registration.supervise(control) => {
            connection.close(0u32.into(), reason.as_bytes());
            reason
        }
        never = streams(&inner, &connection) => match never {},
        never = datagrams(&inner, &connection, &registration) => match never {},
    };
    connection.close(0u32.into(), reason.as_bytes());
    registration.ended(&reason).await;
}

/// Streams that the agent opens beside its control stream: ended UDP sessions, by RPC. As many at a time as the agent has credit for.
async fn streams(inner: &Arc<Inner>, connection: &quinn::Connection) -> Infallible {
    let warned = Arc::new(AtomicBool::new(false));
    while let Ok((send, recv)) = connection.accept_bi().await {
        let (inner, warned, peer) = (inner.clone(), warned.clone(), connection.remote_address());
        inner.counters.agent_streams.inc();
        inner.clone().tasks.spawn(async move {
            if !sessions(&inner, send, recv).await {
                inner.counters.agent_streams_refused.inc();
                if !warned.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%peer, "an agent opened a stream that is no RPC: its fault; closing it, and counting further ones of this connection");
                }
            }
            inner.counters.agent_streams.dec();
        });
    }
    // The connection is gone, which its own end tells.
    std::future::pending().await
}

/// Serves one; false if it is none.
async fn sessions(inner: &Inner, send: quinn::SendStream, mut recv: quinn::RecvStream) -> bool {
    let mut first = [0; 6];
    let opening = tokio::time::timeout(RPC_TIMEOUT, recv.read_exact(&mut first)).await;
    let is_rpc =
        matches!(opening, Ok(Ok(()))) && matches!(parse_opening(&first), Ok(Parsed::Complete { value: Opening::Rpc, .. }));
    if is_rpc {
        let sessions: Arc<dyn SessionServer> = Arc::new(NoSessions);
        // Its outcome is the agent's affair.
        let _ = serve_sessions(&inner.threads, recv, send, sessions, Limits::default(), RPC_TIMEOUT).await;
    }
    is_rpc
}

const RPC_TIMEOUT: Duration = Duration::from_secs(5);

/// No UDP session is ever opened by this edge: private routes are not served yet.
struct NoSessions;

impl SessionServer for NoSessions {
    fn unregister_udp_session(&self, _: [u8; 16], message: String) -> poterne_tunnel_rpc::BoxFuture<'static, ()> {
        Box::pin(async move { tracing::debug!(message, "an agent ended a UDP session that is not known") })
    }
}

/// Datagrams are read so that they cannot pile up, counted, and dropped: there is no private route that could want them.
async fn datagrams(inner: &Inner, connection: &quinn::Connection, registration: &Registration) -> Infallible {
    while let Ok(bytes) = connection.read_datagram().await {
        let well_formed = match registration.datagram_version() {
            DatagramVersion::V2 => datagram::v2::decode(bytes).is_ok(),
            DatagramVersion::V3 => datagram::v3::decode(bytes).is_ok(),
        };
        inner.counters.datagrams.inc();
        if !well_formed {
            inner.counters.datagrams_malformed.inc();
        }
    }
    // As above.
    std::future::pending().await
}
