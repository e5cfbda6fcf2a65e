//! Over real sockets.

mod transfer;

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream, UdpSocket},
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use poterne_dns_wire::{Record, RecordSets, name, rtype};
use poterne_feed::Change;
use poterne_model::{
    AccountId, Name, ZoneId, ZoneStatus,
    setting::{DnsSettings, EdgeSettings, OriginSettings},
};
use poterne_snapshot::{Chunk, ChunkKey, NameChunk, SnapshotHandle, ZoneDns, ZoneHead};
use poterne_telemetry::Metrics;
use rustls_pki_types::{PrivateKeyDer, ServerName};

use crate::{Server, Settings, bind};

mod flattened;

/// Long enough for any machine, short enough for a person.
const PATIENCE: Duration = Duration::from_secs(20);

fn snapshot() -> SnapshotHandle {
    let id = ZoneId::from_bytes([1; 16]);
    let dns = ZoneDns {
        serial: 1,
        name_servers: Vec::new(),
        ns_ttl_secs: 1,
        multi_provider: false,
        flattens_all: false,
        soa: DnsSettings::default().soa,
        keys: None,
    };
    let apex = Name::parse("example.com").unwrap();
    let head = ZoneHead {
        id,
        account: AccountId::from_bytes([2; 16]),
        apex,
        status: ZoneStatus::Active,
        dns: Some(dns),
        origin: OriginSettings::default(),
        edge: EdgeSettings::default(),
        client: None,
        partial: false,
    };
    let named = |owner: &str, records: Vec<(u16, Vec<u8>)>| {
        let record = |(rtype, data)| Record { rtype, ttl_secs: 60, flattened: false, data };
        let sets = RecordSets::of(records.into_iter().map(record).collect()).0;
        (ChunkKey::Name(id, Name::parse(owner).unwrap()), Chunk::Name(NameChunk { sets, ..NameChunk::default() }))
    };
    let many = (0..100u8).map(|number| (rtype::AAAA, vec![number; 16])).collect();
    let chunks = [
        (ChunkKey::Zone(id), Chunk::Zone(head)),
        named("www.example.com", vec![(rtype::A, vec![192, 0, 2, 1])]),
        named("many.example.com", many),
    ];
    let handle = SnapshotHandle::empty();
    let chunks = chunks.into_iter().map(|(key, chunk)| (key.encode(), Some(chunk.encode()))).collect();
    handle.apply(&Change { generation: 1, chunks }).unwrap();
    handle
}

fn query(id: u16, text: &str, rtype: u16) -> Vec<u8> {
    let mut octets = id.to_be_bytes().to_vec();
    octets.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    name::push(text, &mut octets);
    octets.extend(rtype.to_be_bytes());
    octets.extend([0, 1]);
    octets
}

fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
    messages.iter().flat_map(|message| [&u16::try_from(message.len()).unwrap().to_be_bytes()[..], message].concat()).collect()
}

fn read_framed(stream: &mut impl std::io::Read) -> Vec<u8> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut message = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut message).unwrap();
    message
}

fn begin(settings: Settings, address: &str) -> (Server, SocketAddr, Metrics) {
    let metrics = Metrics::new();
    let mut server = Server::new(settings, snapshot(), &metrics);
    let bound = bind(address.parse().unwrap(), NonZeroUsize::new(2).unwrap()).unwrap();
    let address = bound.address;
    server.serve(bound).unwrap();
    (server, address, metrics)
}

fn udp(to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind((if to.is_ipv4() { "127.0.0.1" } else { "::1" }, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(to).unwrap();
    socket
}

fn tcp(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn ask(socket: &UdpSocket, query: &[u8]) -> Vec<u8> {
    socket.send(query).unwrap();
    let mut response = vec![0; 2000];
    let length = socket.recv(&mut response).unwrap();
    response.truncate(length);
    response
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_are_answered_whole_or_cut_and_nothing_else_is() {
    let (server, address, metrics) = begin(Settings::default(), "127.0.0.1:0");
    tokio::task::spawn_blocking(move || {
        for id in 0..200 {
            // A client of its own each: either socket of the port may get it.
            let response = ask(&udp(address), &query(id, "www.example.com", rtype::A));
            assert!(response[..2] == id.to_be_bytes() && response.ends_with(&[192, 0, 2, 1]));
        }
        let socket = udp(address);
        socket.send(b"short").unwrap();
        let response = ask(&socket, &query(7, "many.example.com", rtype::AAAA));
        assert!(response[..2] == [0, 7] && response[2] & 2 != 0, "what is no query got no answer");
        // Many at once are all answered.
        for id in 0..64 {
            socket.send(&query(id, "no.example.com", rtype::A)).unwrap();
        }
        let mut seen: Vec<u16> = (0..64)
            .map(|_| {
                let mut response = [0; 600];
                socket.recv(&mut response).unwrap();
                u16::from_be_bytes([response[0], response[1]])
            })
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..64).collect::<Vec<_>>());
    })
    .await
    .unwrap();
    server.stop().await;
    let text = metrics.encode();
    for line in [
        "poterne_dns_queries_total{transport=\"udp\"} 266",
        "poterne_dns_answers_total{rcode=\"NXDOMAIN\"} 64",
        "poterne_dns_ignored_total 1",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(UdpSocket::bind(address).is_ok(), "the port is free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_does_not_keep_it_from_stopping() {
    let (server, address, _) = begin(Settings::default(), "127.0.0.1:0");
    let is_over = Arc::new(AtomicBool::new(false));
    let floods: Vec<_> = (0..2u16)
        .map(|number| {
            let (socket, is_over) = (udp(address), Arc::clone(&is_over));
            std::thread::spawn(move || {
                while !is_over.load(Relaxed) {
                    // Refused once nobody listens.
                    let _ = socket.send(&query(number, "www.example.com", rtype::A));
                }
            })
        })
        .collect();
    tokio::time::timeout(PATIENCE, server.stop()).await.expect("it stops while queries come");
    is_over.store(true, Relaxed);
    floods.into_iter().for_each(|flood| flood.join().unwrap());
}

/// The clock is what a test can make panic.
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_costs_one_query() {
    let calls = AtomicUsize::new(0);
    let clock = Arc::new(move || {
        assert!(calls.fetch_add(1, Relaxed) > 0, "the first call fails");
        SystemTime::now()
    });
    let (server, address, metrics) = begin(Settings { clock, ..Settings::default() }, "127.0.0.1:0");
    tokio::task::spawn_blocking(move || {
        let socket = udp(address);
        socket.send(&query(1, "www.example.com", rtype::A)).unwrap();
        assert_eq!(ask(&socket, &query(2, "www.example.com", rtype::A))[..2], [0, 2]);
    })
    .await
    .unwrap();
    server.stop().await;
    assert!(metrics.encode().contains("poterne_dns_panicked_total 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_for_every_address_answers_from_the_one_that_was_asked() {
    let (server, address, _) = begin(Settings::default(), "0.0.0.0:0");
    tokio::task::spawn_blocking(move || {
        for asked in ["127.0.0.1", "127.0.0.2", "127.0.0.77"] {
            let socket = udp((asked.parse::<std::net::IpAddr>().unwrap(), address.port()).into());
            assert!(ask(&socket, &query(1, "www.example.com", rtype::A)).ends_with(&[192, 0, 2, 1]), "{asked}");
        }
    })
    .await
    .unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_takes_queries_one_after_another_in_any_pieces() {
    let (server, address, _) = begin(Settings::default(), "127.0.0.1:0");
    tokio::task::spawn_blocking(move || {
        let mut stream = tcp(address);
        let queries: Vec<_> =
            (0..300).map(|id| query(id, if id % 3 == 0 { "many.example.com" } else { "www.example.com" }, rtype::AAAA)).collect();
        let octets = framed(&queries);
        let mut writer = stream.try_clone().unwrap();
        let writes = std::thread::spawn(move || {
            for piece in octets.chunks(37) {
                writer.write_all(piece).unwrap();
            }
            writer.shutdown(Shutdown::Write).unwrap();
        });
        for id in 0..300u16 {
            let response = read_framed(&mut stream);
            assert_eq!(response[..2], id.to_be_bytes());
            assert_eq!(response.len() > 1600, id % 3 == 0, "whole, however long");
        }
        writes.join().unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty());
        // What is no query ends the connection.
        let mut stream = tcp(address);
        stream.write_all(&framed(&[b"short".to_vec()])).unwrap();
        stream.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty());
    })
    .await
    .unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_have_a_bound_and_end_with_the_server() {
    let settings = Settings { connections_per_prefix_max: 2, ..Settings::default() };
    let (server, address, metrics) = begin(settings, "127.0.0.1:0");
    let held = tokio::task::spawn_blocking(move || {
        let mut held: Vec<_> = (0..2).map(|_| tcp(address)).collect();
        for stream in &mut held {
            stream.write_all(&framed(&[query(1, "www.example.com", rtype::A)])).unwrap();
            read_framed(stream);
        }
        let mut third = tcp(address);
        let _ = third.write_all(&framed(&[query(1, "www.example.com", rtype::A)]));
        assert!(!matches!(third.read(&mut [0; 10]), Ok(1..)), "its share is taken");
        held
    })
    .await
    .unwrap();
    assert!(metrics.encode().contains("poterne_dns_connections_refused_total{reason=\"share\"} 1"));
    server.stop().await;
    tokio::task::spawn_blocking(move || {
        held.into_iter().for_each(|mut stream| assert!(!matches!(stream.read(&mut [0; 10]), Ok(1..))))
    })
    .await
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn slow_senders_and_idle_clients_are_let_go() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let metrics = Metrics::new();
    let server = Server::new(Settings::default(), snapshot(), &metrics);
    for octets in [&framed(&[query(1, "www.example.com", rtype::A)])[..5], &[]] {
        let (mut client, io) = tokio::io::duplex(4096);
        let serving = tokio::spawn(crate::stream::serve(
            io,
            [192, 0, 2, 1].into(),
            poterne_dns_answer::Transport::Tcp,
            true,
            Arc::clone(&server.shared),
            server.stop.clone(),
        ));
        // An octet now and then does not keep it.
        let began = tokio::time::Instant::now();
        for octet in octets {
            client.write_all(&[*octet]).await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty() && began.elapsed() <= crate::stream::IDLE_TIMEOUT + Duration::from_secs(1));
        serving.await.unwrap();
    }
}

/// What waits for a client that reads nothing is bounded, and so is how long it waits.
#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_let_go() {
    use tokio::io::AsyncWriteExt as _;
    let metrics = Metrics::new();
    let server = Server::new(Settings::default(), snapshot(), &metrics);
    let (mut client, io) = tokio::io::duplex(4096);
    let serving = crate::stream::serve(
        io,
        [192, 0, 2, 1].into(),
        poterne_dns_answer::Transport::Tcp,
        true,
        Arc::clone(&server.shared),
        server.stop.clone(),
    );
    let serving = tokio::spawn(serving);
    let began = tokio::time::Instant::now();
    // Answers of 2,833 octets each: some are gathered, the client's own buffer takes 4,096, and then nothing is read from it either.
    let query = framed(&[query(1, "many.example.com", rtype::AAAA)]);
    let mut written = 0;
    while client.write_all(&query).await.is_ok() {
        written += 1;
    }
    assert!(written < 400, "{written} queries were taken");
    assert!(began.elapsed() <= Duration::from_secs(11));
    serving.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_spoken_over_tls_too() {
    let made = rcgen::generate_simple_self_signed(["ns1.example.net".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let metrics = Metrics::new();
    let server = Server::new(Settings { tls: Some(Arc::new(config)), ..Settings::default() }, snapshot(), &metrics);
    let listener = poterne_edge_listen::Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr();
    server.serve_tls(listener);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tokio::task::spawn_blocking(move || {
        let name = ServerName::try_from("ns1.example.net").unwrap();
        let client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = rustls::StreamOwned::new(client, tcp(address));
        stream.write_all(&framed(&[query(5, "www.example.com", rtype::A)])).unwrap();
        assert!(read_framed(&mut stream).ends_with(&[192, 0, 2, 1]));
    })
    .await
    .unwrap();
    server.stop().await;
    assert!(metrics.encode().contains("poterne_dns_queries_total{transport=\"tls\"} 1"));
}
