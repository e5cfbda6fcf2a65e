//! The v4 API's shapes, both directions: `control/api` writes them, `poterne-agent` reads them.
//!
//! * [`query`]: what stands behind the `?`: pages, orders, filters.
//!
//! What is not here: routes and permissions (`control/api`, `control/app`), and the HTTP client that carries them.
#![forbid(unsafe_code)]

mod envelope;
pub mod query;
mod quick;
mod timestamp;

pub use envelope::{ApiError, Envelope, codes};
pub use quick::{ANSWER_BYTES_MAX, Edges, QuickAnswerError, QuickTunnel, parse_quick_answer};
pub use timestamp::{TimeError, WireTime};
