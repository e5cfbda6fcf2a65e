//! The demo's agent: the one of `poterne-agent`, in this process.

use anyhow::{Context as _, anyhow};
use poterne_telemetry::Tap;
use poterne_tunnel_agent::{Agent, AgentConfig, AgentError, StatusListen};
use poterne_tunnel_proto::token::TunnelToken;
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// A running agent.
pub(super) struct Running {
    connected: watch::Receiver<usize>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), AgentError>>,
}

/// Starts an agent with this token: like any other it needs nothing else.
pub(super) fn start(token: &str, tap: Tap) -> anyhow::Result<Running> {
    let token = TunnelToken::parse(token).context("the demo's own token")?;
    let mut config = AgentConfig::from_token(&token).context("the demo's token names no edge")?;
    config.status = StatusListen::Off;
    config.grace_period = super::DRAIN;
    config.management.tap = Some(tap);
    // The list of edges of an earlier run has that run's ports: nothing is remembered.
    config.state_dir = None;
    let agent = Agent::new(config)?;
    let connected = agent.connected();
    let stop = CancellationToken::new();
    let task = tokio::spawn(agent.run(stop.clone()));
    Ok(Running { connected, stop, task })
}

impl Running {
    /// Returns once a connection is registered.
    pub(super) async fn connected(&self) -> anyhow::Result<()> {
        let mut connected = self.connected.clone();
        let reached = connected.wait_for(|connections| *connections > 0).await;
        reached.map(|_| ()).map_err(|_| anyhow!("the demo's agent ended before it was connected; POTERNE_LOG=info tells why"))
    }

    /// Says goodbye to the edge and waits for requests in flight.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        match self.task.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the demo's agent"),
            Err(error) => tracing::warn!(%error, "the demo's agent"),
        }
    }
}
