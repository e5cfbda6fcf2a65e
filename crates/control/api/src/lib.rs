//! The REST endpoints, one IntoResponse for the envelope.
#![forbid(unsafe_code)]
