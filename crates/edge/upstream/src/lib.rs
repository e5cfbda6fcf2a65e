//! Where a request goes on. One trait, two kinds: through a tunnel (`tunnel/gateway` implements it), and straight to an origin.
//!
//! The errors here are what an upstream knows; what the visitor reads of them is decided in one place, the pipeline.
#![forbid(unsafe_code)]

use std::future::Future;

use poterne_edge_http::{Request, Response};
use poterne_model::{AccountId, ConnectorId, TunnelId, ZoneId};

/// Through which tunnel, and on whose behalf: ids that every log line and key carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TunnelRoute {
    /// The tunnel.
    pub tunnel: TunnelId,
    /// The zone of the visitor's hostname; none where the tunnel's agent itself is meant.
    pub zone: Option<ZoneId>,
    /// Its account, which is also the tunnel's.
    pub account: AccountId,
    /// The connector that is meant; none: any.
    pub connector: Option<ConnectorId>,
}

/// A way through tunnels.
pub trait Tunnels: Send + Sync + 'static {
    /// Sends a request whose head is final (the pipeline has written every field the origin should see, `Host` included) and
    /// resolves with the response head as soon as it is there; bodies flow meanwhile.
    ///
    /// Repeats on another connection are made inside, by the rule of design invariant 5.
    /// For a WebSocket request ([`poterne_edge_http::Kind::WebSocket`]) a response of status 101 carries the raw stream as its body.
    fn send(&self, route: TunnelRoute, request: Request) -> impl Future<Output = Result<Response, UpstreamError>> + Send;
}

/// Why no response came. Each has a culprit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// No connector of this tunnel is connected. Culprit: the operator's agent. Error 1033.
    #[error("tunnel {0} has no connected connector")]
    NoConnector(TunnelId),
    /// The tunnel does not exist, or is another account's. Culprit: the zone's owner. Error 1016.
    #[error("tunnel {0} does not exist")]
    UnknownTunnel(TunnelId),
    /// The agent could not reach the local service. Culprit: the local service. Status 502.
    #[error("the agent could not reach the local service: {0}")]
    LocalService(String),
    /// The agent refused: too many flows. Status 429.
    #[error("the agent's flow limit is reached")]
    FlowLimited,
    /// A quick tunnel, or the gateway, has too many requests in flight. Status 429.
    #[error("the tunnel has {0} requests in flight, its limit")]
    TooManyRequests(usize),
    /// The connection to the agent broke before the response head, and the request may not be repeated. Status 502.
    #[error("the connection to the agent was lost before the response: {0}")]
    ConnectionLost(String),
    /// The agent's answer is not what its protocol allows. Status 520.
    #[error("the agent answered what the protocol does not allow: {0}")]
    Protocol(String),
    /// No response head within the read timeout. Culprit: the local service. Status 524.
    #[error("no response within {0} seconds")]
    Timeout(u64),
    /// The visitor broke off its request body, by leaving or by bad framing. Culprit: the visitor. Status 400.
    #[error("the visitor broke off the request body: {0}")]
    Visitor(String),
}
