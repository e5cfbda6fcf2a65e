//! Whether the edge can stand before a record.
//!
//! Said when a record is saved, so that a person learns it then; the guard on connecting (edge-behaviour §5.10) is another matter and
//! stricter. Documentation addresses may be saved: they stand for "no origin" (`192.0.2.0`, `100::`, §1.5).

use std::net::IpAddr;

use crate::{
    Name,
    address::AddressKind,
    name::is_within,
    rdata::{Host, Rdata, Rtype},
};

/// Where verification services look for a CNAME of a customer's. A proxied CNAME is not seen, so the verification would fail.
const VERIFICATION_TARGETS: [&str; 8] = [
    "acm-validations.aws",
    "dkim.amazonses.com",
    "dkim.fmhosted.com",
    "dkim.mcsv.net",
    "domains.proton.ch",
    "onmicrosoft.com",
    "verify.bing.com",
    "zmverify.zoho.com",
];

/// What the node knows of addresses.
#[derive(Clone, Copy)]
pub struct Edge<'a> {
    /// The node's own: a proxied record that leads to one of them leads back to itself.
    pub addresses: &'a [IpAddr],
    /// Whether the operator lets this account reach this private address (`[edge] origins_allowed`).
    pub allows: &'a dyn Fn(IpAddr) -> bool,
}

/// Why it cannot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unproxiable {
    /// Not a type of the web.
    #[error("{0} records cannot be proxied, only A, AAAA and CNAME can: set proxied to false")]
    Type(Rtype),
    /// A name that serves verification.
    #[error("{0} cannot be proxied, since names that begin with '_' serve verification, not web traffic: set proxied to false")]
    Underscore(Name),
    /// A target that serves verification.
    #[error("a CNAME to {0} cannot be proxied, since a verification service must see it: set proxied to false")]
    Verification(Host),
    /// An address nobody else can mean.
    #[error(
        "{0} is a private or reserved address, which the edge does not reach: give a public one, use a tunnel, set proxied to false, or let the node's operator allow it with origins_allowed"
    )]
    Private(IpAddr),
    /// The edge itself.
    #[error("{0} is an address of this node itself: a proxied record needs the origin's own address")]
    Own(IpAddr),
}

/// Whether a record of this name and data can be proxied.
pub fn check(name: &Name, rdata: &Rdata, edge: &Edge<'_>) -> Result<(), Unproxiable> {
    if !rdata.rtype().is_web() {
        return Err(Unproxiable::Type(rdata.rtype()));
    }
    if name.as_str().strip_prefix("*.").unwrap_or(name.as_str()).starts_with('_') {
        return Err(Unproxiable::Underscore(name.clone()));
    }
    let address = match rdata {
        Rdata::A(address) => IpAddr::V4(*address),
        Rdata::Aaaa(address) => IpAddr::V6(*address),
        Rdata::Cname(Host::Name(target)) if VERIFICATION_TARGETS.iter().any(|known| is_within(target.as_str(), known)) => {
            return Err(Unproxiable::Verification(Host::Name(target.clone())));
        }
        _ => return Ok(()),
    };
    if edge.addresses.iter().any(|own| own.to_canonical() == address.to_canonical()) {
        return Err(Unproxiable::Own(address));
    }
    if AddressKind::of(address).is_private() && !(edge.allows)(address) {
        return Err(Unproxiable::Private(address));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rdata::Hosts;

    fn verdict(name: &str, rtype: Rtype, content: &str) -> Result<(), Unproxiable> {
        let rdata = Rdata::parse(rtype, content, Some(1), Hosts::default()).unwrap();
        let allows = |address: IpAddr| address.to_string().starts_with("10.7.");
        let edge = Edge { addresses: &["203.0.113.10".parse().unwrap()], allows: &allows };
        check(&Name::parse(name).unwrap(), &rdata, &edge)
    }

    #[test]
    fn web_records_with_reachable_targets_are_proxiable() {
        for (rtype, content) in [
            (Rtype::A, "198.51.100.4"),
            (Rtype::A, "192.0.2.0"),
            (Rtype::A, "10.7.0.1"),
            (Rtype::Aaaa, "100::"),
            (Rtype::Aaaa, "2001:db8::1"),
            (Rtype::Cname, "example.net"),
            (Rtype::Cname, "notonmicrosoft.com"),
        ] {
            assert_eq!(verdict("www.example.com", rtype, content), Ok(()), "{content}");
            assert_eq!(verdict("*.example.com", rtype, content), Ok(()), "{content}");
        }
    }

    #[test]
    fn others_are_told_why_not() {
        assert_eq!(verdict("a.test", Rtype::Mx, "mx.test"), Err(Unproxiable::Type(Rtype::Mx)));
        for name in ["_acme.a.test", "*._x.test"] {
            assert!(matches!(verdict(name, Rtype::A, "192.0.2.1"), Err(Unproxiable::Underscore(_))));
        }
        assert!(matches!(verdict("a.test", Rtype::Cname, "x.acm-validations.aws"), Err(Unproxiable::Verification(_))));
        assert!(matches!(verdict("a.test", Rtype::A, "203.0.113.10"), Err(Unproxiable::Own(_))));
        assert!(matches!(verdict("a.test", Rtype::Aaaa, "::ffff:203.0.113.10"), Err(Unproxiable::Own(_))));
    }

    #[test]
    fn private_addresses_are_known_in_every_disguise() {
        for address in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::10.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "2002:a00:1::",
            "2001::1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "fec0::1",
        ] {
            assert!(AddressKind::of(address.parse().unwrap()).is_private(), "{address}");
        }
        for address in
            ["9.9.9.9", "100.128.0.1", "172.32.0.1", "2606:4700::1", "2001:db8::1", "64:ff9b::909:909", "2002:909:909::"]
        {
            assert!(!AddressKind::of(address.parse().unwrap()).is_private(), "{address}");
        }
    }
}
