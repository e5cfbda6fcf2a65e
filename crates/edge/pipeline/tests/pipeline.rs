//! Visitors over real sockets, a snapshot made by hand, and tunnels that only pretend.
#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

#[path = "pipeline/settings.rs"]
mod settings;

use std::sync::{Arc, Mutex};

use http::HeaderMap;
use poterne_edge_http::{Body, Connection, Kind, Limits, Protocol, Request, Response, Scheme, serve_connection};
use poterne_edge_pipeline::{NodeFuture, NodeService, Pipeline, Ports, Settings};
use poterne_edge_upstream::{Origins, Trail, TunnelRoute, Tunnels, UpstreamError};
use poterne_feed::Change;
use poterne_guard::Guard;
use poterne_keys::{NodeKey, SigningKey};
use poterne_model::{
    AccountId, ChallengeId, ClientAuth, ConnectorId, Name, TunnelId, ZoneId, ZoneStatus,
    setting::{EdgeSettings, OriginSettings, SslMode},
};
use poterne_snapshot::{
    ChallengeChunk, Chunk, ChunkKey, NameChunk, NodeChunk, Shown, SnapshotHandle, Target, TunnelChunk, ZoneHead,
};
use poterne_telemetry::Metrics;
use poterne_tunnel_proto::management::token::{Actor, Claims, Resource, Tunnel};
use rustls::RootCertStore;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

#[path = "pipeline/rules.rs"]
mod rules;
#[path = "pipeline/trace.rs"]
mod trace;

#[path = "pipeline/visitors.rs"]
mod visitors;

const ACCOUNT: AccountId = AccountId::from_bytes([1; 16]);
const TUNNEL: TunnelId = TunnelId::from_bytes([2; 16]);
const QUICK: TunnelId = TunnelId::from_bytes([3; 16]);
const GONE: TunnelId = TunnelId::from_bytes([4; 16]);

/// Answers by path, and keeps the last head it was sent.
#[derive(Default)]
struct Pretend {
    last: Mutex<Option<(TunnelRoute, HeaderMap, String)>>,
}

impl Tunnels for Pretend {
    async fn send(&self, route: TunnelRoute, mut request: Request, trail: &mut Trail) -> Result<Response, UpstreamError> {
        trace::leave(trail, request.uri().path());
        *self.last.lock().unwrap() = Some((route, request.headers().clone(), request.uri().to_string()));
        match request.uri().path() {
            "/down" => Err(UpstreamError::NoConnector(route.tunnel)),
            "/broken" => Err(UpstreamError::LocalService("connection refused".into())),
            "/hang" => std::future::pending().await,
            "/slow" => Err(UpstreamError::Timeout(100)),
            "/odd" => Ok(http::Response::builder().status(103).body(Body::empty()).unwrap()),
            "/ws" => {
                assert_eq!(request.extensions().get(), Some(&Kind::WebSocket));
                let up = std::mem::take(request.body_mut());
                Ok(http::Response::builder().status(101).header("sec-websocket-accept", "x").body(up).unwrap())
            }
            "/html" => Ok(http::Response::builder()
                .header("content-type", "text/html")
                .header("etag", "\"a\"")
                .header("x-powered-by", "PHP")
                .header("strict-transport-security", "max-age=1")
                .body(Body::full(settings::HTML.repeat(100)))
                .unwrap()),
            _ => Ok(http::Response::builder()
                .header("server", "nginx")
                .header("connection", "close")
                .body(Body::full("hello"))
                .unwrap()),
        }
    }
}

/// Answers with its words.
struct Says(&'static str);

impl NodeService for Says {
    fn handle(&self, _: Request, _: &Arc<Connection>) -> NodeFuture {
        let words = self.0;
        Box::pin(async move { Response::new(Body::full(words)) })
    }
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn snapshot(key: &SigningKey) -> SnapshotHandle {
    let node = NodeChunk {
        management_names: vec![name("management.node.test")],
        management_keys: vec![key.public().into()],
        nameservers: vec![name("ns1.example.net"), name("ns1.waiting.test"), name("ns1.site.test")],
        ..NodeChunk::default()
    };
    let head = |id: u8, apex: &str, status, origin| {
        let id = ZoneId::from_bytes([id; 16]);
        (
            ChunkKey::Zone(id),
            Chunk::Zone(ZoneHead {
                id,
                account: ACCOUNT,
                apex: name(apex),
                status,
                dns: None,
                origin,
                edge: EdgeSettings::default(),
                client: None,
                partial: false,
            }),
        )
    };
    let zone = |id, apex: &str, status| head(id, apex, status, OriginSettings::default());
    let in_clear =
        |id, apex: &str| head(id, apex, ZoneStatus::Active, OriginSettings { ssl: SslMode::Off, ..OriginSettings::default() });
    let host = |host: &str, target| {
        (ChunkKey::Name(ZoneId::from_bytes([1; 16]), name(host)), Chunk::Name(NameChunk::leading_to(target)))
    };
    let tunnel = |id, quick| {
        let chunk = TunnelChunk { id, account: ACCOUNT, name: "t".into(), secret_digests: vec![[0; 32]], remote: None, quick };
        (ChunkKey::Tunnel(id), Chunk::Tunnel(chunk))
    };
    let chunks = [
        (ChunkKey::Node, Chunk::Node(node)),
        zone(1, "site.test", ZoneStatus::Active),
        zone(2, "waiting.test", ZoneStatus::Pending),
        in_clear(3, "clear.test"),
        host("site.test", Target::Tunnel(TUNNEL)),
        host("*.site.test", Target::Tunnel(TUNNEL)),
        host("quick.site.test", Target::Tunnel(QUICK)),
        host("gone.site.test", Target::UnknownTunnel(GONE)),
        host("documented.site.test", Target::Origin(vec!["192.0.2.1".parse().unwrap()])),
        host("own.site.test", Target::Origin(vec!["9.9.9.9".parse().unwrap()])),
        host("named.site.test", Target::OriginName(name("origin.example"))),
        (
            ChunkKey::Name(ZoneId::from_bytes([3; 16]), name("clear.test")),
            Chunk::Name(NameChunk::leading_to(Target::Tunnel(TUNNEL))),
        ),
        host("round.site.test", Target::Broken),
        tunnel(TUNNEL, false),
        tunnel(QUICK, true),
    ];
    let handle = SnapshotHandle::empty();
    let chunks = chunks.into_iter().map(|(key, chunk)| (key.encode(), Some(chunk.encode()))).collect();
    handle.apply(&Change { generation: 1, chunks }).unwrap();
    handle
}

struct Edge {
    pretend: Arc<Pretend>,
    pipeline: Arc<Pipeline<Pretend>>,
    snapshot: SnapshotHandle,
    key: SigningKey,
}

/// The real way, which leads nowhere here.
fn origins() -> Arc<Origins> {
    let guard = Guard { allowed: Vec::new(), own: vec!["9.9.9.9".parse().unwrap()] };
    let settings = poterne_edge_upstream::Settings::for_files(1024);
    Arc::new(Origins::new(settings, RootCertStore::empty(), guard, None, &Metrics::new()).unwrap())
}

fn edge() -> Edge {
    edge_with(Settings::default())
}

fn edge_with(settings: Settings) -> Edge {
    let pretend = Arc::new(Pretend::default());
    let settings = Settings { node_names: vec![name("node.test")], instance: "one".into(), ..settings };
    let node: Arc<dyn NodeService> = Arc::new(Says("the node"));
    let key = SigningKey::derive(&NodeKey::generate(), "test");
    let snapshot = snapshot(&key);
    let pipeline = Pipeline::new(settings, snapshot.clone(), Arc::clone(&pretend), origins(), Some(node), &Metrics::new());
    Edge { pretend, pipeline: Arc::new(pipeline), snapshot, key }
}

impl Edge {
    async fn connect(&self, sni: Option<&str>) -> TcpStream {
        self.connect_as(sni, None).await
    }

    /// The same of a visitor who was asked for a certificate.
    async fn connect_as(&self, sni: Option<&str>, client: Option<Arc<ClientAuth>>) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let visitor = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let scheme = if sni.is_some() { Scheme::Https } else { Scheme::Http };
        let connection = Connection::new(peer, stream.local_addr().unwrap(), scheme, sni.map(Into::into));
        let connection = Arc::new(connection.with_client(client).offering_http3(sni.is_some()));
        let (pipeline, limits) = (Arc::clone(&self.pipeline), Arc::new(Limits::default()));
        tokio::spawn(serve_connection(
            stream,
            |stream| Some(stream),
            Protocol::Http1,
            connection,
            pipeline,
            limits,
            CancellationToken::new(),
        ));
        visitor
    }

    /// One request on a connection of its own; the whole answer.
    async fn ask(&self, sni: Option<&str>, request: &str) -> String {
        self.ask_as(sni, None, request).await
    }

    async fn ask_as(&self, sni: Option<&str>, client: Option<Arc<ClientAuth>>, request: &str) -> String {
        let mut visitor = self.connect_as(sni, client).await;
        visitor.write_all(request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        visitor.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// A management token for a tunnel's logs.
    fn token(&self, tunnel: TunnelId) -> String {
        let claims = Claims {
            tun: Tunnel { id: tunnel.to_string(), account_tag: ACCOUNT.to_string() },
            actor: Actor { id: "ann".into(), support: false },
            res: Claims::words(&[Resource::Logs]),
            iat: 0,
            exp: u64::MAX,
            iss: "management.node.test".into(),
        };
        claims.encode(|bytes| self.key.sign(bytes))
    }

    async fn get(&self, host: &str, path: &str) -> String {
        self.ask(None, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await
    }
}

#[tokio::test]
async fn a_request_reaches_its_tunnel_with_the_edges_words() {
    let edge = edge();
    let forged = "GET /a?b HTTP/1.1\r\nHost: WWW.Site.test:8080\r\nCF-Connecting-IP: 6.6.6.6\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n";
    let answer = edge.ask(None, forged).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("hello"), "{answer}");
    assert!(answer.contains("server: poterne\r\n") && answer.contains("cf-ray: ") && !answer.contains("nginx"), "{answer}");
    let (route, head, uri) = edge.pretend.last.lock().unwrap().take().unwrap();
    assert_eq!((route.tunnel, route.account, uri.as_str()), (TUNNEL, ACCOUNT, "/a?b"));
    assert_eq!(
        (&head["host"], &head["cf-connecting-ip"]),
        (&"www.site.test:8080".parse().unwrap(), &"127.0.0.1".parse().unwrap())
    );
    assert_eq!(head["x-forwarded-for"], "1.1.1.1,127.0.0.1");
    assert!(!head.contains_key("connection"));
}

#[tokio::test]
async fn http3_is_offered_over_tls_with_errors_too() {
    let edge = edge();
    for path in ["/", "/down"] {
        let ask = |host: &str| format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let told = edge.ask(Some("site.test"), &ask("site.test")).await;
        assert!(told.contains("alt-svc: h3=\":443\"; ma=86400\r\n"), "{told}");
        let told = edge.ask(Some("site.test"), &ask("site.test:8443")).await;
        assert!(told.contains("alt-svc: h3=\":8443\"; ma=86400\r\n"), "{told}");
        assert!(!edge.get("site.test", path).await.contains("alt-svc"), "in clear");
    }
}

#[tokio::test]
async fn every_dead_end_has_its_page() {
    let edge = edge();
    for (host, path, status, code) in [
        ("nobody.example", "/", 409, 1001),
        ("waiting.test", "/", 409, 1018),
        ("127.0.0.1", "/", 403, 1003),
        ("[::1]:80", "/", 403, 1003),
        ("a..b", "/", 400, 400),
        ("gone.site.test", "/", 530, 1016),
        ("documented.site.test", "/", 403, 1002),
        ("own.site.test", "/", 403, 1000),
        ("named.site.test", "/", 530, 1016),
        ("round.site.test", "/", 403, 1000),
        ("site.test", "/down", 530, 1033),
        ("site.test", "/broken", 502, 502),
        ("site.test", "/slow", 524, 524),
        ("site.test", "/odd", 520, 520),
        ("site.test", "/cdn-cgi/nothing", 404, 404),
    ] {
        let answer = edge.get(host, path).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{host}{path}: {answer}");
        for field in [format!("cf-error-type: {code}\r\n"), "cache-control: no-store\r\n".into(), "cf-ray: ".into()] {
            assert!(answer.contains(&field), "{host}{path} lacks {field}: {answer}");
        }
    }
}

#[tokio::test]
async fn the_edge_keeps_what_is_its_own() {
    let edge = edge();
    assert!(edge.get("node.test", "/").await.ends_with("the node"));
    let trace = edge.get("site.test", "/cdn-cgi/trace").await;
    assert!(trace.contains("\nip=127.0.0.1\n") && trace.contains("\nhttp=http/1.1\n"), "{trace}");
    assert!(edge.pretend.last.lock().unwrap().is_none());
    assert!(edge.get("quick.site.test", "/").await.contains("x-robots-tag: noindex\r\n"));
    let looped = edge.ask(None, "GET / HTTP/1.1\r\nHost: site.test\r\nCDN-Loop: poterne-one\r\n\r\n").await;
    assert!(looped.starts_with("HTTP/1.1 508 "), "{looped}");
}

#[tokio::test]
async fn questions_are_taken_where_no_visitor_is_led() {
    let edge = edge();
    assert!(edge.get("node.test", "/dns-query?dns=AA").await.ends_with("the node"), "nobody takes questions yet");
    edge.pipeline.answer_dns_by(Arc::new(Says("a name server")));
    for host in ["node.test", "ns1.example.net", "NS1.Example.net", "ns1.waiting.test"] {
        assert!(edge.get(host, "/dns-query?dns=AA").await.ends_with("a name server"), "{host}");
        assert!(!edge.get(host, "/dns-query/").await.ends_with("a name server"), "{host}");
    }
    assert!(edge.get("node.test", "/").await.ends_with("the node"));
    assert!(edge.get("ns1.example.net", "/").await.starts_with("HTTP/1.1 409 "));
    assert!(edge.get("other.waiting.test", "/dns-query").await.starts_with("HTTP/1.1 409 "));
    assert!(edge.pretend.last.lock().unwrap().is_none());
    // A name server's name that is a user's host is that user's.
    for host in ["site.test", "ns1.site.test"] {
        assert!(edge.get(host, "/dns-query?dns=AA").await.ends_with("hello"), "{host}");
        let (_, head, uri) = edge.pretend.last.lock().unwrap().take().unwrap();
        assert_eq!((head["host"].to_str().unwrap(), uri.as_str()), (host, "/dns-query?dns=AA"));
    }
}

#[tokio::test]
async fn a_connection_for_one_zone_carries_no_other() {
    let edge = edge();
    let request = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    assert!(edge.ask(Some("site.test"), &request("www.site.test")).await.starts_with("HTTP/1.1 200 "));
    let told = edge.ask(Some("other.example"), &request("site.test")).await;
    assert!(told.starts_with("HTTP/1.1 421 ") && !told.contains("alt-svc"), "{told}");
}

#[tokio::test]
async fn who_comes_over_tls_to_a_zone_in_clear_is_sent_there() {
    let edge = edge();
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: clear.test\r\n\r\n");
    let answer = edge.ask(Some("clear.test"), &request("/a?b=c")).await;
    assert!(answer.starts_with("HTTP/1.1 302 ") && answer.contains("location: http://clear.test/a?b=c\r\n"), "{answer}");
    assert!(edge.ask(Some("clear.test"), &request("/cdn-cgi/trace")).await.starts_with("HTTP/1.1 200 "));
    assert!(edge.pretend.last.lock().unwrap().is_none());
    assert!(edge.get("clear.test", "/").await.ends_with("hello"));
}

#[tokio::test]
async fn refused_framing_has_a_page_too() {
    let edge = edge();
    let smuggled = "POST / HTTP/1.1\r\nHost: site.test\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answer = edge.ask(None, smuggled).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("cf-ray: "), "{answer}");
    assert!(edge.pretend.last.lock().unwrap().is_none(), "no tunnel saw it");
}

#[tokio::test]
async fn a_grpc_call_gets_a_grpc_status() {
    let answer = edge()
        .ask(None, "POST /down HTTP/1.1\r\nHost: site.test\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("grpc-status: 14\r\n"), "{answer}");
}

#[tokio::test]
async fn a_websocket_goes_through_and_back() {
    let edge = edge();
    let mut visitor = edge.connect(None).await;
    let opening = "GET /ws HTTP/1.1\r\nHost: site.test\r\nConnection: Upgrade, X-Hop\r\nX-Hop: 1\r\nX-Kept: 1\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    visitor.write_all(opening.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(visitor.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("sec-websocket-accept: x\r\n"), "{head}");
    visitor.write_all(b"raw").await.unwrap();
    let mut echoed = [0; 3];
    visitor.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"raw");
    let (_, head, _) = edge.pretend.last.lock().unwrap().take().unwrap();
    assert!(head.contains_key("x-kept") && head.contains_key("sec-websocket-key"), "{head:?}");
    for hop in ["connection", "upgrade", "x-hop"] {
        assert!(!head.contains_key(hop), "{hop}");
    }
}

#[tokio::test]
async fn a_management_request_goes_to_the_agent_that_its_token_names() {
    let edge = edge();
    let sni = Some("management.node.test");
    let ask = async |target: &str| edge.ask(sni, &format!("GET {target} HTTP/1.1\r\nHost: management.node.test\r\n\r\n")).await;
    let connector = ConnectorId::from_bytes([6; 16]);
    let token = edge.token(QUICK);
    let answer = ask(&format!("/ping?access_token={token}&connector_id={connector}&more=1")).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("cf-ray: "), "{answer}");
    let (route, head, uri) = edge.pretend.last.lock().unwrap().take().unwrap();
    assert_eq!(route, TunnelRoute { tunnel: QUICK, zone: None, account: ACCOUNT, connector: Some(connector) });
    assert_eq!(head["host"], "management.node.test");
    assert_eq!(uri, format!("/ping?access_token={token}&connector_id={connector}"));

    let gone = edge.token(GONE);
    for (target, status, code) in [
        ("/logs".to_owned(), 400, 1001),
        ("/logs?access_token=a.b.c".into(), 400, 1002),
        (format!("/logs?access_token={token}A"), 400, 1002),
        (format!("/metrics?access_token={token}"), 403, 1005),
        (format!("/logs?access_token={gone}"), 404, 1006),
    ] {
        let answer = ask(&target).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{target}: {answer}");
        assert!(answer.contains(&format!(r#"{{"errors":[{{"code":{code},"message":""#)), "{target}: {answer}");
    }
    let in_clear = edge.get("management.node.test", &format!("/ping?access_token={token}")).await;
    assert!(in_clear.starts_with("HTTP/1.1 403 "), "{in_clear}");
    assert!(edge.pretend.last.lock().unwrap().is_none(), "no agent saw any of these");
}

#[tokio::test]
async fn an_authority_finds_its_token_and_nothing_else() {
    let edge = edge();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let challenge = |id: u8, zone: u8, host: &str, expires_at| {
        let id = ChallengeId::from_bytes([id; 16]);
        let shown = Shown::Http { host: name(host), token: "token".into(), text: "token.key".into() };
        let chunk = ChallengeChunk { id, zone: ZoneId::from_bytes([zone; 16]), expires_at, shown };
        (ChunkKey::Challenge(id).encode(), Some(Chunk::Challenge(chunk).encode()))
    };
    let chunks = vec![
        challenge(1, 1, "www.site.test", now + 600),
        challenge(2, 1, "over.site.test", now - 1),
        challenge(3, 2, "www.waiting.test", now + 600),
        challenge(4, 2, "app.site.test", now + 600),
    ];
    edge.snapshot.apply(&Change { generation: 2, chunks }).unwrap();
    const PATH: &str = "/.well-known/acme-challenge/token";
    let told = edge.get("www.site.test", PATH).await;
    assert!(told.starts_with("HTTP/1.1 200 ") && told.ends_with("\r\n\r\ntoken.key"), "{told}");
    assert!(told.contains("content-type: application/octet-stream\r\n"), "{told}");
    let is_answered = async |host: &str, path: &str| edge.get(host, path).await.contains("token.key");
    assert!(is_answered("WWW.site.test.", PATH).await);
    for (host, path) in [
        ("www.site.test", "/.well-known/acme-challenge/toke"),
        ("www.site.test", "/.well-known/acme-challenge/token/"),
        ("www.site.test", "/.well-known/acme-challenge/"),
        ("site.test", PATH),
        ("over.site.test", PATH),
        ("www.waiting.test", PATH),
        ("app.site.test", PATH),
    ] {
        assert!(!is_answered(host, path).await, "{host}{path}");
    }
    // What is no challenge of ours is its owner's.
    assert!(edge.get("site.test", PATH).await.ends_with("hello"));
}
