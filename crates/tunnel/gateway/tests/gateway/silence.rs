//! A path that stops without a word.

use std::time::Duration;

use http::{Method, StatusCode};
use poterne_edge_http::Body;
use poterne_model::tunnel::Transport;
use poterne_tunnel_gateway::Settings;

use crate::{
    agent::{Agent, registration},
    edge::{Edge, eventually, read, request, send, soon, tunnel},
    relay::Relay,
};

#[tokio::test]
async fn a_silent_quic_connection_is_left_then_closed() {
    silent(Transport::Quic).await;
}

#[tokio::test]
async fn a_silent_http_2_connection_is_left_then_closed() {
    silent(Transport::Http2).await;
}

async fn silent(transport: Transport) {
    // The real limits, so that nothing but the path decides; the limits themselves are held by the unit tests of `watch`.
    let edge = Edge::start().await;
    let relay = Relay::start(edge.address).await;
    let by_relay = if transport == Transport::Quic { relay.udp } else { relay.tcp };
    let silent = Agent::dial_at(&edge, transport, by_relay).await.serve("silent", registration(0)).await;
    // A request is on its way when the path stops; another agent can answer it.
    let asked = tokio::spawn({
        let gateway = edge.gateway.clone();
        async move { read(send(&gateway, tunnel(), request(Method::GET, "/held", Body::empty())).await.unwrap()).await }
    });
    eventually("the request reaches the agent", || silent.requests() == 1).await;
    let heard = Agent::good(&edge, Transport::Quic, 1).await;
    heard.log.release.notify_one();
    relay.stop();
    eventually("the silence is noticed", || edge.metric("gateway_connections_silent") == 1).await;
    for _ in 0..20 {
        assert_eq!(edge.get("/").await, Ok((StatusCode::OK, "1".into())));
    }
    // What is sent into the silence comes back only when it is closed, to be sent again.
    assert_eq!(edge.metric("gateway_requests_repeated"), 0, "nothing new was sent into the silence");
    soon("the silent connection's end", edge.end()).await;
    assert_eq!(soon("the answer", asked).await.unwrap().as_deref(), Some("1"));
    assert_eq!((edge.metric("gateway_requests_repeated"), silent.requests()), (1, 1));
    assert_eq!(edge.gateway.connections(), 1);
}

#[test]
fn the_limits_are_those_promised() {
    let settings = Settings::default();
    assert_eq!(settings.dead_after, Duration::from_secs(5));
    assert!(settings.silent_after + Duration::from_millis(250) < Duration::from_secs(2), "and a tick of the watch");
}
