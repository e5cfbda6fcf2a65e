//! How large the packets to a peer may become (RFC 8899; RFC 9000 §14.3).
//!
//! quinn tries larger packets by itself, up to a bound. Where the first hop takes no more than Ethernet does, a higher bound would
//! only lose probes; on the loopback and between machines that speak jumbo frames it saves most of what a packet costs.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

use quinn::MtuDiscoveryConfig;
use rustix::net::sockopt;

/// The largest UDP payload that an endpoint takes and sends, bytes. quinn hands up to ten packets to the kernel as one datagram, which
/// holds 65,507 bytes at most: a larger packet would be refused ten at a time, and each refusal be taken for a loss.
pub const PAYLOAD_MAX: u16 = 6_550;

/// What an Ethernet frame carries, bytes.
const ETHERNET_MTU: u32 = 1_500;

/// What the first hop towards a peer lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// As much as Ethernet, or less, or it cannot be told.
    Ordinary,
    /// More: the loopback, or jumbo frames.
    Large,
}

impl Route {
    /// What the kernel knows of the way to `peer`. Costs four system calls, and sends nothing.
    pub fn to(peer: SocketAddr) -> Self {
        match mtu(peer) {
            Ok(mtu) if mtu > ETHERNET_MTU => Self::Large,
            Ok(_) | Err(_) => Self::Ordinary,
        }
    }

    /// How packet sizes are tried on it.
    pub fn discovery(self) -> MtuDiscoveryConfig {
        let mut config = MtuDiscoveryConfig::default();
        if self == Self::Large {
            config.upper_bound(PAYLOAD_MAX);
        }
        config
    }
}

fn mtu(peer: SocketAddr) -> io::Result<u32> {
    // A listener for both families gives IPv4 peers as mapped addresses.
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let any: IpAddr = if peer.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(peer)?;
    Ok(if peer.is_ipv4() { sockopt::ip_mtu(&socket)? } else { sockopt::ipv6_mtu(&socket)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_packets_fit_a_datagram() {
        assert!(u32::from(PAYLOAD_MAX) * 10 <= 65_535 - 20 - 8);
    }

    #[test]
    fn the_loopback_takes_large_packets() {
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 7844));
        let known = mtu(peer).expect("the loopback has a route");
        assert_eq!(Route::to(peer), if known > ETHERNET_MTU { Route::Large } else { Route::Ordinary });
        let mapped = SocketAddr::from((Ipv4Addr::LOCALHOST.to_ipv6_mapped(), 7844));
        assert_eq!(mtu(mapped).expect("the same route"), known);
    }

    #[test]
    fn an_unknown_way_is_an_ordinary_one() {
        assert_eq!(Route::to(SocketAddr::from((Ipv4Addr::BROADCAST, 9))), Route::Ordinary);
    }
}
