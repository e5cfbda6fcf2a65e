//! What an answer costs without a socket: `cargo bench -p poterne-dns-answer`.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use std::sync::Arc;

use poterne_dns_answer::{Client, Service, Signer, SignerLimits, Transport, answer};
use poterne_dns_sign::{
    Algorithm, KeyPair, KeySets, Validity, ZoneKey,
    key::{ENTRY_FLAGS, dnskey},
};
use poterne_dns_wire::{Record, RecordSets, name, rtype};
use poterne_feed::Change;
use poterne_keys::{NodeKey, Purpose};
use poterne_model::{
    AccountId, Name, TunnelId, ZoneId, ZoneStatus,
    setting::{DnsSettings, EdgeSettings, OriginSettings},
};
use poterne_snapshot::{Chunk, ChunkKey, NameChunk, NodeChunk, Snapshot, Target, ZoneDns, ZoneHead, ZoneKeys};

const NAMES: u32 = 100_000;

fn main() {
    divan::main();
}

fn loaded() -> Snapshot {
    loaded_with(None)
}

/// A zone's keys, wrapped for a node.
fn keys(node: &NodeKey) -> ZoneKeys {
    let apex = b"\x07example\x03com\0";
    let (ksk, _) = KeyPair::generate(Algorithm::default()).unwrap();
    let (_, secret) = KeyPair::generate(Algorithm::default()).unwrap();
    let sets = KeySets { dnskey: vec![dnskey(ENTRY_FLAGS, ksk.algorithm(), ksk.public())], ..KeySets::default() };
    let signed = sets.signed(&[ZoneKey::new(ksk, ENTRY_FLAGS, apex)], 3600, Validity::from_now(1, 86_400, apex)).unwrap();
    ZoneKeys { signed, algorithm: 13, key: node.seal(Purpose::ZoneKey, &[1; 16], &secret).into() }
}

fn loaded_with(keys: Option<ZoneKeys>) -> Snapshot {
    let zone = ZoneId::from_bytes([1; 16]);
    let apex = Name::parse("example.com").unwrap();
    let dns = ZoneDns {
        serial: 1,
        name_servers: vec![Name::parse("ns1.example.net").unwrap(), Name::parse("ns2.example.net").unwrap()],
        ns_ttl_secs: 86_400,
        multi_provider: false,
        flattens_all: false,
        soa: DnsSettings::default().soa,
        keys,
    };
    let head = ZoneHead {
        id: zone,
        account: AccountId::from_bytes([2; 16]),
        apex,
        status: ZoneStatus::Active,
        dns: Some(dns),
        origin: OriginSettings::default(),
        edge: EdgeSettings::default(),
        client: None,
        partial: false,
    };
    let node = NodeChunk { edge_addresses: vec!["203.0.113.10".parse().unwrap()], ..NodeChunk::default() };
    let mut chunks = vec![(ChunkKey::Node, Chunk::Node(node)), (ChunkKey::Zone(zone), Chunk::Zone(head))];
    let mut put = |name: String, chunk| chunks.push((ChunkKey::Name(zone, Name::parse(&name).unwrap()), Chunk::Name(chunk)));
    for number in 0..NAMES {
        let record = Record { rtype: rtype::A, ttl_secs: 300, flattened: false, data: number.to_be_bytes().to_vec() };
        put(format!("host-{number}.example.com"), NameChunk { sets: RecordSets::of(vec![record]).0, ..NameChunk::default() });
    }
    let record = Record { rtype: rtype::A, ttl_secs: 300, flattened: false, data: vec![192, 0, 2, 1] };
    put("*.wild.example.com".into(), NameChunk { sets: RecordSets::of(vec![record]).0, ..NameChunk::default() });
    put("proxied.example.com".into(), NameChunk::leading_to(Target::Tunnel(TunnelId::from_bytes([7; 16]))));
    let chunks = chunks.into_iter().map(|(key, chunk)| (key.encode(), Some(chunk.encode()))).collect();
    Snapshot::default().apply(&Change { generation: 1, chunks }).unwrap().1
}

fn query(text: &str) -> Vec<u8> {
    query_with(text, 0)
}

fn query_with(text: &str, flags: u8) -> Vec<u8> {
    let mut octets = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    name::push(text, &mut octets);
    octets.extend([0, 1, 0, 1]);
    octets.extend([0, 0, 41, 4, 208, 0, 0, flags, 0, 0, 0]);
    octets
}

fn ask(bencher: divan::Bencher<'_, '_>, queries: &[Vec<u8>]) {
    ask_of(bencher, queries, &loaded(), &Service::default());
}

fn ask_of(bencher: divan::Bencher<'_, '_>, queries: &[Vec<u8>], snapshot: &Snapshot, service: &Service) {
    let client = Client { address: [192, 0, 2, 9].into(), transport: Transport::Udp, now_secs: 1, turn: 0 };
    let (mut out, mut at) = ([0; 1232], 0);
    bencher.bench_local(|| {
        at = (at + 7919) % queries.len();
        let reply = answer(snapshot, service, &client, divan::black_box(&queries[at]), &mut out);
        assert!(reply.length > 0);
    });
}

#[divan::bench]
fn hit(bencher: divan::Bencher<'_, '_>) {
    ask(bencher, &(0..NAMES).map(|number| query(&format!("host-{number}.example.com"))).collect::<Vec<_>>());
}

#[divan::bench]
fn hit_among_a_thousand(bencher: divan::Bencher<'_, '_>) {
    ask(bencher, &(0..1000).map(|number| query(&format!("host-{number}.example.com"))).collect::<Vec<_>>());
}

#[divan::bench]
fn no_name(bencher: divan::Bencher<'_, '_>) {
    ask(bencher, &(0..1000).map(|number| query(&format!("no-{number}.example.com"))).collect::<Vec<_>>());
}

#[divan::bench]
fn wildcard(bencher: divan::Bencher<'_, '_>) {
    ask(bencher, &(0..1000).map(|number| query(&format!("w-{number}.wild.example.com"))).collect::<Vec<_>>());
}

#[divan::bench]
fn proxied(bencher: divan::Bencher<'_, '_>) {
    ask(bencher, &[query("proxied.example.com")]);
}

/// Signed answers to these questions, of which so many signatures are remembered.
fn ask_signed(bencher: divan::Bencher<'_, '_>, names: impl Iterator<Item = String>, signatures_max: usize) {
    let node = NodeKey::generate();
    let limits = SignerLimits { signatures_max, made_per_sec_max: u32::MAX, ..SignerLimits::default() };
    let snapshot = loaded_with(Some(keys(&node)));
    let service = Service { signer: Some(Arc::new(Signer::new(node, limits))), ..Service::default() };
    let queries: Vec<Vec<u8>> = names.map(|name| query_with(&name, 0x80)).collect();
    // As it is after a while.
    let client = Client { address: [192, 0, 2, 9].into(), transport: Transport::Udp, now_secs: 1, turn: 0 };
    for query in &queries {
        answer(&snapshot, &service, &client, query, &mut [0; 1232]);
    }
    ask_of(bencher, &queries, &snapshot, &service);
}

#[divan::bench]
fn signed_hit_remembered(bencher: divan::Bencher<'_, '_>) {
    ask_signed(bencher, (0..1000).map(|number| format!("host-{number}.example.com")), 65_536);
}

#[divan::bench]
fn signed_hit_on_the_spot(bencher: divan::Bencher<'_, '_>) {
    ask_signed(bencher, (0..1000).map(|number| format!("host-{number}.example.com")), 1);
}

#[divan::bench]
fn signed_no_name_remembered(bencher: divan::Bencher<'_, '_>) {
    ask_signed(bencher, (0..1000).map(|number| format!("no-{number}.example.com")), 65_536);
}

#[divan::bench]
fn signed_wildcard_remembered(bencher: divan::Bencher<'_, '_>) {
    ask_signed(bencher, (0..1000).map(|number| format!("w-{number}.wild.example.com")), 65_536);
}
