//! What an operator may set, and every bound of the gateway, each with the metric that tells how full it is (`poterne_` left out).

use std::{net::SocketAddr, time::Duration};

use poterne_edge_upstream::Stalls;
use poterne_keys::Secret;

/// Congestion control of our sender: over QUIC as said, over TCP where the kernel grants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Congestion {
    /// Keeps its rate under random loss: on a path of 50 ms and 1 % loss, cubic carries 3 Mbit/s and this fills the path.
    #[default]
    Bbr,
    /// The cautious one: for links shared with what must not suffer.
    Cubic,
}

/// Of one gateway.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where agents dial in, UDP and TCP on the same port each. Default `[::]:7844` is the caller's.
    pub listen: Vec<SocketAddr>,
    /// Congestion control towards agents.
    pub congestion: Congestion,
    /// Short name of this location, a label in agents' metrics. Default `edge`.
    pub location: String,
    /// Longest wait for a response head, none: for ever. Default 100 s (error 524 beyond).
    pub response_timeout: Option<Duration>,
    /// Connections that have not registered yet, their handshakes included; beyond half of it, those by QUIC must prove their address
    /// first, beyond it all are refused. Default 2,048, worth 100 MiB at the worst. Metrics `gateway_newcomers` and `…_refused`.
    pub newcomers_max: usize,
    /// The same of one IPv4 address or IPv6 /64. Each registration that is refused takes one place away for a while. Default 256: two
    /// and a half tunnels of 25 replicas each that come back at once from behind one address.
    pub newcomers_per_source_max: usize,
    /// Such a place comes back after this long. Default 200 ms: whoever hammers has five attempts a second, a thousandth of a core.
    pub refusal_forgiven_after: Duration,
    /// A handshake, and the registration after it, may take this long each. Default 10 s.
    pub handshake_timeout: Duration,
    /// Connections of one tunnel. Default 100: 25 replicas of 4. Metrics `gateway_connections` and `gateway_tunnels_full`.
    pub connections_per_tunnel_max: usize,
    /// Requests in flight through one tunnel. Default 100,000. Metrics `gateway_requests_in_flight` and `gateway_requests_refused`.
    pub requests_per_tunnel_max: usize,
    /// Requests in flight through one quick tunnel (status 429 beyond). Default 200. Metrics as above.
    pub requests_per_quick_tunnel_max: usize,
    /// New requests that may wait for a tunnel to come back, each. Default 1,000. Metrics `gateway_requests_waiting` and `…_refused`.
    pub waiting_per_tunnel_max: usize,
    /// How long they wait. Default 2 s.
    pub waiting_timeout: Duration,
    /// A connection that has been silent for this long gets no new request. Default 1.5 s; an agent answers our pings every 0.5 s.
    /// Metric `gateway_connections_silent`.
    pub silent_after: Duration,
    /// A connection that has been silent for this long is closed. Default 5 s, the stock agent's own limit.
    pub dead_after: Duration,
    /// Unread bytes of one response held for a slow visitor. Default 1.25 MiB: 100 Mbit/s at 100 ms. Flow control holds it, and the
    /// next; neither transport tells how full it is, so that `gateway_requests_in_flight` bounds what they may hold.
    pub stream_window: u32,
    /// Unread bytes held for all responses of one connection. Default 2 GiB, the most that HTTP/2 knows: what responses share must not be
    /// what bounds them, since some visitors who read nothing would then hold up all others of the tunnel. `stalls` bounds that.
    pub connection_window: u32,
    /// Who watches responses that their visitors do not take. Default: nobody.
    pub stalls: Stalls,
    /// What the keys are derived from by which a started node resets the QUIC connections of the one before it (RFC 9000 §10.3),
    /// so that agents come back at once instead of waiting for their idle timeout. Default: random, which no agent believes
    /// after a restart.
    pub reset_key: Secret,
    /// Which program of a row of upgrades this is: what tells its QUIC connections from those of the one before it. Default 0.
    pub generation: u8,
    /// Whether requests come with a `traceparent` that the edge wrote: agents that trace are told, and take its word. Default false.
    pub traces: bool,
    /// Threads for RPC. Default 1: it serves thousands of connections.
    pub rpc_threads: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            congestion: Congestion::Bbr,
            location: "edge".into(),
            response_timeout: Some(Duration::from_secs(100)),
            newcomers_max: 2_048,
            newcomers_per_source_max: 256,
            refusal_forgiven_after: Duration::from_millis(200),
            handshake_timeout: Duration::from_secs(10),
            connections_per_tunnel_max: 100,
            requests_per_tunnel_max: 100_000,
            requests_per_quick_tunnel_max: 200,
            waiting_per_tunnel_max: 1_000,
            waiting_timeout: Duration::from_secs(2),
            silent_after: Duration::from_millis(1500),
            dead_after: Duration::from_secs(5),
            stream_window: 1_250 * 1024,
            connection_window: 2047 * 1024 * 1024,
            stalls: Stalls::default(),
            reset_key: Secret::random(32),
            generation: 0,
            traces: false,
            rpc_threads: 1,
        }
    }
}

/// Streams that one agent may have open towards us at a time: its control stream and ended UDP sessions. Metric
/// `gateway_agent_streams`.
pub(crate) const AGENT_STREAMS_MAX: u32 = 100;

/// Unread bytes of all streams of a connection whose agent has not registered: nobody knows yet who that is.
pub(crate) const NEWCOMER_BYTES_MAX: u32 = 256 * 1024;

/// How often we ask an idle connection whether it lives.
pub(crate) const PING_INTERVAL: Duration = Duration::from_millis(500);

/// Bytes of received datagrams held for one connection; they are read at once. Metric `gateway_datagrams`.
pub(crate) const DATAGRAM_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a request body kept so that it can be sent again (design invariant 5).
pub(crate) const REPLAY_BYTES_MAX: usize = 64 * 1024;

/// Connections a request is tried on. Metric `gateway_requests_repeated`.
pub(crate) const ATTEMPTS_MAX: usize = 4;
