//! Names flattened through another provider, whose name server is a real one on loopback.

use std::sync::atomic::AtomicU64;

use poterne_dns_answer::is_own;
use poterne_dns_resolver::{
    Resolver,
    testing::{Manner, TestServer},
};
use poterne_guard::{Guard, Range};

use super::*;
use crate::{
    Clock,
    lookups::{LOOKUPS_MAX, PARKED_OF_NAME_MAX},
};

const RESOLVES: Manner = Manner { recursive: true, transfers: false, silent: false, refuses: false, old: false };
const SILENT: Manner = Manner { silent: true, ..RESOLVES };

/// A short patience with the other provider, where the test has to wait for its end.
const SHORT: Duration = Duration::from_millis(200);

/// A zone with names that lead to the other provider's.
fn leading_away() -> SnapshotHandle {
    let handle = snapshot();
    let id = ZoneId::from_bytes([1; 16]);
    let named = |owner: &str, target: &str| {
        let mut data = Vec::new();
        name::push(target, &mut data);
        let record = Record { rtype: rtype::CNAME, ttl_secs: 300, flattened: true, data };
        let chunk = NameChunk { sets: RecordSets::of(vec![record]).0, ..NameChunk::default() };
        (ChunkKey::Name(id, Name::parse(owner).unwrap()).encode(), Some(Chunk::Name(chunk).encode()))
    };
    let mut chunks = vec![
        named("example.com", "host.other.test"),
        named("gone.example.com", "gone.other.test"),
        named("private.example.com", "private.other.test"),
        named("back.example.com", "back.other.test"),
        named("loop.example.com", "loop.other.test"),
        named("cut.example.com", "cut.other.test"),
    ];
    chunks.extend((0..200).map(|number| named(&format!("n{number}.example.com"), &format!("n{number}.other.test"))));
    handle.apply(&Change { generation: 2, chunks }).unwrap();
    handle
}

/// The node, and the other provider, which is the resolver too. It does not know the node's names.
struct Node {
    server: Server,
    address: SocketAddr,
    metrics: Metrics,
    other: TestServer,
    snapshot: SnapshotHandle,
    now_secs: Arc<AtomicU64>,
}

async fn node(timeout: Duration) -> Node {
    let other = TestServer::start("127.0.0.1", 0, RESOLVES).await.with(
        ".",
        "host.other.test. 60 A 198.51.100.7\nhost.other.test. 60 A 127.0.0.77\nhost.other.test. 90 AAAA ::1\n\
         private.other.test. A 10.0.0.1\nback.other.test. CNAME www.example.com.\nloop.other.test. CNAME loop.example.com.\n\
         *.other.test. A 127.0.0.9",
    );
    // Addresses for documentation are not handed out; loopback is, here.
    let allowed = vec![Range { network: "127.0.0.0/8".parse().unwrap(), accounts: None }];
    let guard = Guard { allowed, own: Vec::new() };
    let eyes = poterne_dns_resolver::Settings {
        timeout,
        tries: 2,
        ..poterne_dns_resolver::Settings::new(Vec::new(), vec![other.address()], guard)
    };
    let now_secs = Arc::new(AtomicU64::new(1_800_000_000));
    let clock = Arc::clone(&now_secs);
    let clock: Clock = Arc::new(move || SystemTime::UNIX_EPOCH + Duration::from_secs(clock.load(Relaxed)));
    let (metrics, snapshot) = (Metrics::new(), leading_away());
    let settings = Settings { resolver: Some(Resolver::new(eyes)), clock, ..Settings::default() };
    let mut server = Server::new(settings, snapshot.clone(), &metrics);
    let bound = bind("127.0.0.1:0".parse().unwrap(), NonZeroUsize::new(2).unwrap()).unwrap();
    let address = bound.address;
    server.serve(bound).unwrap();
    Node { server, address, metrics, other, snapshot, now_secs }
}

/// The code, and TTL and data of each record of the answer.
type Read = (u8, Vec<(u32, Vec<u8>)>);

impl Node {
    async fn ask(&self, text: &str, rtype: u16) -> Read {
        let (address, query) = (self.address, query(9, text, rtype));
        tokio::task::spawn_blocking(move || read(&ask(&udp(address), &query))).await.unwrap()
    }

    async fn ask_over_tcp(&self, queries: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let address = self.address;
        let work = move || {
            let mut stream = tcp(address);
            stream.write_all(&framed(&queries)).unwrap();
            // Who asks no more is answered all the same.
            stream.shutdown(Shutdown::Write).unwrap();
            let responses = queries.iter().map(|_| read_framed(&mut stream)).collect();
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).unwrap();
            assert!(rest.is_empty());
            responses
        };
        tokio::task::spawn_blocking(work).await.unwrap()
    }

    fn asked(&self, text: &str) -> usize {
        self.other.asked().iter().filter(|asked| *asked == text).count()
    }

    /// Until the metrics say so.
    async fn told(&self, line: &str) {
        while !self.metrics.encode().contains(line) {
            tokio::task::yield_now().await;
        }
    }
}

fn read(response: &[u8]) -> Read {
    let mut at = 12 + name::length(&response[12..]).unwrap() + 4;
    let mut records = Vec::new();
    for _ in 0..u16::from_be_bytes([response[6], response[7]]) {
        at = name::skip(response, at).unwrap();
        let ttl = u32::from_be_bytes(response[at + 4..at + 8].try_into().unwrap());
        let length = usize::from(u16::from_be_bytes([response[at + 8], response[at + 9]]));
        records.push((ttl, response[at + 10..at + 10 + length].to_vec()));
        at += 10 + length;
    }
    (response[3] & 0x0f, records)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_apex_has_the_addresses_at_the_end_of_its_chain() {
    let node = node(PATIENCE).await;
    let good = (0, vec![(60, vec![127, 0, 0, 77])]);
    assert_eq!(node.ask("example.com", rtype::A).await, good, "what may not be reached is left out");
    assert_eq!(node.ask("example.com", rtype::A).await, good);
    assert_eq!(node.asked("host.other.test A"), 1, "it is remembered");
    assert_eq!(node.ask("example.com", rtype::AAAA).await, (0, vec![]), "there are private ones alone");
    assert_eq!(node.ask("private.example.com", rtype::A).await, (0, vec![]));
    assert_eq!(node.ask("gone.example.com", rtype::AAAA).await, (0, vec![]));
    let responses = node.ask_over_tcp(vec![query(1, "cut.example.com", rtype::A), query(2, "www.example.com", rtype::A)]).await;
    let mut by_id: Vec<_> = responses.iter().map(|response| (response[1], read(response).1[0].1.clone())).collect();
    by_id.sort();
    assert_eq!(by_id, [(1, vec![127, 0, 0, 9]), (2, vec![192, 0, 2, 1])]);
    let text = node.metrics.encode();
    for line in [
        "poterne_dns_lookups_total{outcome=\"addresses\"} 2",
        "poterne_dns_lookups_total{outcome=\"blocked\"} 2",
        "poterne_dns_lookups_total{outcome=\"nothing\"} 1",
        "poterne_dns_answers_total{rcode=\"NOERROR\"} 7",
        "poterne_dns_elsewhere{of=\"queries\"} 0",
        "poterne_dns_elsewhere{of=\"remembered\"} 5",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_comes_back_is_answered_from_the_snapshot() {
    let node = node(PATIENCE).await;
    assert_eq!(node.ask("back.example.com", rtype::A).await, (0, vec![(60, vec![192, 0, 2, 1])]));
    assert_eq!(node.ask("loop.example.com", rtype::A).await, (2, vec![]));
    let changed = Record { rtype: rtype::A, ttl_secs: 60, flattened: false, data: vec![192, 0, 2, 200] };
    let chunk = NameChunk { sets: RecordSets::of(vec![changed]).0, ..NameChunk::default() };
    let key = ChunkKey::Name(ZoneId::from_bytes([1; 16]), Name::parse("www.example.com").unwrap());
    node.snapshot.apply(&Change { generation: 3, chunks: vec![(key.encode(), Some(Chunk::Name(chunk).encode()))] }).unwrap();
    assert_eq!(node.ask("back.example.com", rtype::A).await.1, [(60, vec![192, 0, 2, 200])], "at once");
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_away_is_answered_for_an_hour_and_then_is_a_failure() {
    let node = node(SHORT).await;
    let asked = || node.asked("host.other.test A");
    node.other.behave(SILENT);
    assert_eq!(node.ask("example.com", rtype::A).await, (2, vec![]));
    assert_eq!(node.ask("example.com", rtype::A).await, (2, vec![]));
    assert_eq!(asked(), 2, "two attempts, and none right after they failed");
    node.other.behave(RESOLVES);
    node.now_secs.fetch_add(10, Relaxed);
    assert_eq!(node.ask("example.com", rtype::A).await, (0, vec![(60, vec![127, 0, 0, 77])]));
    node.other.behave(SILENT);
    node.now_secs.fetch_add(60, Relaxed);
    let (stale, before) = ((0, vec![(30, vec![127, 0, 0, 77])]), asked());
    assert_eq!(node.ask("example.com", rtype::A).await, stale);
    assert_eq!(node.ask("example.com", rtype::A).await, stale);
    assert_eq!(asked(), before + 2, "it is left alone for a while");
    node.now_secs.fetch_add(3600, Relaxed);
    assert_eq!(node.ask("example.com", rtype::A).await, (2, vec![]));
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_demand_is_looked_up_before_it_runs_out() {
    let node = node(PATIENCE).await;
    node.ask("example.com", rtype::A).await;
    node.now_secs.fetch_add(50, Relaxed);
    node.other.set(".", "host.other.test. 60 A 127.0.0.78");
    assert_eq!(node.ask("example.com", rtype::A).await.1, [(30, vec![127, 0, 0, 77])], "nobody waits");
    node.told("poterne_dns_lookups_total{outcome=\"addresses\"} 2").await;
    node.now_secs.fetch_add(5, Relaxed);
    assert_eq!(node.ask("example.com", rtype::A).await.1, [(30, vec![127, 0, 0, 78])]);
    assert_eq!(node.asked("host.other.test A"), 2);
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_look_up_serves_all_who_wait_and_beyond_the_bound_nobody_waits() {
    let node = node(Duration::from_secs(2)).await;
    node.other.behave(SILENT);
    let (address, count) = (node.address, PARKED_OF_NAME_MAX + 20);
    let codes = tokio::task::spawn_blocking(move || {
        let sockets: Vec<UdpSocket> = (0..count).map(|_| udp(address)).collect();
        for socket in &sockets {
            socket.send(&query(3, "example.com", rtype::A)).unwrap();
        }
        // Another name is answered meanwhile.
        assert!(ask(&udp(address), &query(4, "www.example.com", rtype::A)).ends_with(&[192, 0, 2, 1]));
        let mut codes = [0; 16];
        for socket in &sockets {
            let mut response = [0; 600];
            let length = socket.recv(&mut response).unwrap();
            codes[usize::from(read(&response[..length]).0)] += 1;
        }
        codes
    });
    assert_eq!(codes.await.unwrap()[2], count);
    let text = node.metrics.encode();
    assert!(text.contains("poterne_dns_lookups_total{outcome=\"failed\"} 1"), "{text}");
    assert!(text.contains("poterne_dns_unparked_total 20"), "{text}");
    assert_eq!(node.asked("host.other.test A"), 2, "two attempts of one look-up");
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_names_are_looked_up_a_few_at_a_time_and_all_are_answered() {
    let node = node(SHORT).await;
    let queries =
        |ids: std::ops::Range<u16>| ids.map(|id| query(id, &format!("n{id}.example.com"), rtype::A)).collect::<Vec<_>>();
    let first = queries(0..90);
    assert!(first.len() > LOOKUPS_MAX);
    let responses = node.ask_over_tcp(first).await;
    let mut ids: Vec<u16> = responses.iter().map(|response| u16::from_be_bytes([response[0], response[1]])).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..90).collect::<Vec<_>>());
    assert!(responses.iter().all(|response| read(response) == (0, vec![(300, vec![127, 0, 0, 9])])));
    // More than may wait on one connection: the rest is told at once that it is not known.
    node.other.behave(SILENT);
    let responses = node.ask_over_tcp(queries(90..200)).await;
    assert!(responses.iter().all(|response| read(response).0 == 2));
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stops_while_queries_wait() {
    let node = node(PATIENCE).await;
    node.other.behave(SILENT);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(&query(1, "example.com", rtype::A), node.address).unwrap();
    node.told("poterne_dns_elsewhere{of=\"queries\"} 1").await;
    tokio::time::timeout(PATIENCE, node.server.stop()).await.expect("it stops");
}

#[test]
fn a_name_is_own_in_the_zones_of_its_account_alone() {
    let (snapshot, www) = (leading_away().load().clone(), Name::parse("www.example.com").unwrap());
    let account = |octet| AccountId::from_bytes([octet; 16]);
    assert!(is_own(&snapshot, account(2), &www) && !is_own(&snapshot, account(9), &www));
    assert!(!is_own(&snapshot, account(2), &Name::parse("host.other.test").unwrap()));
}
