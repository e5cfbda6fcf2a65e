//! What kind of address one is: whom it means, and whether that is the same for everybody.
//!
//! Sources: the special-purpose registries of RFC 6890; RFC 6598 (shared), RFC 4193 (unique local), RFC 6052 and 8215 (NAT64), RFC 3056
//! (6to4), RFC 4380 (Teredo), RFC 5737 and 3849 and 9637 (documentation).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A kind of address. An IPv6 form that carries an IPv4 address is of that address's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AddressKind {
    /// One for everybody.
    Global,
    /// "This host", or no address at all.
    Unspecified,
    /// This machine.
    Loopback,
    /// This link; also where clouds tell machines their secrets.
    LinkLocal,
    /// A private network, or a unique local one.
    Private,
    /// Behind a provider's translation.
    Shared,
    /// Many at once.
    Multicast,
    /// For documents alone: nobody has it.
    Documentation,
    /// For measuring.
    Benchmarking,
    /// Whatever else has a purpose of its own, or none yet.
    Reserved,
}

impl AddressKind {
    /// Of which kind an address is.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => of_v6(address),
        }
    }

    /// For messages, as in "is a loopback address".
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Unspecified => "unspecified",
            Self::Loopback => "loopback",
            Self::LinkLocal => "link-local",
            Self::Private => "private",
            Self::Shared => "shared (carrier-grade NAT)",
            Self::Multicast => "multicast",
            Self::Documentation => "documentation",
            Self::Benchmarking => "benchmarking",
            Self::Reserved => "reserved",
        }
    }

    /// Whether it means something else on every network, or nothing. Documentation aside, which means nobody everywhere.
    pub const fn is_private(self) -> bool {
        !matches!(self, Self::Global | Self::Documentation)
    }
}

fn of_v4(address: Ipv4Addr) -> AddressKind {
    use AddressKind as Kind;
    match address.octets() {
        [0, ..] => Kind::Unspecified,
        [127, ..] => Kind::Loopback,
        [169, 254, ..] => Kind::LinkLocal,
        [10, ..] | [172, 16..32, ..] | [192, 168, ..] => Kind::Private,
        [100, 64..128, ..] => Kind::Shared,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Kind::Documentation,
        [198, 18..20, ..] => Kind::Benchmarking,
        [224..240, ..] => Kind::Multicast,
        [192, 0, 0, _] | [240..=255, ..] => Kind::Reserved,
        _ => Kind::Global,
    }
}

fn of_v6(address: Ipv6Addr) -> AddressKind {
    use AddressKind as Kind;
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        of_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Kind::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => Kind::Loopback,
        // What was once IPv4-compatible; IPv4-mapped came here as IPv4.
        [0, 0, 0, 0, 0, 0, ..] => Kind::Reserved,
        // NAT64; its local form may lead to anything here.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x64, 0xff9b, 1, ..] => Kind::Private,
        // 6to4. Teredo hides what it carries.
        [0x2002, high, low, ..] => embedded(high, low),
        [0x2001, 0, ..] => Kind::Reserved,
        [0x2001, 2, 0, ..] => Kind::Benchmarking,
        [0x2001, 0xdb8, ..] | [0x3fff, 0..0x1000, ..] => Kind::Documentation,
        // Discarded; stands for "no origin", as the documentation networks do.
        [0x100, 0, 0, 0, ..] => Kind::Documentation,
        [0xfc00..0xfe00, ..] => Kind::Private,
        [0xfe80..0xfec0, ..] => Kind::LinkLocal,
        // Site-local, as it was.
        [0xfec0..0xff00, ..] => Kind::Private,
        [0xff00..=0xffff, ..] => Kind::Multicast,
        _ => Kind::Global,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kind(text: &str) -> AddressKind {
        AddressKind::of(text.parse().unwrap())
    }

    #[test]
    fn each_range_is_of_its_kind_to_its_ends() {
        use AddressKind as Kind;
        for (first, last, expected) in [
            ("0.0.0.0", "0.255.255.255", Kind::Unspecified),
            ("10.0.0.0", "10.255.255.255", Kind::Private),
            ("100.64.0.0", "100.127.255.255", Kind::Shared),
            ("127.0.0.0", "127.255.255.255", Kind::Loopback),
            ("169.254.0.0", "169.254.255.255", Kind::LinkLocal),
            ("172.16.0.0", "172.31.255.255", Kind::Private),
            ("192.0.0.0", "192.0.0.255", Kind::Reserved),
            ("192.0.2.0", "192.0.2.255", Kind::Documentation),
            ("192.168.0.0", "192.168.255.255", Kind::Private),
            ("198.18.0.0", "198.19.255.255", Kind::Benchmarking),
            ("224.0.0.0", "239.255.255.255", Kind::Multicast),
            ("240.0.0.0", "255.255.255.255", Kind::Reserved),
            ("fc00::", "fdff:ffff::ffff", Kind::Private),
            ("fe80::", "febf:ffff::ffff", Kind::LinkLocal),
            ("ff00::", "ffff:ffff::ffff", Kind::Multicast),
            ("2001:db8::", "2001:db8:ffff::ffff", Kind::Documentation),
            ("3fff::", "3fff:fff:ffff::ffff", Kind::Documentation),
        ] {
            assert_eq!((kind(first), kind(last)), (expected, expected), "{first} to {last}");
        }
        for global in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "223.255.255.255",
            "2600::1",
            "2001:db7::1",
            "2001:db9::1",
            "3fff:1000::1",
        ] {
            assert_eq!(kind(global), Kind::Global, "{global}");
        }
        assert_eq!((kind("::"), kind("::1"), kind("::2")), (Kind::Unspecified, Kind::Loopback, Kind::Reserved));
    }

    proptest! {
        #[test]
        fn an_address_in_disguise_is_of_its_own_kind(bits in any::<u32>()) {
            let address = Ipv4Addr::from_bits(bits);
            let expected = AddressKind::of(address.into());
            let [a, b, c, d] = address.octets();
            let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            for form in [
                address.to_ipv6_mapped(),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 7, 0, 0, 0, 1),
            ] {
                prop_assert_eq!(AddressKind::of(form.into()), expected, "{}", form);
            }
        }

        #[test]
        fn what_the_standard_library_knows_is_never_called_global(bits in any::<u128>(), prefix in 0usize..6) {
            let address = Ipv6Addr::from_bits(match prefix {
                0 => bits,
                1 => bits >> 7 | 0xfe << 120,
                2 => bits >> 8 | 0xff << 120,
                3 => bits >> 112,
                4 => bits >> 96,
                _ => bits >> 96 | 0xffff << 32,
            });
            let known = address.is_loopback() || address.is_unspecified() || address.is_multicast()
                || address.is_unique_local() || address.is_unicast_link_local();
            prop_assert!(!known || AddressKind::of(address.into()).is_private(), "{}", address);
        }
    }
}
