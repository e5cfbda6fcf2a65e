//! Setting up one transport connection to the edge: QUIC and HTTP/2 raced, then port 443.
//!
//! QUIC goes first. After [`HTTP2_AFTER`] a TLS connection to the same address and port joins the race, and after another such pause
//! one to port 443, for networks that let nothing else out. The first whose TLS handshake is verified wins, the others are dropped:
//! nothing was registered on them. A network once seen to block UDP lets HTTP/2 start sooner next time; QUIC is still given its
//! chance, because networks change.
//!
//! Names are resolved at each try: an address that was right yesterday is no reason to stay away.

pub(crate) mod proxied;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use poterne_tunnel_transport::{InTurns, Route, ask_for_bbr, mtu::PAYLOAD_MAX};
use quinn::crypto::rustls::QuicClientConfig;
use rustls::pki_types::ServerName;
use tokio::{
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    Congestion, IpVersion, Protocol,
    trust::{Trust, TrustError},
};
use proxied::{Proxies, ProxyError};

/// Head start of QUIC over HTTP/2, and of HTTP/2 over port 443.
const HTTP2_AFTER: Duration = Duration::from_secs(1);
/// The same once QUIC was seen to fail where HTTP/2 succeeded.
const HTTP2_AFTER_BLOCKED: Duration = Duration::from_millis(150);
/// Longest one race lasts.
const RACE_MAX: Duration = Duration::from_secs(15);
/// Longest wait at the end for closed connections to be told so.
const FLUSH_MAX: Duration = Duration::from_millis(500);
/// Names the edge proves to have (reference §1.2).
const QUIC_NAME: &str = "quic.cftunnel.com";
const HTTP2_NAME: &str = "h2.cftunnel.com";
/// Where agents are also accepted, tcp alone.
const FALLBACK_PORT: u16 = 443;
/// Streams the edge may hold open on one connection, which is requests in flight; beyond, the edge waits or takes another connection.
/// quinn keeps some 70 bytes for each it may see, so a connection begins with few and is granted more while it uses them.
pub(crate) const STREAMS_MAX: u32 = 4096;
pub(crate) const STREAMS_AT_FIRST: u32 = 256;
/// What the edge may send unread: on one stream 50 ms at 600 Mbit/s, and on all of a connection whatever they may hold. What requests share
/// must not be what bounds them, or two uploads that a service is slow to take would hold up all else: [`crate::uploads`] does.
pub(crate) const STREAM_WINDOW: u32 = 4 * 1024 * 1024;
pub(crate) const CONNECTION_WINDOW: u32 = 2047 * 1024 * 1024;
/// Wanted of the kernel for the UDP socket's buffers; it may give less.
const UDP_BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// What we keep unacknowledged: 50 ms at 1 Gbit/s.
const SEND_WINDOW: u64 = 8 * 1024 * 1024;

/// A transport, verified and not yet registered.
pub(crate) enum Link {
    Quic(quinn::Connection),
    Http2(Box<TlsStream<TcpStream>>),
}

/// Why there is no connection. Shown in the log, each time.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("cannot find the address of {edge}: {error}")]
    Lookup { edge: String, error: io::Error },
    #[error("{edge} is not an edge address; write host:port, or [address]:port")]
    Address { edge: String },
    #[error("{edge} cannot be reached: {reasons}")]
    Unreachable { edge: String, reasons: String },
}

/// All that dialling needs; shared by the agent's connections.
pub(crate) struct Dialer {
    tls: ArcSwap<Tls>,
    congestion: Congestion,
    protocol: Protocol,
    post_quantum: bool,
    ip_version: IpVersion,
    bind: Option<IpAddr>,
    proxies: Proxies,
    udp_blocked: AtomicBool,
    /// One UDP socket for each family, shared by all connections: quinn keeps 3 MiB of receive buffer for each.
    endpoints: Mutex<[Option<quinn::Endpoint>; 2]>,
}

struct Tls {
    quic: Arc<QuicClientConfig>,
    tcp: Arc<rustls::ClientConfig>,
}

impl Tls {
    fn new(trust: &Trust, post_quantum: bool) -> Result<Self, TrustError> {
        let mut quic = trust.client_config(post_quantum, true)?;
        quic.alpn_protocols = vec![b"argotunnel".to_vec()];
        let quic = QuicClientConfig::try_from(quic).map_err(|error| rustls::Error::General(error.to_string()))?;
        Ok(Self { quic: Arc::new(quic), tcp: Arc::new(trust.client_config(post_quantum, false)?) })
    }
}

/// What a [`Dialer`] is made of.
pub(crate) struct DialSettings<'a> {
    pub(crate) trust: &'a Trust,
    pub(crate) protocol: Protocol,
    pub(crate) post_quantum: bool,
    pub(crate) congestion: Congestion,
    pub(crate) ip_version: IpVersion,
    pub(crate) bind: Option<IpAddr>,
    pub(crate) proxies: Proxies,
}

impl Dialer {
    pub(crate) fn new(settings: DialSettings<'_>) -> Result<Self, TrustError> {
        Ok(Self {
            tls: ArcSwap::from_pointee(Tls::new(settings.trust, settings.post_quantum)?),
            congestion: settings.congestion,
            // Post-quantum is a promise about QUIC (edge-behaviour §6.6), and holds for TCP here as well.
            protocol: settings.protocol,
            post_quantum: settings.post_quantum,
            ip_version: settings.ip_version,
            bind: settings.bind,
            proxies: settings.proxies,
            udp_blocked: AtomicBool::new(false),
            endpoints: Mutex::default(),
        })
    }

    /// Uses another trust from the next dial on: the edge announced its next authority.
    pub(crate) fn retrust(&self, trust: &Trust) -> Result<(), TrustError> {
        self.tls.store(Arc::new(Tls::new(trust, self.post_quantum)?));
        Ok(())
    }

    /// Races the transports to `edge` (`host:port`).
    pub(crate) async fn dial(&self, edge: &str) -> Result<Link, DialError> {
        let (host, port) = split(edge).ok_or_else(|| DialError::Address { edge: edge.to_owned() })?;
        let unreachable = |reasons: String| DialError::Unreachable { edge: edge.to_owned(), reasons };
        let address = self.lookup(host, port).await;
        let proxied = self.proxies.for_host(host).is_some();
        let address = match address {
            Ok(address) => Some(address),
            // A proxy resolves names for those who cannot.
            Err(_) if proxied => None,
            Err(error) => return Err(DialError::Lookup { edge: edge.to_owned(), error }),
        };
        let head_start = match (self.protocol, address) {
            (Protocol::Http2, _) | (Protocol::Auto, None) => Duration::ZERO,
            _ if self.udp_blocked.load(Ordering::Relaxed) => HTTP2_AFTER_BLOCKED,
            _ => HTTP2_AFTER,
        };
        let quic = async {
            match (self.protocol, address) {
                (Protocol::Auto | Protocol::Quic, Some(address)) => self.quic(address).await,
                _ => Err("QUIC: not tried".to_owned()),
            }
        };
        let http2 = async {
            if self.protocol == Protocol::Quic {
                return Err("HTTP/2: not tried".to_owned());
            }
            sleep(head_start).await;
            self.http2(host, port, address).await
        };
        let fallback = async {
            if self.protocol == Protocol::Quic || port == FALLBACK_PORT {
                return Err("port 443: not tried".to_owned());
            }
            sleep(head_start + HTTP2_AFTER).await;
            self.http2(host, FALLBACK_PORT, address.map(|address| SocketAddr::new(address.ip(), FALLBACK_PORT))).await
        };
        let link = timeout(RACE_MAX, first_success(quic, http2, fallback))
            .await
            .map_err(|_| unreachable(format!("nothing answered within {RACE_MAX:?}")))?
            .map_err(unreachable)?;
        if self.protocol == Protocol::Auto && address.is_some() {
            self.udp_blocked.store(matches!(link, Link::Http2(_)), Ordering::Relaxed);
        }
        Ok(link)
    }

    async fn lookup(&self, host: &str, port: u16) -> io::Result<SocketAddr> {
        let addresses: Vec<SocketAddr> = match host.parse::<IpAddr>() {
            Ok(ip) => vec![SocketAddr::new(ip, port)],
            Err(_) => tokio::net::lookup_host((host, port)).await?.collect(),
        };
        let wanted = |address: &&SocketAddr| match self.ip_version {
            IpVersion::Auto => true,
            IpVersion::V4 => address.is_ipv4(),
            IpVersion::V6 => address.is_ipv6(),
        };
        let suitable: Vec<SocketAddr> = addresses.iter().filter(wanted).copied().collect();
        let none = || io::Error::new(io::ErrorKind::NotFound, "it has no address of the wanted family");
        // Several addresses of one name are all the edge's: spread over them.
        let at = usize::from(rand::random::<u16>()) % suitable.len().max(1);
        suitable.get(at).copied().ok_or_else(none)
    }

    async fn quic(&self, address: SocketAddr) -> Result<Link, String> {
        let dialled = async {
            let endpoint = self.endpoint(address.is_ipv4()).map_err(|e| e.to_string())?;
            let mut config = quinn::ClientConfig::new(self.tls.load().quic.clone());
            config.transport_config(Arc::new(transport(self.congestion, Route::to(address))));
            let connecting = endpoint.connect_with(config, address, QUIC_NAME).map_err(|error| {
                if matches!(error, quinn::ConnectError::EndpointStopping) {
                    // Its socket failed for good: the next try makes another.
                    self.endpoints.lock().unwrap_or_else(PoisonError::into_inner)[usize::from(address.is_ipv4())] = None;
                }
                error.to_string()
            })?;
            connecting.await.map_err(|e| e.to_string())
        };
        dialled.await.map(Link::Quic).map_err(|error: String| format!("QUIC: {error}"))
    }

    /// Waits, briefly, until the edge was told of every closed connection.
    pub(crate) async fn flush(&self) {
        let endpoints = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for endpoint in endpoints.into_iter().flatten() {
            let _ = timeout(FLUSH_MAX, endpoint.wait_idle()).await;
        }
    }

    fn endpoint(&self, is_ipv4: bool) -> io::Result<quinn::Endpoint> {
        let mut endpoints = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        let endpoint = &mut endpoints[usize::from(is_ipv4)];
        if let Some(endpoint) = endpoint {
            return Ok(endpoint.clone());
        }
        let any: IpAddr = if is_ipv4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = std::net::UdpSocket::bind(SocketAddr::new(self.bind.unwrap_or(any), 0))?;
        // What the kernel's limits leave is good enough; only speed suffers.
        let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(UDP_BUFFER_BYTES);
        let _ = socket2::SockRef::from(&socket).set_send_buffer_size(UDP_BUFFER_BYTES);
        let mut config = quinn::EndpointConfig::default();
        config.max_udp_payload_size(PAYLOAD_MAX).expect("more than RFC 9000 §18.2 asks for at least");
        let made = quinn::Endpoint::new(config, None, socket, Arc::new(InTurns))?;
        Ok(endpoint.insert(made).clone())
    }

    async fn http2(&self, host: &str, port: u16, address: Option<SocketAddr>) -> Result<Link, String> {
        let dialled = async {
            let stream = match self.proxies.for_host(host) {
                Some(proxy) => proxy.connect(host, port).await.map_err(|error: ProxyError| error.to_string())?,
                None => {
                    let address = address.ok_or("no address")?;
                    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
                    let socket = socket.map_err(|e| e.to_string())?;
                    if let Some(bind) = self.bind {
                        socket.bind(SocketAddr::new(bind, 0)).map_err(|e| e.to_string())?;
                    }
                    socket.connect(address).await.map_err(|e| e.to_string())?
                }
            };
            stream.set_nodelay(true).map_err(|e| e.to_string())?;
            if self.congestion == Congestion::Bbr {
                ask_for_bbr(&stream);
            }
            // Over HTTP/2 dead peers are the edge's to find; TCP tells us when the machine behind it is gone.
            let keep_alive = socket2::TcpKeepalive::new().with_time(Duration::from_secs(5)).with_interval(Duration::from_secs(2));
            socket2::SockRef::from(&stream).set_tcp_keepalive(&keep_alive).map_err(|e| e.to_string())?;
            let name = ServerName::try_from(HTTP2_NAME).expect("a constant DNS name");
            let connector = TlsConnector::from(self.tls.load().tcp.clone());
            connector.connect(name, stream).await.map_err(|e| e.to_string())
        };
        let tls: Result<_, String> = dialled.await;
        tls.map(|tls| Link::Http2(Box::new(tls))).map_err(|error| format!("HTTP/2 on port {port}: {error}"))
    }
}

/// The first that succeeds; all the reasons when none does.
async fn first_success(
    quic: impl Future<Output = Result<Link, String>>,
    http2: impl Future<Output = Result<Link, String>>,
    fallback: impl Future<Output = Result<Link, String>>,
) -> Result<Link, String> {
    tokio::pin!(quic, http2, fallback);
    let mut reasons: [Option<String>; 3] = [None, None, None];
    loop {
        let (at, result) = tokio::select! {
            result = &mut quic, if reasons[0].is_none() => (0, result),
            result = &mut http2, if reasons[1].is_none() => (1, result),
            result = &mut fallback, if reasons[2].is_none() => (2, result),
            else => return Err(reasons.into_iter().flatten().collect::<Vec<_>>().join("; ")),
        };
        match result {
            Ok(link) => return Ok(link),
            Err(reason) => reasons[at] = Some(reason),
        }
    }
}

/// `host:port`, `[v6]:port`.
fn split(edge: &str) -> Option<(&str, u16)> {
    let (host, port) = edge.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    Some((host, port.parse().ok()?)).filter(|(host, _)| !host.is_empty())
}

fn transport(congestion: Congestion, route: Route) -> quinn::TransportConfig {
    let mut transport = quinn::TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(STREAMS_AT_FIRST.into())
        .max_concurrent_uni_streams(0u32.into())
        .keep_alive_interval(Some(Duration::from_secs(1)))
        .max_idle_timeout(Some(Duration::from_secs(5).try_into().expect("five seconds fit a QUIC varint")))
        .stream_receive_window(STREAM_WINDOW.into())
        .receive_window(CONNECTION_WINDOW.into())
        .send_window(SEND_WINDOW)
        .mtu_discovery_config(Some(route.discovery()));
    match congestion {
        Congestion::Bbr => transport.congestion_controller_factory(Arc::new(quinn::congestion::BbrConfig::default())),
        Congestion::Cubic => transport.congestion_controller_factory(Arc::new(quinn::congestion::CubicConfig::default())),
    };
    transport
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edge_addresses_are_host_and_port() {
        assert_eq!(split("edge.example:7844"), Some(("edge.example", 7844)));
        assert_eq!(split("[::1]:7844"), Some(("::1", 7844)));
        for wrong in ["edge.example", "::1:7844", ":7844", "edge:port", "[::1:7844"] {
            assert_eq!(split(wrong), None, "{wrong}");
        }
    }

    #[tokio::test]
    async fn all_reasons_are_told_when_nothing_answers() {
        let fail = |reason: &'static str| async move { Err(reason.to_owned()) };
        let Err(reasons) = first_success(fail("a"), fail("b"), fail("c")).await else { panic!("nothing can have connected") };
        assert_eq!(reasons, "a; b; c");
    }
}
