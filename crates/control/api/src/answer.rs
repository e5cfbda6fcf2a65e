//! Answers in the envelope, and the one place that turns a refusal into one.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use poterne_control_app::AppError;
use poterne_control_wire::{ApiError, Envelope, codes};
use serde::Serialize;

/// A status, an envelope, and perhaps when to come back.
pub(crate) struct Answer<T> {
    status: StatusCode,
    envelope: Envelope<T>,
    retry_secs: Option<u64>,
}

impl<T> Answer<T> {
    pub(crate) fn success(result: T) -> Self {
        Self { status: StatusCode::OK, envelope: Envelope::success(result), retry_secs: None }
    }
}

impl Answer<()> {
    pub(crate) fn failure(status: StatusCode, envelope: Envelope<()>) -> Self {
        Self { status, envelope, retry_secs: None }
    }
}

impl From<AppError> for Answer<()> {
    fn from(error: AppError) -> Self {
        let (status, code) = match &error {
            AppError::QuickTunnelsOff => (StatusCode::NOT_FOUND, codes::QUICK_TUNNELS_OFF),
            AppError::QuickTunnelsLimited { .. } => (StatusCode::TOO_MANY_REQUESTS, codes::RATE_LIMITED),
            // What is left are our own failures: the log has the reason, strangers do not.
            _ => {
                tracing::error!(%error, "a request to the API failed");
                let message = "the node could not do it; its log says why".to_owned();
                let envelope = Envelope::failure(vec![ApiError { code: codes::INTERNAL, message }]);
                return Self::failure(StatusCode::INTERNAL_SERVER_ERROR, envelope);
            }
        };
        let retry_secs = match &error {
            AppError::QuickTunnelsLimited { retry_secs, .. } => Some(*retry_secs),
            _ => None,
        };
        let envelope = Envelope::failure(vec![ApiError { code, message: error.to_string() }]);
        Self { status, envelope, retry_secs }
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.envelope).expect("the wire's types are always JSON");
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        // Exactly this: stock agents read an error's body only without a charset (tunnel-protocol §9.4).
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(retry_secs) = self.retry_secs {
            response.headers_mut().insert(header::RETRY_AFTER, retry_secs.into());
        }
        response
    }
}
