//! Sets of numbers and of addresses: ranges in order, of which none touches the next.

use std::net::IpAddr;

/// Numbers.
#[derive(Debug, Clone)]
pub(crate) struct Numbers(Vec<(i64, i64)>);

/// Addresses.
#[derive(Debug, Clone, Default)]
pub(crate) struct Addresses {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl Numbers {
    /// Of ranges, each with its first and last number.
    pub(crate) fn of(ranges: Vec<(i64, i64)>) -> Self {
        Self(merged(ranges))
    }

    pub(crate) fn contains(&self, number: i64) -> bool {
        within(&self.0, number)
    }
}

impl Addresses {
    /// Of ranges, each with its first and last address, both of one family.
    pub(crate) fn of(ranges: impl IntoIterator<Item = (IpAddr, IpAddr)>) -> Self {
        let mut all = Self::default();
        for range in ranges {
            match range {
                (IpAddr::V4(first), IpAddr::V4(last)) => all.v4.push((first.into(), last.into())),
                (first, last) => all.v6.push((wide(first), wide(last))),
            }
        }
        Self { v4: merged(all.v4), v6: merged(all.v6) }
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => within(&self.v4, u32::from(address)),
            IpAddr::V6(address) => within(&self.v6, u128::from(address)),
        }
    }
}

fn wide(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().into(),
        IpAddr::V6(address) => address.into(),
    }
}

fn merged<T: Ord + Copy>(mut ranges: Vec<(T, T)>) -> Vec<(T, T)> {
    ranges.sort_unstable();
    let mut out: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match out.last_mut() {
            Some(before) if first <= before.1 => before.1 = before.1.max(last),
            _ => out.push((first, last)),
        }
    }
    out
}

fn within<T: Ord + Copy>(ranges: &[(T, T)], value: T) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= value);
    after > 0 && ranges[after - 1].1 >= value
}

/// The first and the last address of a network; none where it has no such many bits.
pub(crate) fn network(address: IpAddr, bits: u8) -> Option<(IpAddr, IpAddr)> {
    match address {
        IpAddr::V4(address) => {
            let host = u32::MAX.checked_shr(bits.into()).unwrap_or(0);
            let address = u32::from(address);
            (bits <= 32).then(|| (IpAddr::V4((address & !host).into()), IpAddr::V4((address | host).into())))
        }
        IpAddr::V6(address) => {
            let host = u128::MAX.checked_shr(bits.into()).unwrap_or(0);
            let address = u128::from(address);
            (bits <= 128).then(|| (IpAddr::V6((address & !host).into()), IpAddr::V6((address | host).into())))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn networks_have_a_first_and_a_last_address() {
        let of = |address: &str, bits| network(address.parse().unwrap(), bits).map(|(first, last)| format!("{first}-{last}"));
        assert_eq!(of("192.0.2.77", 24).as_deref(), Some("192.0.2.0-192.0.2.255"));
        assert_eq!(of("192.0.2.77", 32).as_deref(), Some("192.0.2.77-192.0.2.77"));
        assert_eq!(of("192.0.2.77", 0).as_deref(), Some("0.0.0.0-255.255.255.255"));
        assert_eq!(of("2001:db8::1", 32).as_deref(), Some("2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"));
        assert_eq!((of("192.0.2.77", 33), of("::", 129)), (None, None));
        let set = Addresses::of([network("10.0.0.0".parse().unwrap(), 8).unwrap()]);
        assert!(set.contains("10.255.0.1".parse().unwrap()) && !set.contains("11.0.0.0".parse().unwrap()));
        assert!(!set.contains("::ffff:10.0.0.1".parse().unwrap()), "whoever asks makes it an IPv4 address first");
    }

    proptest! {
        #[test]
        fn a_number_is_in_a_set_if_it_is_in_a_range(ranges in prop::collection::vec((-20i64..20, 0i64..6), 0..8), number in -25i64..30) {
            let ranges: Vec<_> = ranges.into_iter().map(|(first, more)| (first, first + more)).collect();
            let expected = ranges.iter().any(|(first, last)| (*first..=*last).contains(&number));
            prop_assert_eq!(Numbers::of(ranges).contains(number), expected);
        }
    }
}
