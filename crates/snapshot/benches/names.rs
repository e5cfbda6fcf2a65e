//! What looking a name up and publishing one cost, with 100,000 names in one zone.
#![allow(missing_docs)]

use poterne_feed::Change;
use poterne_model::{
    AccountId, Name, TunnelId, ZoneId, ZoneStatus,
    setting::{EdgeSettings, OriginSettings},
};
use poterne_snapshot::{Chunk, ChunkKey, Lookup, NameChunk, Snapshot, Target, ZoneHead};

const NAMES: u32 = 100_000;

/// Counts what a snapshot takes: see the `max alloc` rows of `hold`, divided by [`NAMES`].
#[global_allocator]
static ALLOCATIONS: divan::AllocProfiler = divan::AllocProfiler::system();

fn main() {
    divan::main();
}

fn loaded() -> Snapshot {
    Snapshot::default().apply(&everything()).expect("it is a first generation").1
}

fn everything() -> Change {
    let zone = ZoneId::from_bytes([1; 16]);
    let apex = Name::parse("example.com").expect("a name");
    let head = ZoneHead {
        id: zone,
        account: AccountId::from_bytes([2; 16]),
        apex,
        status: ZoneStatus::Active,
        dns: None,
        origin: OriginSettings::default(),
        edge: EdgeSettings::default(),
        client: None,
        partial: false,
    };
    let names = (0..NAMES).map(|number| name_chunk(zone, number, 0));
    let chunks = std::iter::once((ChunkKey::Zone(zone).encode(), Some(Chunk::Zone(head).encode()))).chain(names).collect();
    Change { generation: 1, chunks }
}

fn name_chunk(zone: ZoneId, number: u32, tunnel: u8) -> (poterne_feed::Key, Option<bytes::Bytes>) {
    let name = Name::parse(&format!("host-{number}.customers.example.com")).expect("a name");
    let chunk = NameChunk::leading_to(Target::Tunnel(TunnelId::from_bytes([tunnel; 16])));
    (ChunkKey::Name(zone, name).encode(), Some(Chunk::Name(chunk).encode()))
}

/// One generation after another, each a single chunk: what is left at the end is the snapshot alone.
#[divan::bench(sample_count = 1, sample_size = 1)]
fn hold(bencher: divan::Bencher<'_, '_>) {
    let changes: Vec<Change> =
        everything().chunks.into_iter().zip(1..).map(|(chunk, generation)| Change { generation, chunks: vec![chunk] }).collect();
    bencher.bench_local(|| {
        let mut snapshot = Snapshot::default();
        for change in &changes {
            snapshot = snapshot.apply(change).expect("it follows").1;
        }
        snapshot
    });
}

#[divan::bench]
fn look_up(bencher: divan::Bencher<'_, '_>) {
    let snapshot = loaded();
    let hosts: Vec<String> = (0..NAMES).map(|number| format!("host-{number}.customers.example.com")).collect();
    let mut at = 0;
    bencher.bench_local(|| {
        at = (at + 7919) % hosts.len();
        assert!(matches!(snapshot.route(divan::black_box(&hosts[at])), Lookup::Route { .. }));
    });
}

#[divan::bench]
fn look_up_nothing(bencher: divan::Bencher<'_, '_>) {
    let snapshot = loaded();
    bencher.bench_local(|| assert!(matches!(snapshot.route(divan::black_box("a.b.c.example.com")), Lookup::NoHost(_))));
}

#[divan::bench]
fn publish_one(bencher: divan::Bencher<'_, '_>) {
    let snapshot = loaded();
    let change = Change { generation: 2, chunks: vec![name_chunk(ZoneId::from_bytes([1; 16]), 4711, 9)] };
    bencher.bench_local(|| snapshot.apply(divan::black_box(&change)).expect("it follows"));
}
