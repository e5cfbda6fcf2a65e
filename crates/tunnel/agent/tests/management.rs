//! The management service over real QUIC: who is let in, what it answers, and a log session from its start to each of its ends.
//!
//! One process has one log, so the sessions are one test.
#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

mod edge;

use std::sync::Arc;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use edge::{Exchange, NO_BODY, QuicEdge, Told, config, fetch, mirror, rule, service, soon};
use http::Request;
use poterne_telemetry::Tap;
use poterne_tunnel_agent::{Agent, LOG_TARGETS};
use poterne_tunnel_proto::{
    management::{
        message::{AgentMessage, ClientMessage, Entry, EventKind, Filters, Level},
        token::{Actor, Claims, Resource, Tunnel},
    },
    metadata::RequestOptions,
    registration::{Edges, Management},
    websocket::{
        self, masked_frame,
        messages::{Message, Messages, Sender, TEXT},
    },
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::{layer::SubscriberExt as _, util::SubscriberInitExt as _};

const TUNNEL: &str = "3d539f97-cd3a-4d8e-833b-65e9099c7a8d";
const HOST: &str = "management.node.test";

struct Running {
    _edge: QuicEdge,
    connection: quinn::Connection,
    key: EcdsaKeyPair,
    shutdown: CancellationToken,
}

/// An agent that was told the edge's hostname and, if wanted, its key.
async fn running(tap: Option<Tap>, tells_its_key: bool) -> Running {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let keys = tells_its_key.then(|| key.public_key().as_ref().to_vec());
    let mut edge = QuicEdge::new(Told::default());
    let edges = Edges::new(vec![edge.address.to_string()], &[edge.authority.pin]);
    let told = edges.with_management(Management::new(vec![HOST.into()], keys));
    *edge.told.edges.lock().unwrap() = Some(told.encode());
    let address = service(mirror).await;
    let mut config = config(edge.address, &edge.authority, vec![rule("", &format!("http://{address}"))]);
    config.management.label = Some("kitchen".into());
    config.management.tap = tap;
    let agent = Agent::new(config).unwrap();
    let mut connected = agent.connected();
    let shutdown = CancellationToken::new();
    tokio::spawn({
        let shutdown = shutdown.clone();
        async move { agent.run(shutdown).await.unwrap() }
    });
    let connection = edge.connection().await;
    soon("the registration", connected.wait_for(|up| *up == 1)).await.unwrap();
    Running { _edge: edge, connection, key, shutdown }
}

impl Running {
    fn token(&self, change: impl FnOnce(&mut Claims)) -> String {
        let mut claims = Claims {
            tun: Tunnel { id: TUNNEL.into(), account_tag: "0123456789abcdef0123456789abcdef".into() },
            actor: Actor { id: "ann".into(), support: false },
            res: Claims::words(&[Resource::Admin]),
            iat: 1,
            exp: 3601,
            iss: HOST.into(),
        };
        change(&mut claims);
        claims.encode(|bytes| self.key.sign(&SystemRandom::new(), bytes).unwrap().as_ref().try_into().unwrap())
    }

    async fn get(&self, host: &str, path: &str, token: &str) -> (u16, String) {
        let (status, body) = fetch(&self.connection, &format!("https://{host}{path}?access_token={token}")).await.unwrap();
        (status.as_u16(), String::from_utf8(body).unwrap())
    }

    /// Opens `/logs` as this actor.
    async fn open(&self, actor: &str) -> Session {
        let token = self.token(|claims| claims.actor.id = actor.into());
        let request = Request::get(format!("https://{HOST}/logs?access_token={token}")).header("host", HOST);
        let request = request.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==").body(()).unwrap();
        let mut exchange = Exchange::begin(&self.connection, request, RequestOptions { websocket: true, ..NO_BODY }).await;
        let (head, _) = exchange.head().await.unwrap();
        assert_eq!(head.status, 101);
        assert_eq!(head.headers["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        Session { exchange, messages: Messages::new(Sender::Server, 1 << 20) }
    }
}

struct Session {
    exchange: Exchange,
    messages: Messages,
}

impl Session {
    async fn say(&mut self, text: &[u8]) {
        self.exchange.send.write_all(&masked_frame(TEXT, text, [1, 2, 3, 4])).await.unwrap();
    }

    async fn start(&mut self, filters: Filters) {
        self.say(&ClientMessage::StartStreaming { filters }.encode()).await;
    }

    async fn next(&mut self) -> Message {
        loop {
            if let Some(message) = self.messages.message().unwrap() {
                return message;
            }
            let byte = self.exchange.some(1).await;
            self.messages.push(&byte);
        }
    }

    async fn entry(&mut self) -> Entry {
        loop {
            if let Message::Data(text) = self.next().await {
                let AgentMessage::Logs { mut logs } = AgentMessage::parse(&text).unwrap() else { panic!("{text:?}") };
                assert_eq!(logs.len(), 1);
                return logs.remove(0);
            }
        }
    }

    /// The first entry that is about that.
    async fn entry_of(&mut self, wanted: impl Fn(&Entry) -> bool) -> Entry {
        loop {
            let entry = self.entry().await;
            if wanted(&entry) {
                return entry;
            }
        }
    }

    async fn closed(&mut self) -> u16 {
        loop {
            if let Message::Close(code, _) = self.next().await {
                return code.unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_token_of_the_edge_for_this_tunnel_is_let_in() {
    let running = running(None, true).await;
    let good = running.token(|_| {});
    assert_eq!(running.get(HOST, "/ping", &good).await, (200, String::new()));
    assert_eq!(running.get("management.argotunnel.com", "/ping", &good).await, (200, String::new()));
    let mirrored = running.get("app.example", "/ping", &good).await.1;
    assert!(mirrored.starts_with("GET /ping?access_token="), "other hosts are the rules' affair: {mirrored}");
    let (status, body) = running.get(HOST, "/host_details", &good).await;
    let details: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &details["hostname"], &details["ip"]), (200, &"custom:kitchen".into(), &"127.0.0.1".into()));
    let (status, body) = running.get(HOST, "/metrics", &good).await;
    assert!(status == 200 && body.contains("cloudflared_tunnel_ha_connections 1"), "{body}");
    assert_eq!(running.get(HOST, "/debug/pprof/heap", &good).await.0, 404);
    assert_eq!(running.get(HOST, "/logs", &good).await.0, 426);

    let refused = async |path: &str, token: &str| {
        let (status, body) = running.get(HOST, path, token).await;
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        (status, body["errors"][0]["code"].as_u64().unwrap())
    };
    assert_eq!(refused("/ping", "").await, (400, 1001));
    let (head, claims) = good.split_once('.').unwrap();
    let (claims, _) = claims.split_once('.').unwrap();
    let forged = format!("{head}.{claims}.{}", "A".repeat(86));
    assert_eq!(refused("/ping", &forged).await, (401, 1003));
    let for_logs = running.token(|claims| claims.res = Claims::words(&[Resource::Logs]));
    assert_eq!(refused("/metrics", &for_logs).await, (403, 1005));
    let of_another = running.token(|claims| claims.tun.id = "4577e670-7d8a-4f6e-992f-f9785f6e2e9d".into());
    assert_eq!(refused("/ping", &of_another).await, (403, 1006));
    running.shutdown.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_without_a_key_is_believed_as_the_stock_agent_does() {
    let running = running(None, false).await;
    let silent = running.token(|claims| claims.res.clear());
    let unsigned = format!("{}.{}", silent.rsplit_once('.').unwrap().0, "A".repeat(86));
    assert_eq!(running.get(HOST, "/ping", &unsigned).await.0, 200);
    running.shutdown.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_streamed_to_one_client_at_a_time() {
    let tap = Tap::new(LOG_TARGETS);
    tracing_subscriber::registry().with(tap.layer()).init();
    let running = Arc::new(running(Some(tap), true).await);
    let mut ann = running.open("ann").await;
    ann.start(Filters::default()).await;
    let begun = |entry: &Entry| entry.message == "the log of this agent is being streamed";
    let entry = ann.entry_of(begun).await;
    assert_eq!((entry.event, entry.level, &entry.fields["actor"]), (EventKind::Cloudflared, Level::Info, &"ann".into()));
    fetch(&running.connection, "https://app.example/seen?secret=1").await.unwrap();
    let entry = ann.entry_of(|entry| entry.message == "GET https://app.example/seen").await;
    assert_eq!((entry.event, entry.level, entry.fields["connIndex"].as_u64()), (EventKind::Http, Level::Debug, Some(0)));
    assert!(entry.fields["originService"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{entry:?}");
    assert_eq!((&entry.fields["ingressRule"], &entry.fields["host"]), (&0.into(), &"app.example".into()));
    assert!(!serde_json::to_string(&entry).unwrap().contains("secret"), "{entry:?}");
    ann.entry_of(|entry| entry.message == "200 OK").await;

    // A client's ping is answered beside it.
    ann.exchange.send.write_all(&masked_frame(websocket::PING, b"x", [9; 4])).await.unwrap();
    while ann.next().await != Message::Pong {}

    let mut bob = running.open("bob").await;
    bob.start(Filters::default()).await;
    assert_eq!(bob.closed().await, 4002, "one at a time");
    let mut again = running.open("ann").await;
    again.start(Filters::default()).await;
    assert_eq!(ann.closed().await, 4002, "the same actor's newer session takes over");
    again.entry_of(begun).await;
    fetch(&running.connection, "https://app.example/again").await.unwrap();
    again.entry_of(|entry| entry.message == "GET https://app.example/again").await;

    // Stopped, then started with filters that let nothing but requests pass.
    again.say(br#"{"type":"stop_streaming"}"#).await;
    again.start(Filters { events: vec![EventKind::Http], level: Some(Level::Debug), sampling: 1.0 }).await;
    again.exchange.send.write_all(&masked_frame(websocket::PING, b"y", [9; 4])).await.unwrap();
    while again.next().await != Message::Pong {}
    fetch(&running.connection, "https://app.example/filtered").await.unwrap();
    assert_eq!(again.entry().await.message, "GET https://app.example/filtered");
    again.say(b"[").await;
    assert_eq!(again.closed().await, 1003);
    let mut wrong = running.open("ann").await;
    wrong.say(br#"{"type":"stop_streaming"}"#).await;
    assert_eq!(wrong.closed().await, 4001);
    let mut long = running.open("ann").await;
    long.say(&vec![b' '; 17 * 1024]).await;
    assert_eq!(long.closed().await, 1009);

    // Its place was given back each time; an agent that stops says so.
    let mut bob = running.open("bob").await;
    bob.start(Filters::default()).await;
    bob.entry_of(begun).await;
    running.shutdown.cancel();
    assert_eq!(bob.closed().await, 1001);
}
