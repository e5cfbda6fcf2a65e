//! What is counted and written of each request.

use http::StatusCode;
use poterne_telemetry::{Counter, Metrics};

use crate::{errors::Failure, ray::RayId, route::Route};

/// Counters of the pipeline: plain atomics, made once.
#[derive(Debug)]
pub(crate) struct Counters {
    by_class: [Counter; 5],
    failed: Counter,
}

impl Counters {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"];
        Self {
            by_class: metrics.counters("edge_requests", "Requests answered, by class of status", "status", classes),
            failed: metrics.counter("edge_errors", "Requests that the edge answered with an error of its own"),
        }
    }

    pub(crate) fn answered(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5);
        self.by_class[class - 1].inc();
    }

    pub(crate) fn failed(&self) {
        self.failed.inc();
    }
}

/// One line per request, at debug.
pub(crate) fn access(ray: &RayId, host: &str, method: &http::Method, route: Option<&Route>, status: StatusCode) {
    let tunnel = route.map(|route| &route.tunnel);
    tracing::debug!(
        %ray,
        host,
        %method,
        status = status.as_u16(),
        zone = tunnel.and_then(|t| t.zone).map(tracing::field::display),
        account = tunnel.map(|t| tracing::field::display(t.account)),
        tunnel = tunnel.map(|t| tracing::field::display(t.tunnel)),
        "request"
    );
}

/// One line per error, naming whose it is. What a visitor did wrong alone is no operator's concern: debug.
pub(crate) fn failure(ray: &RayId, host: &str, visitor: &str, route: Option<&Route>, failure: &Failure) {
    let verdict = failure.verdict();
    let (status, code, culprit) = (verdict.status.as_u16(), verdict.code, verdict.culprit);
    let tunnel = route.map(|route| &route.tunnel);
    let zone = tunnel.and_then(|t| t.zone).map(tracing::field::display);
    let account = tunnel.map(|t| tracing::field::display(t.account));
    let tunnel = tunnel.map(|t| tracing::field::display(t.tunnel));
    if culprit == crate::errors::Culprit::Visitor {
        tracing::debug!(%ray, host, visitor, status, code, %culprit, zone, account, tunnel, error = %failure, "request failed");
    } else {
        tracing::warn!(%ray, host, visitor, status, code, %culprit, zone, account, tunnel, error = %failure, "request failed");
    }
}
