//! A node that is killed says no goodbye.

use http::Method;
use poterne_edge_http::Body;
use poterne_edge_upstream::UpstreamError;
use poterne_keys::Secret;
use poterne_model::{TunnelId, tunnel::Transport};

use crate::{
    agent::{Agent, registration},
    edge::{Edge, PATIENCE, eventually, read, request, send, soon, tunnel},
    relay::Relay,
};

#[tokio::test]
async fn a_node_started_anew_resets_the_connections_of_the_killed_one() {
    let start = || Edge::with(|settings| settings.reset_key = Secret::new(vec![3; 32]));
    let (killed, started) = (start().await, start().await);
    let relay = Relay::start(killed.address).await;
    let agent = Agent::dial_at(&killed, Transport::Quic, relay.udp).await.serve("agent", registration(0)).await;
    relay.lead_to(started.address);
    // Its own idle timeout is longer than the patience of these tests.
    assert_eq!(soon("a reset that is believed", agent.link.closed()).await, "reset by peer");
}

#[tokio::test]
async fn a_node_just_started_lets_requests_wait_for_agents_that_come_back() {
    let edge = Edge::with(|settings| settings.waiting_timeout = PATIENCE).await;
    let asked = tokio::spawn({
        let gateway = edge.gateway.clone();
        async move { read(send(&gateway, tunnel(), request(Method::GET, "/", Body::empty())).await.unwrap()).await }
    });
    eventually("the request waits", || edge.metric("gateway_requests_waiting") == 1).await;
    let _agent = Agent::good(&edge, Transport::Quic, 0).await;
    assert_eq!(soon("the answer", asked).await.unwrap().as_deref(), Some("0"));
    // Nobody waits for what does not exist.
    let unknown = TunnelId::from_bytes([1; 16]);
    let answer = edge.send(unknown, request(Method::GET, "/", Body::empty())).await;
    assert_eq!(answer.unwrap_err(), UpstreamError::UnknownTunnel(unknown));
}
