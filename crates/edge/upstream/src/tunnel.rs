//! The way through tunnels.

use std::future::Future;

use poterne_edge_http::{Request, Response};
use poterne_model::{AccountId, ConnectorId, TunnelId, ZoneId};

use crate::{Trail, UpstreamError};

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
    /// Each connection that it is sent over is told to `trail`.
    /// For a WebSocket request ([`poterne_edge_http::Kind::WebSocket`]) a response of status 101 carries the raw stream as its body.
    fn send(
        &self,
        route: TunnelRoute,
        request: Request,
        trail: &mut Trail,
    ) -> impl Future<Output = Result<Response, UpstreamError>> + Send;
}
