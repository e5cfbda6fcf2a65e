//! The agents connected to this node, as the node itself knows them.
//!
//! The store learns of connections from events, a moment after the gateway and one write after another; configurations are on their
//! way to agents once a change is in force. Whoever runs a gateway in the same process hands it in, and every door then tells of the
//! same moment. Without one (a verb over a state that no node holds) the store's word counts.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use poterne_control_store::{Session, Tunnel};
use poterne_model::{ConnectorInfo, TunnelId, TunnelStatus, tunnel::status};

use crate::{
    App, AppError, TunnelInfo, ingress,
    tunnels::{facts, seconds},
};

/// How long an answer waits for connected agents to take a new configuration. They take it within milliseconds; one that does not is
/// tried again by the gateway, and must not hold up its operator.
const CONFIGURED_TIMEOUT: Duration = Duration::from_secs(2);

/// What the node knows of its agents.
pub trait Agents: Send + Sync + 'static {
    /// A tunnel's connectors, with their live connections, in any order.
    fn connectors(&self, tunnel: TunnelId) -> Vec<ConnectorInfo>;

    /// How a tunnel is, and since when, at `now`; both in seconds since the Unix epoch.
    fn status(&self, tunnel: TunnelId, now: u64) -> (TunnelStatus, Option<u64>);

    /// Resolves once every agent of a tunnel has answered the configuration in force; at once where none is connected. An agent that
    /// does not answer is waited for: the caller sets the bound.
    fn configured(&self, tunnel: TunnelId) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

impl App {
    /// From now on these agents are told of, and waited for.
    pub fn ask_agents(&self, agents: Arc<dyn Agents>) {
        // A second gateway in one process would be a mistake of the caller; the first stays.
        let _ = self.0.agents.set(agents);
    }

    /// Waits, within reason, until the agents of a tunnel obey its configuration.
    pub async fn agents_configured(&self, tunnel: TunnelId) {
        let Some(agents) = self.0.agents.get() else { return };
        if tokio::time::timeout(CONFIGURED_TIMEOUT, agents.configured(tunnel)).await.is_err() {
            tracing::warn!(%tunnel, "an agent has not taken the new configuration yet; it is tried again");
        }
    }

    /// Live connections of a tunnel.
    pub(crate) async fn connection_count(&self, session: &mut Session, tunnel: TunnelId) -> Result<u64, AppError> {
        match self.0.agents.get() {
            Some(agents) => Ok(agents.connectors(tunnel).iter().map(|connector| connector.connections.len() as u64).sum()),
            None => Ok(session.connection_count(tunnel).await?),
        }
    }

    /// A tunnel as it stands.
    pub(crate) async fn info(&self, session: &mut Session, mut tunnel: Tunnel) -> Result<TunnelInfo, AppError> {
        let hostnames = session.configuration(tunnel.id).await?.map(|config| ingress::hostnames(&config.json));
        let now = self.now();
        let known = |connectors: &[ConnectorInfo], tunnel: &Tunnel| {
            status(facts(tunnel, connectors, self.settings().nodes), seconds(now))
        };
        let (connectors, (status, since)) = match self.0.agents.get() {
            None => {
                let connectors = session.connectors(tunnel.id).await?;
                let status = known(&connectors, &tunnel);
                (connectors, status)
            }
            Some(agents) => {
                let connectors = in_order(agents.connectors(tunnel.id));
                reconcile(&mut tunnel, &connectors, now);
                // Of a tunnel without agents the store knows more: it remembers what was before this node's start.
                let status = if connectors.is_empty() { known(&[], &tunnel) } else { agents.status(tunnel.id, seconds(now)) };
                (connectors, status)
            }
        };
        Ok(TunnelInfo { tunnel, status, since, connectors, hostnames: hostnames.unwrap_or_default() })
    }
}

/// The oldest first, and each one's connections by their number.
fn in_order(mut connectors: Vec<ConnectorInfo>) -> Vec<ConnectorInfo> {
    connectors.sort_by_key(|connector| (connector.run_at, connector.id));
    for connector in &mut connectors {
        connector.connections.sort_by_key(|connection| (connection.index, connection.id));
    }
    connectors
}

/// Since when a tunnel is connected or not, where the store has yet to hear of it.
fn reconcile(tunnel: &mut Tunnel, connectors: &[ConnectorInfo], now: i64) {
    let opened = connectors.iter().flat_map(|connector| &connector.connections).map(|connection| connection.opened_at).min();
    match (opened, tunnel.conns_active_at) {
        (Some(opened), None) => {
            let opened = i64::try_from(opened).unwrap_or(i64::MAX).saturating_mul(1_000_000);
            (tunnel.conns_active_at, tunnel.conns_inactive_at) = (Some(opened), None);
        }
        (None, Some(_)) => (tunnel.conns_active_at, tunnel.conns_inactive_at) = (None, Some(now)),
        (Some(_), Some(_)) | (None, None) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use poterne_control_store::ConfigSource;
    use poterne_model::{AccountId, ConnectionId, ConnectionInfo, ConnectorId, tunnel::Transport};

    use super::*;

    fn connector(id: u8, run_at: u64, indices: &[u8]) -> ConnectorInfo {
        let connection = |index: &u8| ConnectionInfo {
            id: ConnectionId::from_bytes([*index; 16]),
            index: *index,
            transport: Transport::Quic,
            origin_ip: IpAddr::from([192, 0, 2, 1]),
            location: "edge".into(),
            opened_at: run_at + u64::from(*index),
            draining: false,
        };
        let connections = indices.iter().map(connection).collect();
        let id = ConnectorId::from_bytes([id; 16]);
        ConnectorInfo { id, version: "1".into(), arch: "linux_amd64".into(), features: Vec::new(), run_at, connections }
    }

    #[test]
    fn connectors_are_told_in_one_order() {
        let told = in_order(vec![connector(2, 9, &[1, 0]), connector(1, 7, &[3, 2, 0])]);
        let order: Vec<Vec<u8>> = told.iter().map(|one| one.connections.iter().map(|c| c.index).collect()).collect();
        assert_eq!(order, [vec![0, 2, 3], vec![0, 1]]);
    }

    #[test]
    fn what_the_store_has_not_heard_yet_is_told_all_the_same() {
        let tunnel = |active, inactive| Tunnel {
            id: TunnelId::from_bytes([1; 16]),
            account: AccountId::from_bytes([1; 16]),
            name: "web".into(),
            config_source: ConfigSource::Remote,
            created_at: 0,
            deleted_at: None,
            conns_active_at: active,
            conns_inactive_at: inactive,
            first_connected_at: None,
            last_loss_at: None,
            quick: false,
            expires_at: None,
        };
        let told = |mut tunnel: Tunnel, connectors: &[ConnectorInfo]| {
            reconcile(&mut tunnel, connectors, 50);
            (tunnel.conns_active_at, tunnel.conns_inactive_at)
        };
        let connected = [connector(1, 7, &[2, 0])];
        assert_eq!(told(tunnel(None, Some(3)), &connected), (Some(7_000_000), None));
        assert_eq!(told(tunnel(Some(3), None), &[]), (None, Some(50)));
        assert_eq!(told(tunnel(Some(3), None), &connected), (Some(3), None), "the store knows");
        assert_eq!(told(tunnel(None, Some(3)), &[]), (None, Some(3)));
    }
}
