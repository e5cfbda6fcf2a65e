//! The REST endpoints, one `IntoResponse` for the envelope.
//!
//! Open today: `POST /tunnel` at the root (tunnel-protocol §9.7), for whoever asks, where the operator has set a quick domain. All
//! else is answered as the v4 API answers what is not there, never with a pretended success.
#![forbid(unsafe_code)]

mod answer;
mod quick;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use axum::{Router, extract::DefaultBodyLimit, http::Uri, routing::post};
use poterne_control_app::App;
use poterne_control_wire::Envelope;

use crate::answer::Answer;

/// Longest request body read, in bytes. `POST /tunnel` has none to speak of.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Who asks, as the listener has made sure: an extension of the request. Without it creations count for one common source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientIp(pub IpAddr);

/// All routes, for `127.0.0.1:8600` and for the node's own names.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/tunnel", post(quick::create).fallback(no_route))
        .route("/tunnel/", post(quick::create).fallback(no_route))
        .fallback(no_route)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(app)
}

async fn no_route(uri: Uri) -> Answer<()> {
    Answer::failure(axum::http::StatusCode::NOT_FOUND, Envelope::no_route(uri.path()))
}
