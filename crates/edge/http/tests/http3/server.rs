//! A server whose handler answers by path.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use poterne_edge_http::{Body, BodyError, Connection, Frame, Handler, Kind, Limits, Refusal, Request, Response, Scheme, http3};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// What the handler and the test share.
struct Origin {
    seen: Mutex<Vec<String>>,
    waiting: AtomicUsize,
    changed: Notify,
    pieces: Mutex<Option<mpsc::Receiver<Bytes>>>,
}

pub struct Server {
    pub address: SocketAddr,
    pub drain: CancellationToken,
    /// Where `/flow`'s body comes from, until it ends.
    pieces: Mutex<Option<mpsc::Sender<Bytes>>>,
    origin: Arc<Origin>,
    client: quinn::Endpoint,
}

impl Server {
    pub fn start(limits: Limits) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["a.test".to_owned()]).unwrap().self_signed(&key).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let secret = PrivatePkcs8KeyDer::from(key.serialize_der());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], secret.into())
            .unwrap();
        tls.alpn_protocols = vec![http3::ALPN.to_vec()];
        let mut config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
        let mut transport = quinn::TransportConfig::default();
        transport
            .max_concurrent_bidi_streams(limits.h3_streams_max.into())
            .max_concurrent_uni_streams(http3::SIDE_STREAMS_MAX.into())
            .receive_window(limits.h3_connection_window.into())
            .send_window(limits.h3_send_bytes_max.into());
        config.transport_config(Arc::new(transport));
        let endpoint = quinn::Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = endpoint.local_addr().unwrap();
        let (pieces, pieces_out) = mpsc::channel(1);
        let origin = Arc::new(Origin {
            seen: Mutex::default(),
            waiting: AtomicUsize::new(0),
            changed: Notify::new(),
            pieces: Mutex::new(Some(pieces_out)),
        });
        let drain = CancellationToken::new();
        tokio::spawn(accept(endpoint, origin.clone(), Arc::new(limits), drain.clone()));

        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![http3::ALPN.to_vec()];
        let mut client = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        client.set_default_client_config(quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap())));
        Self { address, drain, pieces: Mutex::new(Some(pieces)), origin, client }
    }

    pub async fn connect(&self) -> quinn::Connection {
        self.client.connect(self.address, "a.test").unwrap().await.unwrap()
    }

    /// Paths that reached the handler.
    pub fn seen(&self) -> Vec<String> {
        self.origin.seen.lock().unwrap().clone()
    }

    /// Requests that it works on without end.
    pub fn waiting(&self) -> usize {
        self.origin.waiting.load(SeqCst)
    }

    pub async fn until_seen(&self, count: usize) {
        self.until(|| self.seen().len() >= count).await;
    }

    pub async fn until_waiting(&self, count: usize) {
        self.until(|| self.waiting() == count).await;
    }

    async fn until(&self, reached: impl Fn() -> bool) {
        loop {
            let changed = self.origin.changed.notified();
            if reached() {
                return;
            }
            changed.await;
        }
    }

    /// Hands out a piece of `/flow`'s body.
    pub async fn piece(&self, piece: &'static [u8]) {
        let pieces = self.pieces.lock().unwrap().clone().unwrap();
        pieces.send(Bytes::from_static(piece)).await.unwrap();
    }

    /// Ends it.
    pub fn end_pieces(&self) {
        self.pieces.lock().unwrap().take();
    }
}

async fn accept(endpoint: quinn::Endpoint, origin: Arc<Origin>, limits: Arc<Limits>, drain: CancellationToken) {
    while let Some(incoming) = endpoint.accept().await {
        let (origin, limits, drain) = (origin.clone(), limits.clone(), drain.clone());
        tokio::spawn(async move {
            let Ok(connection) = incoming.await else { return };
            let peer = connection.remote_address();
            let visitor = Arc::new(Connection::new(peer, peer, Scheme::Https, Some("a.test".into())));
            http3::serve_connection(connection, visitor, origin, limits, drain).await;
        });
    }
}

struct Pieces(mpsc::Receiver<Bytes>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

/// Counts a request that is worked on.
struct Waiting<'a>(&'a Origin);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, SeqCst);
        self.0.changed.notify_waiters();
    }
}

impl Handler for Origin {
    async fn handle(&self, mut request: Request, _: &Arc<Connection>) -> Response {
        let path = request.uri().path().to_owned();
        let never = path == "/never";
        self.waiting.fetch_add(usize::from(never), SeqCst);
        self.seen.lock().unwrap().push(path.clone());
        self.changed.notify_waiters();
        match path.as_str() {
            "/never" => {
                let _waiting = Waiting(self);
                std::future::pending().await
            }
            "/panic" => panic!("as the test wants it"),
            "/echo" => Response::new(std::mem::take(request.body_mut())),
            "/ignores" => Response::new(Body::full("early")),
            "/refuses-ws" => Response::new(Body::full("no")),
            "/flow" => Response::new(Body::flow(Pieces(self.pieces.lock().unwrap().take().unwrap()))),
            "/fields" => {
                let count = request.headers().keys().filter(|name| name.as_str().starts_with("x-field-")).count();
                http::Response::builder().header("x-count", count).body(Body::empty()).unwrap()
            }
            "/long-fields" => {
                http::Response::builder().header("x-long", "x".repeat(2_000)).body(Body::full("all of it")).unwrap()
            }
            "/ws" => {
                assert_eq!(request.extensions().get(), Some(&Kind::WebSocket));
                assert!(request.headers().contains_key("sec-websocket-key"));
                let mut response = Response::new(std::mem::take(request.body_mut()));
                *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                response
            }
            status if status.starts_with("/status/") => {
                http::Response::builder().status(&status["/status/".len()..]).body(Body::empty()).unwrap()
            }
            _ => {
                let (mut text, mut trailers) = (Vec::new(), HeaderMap::new());
                while let Some(frame) = request.body_mut().frame().await {
                    match frame.map(Frame::into_data) {
                        Ok(Ok(data)) => text.extend_from_slice(&data),
                        Ok(Err(frame)) => trailers = frame.into_trailers().unwrap_or_default(),
                        Err(error) => return Response::new(Body::full(format!("error: {error}"))),
                    }
                }
                let text = String::from_utf8_lossy(&text);
                let told = format!("{} {path} {text} {} {:?}", request.method(), trailers.len(), request.version());
                Response::new(Body::full(told))
            }
        }
    }

    fn refuse(&self, _: &Connection, _: Option<&http::request::Parts>, refusal: Refusal) -> Response {
        let mut response = Response::new(Body::full(format!("refused: {refusal}")));
        *response.status_mut() = refusal.status();
        response
    }
}

/// What this process holds.
pub fn resident_bytes() -> usize {
    let told = std::fs::read_to_string("/proc/self/statm").unwrap();
    told.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
