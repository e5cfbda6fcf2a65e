//! Configurations on their way to every connection.

use std::sync::atomic::Ordering;

use poterne_model::tunnel::Transport;

use crate::{
    agent::{Agent, BOTH},
    edge::{Edge, eventually, soon, tunnel},
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
async fn one_agent_that_keeps_its_answer_delays_no_other() {
    let edge = Edge::start().await;
    let mute = Agent::good(&edge, Transport::Quic, 0).await;
    mute.log.mute.store(true, Ordering::SeqCst);
    let other = Agent::good(&edge, Transport::Http2, 1).await;
    edge.publish(tunnel(), Some((1, "{}")));
    eventually("both hear of it", || [&mute, &other].iter().all(|agent| *agent.log.pushes.lock().unwrap() == [1])).await;
}
