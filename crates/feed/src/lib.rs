//! The seam between control and nodes: numbered chunks and commands down, events and counters up.
//!
//! In-process for now; later the same four streams run over an existing engine. Chunks travel as opaque bytes: only
//! `snapshot` reads them, only `control/publish` writes them.
#![forbid(unsafe_code)]

mod in_process;

pub use in_process::{CHANGES_MAX, COMMANDS_MAX, ControlEnd, EVENTS_MAX, NodeEnd, in_process};

use bytes::Bytes;
use poterne_model::{ConnectionId, ConnectionInfo, ConnectorId, HealthCheckId, TunnelId, ZoneId};

/// What a chunk is about; a later chunk of the same key replaces the earlier one. Opaque here.
pub type Key = Box<[u8]>;

/// All chunks that change together. A receiver applies a change whole or refuses it whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The generation reached by applying it; generations only go forward, by one.
    pub generation: u64,
    /// A new body for each key, or none to delete it.
    pub chunks: Vec<(Key, Option<Bytes>)>,
}

/// An order to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Close the tunnel's connections, or only one connector's (API: delete connections).
    DropConnections {
        /// Whose.
        tunnel: TunnelId,
        /// Only this connector's, if given.
        connector: Option<ConnectorId>,
    },
}

/// What a node tells control.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// An agent registered a connection.
    ConnectionOpened {
        /// The tunnel.
        tunnel: TunnelId,
        /// The agent process.
        connector: ConnectorId,
        /// Its version text.
        version: String,
        /// Its `GOOS_GOARCH`.
        arch: String,
        /// Its feature strings.
        features: Vec<String>,
        /// The connection.
        connection: ConnectionInfo,
    },
    /// A registered connection is gone.
    ConnectionClosed {
        /// The tunnel.
        tunnel: TunnelId,
        /// The agent process.
        connector: ConnectorId,
        /// The connection.
        connection: ConnectionId,
        /// When, in seconds since the Unix epoch.
        at: u64,
        /// Why, for the log and the operator.
        reason: String,
    },
    /// A locally managed agent told its configuration (JSON as it sent it, at most 64 KiB).
    LocalConfiguration {
        /// The tunnel.
        tunnel: TunnelId,
        /// The agent process.
        connector: ConnectorId,
        /// The JSON.
        config: Bytes,
    },
    /// A primary says that a zone copied from it changed (RFC 1996).
    ZoneNotified {
        /// The zone.
        zone: ZoneId,
    },
    /// Another name server was given a zone.
    ZoneTransferred {
        /// The zone.
        zone: ZoneId,
        /// In which version.
        serial: u32,
    },
    /// What a health check asks of an origin has another outcome than before, or the first.
    OriginChecked {
        /// The check's zone.
        zone: ZoneId,
        /// The check.
        check: HealthCheckId,
        /// Of which version: when it was changed last, in microseconds since the epoch.
        revision: i64,
        /// Why the origin is unhealthy; none: it is healthy.
        why: Option<String>,
    },
    /// This node obeys this generation now.
    Applied {
        /// The generation.
        generation: u64,
    },
    /// A change was refused whole; the previous generation keeps serving.
    Refused {
        /// The generation refused.
        generation: u64,
        /// Why.
        reason: String,
    },
}
