//! A node that is killed says no goodbye.

use poterne_keys::Secret;
use poterne_model::tunnel::Transport;

use crate::{
    agent::{Agent, registration},
    edge::{Edge, soon},
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
