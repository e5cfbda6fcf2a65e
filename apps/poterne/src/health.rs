//! Metrics and health, on an address of their own.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use axum::{
    Router,
    http::{StatusCode, header},
    routing::get,
};
use poterne_telemetry::{Metrics, metrics::CONTENT_TYPE};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Says whether the node takes requests, and why not if it does not.
pub type Readiness = Arc<dyn Fn() -> Result<(), &'static str> + Send + Sync>;

/// Those of control, which may be made anew.
pub type ControlMetrics = Arc<ArcSwapOption<Metrics>>;

fn told(metrics: &Metrics, of_control: &ControlMetrics) -> String {
    of_control.load().as_ref().map_or_else(|| metrics.encode(), |of_control| metrics.encode_with(of_control))
}

/// Serves `/metrics`, `/ready` and `/live` until told to stop.
pub async fn serve(
    listener: TcpListener,
    metrics: Metrics,
    of_control: ControlMetrics,
    readiness: Readiness,
    stop: CancellationToken,
) {
    let router = Router::new()
        .route("/metrics", get(move || async move { ([(header::CONTENT_TYPE, CONTENT_TYPE)], told(&metrics, &of_control)) }))
        .route("/live", get(|| async { "live\n" }))
        .route(
            "/ready",
            get(move || async move {
                match readiness() {
                    Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
                    Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
                }
            }),
        );
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await {
        tracing::error!(%error, "metrics and health are no longer served");
    }
}
