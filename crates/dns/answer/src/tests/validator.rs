//! A validator in the plainest form: what must hold of every answer of a signed zone. Messages are read, and record sets arranged for
//! their signatures, by the `domain` crate.

use std::collections::BTreeMap;

use domain::{
    base::{
        CanonicalOrd, Message, Name as WireName, ParsedName, Record, ToName,
        iana::Rtype as WireType,
        message::Section,
        name::{FlattenInto, Label, ToLabelIter},
    },
    rdata::{AllRecordData, Nsec, Rrsig},
};
use poterne_dns_sign::{
    Algorithm, KeyPair, KeySets, Validity, ZoneKey,
    key::{ENTRY_FLAGS, ZONE_FLAGS, dnskey, ds, key_tag, verifies},
};
use poterne_dns_wire::rtype;
use poterne_keys::{NodeKey, Purpose};
use poterne_model::Name;
use poterne_snapshot::{ZoneHead, ZoneKeys};

use crate::write::labels;

pub(super) type OwnedRrsig = Rrsig<Vec<u8>, WireName<Vec<u8>>>;
pub(super) type Owned = Record<WireName<Vec<u8>>, AllRecordData<Vec<u8>, WireName<Vec<u8>>>>;

/// A zone's keys, and the node's that opens them.
pub(super) struct Keys {
    algorithm: Algorithm,
    ksk: Vec<u8>,
    zsk: Vec<u8>,
    secret: Vec<u8>,
    ksk_secret: Vec<u8>,
    pub(super) node: NodeKey,
}

impl Keys {
    pub(super) fn new(algorithm: Algorithm) -> Self {
        let (ksk, ksk_secret) = KeyPair::generate(algorithm).unwrap();
        let (zsk, secret) = KeyPair::generate(algorithm).unwrap();
        Self {
            algorithm,
            ksk: dnskey(ENTRY_FLAGS, algorithm, ksk.public()),
            zsk: dnskey(ZONE_FLAGS, algorithm, zsk.public()),
            secret: secret.to_vec(),
            ksk_secret: ksk_secret.to_vec(),
            node: NodeKey::generate(),
        }
    }

    /// Signs a zone, as control does.
    pub(super) fn put(&self, head: &mut ZoneHead, now_secs: u32) {
        let apex = labels(&head.apex);
        let sets = KeySets {
            dnskey: vec![self.ksk.clone(), self.zsk.clone()],
            cds: vec![ds(&apex, &self.ksk)],
            cdnskey: vec![self.ksk.clone()],
        };
        let ksk = ZoneKey::new(KeyPair::of_secret(self.algorithm, &self.ksk_secret).unwrap(), ENTRY_FLAGS, &apex);
        let signed = sets.signed(&[ksk], 3600, Validity::from_now(now_secs, 14 * 86_400, &apex)).unwrap();
        let key = self.node.seal(Purpose::ZoneKey, head.id.as_bytes(), &self.secret).into();
        head.dns.as_mut().unwrap().keys = Some(ZoneKeys { signed, algorithm: self.algorithm.number(), key });
    }
}

/// A denial that an answer holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Denial {
    pub(super) owner: String,
    pub(super) types: Vec<u16>,
}

/// Checks every record set of the answer and authority sections that lies within the zone against its keys, and that what denies says
/// something of its own name alone. Returns the denials.
pub(super) fn validate(octets: &[u8], apex: &Name, keys: &Keys, now_secs: u32) -> Vec<Denial> {
    let message = Message::from_octets(octets).unwrap();
    let zone: WireName<Vec<u8>> = WireName::from_octets(labels(apex).to_vec()).unwrap();
    let is_referral = !message.header().aa();
    let mut sets: BTreeMap<(Vec<u8>, u16), Vec<Owned>> = BTreeMap::new();
    let mut signatures: BTreeMap<(Vec<u8>, u16), Vec<OwnedRrsig>> = BTreeMap::new();
    let mut denials = Vec::new();
    for record in &message {
        let (record, section) = record.unwrap();
        if record.rtype() == WireType::OPT {
            continue;
        }
        let record = record.into_record::<AllRecordData<_, ParsedName<_>>>().unwrap().unwrap();
        let owner: WireName<Vec<u8>> = record.owner().to_name();
        let key = |rtype: u16| (owner.as_slice().to_ascii_lowercase(), rtype);
        if section == Section::Additional {
            assert_ne!(record.rtype(), WireType::RRSIG, "glue is not signed");
            continue;
        }
        if !owner.ends_with(&zone) {
            continue;
        }
        let record: Owned = record.try_flatten_into().expect("octets in memory");
        if let AllRecordData::Rrsig(rrsig) = record.data() {
            assert_eq!(record.ttl(), rrsig.original_ttl(), "{owner}");
            signatures.entry(key(rrsig.type_covered().to_int())).or_default().push(rrsig.clone());
            continue;
        }
        if let AllRecordData::Nsec(nsec) = record.data() {
            assert!(section == Section::Authority || owner.as_slice() == question(&message), "{owner}");
            denials.push(denial(&owner, nsec));
        }
        sets.entry(key(record.rtype().to_int())).or_default().push(record);
    }
    for ((owner, rtype), set) in &sets {
        if is_referral && *rtype == rtype::NS {
            assert!(!signatures.contains_key(&(owner.clone(), *rtype)), "what delegates is not signed");
            continue;
        }
        let found = signatures.get(&(owner.clone(), *rtype)).unwrap_or_else(|| panic!("{owner:?} {rtype} is not signed"));
        for rrsig in found {
            verify(set, rrsig, &zone, keys, now_secs);
        }
    }
    assert!(signatures.keys().all(|key| sets.contains_key(key)), "a signature of something that is not there");
    denials
}

fn question(message: &Message<&[u8]>) -> Vec<u8> {
    message.first_question().unwrap().qname().to_name::<Vec<u8>>().as_slice().to_vec()
}

fn denial(owner: &WireName<Vec<u8>>, nsec: &Nsec<Vec<u8>, WireName<Vec<u8>>>) -> Denial {
    let next = nsec.next_name();
    assert!(owner.name_cmp(next).is_lt(), "{owner} is before {next}");
    if owner.as_slice().len() <= 253 {
        assert_eq!(next.as_slice(), [b"\x01\0", &owner.as_slice().to_ascii_lowercase()[..]].concat(), "it denies nothing else");
    }
    let types = nsec.types().iter().map(|rtype| rtype.to_int()).collect();
    Denial { owner: owner.to_string().to_ascii_lowercase(), types }
}

/// Checks a signature over the records of a set.
pub(super) fn verify(set: &[Owned], rrsig: &OwnedRrsig, zone: &WireName<Vec<u8>>, keys: &Keys, now_secs: u32) {
    let owner = set[0].owner();
    assert_eq!(rrsig.signer_name(), zone, "{owner}");
    let labels = owner.iter_labels().filter(|label| !label.is_root()).count();
    let is_wildcard = owner.first() == Label::wildcard();
    assert_eq!(usize::from(rrsig.labels()), labels - usize::from(is_wildcard), "{owner}: signed as if it stood there");
    let now = i64::from(now_secs);
    assert!(i64::from(rrsig.inception().into_int()) <= now && now < i64::from(rrsig.expiration().into_int()), "{owner}");
    // The keys are signed by the key that the parent names, everything else by the other.
    let of_keys = [rtype::DNSKEY, rtype::CDS, rtype::CDNSKEY].contains(&rrsig.type_covered().to_int());
    let key = if of_keys { &keys.ksk } else { &keys.zsk };
    assert_eq!((rrsig.key_tag(), rrsig.algorithm().to_int()), (key_tag(key), keys.algorithm.number()), "{owner}");
    let mut message = Vec::new();
    domain::base::rdata::ComposeRecordData::compose_canonical_rdata(rrsig, &mut message).unwrap();
    message.truncate(message.len() - rrsig.signature().len());
    let mut set: Vec<&Owned> = set.iter().collect();
    set.sort_by(|one, other| one.data().canonical_cmp(other.data()));
    for record in set {
        record.compose_canonical(&mut message).unwrap();
    }
    assert!(verifies(keys.algorithm, &key[4..], &message, rrsig.signature()), "{owner} {}", rrsig.type_covered());
}
