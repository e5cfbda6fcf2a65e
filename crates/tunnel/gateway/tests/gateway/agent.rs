//! Agents of both transports. They register as they are told, and answer each request as its path says.

use std::{
    net::SocketAddr,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use h2::{RecvStream, server::SendResponse};
use http::{HeaderMap, StatusCode};
use poterne_model::{ConnectorId, tunnel::Transport};
use poterne_tunnel_proto::{
    h2::{self as wire, ResponseMeta, Source},
    metadata::{encode_error, encode_http_response, parse_request_head},
    registration::{ClientInfo, ConnectionDetails, ConnectionOptions, RegisterConnection, RegistrationError},
    stream::{DATA_SIGNATURE, Parsed, RPC_SIGNATURE},
    token::Secret,
};
use poterne_tunnel_rpc::{
    AgentServer, BoxFuture, ConfigurationAnswer, Limits, RegistrationClient, RpcThreads, UdpSession, serve_agent,
};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, duplex, split},
    net::TcpStream,
    sync::{Notify, mpsc},
};
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::edge::{ACCOUNT, Edge, PATIENCE, secret, soon, tunnel};

pub(crate) const BOTH: [Transport; 2] = [Transport::Quic, Transport::Http2];

static THREADS: LazyLock<RpcThreads> = LazyLock::new(|| RpcThreads::new(1));

/// A connection to the edge, its handshake done and its control stream open.
pub(crate) struct Agent {
    pub(crate) control: Control,
    pub(crate) link: Link,
}

/// The control stream's bytes.
pub(crate) struct Control {
    pub(crate) reader: Box<dyn AsyncRead + Send + Unpin>,
    pub(crate) writer: Box<dyn AsyncWrite + Send + Unpin>,
}

pub(crate) type Asked = (http::Request<RecvStream>, SendResponse<Bytes>);

/// The rest of the connection.
#[derive(Clone)]
pub(crate) enum Link {
    Quic(quinn::Connection),
    Http2 { requests: Arc<tokio::sync::Mutex<mpsc::Receiver<Asked>>>, closed: CancellationToken, stop: CancellationToken },
}

impl Agent {
    pub(crate) async fn dial(edge: &Edge, transport: Transport) -> Self {
        Self::dial_at(edge, transport, edge.address).await
    }

    /// By way of another address, such as a relay's.
    pub(crate) async fn dial_at(edge: &Edge, transport: Transport, address: SocketAddr) -> Self {
        match transport {
            Transport::Quic => {
                let connection = soon("a QUIC handshake", quic(edge, address)).await;
                let (writer, reader) = connection.open_bi().await.unwrap();
                Self { control: Control { reader: Box::new(reader), writer: Box::new(writer) }, link: Link::Quic(connection) }
            }
            Transport::Http2 => soon("a TLS handshake", http2(edge, address, None)).await,
        }
    }

    /// Over HTTP/2, taking so many streams at once.
    pub(crate) async fn dial_granting(edge: &Edge, streams: u32) -> Self {
        soon("a TLS handshake", http2(edge, edge.address, Some(streams))).await
    }

    /// Registers and serves; the gateway counts it when this returns.
    pub(crate) async fn good(edge: &Edge, transport: Transport, index: u8) -> Serving {
        Self::dial(edge, transport).await.serve(&format!("{index}"), registration(index)).await
    }

    /// Registers, then serves in the background.
    pub(crate) async fn serve(self, name: &str, request: RegisterConnection) -> Serving {
        let log = Arc::new(Log::new(name));
        self.serve_with(log, request).await
    }

    pub(crate) async fn serve_with(self, log: Arc<Log>, request: RegisterConnection) -> Serving {
        let Self { control, link } = self;
        // Serving begins first: the edge may push before its welcome is read.
        tokio::spawn(answer_all(link.clone(), log.clone()));
        let client = RegistrationClient::connect(&THREADS, control.reader, control.writer);
        soon("a registration", client.register(request)).await.expect("an answer").expect("a welcome");
        Serving { link, client, log }
    }

    /// Registers, whatever the answer; the stream broke where there is none.
    pub(crate) async fn register(
        self,
        request: RegisterConnection,
    ) -> (Option<Result<ConnectionDetails, RegistrationError>>, Link) {
        let client = RegistrationClient::connect(&THREADS, self.control.reader, self.control.writer);
        let answer = soon("an answer to a registration", client.register(request)).await.ok();
        // The stream stays open until the edge closes the connection, as a stock agent's does over HTTP/2.
        let link = self.link.clone();
        tokio::spawn(async move {
            link.closed().await;
            drop(client);
        });
        (answer, self.link)
    }
}

impl Link {
    /// Resolves with the edge's words when it has closed the connection.
    pub(crate) async fn closed(&self) -> String {
        match self {
            Self::Quic(connection) => match connection.closed().await {
                quinn::ConnectionError::ApplicationClosed(close) => String::from_utf8_lossy(&close.reason).into_owned(),
                other => other.to_string(),
            },
            Self::Http2 { closed, .. } => {
                closed.cancelled().await;
                String::new()
            }
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        match self {
            Self::Quic(connection) => connection.close_reason().is_none(),
            Self::Http2 { closed, .. } => !closed.is_cancelled(),
        }
    }

    /// Ends the transport without a word on the control stream.
    pub(crate) fn drop_transport(&self) {
        match self {
            Self::Quic(connection) => connection.close(0u32.into(), b""),
            Self::Http2 { stop, .. } => stop.cancel(),
        }
    }
}

/// An agent that answers requests.
pub(crate) struct Serving {
    pub(crate) link: Link,
    pub(crate) client: RegistrationClient,
    pub(crate) log: Arc<Log>,
}

impl Serving {
    pub(crate) fn requests(&self) -> usize {
        self.log.requests.load(Ordering::SeqCst)
    }
}

/// What an agent heard, and what it was told to do.
pub(crate) struct Log {
    name: String,
    pub(crate) requests: AtomicUsize,
    /// Versions pushed, in order.
    pub(crate) pushes: Mutex<Vec<i32>>,
    /// Pushes are heard and not answered before [`Log::answer_pushes`] is told.
    pub(crate) mute: AtomicBool,
    pub(crate) answer_pushes: Notify,
    /// So many pushes are broken off unheard.
    pub(crate) pushes_broken: AtomicUsize,
    /// Told when a request for `/held` may be answered, and one for `/half-body` broken off.
    pub(crate) release: Notify,
}

impl Log {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            requests: AtomicUsize::new(0),
            pushes: Mutex::default(),
            mute: AtomicBool::new(false),
            answer_pushes: Notify::new(),
            pushes_broken: AtomicUsize::new(0),
            release: Notify::new(),
        }
    }

    fn breaks_a_push(&self) -> bool {
        self.pushes_broken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }
}

/// The recorded connector, at another index.
pub(crate) fn registration(index: u8) -> RegisterConnection {
    RegisterConnection {
        account_tag: ACCOUNT.into(),
        tunnel_secret: Secret::new(secret()),
        tunnel_id: tunnel(),
        index,
        options: ConnectionOptions {
            client: ClientInfo {
                client_id: ConnectorId::from_bytes([5; 16]),
                features: vec!["serialized_headers".into()],
                version: "DEV".into(),
                arch: "linux_amd64".into(),
            },
            origin_local_ip: None,
            replace_existing: false,
            compression_quality: 0,
            previous_attempts: 0,
        },
    }
}

fn tls(edge: &Edge, alpn: &[&[u8]]) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(edge.certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config
}

/// An endpoint that dials as the stock agent does.
pub(crate) fn endpoint(edge: &Edge) -> quinn::Endpoint {
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls(edge, &[b"argotunnel"])).unwrap();
    let mut transport = quinn::TransportConfig::default();
    transport
        .max_idle_timeout(Some(std::time::Duration::from_secs(60).try_into().unwrap()))
        .keep_alive_interval(Some(std::time::Duration::from_secs(1)))
        .max_concurrent_bidi_streams(100_000u32.into())
        .datagram_receive_buffer_size(Some(64 * 1024));
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport));
    let mut endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    endpoint.set_default_client_config(config);
    endpoint
}

/// A QUIC connection without a stream.
pub(crate) async fn quic(edge: &Edge, address: SocketAddr) -> quinn::Connection {
    endpoint(edge).connect(address, "quic.cftunnel.com").unwrap().await.unwrap()
}

/// A TLS connection without a byte of HTTP/2.
pub(crate) async fn tls_stream(edge: &Edge, address: SocketAddr) -> TlsStream<TcpStream> {
    let connector = tokio_rustls::TlsConnector::from(Arc::new(tls(edge, &[])));
    let name = ServerName::try_from("h2.cftunnel.com").unwrap();
    connector.connect(name, TcpStream::connect(address).await.unwrap()).await.unwrap()
}

async fn http2(edge: &Edge, address: SocketAddr, streams: Option<u32>) -> Agent {
    let tls = tls_stream(edge, address).await;
    let mut builder = h2::server::Builder::new();
    if let Some(streams) = streams {
        builder.max_concurrent_streams(streams);
    }
    let mut connection = builder.handshake::<_, Bytes>(tls).await.unwrap();
    let (request, mut respond) = connection.accept().await.unwrap().unwrap();
    assert_eq!(wire::request_kind(request.headers()), wire::Kind::ControlStream);
    let send = respond.send_response(http::Response::new(()), false).unwrap();
    let (accepted, requests) = mpsc::channel(100_000);
    let (closed, stop) = (CancellationToken::new(), CancellationToken::new());
    tokio::spawn({
        let (closed, stop) = (closed.clone().drop_guard(), stop.clone());
        async move {
            let _closed = closed;
            let accept = async {
                while let Some(Ok(request)) = connection.accept().await {
                    accepted.try_send(request).unwrap()
                }
            };
            stop.run_until_cancelled(accept).await;
        }
    });
    let (reader, writer) = split(bytes_of(request.into_body(), send));
    let requests = Arc::new(tokio::sync::Mutex::new(requests));
    Agent {
        control: Control { reader: Box::new(reader), writer: Box::new(writer) },
        link: Link::Http2 { requests, closed, stop },
    }
}

/// A stream's two bodies as one stream of bytes.
fn bytes_of(mut recv: RecvStream, mut send: h2::SendStream<Bytes>) -> tokio::io::DuplexStream {
    let (ours, theirs) = duplex(64 * 1024);
    let (mut reader, mut writer) = split(theirs);
    tokio::spawn(async move {
        while let Some(Ok(data)) = recv.data().await {
            let _ = recv.flow_control().release_capacity(data.len());
            if writer.write_all(&data).await.is_err() {
                return;
            }
        }
        let _ = writer.shutdown().await;
    });
    tokio::spawn(async move {
        let mut piece = BytesMut::new();
        while reader.read_buf(&mut piece).await.unwrap_or(0) > 0 {
            let _ = send.send_data(piece.split().freeze(), false);
        }
        let _ = send.send_data(Bytes::new(), true);
    });
    ours
}

async fn answer_all(link: Link, log: Arc<Log>) {
    match link {
        Link::Quic(connection) => {
            while let Ok((send, recv)) = connection.accept_bi().await {
                tokio::spawn(answer_quic(send, recv, log.clone()));
            }
        }
        Link::Http2 { requests, .. } => {
            while let Some((request, respond)) = requests.lock().await.recv().await {
                tokio::spawn(answer_http2(request, respond, log.clone()));
            }
        }
    }
}

/// Reads a data stream's head; the stream stands at the body then.
pub(crate) async fn request_head(recv: &mut quinn::RecvStream, seen: &[u8]) -> poterne_tunnel_proto::metadata::AgentRequest {
    let mut head = BytesMut::from(seen);
    loop {
        if let Parsed::Complete { value, .. } = parse_request_head(&head).unwrap() {
            return value;
        }
        // Byte by byte, so that none of the body is taken.
        let mut byte = [0];
        recv.read_exact(&mut byte).await.unwrap();
        head.extend_from_slice(&byte);
    }
}

async fn answer_quic(mut send: quinn::SendStream, mut recv: quinn::RecvStream, log: Arc<Log>) {
    let mut signature = [0; 6];
    if recv.read_exact(&mut signature).await.is_err() {
        return;
    }
    if signature == RPC_SIGNATURE && log.breaks_a_push() {
        return reset(&mut send);
    }
    if signature == RPC_SIGNATURE {
        let server = Arc::new(Configured(log));
        let _ = serve_agent(&THREADS, recv, send, server, Limits::default(), PATIENCE).await;
        return;
    }
    assert_eq!(signature, DATA_SIGNATURE);
    let request = request_head(&mut recv, &signature).await;
    log.requests.fetch_add(1, Ordering::SeqCst);
    if request.head.uri.path() == "/body-back" {
        return body_back(send, recv, request).await;
    }
    let ok = || encode_http_response(StatusCode::OK, &HeaderMap::new(), false);
    let promising = |length: usize| encode_http_response(StatusCode::OK, &lengthy(length), false);
    let (head, end): (Bytes, fn(&mut quinn::SendStream)) = match request.head.uri.path() {
        "/hang" => return std::future::pending().await,
        "/held" => {
            log.release.notified().await;
            ([ok(), Bytes::copy_from_slice(log.name.as_bytes())].concat().into(), finish)
        }
        "/reset" => (Bytes::new(), reset),
        "/end" => (Bytes::new(), finish),
        "/half-head" => (ok().slice(..20), finish),
        "/half-body" => ([&ok()[..], b"ten bytes."].concat().into(), reset),
        "/short" => ([&promising(100)[..], &[b'x'; 40]].concat().into(), finish),
        "/long" => ([&promising(4)[..], &[b'x'; 40]].concat().into(), finish),
        "/head-alone" => (promising(100), finish),
        "/garbage" => (Bytes::from_static(&[0xff; 64]), finish),
        "/huge-head" => {
            let mut headers = HeaderMap::new();
            headers.insert("x-huge", "x".repeat(300 * 1024).parse().unwrap());
            (encode_http_response(StatusCode::OK, &headers, false), finish)
        }
        "/many-fields" => {
            let mut headers = HeaderMap::new();
            for _ in 0..2000 {
                headers.append("x-many", "1".parse().unwrap());
            }
            (encode_http_response(StatusCode::OK, &headers, false), finish)
        }
        "/another-version" => {
            let mut head = ok().to_vec();
            head[6..8].copy_from_slice(b"02");
            (head.into(), finish)
        }
        "/unreachable" => (encode_error("Unable to reach the origin service.", false), finish),
        _ => ([ok(), Bytes::copy_from_slice(log.name.as_bytes())].concat().into(), finish),
    };
    // The edge may have left.
    let _ = send.write_all(&head).await;
    if request.head.uri.path() == "/half-body" {
        // A reset takes back what has not been read.
        log.release.notified().await;
    }
    end(&mut send);
    let _ = send.stopped().await;
}

/// Answers with the body as it came, frames and all.
async fn body_back(
    mut send: quinn::SendStream,
    mut recv: quinn::RecvStream,
    request: poterne_tunnel_proto::metadata::AgentRequest,
) {
    let body = recv.read_to_end(1024).await.unwrap();
    let mut headers = HeaderMap::new();
    if let Some(length) = request.head.headers.get("content-length") {
        headers.insert("x-length", length.clone());
    }
    let is_framed = request.framed_request && request.framed_response_allowed;
    send.write_all(&[&encode_http_response(StatusCode::OK, &headers, is_framed)[..], &body].concat()).await.unwrap();
    finish(&mut send);
}

/// The fields of an answer that promises so many bytes.
fn lengthy(bytes: usize) -> HeaderMap {
    HeaderMap::from_iter([(http::header::CONTENT_LENGTH, bytes.into())])
}

fn finish(send: &mut quinn::SendStream) {
    let _ = send.finish();
}

fn reset(send: &mut quinn::SendStream) {
    let _ = send.reset(0u32.into());
}

async fn answer_http2(request: http::Request<RecvStream>, mut respond: SendResponse<Bytes>, log: Arc<Log>) {
    let (head, mut body) = request.into_parts();
    let meta = ResponseMeta { src: Source::Origin, flow_rate_limited: false };
    if wire::request_kind(&head.headers) == wire::Kind::UpdateConfiguration {
        if log.breaks_a_push() {
            return respond.send_reset(h2::Reason::INTERNAL_ERROR);
        }
        let mut pushed = BytesMut::new();
        while let Some(Ok(data)) = body.data().await {
            pushed.extend_from_slice(&data);
        }
        let push = wire::parse_push(&pushed).unwrap();
        let answer = Configured(log).update_configuration(push.version, push.config).await;
        let mut send = respond.send_response(http::Response::new(()), false).unwrap();
        let _ = send.send_data(wire::encode_push_answer(&answer), true);
        return;
    }
    log.requests.fetch_add(1, Ordering::SeqCst);
    let mut headers = HeaderMap::new();
    match head.uri.path() {
        "/hang" => return std::future::pending().await,
        "/held" => log.release.notified().await,
        "/reset" | "/end" | "/half-head" => return respond.send_reset(h2::Reason::INTERNAL_ERROR),
        "/unreachable" => return drop(respond.send_response(wire::agent_error(false), true)),
        "/huge-head" => drop(headers.insert("x-huge", "x".repeat(600 * 1024).parse().unwrap())),
        "/short" | "/short-in-clear" | "/head-alone" => headers = lengthy(100),
        "/long" => headers = lengthy(4),
        _ => {}
    }
    let mut response = wire::agent_response(StatusCode::OK, &headers, meta);
    if ["/short", "/long"].contains(&head.uri.path()) {
        // Only the serialised fields say it: HTTP/2 itself has nothing to compare.
        response.headers_mut().remove(http::header::CONTENT_LENGTH);
    }
    if head.uri.path() == "/garbage" {
        response.headers_mut().insert(wire::RESPONSE_HEADERS, "no:base64:at all".parse().unwrap());
    }
    let Ok(mut send) = respond.send_response(response, false) else { return };
    if head.uri.path() == "/half-body" {
        let _ = send.send_data("ten bytes.".into(), false);
        // A reset takes back what has not been read.
        log.release.notified().await;
        return send.send_reset(h2::Reason::INTERNAL_ERROR);
    }
    let body = match head.uri.path() {
        "/short" | "/short-in-clear" | "/long" => Bytes::from_static(&[b'x'; 40]),
        "/head-alone" => Bytes::new(),
        _ => log.name.clone().into(),
    };
    let _ = send.send_data(body, true);
}

struct Configured(Arc<Log>);

impl AgentServer for Configured {
    fn update_configuration(&self, version: i32, _: Bytes) -> BoxFuture<'static, ConfigurationAnswer> {
        self.0.pushes.lock().unwrap().push(version);
        let log = self.0.clone();
        Box::pin(async move {
            if log.mute.load(Ordering::SeqCst) {
                log.answer_pushes.notified().await;
            }
            ConfigurationAnswer { latest_applied_version: version, error: None }
        })
    }
    fn register_udp_session(&self, _: UdpSession) -> BoxFuture<'static, Result<(), String>> {
        Box::pin(async { Err("this agent has no sessions".into()) })
    }
    fn unregister_udp_session(&self, _: [u8; 16], _: String) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}
