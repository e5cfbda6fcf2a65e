//! Agents that registered and then misbehave: their own visitors read what is wrong, nobody else's notice.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Method, StatusCode};
use poterne_edge_http::Body;
use poterne_edge_upstream::UpstreamError;
use poterne_model::tunnel::Transport;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    agent::{Agent, BOTH, Link, tls_stream},
    edge::{Edge, eventually, read, request, soon, tunnel},
    probe::Probe,
    relay::Relay,
};

#[tokio::test]
async fn answers_that_are_none_are_told_apart() {
    for transport in BOTH {
        let edge = Edge::start().await;
        let probe = Probe::start(&edge).await;
        let agent = Agent::good(&edge, transport, 0).await;
        let error = async |path: &str| edge.get(path).await.expect_err(path);
        assert!(matches!(error("/unreachable").await, UpstreamError::LocalService(text) if text.starts_with("Unable to reach")));
        assert!(matches!(error("/reset").await, UpstreamError::LocalService(text) if text.contains("broke off")));
        match transport {
            Transport::Quic => {
                let ended = UpstreamError::Protocol("the agent ended the stream before its answer".into());
                assert_eq!(error("/end").await, ended);
                assert_eq!(error("/half-head").await, ended);
                for path in ["/garbage", "/huge-head", "/many-fields"] {
                    assert!(matches!(error(path).await, UpstreamError::Protocol(_)), "{path}");
                }
            }
            Transport::Http2 => {
                assert!(matches!(error("/garbage").await, UpstreamError::Protocol(_)));
                error("/huge-head").await;
            }
        }
        assert_eq!(edge.get("/").await, Ok((StatusCode::OK, "0".into())), "the connection goes on");
        assert_eq!(agent.log.pushes.lock().unwrap().len(), 0);
        probe.stop().await;
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_never_a_whole_one() {
    for transport in BOTH {
        let edge = Edge::start().await;
        let agent = Agent::good(&edge, transport, 0).await;
        let response = edge.send(tunnel(), request(Method::GET, "/half-body", Body::empty())).await.unwrap();
        let mut body = response.into_body();
        let first = soon("the first piece", body.frame()).await.unwrap().unwrap();
        assert_eq!(first.into_data().unwrap(), "ten bytes.");
        agent.log.release.notify_one();
        assert!(soon("the break", body.frame()).await.unwrap().is_err());
        let response = edge.send(tunnel(), request(Method::GET, "/", Body::empty())).await.unwrap();
        assert_eq!(read(response).await.as_deref(), Some("0"));
    }
}

#[tokio::test]
async fn a_body_that_ends_early_or_late_is_never_a_whole_one_and_the_agent_is_blamed() {
    for (transport, path, blamed) in [
        (Transport::Quic, "/short", "60 bytes before its Content-Length: its fault"),
        (Transport::Quic, "/long", "more than the body's Content-Length"),
        (Transport::Http2, "/short", "60 bytes before its Content-Length: its fault"),
        (Transport::Http2, "/short-in-clear", "not as long as its Content-Length: its fault"),
        (Transport::Http2, "/long", "more than the body's Content-Length"),
    ] {
        let (logs, _guard) = capture();
        let edge = Edge::start().await;
        let _agent = Agent::good(&edge, transport, 0).await;
        let mut asked = request(Method::GET, path, Body::empty());
        asked.headers_mut().insert("cf-ray", "230b030023ae2822-LAB".parse().unwrap());
        let response = edge.send(tunnel(), asked).await.unwrap();
        assert_eq!(response.headers()["content-length"], if path == "/long" { "4" } else { "100" });
        assert_eq!(read(response).await, None, "{transport:?} {path}: it must break off");
        let text = String::from_utf8(logs.lock().unwrap().clone()).unwrap();
        let line = text.lines().find(|line| line.contains(blamed)).unwrap_or_else(|| panic!("{path}: {text}"));
        assert!(line.contains("WARN") && line.contains("230b030023ae2822-LAB"), "{line}");
        // A length without a body is no lie in an answer to HEAD.
        let head = edge.send(tunnel(), request(Method::HEAD, "/head-alone", Body::empty())).await.unwrap();
        assert_eq!(read(head).await.as_deref(), Some(""));
        assert_eq!(edge.get("/").await, Ok((StatusCode::OK, "0".into())), "the connection goes on");
        assert_eq!((edge.gateway.connections(), edge.metric("gateway_requests_in_flight")), (1, 0));
    }
}

#[tokio::test]
async fn ten_thousand_streams_and_a_storm_of_datagrams_cost_nobody_else() {
    let edge = Edge::start().await;
    let probe = Probe::start(&edge).await;
    let agent = Agent::good(&edge, Transport::Quic, 0).await;
    let Link::Quic(connection) = agent.link.clone() else { unreachable!() };
    let storm = tokio::spawn({
        let connection = connection.clone();
        async move {
            for _ in 0..20_000 {
                connection.send_datagram(vec![0xff; 1000].into()).unwrap();
                tokio::task::yield_now().await;
            }
        }
    });
    for _ in 0..10_000 {
        // Waits for credit: the edge grants a hundred at a time.
        let (mut send, _recv) = soon("a stream", connection.open_bi()).await.unwrap();
        let _ = send.write_all(b"nonsense").await;
        let _ = send.finish();
    }
    soon("the storm's end", storm).await.unwrap();
    eventually("each was refused", || edge.metric("gateway_agent_streams_refused") == 10_000).await;
    assert_eq!(edge.metric("gateway_agent_streams"), 0);
    eventually("some of the storm is counted", || edge.metric("gateway_datagrams_malformed") > 0).await;
    assert_eq!(edge.get("/").await, Ok((StatusCode::OK, "0".into())), "it still serves");
    probe.stop().await;
}

#[tokio::test]
async fn half_open_handshakes_leave_everyone_else_alone() {
    // However slow this machine is, nobody's time runs out before all have come.
    let edge = Edge::with(|settings| {
        settings.newcomers_per_source_max = 16;
        settings.handshake_timeout = Duration::from_secs(600);
    })
    .await;
    let probe = Probe::start(&edge).await;
    let mut silent = Vec::new();
    for _ in 0..64 {
        // From an address of its own: 127.0.0.2.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        silent.push(socket.connect(edge.address).await.unwrap());
    }
    eventually("its share is taken", || edge.metric("gateway_newcomers") == 16).await;
    // Nothing comes back to these: they never finish.
    let relay = Relay::start(edge.address).await;
    relay.stop_down();
    let endpoint = crate::agent::endpoint(&edge);
    let attempts: Vec<_> = (0..64).map(|_| endpoint.connect(relay.udp, "quic.cftunnel.com").unwrap()).collect();
    // Half of the relay's share, unproved: it cannot answer the question that the rest are asked.
    eventually("half of its share is taken", || edge.metric("gateway_newcomers") == 16 + 8).await;
    for transport in BOTH {
        let agent = Agent::good(&edge, transport, transport as u8).await;
        assert!(agent.link.is_open());
    }
    probe.stop().await;
    drop((attempts, silent));
}

#[tokio::test]
async fn bytes_that_are_no_http_2_end_their_connection() {
    let edge = Edge::start().await;
    let probe = Probe::start(&edge).await;
    // A frame larger than agreed; a stream opened towards a client; nothing but noise.
    for said in [&[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0][..], &[0, 0, 1, 1, 5, 0, 0, 0, 2, 0x82], &[0x55; 4096]] {
        let mut tls = tls_stream(&edge, edge.address).await;
        tls.write_all(said).await.unwrap();
        let mut rest = Vec::new();
        // A reset is an end as well.
        let _ = soon("the edge's goodbye", tls.read_to_end(&mut rest)).await;
    }
    probe.stop().await;
}

#[tokio::test]
async fn what_an_agent_does_again_and_again_is_logged_once() {
    let (logs, _guard) = capture();
    let edge = Edge::start().await;
    let agent = Agent::good(&edge, Transport::Quic, 0).await;
    let Link::Quic(connection) = agent.link.clone() else { unreachable!() };
    for _ in 0..3 {
        let (mut send, _recv) = connection.open_bi().await.unwrap();
        send.write_all(b"nonsense").await.unwrap();
        assert_eq!(edge.get("/another-version").await, Ok((StatusCode::OK, String::new())));
    }
    eventually("each was refused", || edge.metric("gateway_agent_streams_refused") == 3).await;
    let text = String::from_utf8(logs.lock().unwrap().clone()).unwrap();
    assert_eq!(text.matches("a stream that is no RPC").count(), 1, "{text}");
    assert_eq!(text.matches("another version of data streams").count(), 1, "{text}");
}

/// What this thread logs, which runs everything but RPC.
fn capture() -> (Arc<Mutex<Vec<u8>>>, tracing::subscriber::DefaultGuard) {
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
