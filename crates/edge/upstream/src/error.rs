//! Why no response came. Each has a culprit.

use std::{io, net::IpAddr};

use poterne_guard::Refusal;
use poterne_model::{Name, TunnelId};
use poterne_origin::Fault;

/// Why no response came.
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
    /// The origin, or the way to it.
    #[error(transparent)]
    Origin(#[from] OriginError),
}

/// Why an origin gave no response (edge-behaviour §2.4 and §2.5). The texts are the log's, and name the origin; no page does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// The record leads back to this node. Culprit: the zone's owner. Error 1000.
    #[error("the record leads to {0}, an address of this node itself")]
    Own(IpAddr),
    /// The record leads to a name that leads on and on. Culprit: the zone's owner. Error 1000.
    #[error("{0} leads on and on through CNAMEs")]
    Circle(Name),
    /// The record leads where the node does not go. Culprit: the zone's owner. Error 1002.
    #[error("{0}")]
    Prohibited(Refusal),
    /// The name that the record leads to has no address. Culprit: the zone's owner. Error 1016.
    #[error("{name} has no address: {why}")]
    Unresolved {
        /// The name.
        name: Name,
        /// What the resolver said.
        why: String,
    },
    /// All connections that the zone, or the node, may have to origins are in use. Culprit: the origin, which is too slow. Error 1200.
    #[error("all {0} connections to origins are in use")]
    TooManyConnections(usize),
    /// Nobody listens. Culprit: the origin. Status 521.
    #[error("{0}: the connection was refused")]
    Refused(String),
    /// It does not answer, or does not take what was sent. Culprit: the origin. Status 522.
    #[error("{0}: no connection within {1} seconds")]
    ConnectTimeout(String, u64),
    /// The connection died while something was on its way. Culprit: the origin. Status 522.
    #[error("{0}: what was sent was never acknowledged")]
    Unacknowledged(String),
    /// No way leads there. Culprit: the origin. Status 523.
    #[error("{0}: {1}")]
    Unreachable(String, String),
    /// TLS with it fails. Culprit: the origin. Status 525.
    #[error("{0}: the TLS handshake failed: {1}")]
    Handshake(String, String),
    /// Its certificate is not accepted. Culprit: the origin. Status 526.
    #[error("{0}: its certificate is not accepted: {1}")]
    Certificate(String, String),
    /// Its answer is none, or has more than one meaning. Culprit: the origin. Status 520.
    #[error("{0}: {1}")]
    Invalid(String, String),
    /// It took too long. Culprit: the origin. Status 524.
    #[error("{0}: {1}")]
    Slow(String, String),
}

impl OriginError {
    /// Of what happened on a connection to `origin` before there was an answer.
    pub(crate) fn of_fault(origin: impl ToString, fault: &Fault) -> UpstreamError {
        let (origin, text) = (origin.to_string(), fault.to_string());
        match fault {
            Fault::Visitor(why) => return UpstreamError::Visitor(why.clone()),
            Fault::Length => return UpstreamError::Visitor(text),
            Fault::Silent(_) | Fault::Stalled(_) => Self::Slow(origin, text),
            Fault::Io(error) if error.kind() == io::ErrorKind::TimedOut => Self::Unacknowledged(origin),
            Fault::Io(error) => Self::Invalid(origin, format!("the connection broke before its answer: {error}")),
            Fault::ClosedBefore | Fault::ClosedWithin | Fault::Head(_) | Fault::Body(_) | Fault::Interim => {
                Self::Invalid(origin, text)
            }
        }
        .into()
    }

    /// Of an address that is not reached.
    pub(crate) fn of_refusal(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Own(address) => Self::Own(address),
            refusal => Self::Prohibited(refusal),
        }
    }
}
