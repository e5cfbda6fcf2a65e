//! The demo's ports: numbers chosen so that the whole set is free, and moved together when it is not.
//!
//! Well-known ports become base + port (10088 instead of 10080, docs/decisions/0007), others are shifted with the base (10000 leaves them as they are).
//! What is probed here is released again before the node binds it: whoever takes it in between makes the node's own bind fail,
//! and the demo asks for the next set.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

/// The first base, at which ports from 1024 up are as on a real node.
pub const BASE: u16 = 10_000;
/// The last base whose highest port still exists (56000 leads to 54601 and 56443).
pub const BASE_MAX: u16 = 56_000;
/// How far a set moves when one of its ports is taken.
pub const STEP: u16 = 1000;
/// Browsers open no page on this port, whoever listens there: it was once a backup service's (Fetch standard, "bad port"). It is the only
/// one of theirs that a set could have.
const BLOCKED_BY_BROWSERS: u16 = 10_080;
/// Tries to find a number that is free for TCP and UDP both, where the system chooses.
const TRIES: usize = 64;

/// One set of ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// Visitors in clear, TCP.
    pub http: u16,
    /// Visitors over TLS, TCP, and over QUIC, UDP; agents come there too.
    pub https: u16,
    /// The name server, UDP and TCP.
    pub dns: u16,
    /// The name server over TLS, TCP.
    pub dns_tls: u16,
    /// Agents, TCP and UDP.
    pub tunnel: u16,
    /// The API, TCP.
    pub api: u16,
    /// Metrics, TCP.
    pub metrics: u16,
}

/// Why there is no set.
#[derive(Debug, thiserror::Error)]
pub enum PortsError {
    /// Every set up to [`BASE_MAX`] has a taken port.
    #[error("every set of ports from base {0} to {BASE_MAX} has a taken port; `--port-base 0` lets the system choose free ones")]
    AllTaken(u16),
    /// The system gives no port.
    #[error("the system gives no free port on 127.0.0.1: {0}")]
    NoneGiven(std::io::Error),
}

/// What [`choose`] found.
#[derive(Debug, PartialEq, Eq)]
pub struct Choice {
    /// The set.
    pub ports: Ports,
    /// Its base; 0 where the system chose.
    pub base: u16,
    /// The first port that was taken, for each set that was passed over.
    pub passed: Vec<u16>,
}

/// The first set that is wholly free, from this base on.
pub fn choose(base: u16) -> Result<Choice, PortsError> {
    if base == 0 {
        return chosen_by_the_system().map(|ports| Choice { ports, base, passed: Vec::new() }).map_err(PortsError::NoneGiven);
    }
    let mut passed = Vec::new();
    let mut at = base;
    while at <= BASE_MAX {
        let ports = Ports::at(at);
        match ports.first_taken() {
            None => return Ok(Choice { ports, base: at, passed }),
            Some(port) => passed.push(port),
        }
        at += STEP;
    }
    Err(PortsError::AllTaken(base))
}

impl Ports {
    /// The set of a base of at least [`BASE`].
    pub const fn at(base: u16) -> Self {
        let shift = base - BASE;
        let http = if base + 80 == BLOCKED_BY_BROWSERS { base + 88 } else { base + 80 };
        let (https, dns, dns_tls) = (base + 443, base + 53, base + 853);
        Self { http, https, dns, dns_tls, tunnel: 7844 + shift, api: 8600 + shift, metrics: 8601 + shift }
    }

    /// One port of the set that somebody holds.
    fn first_taken(&self) -> Option<u16> {
        let mut held = Vec::new();
        let tcp = [self.http, self.dns_tls, self.api, self.metrics].map(|port| (port, false));
        let both = [self.https, self.dns, self.tunnel].map(|port| (port, true));
        for (port, udp) in tcp.into_iter().chain(both) {
            match hold(port, udp) {
                Ok(sockets) => held.push(sockets),
                Err(_) => return Some(port),
            }
        }
        None
    }
}

/// Binds a port for TCP, and for UDP if asked; the sockets are to be dropped.
fn hold(port: u16, udp: bool) -> std::io::Result<(u16, TcpListener, Option<UdpSocket>)> {
    let tcp = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    let port = tcp.local_addr()?.port();
    let udp = udp.then(|| UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))).transpose()?;
    Ok((port, tcp, udp))
}

/// Free ports, all different because they are held together.
fn chosen_by_the_system() -> std::io::Result<Ports> {
    let both = || {
        let mut last = None;
        for _ in 0..TRIES {
            match hold(0, true) {
                Ok(held) => return Ok(held),
                Err(error) => last = Some(error),
            }
        }
        Err(last.expect("at least one try was made"))
    };
    let (http, dns_tls, api, metrics) = (hold(0, false)?, hold(0, false)?, hold(0, false)?, hold(0, false)?);
    let (https, dns, tunnel) = (both()?, both()?, both()?);
    Ok(Ports { http: http.0, https: https.0, dns: dns.0, dns_tls: dns_tls.0, tunnel: tunnel.0, api: api.0, metrics: metrics.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sets_are_those_of_the_design() {
        let numbers =
            |Ports { http, https, dns, dns_tls, tunnel, api, metrics }| [http, https, dns, dns_tls, tunnel, api, metrics];
        assert_eq!(numbers(Ports::at(10_000)), [10_088, 10_443, 10_053, 10_853, 7844, 8600, 8601]);
        assert_eq!(numbers(Ports::at(12_000)), [12_080, 12_443, 12_053, 12_853, 9844, 10_600, 10_601]);
        assert_eq!(Ports::at(BASE_MAX).https, 56_443);
    }

    #[test]
    fn no_set_has_a_port_that_browsers_refuse() {
        assert!((BASE..=BASE_MAX).all(|base| ![Ports::at(base).http, Ports::at(base).https].contains(&BLOCKED_BY_BROWSERS)));
    }

    #[test]
    fn a_taken_port_moves_the_whole_set() {
        // Somewhere in the upper bases a whole set is free; take one of its ports.
        let free = choose(40_000).unwrap();
        let _taken = TcpListener::bind(("127.0.0.1", free.ports.api)).unwrap();
        let moved = choose(free.base).unwrap();
        assert_eq!(moved.passed[0], free.ports.api);
        assert_eq!((moved.base - free.base) % STEP, 0);
        assert_eq!(moved.ports, Ports::at(moved.base));
        assert!(moved.base > free.base);
    }

    #[test]
    fn a_port_taken_for_udp_alone_moves_the_set_too() {
        let free = choose(30_000).unwrap();
        let _taken = UdpSocket::bind(("127.0.0.1", free.ports.tunnel)).unwrap();
        assert_eq!(choose(free.base).unwrap().passed[0], free.ports.tunnel);
    }

    #[test]
    fn the_system_chooses_different_ports_that_are_free_for_both() {
        let Ports { http, https, dns, dns_tls, tunnel, api, metrics } = choose(0).unwrap().ports;
        let mut all = vec![http, https, dns, dns_tls, tunnel, api, metrics];
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 7);
        assert!(!all.contains(&0));
    }
}
