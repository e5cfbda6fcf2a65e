//! Zones given over real sockets, and peers told of changes.

use std::sync::Mutex;

use poterne_dns_sign::KeyPair;
use poterne_dns_tsig::{Algorithm, Answering, Asking, Key, find};
use poterne_guard::{Guard, Range};
use poterne_keys::{NodeKey, Purpose};
use poterne_snapshot::{
    TransferChunk, ZoneKeys,
    transfer::{Incoming, Outgoing, Peer, PeerKey, Standing},
};

use super::*;
use crate::Told;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

fn key() -> Key {
    Key::new("xfr.example.net", Algorithm::HmacSha256, SECRET)
}

struct World {
    /// What a head has of a zone that is signed.
    keys: ZoneKeys,
    snapshot: SnapshotHandle,
    settings: Settings,
    told: Arc<Mutex<Vec<Told>>>,
}

/// The zone, with some thousand names, given to a peer there.
fn world(peer: SocketAddr) -> World {
    let (snapshot, id, node_key) = (snapshot(), ZoneId::from_bytes([1; 16]), NodeKey::generate());
    let sealed = node_key.seal(Purpose::TsigKey, &[5; 16], SECRET).into();
    let (_, secret) = KeyPair::generate(poterne_dns_sign::Algorithm::Ed25519).unwrap();
    let zone_key = node_key.seal(Purpose::ZoneKey, id.as_bytes(), &secret).into();
    let keys = ZoneKeys { signed: RecordSets::default(), algorithm: 15, key: zone_key };
    let name = Name::parse("xfr.example.net").unwrap();
    let key = PeerKey { id: [5; 16], name, algorithm: "hmac-sha256.".into(), sealed };
    let peer = Peer {
        id: [6; 16],
        address: Some(peer.ip()),
        port: peer.port(),
        takes_differences: true,
        key: Some(key),
        over_tls: false,
    };
    let outgoing = Some(Outgoing { peers: vec![peer], ..Outgoing::default() });
    let mut chunks = vec![(ChunkKey::Transfer(id), Chunk::Transfer(TransferChunk { outgoing, incoming: None }))];
    for number in 0..2000 {
        let record = Record { rtype: rtype::TXT, ttl_secs: 60, flattened: false, data: vec![b'x'; 40] };
        let sets = RecordSets::of(vec![Record { data: [&[39][..], &record.data[1..]].concat(), ..record }]).0;
        let owner = Name::parse(&format!("host-{number}.example.com")).unwrap();
        chunks.push((ChunkKey::Name(id, owner), Chunk::Name(NameChunk { sets, ..NameChunk::default() })));
    }
    let chunks = chunks.into_iter().map(|(key, chunk)| (key.encode(), Some(chunk.encode()))).collect();
    snapshot.apply(&Change { generation: 2, chunks }).unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let signer = poterne_dns_answer::Signer::new(node_key, poterne_dns_answer::SignerLimits::default());
    let settings = Settings {
        service: poterne_dns_answer::Service { signer: Some(Arc::new(signer)), ..Default::default() },
        told: Arc::new(move |told| heard.lock().unwrap().push(told)),
        ..Settings::default()
    };
    World { keys, snapshot, settings, told }
}

/// Another version of the zone, in which a name is another.
fn change(snapshot: &SnapshotHandle) {
    let id = ZoneId::from_bytes([1; 16]);
    let mut head = snapshot.load().zone(id).unwrap().head().clone();
    head.dns.as_mut().unwrap().serial += 1;
    let record = Record { rtype: rtype::A, ttl_secs: 60, flattened: false, data: vec![192, 0, 2, 2] };
    let chunk = NameChunk { sets: RecordSets::of(vec![record]).0, ..NameChunk::default() };
    let chunks = vec![
        (ChunkKey::Zone(id).encode(), Some(Chunk::Zone(head).encode())),
        (ChunkKey::Name(id, Name::parse("www.example.com").unwrap()).encode(), Some(Chunk::Name(chunk).encode())),
    ];
    let generation = snapshot.load().generation() + 1;
    snapshot.apply(&Change { generation, chunks }).unwrap();
}

fn serve(world: &World) -> (Server, SocketAddr, Metrics) {
    let metrics = Metrics::new();
    let mut server = Server::new(world.settings.clone(), world.snapshot.clone(), &metrics);
    let bound = bind("127.0.0.1:0".parse().unwrap(), NonZeroUsize::MIN).unwrap();
    let address = bound.address;
    server.serve(bound).unwrap();
    (server, address, metrics)
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// How many records come before the start of authority comes again, all of it signed.
fn transferred(stream: &mut TcpStream, mut query: Vec<u8>) -> usize {
    let id = [query[0], query[1]];
    let mut asking = Asking::begin(key(), &mut query, now());
    stream.write_all(&framed(&[query])).unwrap();
    let (mut records, mut messages) = (0, 0);
    loop {
        let message = asking.verify(&read_framed(stream), now()).unwrap();
        assert!(message[..2] == id && message[3] & 0x0f == 0);
        records += usize::from(u16::from_be_bytes([message[6], message[7]]));
        messages += 1;
        // A start of authority ends each kind of transfer: its five numbers are the last octets of it.
        if message.ends_with(&DnsSettings::default().soa.min_ttl.to_be_bytes()) && (messages > 1 || records < 20) {
            asking.finish().unwrap();
            return records;
        }
    }
}

fn ixfr(id: u16, serial: u32) -> Vec<u8> {
    let mut octets = query(id, "example.com", rtype::IXFR);
    octets[9] = 1;
    octets.extend([0xc0, 0x0c, 0, 6, 0, 1, 0, 0, 0, 0, 0, 22, 0, 0]);
    octets.extend(serial.to_be_bytes());
    octets.extend([0; 16]);
    octets
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_is_given_whole_and_then_what_changed() {
    let world = world("127.0.0.1:1".parse().unwrap());
    let (server, address, metrics) = serve(&world);
    let snapshot = world.snapshot.clone();
    tokio::task::spawn_blocking(move || {
        let mut stream = tcp(address);
        // Pipelined: what comes before it is answered before it.
        stream.write_all(&framed(&[query(1, "www.example.com", rtype::A)])).unwrap();
        assert_eq!(read_framed(&mut stream)[..2], [0, 1]);
        // Two starts of authority, two names of before (one of a hundred records), and two thousand.
        assert_eq!(transferred(&mut stream, query(2, "example.com", rtype::AXFR)), 2 + 1 + 100 + 2000);
        assert_eq!(transferred(&mut stream, ixfr(3, 1)), 1, "nothing changed");
        change(&snapshot);
        assert_eq!(transferred(&mut stream, ixfr(4, 1)), 4 + 2, "one record went and one came");
        assert_eq!(transferred(&mut stream, ixfr(5, 2)), 1);
        // The connection goes on.
        stream.write_all(&framed(&[query(6, "www.example.com", rtype::A)])).unwrap();
        assert!(read_framed(&mut stream).ends_with(&[192, 0, 2, 2]));
        // Unsigned, it is refused.
        stream.write_all(&framed(&[query(7, "example.com", rtype::AXFR)])).unwrap();
        assert_eq!(read_framed(&mut stream)[3] & 0x0f, 5);
    })
    .await
    .unwrap();
    server.stop().await;
    let zone = ZoneId::from_bytes([1; 16]);
    let told = world.told.lock().unwrap().clone();
    assert_eq!(told, [Told::Transferred { zone, serial: 1 }, Told::Transferred { zone, serial: 2 }]);
    let text = metrics.encode();
    for line in ["given=\"zone\"} 1", "given=\"difference\"} 1", "given=\"version\"} 2", "given=\"refused\"} 1"] {
        assert!(text.contains(&format!("poterne_dns_transfers_total{{{line}")), "{line}: {text}");
    }
}

/// Whole, and then what changed of it, with the signatures that go and come.
#[tokio::test(flavor = "multi_thread")]
async fn a_signed_zone_is_given_signed() {
    let world = world("127.0.0.1:1".parse().unwrap());
    let id = ZoneId::from_bytes([1; 16]);
    let mut head = world.snapshot.load().zone(id).unwrap().head().clone();
    head.dns.as_mut().unwrap().keys = Some(world.keys.clone());
    let chunks = vec![(ChunkKey::Zone(id).encode(), Some(Chunk::Zone(head).encode()))];
    world.snapshot.apply(&Change { generation: 3, chunks }).unwrap();
    let (server, address, metrics) = serve(&world);
    let snapshot = world.snapshot.clone();
    tokio::task::spawn_blocking(move || {
        let mut stream = tcp(address);
        // The start of authority twice and its signature, 2,002 sets with theirs (one of a hundred records), and a chain of 2,003.
        let all = 2 + 1 + 2002 * 2 + 99 + 2003 * 2;
        assert_eq!(transferred(&mut stream, query(2, "example.com", rtype::AXFR)), all);
        assert_eq!(transferred(&mut stream, ixfr(3, 1)), 1, "nothing changed");
        change(&snapshot);
        // Around them four starts of authority; its own signature, a record and that one's, each going and coming.
        assert_eq!(transferred(&mut stream, ixfr(4, 1)), 4 + 2 * 3);
        assert_eq!(transferred(&mut stream, ixfr(5, 2)), 1);
        // Of a version that it was not given, nothing is known.
        assert_eq!(transferred(&mut stream, ixfr(6, 1)), all);
    })
    .await
    .unwrap();
    server.stop().await;
    let text = metrics.encode();
    for line in ["given=\"zone\"} 2", "given=\"difference\"} 1", "given=\"version\"} 2"] {
        assert!(text.contains(&format!("poterne_dns_transfers_total{{{line}")), "{line}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_peer_has_one_transfer_at_a_time() {
    let world = world("127.0.0.1:1".parse().unwrap());
    let (server, address, _) = serve(&world);
    tokio::task::spawn_blocking(move || {
        // It reads nothing: the first transfer stands where the buffers are full.
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(&address.into()).unwrap();
        let mut slow: TcpStream = socket.into();
        slow.set_read_timeout(Some(PATIENCE)).unwrap();
        let signed = |id| {
            let mut query = query(id, "example.com", rtype::AXFR);
            Asking::begin(key(), &mut query, now());
            query
        };
        // Many in a row, so that no buffer holds them all.
        let many: Vec<Vec<u8>> = (0..200).map(signed).collect();
        slow.write_all(&framed(&many)).unwrap();
        let mut other = tcp(address);
        let start = std::time::Instant::now();
        loop {
            other.write_all(&framed(&[signed(900)])).unwrap();
            let message = read_framed(&mut other);
            if message[3] & 0x0f == 5 {
                break;
            }
            assert!(start.elapsed() < PATIENCE, "a second transfer is refused");
            other = tcp(address);
        }
        drop(slow);
    })
    .await
    .unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_are_told_until_they_answer() {
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let world = world(peer.local_addr().unwrap());
    let (server, address, metrics) = serve(&world);
    let allowed = vec![Range { network: "127.0.0.0/8".parse().unwrap(), accounts: None }];
    server.tell_peers(Guard { allowed, own: Vec::new() }, vec![address.ip()]);
    let (snapshot, counted) = (world.snapshot.clone(), metrics.clone());
    let answered = move |times: u32| {
        let (line, start) = (format!("poterne_dns_notices_total{{outcome=\"answered\"}} {times}"), std::time::Instant::now());
        while !counted.encode().contains(&line) {
            assert!(start.elapsed() < PATIENCE, "{}", counted.encode());
            std::thread::yield_now();
        }
    };
    tokio::task::spawn_blocking(move || {
        let hear = |answers: bool| {
            let mut buffer = [0; 600];
            let (length, from) = peer.recv_from(&mut buffer).unwrap();
            let notice = &buffer[..length];
            let found = find(notice).unwrap().unwrap();
            let keys = |name: &[u8], _| Some(key()).filter(|key| key.name() == name);
            let mut answering = Answering::verify(notice, &found, now(), keys).unwrap();
            let unsigned = found.unsigned(notice);
            assert_eq!((unsigned[2], unsigned[5], unsigned.ends_with(b"\x07example\x03com\0\0\x06\0\x01")), (0x24, 1, true));
            if answers {
                let mut answer = unsigned;
                answer[2] |= 0x80;
                answering.sign(&mut answer, now());
                peer.send_to(&answer, from).unwrap();
            }
        };
        // At the start; once more, since nothing answered.
        hear(false);
        hear(true);
        // A change that comes before its answer is read takes the place of what it was an answer to.
        answered(1);
        change(&snapshot);
        hear(true);
        answered(2);
    })
    .await
    .unwrap();
    server.stop().await;
}

#[test]
fn a_zone_is_told_of_when_its_version_changes() {
    let world = world("127.0.0.1:1".parse().unwrap());
    let mut told = std::collections::HashMap::new();
    let mut due = || crate::notify::due(&world.snapshot.load(), &mut told).len();
    assert_eq!((due(), due()), (1, 0), "at the start, and then no more");
    change(&world.snapshot);
    assert_eq!((due(), due()), (1, 0));
    // One that is given on is told of while it is whole, and again once it is.
    let id = ZoneId::from_bytes([1; 16]);
    let outgoing = world.snapshot.load().zone(id).unwrap().transfer().unwrap().outgoing.clone();
    for (standing, expected) in [(Standing::Expired, 0), (Standing::Whole, 1), (Standing::Whole, 0)] {
        let chunk = TransferChunk { outgoing: outgoing.clone(), incoming: Some(Incoming { standing, ..Incoming::default() }) };
        let chunks = vec![(ChunkKey::Transfer(id).encode(), Some(Chunk::Transfer(chunk).encode()))];
        world.snapshot.apply(&Change { generation: world.snapshot.load().generation() + 1, chunks }).unwrap();
        assert_eq!(due(), expected, "{standing:?}");
    }
}
