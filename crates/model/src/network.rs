//! Addresses and networks in one canonical spelling.
//!
//! Host bits are cleared, IPv6 is shown as RFC 5952 asks, and an IPv4 address in IPv6's clothing (`::ffff:192.0.2.1`) is the IPv4
//! address it means, which is what a visitor with that address looks like to every rule.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

/// A network, or one address as the network of itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network(IpNet);

crate::openapi::described!(Network, crate::Schema::network());

/// Why a text is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is neither an address nor a network: write one as in 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32")]
pub struct NetworkError {
    value: String,
}

impl Network {
    /// Of this many leading bits of an address; none when there are more bits than the address has.
    pub fn new(address: IpAddr, bits: u8) -> Option<Self> {
        IpNet::new(address, bits).ok().map(Self::canonical)
    }

    fn canonical(net: IpNet) -> Self {
        let net = net.trunc();
        let IpNet::V6(v6) = net else { return Self(net) };
        let Some(v4) = v6.addr().to_ipv4_mapped() else { return Self(net) };
        match v6.prefix_len().checked_sub(96).map(|bits| Ipv4Net::new(v4, bits)) {
            Some(Ok(v4)) => Self(v4.into()),
            _ => Self(net),
        }
    }

    /// The first address.
    pub fn address(&self) -> IpAddr {
        self.0.addr()
    }

    /// How many leading bits all its addresses share.
    pub fn bits(&self) -> u8 {
        self.0.prefix_len()
    }

    /// Whether it is IPv4's.
    pub fn is_ipv4(&self) -> bool {
        matches!(self.0, IpNet::V4(_))
    }

    /// Whether it is one address.
    pub fn is_address(&self) -> bool {
        self.0.prefix_len() == self.0.max_prefix_len()
    }

    /// Whether the address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// Whether all of the other lies in it; a network lies in itself.
    pub fn covers(&self, other: &Self) -> bool {
        self.0.contains(&other.0)
    }

    /// Whether an address lies in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// Always with the number of bits, as in `192.0.2.7/32`.
    pub fn to_cidr(&self) -> String {
        self.0.to_string()
    }

    /// All of IPv4.
    pub const ALL_IPV4: Self = Self(IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0)));

    /// All of IPv6.
    pub const ALL_IPV6: Self = Self(IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0)));
}

impl FromStr for Network {
    type Err = NetworkError;
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let trimmed = text.trim();
        let net = trimmed.parse::<IpNet>().or_else(|_| trimmed.parse::<IpAddr>().map(IpNet::from));
        net.map(Self::canonical).map_err(|_| NetworkError { value: text.chars().take(64).collect() })
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self::canonical(address.into())
    }
}

/// One address stands alone, without its number of bits.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_address() { fmt::Display::fmt(&self.address(), f) } else { fmt::Display::fmt(&self.0, f) }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Network({self})")
    }
}

impl TryFrom<String> for Network {
    type Error = NetworkError;
    fn try_from(text: String) -> Result<Self, NetworkError> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(text: &str) -> String {
        text.parse::<Network>().map_or_else(|error| error.to_string(), |network| network.to_string())
    }

    #[test]
    fn networks_have_one_spelling() {
        for (given, told) in [
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7/32", "192.0.2.7"),
            ("192.0.2.7/24", "192.0.2.0/24"),
            ("2001:DB8:0::7/32", "2001:db8::/32"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7/120", "192.0.2.0/24"),
            ("::ffff:0:0/80", "::/80"),
            ("0.0.0.0/0", "0.0.0.0/0"),
        ] {
            assert_eq!(canonical(given), told);
        }
        for wrong in ["", "192.0.2", "192.0.2.7/33", "2001:db8::/129", "192.0.2.7/", "/24", "example.com", "10/8"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong:?}");
        }
        assert_eq!("192.0.2.7".parse::<Network>().unwrap().to_cidr(), "192.0.2.7/32");
    }

    proptest! {
        #[test]
        fn what_is_told_reads_the_same_and_holds_its_address(address: u128, v4: bool, bits in 0..=128_u8) {
            let address: IpAddr = if v4 {
                Ipv4Addr::from((address & 0xffff_ffff) as u32).into()
            } else {
                Ipv6Addr::from(address).into()
            };
            let Some(network) = Network::new(address, bits) else { return Ok(()) };
            prop_assert_eq!(network.to_string().parse::<Network>(), Ok(network));
            prop_assert_eq!(network.to_cidr().parse::<Network>(), Ok(network));
            prop_assert!(network.contains(address) && network.covers(&network));
        }
    }
}
