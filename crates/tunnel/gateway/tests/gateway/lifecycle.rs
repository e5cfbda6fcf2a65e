//! Goodbyes, losses and pre-checks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Method, StatusCode};
use poterne_edge_http::Body;
use poterne_edge_upstream::UpstreamError;
use poterne_feed::Command;
use poterne_model::{ConnectorId, tunnel::Transport};
use poterne_tunnel_proto::registration::{Edges, features};
use tokio::io::{AsyncReadExt, AsyncWriteExt as _};

use crate::{
    agent::{Agent, BOTH, Serving, endpoint, registration, tls_stream},
    edge::{Edge, PATIENCE, eventually, read, request, send, soon, tunnel},
    vectors::{A1, A2, bytes},
};

/// A request that the agent answers when it is told.
async fn held(edge: &Edge, agent: &Serving) -> tokio::task::JoinHandle<Option<String>> {
    let (gateway, before) = (edge.gateway.clone(), agent.requests());
    let asked =
        tokio::spawn(
            async move { read(send(&gateway, tunnel(), request(Method::GET, "/held", Body::empty())).await.unwrap()).await },
        );
    eventually("the request reaches the agent", || agent.requests() > before).await;
    asked
}

#[tokio::test]
async fn an_agent_that_says_goodbye_ends_what_it_has_and_gets_nothing_new() {
    for transport in BOTH {
        let edge = Edge::start().await;
        let leaving = Agent::good(&edge, transport, 0).await;
        let running = held(&edge, &leaving).await;
        let staying = Agent::good(&edge, transport, 1).await;
        leaving.client.unregister(PATIENCE).await.unwrap();
        for _ in 0..20 {
            assert_eq!(edge.get("/").await, Ok((StatusCode::OK, "1".into())));
        }
        assert_eq!(leaving.requests(), 1);
        assert!(leaving.link.is_open(), "a request still runs");
        leaving.log.release.notify_one();
        assert_eq!(running.await.unwrap().as_deref(), Some("0"));
        soon("the edge's goodbye", leaving.link.closed()).await;
        assert_eq!(edge.end().await, "drained");
        assert!(staying.link.is_open());
    }
}

#[tokio::test]
async fn an_edge_that_drains_ends_what_it_has_and_takes_nothing_new() {
    for transport in BOTH {
        let edge = Edge::with(|settings| settings.waiting_timeout = Duration::ZERO).await;
        let agent = Agent::good(&edge, transport, 0).await;
        let running = held(&edge, &agent).await;
        let draining = tokio::spawn({
            let gateway = edge.gateway.clone();
            async move { gateway.drain(Instant::now() + PATIENCE).await }
        });
        // Whatever was sent before the drain began is answered; then nothing is sent any more.
        soon("requests are refused", async {
            while edge.get("/").await.is_ok() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(edge.get("/").await, Err(UpstreamError::NoConnector(tunnel())));
        assert!(!draining.is_finished() && agent.link.is_open(), "a request still runs");
        agent.log.release.notify_one();
        assert_eq!(running.await.unwrap().as_deref(), Some("0"));
        soon("the drain's end", draining).await.unwrap();
        soon("the edge's goodbye", agent.link.closed()).await;
        assert_eq!(edge.gateway.connections(), 0);
        assert!(edge.end().await.contains("shutting down"));
    }
}

#[tokio::test]
async fn a_drain_cuts_what_runs_past_its_deadline() {
    for transport in BOTH {
        let edge = Edge::start().await;
        let agent = Agent::good(&edge, transport, 0).await;
        let running = held(&edge, &agent);
        let running = running.await;
        soon("the drain's end", edge.gateway.drain(Instant::now())).await;
        assert!(running.await.is_err(), "the request failed");
        soon("the edge's goodbye", agent.link.closed()).await;
    }
}

#[tokio::test]
async fn a_pre_check_is_neither_counted_nor_told() {
    let edge = Edge::start().await;
    let connection = endpoint(&edge).connect(edge.address, "probe.cftunnel.com").unwrap().await.unwrap();
    connection.close(0u32.into(), b"precheck complete");
    drop(tls_stream(&edge, edge.address).await);
    // What came after them is the first that anybody hears of.
    let agent = Agent::good(&edge, Transport::Quic, 0).await;
    assert_eq!(edge.get("/").await, Ok((StatusCode::OK, "0".into())));
    agent.client.unregister(PATIENCE).await.unwrap();
    let poterne_feed::Event::ConnectionOpened { connection, .. } = edge.event().await else { panic!("no registration") };
    let poterne_feed::Event::ConnectionClosed { connection: closed, .. } = edge.event().await else { panic!("no end") };
    assert_eq!(connection.id, closed);
    assert_eq!((edge.metric("gateway_registrations"), edge.metric("gateway_handshakes_failed")), (1, 0));
}

#[tokio::test]
async fn losing_one_of_four_connections_loses_no_get() {
    for dropped_by_the_edge in [false, true] {
        let edge = Arc::new(Edge::start().await);
        let mut agents = Vec::new();
        for index in 0..4 {
            let mut request = registration(index);
            request.options.client.client_id = ConnectorId::from_bytes([index + 1; 16]);
            let transport = BOTH[usize::from(index % 2)];
            agents.push(Agent::dial(&edge, transport).await.serve("any", request).await);
        }
        for lost in [0, 1] {
            let answered = Arc::new(AtomicUsize::new(0));
            let visitors = (0..16).map(|_| {
                let (edge, answered) = (edge.clone(), answered.clone());
                tokio::spawn(async move {
                    for _ in 0..50 {
                        assert_eq!(edge.get("/").await, Ok((StatusCode::OK, "any".into())));
                        answered.fetch_add(1, Ordering::SeqCst);
                    }
                })
            });
            let visitors: Vec<_> = visitors.collect();
            eventually("requests flow", || answered.load(Ordering::SeqCst) > 100).await;
            if dropped_by_the_edge {
                let connector = Some(ConnectorId::from_bytes([lost + 1; 16]));
                edge.gateway.command(&Command::DropConnections { tunnel: tunnel(), connector });
            } else {
                agents[usize::from(lost)].link.drop_transport();
            }
            for visitor in join_all(visitors).await {
                visitor.unwrap();
            }
            soon("the end is told", edge.end()).await;
        }
    }
}

#[tokio::test]
async fn what_may_not_be_repeated_fails_at_once_when_its_connection_is_lost() {
    for transport in BOTH {
        let edge = Edge::start().await;
        let agent = Agent::good(&edge, transport, 0).await;
        let asked = tokio::spawn({
            let gateway = edge.gateway.clone();
            let post = request(Method::POST, "/hang", Body::full(Bytes::from_static(b"an order")));
            async move { send(&gateway, tunnel(), post).await }
        });
        eventually("the request reaches the agent", || agent.requests() == 1).await;
        let other = Agent::good(&edge, transport, 1).await;
        agent.link.drop_transport();
        assert!(matches!(asked.await.unwrap(), Err(UpstreamError::ConnectionLost(_))));
        assert_eq!(other.requests(), 0);
    }
}

/// A frame's type, stream and payload.
async fn frame(io: &mut (impl AsyncReadExt + Unpin)) -> (u8, u32, Vec<u8>) {
    let mut head = [0; 9];
    soon("a frame", io.read_exact(&mut head)).await.unwrap();
    let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
    soon("its payload", io.read_exact(&mut payload)).await.unwrap();
    (head[3], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload)
}

fn framed(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

#[tokio::test]
async fn an_http_2_agent_is_told_that_its_connection_is_closed_and_why() {
    let edge = Edge::start().await;
    let mut tls = tls_stream(&edge, edge.address).await;
    let mut preface = [0; 24];
    soon("the preface", tls.read_exact(&mut preface)).await.unwrap();
    let control = loop {
        if let (1, stream, _) = frame(&mut tls).await {
            break stream;
        }
    };
    // SETTINGS, the answer 200 (index 8 of the static table, RFC 7541), then the recorded registration.
    let registration = [bytes(A1), bytes(A2)].concat();
    let said = [framed(4, 0, 0, &[]), framed(1, 4, control, &[0x88]), framed(0, 0, control, &registration)].concat();
    tls.write_all(&said).await.unwrap();
    eventually("the registration", || edge.gateway.connections() == 1).await;
    edge.gateway.command(&Command::DropConnections { tunnel: tunnel(), connector: None });
    let goaway = loop {
        if let (7, 0, payload) = frame(&mut tls).await {
            break payload;
        }
    };
    assert_eq!((&goaway[..8], &goaway[8..]), (&[0; 8][..], &b"dropped by the operator"[..]));
    assert_eq!(soon("the end", tls.read(&mut [0])).await.unwrap(), 0, "TLS is closed in order");
}

#[tokio::test]
async fn an_agent_that_understands_is_told_whether_the_edge_traces() {
    for (transport, traces) in BOTH.into_iter().flat_map(|transport| [(transport, true), (transport, false)]) {
        let edge = Edge::with(|settings| settings.traces = traces).await;
        let mut asked = registration(0);
        asked.options.client.features.push(features::POTERNE_EDGES_1.into());
        let (ours, _link) = Agent::dial(&edge, transport).await.register(asked).await;
        let told = ours.unwrap().unwrap().edges.and_then(|edges| Edges::parse(&edges)).expect("a list of edges");
        assert_eq!(told.traces, traces);
        let (stock, _link) = Agent::dial(&edge, transport).await.register(registration(1)).await;
        assert_eq!(stock.unwrap().unwrap().edges, None);
    }
}
