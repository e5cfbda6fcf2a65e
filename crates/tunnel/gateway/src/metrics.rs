//! What the gateway counts.

use poterne_telemetry::{
    Metrics,
    metrics::{Counter, Gauge},
};

pub(crate) struct Counters {
    pub(crate) connections: Gauge,
    pub(crate) silent: Gauge,
    pub(crate) registrations: Counter,
    pub(crate) refusals: Counter,
    pub(crate) tunnels_full: Counter,
    pub(crate) handshakes_failed: Counter,
    pub(crate) requests: Counter,
    pub(crate) in_flight: Gauge,
    pub(crate) waiting: Gauge,
    pub(crate) requests_refused: Counter,
    pub(crate) waiting_refused: Counter,
    pub(crate) repeated: Counter,
    pub(crate) agent_streams: Gauge,
    pub(crate) agent_streams_refused: Counter,
    pub(crate) datagrams: Counter,
    pub(crate) datagrams_malformed: Counter,
    pub(crate) pushes_failed: Counter,
}

impl Counters {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            connections: metrics.gauge("gateway_connections", "Registered connections of agents"),
            silent: metrics.gauge("gateway_connections_silent", "Registered connections that are silent and get no new request"),
            registrations: metrics.counter("gateway_registrations", "Registrations accepted"),
            refusals: metrics.counter("gateway_registrations_refused", "Registrations refused"),
            tunnels_full: metrics
                .counter("gateway_tunnels_full", "Registrations refused because their tunnel has all its connections"),
            handshakes_failed: metrics.counter("gateway_handshakes_failed", "Agents' handshakes that failed"),
            requests: metrics.counter("gateway_requests", "Requests sent through tunnels"),
            in_flight: metrics.gauge("gateway_requests_in_flight", "Requests in flight through tunnels"),
            waiting: metrics.gauge("gateway_requests_waiting", "Requests that wait for a tunnel to come back"),
            requests_refused: metrics.counter(
                "gateway_requests_refused",
                "Requests refused because their tunnel has all the requests in flight that it may",
            ),
            waiting_refused: metrics
                .counter("gateway_requests_waiting_refused", "Requests refused because their tunnel has all that may wait"),
            repeated: metrics.counter("gateway_requests_repeated", "Requests sent again on another connection"),
            agent_streams: metrics
                .gauge("gateway_agent_streams", "Streams opened by agents beside their control streams, at most 100 each"),
            agent_streams_refused: metrics.counter("gateway_agent_streams_refused", "Such streams that are none"),
            datagrams: metrics.counter("gateway_datagrams", "Datagrams received and dropped: no private routes"),
            datagrams_malformed: metrics.counter("gateway_datagrams_malformed", "Datagrams that are none"),
            pushes_failed: metrics.counter("gateway_configuration_pushes_failed", "Configurations that an agent did not take"),
        }
    }
}
