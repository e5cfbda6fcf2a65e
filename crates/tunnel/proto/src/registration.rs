//! Registration.
#![allow(unused_variables, clippy::todo, missing_docs)]
use std::{net::IpAddr, time::{Duration, Instant}};
use poterne_model::{ConnectionId, ConnectorId, TunnelId};
use crate::token::Secret;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientInfo { pub client_id: ConnectorId, pub features: Vec<String>, pub version: String, pub arch: String }
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionOptions { pub client: ClientInfo, pub origin_local_ip: Option<IpAddr>, pub replace_existing: bool, pub compression_quality: u8, pub previous_attempts: u8 }
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterConnection { pub account_tag: String, pub tunnel_secret: Secret, pub tunnel_id: TunnelId, pub index: u8, pub options: ConnectionOptions }
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionDetails { pub id: ConnectionId, pub location: String, pub remotely_managed: bool, pub edges: Option<Vec<u8>> }
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct RegistrationError { pub cause: String, pub retry_after: Duration, pub should_retry: bool }
impl RegistrationError {
    pub fn unauthorized() -> Self { todo!() }
    pub fn duplicate() -> Self { todo!() }
    /// Retried by every stock agent on both transports (its cause contains `Unauthorized`).
    pub fn try_later(reason: &str, retry_after: Duration) -> Self { todo!() }
    /// Not retried: the tunnel was deleted, the request is malformed.
    pub fn refused(cause: impl Into<String>) -> Self { todo!() }
    pub fn is_duplicate(&self) -> bool { todo!() }
    pub fn is_unauthorized(&self) -> bool { todo!() }
}

/// What an agent remembers of edges (`ConnectionDetails.edges`, and `poterneEdges` on the wire).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Edges { pub edges: Vec<String>, /** base64 SHA-256 of tunnel CA SPKIs */ pub pins: Vec<String> }
impl Edges {
    pub fn new(edges: Vec<String>, pins: &[[u8; 32]]) -> Self { todo!() }
    pub fn pins(&self) -> Vec<[u8; 32]> { todo!() }
    pub fn encode(&self) -> Vec<u8> { todo!() }
    pub fn parse(bytes: &[u8]) -> Option<Self> { todo!() }
}

pub mod features {
    pub const ALLOW_REMOTE_CONFIG: &str = "allow_remote_config";
    pub const SERIALIZED_HEADERS: &str = "serialized_headers";
    pub const DATAGRAM_V2: &str = "support_datagram_v2";
    pub const DATAGRAM_V3_2: &str = "support_datagram_v3_2";
    pub const QUIC_EOF: &str = "support_quic_eof";
    pub const MANAGEMENT_LOGS: &str = "management_logs";
    pub const POST_QUANTUM: &str = "postquantum";
    pub const POTERNE_TRAILERS_1: &str = "poterne_trailers_1";
    pub const POTERNE_EDGES_1: &str = "poterne_edges_1";
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum DatagramVersion { V2, V3 }
    pub fn datagram_version(features: &[String]) -> DatagramVersion { todo!() }
    pub fn has(features: &[String], feature: &str) -> bool { features.iter().any(|f| f == feature) }
}

/// Slots (connector, index) of one tunnel; a newcomer supersedes the older connection of its slot.
#[derive(Debug)]
pub struct Slots<C> { _c: Vec<C> }
impl<C: Clone + PartialEq> Slots<C> {
    pub fn new(connections_max: usize) -> Self { todo!() }
    /// Ok(superseded). Err: connections_max reached.
    pub fn admit(&mut self, connector: ConnectorId, index: u8, connection: C) -> Result<Option<C>, RegistrationError> { todo!() }
    /// Only if the slot still holds that connection.
    pub fn release(&mut self, connector: ConnectorId, index: u8, connection: &C) -> bool { todo!() }
    pub fn iter(&self) -> impl Iterator<Item = (ConnectorId, u8, &C)> { std::iter::empty() }
    pub fn len(&self) -> usize { todo!() }
    pub fn is_empty(&self) -> bool { self.len() == 0 }
}

/// What the edge knows of the tunnel that a registration names.
#[derive(Debug, Clone, Copy)]
pub struct TunnelFacts<'a> { pub account_tag: &'a str, /** the caller compared digests in constant time */ pub secret_matches: bool }
/// Ok: go on to the slots. `tunnel` is None when no such tunnel exists.
pub fn decide(request: &RegisterConnection, tunnel: Option<TunnelFacts<'_>>) -> Result<(), RegistrationError> { todo!() }

#[derive(Debug, Clone)]
pub struct Backoff { attempt: u32 }
impl Backoff {
    /// `base` 1 s for an index, 10 s for the supervisor; `retries` caps the exponent (default 5).
    pub fn new(base: Duration, retries: u32) -> Self { todo!() }
    /// How long to wait from now; `random` any uniformly random number.
    pub fn next(&mut self, now: Instant, random: u64) -> Duration { todo!() }
    /// The edge asked for this pause; the next wait is at least that.
    pub fn retry_after(&mut self, now: Instant, pause: Duration) { todo!() }
    pub fn reset(&mut self) { todo!() }
    pub fn attempts(&self) -> u32 { todo!() }
    pub fn exhausted(&self) -> bool { todo!() }
}
