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
use poterne_dns_wire::{Record, RecordSets, rtype};
use poterne_snapshot::{
    Chunk, ChunkKey, NameChunk, Snapshot, TransferChunk,
    transfer::{Outgoing, Peer},
};
use proptest::prelude::*;

use super::{
    Ask, client,
    transfer::{PEER, packed, with, zone_id},
    validator::{Keys, Owned, OwnedRrsig, verify},
    wire,
    world::{World, name},
};
use crate::{
    Service, Signer, SignerLimits, Transport,
    transfer::{
        self, Line, Transfer,
        signatures::{REUSED_SECS, SIGNATURES_MAX, Signatures},
        signed::{Names, SignedDifference, SignedWhole, is_signed},
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
    assert!(is_signed(snapshot, zone_id()));
    read(snapshot, service, made(snapshot, service, NOW, None).0)
}

/// The zone at a second, and the signatures that it has then.
fn made(snapshot: &Snapshot, service: &Service, now: u32, known: Option<&Signatures>) -> (Vec<Line>, u32, Signatures) {
    let names = Names::of(snapshot, zone_id());
    let signer = service.signer.as_ref().unwrap();
    let mut lines = SignedWhole::begin(snapshot, signer, zone_id(), &names, now, [known, None]).unwrap();
    let all: Vec<Line> = lines.by_ref().collect();
    assert!(lines.is_over());
    (all, lines.made(), lines.into_signatures())
}

/// What changed since the zone was given with these signatures.
fn changed(old: &Snapshot, given: &Signatures, service: &Service, new: &[Line]) -> Option<Vec<Line>> {
    let names = Names::of(old, zone_id());
    let given = SignedWhole::given(old, service.signer.as_ref().unwrap(), zone_id(), &names, given).unwrap();
    let mut difference = SignedDifference::begin(given).unwrap();
    assert!(new.iter().all(|line| difference.push(line.clone())));
    difference.finish()
}

/// The zone after what changed, as who has it makes it (RFC 1995 §4): each record that goes is there, and none that comes.
fn after(old: &[Line], changes: &[Line]) -> BTreeSet<(Vec<u8>, u16, u32, Vec<u8>)> {
    let plain = |line: &Line| (line.owner.to_vec(), line.rtype, line.ttl_secs, line.data.to_vec());
    let mut zone: BTreeSet<_> = old.iter().map(plain).collect();
    let [to, rest @ .., last] = changes else { panic!("{changes:?}") };
    assert_eq!((to.rtype, to), (rtype::SOA, last));
    let comes = rest.iter().position(|line| line == to).unwrap();
    for line in &rest[..comes] {
        assert!(zone.remove(&plain(line)), "{line:?} is not there");
    }
    for line in &rest[comes..] {
        assert!(zone.insert(plain(line)), "{line:?} is there already");
    }
    zone
}

fn read(snapshot: &Snapshot, service: &Service, lines: Vec<Line>) -> Told {
    let query = Ask::new("example.com", rtype::AXFR).octets();
    let transfer = Transfer::begin(snapshot, service, &client(Transport::Tcp), &query).unwrap();
    let messages = packed(transfer, lines.into_iter());
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
    assert!(SignedWhole::begin(&snapshot, &other, zone_id(), &names, NOW, [None, None]).is_none());
    assert!(is_signed(&snapshot, zone_id()));
}

/// The next version, in which a name has other records, or is no more.
fn edited(snapshot: &Snapshot, edits: &[(&str, Option<&[u8]>)]) -> Snapshot {
    let mut head = snapshot.zone(zone_id()).unwrap().head().clone();
    head.dns.as_mut().unwrap().serial += 1;
    let mut chunks = vec![(ChunkKey::Zone(zone_id()).encode(), Some(Chunk::Zone(head).encode()))];
    for (owner, data) in edits {
        let record = |data: &&[u8]| Record { rtype: rtype::A, ttl_secs: 60, flattened: false, data: data.to_vec() };
        let chunk = data.as_ref().map(|data| NameChunk { sets: RecordSets::of(vec![record(data)]).0, ..NameChunk::default() });
        chunks.push((ChunkKey::Name(zone_id(), name(owner)).encode(), chunk.map(|chunk| Chunk::Name(chunk).encode())));
    }
    snapshot.apply(&poterne_feed::Change { generation: snapshot.generation() + 1, chunks }).unwrap().1
}

/// What changed is told with what goes of the signatures and of the chain, and comes to the zone as it is whole.
#[test]
fn what_changed_of_a_signed_zone_is_told_alone() {
    let lines: String = (0..200).map(|number| format!("host-{number} A 192.0.2.1\n")).collect();
    for algorithm in [Algorithm::EcdsaP256Sha256, Algorithm::Ed25519] {
        let keys = Keys::new(algorithm);
        let (first, service) = signed(&lines, &keys);
        let (old, signed_first, given) = made(&first, &service, NOW, None);
        // A set and a link of the chain at each name; the start of authority and the name servers beside them.
        assert_eq!((signed_first, given.len()), (2 * 200 + 3, 2 * 200 + 3));
        let second = edited(&first, &[("host-7.example.com", Some(&[192, 0, 2, 2])), ("new.example.com", Some(&[192, 0, 2, 3]))]);
        let (new, signed_again, given_again) = made(&second, &service, NOW + 3600, Some(&given));
        // The start of authority; the name's set; the new one's, its link, and the one before it.
        assert_eq!(signed_again, 1 + 1 + 3);
        let changes = changed(&first, &given, &service, &new).unwrap();
        // Around them four starts of authority. The signature of that one, a record and a link of the chain go and come, these with theirs; a name comes
        // with four.
        assert_eq!(changes.len(), 4 + (1 + 2 + 2) + (1 + 2 + 2 + 4), "{changes:#?}");
        let whole: BTreeSet<_> =
            new.iter().map(|line| (line.owner.to_vec(), line.rtype, line.ttl_secs, line.data.to_vec())).collect();
        assert_eq!(after(&old, &changes), whole);
        check(&read(&second, &service, new), &keys);
        // A third, from the second.
        let third = edited(&second, &[("new.example.com", None)]);
        let (new, signed_again, _) = made(&third, &service, NOW + 7200, Some(&given_again));
        assert_eq!(signed_again, 2, "the start of authority, and the link before what is gone");
        assert!(changed(&second, &given_again, &service, &new).unwrap().len() < 20);
        check(&read(&third, &service, new), &keys);
    }
}

#[test]
fn a_signature_that_is_old_is_made_anew() {
    let keys = Keys::new(Algorithm::Ed25519);
    let lines: String = (0..50).map(|number| format!("host-{number} A 192.0.2.1\n")).collect();
    let (first, service) = signed(&lines, &keys);
    let (_, signed_first, given) = made(&first, &service, NOW, None);
    assert_eq!(made(&first, &service, NOW + REUSED_SECS, Some(&given)).1, 0);
    let (new, signed_again, _) = made(&first, &service, NOW + REUSED_SECS + 1, Some(&given));
    assert_eq!(signed_again, signed_first);
    // All of it is another: the zone whole is less.
    assert!(changed(&first, &given, &service, &new).is_none());
    // Nor is one given that is not of this time: the clock went back.
    assert_eq!(made(&first, &service, NOW - 86_400, Some(&given)).1, signed_first);
}

/// Another key: nothing that the one before signed is given.
#[test]
fn a_zone_with_another_key_is_signed_anew() {
    let keys = Keys::new(Algorithm::Ed25519);
    let (first, service) = signed("www A 192.0.2.1", &keys);
    let (_, signed_first, given) = made(&first, &service, NOW, None);
    let mut other = Keys::new(Algorithm::Ed25519);
    other.node = keys.node.clone();
    let mut head = first.zone(zone_id()).unwrap().head().clone();
    other.put(&mut head, NOW);
    let second = with(&first, vec![(ChunkKey::Zone(zone_id()), Chunk::Zone(head))]);
    let (new, signed_again, _) = made(&second, &service, NOW, Some(&given));
    assert_eq!(signed_again, signed_first);
    check(&read(&second, &service, new), &other);
}

#[test]
fn of_a_large_zone_no_signatures_are_remembered() {
    let keys = Keys::new(Algorithm::Ed25519);
    let lines: String = (0..SIGNATURES_MAX / 2).map(|number| format!("h{number} A 192.0.2.1\n")).collect();
    let (snapshot, service) = signed(&lines, &keys);
    let (_, count, given) = made(&snapshot, &service, NOW, None);
    assert!(count as usize > SIGNATURES_MAX && given.is_too_large() && given.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// Whatever changes, version after version: what changed, put to what there was, is the zone as it is, and that validates.
    #[test]
    fn changes_come_to_the_zone(edits in prop::collection::vec(prop::collection::vec((0u8..12, 0u8..3), 1..4), 1..6)) {
        let keys = Keys::new(Algorithm::Ed25519);
        let lines: String = (0..40).map(|number| format!("host-{number} A 192.0.2.1\n")).collect();
        let (mut snapshot, service) = signed(&lines, &keys);
        let (mut old, _, mut given) = made(&snapshot, &service, NOW, None);
        for step in edits {
            let named: Vec<(String, [u8; 4], bool)> =
                step.into_iter().map(|(host, what)| (format!("host-{host}.example.com"), [192, 0, 2, what], what > 0)).collect();
            let named: Vec<_> =
                named.iter().map(|(owner, data, is_there)| (owner.as_str(), is_there.then_some(&data[..]))).collect();
            // The last word about a name is the one that counts.
            let last: BTreeMap<&str, Option<&[u8]>> = named.into_iter().collect();
            let next = edited(&snapshot, &last.into_iter().collect::<Vec<_>>());
            let (new, _, given_now) = made(&next, &service, NOW, Some(&given));
            let changes = changed(&snapshot, &given, &service, &new).expect("little changed");
            let whole: BTreeSet<_> = new.iter().map(|line| (line.owner.to_vec(), line.rtype, line.ttl_secs, line.data.to_vec())).collect();
            prop_assert_eq!(after(&old, &changes), whole);
            check(&read(&next, &service, new.clone()), &keys);
            (snapshot, old, given) = (next, new, given_now);
        }
    }
}
