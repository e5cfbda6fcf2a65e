//! What the origin is told of who asks (edge-behaviour §2.1). Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use poterne_edge_http::Connection;
use poterne_model::setting::{EdgeSettings, PseudoIpv4};

/// Longest `X-Forwarded-For` passed on in bytes, and most addresses in it: beyond, the left is cut, which is the part that
/// anybody may have made up.
const FORWARDED_BYTES_MAX: usize = 1024;
const FORWARDED_HOPS_MAX: usize = 20;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const CF_CONNECTING_IP: HeaderName = HeaderName::from_static("cf-connecting-ip");
const CF_CONNECTING_IPV6: HeaderName = HeaderName::from_static("cf-connecting-ipv6");
const CF_PSEUDO_IPV4: HeaderName = HeaderName::from_static("cf-pseudo-ipv4");
const TRUE_CLIENT_IP: HeaderName = HeaderName::from_static("true-client-ip");

/// The visitor's address: the peer's, or the one that a trusted proxy vouches for.
pub(crate) fn restored(headers: &HeaderMap, peer: IpAddr, trusted: &[IpNet]) -> Option<IpAddr> {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    if trusted.is_empty() || !is_trusted(&peer) {
        return None;
    }
    // From the right: each trusted hop vouches for the one before it.
    let hops = headers.get_all(X_FORWARDED_FOR).iter().rev().flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
    hops.map_while(|hop| std::str::from_utf8(hop.trim_ascii()).ok()?.parse::<IpAddr>().ok())
        .map(|address| address.to_canonical())
        .find(|address| !is_trusted(address))
}

/// The fields, each where it is told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    connecting: Option<HeaderValue>,
    forwarded: Option<HeaderValue>,
    true_client: Option<HeaderValue>,
    /// Made of the visitor's address.
    pseudo: Option<HeaderValue>,
    /// The visitor's address, where the one that was made stands in its place.
    ipv6: Option<HeaderValue>,
}

impl Told {
    /// Of a head as it came, from whoever the peer is or vouches for.
    pub(crate) fn of(headers: &HeaderMap, connection: &Connection, restored: Option<IpAddr>, settings: &EdgeSettings) -> Self {
        if settings.hides_visitor {
            // Where the peer is a proxy of the operator's, what it says is the visitor's address.
            let forwarded = if restored.is_none() { forwarded_for(headers, None) } else { None };
            return Self { forwarded, ..Self::default() };
        }
        let peer = || connection.peer_value.clone();
        let visitor = match restored {
            None => peer(),
            Some(address) => HeaderValue::try_from(address.to_string()).unwrap_or_else(|_| peer()),
        };
        let pseudo = match (settings.pseudo_ipv4, restored.unwrap_or_else(|| connection.peer.ip())) {
            (PseudoIpv4::Off, _) | (_, IpAddr::V4(_)) => None,
            (_, IpAddr::V6(address)) => HeaderValue::try_from(pseudo(address).to_string()).ok(),
        };
        let mut told = match pseudo {
            Some(pseudo) if settings.pseudo_ipv4 == PseudoIpv4::Overwrite => {
                // What a proxy of the operator's says has the address in it, too.
                let forwarded = if restored.is_none() { forwarded_for(headers, Some(&pseudo)) } else { Some(pseudo.clone()) };
                Self { connecting: Some(pseudo), forwarded, ipv6: Some(visitor), ..Self::default() }
            }
            pseudo => {
                let forwarded = forwarded_for(headers, Some(&connection.peer_value));
                Self { connecting: Some(visitor), forwarded, pseudo, ..Self::default() }
            }
        };
        if settings.true_client_ip {
            told.true_client.clone_from(&told.connecting);
        }
        told
    }

    /// Writes them. Whatever the visitor sent under these names is gone already.
    pub(crate) fn write(self, headers: &mut HeaderMap) {
        let Self { connecting, forwarded, true_client, pseudo, ipv6 } = self;
        let mut write = |name: HeaderName, value: Option<HeaderValue>| {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        };
        write(CF_CONNECTING_IP, connecting);
        write(X_FORWARDED_FOR, forwarded);
        write(TRUE_CLIENT_IP, true_client);
        write(CF_PSEUDO_IPV4, pseudo);
        write(CF_CONNECTING_IPV6, ipv6);
    }
}

/// An address of the space that nobody has (240.0.0.0/4), always the same one for a network of 64 bits: 28 bits of the SHA-256 of its octets.
fn pseudo(address: Ipv6Addr) -> Ipv4Addr {
    let digest = poterne_keys::sha256(&address.octets()[..8]);
    Ipv4Addr::new(0xf0 | digest[0], digest[1], digest[2], digest[3])
}

/// What the visitor sent, joined and cut from the left, then the peer, where it is told; none of nothing.
fn forwarded_for(headers: &HeaderMap, peer: Option<&HeaderValue>) -> Option<HeaderValue> {
    let mut before = headers.get_all(X_FORWARDED_FOR).iter().peekable();
    if before.peek().is_none() {
        return peer.cloned();
    }
    let hops: Vec<&[u8]> = before
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|hop| !hop.is_empty())
        .chain(peer.map(HeaderValue::as_bytes))
        .collect();
    let mut first = hops.len().saturating_sub(FORWARDED_HOPS_MAX);
    let bytes = |from: usize| hops[from..].iter().map(|hop| hop.len() + 1).sum::<usize>().saturating_sub(1);
    while first < hops.len() && bytes(first) > FORWARDED_BYTES_MAX {
        first += 1;
    }
    let joined = hops[first..].join(&b","[..]);
    if joined.is_empty() { peer.cloned() } else { HeaderValue::try_from(joined).ok().or_else(|| peer.cloned()) }
}

#[cfg(test)]
mod tests {
    use poterne_edge_http::Scheme;
    use proptest::prelude::*;

    use super::*;

    fn told(peer: &str, restored: Option<&str>, fields: &[&str], settings: EdgeSettings) -> HeaderMap {
        let peer = std::net::SocketAddr::new(peer.parse().unwrap(), 1);
        let connection = Connection::new(peer, peer, Scheme::Https, None);
        let mut before = HeaderMap::new();
        for value in fields {
            before.append(X_FORWARDED_FOR, HeaderValue::from_str(value).unwrap());
        }
        let mut after = HeaderMap::new();
        Told::of(&before, &connection, restored.map(|address| address.parse().unwrap()), &settings).write(&mut after);
        after
    }

    fn texts(headers: &HeaderMap) -> Vec<(&str, &str)> {
        let mut texts: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        texts.sort_unstable();
        texts
    }

    #[test]
    fn the_address_is_told_as_the_zone_wants_it() {
        let default = EdgeSettings::default();
        let plain = told("192.0.2.7", None, &["1.1.1.1"], default);
        assert_eq!(texts(&plain), [("cf-connecting-ip", "192.0.2.7"), ("x-forwarded-for", "1.1.1.1,192.0.2.7")]);
        let more = told("10.0.0.1", Some("9.9.9.9"), &["9.9.9.9"], EdgeSettings { true_client_ip: true, ..default });
        let fields = [("cf-connecting-ip", "9.9.9.9"), ("true-client-ip", "9.9.9.9"), ("x-forwarded-for", "9.9.9.9,10.0.0.1")];
        assert_eq!(texts(&more), fields);
        let hidden = EdgeSettings { hides_visitor: true, true_client_ip: true, pseudo_ipv4: PseudoIpv4::Add, ..default };
        assert_eq!(texts(&told("2001:db8::1", None, &["1.1.1.1, 2.2.2.2"], hidden)), [("x-forwarded-for", "1.1.1.1,2.2.2.2")]);
        assert!(told("192.0.2.7", None, &[], hidden).is_empty());
        assert!(told("10.0.0.1", Some("9.9.9.9"), &["9.9.9.9"], hidden).is_empty());
    }

    #[test]
    fn an_ipv4_address_is_made_of_a_network() {
        let settings = |pseudo_ipv4| EdgeSettings { pseudo_ipv4, true_client_ip: true, ..EdgeSettings::default() };
        let made = pseudo("2001:db8:1:2::3".parse().unwrap());
        assert_eq!(made, pseudo("2001:db8:1:2:ffff::".parse().unwrap()));
        assert_ne!(made, pseudo("2001:db8:1:3::3".parse().unwrap()));
        assert!(made.octets()[0] >= 240);
        let made = made.to_string();
        let of = |pseudo| told("2001:db8:1:2::3", None, &["1.1.1.1"], settings(pseudo));
        let added = of(PseudoIpv4::Add);
        assert_eq!(
            (&added["cf-pseudo-ipv4"], &added["cf-connecting-ip"]),
            (&made.parse().unwrap(), &"2001:db8:1:2::3".parse().unwrap())
        );
        let forwarded = format!("1.1.1.1,{made}");
        let fields = [
            ("cf-connecting-ip", made.as_str()),
            ("cf-connecting-ipv6", "2001:db8:1:2::3"),
            ("true-client-ip", &made),
            ("x-forwarded-for", &forwarded),
        ];
        assert_eq!(texts(&of(PseudoIpv4::Overwrite)), fields);
        for pseudo in [PseudoIpv4::Add, PseudoIpv4::Overwrite] {
            let of_v4 = told("192.0.2.7", None, &[], settings(pseudo));
            assert_eq!(of_v4, told("192.0.2.7", None, &[], settings(PseudoIpv4::Off)));
        }
        let restored = told("10.0.0.1", Some("2001:db8:1:2::3"), &["2001:db8:1:2::3"], settings(PseudoIpv4::Overwrite));
        assert_eq!(restored["x-forwarded-for"], made);
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        let headers = |value: &str| HeaderMap::from_iter([(X_FORWARDED_FOR, HeaderValue::from_str(value).unwrap())]);
        let seen = |peer: &str, value: &str| {
            super::restored(&headers(value), peer.parse().unwrap(), &trusted).map(|address| address.to_string())
        };
        assert_eq!(seen("192.0.2.1", "1.1.1.1"), None);
        assert_eq!(seen("10.0.0.1", "6.6.6.6, 1.1.1.1, 10.0.0.9").as_deref(), Some("1.1.1.1"));
        assert_eq!(seen("10.0.0.1", "6.6.6.6, nonsense").as_deref(), None);
        assert_eq!(seen("10.0.0.1", "10.0.0.2").as_deref(), None);
    }

    proptest! {
        #[test]
        fn x_forwarded_for_stays_bounded_and_ends_with_the_peer(hops in prop::collection::vec("[ -+--~]{0,60}", 0..60)) {
            let fields: Vec<&str> = hops.iter().map(String::as_str).collect();
            let told = told("192.0.2.7", None, &fields, EdgeSettings::default());
            let told = told["x-forwarded-for"].to_str().unwrap();
            prop_assert!(told.len() <= FORWARDED_BYTES_MAX && told.split(',').count() <= FORWARDED_HOPS_MAX);
            prop_assert_eq!(told.rsplit(',').next(), Some("192.0.2.7"));
        }
    }
}
