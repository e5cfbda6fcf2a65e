//! Taking a port for UDP and TCP both.

use std::{
    io,
    net::{Ipv6Addr, SocketAddr, UdpSocket},
    num::NonZeroUsize,
};

use poterne_edge_listen::Listener;
use socket2::{Domain, Protocol, Socket, Type};

/// Tries to find a number that is free for both, where the system chooses.
const TRIES: usize = 64;

/// What the kernel may hold of packets that nobody has read yet, in bytes; it lowers this to `net.core.rmem_max`.
const RECEIVE_BYTES: usize = 4 * 1024 * 1024;

/// Sockets of one address.
pub struct Bound {
    /// Where they are.
    pub address: SocketAddr,
    /// One a thread, on the same port.
    pub udp: Vec<UdpSocket>,
    /// None where only UDP is asked for.
    pub tcp: Option<Listener>,
}

/// Takes an address for UDP, with so many sockets, and TCP. Port 0 lets the system choose one number for both.
///
/// TCP is taken first and by nobody else, so that UDP sockets that share a port cannot fall in with another process's.
///
/// # Errors
/// The system refuses, as with `AddrInUse`.
pub fn bind(address: SocketAddr, sockets: NonZeroUsize) -> io::Result<Bound> {
    let mut last = None;
    for _ in 0..if address.port() == 0 { TRIES } else { 1 } {
        let tcp = Listener::bind(address)?;
        let address = tcp.local_addr();
        // Alone, to see that nobody has it.
        match udp(address, false).and_then(|alone| {
            drop(alone);
            (0..sockets.get()).map(|_| udp(address, true)).collect::<io::Result<Vec<_>>>()
        }) {
            Ok(udp) => return Ok(Bound { address, udp, tcp: Some(tcp) }),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

fn udp(address: SocketAddr, shared: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(address.ip() != Ipv6Addr::UNSPECIFIED)?;
    }
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    // Less than asked for is no reason not to serve.
    let _ = socket.set_recv_buffer_size(RECEIVE_BYTES);
    socket.bind(&address.into())?;
    Ok(socket.into())
}
