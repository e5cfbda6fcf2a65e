//! A zone's keys, and a validator in the plainest form: record sets are arranged for their signatures by the `domain` crate.

use std::collections::BTreeMap;

use domain::{
    base::{
        CanonicalOrd as _, Message, Name as WireName, ParsedName, Record, iana::Rtype as WireType, message::Section,
        name::FlattenInto as _, rdata::ComposeRecordData as _,
    },
    rdata::{AllRecordData, Rrsig},
};
use poterne_dns_sign::{
    Algorithm, KeyPair, KeySets, Validity, ZoneKey,
    key::{ENTRY_FLAGS, ZONE_FLAGS, dnskey, ds, key_tag, verifies},
};
use poterne_keys::{NodeKey, Purpose};
use poterne_snapshot::{ZoneHead, ZoneKeys};

use crate::ask::wire;

const ALGORITHM: Algorithm = Algorithm::EcdsaP256Sha256;

/// The zones that are signed.
const SIGNED: [&str; 2] = ["signed.test", "other.test"];

type Owner = WireName<Vec<u8>>;
type Owned = Record<Owner, AllRecordData<Vec<u8>, Owner>>;

pub(crate) struct Keys {
    ksk: Vec<u8>,
    zsk: Vec<u8>,
    ksk_secret: Vec<u8>,
    zsk_secret: Vec<u8>,
    /// The key that opens what travels to the node.
    pub(crate) node: NodeKey,
}

impl Keys {
    pub(crate) fn new() -> Self {
        let (ksk, ksk_secret) = KeyPair::generate(ALGORITHM).unwrap();
        let (zsk, zsk_secret) = KeyPair::generate(ALGORITHM).unwrap();
        Self {
            ksk: dnskey(ENTRY_FLAGS, ALGORITHM, ksk.public()),
            zsk: dnskey(ZONE_FLAGS, ALGORITHM, zsk.public()),
            ksk_secret: ksk_secret.to_vec(),
            zsk_secret: zsk_secret.to_vec(),
            node: NodeKey::generate(),
        }
    }

    /// Signs a zone, as control does.
    pub(crate) fn put(&self, head: &mut ZoneHead, now_secs: u32) {
        let apex = wire(head.apex.as_str());
        let sets = KeySets {
            dnskey: vec![self.ksk.clone(), self.zsk.clone()],
            cds: vec![ds(&apex, &self.ksk)],
            cdnskey: vec![self.ksk.clone()],
        };
        let ksk = ZoneKey::new(KeyPair::of_secret(ALGORITHM, &self.ksk_secret).unwrap(), ENTRY_FLAGS, &apex);
        let signed = sets.signed(&[ksk], 3600, Validity::from_now(now_secs, 14 * 86_400, &apex)).unwrap();
        let key = self.node.seal(Purpose::ZoneKey, head.id.as_bytes(), &self.zsk_secret).into();
        head.dns.as_mut().unwrap().keys = Some(ZoneKeys { signed, algorithm: ALGORITHM.number(), key });
    }

    /// Asserts that every record set of answer and authority validates, but what delegates, which is not signed. Returns what the answer
    /// denies: owners of NSEC records, in lower case, and the numbers of their types.
    pub(crate) fn validate(&self, octets: &[u8], now_secs: u32) -> Vec<(String, Vec<u16>)> {
        let message = Message::from_octets(octets).unwrap();
        let is_referral = !message.header().aa();
        let mut sets: BTreeMap<_, Vec<Owned>> = BTreeMap::new();
        let mut signatures: BTreeMap<_, Vec<Rrsig<Vec<u8>, Owner>>> = BTreeMap::new();
        let mut denied = Vec::new();
        for record in &message {
            let (record, section) = record.unwrap();
            if record.rtype() == WireType::OPT || section == Section::Additional {
                continue;
            }
            let record = record.into_record::<AllRecordData<_, ParsedName<_>>>().unwrap().unwrap();
            let record: Owned = record.try_flatten_into().expect("octets in memory");
            let key = |rtype: WireType| (record.owner().as_slice().to_ascii_lowercase(), rtype.to_int());
            if let AllRecordData::Rrsig(rrsig) = record.data() {
                signatures.entry(key(rrsig.type_covered())).or_default().push(rrsig.clone());
                continue;
            }
            if let AllRecordData::Nsec(nsec) = record.data() {
                let types = nsec.types().iter().map(|rtype| rtype.to_int()).collect();
                denied.push((record.owner().to_string().trim_end_matches('.').to_ascii_lowercase(), types));
            }
            sets.entry(key(record.rtype())).or_default().push(record);
        }
        assert!(signatures.keys().all(|key| sets.contains_key(key)), "a signature of something that is not there");
        for (key, set) in &sets {
            if is_referral && key.1 == WireType::NS.to_int() {
                assert!(!signatures.contains_key(key), "what delegates is not signed");
                continue;
            }
            let found = signatures.get(key).unwrap_or_else(|| panic!("{key:?} is not signed"));
            found.iter().for_each(|rrsig| self.verify(set, rrsig, now_secs));
        }
        denied
    }

    fn verify(&self, set: &[Owned], rrsig: &Rrsig<Vec<u8>, Owner>, now_secs: u32) {
        let owner = set[0].owner();
        let zone = SIGNED.map(wire).into_iter().find(|apex| owner.as_slice().to_ascii_lowercase().ends_with(apex));
        assert_eq!(Some(rrsig.signer_name().as_slice()), zone.as_deref(), "{owner}");
        let (from, until) = (rrsig.inception().into_int(), rrsig.expiration().into_int());
        assert!(from <= now_secs && now_secs < until, "{owner}");
        // The keys are signed by the key that the parent names, everything else by the other.
        let of_keys = [WireType::DNSKEY, WireType::CDS, WireType::CDNSKEY].contains(&rrsig.type_covered());
        let key = if of_keys { &self.ksk } else { &self.zsk };
        assert_eq!((rrsig.key_tag(), rrsig.algorithm().to_int()), (key_tag(key), ALGORITHM.number()), "{owner}");
        let mut message = Vec::new();
        rrsig.compose_canonical_rdata(&mut message).unwrap();
        message.truncate(message.len() - rrsig.signature().len());
        let mut set: Vec<&Owned> = set.iter().collect();
        set.sort_by(|one, other| one.data().canonical_cmp(other.data()));
        for record in set {
            assert_eq!(record.ttl(), rrsig.original_ttl(), "{owner}");
            record.compose_canonical(&mut message).unwrap();
        }
        assert!(verifies(ALGORITHM, &key[4..], &message, rrsig.signature()), "{owner} {}", rrsig.type_covered());
    }
}
