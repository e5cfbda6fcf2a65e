//! UDP and TCP on one port number.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use aws_lc_rs::hmac;
use poterne_keys::{Secret, random_bytes};
use poterne_tunnel_transport::mtu::PAYLOAD_MAX;
use socket2::{Domain, Protocol, Socket, Type};

use crate::{Inner, http2, newcomers::Answer, quic};

/// How often a port that the kernel chose for UDP may be taken for TCP before we give up.
const PORT_ATTEMPTS: usize = 32;

/// Wanted of the kernel for a UDP socket's buffers; it may give less.
const UDP_BUFFER_BYTES: usize = 8 * 1024 * 1024;

/// Long enough that nobody guesses one.
const CONNECTION_ID_BYTES: usize = 8;

/// Between two resets of one endpoint: after a restart a thousand agents a second learn of it. A reset is shorter than what it
/// answers, so that a storm of packets gains nothing.
const RESET_INTERVAL_MIN: Duration = Duration::from_millis(1);

pub(crate) async fn bind(inner: &Arc<Inner>) -> io::Result<Vec<SocketAddr>> {
    let mut bound = Vec::with_capacity(inner.settings.listen.len());
    for (index, address) in inner.settings.listen.iter().enumerate() {
        let (udp, tcp) = both(*address)?;
        let local = udp.local_addr()?;
        let config = endpoint_config(&inner.settings.reset_key, &format!("tunnel.listen {index}"));
        let endpoint =
            quinn::Endpoint::new(config, Some(inner.quic.ordinary.clone()), udp, Arc::new(poterne_tunnel_transport::InTurns))?;
        inner.tasks.spawn(accept_udp(inner.clone(), endpoint));
        inner.tasks.spawn(accept_tcp(inner.clone(), tokio::net::TcpListener::from_std(tcp)?));
        bound.push(local);
    }
    Ok(bound)
}

/// Packets of connections that this endpoint does not know are answered by resets that their agents believe, if an endpoint of the
/// same key and name gave them their ids.
pub(crate) fn endpoint_config(key: &Secret, name: &str) -> quinn::EndpointConfig {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose());
    let own = hmac::sign(&key, name.as_bytes());
    let mut config = quinn::EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, own.as_ref())));
    config
        .cid_generator(|| Box::new(RandomIds))
        .min_reset_interval(RESET_INTERVAL_MIN)
        .max_udp_payload_size(PAYLOAD_MAX)
        .expect("more than RFC 9000 §18.2 asks for at least");
    config
}

/// Connection ids, random. quinn's own hold a check by a key that ends with its process, and ids that fail it are never reset.
struct RandomIds;

impl quinn::ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> quinn::ConnectionId {
        quinn::ConnectionId::new(&random_bytes::<CONNECTION_ID_BYTES>())
    }

    fn cid_len(&self) -> usize {
        CONNECTION_ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

fn both(address: SocketAddr) -> io::Result<(std::net::UdpSocket, std::net::TcpListener)> {
    let mut attempts = 0;
    loop {
        let udp = udp(address)?;
        let local = udp.local_addr()?;
        match tcp(local) {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) if address.port() == 0 && error.kind() == io::ErrorKind::AddrInUse && attempts < PORT_ATTEMPTS => {
                attempts += 1
            }
            Err(error) => return Err(error),
        }
    }
}

fn udp(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // What the kernel's limits leave is good enough for small nodes; only speed suffers.
    let _ = socket.set_recv_buffer_size(UDP_BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(UDP_BUFFER_BYTES);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn tcp(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}

async fn accept_udp(inner: Arc<Inner>, endpoint: quinn::Endpoint) {
    loop {
        tokio::select! {
            incoming = endpoint.accept() => match incoming {
                Some(incoming) => quic::accept(&inner, incoming),
                None => return,
            },
            () = inner.stop.cancelled() => break,
        }
    }
    endpoint.set_server_config(None);
    // Connections live on the endpoint: it stays until they are gone.
    endpoint.wait_idle().await;
}

async fn accept_tcp(inner: Arc<Inner>, listener: tokio::net::TcpListener) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = inner.stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Over TCP an address cannot be forged. Who is refused is closed without a word.
                if let Answer::Admit(ticket) = inner.door.attempt(peer.ip(), true) {
                    inner.tasks.spawn(http2::accept(inner.clone(), stream, peer, ticket));
                }
            }
            Err(error) => {
                tracing::warn!(%error, "agents cannot be accepted for a moment; are file descriptors used up?");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
