//! The canonical form of a record set (RFC 4034 §6), and its signature (§3).

use std::fmt;

use poterne_dns_wire::rtype;
use smallvec::SmallVec;

use crate::key::{self, KeyError, KeyPair, SIGNATURE_OCTETS};

/// Octets of an RRSIG record's data before the signer's name.
pub const HEAD_OCTETS: usize = 18;

/// How long before it is made a signature begins to hold, in seconds: clocks of validators are wrong by hours.
pub const INCEPTION_BEFORE_SECS: u32 = 3 * 3600;

/// How long a signature made on a name server holds, in seconds, but for [`JITTER_SECS`].
pub const ANSWER_SECS: u32 = 3 * 86_400;

/// How long a signature that is given to another name server holds, in seconds, but for [`JITTER_SECS`]. Another version of a signed zone
/// comes within a week (its keys are signed anew), and whoever does not get it stops answering a week later (the start of authority's
/// `expire`, as it is by default); in the third week it may be given once more with versions that did not change what it is over.
pub const TRANSFER_SECS: u32 = 21 * 86_400;

/// By how much more or less, in seconds: what was signed at the same moment does not end at the same moment everywhere.
pub const JITTER_SECS: u32 = 6 * 3600;

/// From when until when a signature holds: seconds since the Unix epoch modulo 2^32, compared as serial numbers (RFC 4034 §3.1.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Its first second.
    pub inception: u32,
    /// Its last second.
    pub expiration: u32,
}

impl Validity {
    /// Of a signature made now over records of `owner`, for `secs` and up to [`JITTER_SECS`] more or less, by the name.
    pub fn from_now(now_secs: u32, secs: u32, owner: &[u8]) -> Self {
        // FNV-1a: the same name has the same jitter on every node.
        let hash = owner.iter().fold(0x811c_9dc5_u32, |hash, octet| (hash ^ u32::from(*octet)).wrapping_mul(0x0100_0193));
        let jitter = hash % (2 * JITTER_SECS + 1);
        let expiration = now_secs.wrapping_add(secs).wrapping_add(jitter).wrapping_sub(JITTER_SECS);
        Self { inception: now_secs.wrapping_sub(INCEPTION_BEFORE_SECS), expiration }
    }

    /// Whether it holds now.
    pub fn holds(&self, now_secs: u32) -> bool {
        now_secs.wrapping_sub(self.inception) <= self.expiration.wrapping_sub(self.inception)
    }

    /// When it was made.
    pub fn made_at(&self) -> u32 {
        self.inception.wrapping_add(INCEPTION_BEFORE_SECS)
    }

    /// When half of its life is over, counted from when it was made.
    pub fn half_at(&self) -> u32 {
        let made = self.made_at();
        made.wrapping_add(self.expiration.wrapping_sub(made) / 2)
    }

    /// Whether it is time for another: half of its life is over, or it does not hold, as when the clock went back.
    pub fn is_past_half(&self, now_secs: u32) -> bool {
        let half_at = self.half_at();
        !self.holds(now_secs) || now_secs.wrapping_sub(half_at) <= self.expiration.wrapping_sub(half_at)
    }
}

/// A record set that is signed.
#[derive(Debug, Clone, Copy)]
pub struct Set<'a> {
    /// Its owner as labels, in lower case. What a wildcard answers is signed under the name that was asked for.
    pub owner: &'a [u8],
    /// Its type.
    pub rtype: u16,
    /// Its TTL in seconds, as it is answered.
    pub ttl_secs: u32,
    /// The data of each record in canonical form (names whole and in lower case), in any order.
    pub records: &'a [&'a [u8]],
}

/// A signature and what stands beside it, but for the signer's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    /// The data before the signer's name.
    pub head: [u8; HEAD_OCTETS],
    /// The signature.
    pub octets: [u8; SIGNATURE_OCTETS],
    /// From when until when it holds; stands in `head`, too.
    pub validity: Validity,
}

impl Signature {
    /// The data of the RRSIG record. `apex` is the signer's name as labels, in lower case.
    pub fn data(&self, apex: &[u8]) -> Vec<u8> {
        [&self.head[..], apex, &self.octets].concat()
    }
}

/// A key that signs a zone's records.
pub struct ZoneKey {
    pair: KeyPair,
    tag: u16,
    apex: Box<[u8]>,
}

impl ZoneKey {
    /// The key of the zone at `apex` (labels, in lower case), which stands in its DNSKEY set with these flags.
    pub fn new(pair: KeyPair, flags: u16, apex: &[u8]) -> Self {
        let tag = key::key_tag(&key::dnskey(flags, pair.algorithm(), pair.public()));
        Self { pair, tag, apex: apex.into() }
    }

    /// Its tag.
    pub fn tag(&self) -> u16 {
        self.tag
    }

    /// The zone's name as labels.
    pub fn apex(&self) -> &[u8] {
        &self.apex
    }

    /// Signs a record set.
    ///
    /// # Errors
    /// [`KeyError::Library`].
    pub fn sign(&self, set: &Set<'_>, validity: Validity) -> Result<Signature, KeyError> {
        let mut head = [0; HEAD_OCTETS];
        head[..2].copy_from_slice(&set.rtype.to_be_bytes());
        head[2] = self.pair.algorithm().number();
        head[3] = labels(set.owner);
        head[4..8].copy_from_slice(&set.ttl_secs.to_be_bytes());
        head[8..12].copy_from_slice(&validity.expiration.to_be_bytes());
        head[12..16].copy_from_slice(&validity.inception.to_be_bytes());
        head[16..].copy_from_slice(&self.tag.to_be_bytes());
        let octets = self.pair.sign(&signed(&head, &self.apex, set))?;
        Ok(Signature { head, octets, validity })
    }
}

impl fmt::Debug for ZoneKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ZoneKey({}, …)", self.tag)
    }
}

/// What is signed (RFC 4034 §3.1.8.1): the head, the signer's name, and the records in canonical order, each once.
fn signed(head: &[u8; HEAD_OCTETS], apex: &[u8], set: &Set<'_>) -> SmallVec<[u8; 512]> {
    let mut records: SmallVec<[&[u8]; 8]> = SmallVec::from_slice(set.records);
    // RFC 4034 §6.3: as octets, left-justified; the shorter first.
    records.sort_unstable();
    records.dedup();
    let mut message = SmallVec::new();
    message.extend_from_slice(head);
    message.extend_from_slice(apex);
    for data in records {
        message.extend_from_slice(set.owner);
        message.extend_from_slice(&set.rtype.to_be_bytes());
        message.extend_from_slice(&rtype::CLASS_IN.to_be_bytes());
        message.extend_from_slice(&set.ttl_secs.to_be_bytes());
        message.extend_from_slice(&u16::try_from(data.len()).unwrap_or(u16::MAX).to_be_bytes());
        message.extend_from_slice(data);
    }
    message
}

/// RFC 4034 §3.1.3: neither the root nor a leading asterisk counts.
fn labels(owner: &[u8]) -> u8 {
    let (mut at, mut count) = (0, 0u8);
    while let Some(&length) = owner.get(at).filter(|length| **length != 0) {
        count += u8::from(!(at == 0 && owner.starts_with(b"\x01*")));
        at += usize::from(length) + 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_STANDARD};
    use domain::base::{CanonicalOrd, Name, Record, iana::Class, rdata::UnknownRecordData, record::Ttl};
    use proptest::prelude::*;

    use super::*;
    use crate::{
        Algorithm,
        vectors::{octets, wire},
    };

    /// RFC 6605 §6.1: the signature there is over what we take for the canonical form.
    #[test]
    fn the_signature_of_rfc_6605_verifies() {
        let secret = octets("GU6SnQ/Ou+xC5RumuIUIuJZteXT2z0O/ok1s38Et6mQ=");
        let key = ZoneKey::new(KeyPair::of_secret(Algorithm::EcdsaP256Sha256, &secret).unwrap(), 257, &wire("example.net"));
        // 20100909100439 and 20100812100439.
        let validity = Validity { inception: 1_281_607_479, expiration: 1_284_026_679 };
        let owner = wire("www.example.net");
        let set = Set { owner: &owner, rtype: rtype::A, ttl_secs: 3600, records: &[&[192, 0, 2, 1]] };
        let ours = key.sign(&set, validity).unwrap();
        let theirs = octets("qx6wLYqmh+l9oCKTN6qIc+bw6ya+KJ8oMz0YP107epXAyGmt+3SNruPFKG7tZoLBLlUzGGus7ZwmwWep666VCw==");
        let message = signed(&ours.head, key.apex(), &set);
        for octets in [&ours.octets[..], &theirs] {
            assert!(key::verifies(Algorithm::EcdsaP256Sha256, key.pair.public(), &message, octets));
        }
        assert_eq!(key.tag(), 55648);
    }

    /// RFC 8080 §6.1, as its errata correct it: Ed25519 makes the very octets.
    #[test]
    fn the_signatures_of_rfc_8080_are_made() {
        for (secret, theirs) in [
            (
                "ODIyNjAzODQ2MjgwODAxMjI2NDUxOTAyMDQxNDIyNjI=",
                "oL9krJun7xfBOIWcGHi7mag5/hdZrKWw15jPGrHpjQeRAvTdszaPD+QLs3fx8A4M3e23mRZ9VrbpMngwcrqNAg==",
            ),
            (
                "DSSF3o0s0f+ElWzj9E/Osxw8hLpk55chkmx0LYN5WiY=",
                "zXQ0bkYgQTEFyfLyi9QoiY6D8ZdYo4wyUhVioYZXFdT410QPRITQSqJSnzQoSm5poJ7gD7AQR0O7KuI5k2pcBg==",
            ),
        ] {
            let pair = KeyPair::of_secret(Algorithm::Ed25519, &octets(secret)).unwrap();
            let key = ZoneKey::new(pair, 257, &wire("example.com"));
            // 20150819220000 and 20150729220000.
            let validity = Validity { inception: 1_438_207_200, expiration: 1_440_021_600 };
            let owner = wire("example.com");
            let data = [&[0, 10][..], &wire("mail.example.com")].concat();
            let set = Set { owner: &owner, rtype: rtype::MX, ttl_secs: 3600, records: &[&data] };
            assert_eq!(BASE64_STANDARD.encode(key.sign(&set, validity).unwrap().octets), theirs);
        }
    }

    #[test]
    fn a_signature_is_made_anew_at_half_its_life() {
        let now = 1_700_000_000;
        let validity = Validity::from_now(now, ANSWER_SECS, b"\x03www\0");
        assert_eq!(validity, Validity::from_now(now, ANSWER_SECS, b"\x03www\0"));
        let life = validity.expiration - now;
        assert!((ANSWER_SECS - JITTER_SECS..=ANSWER_SECS + JITTER_SECS).contains(&life));
        assert_eq!(validity.inception, now - INCEPTION_BEFORE_SECS);
        let at = |secs: u32| (validity.holds(secs), validity.is_past_half(secs));
        assert_eq!([at(now), at(now + life / 2 - 1), at(now + life / 2)], [(true, false), (true, false), (true, true)]);
        assert_eq!(validity.half_at(), now + life / 2);
        assert_eq!([at(validity.expiration), at(validity.expiration + 1)], [(true, true), (false, true)]);
        // A clock that went back: within three hours it holds still.
        assert_eq!([at(now - 60), at(now - INCEPTION_BEFORE_SECS - 1)], [(true, false), (false, true)]);
        let late = Validity::from_now(u32::MAX - 10, ANSWER_SECS, b"\0");
        assert!(late.holds(u32::MAX) && late.holds(100) && !late.holds(ANSWER_SECS + 2 * JITTER_SECS));
        assert_ne!(Validity::from_now(now, ANSWER_SECS, b"\x01a\0"), Validity::from_now(now, ANSWER_SECS, b"\x01b\0"));
    }

    #[test]
    fn a_leading_asterisk_does_not_count() {
        assert_eq!(labels(&wire("www.example.com")), 3);
        assert_eq!((labels(b"\x01*\x07example\x03com\0"), labels(b"\x01a\x01*\x03com\0"), labels(b"\0")), (2, 3, 0));
    }

    type Theirs = Record<Name<Vec<u8>>, UnknownRecordData<Vec<u8>>>;

    fn theirs(owner: &[u8], rtype: u16, ttl_secs: u32, data: &[u8]) -> Theirs {
        let data = UnknownRecordData::from_octets(domain::base::iana::Rtype::from_int(rtype), data.to_vec()).unwrap();
        Record::new(Name::from_octets(owner.to_vec()).unwrap(), Class::IN, Ttl::from_secs(ttl_secs), data)
    }

    proptest! {
        /// Any records in any order: the octets that are signed are those that another library arranges.
        #[test]
        fn the_canonical_form_is_another_librarys(
            data in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..6), 1..6),
            ttl_secs in any::<u32>(),
        ) {
            let owner = wire("a.example");
            let (_, secret) = KeyPair::generate(Algorithm::Ed25519).unwrap();
            let key = ZoneKey::new(KeyPair::of_secret(Algorithm::Ed25519, &secret).unwrap(), 256, &wire("example"));
            let records: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
            let set = Set { owner: &owner, rtype: 65_280, ttl_secs, records: &records };
            let signature = key.sign(&set, Validity::from_now(0, ANSWER_SECS, &owner)).unwrap();
            let mut expected = signature.head.to_vec();
            expected.extend(wire("example"));
            let mut records: Vec<Theirs> = data.iter().map(|data| theirs(&owner, 65_280, ttl_secs, data)).collect();
            records.sort_by(|one, other| one.data().canonical_cmp(other.data()));
            records.dedup_by(|one, other| one.data().canonical_cmp(other.data()).is_eq());
            for record in &records {
                record.compose_canonical(&mut expected).unwrap();
            }
            prop_assert_eq!(&expected[..], &signed(&signature.head, key.apex(), &set)[..]);
            prop_assert!(key::verifies(Algorithm::Ed25519, key.pair.public(), &expected, &signature.octets));
        }
    }
}
