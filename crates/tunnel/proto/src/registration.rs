//! What is said at registration, what the edge decides of it, and how long an agent waits to try again. All pure.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use poterne_model::{ConnectionId, ConnectorId, TunnelId};

use crate::token::Secret;

/// What an agent says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientInfo {
    /// Random at the process's start, the same for all its connections.
    pub client_id: ConnectorId,
    /// See [`features`].
    pub features: Vec<String>,
    /// Program version.
    pub version: String,
    /// `GOOS_GOARCH`.
    pub arch: String,
}

/// Further words of a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionOptions {
    /// Who.
    pub client: ClientInfo,
    /// The agent's local address; over QUIC the stock agent says the edge's.
    pub origin_local_ip: Option<IpAddr>,
    /// Always false in stock agents; a newcomer supersedes its slot's older connection anyway.
    pub replace_existing: bool,
    /// Always 0.
    pub compression_quality: u8,
    /// Attempts of this index since its last success.
    pub previous_attempts: u8,
}

/// A registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterConnection {
    /// The account's tag.
    pub account_tag: String,
    /// The tunnel's secret.
    pub tunnel_secret: Secret,
    /// The tunnel.
    pub tunnel_id: TunnelId,
    /// Number of this connection, from 0.
    pub index: u8,
    /// The rest.
    pub options: ConnectionOptions,
}

/// The edge's welcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionDetails {
    /// Of this connection, for logs and API.
    pub id: ConnectionId,
    /// Short name of the edge's location.
    pub location: String,
    /// Whether the edge pushes the configuration; otherwise the agent tells its own.
    pub remotely_managed: bool,
    /// [`Edges`] as JSON, only to an agent that announced [`features::POTERNE_EDGES_1`].
    pub edges: Option<Vec<u8>>,
}

/// The edge's refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct RegistrationError {
    /// Words for the agent's log. `Unauthorized` and `EDUPCONN` have a meaning for stock agents.
    pub cause: String,
    /// When to come back; stock agents do as they please.
    pub retry_after: Duration,
    /// Whether coming back can help.
    pub should_retry: bool,
}

/// What stock agents look for: without it, a first connection over HTTP/2 that is refused ends the agent's process.
const UNAUTHORIZED: &str = "Unauthorized";
const DUPLICATE: &str = "EDUPCONN";

impl RegistrationError {
    /// Wrong secret, unknown or deleted tunnel: which of them is not told. Retried by every agent, in case it is put right.
    pub fn unauthorized() -> Self {
        Self {
            cause: format!("{UNAUTHORIZED}: no such tunnel, or its secret is another; copy its token again"),
            retry_after: Duration::from_secs(30),
            should_retry: true,
        }
    }

    /// This connector already has a connection here and should choose another address.
    pub fn duplicate() -> Self {
        Self { cause: DUPLICATE.into(), retry_after: Duration::ZERO, should_retry: true }
    }

    /// Retried by every stock agent on both transports.
    pub fn try_later(reason: &str, retry_after: Duration) -> Self {
        Self { cause: format!("{UNAUTHORIZED} for now: {reason}"), retry_after, should_retry: true }
    }

    /// Not to be retried: the request is malformed.
    pub fn refused(cause: impl Into<String>) -> Self {
        Self { cause: cause.into(), retry_after: Duration::ZERO, should_retry: false }
    }

    /// Whether another address is asked for.
    pub fn is_duplicate(&self) -> bool {
        self.cause == DUPLICATE
    }

    /// Whether the credentials were refused.
    pub fn is_unauthorized(&self) -> bool {
        self.cause.contains(UNAUTHORIZED)
    }
}

/// What an agent remembers of edges (`ConnectionDetails::edges`, `poterneEdges` on the wire).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Edges {
    /// `host:port` of each.
    pub edges: Vec<String>,
    /// SHA-256 of each tunnel CA's SubjectPublicKeyInfo, in base64; several while a CA is being replaced.
    pub pins: Vec<String>,
    /// How requests for the agent's management service are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub management: Option<Management>,
    /// Whether the edge writes `traceparent` itself, so that what it says is no visitor's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub traces: bool,
}

/// Which requests an edge passes on for the agent's management service, and who vouches for them.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Management {
    /// The edge's management hostnames.
    pub hostnames: Vec<String>,
    /// Public keys of its tokens (P-256, uncompressed points), in base64; several while a key is being replaced.
    pub keys: Vec<String>,
}

impl Management {
    /// Of raw keys.
    pub fn new<K: AsRef<[u8]>>(hostnames: Vec<String>, keys: impl IntoIterator<Item = K>) -> Self {
        Self { hostnames, keys: keys.into_iter().map(|key| BASE64_STANDARD.encode(key)).collect() }
    }

    /// The keys that are base64.
    pub fn keys(&self) -> Vec<Vec<u8>> {
        self.keys.iter().filter_map(|key| BASE64_STANDARD.decode(key).ok()).collect()
    }
}

impl Edges {
    /// Longest JSON read, in bytes.
    pub const BYTES_MAX: usize = 16 * 1024;

    /// Of addresses and raw pins.
    pub fn new(edges: Vec<String>, pins: &[[u8; 32]]) -> Self {
        Self { edges, pins: pins.iter().map(|pin| BASE64_STANDARD.encode(pin)).collect(), management: None, traces: false }
    }

    /// With what the agent's management service must know.
    #[must_use]
    pub fn with_management(self, management: Management) -> Self {
        Self { management: Some(management), ..self }
    }

    /// The pins that are well formed.
    pub fn pins(&self) -> Vec<[u8; 32]> {
        self.pins.iter().filter_map(|pin| BASE64_STANDARD.decode(pin).ok()?.try_into().ok()).collect()
    }

    /// As JSON.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings serialise")
    }

    /// From JSON.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > Self::BYTES_MAX { None } else { serde_json::from_slice(bytes).ok() }
    }
}

/// Feature strings, as announced by agents. Those that begin with `poterne_` are ours; a stock edge ignores them.
pub mod features {
    /// The configuration may be pushed.
    pub const ALLOW_REMOTE_CONFIG: &str = "allow_remote_config";
    /// Headers travel serialised over HTTP/2.
    pub const SERIALIZED_HEADERS: &str = "serialized_headers";
    /// Datagrams of version 2.
    pub const DATAGRAM_V2: &str = "support_datagram_v2";
    /// Datagrams of version 3, and only those.
    pub const DATAGRAM_V3_2: &str = "support_datagram_v3_2";
    /// End of stream is told by FIN.
    pub const QUIC_EOF: &str = "support_quic_eof";
    /// The agent's logs can be streamed.
    pub const MANAGEMENT_LOGS: &str = "management_logs";
    /// Only post-quantum key exchange was offered.
    pub const POST_QUANTUM: &str = "postquantum";
    /// Ours: bodies may be framed, see [`crate::framed`].
    pub const POTERNE_TRAILERS_1: &str = "poterne_trailers_1";
    /// Ours: the welcome may hold the edges.
    pub const POTERNE_EDGES_1: &str = "poterne_edges_1";

    /// Which datagrams a connection speaks.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum DatagramVersion {
        /// [`crate::datagram::v2`].
        V2,
        /// [`crate::datagram::v3`].
        V3,
    }

    /// Version 3 alone when it is announced, else version 2.
    pub fn datagram_version(features: &[String]) -> DatagramVersion {
        if has(features, DATAGRAM_V3_2) { DatagramVersion::V3 } else { DatagramVersion::V2 }
    }

    /// Whether a feature is announced.
    pub fn has(features: &[String], feature: &str) -> bool {
        features.iter().any(|f| f == feature)
    }
}

/// Slots (connector, index) of one tunnel; a newcomer supersedes the older connection of its slot.
#[derive(Debug)]
pub struct Slots<C> {
    taken: Vec<(ConnectorId, u8, C)>,
    connections_max: usize,
}

impl<C: Clone + PartialEq> Slots<C> {
    /// With room for this many connections.
    pub fn new(connections_max: usize) -> Self {
        Self { taken: Vec::new(), connections_max }
    }

    /// Takes a slot; `Ok` holds the connection that was superseded.
    ///
    /// # Errors
    /// All slots of the tunnel are taken.
    pub fn admit(&mut self, connector: ConnectorId, index: u8, connection: C) -> Result<Option<C>, RegistrationError> {
        if let Some(slot) = self.taken.iter_mut().find(|(c, i, _)| (*c, *i) == (connector, index)) {
            return Ok(Some(std::mem::replace(&mut slot.2, connection)));
        }
        if self.taken.len() >= self.connections_max {
            let reason = format!("the tunnel has {} connections already, its limit", self.taken.len());
            return Err(RegistrationError::try_later(&reason, Duration::from_secs(30)));
        }
        self.taken.push((connector, index, connection));
        Ok(None)
    }

    /// Gives a slot back, if it still holds that connection.
    pub fn release(&mut self, connector: ConnectorId, index: u8, connection: &C) -> bool {
        let before = self.taken.len();
        self.taken.retain(|(c, i, held)| (*c, *i) != (connector, index) || held != connection);
        self.taken.len() < before
    }

    /// The connections.
    pub fn iter(&self) -> impl Iterator<Item = (ConnectorId, u8, &C)> {
        self.taken.iter().map(|(connector, index, connection)| (*connector, *index, connection))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.taken.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }
}

/// What the edge knows of the tunnel that a registration names.
#[derive(Debug, Clone, Copy)]
pub struct TunnelFacts<'a> {
    /// Its account's tag.
    pub account_tag: &'a str,
    /// The caller compared digests in constant time.
    pub secret_matches: bool,
}

/// `Ok`: go on to the slots. `tunnel` is none when no such tunnel exists. One refusal for all reasons: an outsider learns nothing.
pub fn decide(request: &RegisterConnection, tunnel: Option<TunnelFacts<'_>>) -> Result<(), RegistrationError> {
    match tunnel {
        Some(facts) if facts.secret_matches && facts.account_tag == request.account_tag => Ok(()),
        _ => Err(RegistrationError::unauthorized()),
    }
}

/// How long to wait before the next attempt: uniformly random below base × 2ⁿ, n the attempts so far up to a cap.
#[derive(Debug, Clone)]
pub struct Backoff {
    base: Duration,
    retries: u32,
    attempts: u32,
    not_before: Option<Instant>,
}

impl Backoff {
    /// `base` 1 s for an index, 10 s for the supervisor; `retries` caps the exponent (default 5: at most 32 × base).
    pub fn new(base: Duration, retries: u32) -> Self {
        Self { base, retries: retries.min(16), attempts: 0, not_before: None }
    }

    /// How long to wait from now; `random` any uniformly random number.
    pub fn next(&mut self, now: Instant, random: u64) -> Duration {
        let span = self.base * (1 << self.attempts.min(self.retries));
        self.attempts = self.attempts.saturating_add(1);
        // The high half of the product spreads `random` evenly over the span.
        let nanos = (span.as_nanos() * u128::from(random)) >> 64;
        let wait = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.not_before.map_or(wait, |at| wait.max(at.saturating_duration_since(now)))
    }

    /// The edge asked for this pause; the next wait is at least that, and at most five minutes for its sake.
    pub fn retry_after(&mut self, now: Instant, pause: Duration) {
        self.not_before = now.checked_add(pause.min(Duration::from_secs(300)));
    }

    /// After a success.
    pub fn reset(&mut self) {
        self.attempts = 0;
        self.not_before = None;
    }

    /// Since the last success.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Whether the exponent has reached its cap, so that another transport may be tried.
    pub fn exhausted(&self) -> bool {
        self.attempts >= self.retries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connector(n: u8) -> ConnectorId {
        ConnectorId::from_bytes([n; 16])
    }

    #[test]
    fn a_newcomer_supersedes_its_slot_only() {
        let mut slots = Slots::new(2);
        assert_eq!(slots.admit(connector(1), 0, "a"), Ok(None));
        assert_eq!(slots.admit(connector(1), 1, "b"), Ok(None));
        assert_eq!(slots.admit(connector(1), 0, "c"), Ok(Some("a")));
        assert!(slots.admit(connector(2), 0, "d").unwrap_err().should_retry);
        assert!(!slots.release(connector(1), 0, &"a"), "the superseded one no longer holds the slot");
        assert!(slots.release(connector(1), 0, &"c"));
        assert_eq!(slots.iter().collect::<Vec<_>>(), [(connector(1), 1, &"b")]);
    }

    #[test]
    fn waits_grow_to_their_cap_and_honour_the_edge() {
        let now = Instant::now();
        let mut backoff = Backoff::new(Duration::from_secs(1), 5);
        let spans: Vec<u128> = (0..8).map(|_| backoff.next(now, u64::MAX).as_millis()).collect();
        assert_eq!(spans, [999, 1999, 3999, 7999, 15999, 31999, 31999, 31999]);
        assert!(backoff.exhausted());
        backoff.reset();
        assert_eq!((backoff.attempts(), backoff.next(now, 0)), (0, Duration::ZERO));
        backoff.retry_after(now, Duration::from_secs(7));
        assert_eq!(backoff.next(now + Duration::from_secs(2), 0), Duration::from_secs(5));
    }

    #[test]
    fn every_refusal_of_credentials_reads_the_same() {
        let request = RegisterConnection {
            account_tag: "a".into(),
            tunnel_secret: Secret::new(vec![0; 32]),
            tunnel_id: TunnelId::from_bytes([0; 16]),
            index: 0,
            options: ConnectionOptions {
                client: ClientInfo { client_id: connector(1), features: vec![], version: String::new(), arch: String::new() },
                origin_local_ip: None,
                replace_existing: false,
                compression_quality: 0,
                previous_attempts: 0,
            },
        };
        assert_eq!(decide(&request, Some(TunnelFacts { account_tag: "a", secret_matches: true })), Ok(()));
        let refusals = [
            decide(&request, None),
            decide(&request, Some(TunnelFacts { account_tag: "a", secret_matches: false })),
            decide(&request, Some(TunnelFacts { account_tag: "b", secret_matches: true })),
        ];
        assert!(refusals.iter().all(|refusal| *refusal == refusals[0] && refusal.is_err()));
    }
}
