//! Which addresses are reached, and for whom.

use std::net::{IpAddr, SocketAddr};

use poterne_model::{AccountId, Network, address::AddressKind};

/// Addresses that the operator lets accounts reach although they are private (`[edge] origins_allowed`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// Which.
    pub network: Network,
    /// Whose; none: everybody's.
    pub accounts: Option<Vec<AccountId>>,
}

/// What is let through.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    /// Private addresses that may be reached all the same.
    pub allowed: Vec<Range>,
    /// The node's own, beside those of its interfaces: what the world reaches it at.
    pub own: Vec<IpAddr>,
}

/// Why an address is let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    /// Everybody may reach it.
    Global,
    /// The operator says so.
    Allowed,
}

/// Why an address is not reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is of a kind that means something else here than for whoever wrote it down.
    #[error("{address} is a {} address, which is reached only where the node's operator allows it with [edge] origins_allowed", kind.as_str())]
    Kind {
        /// The address.
        address: IpAddr,
        /// Its kind.
        kind: AddressKind,
    },
    /// The node itself.
    #[error("{0} is an address of this node itself")]
    Own(IpAddr),
    /// Something that does not speak HTTP lives there.
    #[error("port {0} is not reached: ports are 80, 443, and those from 1024 on")]
    Port(u16),
}

impl Guard {
    /// Whether `address` is reached for the account. `is_own` says whether this machine has it.
    ///
    /// # Errors
    /// It is not, and why.
    pub fn admits(&self, account: AccountId, address: SocketAddr, is_own: bool) -> Result<Admitted, Refusal> {
        let ip = address.ip().to_canonical();
        if self.admits_address(Some(account), ip)? == Admitted::Allowed {
            return Ok(Admitted::Allowed);
        }
        if is_own || self.own.iter().any(|own| own.to_canonical() == ip) {
            return Err(Refusal::Own(ip));
        }
        if address.port() < 1024 && !matches!(address.port(), 80 | 443) {
            return Err(Refusal::Port(address.port()));
        }
        Ok(Admitted::Global)
    }

    /// Whether an address out of somebody's records may be asked on DNS' own port, or handed on: for the account, or for nobody in
    /// particular. The node itself is no exception: it may well be the name server that is meant.
    ///
    /// # Errors
    /// It may not, and why.
    pub fn admits_address(&self, account: Option<AccountId>, address: IpAddr) -> Result<Admitted, Refusal> {
        let ip = address.to_canonical();
        let whose = |range: &&Range| match (&range.accounts, account) {
            (None, _) => true,
            (Some(accounts), Some(account)) => accounts.contains(&account),
            (Some(_), None) => false,
        };
        if self.allowed.iter().filter(whose).any(|range| range.network.contains(ip)) {
            return Ok(Admitted::Allowed);
        }
        match AddressKind::of(ip) {
            AddressKind::Global => Ok(Admitted::Global),
            kind => Err(Refusal::Kind { address: ip, kind }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINE: AccountId = AccountId::from_bytes([1; 16]);
    const OTHER: AccountId = AccountId::from_bytes([2; 16]);

    fn guard() -> Guard {
        let range = |cidr: &str, accounts| Range { network: cidr.parse().unwrap(), accounts };
        Guard {
            allowed: vec![range("10.7.0.0/16", Some(vec![MINE])), range("127.0.0.0/8", None)],
            own: vec!["198.41.0.4".parse().unwrap()],
        }
    }

    fn verdict(account: AccountId, address: &str) -> Result<Admitted, Refusal> {
        guard().admits(account, address.parse().unwrap(), false)
    }

    #[test]
    fn private_addresses_are_reached_by_those_they_are_allowed_to() {
        assert_eq!(verdict(MINE, "10.7.1.2:25"), Ok(Admitted::Allowed), "the operator means every port");
        assert!(matches!(verdict(OTHER, "10.7.1.2:80"), Err(Refusal::Kind { kind: AddressKind::Private, .. })));
        assert!(matches!(verdict(MINE, "10.8.1.2:80"), Err(Refusal::Kind { .. })));
        assert_eq!(verdict(OTHER, "[::ffff:127.0.0.1]:8600"), Ok(Admitted::Allowed));
        let error = verdict(MINE, "169.254.169.254:80").unwrap_err().to_string();
        assert!(error.contains("169.254.169.254 is a link-local address") && error.contains("origins_allowed"), "{error}");
    }

    #[test]
    fn what_is_allowed_to_one_account_is_not_allowed_to_nobody_in_particular() {
        let admits = |account, text: &str| guard().admits_address(account, text.parse().unwrap());
        assert_eq!(admits(Some(MINE), "10.7.1.2"), Ok(Admitted::Allowed));
        assert!(admits(Some(OTHER), "10.7.1.2").is_err() && admits(None, "10.7.1.2").is_err());
        assert_eq!(admits(None, "::ffff:127.0.0.1"), Ok(Admitted::Allowed));
        assert_eq!(admits(None, "198.41.0.4"), Ok(Admitted::Global), "the node may be the name server that is meant");
        assert!(admits(Some(MINE), "169.254.169.254").is_err() && admits(None, "fd00::1").is_err());
    }

    #[test]
    fn the_node_itself_is_not_reached() {
        assert_eq!(verdict(MINE, "198.41.0.4:443"), Err(Refusal::Own("198.41.0.4".parse().unwrap())));
        assert_eq!(verdict(MINE, "[::ffff:198.41.0.4]:443"), Err(Refusal::Own("198.41.0.4".parse().unwrap())));
        assert!(matches!(guard().admits(MINE, "9.9.9.9:443".parse().unwrap(), true), Err(Refusal::Own(_))));
    }

    #[test]
    fn ports_of_other_services_are_not_reached() {
        assert_eq!(verdict(MINE, "9.9.9.9:443"), Ok(Admitted::Global));
        assert_eq!(verdict(MINE, "9.9.9.9:8443"), Ok(Admitted::Global));
        for port in [1, 22, 25, 53, 445, 853] {
            assert_eq!(verdict(MINE, &format!("9.9.9.9:{port}")), Err(Refusal::Port(port)));
        }
    }

    proptest! {
        #[test]
        fn nothing_private_is_reached_where_nothing_is_allowed(bits in any::<u128>(), v4 in any::<bool>(), port in any::<u16>()) {
            let ip = if v4 {
                IpAddr::from((u32::try_from(bits >> 96).unwrap()).to_be_bytes())
            } else {
                IpAddr::from(bits.to_be_bytes())
            };
            let verdict = Guard::default().admits(MINE, SocketAddr::new(ip, port), false);
            let reachable = AddressKind::of(ip) == AddressKind::Global && (matches!(port, 80 | 443) || port >= 1024);
            prop_assert_eq!(verdict.is_ok(), reachable, "{}", ip);
        }
    }
}
