//! What is counted of the way to origins.

use poterne_telemetry::{Counter, Gauge, Metrics};

#[derive(Debug)]
pub(super) struct Counters {
    pub(super) requests: Counter,
    pub(super) repeated: Counter,
    pub(super) opened: Counter,
    pub(super) reused: Counter,
    pub(super) refused: Counter,
    pub(super) open: Gauge,
    pub(super) idle: Gauge,
    pub(super) max: Gauge,
    pub(super) zone_max: Gauge,
    pub(super) fullest_zone: Gauge,
}

impl Counters {
    pub(super) fn new(metrics: &Metrics) -> Self {
        Self {
            requests: metrics.counter("origin_requests", "Requests sent straight to origins"),
            repeated: metrics
                .counter("origin_requests_repeated", "Such requests sent again, since the idle connection they took was dead"),
            opened: metrics.counter("origin_connections_opened", "Connections to origins that were made"),
            reused: metrics.counter("origin_connections_reused", "Requests to origins that took a connection which was there"),
            refused: metrics.counter(
                "origin_connections_refused",
                "Requests refused because their zone, or the node, has all its connections to origins",
            ),
            open: metrics.gauge("origin_connections", "Connections to origins, idle ones included"),
            idle: metrics.gauge("origin_connections_idle", "Idle connections to origins"),
            max: metrics.gauge("origin_connections_max", "Connections to origins that are allowed"),
            zone_max: metrics.gauge("origin_connections_per_zone_max", "Connections to origins that one zone may have"),
            fullest_zone: metrics.gauge(
                "origin_connections_fullest_zone",
                "Connections to origins of the zone that has most, idle ones included, as of some seconds ago",
            ),
        }
    }
}
