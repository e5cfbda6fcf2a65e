//! UDP beside each TLS listener: visitors over HTTP/3, and agents whose network lets nothing else out. One endpoint takes both, and ALPN tells
//! who it was.

use std::{net::SocketAddr, os::unix::net::UnixDatagram, sync::Arc, time::Duration};

use poterne_edge_http::{Connection, Limits, Negotiated, Scheme, drain, http3};
use poterne_edge_listen::{QuicArrival, QuicListener};
use poterne_edge_tls::{Agents, Told};
use poterne_tunnel_gateway as gateway;
use poterne_tunnel_transport::{InTurns, Route, handover::Shared};
use quinn::{VarInt, congestion};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::edge::{Edge, HANDSHAKE_TIMEOUT};
use crate::{
    bind::{self, BindError},
    config::{self, Config},
    inherited::Inherited,
    trust::AgentCertificate,
};

/// How long the last packets to agents may take to leave.
const GOODBYE: Duration = Duration::from_secs(1);
/// After this long without a packet a visitor is taken for gone (edge-behaviour §5.3). Agents say less themselves.
const SILENT_MAX: Duration = Duration::from_secs(30);
/// How often a visitor that is silent while it waits for something is asked whether it is there. Agents ask us more often.
const PING_INTERVAL: Duration = Duration::from_secs(10);
/// Datagrams that an agent may have on their way, in bytes.
const DATAGRAM_BYTES_MAX: usize = 64 * 1024;

/// How connections are answered.
pub(super) struct QuicConfigs {
    ordinary: quinn::ServerConfig,
    /// On a way with large packets.
    large: Arc<quinn::ServerConfig>,
}

impl QuicConfigs {
    pub(super) fn new(tls: Arc<dyn quinn::crypto::ServerConfig>, limits: &Limits, config: &Config) -> Self {
        let mut ordinary = quinn::ServerConfig::with_crypto(tls);
        ordinary.transport_config(Arc::new(transport(limits, config, Route::Ordinary)));
        let mut large = ordinary.clone();
        large.transport_config(Arc::new(transport(limits, config, Route::Large)));
        Self { ordinary, large: Arc::new(large) }
    }

    fn of(&self, peer: SocketAddr) -> Option<Arc<quinn::ServerConfig>> {
        (Route::to(peer) == Route::Large).then(|| Arc::clone(&self.large))
    }
}

/// What visitors are granted; what agents need beyond it the gateway grants them.
fn transport(limits: &Limits, config: &Config, route: Route) -> quinn::TransportConfig {
    let mut transport = quinn::TransportConfig::default();
    transport
        .max_idle_timeout(SILENT_MAX.try_into().ok())
        .keep_alive_interval(Some(PING_INTERVAL))
        .max_concurrent_bidi_streams(limits.h3_streams_max.into())
        .max_concurrent_uni_streams(http3::SIDE_STREAMS_MAX.into())
        // An agent's answers have the same; what a visitor may send at all is less.
        .stream_receive_window(gateway::Settings::default().stream_window.into())
        .receive_window(limits.h3_connection_window.into())
        .send_window(limits.h3_send_bytes_max.into())
        .datagram_receive_buffer_size(Some(DATAGRAM_BYTES_MAX))
        .datagram_send_buffer_size(DATAGRAM_BYTES_MAX)
        .mtu_discovery_config(Some(route.discovery()));
    match config.tunnel.congestion {
        config::Congestion::Bbr => transport.congestion_controller_factory(Arc::new(congestion::BbrConfig::default())),
        config::Congestion::Cubic => transport.congestion_controller_factory(Arc::new(congestion::CubicConfig::default())),
    };
    transport
}

/// Agents, as the visitors' port knows them.
pub(super) fn agents(certificates: Arc<AgentCertificate>) -> Agents {
    Agents { alpn: gateway::ALPN.to_vec(), certificates }
}

/// A UDP socket, and the way to whoever read it before.
pub(super) type Udp = (std::net::UdpSocket, Option<UnixDatagram>);

/// UDP at the address of each TLS listener.
pub(super) fn udp_beside(listeners: &[SocketAddr], opened: &mut Inherited) -> Result<Vec<(SocketAddr, Udp)>, BindError> {
    listeners.iter().map(|address| Ok((*address, bind::udp(HTTPS, *address, opened)?))).collect()
}

/// Ports for agents, each at the address that it really has, and UDP's with the way to whoever read it before.
pub(super) fn agents_ports(addresses: &[SocketAddr], opened: &mut Inherited) -> Result<Vec<AgentsPort>, BindError> {
    let mut port = |address: &SocketAddr| {
        let address = *address;
        let (listener, socket) = (opened.listener(TUNNEL, address), opened.udp(TUNNEL, address));
        let (tcp, udp) = match (listener, socket) {
            (Some(tcp), Some(udp)) => (tcp, udp),
            // One alone is no port for agents.
            _ => {
                let gateway::Bound { udp, tcp } = gateway::open(address)?;
                (tcp, (udp, None))
            }
        };
        opened.keep(TUNNEL, address, false, &tcp)?;
        opened.keep(TUNNEL, address, true, &udp.0)?;
        Ok(AgentsPort { set: address, address: tcp.local_addr()?, tcp, udp })
    };
    addresses
        .iter()
        .map(|address| port(address).map_err(|error| BindError { setting: TUNNEL, address: *address, error }))
        .collect()
}

/// A port for agents.
pub(super) struct AgentsPort {
    /// As it is set.
    pub set: SocketAddr,
    /// As it is.
    pub address: SocketAddr,
    pub tcp: std::net::TcpListener,
    pub udp: Udp,
}

/// The settings that UDP sockets of QUIC are kept by.
pub(super) const HTTPS: &str = "edge.https";
pub(super) const TUNNEL: &str = "tunnel.listen";

/// What tells the endpoint of a port from the others.
pub(super) fn name(index: usize) -> String {
    format!("{HTTPS} {index}")
}

impl Edge {
    /// Receives visitors until the drain; agents that came stay until `stop`.
    ///
    /// `index`: of the port among `edge.https`.
    pub(super) fn serve_quic(
        self: &Arc<Self>,
        index: usize,
        socket: Arc<Shared>,
        background: &TaskTracker,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let config = self.gateway.endpoint_config(&name(index));
        let server = Some(self.quic.ordinary.clone());
        let endpoint = quinn::Endpoint::new_with_abstract_socket(config, server, socket, Arc::new(InTurns))?;
        let listener = QuicListener::new(endpoint)?;
        let edge = Arc::clone(self);
        background.spawn(async move {
            let serve = {
                let edge = Arc::clone(&edge);
                move |arrival| {
                    let edge = Arc::clone(&edge);
                    async move { edge.quic_arrival(arrival).await }
                }
            };
            let (admission, handshakes) = (Arc::clone(&edge.admission), Arc::clone(&edge.handshakes));
            let (drain, tasks) = (edge.drain.clone(), edge.tasks.clone());
            let config = |peer| edge.quic.of(peer);
            listener.run((admission, handshakes), config, HANDSHAKE_TIMEOUT, drain, tasks, serve).await;
            // The gateway has closed its connections before this stops; what it said must still leave.
            stop.cancelled().await;
            listener.rest(GOODBYE).await;
        });
        Ok(())
    }

    async fn quic_arrival(&self, arrival: QuicArrival) {
        let QuicArrival { connection, peer, local } = arrival;
        let told = connection.handshake_data().and_then(|data| data.downcast::<Told>().ok());
        let client = told.as_ref().and_then(|told| told.client(connection.peer_identity()));
        let (protocol, sni) = told.map(|told| (told.protocol, told.server_name)).unwrap_or_default();
        if protocol.as_deref() == Some(gateway::ALPN) {
            return self.gateway.accept_quic(connection);
        }
        let sni = sni.map(|name| name.to_ascii_lowercase().into());
        let tls = Negotiated { version: "TLSv1.3", cipher: None };
        let visitor = Connection::new(peer, local, Scheme::Https, sni).with_tls(tls).with_client(client).offering_http3(true);
        let visitor = Arc::new(visitor);
        let (handler, limits) = (Arc::clone(&self.pipeline), self.limits.load_full());
        let serving = Box::pin(http3::serve_connection(connection.clone(), visitor, handler, limits, self.drain.clone()));
        drain::until(self.cut.clone(), serving).await;
        // Where it was cut, bodies that still flow may hold it.
        connection.close(VarInt::from_u32(0x100), b"");
    }
}
