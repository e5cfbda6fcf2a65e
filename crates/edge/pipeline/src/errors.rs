//! The one place where what went wrong becomes what the visitor is answered (edge-behaviour §2.4 to §2.6, §2.10).

use std::fmt;

use http::StatusCode;
use poterne_edge_http::Refusal;
use poterne_edge_upstream::{OriginError, UpstreamError};
use poterne_model::{RuleId, TunnelId};
use poterne_rules::{url::PathError, zone::TroubleKind};

/// Why a request is answered by the edge itself. Its text is the log's; what the visitor reads is in `pages`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Broken framing or a head against the rules. Culprit: the visitor.
    #[error("refused: {0}")]
    Refused(#[from] Refusal),
    /// `Host` is no host name. Culprit: the visitor.
    #[error("the Host is no host name")]
    BadHost,
    /// `Host` is an address. Culprit: the visitor.
    #[error("the Host is an address, not a name")]
    DirectAddress,
    /// The TLS name is of another zone than the `Host`. Culprit: the visitor.
    #[error("the host is not served on this TLS connection")]
    Misdirected,
    /// No zone of this instance holds the host. Culprit: whoever pointed the name here.
    #[error("no zone here has this host")]
    NoZone,
    /// The zone waits for its activation. Culprit: the zone's owner.
    #[error("zone is not active yet: poterne zone activate")]
    ZonePending,
    /// The zone has no proxied record for the host. Culprit: the zone's owner.
    #[error("the zone has no proxied record for this host: poterne tunnel route")]
    NoHost,
    /// The record's chain leads nowhere. Culprit: the zone's owner.
    #[error("the CNAME chain of this host loops or is too long")]
    BrokenChain,
    /// The record leads to a tunnel that is not there, or not the zone's account's. Culprit: the zone's owner.
    #[error("tunnel {0} does not exist in the zone's account")]
    UnknownTunnel(TunnelId),
    /// The request came through this instance before. Culprit: whoever made the loop.
    #[error("the request already passed through this instance")]
    Loop,
    /// `/cdn-cgi/` has nothing there. Culprit: the visitor.
    #[error("no such reserved path")]
    NoReserved,
    /// The path has no normal form, so that two readers may take it for two. Culprit: the visitor.
    #[error("refused: {0}")]
    BadPath(PathError),
    /// A rule of the zone's blocks it. Culprit: the visitor.
    #[error("rule {0} blocks the request")]
    Blocked(RuleId),
    /// A rule of the zone's could not be followed. Culprit: the zone's owner.
    #[error("rule {0} cannot be followed: {1}")]
    Rule(RuleId, TroubleKind),
    /// The zone has WebSockets switched off. Culprit: the visitor, who is told.
    #[error("the zone's setting \"websockets\" is off")]
    WebSocketsOff,
    /// The upstream says so.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The response cannot be framed. Culprit: the local service, or the origin.
    #[error("the response is not valid: {0}")]
    InvalidResponse(&'static str),
}

/// On which leg the visitor's picture shows the fault, and whom the log blames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Culprit {
    /// Whoever asked.
    Visitor,
    /// The hostname's owner: its zone, records or loops.
    Owner,
    /// The tunnel's agent.
    Agent,
    /// The service behind the agent.
    LocalService,
    /// The server that is reached without a tunnel.
    Origin,
}

impl fmt::Display for Culprit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Visitor => "visitor",
            Self::Owner => "owner",
            Self::Agent => "agent",
            Self::LocalService => "local service",
            Self::Origin => "origin",
        })
    }
}

/// What is answered, besides the words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) status: StatusCode,
    /// The 1xxx code, or the status again: `cf-error-type`.
    pub(crate) code: u16,
    pub(crate) culprit: Culprit,
}

/// 508 and 520 to 530 are outside what the `http` crate names.
fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

impl Failure {
    pub(crate) fn verdict(&self) -> Verdict {
        use Culprit::{Agent, LocalService, Origin, Owner, Visitor};
        let (status_code, code, culprit) = match self {
            Self::Refused(refusal) => (refusal.status().as_u16(), refusal.status().as_u16(), Visitor),
            Self::BadHost | Self::BadPath(_) => (400, 400, Visitor),
            Self::Blocked(_) => (403, 1020, Visitor),
            Self::Rule(_, trouble) => (500, trouble.code(), Owner),
            Self::DirectAddress => (403, 1003, Visitor),
            Self::Misdirected => (421, 421, Visitor),
            Self::NoZone | Self::NoHost => (409, 1001, Owner),
            Self::ZonePending => (409, 1018, Owner),
            Self::BrokenChain => (403, 1000, Owner),
            Self::Loop => (508, 1000, Owner),
            Self::NoReserved => (404, 404, Visitor),
            Self::WebSocketsOff => (403, 403, Visitor),
            Self::UnknownTunnel(_) => (530, 1016, Owner),
            Self::InvalidResponse(_) => (520, 520, LocalService),
            Self::Upstream(error) => match error {
                UpstreamError::UnknownTunnel(_) => (530, 1016, Owner),
                UpstreamError::NoConnector(_) => (530, 1033, Agent),
                UpstreamError::LocalService(_) => (502, 502, LocalService),
                UpstreamError::FlowLimited => (429, 429, Agent),
                UpstreamError::TooManyRequests(_) => (429, 429, Owner),
                UpstreamError::ConnectionLost(_) => (502, 502, Agent),
                UpstreamError::Protocol(_) => (520, 520, Agent),
                UpstreamError::Timeout(_) => (524, 524, LocalService),
                // Whoever left does not read it; whoever broke the framing should.
                UpstreamError::Visitor(_) => (400, 400, Visitor),
                UpstreamError::Origin(error) => match error {
                    OriginError::Own(_) | OriginError::Circle(_) => (403, 1000, Owner),
                    OriginError::Prohibited(_) => (403, 1002, Owner),
                    OriginError::Unresolved { .. } => (530, 1016, Owner),
                    OriginError::TooManyConnections(_) => (503, 1200, Origin),
                    OriginError::Invalid(..) => (520, 520, Origin),
                    OriginError::Refused(_) => (521, 521, Origin),
                    OriginError::ConnectTimeout(..) | OriginError::Unacknowledged(_) => (522, 522, Origin),
                    OriginError::Unreachable(..) => (523, 523, Origin),
                    OriginError::Slow(..) => (524, 524, Origin),
                    OriginError::Handshake(..) => (525, 525, Origin),
                    OriginError::Certificate(..) => (526, 526, Origin),
                },
            },
        };
        Verdict { status: status(status_code), code, culprit }
    }

    /// What the agent said of the local service: the one text from outside that a page shows, as 502 pages do
    /// (edge-behaviour §2.6).
    pub(crate) fn detail(&self) -> Option<&str> {
        match self {
            Self::Upstream(UpstreamError::LocalService(text)) => Some(text),
            _ => None,
        }
    }

    /// The gRPC code (edge-behaviour §2.10; gRPC's own table for the other HTTP statuses).
    pub(crate) fn grpc_status(&self) -> u8 {
        match self.verdict().status.as_u16() {
            400 | 431 => 13,
            403 => 7,
            404 => 12,
            429 => 8,
            524 => 4,
            _ => 14,
        }
    }
}
