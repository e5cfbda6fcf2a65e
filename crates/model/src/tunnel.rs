//! Tunnels as their owners see them: connectors, connections, and one word for how they are.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{ConnectionId, ConnectorId};

/// Connections an agent opens by default, and how many make a connector whole.
pub const HA_CONNECTIONS: usize = 4;

/// How long a missing connection is forgiven before the tunnel is called degraded, in seconds.
pub const DEGRADED_AFTER_SECS: u64 = 30;

/// How long a tunnel without any connection is still called degraded before it is called down, in seconds.
pub const DOWN_AFTER_SECS: u64 = 60;

/// Transport of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// QUIC, ALPN `argotunnel`.
    Quic,
    /// HTTP/2 over TLS, roles reversed.
    Http2,
}

/// One registered connection. Times are seconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionInfo {
    /// Given by the edge at registration.
    pub id: ConnectionId,
    /// The agent's number for this connection, 0 to 3 by default.
    pub index: u8,
    /// How it came.
    pub transport: Transport,
    /// The address the agent dialled from, as the edge sees it.
    pub origin_ip: IpAddr,
    /// Short name of the edge location it is connected to.
    pub location: String,
    /// When it was registered.
    pub opened_at: u64,
    /// The agent has said goodbye; only running requests are still served.
    pub draining: bool,
}

/// One agent process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectorInfo {
    /// Random at the process's start.
    pub id: ConnectorId,
    /// Program version, as it says.
    pub version: String,
    /// `GOOS_GOARCH`, as it says.
    pub arch: String,
    /// Feature strings it announced.
    pub features: Vec<String>,
    /// First registration of any of its connections.
    pub run_at: u64,
    /// Its live connections.
    pub connections: Vec<ConnectionInfo>,
}

/// How a tunnel is, by its API word. It speaks of agent and edge only, not of the local service.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TunnelStatus {
    /// Never connected.
    Inactive,
    /// At least one connector has all its connections.
    Healthy,
    /// Serving, with connections missing.
    Degraded,
    /// Was connected, is not any more.
    Down,
}

impl TunnelStatus {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Inactive, Self::Healthy, Self::Degraded, Self::Down];

    /// The API word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

/// What the status is decided from; all times are seconds since the Unix epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StatusFacts {
    /// Live, non-draining connections of the best connector.
    pub connections_of_best: usize,
    /// Live, non-draining connections in all.
    pub connections: usize,
    /// How many make a connector whole: min(4, 2 × nodes) where fewer edges than connections exist; a quick tunnel wants 1.
    pub wanted: usize,
    /// Last time a connection was lost, if ever.
    pub last_loss: Option<u64>,
    /// First registration ever, if any.
    pub first_connected: Option<u64>,
}

/// How many connections make a connector whole: all four, or two for each node where there are fewer than two; one for a quick
/// tunnel, whose agent opens no more (edge-behaviour §6.1, §6.9). `nodes` 0 counts as 1.
pub fn connections_wanted(nodes: usize, quick: bool) -> usize {
    if quick { 1 } else { HA_CONNECTIONS.min(2 * nodes.max(1)) }
}

/// The one word, and since when it holds. Pure, so that gateway and API cannot disagree.
///
/// A loss is forgiven for [`DEGRADED_AFTER_SECS`], even that of all connections (agents reconnect, nodes restart), and so are the
/// connections that a new connector has not made yet; a tunnel with nothing left is called down [`DOWN_AFTER_SECS`] after the last loss
/// (edge-behaviour §6.1).
pub fn status(facts: StatusFacts, now: u64) -> (TunnelStatus, Option<u64>) {
    let Some(first) = facts.first_connected else { return (TunnelStatus::Inactive, None) };
    let loss = facts.last_loss.unwrap_or(first);
    let since_loss = now.saturating_sub(loss);
    if facts.connections_of_best >= facts.wanted {
        (TunnelStatus::Healthy, Some(first.max(loss)))
    } else if since_loss < DEGRADED_AFTER_SECS {
        (TunnelStatus::Healthy, Some(first))
    } else if facts.connections > 0 || since_loss < DOWN_AFTER_SECS {
        (TunnelStatus::Degraded, Some(loss))
    } else {
        (TunnelStatus::Down, Some(loss))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn facts(best: usize, all: usize, last_loss: Option<u64>) -> StatusFacts {
        StatusFacts { connections_of_best: best, connections: all, wanted: 4, last_loss, first_connected: Some(1_000) }
    }

    #[test]
    fn a_tunnel_goes_through_its_words() {
        assert_eq!(status(StatusFacts::default(), 5_000), (TunnelStatus::Inactive, None));
        assert_eq!(status(facts(4, 4, None), 5_000), (TunnelStatus::Healthy, Some(1_000)));
        assert_eq!(status(facts(4, 4, Some(2_000)), 5_000), (TunnelStatus::Healthy, Some(2_000)));
        // One of four is lost: forgiven for a while, then degraded since the loss.
        assert_eq!(status(facts(3, 3, Some(5_000)), 5_029).0, TunnelStatus::Healthy);
        assert_eq!(status(facts(3, 3, Some(5_000)), 5_030), (TunnelStatus::Degraded, Some(5_000)));
        // All are lost, as by a restart of the node: forgiven for as long, then degraded for a while, then down since the loss.
        assert_eq!(status(facts(0, 0, Some(5_000)), 5_029), (TunnelStatus::Healthy, Some(1_000)));
        assert_eq!(status(facts(0, 0, Some(5_000)), 5_030), (TunnelStatus::Degraded, Some(5_000)));
        assert_eq!(status(facts(0, 0, Some(5_000)), 5_059), (TunnelStatus::Degraded, Some(5_000)));
        assert_eq!(status(facts(0, 0, Some(5_000)), 5_060), (TunnelStatus::Down, Some(5_000)));
        // Two connectors of two make no whole one.
        assert_eq!(status(facts(2, 4, Some(5_000)), 6_000).0, TunnelStatus::Degraded);
    }

    #[test]
    fn few_nodes_and_quick_tunnels_want_fewer_connections() {
        assert_eq!([0, 1, 2, 9].map(|nodes| connections_wanted(nodes, false)), [2, 2, 4, 4]);
        assert_eq!(connections_wanted(9, true), 1);
    }

    #[test]
    fn a_clock_that_goes_back_neither_panics_nor_condemns() {
        assert_eq!(status(facts(0, 0, Some(5_000)), 0).0, TunnelStatus::Healthy);
    }

    proptest! {
        #[test]
        fn more_connections_never_make_it_worse(
            best in 0usize..6, more in 0usize..6, loss in prop::option::of(1_000u64..9_000), now in 0u64..10_000,
        ) {
            let rank = |status| match status {
                TunnelStatus::Inactive => 0,
                TunnelStatus::Down => 1,
                TunnelStatus::Degraded => 2,
                TunnelStatus::Healthy => 3,
            };
            let fewer = status(facts(best, best, loss), now).0;
            let greater = status(facts(best + more, best + more, loss), now).0;
            prop_assert!(rank(greater) >= rank(fewer));
            prop_assert!(best == 0 || fewer != TunnelStatus::Down);
        }
    }
}
