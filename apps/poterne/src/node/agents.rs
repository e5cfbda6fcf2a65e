//! The gateway's agents, as the verbs ask after them.

use std::{future::Future, pin::Pin};

use poterne_control_app::Agents;
use poterne_model::{ConnectorInfo, TunnelId, TunnelStatus};
use poterne_tunnel_gateway::Gateway;

/// Those connected to this node's gateway.
pub(super) struct Connected(pub Gateway);

impl Agents for Connected {
    fn connectors(&self, tunnel: TunnelId) -> Vec<ConnectorInfo> {
        self.0.connectors(tunnel)
    }

    fn status(&self, tunnel: TunnelId, now: u64) -> (TunnelStatus, Option<u64>) {
        self.0.status(tunnel, now)
    }

    fn configured(&self, tunnel: TunnelId) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.0.configured(tunnel))
    }
}
