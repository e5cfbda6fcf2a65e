//! What is counted and written of each request.

use http::StatusCode;
use poterne_telemetry::{Counter, Metrics};

use crate::{errors::Failure, ray::RayId, route::Of};

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
pub(crate) fn access(ray: &RayId, host: &str, method: &http::Method, of: &Of, status: StatusCode) {
    tracing::debug!(
        %ray,
        host,
        %method,
        status = status.as_u16(),
        zone = of.zone.map(tracing::field::display),
        account = %of.account,
        tunnel = of.tunnel.map(tracing::field::display),
        "request"
    );
}

/// One line per error, naming whose it is. What a visitor did wrong alone is no operator's concern: debug.
pub(crate) fn failure(ray: &RayId, host: &str, visitor: &str, of: Option<&Of>, failure: &Failure) {
    let verdict = failure.verdict();
    let (status, code, culprit) = (verdict.status.as_u16(), verdict.code, verdict.culprit);
    let zone = of.and_then(|of| of.zone).map(tracing::field::display);
    let account = of.map(|of| tracing::field::display(of.account));
    let tunnel = of.and_then(|of| of.tunnel).map(tracing::field::display);
    if culprit == crate::errors::Culprit::Visitor {
        tracing::debug!(%ray, host, visitor, status, code, %culprit, zone, account, tunnel, error = %failure, "request failed");
    } else {
        tracing::warn!(%ray, host, visitor, status, code, %culprit, zone, account, tunnel, error = %failure, "request failed");
    }
}
