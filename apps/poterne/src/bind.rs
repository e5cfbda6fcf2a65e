//! Taking a port, and explaining why one cannot be had: which, why, who holds it, what to do.

use std::{
    fmt::Write as _,
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    num::NonZeroUsize,
    os::unix::net::UnixDatagram,
    path::Path,
};

use poterne_edge_listen::group;
use socket2::{Domain, Protocol, Socket, Type};

use crate::inherited::Inherited;

/// The setting of the API's listener.
pub const API: &str = "control.listen";

/// A port that could not be had.
#[derive(Debug, thiserror::Error)]
#[error("{}", explain(.setting, *.address, .error))]
pub struct BindError {
    /// The setting that names it, as in `edge.http`.
    pub setting: &'static str,
    /// The address.
    pub address: SocketAddr,
    /// Why.
    pub error: io::Error,
}

impl BindError {
    /// Whether another process holds the port.
    pub fn is_taken(&self) -> bool {
        self.error.kind() == io::ErrorKind::AddrInUse
    }
}

/// Listens on TCP, with a socket that was opened for this program if there is one. `[::]` takes IPv4 as well.
pub fn listen(setting: &'static str, address: SocketAddr, opened: &mut Inherited) -> Result<tokio::net::TcpListener, BindError> {
    Ok(listen_with(setting, address, NonZeroUsize::MIN, opened)?.swap_remove(0))
}

/// The same with a socket a core, among which the kernel spreads connections. Those that were opened for this program stay as many as they
/// are: sockets that came without `SO_REUSEPORT` no other can stand beside.
pub fn listen_on_each_core(
    setting: &'static str,
    address: SocketAddr,
    opened: &mut Inherited,
) -> Result<Vec<tokio::net::TcpListener>, BindError> {
    listen_with(setting, address, group::sockets_per_listener(), opened)
}

/// At least one.
fn listen_with(
    setting: &'static str,
    address: SocketAddr,
    sockets: NonZeroUsize,
    opened: &mut Inherited,
) -> Result<Vec<tokio::net::TcpListener>, BindError> {
    let mut bound = || {
        let mut listeners = opened.listeners(setting, address);
        if listeners.is_empty() {
            listeners = group::open(address, sockets)?;
        }
        let mut bound = Vec::with_capacity(listeners.len());
        for listener in listeners {
            listener.set_nonblocking(true)?;
            opened.keep(setting, address, false, &listener)?;
            bound.push(tokio::net::TcpListener::from_std(listener)?);
        }
        Ok::<_, io::Error>(bound)
    };
    bound().map_err(|error| BindError { setting, address, error })
}

/// Takes a UDP port, by the same rules; also the way to whoever read the socket before.
pub fn udp(
    setting: &'static str,
    address: SocketAddr,
    opened: &mut Inherited,
) -> Result<(std::net::UdpSocket, Option<UnixDatagram>), BindError> {
    let mut bound = || {
        if let Some((socket, former)) = opened.udp(setting, address) {
            socket.set_nonblocking(true)?;
            return Ok((socket, former));
        }
        let socket = socket(address, Type::DGRAM, Protocol::UDP)?;
        socket.bind(&address.into())?;
        Ok((std::net::UdpSocket::from(socket), None))
    };
    let bound = bound().and_then(|bound| opened.keep(setting, address, true, &bound.0).map(|()| bound));
    bound.map_err(|error| BindError { setting, address, error })
}

fn socket(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The same addresses on this machine: where it has no IPv6, `[::]` becomes `0.0.0.0`.
pub fn on_this_machine(addresses: &mut [SocketAddr]) {
    let has_ipv6 = || UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok();
    if addresses.iter().any(|address| address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED)) && !has_ipv6() {
        for address in addresses.iter_mut().filter(|address| address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED)) {
            address.set_ip(Ipv4Addr::UNSPECIFIED.into());
        }
    }
}

/// The whole message.
fn explain(setting: &str, address: SocketAddr, error: &io::Error) -> String {
    let mut text = format!("cannot listen on {address} ({setting}): ");
    let elsewhere =
        format!("or take another port, as in --set {setting}={}", SocketAddr::new(address.ip(), other_port(address.port())));
    let _ = match error.kind() {
        io::ErrorKind::AddrInUse => match holder(Path::new("/proc"), address.port()) {
            Some(process) => write!(text, "{process} holds that port; stop it, {elsewhere}"),
            None => write!(
                text,
                "another process holds that port; `ss -ltnup sport = :{}` as root names it; stop it, {elsewhere}",
                address.port()
            ),
        },
        io::ErrorKind::PermissionDenied => {
            let program = std::env::current_exe().map_or_else(|_| "poterne".into(), |path| path.display().to_string());
            write!(
                text,
                "ports below 1024 need a privilege; give it with `sudo setcap cap_net_bind_service=+ep {program}`, or in a systemd unit \
                 with AmbientCapabilities=CAP_NET_BIND_SERVICE, {elsewhere}"
            )
        }
        io::ErrorKind::AddrNotAvailable => {
            write!(text, "no interface of this machine has the address {}; take one that it has, or [::] for all", address.ip())
        }
        _ => write!(text, "{error}"),
    };
    text
}

/// A port one is likely to be given instead.
fn other_port(port: u16) -> u16 {
    match port {
        80 => 8080,
        443 => 8443,
        port => port.checked_add(10_000).unwrap_or(port - 10_000),
    }
}

/// The process that listens on a port, as far as this user may see.
fn holder(proc: &Path, port: u16) -> Option<String> {
    let inodes: Vec<String> = ["net/tcp", "net/tcp6", "net/udp", "net/udp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(proc.join(table)).ok())
        .flat_map(|table| inodes_of(&table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    fs::read_dir(proc).ok()?.flatten().find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let descriptors = fs::read_dir(process.path().join("fd")).ok()?;
        let holds = |target: &Path| inodes.iter().any(|inode| target.as_os_str() == inode.as_str());
        descriptors.flatten().any(|fd| fs::read_link(fd.path()).is_ok_and(|target| holds(&target))).then(|| {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            format!("process {pid} ({})", name.trim())
        })
    })
}

/// The inodes of listening or unconnected sockets with this local port, in a table of /proc/net.
fn inodes_of(table: &str, port: u16) -> Vec<String> {
    const LISTENING: &str = "0A";
    const UNCONNECTED: &str = "07";
    table
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let local = u16::from_str_radix(fields.get(1)?.rsplit(':').next()?, 16).ok()?;
            (local == port && matches!(*fields.get(3)?, LISTENING | UNCONNECTED))
                .then(|| fields.get(9).map(|inode| (*inode).to_owned()))
                .flatten()
        })
        .collect()
}

/// The address others would use to reach a listener on this machine: a wildcard becomes loopback.
pub fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        // The IPv6 wildcard takes IPv4 as well.
        ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_explained_with_its_holder() {
        let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = held.local_addr().unwrap();
        let error = listen("edge.http", address, &mut Inherited::default()).unwrap_err();
        assert!(error.is_taken());
        let text = error.to_string();
        assert!(text.starts_with(&format!("cannot listen on {address} (edge.http): process {} (", std::process::id())), "{text}");
        assert!(text.contains("--set edge.http=127.0.0.1:"), "{text}");
    }

    #[tokio::test]
    async fn a_socket_that_was_opened_before_is_taken_instead() {
        let opened = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = opened.local_addr().unwrap();
        let mut sockets = Inherited::of(opened);
        let listener = listen("edge.http", address, &mut sockets).unwrap();
        assert_eq!(listener.local_addr().unwrap(), address);
        assert!(listen("edge.http", address, &mut sockets).unwrap_err().is_taken(), "there was one");
    }

    #[tokio::test]
    async fn a_predecessors_sockets_are_taken_all_together() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut former = Inherited::default();
        let mut addresses = Vec::new();
        for _ in 0..2 {
            let group = group::open(any, NonZeroUsize::new(3).unwrap()).unwrap();
            addresses.push(group[0].local_addr().unwrap());
            group.iter().for_each(|socket| former.keep("edge.http", any, false, socket).unwrap());
        }
        let mut sockets = Inherited::given(former.into_kept());
        for address in addresses {
            let taken = listen_on_each_core("edge.http", any, &mut sockets).unwrap();
            let of: Vec<_> = taken.iter().map(|listener| listener.local_addr().unwrap()).collect();
            assert_eq!(of, [address; 3], "as many as there were, and of one port");
        }
        assert_eq!(sockets.into_kept().len(), 6, "and all of them are there for the next");
    }

    #[test]
    fn a_privileged_port_is_explained_with_the_remedy() {
        let text = explain("edge.http", "0.0.0.0:80".parse().unwrap(), &io::ErrorKind::PermissionDenied.into());
        assert!(text.contains("setcap cap_net_bind_service=+ep") && text.contains("--set edge.http=0.0.0.0:8080"), "{text}");
        let text = explain("edge.http", "192.0.2.1:80".parse().unwrap(), &io::ErrorKind::AddrNotAvailable.into());
        assert!(text.contains("no interface") && text.contains("192.0.2.1"), "{text}");
    }

    #[tokio::test]
    async fn the_ipv6_wildcard_takes_ipv4_as_well() {
        let mut address = ["[::]:0".parse().unwrap()];
        on_this_machine(&mut address);
        let listener = listen("edge.http", address[0], &mut Inherited::default()).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        assert!(listen("edge.http", SocketAddr::from(([127, 0, 0, 1], port)), &mut Inherited::default()).unwrap_err().is_taken());
    }
}
