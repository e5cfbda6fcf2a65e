//! Sockets that were there before this program: opened by systemd's socket activation (`sd_listen_fds(3)`: ports below 1024 without a
//! privilege, and connections that wait in the kernel while the node is started anew), or held by the program whose place this one takes.
//!
//! A socket takes the place of the listener that the configuration puts at its address; a predecessor's goes by its setting too, since the
//! kernel may have chosen its port. `Options` of the node carry them, since the variables that tell of them are read once. What the node has
//! taken, or opened itself, is kept for a successor.

use std::{
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixDatagram,
    },
};

use listenfd::ListenFd;

/// A socket, and what it is for.
#[derive(Debug)]
pub struct Named {
    /// The setting, as in `edge.http`.
    pub setting: String,
    /// The address as it is set: its port may be the kernel's choice.
    pub address: SocketAddr,
    /// UDP, or a listener of TCP.
    pub udp: bool,
    /// The socket.
    pub descriptor: OwnedFd,
    /// By which its former reader gets what is its own (QUIC).
    pub forward: Option<UnixDatagram>,
}

/// Those that nobody has taken yet, and those that were taken.
#[derive(Debug, Default)]
pub struct Inherited {
    tcp: Vec<(SocketAddr, TcpListener)>,
    udp: Vec<(SocketAddr, UdpSocket)>,
    given: Vec<Named>,
    kept: Vec<Named>,
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

    /// Those that a predecessor gave.
    pub fn given(given: Vec<Named>) -> Self {
        Self { given, ..Self::default() }
    }

    /// Those that listen at this address, for this setting: of a predecessor's all that share a port, since what waits in one that nobody
    /// takes is lost; else the one that was opened by somebody else, if there is one.
    pub fn listeners(&mut self, setting: &str, address: SocketAddr) -> Vec<TcpListener> {
        let Some(first) = self.listener(setting, address) else { return Vec::new() };
        let port = first.local_addr().ok();
        let mut group = vec![first];
        let is_beside = |named: &mut Named| {
            let is_it = named.setting == setting && named.address == address && !named.udp;
            is_it && port.is_some() && local_addr(&named.descriptor) == port
        };
        group.extend(self.given.extract_if(.., is_beside).map(|named| TcpListener::from(named.descriptor)));
        group
    }

    /// The one that listens at this address, for this setting.
    pub fn listener(&mut self, setting: &str, address: SocketAddr) -> Option<TcpListener> {
        self.take_given(setting, address, false).map(|named| named.descriptor.into()).or_else(|| taken(&mut self.tcp, address))
    }

    /// The one that receives datagrams at this address, for this setting, and the way to its former reader.
    pub fn udp(&mut self, setting: &str, address: SocketAddr) -> Option<(UdpSocket, Option<UnixDatagram>)> {
        self.take_given(setting, address, true)
            .map(|named| (named.descriptor.into(), named.forward))
            .or_else(|| taken(&mut self.udp, address).map(|socket| (socket, None)))
    }

    /// Whether a predecessor gave one.
    pub fn is_given(&self, setting: &str, address: SocketAddr) -> bool {
        self.given.iter().any(|named| named.setting == setting && named.address == address)
    }

    fn take_given(&mut self, setting: &str, address: SocketAddr, udp: bool) -> Option<Named> {
        let is_it = |named: &Named| named.setting == setting && named.address == address && named.udp == udp;
        let at = self.given.iter().position(is_it)?;
        // In their order: several may be at one address.
        Some(self.given.remove(at))
    }

    /// Keeps a socket for a successor.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn keep(&mut self, setting: &str, address: SocketAddr, udp: bool, socket: &impl AsFd) -> io::Result<()> {
        let descriptor = socket.as_fd().try_clone_to_owned()?;
        self.kept.push(Named { setting: setting.to_owned(), address, udp, descriptor, forward: None });
        Ok(())
    }

    /// What was kept.
    pub fn into_kept(self) -> Vec<Named> {
        self.kept
    }

    /// Says which ones nobody wanted: the configuration and the unit disagree.
    pub fn warn_of_the_rest(&self) {
        let rest =
            self.tcp.iter().map(|(address, _)| ("TCP", address)).chain(self.udp.iter().map(|(address, _)| ("UDP", address)));
        for named in &self.given {
            tracing::info!(setting = named.setting, address = %named.address, "a socket of the program before this one is not in the settings any more");
        }
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

/// Where a socket really is.
fn local_addr(socket: &OwnedFd) -> Option<SocketAddr> {
    socket2::SockRef::from(socket).local_addr().ok()?.as_socket()
}

fn taken<S>(sockets: &mut Vec<(SocketAddr, S)>, address: SocketAddr) -> Option<S> {
    let at = sockets.iter().position(|(other, _)| *other == address)?;
    Some(sockets.swap_remove(at).1)
}

#[cfg(test)]
impl Inherited {
    /// One listener.
    pub(crate) fn of(listener: TcpListener) -> Self {
        Self { tcp: vec![(listener.local_addr().unwrap(), listener)], ..Self::default() }
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
        assert!(sockets.udp("edge.http", address).is_none());
        assert!(sockets.listener("edge.http", SocketAddr::new("127.0.0.2".parse().unwrap(), address.port())).is_none());
        assert_eq!(sockets.listener("edge.http", address).unwrap().local_addr().unwrap(), address);
        assert!(sockets.listener("edge.http", address).is_none());
    }

    #[test]
    fn a_predecessors_socket_goes_by_its_setting_and_the_address_as_set() {
        let [one, two] = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let (first, second) = (one.local_addr().unwrap(), two.local_addr().unwrap());
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut former = Inherited::default();
        former.keep("edge.http", any, false, &one).unwrap();
        former.keep("edge.http", any, false, &two).unwrap();
        former.keep("edge.https", any, true, &UdpSocket::bind(any).unwrap()).unwrap();
        let mut sockets = Inherited::given(former.into_kept());
        assert!(sockets.listener("control.listen", any).is_none() && sockets.listener("edge.http", first).is_none());
        assert_eq!(sockets.listener("edge.http", any).unwrap().local_addr().unwrap(), first);
        assert_eq!(sockets.listener("edge.http", any).unwrap().local_addr().unwrap(), second);
        assert!(sockets.listener("edge.https", any).is_none() && sockets.udp("edge.https", any).is_some());
    }
}
