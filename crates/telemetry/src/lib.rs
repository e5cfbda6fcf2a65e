//! Logs and metrics, declared once.
#![forbid(unsafe_code)]
