//! UDP and TCP on one port number.

use std::{io, net::SocketAddr, os::unix::net::UnixDatagram, sync::Arc, time::Duration};

use aws_lc_rs::hmac;
use poterne_keys::Secret;
use poterne_tunnel_transport::{
    InTurns,
    handover::{Ids, Shared},
    mtu::PAYLOAD_MAX,
};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{Inner, http2, newcomers::Answer, quic};

/// How often a port that the kernel chose for UDP may be taken for TCP before we give up.
const PORT_ATTEMPTS: usize = 32;

/// Wanted of the kernel for a UDP socket's buffers; it may give less.
const UDP_BUFFER_BYTES: usize = 8 * 1024 * 1024;

/// Between two resets of one endpoint: after a restart a thousand agents a second learn of it. A reset is shorter than what it
/// answers, so that a storm of packets gains nothing.
const RESET_INTERVAL_MIN: Duration = Duration::from_millis(1);

/// A port for agents.
#[derive(Debug)]
pub struct Bound {
    /// Of QUIC.
    pub udp: std::net::UdpSocket,
    /// Of HTTP/2.
    pub tcp: std::net::TcpListener,
}

/// Takes a port, UDP and TCP; the kernel's choice for port 0 is one number.
///
/// # Errors
/// It cannot be had.
pub fn open(address: SocketAddr) -> io::Result<Bound> {
    both(address).map(|(udp, tcp)| Bound { udp, tcp })
}

pub(crate) async fn bind(inner: &Arc<Inner>) -> io::Result<Vec<SocketAddr>> {
    let mut bound = Vec::with_capacity(inner.settings.listen.len());
    for (index, address) in inner.settings.listen.iter().enumerate() {
        let Bound { udp, tcp } = open(*address)?;
        bound.push(udp.local_addr()?);
        let name = name(index);
        serve(inner, &name, share(inner, &name, udp, None)?, tcp)?;
    }
    Ok(bound)
}

/// Endpoints of the settings' listeners, as their keys know them.
pub(crate) fn name(index: usize) -> String {
    format!("tunnel.listen {index}")
}

/// The socket of an endpoint, which a successor may take over; `predecessor`: whom it was taken over from.
pub(crate) fn share(
    inner: &Inner,
    name: &str,
    socket: std::net::UdpSocket,
    predecessor: Option<UnixDatagram>,
) -> io::Result<Arc<Shared>> {
    let ids = Ids::new(key_of(&inner.settings.reset_key, name).as_ref(), inner.settings.generation);
    match predecessor {
        Some(predecessor) => Shared::inherited(socket, ids, predecessor),
        None => Shared::new(socket, ids),
    }
}

/// Accepts agents.
pub(crate) fn serve(inner: &Arc<Inner>, name: &str, udp: Arc<Shared>, tcp: std::net::TcpListener) -> io::Result<()> {
    let config = endpoint_config(inner, name);
    let endpoint = quinn::Endpoint::new_with_abstract_socket(config, Some(inner.quic.ordinary.clone()), udp, Arc::new(InTurns))?;
    inner.tasks.spawn(accept_udp(inner.clone(), endpoint));
    tcp.set_nonblocking(true)?;
    inner.tasks.spawn(accept_tcp(inner.clone(), tokio::net::TcpListener::from_std(tcp)?));
    Ok(())
}

fn key_of(key: &Secret, name: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.expose()), name.as_bytes())
}

/// Packets of connections that this endpoint does not know are answered by resets that their agents believe, if an endpoint of the
/// same key and name gave them their ids. quinn's own ids hold a check by a key that ends with its process, and ids that fail it are never
/// reset.
pub(crate) fn endpoint_config(inner: &Inner, name: &str) -> quinn::EndpointConfig {
    let own = key_of(&inner.settings.reset_key, name);
    let ids = Ids::new(own.as_ref(), inner.settings.generation);
    let mut config = quinn::EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, own.as_ref())));
    config
        .cid_generator(move || Box::new(ids.clone()))
        .min_reset_interval(RESET_INTERVAL_MIN)
        .max_udp_payload_size(PAYLOAD_MAX)
        .expect("more than RFC 9000 §18.2 asks for at least");
    config
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
    let mut accepting = inner.accepting.subscribe();
    loop {
        let accepts = *accepting.borrow_and_update();
        tokio::select! {
            incoming = endpoint.accept(), if accepts => match incoming {
                Some(incoming) => quic::accept(&inner, incoming),
                None => return,
            },
            Ok(()) = accepting.changed() => {
                let accepts = *accepting.borrow();
                endpoint.set_server_config(accepts.then(|| inner.quic.ordinary.clone()));
            }
            () = inner.stop.cancelled() => break,
        }
    }
    endpoint.set_server_config(None);
    // Connections live on the endpoint: it stays until they are gone.
    endpoint.wait_idle().await;
}

async fn accept_tcp(inner: Arc<Inner>, listener: tokio::net::TcpListener) {
    let mut accepting = inner.accepting.subscribe();
    loop {
        let accepts = *accepting.borrow_and_update();
        let accepted = tokio::select! {
            accepted = listener.accept(), if accepts => accepted,
            Ok(()) = accepting.changed() => continue,
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
