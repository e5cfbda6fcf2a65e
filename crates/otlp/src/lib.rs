//! Sends spans to a collector: OTLP over HTTP, in protobuf (OpenTelemetry Protocol 1.x, `/v1/traces`).
//!
//! ```text
//! a request's way ─ Sink::take ─→ bounded queue ─→ Worker: gather, encode, post ─→ collector
//!                       └ full: counted, dropped                └ again, after a pause that grows; then counted, dropped
//! ```
//!
//! * [`settings`]: where to, as whom, how much; from a program's own settings and OpenTelemetry's variables;
//! * [`encode`]: spans to octets; pure;
//! * [`answer`]: what a collector's answer means, and how long to wait; pure;
//! * [`exporter`]: the queue, and the task behind it; `client`: one connection to the collector.
//!
//! The programs alone link this. Crates on a request's way know [`poterne_telemetry::trace`] and nothing of where spans go. Why the encoding
//! is ours: `docs/decisions/0029-traces.md`.
#![forbid(unsafe_code)]

pub mod answer;
mod client;
pub mod encode;
pub mod exporter;
pub mod settings;

pub use exporter::{Exporter, Worker};
pub use settings::{Given, Settings, SettingsError};
