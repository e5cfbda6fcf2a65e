//! What a small request costs the edge's codecs: HTTP/2 over TLS beside HTTP/3, in turns. The server has a thread of its own, and only that
//! thread's processor time is counted, the kernel's part included; clients, each of another crate, have theirs.
//!
//! One connection, 32 requests in flight, an answer of 100 bytes. A round is 20,000 requests of each.
#![allow(missing_docs, unreachable_pub, clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints what it found")]

#[path = "../tests/http3/transport.rs"]
mod transport;

use std::{
    future::poll_fn,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, mpsc},
    thread,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use poterne_edge_http::{
    Body, Connection, Handler, Limits, Protocol, Refusal, Request, Response, Scheme, http3, serve_connection,
};
use poterne_tunnel_transport::InTurns;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use self::transport::Transport;

const ROUNDS: usize = 7;
const REQUESTS: usize = 20_000;
const IN_FLIGHT: usize = 32;

struct Small;

impl Handler for Small {
    async fn handle(&self, _: Request, _: &Arc<Connection>) -> Response {
        let mut response = Response::new(Body::full(Bytes::from_static(&[b'x'; 100])));
        response.headers_mut().insert("content-type", http::HeaderValue::from_static("text/plain"));
        response
    }

    fn refuse(&self, _: &Connection, _: Option<&http::request::Parts>, refusal: Refusal) -> Response {
        http::Response::builder().status(refusal.status()).body(Body::empty()).expect("a status is enough")
    }
}

fn main() {
    let server = Server::start();
    let client = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (mut second, mut third) = (Vec::new(), Vec::new());
    client.block_on(async {
        let mut http2 = http2_client(&server).await;
        let http3 = http3_client(&server).await;
        for round in 0..=ROUNDS {
            let two = server.spent(ask_http2(&mut http2)).await;
            let three = server.spent(ask_http3(&http3)).await;
            // The first warms up.
            if round > 0 {
                println!("round {round}: HTTP/2 {two:.1} µs a request, HTTP/3 {three:.1} µs");
                second.push(two);
                third.push(three);
            }
        }
    });
    let (two, three) = (median(second), median(third));
    println!("median: HTTP/2 {two:.1} µs, HTTP/3 {three:.1} µs: {:.2} times", three / two);
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

struct Server {
    tcp: SocketAddr,
    udp: SocketAddr,
    certificate: CertificateDer<'static>,
    /// Of its thread.
    task: String,
}

impl Server {
    fn start() -> Self {
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = rcgen::CertificateParams::new(vec!["a.test".to_owned()]).and_then(|params| params.self_signed(&key));
        let certificate = certificate.expect("a certificate").der().clone();
        let (told, listens) = mpsc::channel();
        let (tls, quic) = (config(&certificate, &key, b"h2"), config(&certificate, &key, http3::ALPN));
        thread::spawn(move || {
            let task = std::fs::read_link("/proc/thread-self").expect("the thread has a directory");
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
                let endpoint = endpoint(quic);
                let tcp = listener.local_addr().expect("an address");
                let udp = endpoint.local_addr().expect("an address");
                told.send((tcp, udp, format!("/proc/{}/schedstat", task.display()))).expect("somebody waits");
                tokio::join!(serve_tcp(listener, tls), serve_udp(endpoint));
            });
        });
        let (tcp, udp, task) = listens.recv().expect("the server starts");
        Self { tcp, udp, certificate, task }
    }

    fn tls(&self, alpn: &[u8]) -> rustls::ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("a certificate");
        let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider has TLS 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![alpn.to_vec()];
        tls
    }

    /// Microseconds of the server's thread for each request.
    async fn spent(&self, asked: impl Future<Output = ()>) -> f64 {
        let before = self.nanoseconds();
        asked.await;
        // What it still does for the last answers is small beside what it did.
        (self.nanoseconds() - before) as f64 / 1_000.0 / REQUESTS as f64
    }

    fn nanoseconds(&self) -> u64 {
        let told = std::fs::read_to_string(&self.task).expect("the thread is there");
        told.split_whitespace().next().and_then(|spent| spent.parse().ok()).expect("a number comes first")
    }
}

fn config(certificate: &CertificateDer<'static>, key: &rcgen::KeyPair, alpn: &[u8]) -> rustls::ServerConfig {
    let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
        .expect("they belong together");
    tls.alpn_protocols = vec![alpn.to_vec()];
    tls
}

fn endpoint(tls: rustls::ServerConfig) -> quinn::Endpoint {
    let limits = Limits::default();
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).expect("a cipher suite")));
    let mut transport = quinn::TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(limits.h3_streams_max.into())
        .max_concurrent_uni_streams(http3::SIDE_STREAMS_MAX.into())
        .receive_window(limits.h3_connection_window.into())
        .send_window(limits.h3_send_bytes_max.into());
    config.transport_config(Arc::new(transport));
    let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    quinn::Endpoint::new(quinn::EndpointConfig::default(), Some(config), socket, Arc::new(InTurns)).expect("an endpoint")
}

async fn serve_tcp(listener: TcpListener, tls: rustls::ServerConfig) {
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
    while let Ok((stream, peer)) = listener.accept().await {
        stream.set_nodelay(true).expect("a socket");
        let stream = acceptor.accept(stream).await.expect("a handshake");
        let connection = Arc::new(Connection::new(peer, peer, Scheme::Https, None));
        let drain = CancellationToken::new();
        tokio::spawn(serve_connection(stream, |_| None, Protocol::Http2, connection, Arc::new(Small), Arc::default(), drain));
    }
}

async fn serve_udp(endpoint: quinn::Endpoint) {
    while let Some(incoming) = endpoint.accept().await {
        let quic = incoming.await.expect("a handshake");
        let peer = quic.remote_address();
        let connection = Arc::new(Connection::new(peer, peer, Scheme::Https, None));
        let drain = CancellationToken::new();
        tokio::spawn(http3::serve_connection(quic, connection, Arc::new(Small), Arc::default(), drain));
    }
}

async fn http2_client(server: &Server) -> h2::client::SendRequest<Bytes> {
    let connector = tokio_rustls::TlsConnector::from(Arc::new(server.tls(b"h2")));
    let stream = TcpStream::connect(server.tcp).await.expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    let name = ServerName::try_from("a.test").expect("a name");
    let stream = connector.connect(name, stream).await.expect("a handshake");
    let (requests, connection) = h2::client::handshake(stream).await.expect("a preface");
    tokio::spawn(connection);
    requests.ready().await.expect("a connection")
}

async fn ask_http2(requests: &mut h2::client::SendRequest<Bytes>) {
    let one = || {
        let mut requests = requests.clone();
        async move {
            requests = requests.ready().await.expect("a connection");
            let request = http::Request::builder().uri("https://a.test/some/path").header("user-agent", "bench").body(());
            let (answer, _) = requests.send_request(request.expect("a request"), true).expect("a stream");
            let mut body = answer.await.expect("an answer").into_body();
            let mut read = 0;
            while let Some(data) = body.data().await {
                let data = data.expect("a body");
                read += data.len();
                body.flow_control().release_capacity(data.len()).expect("it was taken");
            }
            assert_eq!(read, 100);
        }
    };
    ask(one).await;
}

type Http3 = h3::client::SendRequest<Transport, Bytes>;

async fn http3_client(server: &Server) -> Http3 {
    let mut endpoint = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).expect("a port");
    let tls = QuicClientConfig::try_from(server.tls(http3::ALPN)).expect("a cipher suite");
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(tls)));
    let quic = endpoint.connect(server.udp, "a.test").expect("a name").await.expect("a handshake");
    let (mut driver, requests) = h3::client::new(Transport::new(quic)).await.expect("settings");
    tokio::spawn(async move { poll_fn(|cx| driver.poll_close(cx)).await });
    requests
}

async fn ask_http3(requests: &Http3) {
    let one = || {
        let mut requests = requests.clone();
        async move {
            let request = http::Request::builder().uri("https://a.test/some/path").header("user-agent", "bench").body(());
            let mut stream = requests.send_request(request.expect("a request")).await.expect("a stream");
            stream.finish().await.expect("an end");
            stream.recv_response().await.expect("an answer");
            let mut read = 0;
            while let Some(data) = stream.recv_data().await.expect("a body") {
                read += bytes::Buf::remaining(&data);
            }
            assert_eq!(read, 100);
        }
    };
    ask(one).await;
}

/// So many requests, some of them at a time.
async fn ask<F: Future<Output = ()>>(one: impl Fn() -> F) {
    let mut asked = FuturesUnordered::new();
    let mut left = REQUESTS;
    while left > 0 || !asked.is_empty() {
        while left > 0 && asked.len() < IN_FLIGHT {
            left -= 1;
            asked.push(one());
        }
        asked.next().await;
    }
}
