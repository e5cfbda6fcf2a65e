//! One request over one connection.

pub(crate) mod http2;
pub(crate) mod pump;
pub(crate) mod quic;
pub(crate) mod whole;

use std::{future::Future, pin::pin, time::Duration};

use poterne_edge_http::{Body, Kind, Response};
use poterne_edge_upstream::{Stalls, UpstreamError};
use poterne_tunnel_proto::metadata::BodyLength;
use tokio::time::timeout;

use crate::connection::InFlight;

/// How an exchange that gave no response failed.
pub(crate) struct Failure {
    pub(crate) error: UpstreamError,
    /// The request provably never reached the agent.
    pub(crate) unsent: bool,
    /// The connection broke: another may do better.
    pub(crate) broken: bool,
    /// The request body, if it can be sent again from its beginning.
    pub(crate) body: Option<Body>,
}

impl Failure {
    /// The connection failed before anything was sent.
    fn before(error: impl ToString, body: Body) -> Self {
        let error = UpstreamError::ConnectionLost(error.to_string());
        Self { error, unsent: true, broken: true, body: Some(body) }
    }
}

/// A request as an exchange takes it: the head is lent, the body given.
pub(crate) struct Outgoing<'a> {
    pub(crate) head: &'a http::request::Parts,
    pub(crate) kind: Kind,
    pub(crate) body: Body,
    pub(crate) guard: InFlight,
    /// By whom its answer is watched, and how much of it may lie here.
    pub(crate) stalls: &'a Stalls,
    pub(crate) window: u32,
}

pub(crate) type Outcome = Result<Response, Failure>;

pub(crate) fn length_of(body: &Body) -> BodyLength {
    use http_body::Body as _;
    match body.size_hint().exact() {
        _ if body.is_end_stream() => BodyLength::None,
        Some(0) => BodyLength::None,
        Some(length) => BodyLength::Known(length),
        None => BodyLength::Unknown,
    }
}

/// How long an agent may take to grant a stream: none waits longer than it takes to try another connection.
pub(crate) const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// Waits for a response head, and no longer once the visitor has broken its request off. The limit holds while nothing moves: a
/// request body that still goes up starts it anew, since a service may answer only after the whole of it.
pub(crate) async fn patiently<T>(
    limit: Option<Duration>,
    pump: Option<&pump::Pump>,
    head: impl Future<Output = T>,
) -> Result<T, UpstreamError> {
    let Some(pump) = pump else { return within(limit, None, head).await };
    tokio::select! {
        biased;
        blame = pump.broken() => Err(blame),
        head = within(limit, Some(pump), head) => head,
    }
}

async fn within<T>(
    limit: Option<Duration>,
    pump: Option<&pump::Pump>,
    head: impl Future<Output = T>,
) -> Result<T, UpstreamError> {
    let Some(limit) = limit else { return Ok(head.await) };
    let mut head = pin!(head);
    let mut sent = 0;
    loop {
        match timeout(limit, &mut head).await {
            Ok(head) => return Ok(head),
            Err(_) => match pump.map_or(sent, pump::Pump::sent) {
                now if now != sent => sent = now,
                _ => return Err(UpstreamError::Timeout(limit.as_secs())),
            },
        }
    }
}

#[cfg(test)]
mod tests;
