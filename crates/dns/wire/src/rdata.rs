//! The data of one record as octets, each type as its RFC lays it out.
//!
//! Names stand whole and in lower case (canonical form, RFC 4034 §6.2 as updated by RFC 6840 §5.1): a signer can take them as they are,
//! and whoever writes a message may still compress those that RFC 3597 §4 allows.

use std::net::{Ipv4Addr, Ipv6Addr};

use poterne_model::{
    Rdata,
    rdata::{
        Host, Loc, Svcb,
        key::decoded,
        svcb::{key_number, keys},
    },
};

use crate::name;

/// The octets. What the model has read always has some; data longer than a record can be is the caller's to refuse
/// ([`crate::sets::RDATA_OCTETS_MAX`]).
pub fn rdata(data: &Rdata) -> Vec<u8> {
    let mut to = Vec::new();
    match data {
        Rdata::A(address) => to.extend(address.octets()),
        Rdata::Aaaa(address) => to.extend(address.octets()),
        Rdata::Caa(caa) => {
            to.push(caa.flags);
            string(caa.tag.as_bytes(), &mut to);
            to.extend(caa.value.as_bytes());
        }
        Rdata::Cert(cert) => {
            to.extend(cert.kind.to_be_bytes());
            to.extend(cert.key_tag.to_be_bytes());
            to.push(cert.algorithm);
            to.extend(decoded(&cert.certificate));
        }
        Rdata::Cname(target) | Rdata::Ns(target) | Rdata::Ptr(target) => host(target, &mut to),
        Rdata::Dnskey(key) => {
            to.extend(key.flags.to_be_bytes());
            to.extend([key.protocol, key.algorithm]);
            to.extend(decoded(&key.public_key));
        }
        Rdata::Ds(ds) => {
            to.extend(ds.key_tag.to_be_bytes());
            to.extend([ds.algorithm, ds.digest_type]);
            to.extend(digits(&ds.digest));
        }
        Rdata::Https(svcb) | Rdata::Svcb(svcb) => service(svcb, &mut to),
        Rdata::Loc(loc) => place(loc, &mut to),
        Rdata::Mx(mx) => {
            to.extend(mx.priority.to_be_bytes());
            host(&mx.host, &mut to);
        }
        Rdata::Naptr(naptr) => {
            to.extend(naptr.order.to_be_bytes());
            to.extend(naptr.preference.to_be_bytes());
            for text in [&naptr.flags, &naptr.service, &naptr.regex] {
                string(text.as_bytes(), &mut to);
            }
            host(&naptr.replacement, &mut to);
        }
        Rdata::Openpgpkey(key) => to.extend(decoded(&key.0)),
        Rdata::Smimea(tlsa) | Rdata::Tlsa(tlsa) => {
            to.extend([tlsa.usage, tlsa.selector, tlsa.matching_type]);
            to.extend(digits(&tlsa.certificate));
        }
        Rdata::Srv(srv) => {
            for number in [srv.priority, srv.weight, srv.port] {
                to.extend(number.to_be_bytes());
            }
            host(&srv.target, &mut to);
        }
        Rdata::Sshfp(sshfp) => {
            to.extend([sshfp.algorithm, sshfp.kind]);
            to.extend(digits(&sshfp.fingerprint));
        }
        Rdata::Txt(txt) => txt.strings().for_each(|text| string(text, &mut to)),
        Rdata::Uri(uri) => {
            to.extend(uri.priority.to_be_bytes());
            to.extend(uri.weight.to_be_bytes());
            to.extend(uri.target.as_bytes());
        }
        Rdata::Unknown { octets, .. } => to.extend(octets),
    }
    to
}

fn host(host: &Host, to: &mut Vec<u8>) {
    match host {
        Host::Root => to.push(0),
        Host::Name(name) => name::push(name.as_str(), to),
    }
}

/// A character string (RFC 1035 §3.3): the model bounds them.
fn string(text: &[u8], to: &mut Vec<u8>) {
    let text = &text[..text.len().min(255)];
    to.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    to.extend_from_slice(text);
}

/// Hexadecimal, which the model has checked.
fn digits(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap_or_default()
}

/// RFC 9460 §2.2: parameters in the order of their keys.
fn service(svcb: &Svcb, to: &mut Vec<u8>) {
    to.extend(svcb.priority.to_be_bytes());
    host(&svcb.target, to);
    for (key, text) in svcb.canonical_params() {
        let value = parameter(key, &text);
        to.extend(key.to_be_bytes());
        to.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        to.extend(value);
    }
}

/// RFC 9460 §7 and §8, RFC 9461 §5: the wire's form of what the model has checked.
fn parameter(key: u16, value: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(value).unwrap_or_default();
    let list = || text.split(',');
    match key {
        keys::MANDATORY => {
            let mut numbers: Vec<u16> = list().filter_map(key_number).collect();
            numbers.sort_unstable();
            numbers.into_iter().flat_map(u16::to_be_bytes).collect()
        }
        keys::ALPN => {
            let mut octets = Vec::with_capacity(value.len() + 1);
            list().for_each(|id| string(id.as_bytes(), &mut octets));
            octets
        }
        keys::PORT => text.parse::<u16>().unwrap_or_default().to_be_bytes().to_vec(),
        keys::IPV4HINT => list().filter_map(|hint| hint.parse::<Ipv4Addr>().ok()).flat_map(|hint| hint.octets()).collect(),
        keys::IPV6HINT => list().filter_map(|hint| hint.parse::<Ipv6Addr>().ok()).flat_map(|hint| hint.octets()).collect(),
        keys::ECH => decoded(text),
        _ => value.to_vec(),
    }
}

/// RFC 1876 §2, version 0.
fn place(loc: &Loc, to: &mut Vec<u8>) {
    to.push(0);
    for centimetres in [loc.size_cm, loc.precision_horz_cm, loc.precision_vert_cm] {
        to.push(extent(centimetres));
    }
    for angle in [loc.latitude, loc.longitude] {
        let minutes = u32::from(angle.degrees) * 60 + u32::from(angle.minutes);
        let milliseconds = minutes * 60_000 + u32::from(angle.milliseconds);
        // The equator and the prime meridian are 2^31.
        let number = if angle.positive { (1 << 31) + milliseconds } else { (1 << 31) - milliseconds };
        to.extend(number.to_be_bytes());
    }
    // From 100,000 m below the reference.
    let altitude = u32::try_from(loc.altitude_cm + 10_000_000).unwrap_or_default();
    to.extend(altitude.to_be_bytes());
}

/// One digit and the power of ten it stands before; what has more digits is cut.
fn extent(centimetres: i64) -> u8 {
    let (mut digit, mut power) = (centimetres.max(0), 0u8);
    while digit > 9 {
        digit /= 10;
        power += 1;
    }
    u8::try_from(digit).unwrap_or_default() << 4 | power
}

#[cfg(test)]
mod tests {
    use domain::{
        base::{Name as WireName, rdata::ComposeRecordData},
        zonefile::inplace,
    };
    use poterne_model::{Rtype, rdata::Hosts};

    use super::*;

    fn ours(rtype: &str, content: &str) -> Vec<u8> {
        let rtype = Rtype::parse(rtype).unwrap();
        rdata(&Rdata::parse(rtype, content, None, Hosts::default()).unwrap())
    }

    /// What the `domain` crate makes of the same text.
    fn theirs(rtype: &str, presentation: &str) -> Vec<u8> {
        let line = format!("a.example. 60 IN {rtype} {presentation}\n");
        let mut reader = inplace::Zonefile::from(line.as_str());
        reader.set_origin(WireName::root());
        let Ok(Some(inplace::Entry::Record(record))) = reader.next_entry() else { panic!("{line}") };
        let mut octets = Vec::new();
        record.data().compose_canonical_rdata(&mut octets).unwrap();
        octets
    }

    #[test]
    fn another_writer_makes_the_same_octets() {
        for (rtype, content) in [
            ("A", "192.0.2.1"),
            ("AAAA", "2001:db8::1"),
            ("CAA", r#"128 issue "ca.example; account=1""#),
            ("CNAME", "Target.Example.NET"),
            ("DNSKEY", "257 3 15 AQIDBA=="),
            ("DS", "42 13 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789ABCDEF"),
            (
                "HTTPS",
                r#"1 . ipv6hint=2001:db8::1,2001:db8::2 alpn="h2,h3" port=8443 ipv4hint=192.0.2.1 ech="AQID" mandatory=port,alpn"#,
            ),
            ("HTTPS", "0 pool.example.net"),
            ("SVCB", r#"16 svc.example.net alpn=h2 no-default-alpn key667="hello""#),
            ("MX", "10 mx.example.net"),
            ("MX", "0 ."),
            ("NAPTR", r#"1 2 "U" "E2U+sip" "!^.*$!sip:x@example.com!" ."#),
            ("NS", "ns1.example.net"),
            ("OPENPGPKEY", "AQIDBA=="),
            ("PTR", "host.example.net"),
            ("SRV", "1 2 5060 sip.example.net"),
            ("SSHFP", "4 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
            ("TLSA", "3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
            ("TXT", r#""v=spf1 -all" "a\"b\065""#),
            ("TYPE731", r"\# 3 abcdef"),
        ] {
            let data = Rdata::parse(Rtype::parse(rtype).unwrap(), content, None, Hosts::default()).unwrap();
            // Strings are kept as one value and cut anew, which the text for the other writer says.
            assert_eq!(rdata(&data), theirs(rtype, &data.presentation()), "{rtype} {content}");
        }
    }

    #[test]
    fn types_that_the_other_writer_does_not_know_are_laid_out_as_their_rfcs_say() {
        assert_eq!(ours("URI", r#"10 1 "ftp://ftp1.example.com/public""#), b"\0\x0a\0\x01ftp://ftp1.example.com/public");
        assert_eq!(ours("CERT", "PKIX 42 13 AQID"), [0, 1, 0, 42, 13, 1, 2, 3]);
        let smimea = ours("SMIMEA", "3 1 0 abcd");
        assert_eq!(smimea, [3, 1, 0, 0xab, 0xcd]);
        // RFC 1876 §4: 42 21 54 N 71 06 18 W -24m 30m.
        let mut expected = vec![0, 0x33, 0x16, 0x13];
        expected.extend(((1u32 << 31) + (42 * 60 + 21) * 60_000 + 54_000).to_be_bytes());
        expected.extend(((1u32 << 31) - (71 * 60 + 6) * 60_000 - 18_000).to_be_bytes());
        expected.extend((10_000_000u32 - 2400).to_be_bytes());
        assert_eq!(ours("LOC", "42 21 54 N 71 06 18 W -24m 30m"), expected);
    }

    #[test]
    fn extents_are_a_digit_and_a_power() {
        assert_eq!([0, 1, 9, 10, 100, 199, 1_000_000].map(extent), [0, 0x10, 0x90, 0x11, 0x12, 0x12, 0x16]);
        assert_eq!(extent(9_000_000_000), 0x99);
    }

    #[test]
    fn long_text_is_cut_into_strings() {
        let octets = ours("TXT", &"x".repeat(300));
        assert_eq!((octets.len(), octets[0], octets[256]), (302, 255, 45));
        assert_eq!(ours("TXT", "\"\""), [0]);
    }
}
