//! Logs, metrics and spans, declared once and derived everywhere else.
//!
//! * [`logs`]: one line per event on stderr (or a file), text for a person, JSON for a collector;
//! * [`metrics`]: one registry per process, shared by handle. A crate registers its counters when it is built and then only
//!   adds to plain atomics: nothing on a request's path takes a lock or looks a label up;
//! * [`tap`]: a second reader of the log lines, that comes and goes;
//! * [`trace`]: what is told of a request's way through several programs. Who sends it where is the programs' affair.
//!
//! Ids of tenants and requests (`ray`, `zone`, `account`, `tunnel`) are fields of log lines, never labels of metrics: labels
//! whose number the network decides would grow without bound.
#![forbid(unsafe_code)]

pub mod logs;
pub mod metrics;
pub mod tap;
pub mod trace;

pub use metrics::{Counter, Gauge, Metrics};
pub use tap::Tap;
pub use trace::Tracer;
