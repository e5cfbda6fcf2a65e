//! Signed zones whole: each set of the zone's own has a signature that holds, and the chain denies all that is not there.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use domain::{
    base::{Message, ParsedName, ToName as _, name::FlattenInto as _},
    rdata::AllRecordData,
};
use poterne_dns_sign::Algorithm;
use poterne_dns_wire::rtype;
use poterne_snapshot::{
    Chunk, ChunkKey, Snapshot, TransferChunk,
    transfer::{Outgoing, Peer},
};

use super::{
    Ask, client,
    transfer::{PEER, packed, with, zone_id},
    validator::{Keys, Owned, OwnedRrsig, verify},
    wire,
    world::World,
};
use crate::{
    Service, Signer, SignerLimits, Transport,
    transfer::{
        self, Transfer,
        signed::{Names, SignedWhole, is_signed},
    },
};

const NOW: u32 = 1_559_731_985;

type Key = (Vec<u8>, u16);

/// What a transfer has.
struct Told {
    records: Vec<Owned>,
    sets: BTreeMap<Key, Vec<Owned>>,
    signatures: BTreeMap<Key, Vec<OwnedRrsig>>,
}

fn signed(lines: &str, keys: &Keys) -> (Snapshot, Service) {
    let snapshot = World::new().zone("example.com", 1, lines).head(|head| keys.put(head, NOW)).snapshot();
    let peer =
        Peer { id: [6; 16], address: Some(PEER.parse().unwrap()), port: 53, takes_differences: true, key: None, over_tls: false };
    let outgoing = Some(Outgoing { peers: vec![peer], allows_unsigned: true, ..Outgoing::default() });
    let chunk = TransferChunk { outgoing, incoming: None };
    let snapshot = with(&snapshot, vec![(ChunkKey::Transfer(zone_id()), Chunk::Transfer(chunk))]);
    let signer = Signer::new(keys.node.clone(), SignerLimits::default());
    (snapshot, Service { signer: Some(Arc::new(signer)), ..Service::default() })
}

fn told(snapshot: &Snapshot, service: &Service) -> Told {
    let query = Ask::new("example.com", rtype::AXFR).octets();
    let transfer = Transfer::begin(snapshot, service, &client(Transport::Tcp), &query).unwrap();
    assert!(is_signed(snapshot, transfer.zone));
    let names = Names::of(snapshot, transfer.zone);
    let mut lines = SignedWhole::begin(snapshot, service.signer.as_ref().unwrap(), transfer.zone, &names, NOW).unwrap();
    let messages = packed(transfer, &mut lines);
    assert!(lines.is_over());
    let mut told = Told { records: Vec::new(), sets: BTreeMap::new(), signatures: BTreeMap::new() };
    for octets in &messages {
        for record in Message::from_octets(octets.as_slice()).unwrap().answer().unwrap() {
            let record = record.unwrap().into_record::<AllRecordData<_, ParsedName<_>>>().unwrap().unwrap();
            let record: Owned = record.try_flatten_into().expect("octets in memory");
            told.records.push(record);
        }
    }
    let last = told.records.len() - 1;
    assert_eq!(told.records[0], told.records[last], "between two starts of authority");
    for record in &told.records[..last] {
        let owner = record.owner().as_slice().to_ascii_lowercase();
        match record.data() {
            AllRecordData::Rrsig(rrsig) => {
                assert_eq!(record.ttl(), rrsig.original_ttl());
                told.signatures.entry((owner, rrsig.type_covered().to_int())).or_default().push(rrsig.clone());
            }
            _ => told.sets.entry((owner, record.rtype().to_int())).or_default().push(record.clone()),
        }
    }
    told
}

/// Whether a name lies below a delegation, or is one.
fn cut(told: &Told, owner: &[u8]) -> Option<bool> {
    let apex = wire("example.com");
    let mut at = 0;
    let mut found = None;
    while owner.len() - at > apex.len() {
        if told.sets.contains_key(&(owner[at..].to_vec(), rtype::NS)) {
            found = Some(at > 0);
        }
        at += usize::from(owner[at]) + 1;
    }
    found
}

/// All that must hold of it; returns the owners of the chain, in its order.
fn check(told: &Told, keys: &Keys) -> Vec<Vec<u8>> {
    let apex = wire("example.com");
    let zone = domain::base::Name::from_octets(apex.clone()).unwrap();
    let mut own: BTreeMap<Vec<u8>, BTreeSet<u16>> = BTreeMap::new();
    for (key @ (owner, rtype), set) in &told.sets {
        let is_signed = match cut(told, owner) {
            None => true,
            // The DS of a delegation, and what says which types are told of there.
            Some(false) => matches!(*rtype, rtype::DS | rtype::NSEC),
            Some(true) => false,
        };
        let signatures = told.signatures.get(key).map_or(&[][..], Vec::as_slice);
        assert_eq!(!signatures.is_empty(), is_signed, "{owner:?} {rtype}");
        signatures.iter().for_each(|rrsig| verify(set, rrsig, &zone, keys, NOW));
        if is_signed || (*rtype == rtype::NS && cut(told, owner) == Some(false)) {
            own.entry(owner.clone()).or_insert_with(|| BTreeSet::from([rtype::RRSIG])).insert(*rtype);
        }
    }
    assert!(told.signatures.keys().all(|key| told.sets.contains_key(key)), "a signature of something that is not there");
    let mut chain: Vec<&Owned> = told.records.iter().filter(|record| record.rtype().to_int() == rtype::NSEC).collect();
    chain.sort_by(|one, other| one.owner().name_cmp(other.owner()));
    assert_eq!(chain.len(), own.len(), "a record of the chain at each name");
    for (one, next) in chain.iter().zip(chain.iter().cycle().skip(1)) {
        let AllRecordData::Nsec(nsec) = one.data() else { unreachable!("it was picked so") };
        assert_eq!(nsec.next_name().as_slice(), next.owner().as_slice().to_ascii_lowercase(), "after {}", one.owner());
        let types: BTreeSet<u16> = nsec.types().iter().map(|rtype| rtype.to_int()).collect();
        assert_eq!(types, own[&one.owner().as_slice().to_ascii_lowercase()], "{}", one.owner());
    }
    chain.iter().map(|record| record.owner().to_name::<Vec<u8>>().as_slice().to_ascii_lowercase()).collect()
}

#[test]
fn a_signed_zone_is_given_with_signatures_and_a_chain() {
    let lines = "@ MX 10 mail.example.com\n@ CAA 0 issue \"ca.example\"\nwww A 192.0.2.1\nwww A 192.0.2.2\nwww TXT beside\n\
        p A 203.0.113.200 proxied\nto CNAME www.example.com\n*.wild TXT star\nx.y.ent A 192.0.2.9\nonly CAA 0 issue \"ca.example\"\n\
        sub NS ns.sub.example.com\nsub A 192.0.2.52\nns.sub A 192.0.2.53\nsub-a TXT \"after what is below sub\"\n\
        safe NS ns.example.org\nsafe DS 42 13 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    for algorithm in [Algorithm::EcdsaP256Sha256, Algorithm::Ed25519] {
        let keys = Keys::new(algorithm);
        let (snapshot, service) = signed(lines, &keys);
        let told = told(&snapshot, &service);
        let chain = check(&told, &keys);
        let names = ["example.com", "x.y.ent", "p", "safe", "sub", "sub-a", "to", "*.wild", "www"];
        let absolute = |text: &str| if text == "example.com" { wire(text) } else { wire(&format!("{text}.example.com")) };
        let expected: Vec<Vec<u8>> = names.into_iter().map(absolute).collect();
        assert_eq!(chain, expected, "in canonical order, without what is below a delegation or is not handed over");
        assert_eq!(told.sets[&(wire("p.example.com"), rtype::A)].len(), 2, "the edge's addresses, signed");
        assert!(told.sets.contains_key(&(wire("example.com"), rtype::DNSKEY)));
        assert!(told.sets.contains_key(&(wire("ns.sub.example.com"), rtype::A)), "glue is in the zone all the same");
        // Whatever is given of the zone when it is not signed is in it.
        let unsigned: BTreeSet<Key> =
            transfer::whole(&snapshot, zone_id()).unwrap().map(|line| (line.owner.to_vec(), line.rtype)).collect();
        assert!(unsigned.iter().all(|key| told.sets.contains_key(key)));
    }
}

#[test]
fn a_zone_without_names_is_a_chain_of_one() {
    let keys = Keys::new(Algorithm::Ed25519);
    let (snapshot, service) = signed("", &keys);
    assert_eq!(check(&told(&snapshot, &service), &keys), [wire("example.com")]);
}

#[test]
fn a_large_zone_has_a_chain_through_all_of_its_names() {
    let keys = Keys::new(Algorithm::Ed25519);
    let lines: String = (0..700).map(|number| format!("host-{number} A 192.0.2.1\n")).collect();
    let (snapshot, service) = signed(&lines, &keys);
    assert_eq!(check(&told(&snapshot, &service), &keys).len(), 701);
}

/// Another node's key: nothing is given rather than something unsigned.
#[test]
fn a_zone_whose_key_does_not_open_is_not_given() {
    let keys = Keys::new(Algorithm::Ed25519);
    let (snapshot, _) = signed("www A 192.0.2.1", &keys);
    let other = Signer::new(poterne_keys::NodeKey::generate(), SignerLimits::default());
    let names = Names::of(&snapshot, zone_id());
    assert!(SignedWhole::begin(&snapshot, &other, zone_id(), &names, NOW).is_none());
    assert!(is_signed(&snapshot, zone_id()));
}
