//! An edge small enough to be obviously right: one listener each for QUIC and for TLS, one registration server, and the
//! edge's half of a stream. It keeps what it was told; tests say what it does.

#![allow(clippy::unwrap_used, reason = "test code")]
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{Request, StatusCode};
use poterne_model::ConnectionId;
use poterne_tunnel_agent::{AgentConfig, Identity, StatusListen, Trust};
use poterne_tunnel_proto::{
    config::{IngressRule, OriginRequest, Service, TunnelConfig},
    metadata::{self, Answer, BodyLength, FramedBodies, RequestOptions},
    registration::{ConnectionDetails, RegisterConnection, RegistrationError},
    stream::Parsed,
    token::Secret,
};
use poterne_tunnel_rpc::{BoxFuture, Limits, RegistrationServer, RpcThreads, serve_registration};
use quinn::crypto::rustls::QuicServerConfig;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

/// Longest a test waits for something that must happen; only a failing test ever waits that long.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub async fn soon<F: Future>(what: &str, work: F) -> F::Output {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("{what} did not happen"))
}

/// The edge's authority and its certificate.
pub struct Authority {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    pub pin: [u8; 32],
    ca_pem: String,
}

impl Authority {
    pub fn ca_pem(&self) -> String {
        self.ca_pem.clone()
    }

    pub fn new() -> Self {
        let ca_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&ca_key).unwrap();
        let (ca, ca_pem) = (certificate.der().clone(), certificate.pem());
        let (_, parsed) = x509_parser::parse_x509_certificate(&ca).unwrap();
        let pin = Sha256::digest(parsed.tbs_certificate.subject_pki.raw).into();
        let issuer = Issuer::new(params, ca_key);
        let key = KeyPair::generate().unwrap();
        let names = vec!["quic.cftunnel.com".to_owned(), "h2.cftunnel.com".to_owned()];
        let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap().der().clone();
        Self { chain: vec![leaf, ca], key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(), pin, ca_pem }
    }

    pub fn server_config(&self, alpn: &[&[u8]]) -> rustls::ServerConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config
    }
}

/// What the registration server was told, and what it answers.
#[derive(Default)]
pub struct Told {
    pub registrations: Mutex<Vec<RegisterConnection>>,
    pub goodbyes: AtomicUsize,
    pub local_configuration: Mutex<Option<Bytes>>,
    /// Answered to the next registrations, before accepting.
    pub refusals: Mutex<Vec<RegistrationError>>,
    pub edges: Mutex<Option<Vec<u8>>>,
    pub remotely_managed: bool,
}

pub struct Server(pub Arc<Told>);

impl RegistrationServer for Server {
    fn register_connection(
        &self,
        request: RegisterConnection,
    ) -> BoxFuture<'static, Result<ConnectionDetails, RegistrationError>> {
        self.0.registrations.lock().unwrap().push(request);
        let refusal = self.0.refusals.lock().unwrap().pop();
        let details = ConnectionDetails {
            id: ConnectionId::from_bytes([1; 16]),
            location: "LAB01".into(),
            remotely_managed: self.0.remotely_managed,
            edges: self.0.edges.lock().unwrap().clone(),
        };
        Box::pin(std::future::ready(match refusal {
            Some(refusal) => Err(refusal),
            None => Ok(details),
        }))
    }

    fn unregister_connection(&self) -> BoxFuture<'static, ()> {
        self.0.goodbyes.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::ready(()))
    }

    fn update_local_configuration(&self, config: Bytes) -> BoxFuture<'static, ()> {
        *self.0.local_configuration.lock().unwrap() = Some(config);
        Box::pin(std::future::ready(()))
    }
}

/// QUIC alone.
pub struct QuicEdge {
    pub address: SocketAddr,
    pub told: Arc<Told>,
    pub authority: Authority,
    pub threads: RpcThreads,
    connections: mpsc::UnboundedReceiver<quinn::Connection>,
    endpoint: quinn::Endpoint,
}

impl QuicEdge {
    pub fn new(told: Told) -> Self {
        let authority = Authority::new();
        let quic = QuicServerConfig::try_from(authority.server_config(&[b"argotunnel"])).unwrap();
        let server = quinn::ServerConfig::with_crypto(Arc::new(quic));
        let endpoint = quinn::Endpoint::server(server, "127.0.0.1:0".parse().unwrap()).unwrap();
        let (told, threads) = (Arc::new(told), RpcThreads::new(1));
        let (accepted, connections) = mpsc::unbounded_channel();
        tokio::spawn({
            let (endpoint, told, threads) = (endpoint.clone(), told.clone(), threads.clone());
            async move {
                while let Some(incoming) = endpoint.accept().await {
                    let (told, threads, accepted) = (told.clone(), threads.clone(), accepted.clone());
                    tokio::spawn(async move {
                        let Ok(connection) = incoming.await else { return };
                        let Ok((send, recv)) = connection.accept_bi().await else { return };
                        let _ = accepted.send(connection);
                        let _ = serve_registration(&threads, recv, send, Arc::new(Server(told)), Limits::default()).await;
                    });
                }
            }
        });
        Self { address: endpoint.local_addr().unwrap(), told, authority, threads, connections, endpoint }
    }

    pub async fn connection(&mut self) -> quinn::Connection {
        soon("a connection of the agent", self.connections.recv()).await.unwrap()
    }

    /// Closes everything; the port stays taken.
    pub fn close_all(&self) {
        self.endpoint.close(0u32.into(), b"restart");
    }
}

/// An agent's configuration for tests: no status page, no state, little patience.
pub fn config(edge: SocketAddr, authority: &Authority, rules: Vec<IngressRule>) -> AgentConfig {
    let identity = Identity {
        account: "0123456789abcdef0123456789abcdef".into(),
        tunnel: "3d539f97-cd3a-4d8e-833b-65e9099c7a8d".parse().unwrap(),
        secret: Secret::new((0..32).collect()),
    };
    let mut config = AgentConfig::new(identity, vec![edge.to_string()], Trust::Pins(vec![authority.pin]));
    config.status = StatusListen::Off;
    config.ha_connections = 1;
    config.grace_period = Duration::from_secs(5);
    config.local = Some(TunnelConfig { ingress: rules, ..TunnelConfig::default() });
    config
}

pub fn rule(hostname: &str, service: &str) -> IngressRule {
    rule_with(hostname, service, OriginRequest::default())
}

pub fn rule_with(hostname: &str, service: &str, origin_request: OriginRequest) -> IngressRule {
    IngressRule { hostname: hostname.into(), path: None, service: service.parse::<Service>().unwrap(), origin_request }
}

/// The edge's half of one request over QUIC.
pub struct Exchange {
    pub send: quinn::SendStream,
    pub recv: quinn::RecvStream,
    buffer: BytesMut,
}

/// An answer's head, or the agent's words.
pub type Head = Result<(http::response::Parts, bool), String>;

impl Exchange {
    pub async fn begin(connection: &quinn::Connection, request: Request<()>, options: RequestOptions) -> Self {
        let (mut send, recv) = connection.open_bi().await.unwrap();
        let preamble = metadata::encode_http_request(&request.into_parts().0, &options).unwrap();
        send.write_all(&preamble).await.unwrap();
        Self { send, recv, buffer: BytesMut::new() }
    }

    pub async fn head(&mut self) -> Head {
        loop {
            if let Parsed::Complete { value, consumed } = metadata::parse_response_head(&self.buffer).unwrap() {
                let _ = self.buffer.split_to(consumed);
                return match value {
                    Answer::Head { parts, framed } => Ok((*parts, framed)),
                    Answer::Error { text, .. } => Err(text),
                };
            }
            let chunk = soon("the head of an answer", self.recv.read_chunk(usize::MAX, true)).await.unwrap();
            self.buffer.extend_from_slice(&chunk.expect("an answer before the end").bytes);
        }
    }

    /// The rest; `Err` is a reset.
    pub async fn body(&mut self) -> Result<Vec<u8>, quinn::ReadError> {
        let mut body = std::mem::take(&mut self.buffer).to_vec();
        while let Some(chunk) = soon("the rest of an answer", self.recv.read_chunk(usize::MAX, true)).await? {
            body.extend_from_slice(&chunk.bytes);
        }
        Ok(body)
    }

    /// At least this much of what follows.
    pub async fn some(&mut self, wanted: usize) -> Vec<u8> {
        while self.buffer.len() < wanted {
            let chunk = soon("more of an answer", self.recv.read_chunk(usize::MAX, true)).await.unwrap();
            self.buffer.extend_from_slice(&chunk.expect("more before the end").bytes);
        }
        self.buffer.split_to(wanted).to_vec()
    }
}

pub const NO_BODY: RequestOptions = RequestOptions { websocket: false, body: BodyLength::None, poterne: None };
pub const FRAMED: FramedBodies = FramedBodies { request: true, response_allowed: true };

pub fn get(uri: &str) -> Request<()> {
    let host = uri.parse::<http::Uri>().unwrap().host().unwrap().to_owned();
    Request::get(uri).header("host", host).body(()).unwrap()
}

/// Status and body of a GET.
pub async fn fetch(connection: &quinn::Connection, uri: &str) -> Result<(StatusCode, Vec<u8>), String> {
    let mut exchange = Exchange::begin(connection, get(uri), NO_BODY).await;
    exchange.send.finish().unwrap();
    let (head, _) = exchange.head().await?;
    Ok((head.status, exchange.body().await.map_err(|error| error.to_string())?))
}

/// A local service that does, on each connection, what the test says.
pub async fn service<F, W>(serve: F) -> SocketAddr
where
    F: Fn(TcpStream) -> W + Send + Sync + 'static,
    W: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// A request's head, read to its end; empty when the connection closed instead.
pub async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return String::new(),
        }
    }
    String::from_utf8(head).unwrap()
}

/// Answers every request on a connection with its own head.
pub async fn mirror(mut stream: TcpStream) {
    loop {
        let head = read_head(&mut stream).await;
        if head.is_empty() {
            return;
        }
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nX-Multi: a\r\nX-Multi: b\r\n\r\n{head}", head.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

/// What this thread logs.
pub fn capture() -> (Arc<Mutex<Vec<u8>>>, tracing::subscriber::DefaultGuard) {
    #[derive(Clone)]
    struct Memory(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let logs = Arc::new(Mutex::new(Vec::new()));
    let memory = Memory(logs.clone());
    let subscriber = tracing_subscriber::fmt().with_writer(move || memory.clone()).finish();
    (logs, tracing::subscriber::set_default(subscriber))
}
