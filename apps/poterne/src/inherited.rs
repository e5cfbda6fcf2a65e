//! Sockets that were opened for this program before it started (systemd's socket activation, `sd_listen_fds(3)`): ports below 1024
//! without a privilege, and connections that wait in the kernel while the node is started anew.
//!
//! A socket takes the place of the listener that the configuration puts at its address. `Options` of the node carry them, since the
//! variables that tell of them are read once.

use std::net::{SocketAddr, TcpListener, UdpSocket};

use listenfd::ListenFd;

/// Those that nobody has taken yet.
#[derive(Debug, Default)]
pub struct Inherited {
    tcp: Vec<(SocketAddr, TcpListener)>,
    udp: Vec<(SocketAddr, UdpSocket)>,
}

impl Inherited {
    /// All that the environment tells of. The second call finds none.
    pub fn of_environment() -> Self {
        let (mut all, mut sockets) = (ListenFd::from_env(), Self::default());
        for index in 0..all.len() {
            let tcp = all.take_tcp_listener(index).ok().flatten();
            if let Some((address, listener)) = tcp.and_then(|listener| Some((listener.local_addr().ok()?, listener))) {
                sockets.tcp.push((address, listener));
                continue;
            }
            let udp = all.take_udp_socket(index).ok().flatten();
            if let Some((address, socket)) = udp.and_then(|socket| Some((socket.local_addr().ok()?, socket))) {
                sockets.udp.push((address, socket));
                continue;
            }
            tracing::warn!(index, "a socket that was opened for this program is neither of TCP nor of UDP; it is not used");
        }
        sockets
    }

    /// The one that listens at this address.
    pub fn listener(&mut self, address: SocketAddr) -> Option<TcpListener> {
        taken(&mut self.tcp, address)
    }

    /// The one that receives datagrams at this address.
    pub fn udp(&mut self, address: SocketAddr) -> Option<UdpSocket> {
        taken(&mut self.udp, address)
    }

    /// Says which ones nobody wanted: the configuration and the unit disagree.
    pub fn warn_of_the_rest(&self) {
        let rest =
            self.tcp.iter().map(|(address, _)| ("TCP", address)).chain(self.udp.iter().map(|(address, _)| ("UDP", address)));
        for (protocol, address) in rest {
            tracing::warn!(
                %address,
                protocol,
                "a socket was opened for this program at an address where the configuration puts no listener of visitors or the API; \
                 it is not used: let [edge] http, [edge] https or [control] listen name this very address, or take it out of the socket unit"
            );
        }
    }
}

fn taken<S>(sockets: &mut Vec<(SocketAddr, S)>, address: SocketAddr) -> Option<S> {
    let at = sockets.iter().position(|(other, _)| *other == address)?;
    Some(sockets.swap_remove(at).1)
}

#[cfg(test)]
impl Inherited {
    /// One listener.
    pub(crate) fn of(listener: TcpListener) -> Self {
        Self { tcp: vec![(listener.local_addr().unwrap(), listener)], udp: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_taken_once_and_at_its_own_address() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut sockets = Inherited::of(listener);
        assert!(sockets.udp(address).is_none());
        assert!(sockets.listener(SocketAddr::new("127.0.0.2".parse().unwrap(), address.port())).is_none());
        assert_eq!(sockets.listener(address).unwrap().local_addr().unwrap(), address);
        assert!(sockets.listener(address).is_none());
    }
}
