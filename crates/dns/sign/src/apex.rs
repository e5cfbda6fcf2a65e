//! What a zone's apex says of its keys, signed by the key that the parent names: control makes it, name servers only show it.

use poterne_dns_wire::{Record, RecordSets, rtype};

use crate::{KeyError, Set, Validity, ZoneKey};

/// The sets, unsigned: the data of their records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeySets {
    /// Keys that validators may take (RFC 4034 §2).
    pub dnskey: Vec<Vec<u8>>,
    /// Digests that the parent should have (RFC 7344 §3.1), or that it should have none (RFC 8078 §4).
    pub cds: Vec<Vec<u8>>,
    /// The same as keys (RFC 7344 §3.2).
    pub cdnskey: Vec<Vec<u8>>,
}

impl KeySets {
    /// The sets, and a set of their signatures by each of these keys, as a zone's head carries them. Sets without records are left out.
    ///
    /// # Errors
    /// [`KeyError::Library`].
    pub fn signed(&self, signers: &[ZoneKey], ttl_secs: u32, validity: Validity) -> Result<RecordSets, KeyError> {
        let mut records = Vec::new();
        let mut put = |rtype, data: &[u8]| records.push(Record { rtype, ttl_secs, flattened: false, data: data.to_vec() });
        for (rtype, set) in [(rtype::DNSKEY, &self.dnskey), (rtype::CDS, &self.cds), (rtype::CDNSKEY, &self.cdnskey)] {
            set.iter().for_each(|data| put(rtype, data));
            let data: Vec<&[u8]> = set.iter().map(Vec::as_slice).collect();
            for key in signers.iter().filter(|_| !data.is_empty()) {
                let set = Set { owner: key.apex(), rtype, ttl_secs, records: &data };
                put(rtype::RRSIG, &key.sign(&set, validity)?.data(key.apex()));
            }
        }
        Ok(RecordSets::of(records).0)
    }

    /// Whether these are the very sets, each with a signature; until when, by the first of them.
    pub fn stand_in(&self, signed: &RecordSets) -> Option<Validity> {
        let mut validity = None;
        for (rtype, set) in [(rtype::DNSKEY, &self.dnskey), (rtype::CDS, &self.cds), (rtype::CDNSKEY, &self.cdnskey)] {
            let found = signed.get(rtype);
            if found.iter().flat_map(|found| found.records()).ne(set.iter().map(Vec::as_slice)) {
                return None;
            }
            let covers = |data: &&[u8]| data.starts_with(&rtype.to_be_bytes());
            let rrsig = signed.get(rtype::RRSIG)?.records().find(covers);
            if found.is_some() {
                // RFC 4034 §3.1: until when, then from when.
                let [.., e0, e1, e2, e3, i0, i1, i2, i3] = *rrsig?.first_chunk::<16>()?;
                let [expiration, inception] = [[e0, e1, e2, e3], [i0, i1, i2, i3]].map(u32::from_be_bytes);
                validity = validity.or(Some(Validity { inception, expiration }));
            }
        }
        validity
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Algorithm, KeyPair,
        key::{CDNSKEY_DELETE, CDS_DELETE, ENTRY_FLAGS, dnskey, ds},
    };

    #[test]
    fn each_set_has_a_signature_of_each_signer() {
        let apex = b"\x07example\0";
        let keys = [Algorithm::EcdsaP256Sha256, Algorithm::Ed25519].map(|algorithm| KeyPair::generate(algorithm).unwrap().0);
        let records: Vec<Vec<u8>> = keys.iter().map(|pair| dnskey(ENTRY_FLAGS, pair.algorithm(), pair.public())).collect();
        let sets =
            KeySets { dnskey: records.clone(), cds: records.iter().map(|key| ds(apex, key)).collect(), cdnskey: records.clone() };
        let signers = keys.map(|pair| ZoneKey::new(pair, ENTRY_FLAGS, apex));
        let signed = sets.signed(&signers, 3600, Validity::from_now(0, 86_400, apex)).unwrap();
        assert_eq!(sets.stand_in(&signed), Some(Validity::from_now(0, 86_400, apex)));
        assert_eq!(KeySets { cds: Vec::new(), ..sets.clone() }.stand_in(&signed), None);
        assert_eq!(KeySets { dnskey: vec![records[0].clone()], ..sets.clone() }.stand_in(&signed), None);
        assert_eq!(sets.stand_in(&RecordSets::default()), None);
        let shape: Vec<_> = signed.iter().map(|set| (set.rtype, set.ttl_secs, set.count())).collect();
        assert_eq!(shape, [(46, 3600, 6), (48, 3600, 2), (59, 3600, 2), (60, 3600, 2)]);
        let covered = |data: &[u8]| u16::from_be_bytes([data[0], data[1]]);
        let covered: Vec<u16> = signed.get(rtype::RRSIG).unwrap().records().map(covered).collect();
        assert_eq!(covered, [48, 48, 59, 59, 60, 60]);
        let gone = KeySets { cds: vec![CDS_DELETE.to_vec()], cdnskey: vec![CDNSKEY_DELETE.to_vec()], ..KeySets::default() };
        let signed = gone.signed(&signers[..1], 60, Validity::from_now(0, 86_400, apex)).unwrap();
        assert_eq!(signed.iter().map(|set| (set.rtype, set.count())).collect::<Vec<_>>(), [(46, 2), (59, 1), (60, 1)]);
    }
}
