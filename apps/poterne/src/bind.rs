//! Taking a port, and explaining why one cannot be had: which, why, who holds it, what to do.

use std::{
    fmt::Write as _,
    fs, io,
    net::{IpAddr, SocketAddr},
    path::Path,
};

use socket2::{Domain, Protocol, Socket, Type};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 4096;

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

/// Listens on TCP. `[::]` takes IPv6 alone, so that `0.0.0.0` may stand beside it; on a machine without IPv6 it takes nothing.
pub fn listen(setting: &'static str, address: SocketAddr) -> Result<Option<tokio::net::TcpListener>, BindError> {
    let bound = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        tokio::net::TcpListener::from_std(socket.into())
    };
    absent_family(setting, address, bound())
}

/// Takes a UDP port, by the same rules.
pub fn udp(setting: &'static str, address: SocketAddr) -> Result<Option<std::net::UdpSocket>, BindError> {
    let bound = || {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(socket.into())
    };
    absent_family(setting, address, bound())
}

/// None for the IPv6 wildcard on a machine that has no IPv6.
fn absent_family<T>(setting: &'static str, address: SocketAddr, bound: io::Result<T>) -> Result<Option<T>, BindError> {
    const EAFNOSUPPORT: i32 = 97;
    match bound {
        Ok(socket) => Ok(Some(socket)),
        Err(error)
            if address.is_ipv6()
                && address.ip().is_unspecified()
                && (error.raw_os_error() == Some(EAFNOSUPPORT) || error.kind() == io::ErrorKind::AddrNotAvailable) =>
        {
            tracing::info!(%address, setting, "this machine has no IPv6: nothing listens there");
            Ok(None)
        }
        Err(error) => Err(BindError { setting, address, error }),
    }
}

/// The whole message.
fn explain(setting: &str, address: SocketAddr, error: &io::Error) -> String {
    let mut text = format!("cannot listen on {address} ({setting}): ");
    let elsewhere = format!("or take another port, as in --set {setting}={}", SocketAddr::new(address.ip(), other_port(address.port())));
    let _ = match error.kind() {
        io::ErrorKind::AddrInUse => match holder(Path::new("/proc"), address.port()) {
            Some(process) => write!(text, "{process} holds that port; stop it, {elsewhere}"),
            None => write!(text, "another process holds that port; `ss -ltnup sport = :{}` as root names it; stop it, {elsewhere}", address.port()),
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
            write!(text, "no interface of this machine has the address {}; take one that it has, or 0.0.0.0 for all", address.ip())
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
            (local == port && matches!(*fields.get(3)?, LISTENING | UNCONNECTED)).then(|| fields.get(9).map(|inode| (*inode).to_owned())).flatten()
        })
        .collect()
}

/// The address others would use to reach a listener on this machine: a wildcard becomes loopback.
pub fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from(std::net::Ipv6Addr::LOCALHOST),
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
        let error = listen("edge.http", address).unwrap_err();
        assert!(error.is_taken());
        let text = error.to_string();
        assert!(text.starts_with(&format!("cannot listen on {address} (edge.http): process {} (", std::process::id())), "{text}");
        assert!(text.contains("--set edge.http=127.0.0.1:"), "{text}");
    }

    #[test]
    fn a_privileged_port_is_explained_with_the_remedy() {
        let text = explain("edge.http", "0.0.0.0:80".parse().unwrap(), &io::ErrorKind::PermissionDenied.into());
        assert!(text.contains("setcap cap_net_bind_service=+ep") && text.contains("--set edge.http=0.0.0.0:8080"), "{text}");
        let text = explain("edge.http", "192.0.2.1:80".parse().unwrap(), &io::ErrorKind::AddrNotAvailable.into());
        assert!(text.contains("no interface") && text.contains("192.0.2.1"), "{text}");
    }

    #[tokio::test]
    async fn both_families_may_have_the_same_port() {
        let Some(v6) = listen("edge.http", "[::]:0".parse().unwrap()).unwrap() else { return };
        let port = v6.local_addr().unwrap().port();
        assert!(listen("edge.http", SocketAddr::from(([127, 0, 0, 1], port))).is_ok());
    }
}
