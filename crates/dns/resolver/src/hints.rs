//! Where one begins: root hints and the machine's own resolvers, read from their files.

use std::net::{IpAddr, SocketAddr};

/// Most servers of either that are taken.
pub const SERVERS_MAX: usize = 32;

/// The addresses in a file of root hints: a zone file with the root's NS and its servers' A and AAAA records.
pub fn root_hints(text: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(';').next().unwrap_or_default().split_whitespace().collect();
        let [.., rtype, address] = words.as_slice() else { continue };
        let address = if rtype.eq_ignore_ascii_case("A") {
            address.parse().ok().map(IpAddr::V4)
        } else if rtype.eq_ignore_ascii_case("AAAA") {
            address.parse().ok().map(IpAddr::V6)
        } else {
            None
        };
        if let Some(address) = address.filter(|address| !found.contains(address) && found.len() < SERVERS_MAX) {
            found.push(address);
        }
    }
    found
}

/// The resolvers that `resolv.conf` names; what it says of link-local ones with an interface is not followed.
pub fn resolv_conf(text: &str) -> Vec<SocketAddr> {
    let address = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()?.parse::<IpAddr>().ok()).flatten()
    };
    text.lines().filter_map(address).take(SERVERS_MAX).map(|address| (address, 53).into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_are_read_as_they_are_published() {
        let text = "; of the root\n.  3600000  NS  A.ROOT-SERVERS.NET.\nA.ROOT-SERVERS.NET. 3600000 A 198.41.0.4 ; here\n\
            A.ROOT-SERVERS.NET. 3600000 IN AAAA 2001:503:ba3e::2:30\nB. A 198.41.0.4\nC. A nonsense\n";
        let expected: Vec<IpAddr> = vec!["198.41.0.4".parse().unwrap(), "2001:503:ba3e::2:30".parse().unwrap()];
        assert_eq!(root_hints(text), expected);
        assert!(root_hints("").is_empty());
    }

    #[test]
    fn the_machines_resolvers_are_found() {
        let text = "# made by something\nsearch lan\nnameserver 192.0.2.1\nnameserver\t2001:db8::1 \nnameserver fe80::1%eth0\noptions edns0\n";
        assert_eq!(resolv_conf(text), ["192.0.2.1:53".parse().unwrap(), "[2001:db8::1]:53".parse().unwrap()]);
    }
}
