//! The addresses of this machine, out of /proc: which those are is nothing that a socket tells.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Those that are not loopback's nor of one link alone, in order.
pub(crate) fn of_this_machine() -> Vec<IpAddr> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let v4 = ipv4(&read("/proc/net/fib_trie")).into_iter().map(IpAddr::V4);
    let v6 = ipv6(&read("/proc/net/if_inet6")).into_iter().map(IpAddr::V6);
    v4.chain(v6).collect()
}

/// A line `|-- ADDRESS`, and below it `/32 host LOCAL` where the address is the machine's.
fn ipv4(trie: &str) -> Vec<Ipv4Addr> {
    let (mut found, mut last) = (Vec::new(), None);
    for line in trie.lines() {
        if let Some((_, address)) = line.split_once("|-- ") {
            last = address.trim().parse::<Ipv4Addr>().ok();
        } else if line.trim() == "/32 host LOCAL" {
            found.extend(last.filter(|address| !address.is_loopback() && !address.is_link_local()));
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Address, interface, length of the prefix, scope (00: global), flags, name.
fn ipv6(table: &str) -> Vec<Ipv6Addr> {
    let address = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let (digits, scope) = (fields.next()?, fields.nth(2)?);
        let bits = u128::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 32)?;
        (scope == "00").then(|| Ipv6Addr::from_bits(bits))
    };
    let mut found: Vec<Ipv6Addr> = table.lines().filter_map(address).collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIE: &str = "Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 127.0.0.0/8 2 0 2
        |-- 127.0.0.1
           /32 host LOCAL
     |-- 192.0.2.0
        /24 link UNICAST
     |-- 192.0.2.5
        /32 host LOCAL
     |-- 192.0.2.255
        /32 link BROADCAST
Local:
     |-- 192.0.2.5
        /32 host LOCAL
     |-- 169.254.3.4
        /32 host LOCAL
";

    #[test]
    fn the_machines_own_addresses_are_told_from_others() {
        assert_eq!(ipv4(TRIE), [Ipv4Addr::new(192, 0, 2, 5)]);
        let table = "00000000000000000000000000000001 01 80 10 80       lo
fe80000000000000504400fffe000001 02 40 20 80     eth0
20010db8000000000000000000000005 02 40 00 80     eth0
nonsense
";
        assert_eq!(ipv6(table), ["2001:db8::5".parse::<Ipv6Addr>().unwrap()]);
        assert!(ipv4("").is_empty() && ipv6("").is_empty());
    }

    #[test]
    fn this_machine_has_none_that_are_loopbacks() {
        assert!(of_this_machine().iter().all(|address| !address.is_loopback() && !address.is_unspecified()));
    }
}
