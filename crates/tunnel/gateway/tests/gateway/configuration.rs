//! Configurations on their way to every connection.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use http::Method;
use poterne_edge_http::Body;
use poterne_edge_upstream::UpstreamError;
use poterne_model::tunnel::Transport;

use crate::{
    agent::{Agent, BOTH, Log, registration},
    edge::{Edge, PATIENCE, eventually, read, request, send, soon, tunnel},
};

#[tokio::test]
async fn a_change_reaches_every_connection() {
    let edge = Edge::start().await;
    edge.publish(tunnel(), Some((0, "{}")));
    let mut agents = Vec::new();
    for index in 0..4 {
        agents.push(Agent::good(&edge, BOTH[usize::from(index % 2)], index).await);
    }
    for version in 1..3 {
        soon("the configuration before is answered", edge.gateway.configured(tunnel())).await;
        edge.publish(tunnel(), Some((version, r#"{"ingress":[]}"#)));
    }
    soon("all answers", edge.gateway.configured(tunnel())).await;
    for agent in &agents {
        assert_eq!(*agent.log.pushes.lock().unwrap(), [0, 1, 2]);
    }
}

#[tokio::test]
async fn a_push_that_breaks_off_is_made_again() {
    for transport in BOTH {
        let edge = Edge::start().await;
        let agent = Agent::good(&edge, transport, 0).await;
        agent.log.pushes_broken.store(1, Ordering::SeqCst);
        edge.publish(tunnel(), Some((4, "{}")));
        eventually("the failure is counted", || edge.metric("gateway_configuration_pushes_failed") == 1).await;
        soon("the answer to the second", edge.gateway.configured(tunnel())).await;
        assert_eq!(*agent.log.pushes.lock().unwrap(), [4]);
    }
}

#[tokio::test]
async fn requests_wait_for_an_agents_first_configuration() {
    for transport in BOTH {
        let edge = Edge::with(|settings| settings.waiting_timeout = PATIENCE).await;
        edge.publish(tunnel(), Some((1, "{}")));
        let log = Arc::new(Log::new("agent"));
        log.mute.store(true, Ordering::SeqCst);
        let agent = Agent::dial(&edge, transport).await.serve_with(log, registration(0)).await;
        let asked = tokio::spawn({
            let gateway = edge.gateway.clone();
            async move { read(send(&gateway, tunnel(), request(Method::GET, "/", Body::empty())).await.unwrap()).await }
        });
        eventually("the request waits", || edge.metric("gateway_requests_waiting") == 1).await;
        assert_eq!(agent.requests(), 0, "it would have answered 503");
        eventually("the push is heard", || *agent.log.pushes.lock().unwrap() == [1]).await;
        agent.log.mute.store(false, Ordering::SeqCst);
        agent.log.answer_pushes.notify_waiters();
        assert_eq!(soon("the answer", asked).await.unwrap().as_deref(), Some("agent"));
        // A later configuration keeps nobody waiting: the agent serves by the one before.
        agent.log.mute.store(true, Ordering::SeqCst);
        edge.publish(tunnel(), Some((2, "{}")));
        eventually("it hears of it", || *agent.log.pushes.lock().unwrap() == [1, 2]).await;
        assert_eq!(edge.get("/").await.unwrap().1, "agent");
    }
}

#[tokio::test]
async fn a_visitor_waits_for_a_configuration_no_longer_than_for_an_agent() {
    let edge = Edge::with(|settings| settings.waiting_timeout = Duration::ZERO).await;
    edge.publish(tunnel(), Some((1, "{}")));
    let log = Arc::new(Log::new("mute"));
    log.mute.store(true, Ordering::SeqCst);
    let _agent = Agent::dial(&edge, Transport::Quic).await.serve_with(log, registration(0)).await;
    assert_eq!(edge.get("/").await, Err(UpstreamError::NoConnector(tunnel())));
}

#[tokio::test]
async fn one_agent_that_keeps_its_answer_delays_no_other() {
    let edge = Edge::start().await;
    let mute = Agent::good(&edge, Transport::Quic, 0).await;
    mute.log.mute.store(true, Ordering::SeqCst);
    let other = Agent::good(&edge, Transport::Http2, 1).await;
    edge.publish(tunnel(), Some((1, "{}")));
    eventually("both hear of it", || [&mute, &other].iter().all(|agent| *agent.log.pushes.lock().unwrap() == [1])).await;
}
