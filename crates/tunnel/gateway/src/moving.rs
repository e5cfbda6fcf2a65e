//! Agents that leave for a successor of this program, which accepts at the same ports.
//!
//! An agent has several connections, and dials one that ends again within a second: so half of them go first, while requests take the
//! other half. A tunnel whose agents have one connection each cannot go in halves: its requests wait at the successor.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use poterne_model::{ConnectorId, TunnelId};

use crate::{Gateway, connection::Connection};

/// Who leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaving {
    /// Tunnels half of whose connections leave.
    pub halves: Vec<TunnelId>,
    /// Tunnels that cannot go in halves.
    pub single: Vec<TunnelId>,
}

/// Which of these go first: of each connector half of its connections, those with the fewest requests. Pure.
fn halves<C>(all: Vec<C>, of: impl Fn(&C) -> (TunnelId, ConnectorId, usize)) -> (Vec<C>, Leaving) {
    let mut connectors: HashMap<(TunnelId, ConnectorId), Vec<C>> = HashMap::new();
    let mut tunnels: Vec<TunnelId> = Vec::new();
    for connection in all {
        let (tunnel, connector, _) = of(&connection);
        if !tunnels.contains(&tunnel) {
            tunnels.push(tunnel);
        }
        connectors.entry((tunnel, connector)).or_default().push(connection);
    }
    let (mut first, mut leaving) = (Vec::new(), Leaving { halves: Vec::new(), single: Vec::new() });
    for ((tunnel, _), mut connections) in connectors {
        connections.sort_by_key(|connection| of(connection).2);
        connections.truncate(connections.len() / 2);
        if !connections.is_empty() && !leaving.halves.contains(&tunnel) {
            leaving.halves.push(tunnel);
        }
        first.append(&mut connections);
    }
    leaving.single = tunnels.into_iter().filter(|tunnel| !leaving.halves.contains(tunnel)).collect();
    (first, leaving)
}

impl Gateway {
    /// Half of all agents' connections end, each once it is quiet or after `patience`; tells whose.
    pub fn send_half_away(&self, patience: Duration) -> Leaving {
        let (first, leaving) = halves(self.0.registry.all(), |connection: &Arc<Connection>| {
            (connection.tunnel, connection.connector, connection.in_flight())
        });
        self.send_away(first, patience);
        leaving
    }

    /// All connections of these tunnels end likewise.
    pub fn send_all_away(&self, tunnels: &[TunnelId], patience: Duration) {
        self.send_away(tunnels.iter().flat_map(|tunnel| self.0.registry.connections(*tunnel)).collect(), patience);
    }

    fn send_away(&self, connections: Vec<Arc<Connection>>, patience: Duration) {
        for connection in connections {
            connection.start_draining();
            self.0.tasks.spawn(async move {
                let _ = tokio::time::timeout(patience, connection.quiet()).await;
                connection.close("the edge is being replaced");
            });
        }
    }

    /// Waits until each of these tunnels takes requests here, or until `deadline`; gives those that do not.
    pub async fn arrived(&self, tunnels: &[TunnelId], deadline: Instant) -> Vec<TunnelId> {
        let mut missing = Vec::new();
        for tunnel in tunnels {
            let entry = self.0.registry.expect(*tunnel, self.0.settings.connections_per_tunnel_max);
            if tokio::time::timeout_at(deadline.into(), entry.comes(None, &[])).await.is_err() {
                missing.push(*tunnel);
            }
        }
        missing
    }

    /// Agents of these tunnels are on their way: requests wait for them.
    pub fn expect(&self, tunnels: &[TunnelId]) {
        for tunnel in tunnels {
            self.0.registry.expect(*tunnel, self.0.settings.connections_per_tunnel_max);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_an_agents_connections_go_first_the_idle_ones() {
        let [home, quick] = [1, 2].map(|id| TunnelId::from_bytes([id; 16]));
        let [one, two, three] = [1, 2, 3].map(|id| ConnectorId::from_bytes([id; 16]));
        let all = vec![(home, one, 9), (home, one, 0), (home, one, 5), (home, one, 1), (home, two, 0), (quick, three, 0)];
        let (mut first, leaving) = halves(all, |connection| *connection);
        first.sort_by_key(|connection| connection.2);
        assert_eq!(first, [(home, one, 0), (home, one, 1)]);
        assert_eq!(leaving, Leaving { halves: vec![home], single: vec![quick] });
    }
}
