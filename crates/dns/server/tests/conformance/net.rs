//! The server under test, and the ways to it. All of it is gone when it is dropped.

use std::{
    net::{SocketAddr, TcpStream, UdpSocket},
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use poterne_dns_answer::{CookieOpener, Service, Signer, SignerLimits};
use poterne_dns_server::{Server, Settings, bind};
use poterne_edge_http::{Body, Connection, Handler, Limits, Protocol, Refusal, Request, Response, Scheme, serve_connection};
use poterne_telemetry::Metrics;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use poterne_feed::Change;
use poterne_keys::NodeKey;
use poterne_snapshot::{Chunk, ChunkKey, NodeChunk, SnapshotHandle};

use crate::{dnssec::Keys, zones::World};

/// Long enough for any machine, short enough for a person.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Long enough for an answer from this machine that comes at all: what is waited for so long is expected not to come.
pub(crate) const SILENCE: Duration = Duration::from_millis(400);

/// A name server, all of its doors open.
pub(crate) struct Net {
    pub(crate) dns: SocketAddr,
    pub(crate) dot: SocketAddr,
    pub(crate) doh: SocketAddr,
    pub(crate) metrics: Metrics,
    pub(crate) keys: Keys,
    certificate: CertificateDer<'static>,
    runtime: Option<Runtime>,
    server: Option<Server>,
    stop: CancellationToken,
}

/// What a server under test is told.
pub(crate) struct Setup {
    pub(crate) world: World,
    pub(crate) settings: Settings,
}

impl Default for Setup {
    fn default() -> Self {
        Self { world: World::usual(), settings: Settings::default() }
    }
}

impl Net {
    pub(crate) fn start() -> Self {
        Self::with(Setup::default())
    }

    pub(crate) fn with(setup: Setup) -> Self {
        Self::with_changed(setup, |_, _| {})
    }

    /// The usual one, whose node's chunk is changed; the key is the one that things are wrapped with for it.
    pub(crate) fn with_node(change: impl FnOnce(&mut NodeChunk, &NodeKey)) -> Self {
        Self::with_changed(Setup::default(), |chunks, key| {
            let node = chunks.iter_mut().find_map(|(_, chunk)| match chunk {
                Chunk::Node(node) => Some(node),
                _ => None,
            });
            change(node.unwrap(), key);
        })
    }

    /// One whose snapshot is changed before it is obeyed.
    pub(crate) fn with_changed(setup: Setup, change: impl FnOnce(&mut Vec<(ChunkKey, Chunk)>, &NodeKey)) -> Self {
        let Setup { world, mut settings } = setup;
        let keys = Keys::new();
        let mut chunks = world.chunks(&keys, now_secs());
        change(&mut chunks, &keys.node);
        let snapshot = SnapshotHandle::empty();
        let chunks = chunks.into_iter().map(|(key, chunk)| (key.encode(), Some(chunk.encode()))).collect();
        snapshot.apply(&Change { generation: 1, chunks }).unwrap();
        let made = rcgen::generate_simple_self_signed(["ns1.example.net".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let certificate = made.cert.der().clone();
        let tls = |protocols: &[&[u8]]| {
            let mut config = rustls::ServerConfig::builder_with_provider(provider())
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![certificate.clone()], key.clone_key())
                .unwrap();
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            Arc::new(config)
        };
        settings.tls = Some(tls(&[b"dot"]));
        settings.service = Service {
            nsid: b"node-1.example.net".to_vec(),
            cookie_secrets: vec![[7; 16]],
            cookie_opener: Some(Arc::new(CookieOpener::new(keys.node.clone()))),
            signer: Some(Arc::new(Signer::new(keys.node.clone(), SignerLimits::default()))),
            ..Service::default()
        };
        let (runtime, metrics, stop) = (Runtime::new().unwrap(), Metrics::new(), CancellationToken::new());
        let guard = runtime.enter();
        let mut server = Server::new(settings, snapshot, &metrics);
        let bound = bind("127.0.0.1:0".parse().unwrap(), NonZeroUsize::new(2).unwrap()).unwrap();
        let dns = bound.address;
        server.serve(bound).unwrap();
        let listener = poterne_edge_listen::Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let dot = listener.local_addr();
        server.serve_tls(listener);
        let doh = serve_https(server.doh(), tls(&[b"h2", b"http/1.1"]), stop.clone());
        drop(guard);
        Self { dns, dot, doh, metrics, keys, certificate, runtime: Some(runtime), server: Some(server), stop }
    }

    /// A client over UDP, on a port of its own.
    pub(crate) fn udp_socket(&self) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.connect(self.dns).unwrap();
        socket
    }

    /// What is answered to a datagram.
    pub(crate) fn udp(&self, query: &[u8]) -> Vec<u8> {
        let socket = self.udp_socket();
        socket.send(query).unwrap();
        let mut answer = vec![0; 65_535];
        let length = socket.recv(&mut answer).unwrap();
        answer.truncate(length);
        answer
    }

    /// What is answered to a datagram, if anything is.
    pub(crate) fn udp_maybe(&self, query: &[u8]) -> Option<Vec<u8>> {
        let socket = self.udp_socket();
        socket.set_read_timeout(Some(SILENCE)).unwrap();
        socket.send(query).unwrap();
        let mut answer = vec![0; 65_535];
        let length = socket.recv(&mut answer).ok()?;
        answer.truncate(length);
        Some(answer)
    }

    /// A stream in clear.
    pub(crate) fn tcp_stream(&self) -> TcpStream {
        connect(self.dns)
    }

    /// What is answered to one message over TCP.
    pub(crate) fn tcp(&self, query: &[u8]) -> Vec<u8> {
        ask_over(&mut self.tcp_stream(), query)
    }

    /// A stream over TLS, of these protocols.
    pub(crate) fn tls_stream(
        &self,
        to: SocketAddr,
        protocols: &[&[u8]],
    ) -> rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
        let name = ServerName::try_from("ns1.example.net").unwrap();
        let client = rustls::ClientConnection::new(self.client_config(protocols), name).unwrap();
        rustls::StreamOwned::new(client, connect(to))
    }

    pub(crate) fn client_config(&self, protocols: &[&[u8]]) -> Arc<rustls::ClientConfig> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let mut config = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(config)
    }

    /// What it shows over TLS: a certificate that vouches for itself.
    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// What is answered to one message over TLS.
    pub(crate) fn tls(&self, query: &[u8]) -> Vec<u8> {
        ask_over(&mut self.tls_stream(self.dot, &[b"dot"]), query)
    }

    /// Where the server's tasks run, for clients that need such.
    pub(crate) fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().unwrap()
    }

    /// A line of the metrics holds this.
    pub(crate) fn counts(&self, line: &str) -> bool {
        self.metrics.encode().lines().any(|found| found == line)
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        self.stop.cancel();
        if let (Some(runtime), Some(server)) = (self.runtime.take(), self.server.take()) {
            let stopped = runtime.block_on(async { tokio::time::timeout(PATIENCE, server.stop()).await });
            runtime.shutdown_timeout(PATIENCE);
            assert!(stopped.is_ok() || std::thread::panicking(), "it does not stop");
        }
    }
}

pub(crate) fn now_secs() -> u32 {
    u32::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Messages behind their lengths.
pub(crate) fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
    messages.iter().flat_map(|message| [&u16::try_from(message.len()).unwrap().to_be_bytes()[..], message].concat()).collect()
}

pub(crate) fn read_framed(stream: &mut impl std::io::Read) -> Vec<u8> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut message = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut message).unwrap();
    message
}

fn ask_over(stream: &mut (impl std::io::Read + std::io::Write), query: &[u8]) -> Vec<u8> {
    stream.write_all(&framed(&[query.to_vec()])).unwrap();
    stream.flush().unwrap();
    read_framed(stream)
}

/// Whether the other end has nothing more to say.
pub(crate) fn is_over(stream: &mut impl std::io::Read) -> bool {
    !matches!(stream.read(&mut [0; 1]), Ok(1..))
}

/// Hands every request to the name server, as the edge's pipeline does at its place.
struct Questions(poterne_dns_server::Doh);

impl Handler for Questions {
    async fn handle(&self, request: Request, connection: &Arc<Connection>) -> Response {
        self.0.handle(request, connection).await
    }

    fn refuse(&self, _: &Connection, _: Option<&http::request::Parts>, refusal: Refusal) -> Response {
        http::Response::builder().status(refusal.status()).body(Body::empty()).unwrap()
    }
}

fn serve_https(doh: poterne_dns_server::Doh, tls: Arc<rustls::ServerConfig>, stop: CancellationToken) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let (acceptor, handler) = (tokio_rustls::TlsAcceptor::from(tls), Arc::new(Questions(doh)));
    tokio::spawn(async move {
        while let Some(Ok((stream, peer))) = stop.run_until_cancelled(listener.accept()).await {
            let (acceptor, handler, stop) = (acceptor.clone(), Arc::clone(&handler), stop.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let protocol = match stream.get_ref().1.alpn_protocol() {
                    Some(b"h2") => Protocol::Http2,
                    _ => Protocol::Http1,
                };
                let connection = Arc::new(Connection::new(peer, address, Scheme::Https, Some("ns1.example.net".into())));
                serve_connection(stream, |_| None, protocol, connection, handler, Arc::new(Limits::default()), stop).await;
            });
        }
    });
    address
}
