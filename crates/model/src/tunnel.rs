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

/// The one word, and since when it holds. Pure, so that gateway and API cannot disagree.
///
/// A loss is forgiven for [`DEGRADED_AFTER_SECS`] (agents reconnect, edges restart), a tunnel with nothing left is called
/// down [`DOWN_AFTER_SECS`] after the last loss.
pub fn status(facts: StatusFacts, now: u64) -> (TunnelStatus, Option<u64>) {
    let Some(first) = facts.first_connected else { return (TunnelStatus::Inactive, None) };
    let loss = facts.last_loss.unwrap_or(first);
    let since_loss = now.saturating_sub(loss);
    if facts.connections_of_best >= facts.wanted {
        (TunnelStatus::Healthy, Some(first.max(loss)))
    } else if facts.connections > 0 {
        if since_loss < DEGRADED_AFTER_SECS && facts.last_loss.is_some() {
            (TunnelStatus::Healthy, Some(first))
        } else {
            (TunnelStatus::Degraded, Some(loss))
        }
    } else if since_loss < DOWN_AFTER_SECS {
        (TunnelStatus::Degraded, Some(loss))
    } else {
        (TunnelStatus::Down, Some(loss))
    }
}
