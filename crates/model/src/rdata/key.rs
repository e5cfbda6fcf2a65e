//! Keys, certificates and their digests: CERT, DNSKEY, DS, OPENPGPKEY, SMIMEA, SSHFP, TLSA.
//!
//! Base64 and hexadecimal are kept in the spelling they came in, since clients compare what they read with what they sent; white
//! space alone is dropped.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::{Member, RdataError, source::Source};

/// IANA's mnemonics of DNSSEC algorithms (RFC 8624 §3.1, RFC 8080).
const ALGORITHMS: [(&str, u32); 11] = [
    ("RSAMD5", 1),
    ("DSA", 3),
    ("RSASHA1", 5),
    ("DSA-NSEC3-SHA1", 6),
    ("RSASHA1-NSEC3-SHA1", 7),
    ("RSASHA256", 8),
    ("RSASHA512", 10),
    ("ECDSAP256SHA256", 13),
    ("ECDSAP384SHA384", 14),
    ("ED25519", 15),
    ("ED448", 16),
];

/// Mnemonics of certificate types (RFC 4398 §2.1).
const CERTIFICATES: [(&str, u32); 10] = [
    ("PKIX", 1),
    ("SPKI", 2),
    ("PGP", 3),
    ("IPKIX", 4),
    ("ISPKI", 5),
    ("IPGP", 6),
    ("ACPKIX", 7),
    ("IACPKIX", 8),
    ("URI", 253),
    ("OID", 254),
];

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    // Some writers leave the padding out.
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A certificate (RFC 4398).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cert {
    /// What kind of certificate.
    pub kind: u16,
    /// The key's tag.
    pub key_tag: u16,
    /// The key's algorithm.
    pub algorithm: u8,
    /// Base64.
    pub certificate: String,
}

/// A zone's public key (RFC 4034 §2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dnskey {
    /// 256 signs the zone, 257 its keys.
    pub flags: u16,
    /// Always 3 in use.
    pub protocol: u8,
    /// The algorithm.
    pub algorithm: u8,
    /// Base64.
    pub public_key: String,
}

/// The digest of a child's key (RFC 4034 §5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ds {
    /// The key's tag.
    pub key_tag: u16,
    /// The key's algorithm.
    pub algorithm: u8,
    /// The digest's.
    pub digest_type: u8,
    /// Hexadecimal.
    pub digest: String,
}

/// A fingerprint of a host key (RFC 4255).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sshfp {
    /// The key's algorithm.
    pub algorithm: u8,
    /// The fingerprint's.
    pub kind: u8,
    /// Hexadecimal.
    pub fingerprint: String,
}

/// Which certificate to expect (RFC 6698 for TLSA, RFC 8162 for SMIMEA).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tlsa {
    /// How the certificate is used.
    pub usage: u8,
    /// Which part of it is meant.
    pub selector: u8,
    /// 0 as it is, 1 its SHA-256, 2 its SHA-512.
    pub matching_type: u8,
    /// Hexadecimal.
    pub certificate: String,
}

/// An OpenPGP key (RFC 7929), in base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Openpgpkey(pub String);

impl Cert {
    pub(crate) fn read(source: &mut Source<'_>) -> Result<Self, RdataError> {
        let kind = source.number_or_word("type", u16::MAX.into(), &CERTIFICATES)?;
        Ok(Self {
            kind: u16::try_from(kind).expect("it is bounded by what a u16 holds"),
            key_tag: source.u16("key_tag")?,
            algorithm: source.u8_or_word("algorithm", &ALGORITHMS)?,
            certificate: base64(source, "certificate")?,
        })
    }

    pub(crate) fn members(&self) -> Vec<Member> {
        vec![
            Member::number("type", self.kind),
            Member::number("key_tag", self.key_tag),
            Member::number("algorithm", self.algorithm),
            Member::word("certificate", &*self.certificate),
        ]
    }
}

impl Dnskey {
    pub(crate) fn read(source: &mut Source<'_>) -> Result<Self, RdataError> {
        Ok(Self {
            flags: source.u16("flags")?,
            protocol: source.u8("protocol")?,
            algorithm: source.u8_or_word("algorithm", &ALGORITHMS)?,
            public_key: base64(source, "public_key")?,
        })
    }

    pub(crate) fn members(&self) -> Vec<Member> {
        vec![
            Member::number("flags", self.flags),
            Member::number("protocol", self.protocol),
            Member::number("algorithm", self.algorithm),
            Member::word("public_key", &*self.public_key),
        ]
    }
}

impl Ds {
    pub(crate) fn read(source: &mut Source<'_>) -> Result<Self, RdataError> {
        let (key_tag, algorithm) = (source.u16("key_tag")?, source.u8_or_word("algorithm", &ALGORITHMS)?);
        let digest_type = source.u8("digest_type")?;
        let octets = match digest_type {
            1 => Some(20),
            2 | 3 => Some(32),
            4 => Some(48),
            _ => None,
        };
        Ok(Self { key_tag, algorithm, digest_type, digest: hexadecimal(source, "digest", octets)? })
    }

    pub(crate) fn members(&self) -> Vec<Member> {
        vec![
            Member::number("key_tag", self.key_tag),
            Member::number("algorithm", self.algorithm),
            Member::number("digest_type", self.digest_type),
            Member::word("digest", &*self.digest),
        ]
    }
}

impl Sshfp {
    pub(crate) fn read(source: &mut Source<'_>) -> Result<Self, RdataError> {
        let (algorithm, kind) = (source.u8("algorithm")?, source.u8("type")?);
        let octets = match kind {
            1 => Some(20),
            2 => Some(32),
            _ => None,
        };
        Ok(Self { algorithm, kind, fingerprint: hexadecimal(source, "fingerprint", octets)? })
    }

    pub(crate) fn members(&self) -> Vec<Member> {
        vec![
            Member::number("algorithm", self.algorithm),
            Member::number("type", self.kind),
            Member::word("fingerprint", &*self.fingerprint),
        ]
    }
}

impl Tlsa {
    pub(crate) fn read(source: &mut Source<'_>) -> Result<Self, RdataError> {
        let (usage, selector, matching_type) = (source.u8("usage")?, source.u8("selector")?, source.u8("matching_type")?);
        let octets = match matching_type {
            1 => Some(32),
            2 => Some(64),
            _ => None,
        };
        Ok(Self { usage, selector, matching_type, certificate: hexadecimal(source, "certificate", octets)? })
    }

    pub(crate) fn members(&self) -> Vec<Member> {
        vec![
            Member::number("usage", self.usage),
            Member::number("selector", self.selector),
            Member::number("matching_type", self.matching_type),
            Member::word("certificate", &*self.certificate),
        ]
    }
}

impl Openpgpkey {
    pub(crate) fn read(source: &mut Source<'_>) -> Result<Self, RdataError> {
        base64(source, "content").map(Self)
    }
}

/// What base64 stands for, padded or not; empty where it is none.
pub fn decoded(text: &str) -> Vec<u8> {
    BASE64.decode(text).unwrap_or_default()
}

fn base64(source: &mut Source<'_>, member: &'static str) -> Result<String, RdataError> {
    let text = source.joined(member)?;
    match BASE64.decode(&text) {
        Ok(_) => Ok(text),
        Err(_) => Err(source.wrong(member, &text, "is not base64")),
    }
}

fn hexadecimal(source: &mut Source<'_>, member: &'static str, octets: Option<usize>) -> Result<String, RdataError> {
    let text = source.joined(member)?;
    if text.len() % 2 != 0 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(source.wrong(member, &text, "is not hexadecimal: write two digits for each octet"));
    }
    if octets.is_some_and(|octets| text.len() != 2 * octets) {
        return Err(source.wrong(member, &text, "has not the length of that kind of digest"));
    }
    Ok(text)
}
