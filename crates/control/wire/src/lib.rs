//! The v4 API's shapes, both directions: `control/api` writes them, `poterne-agent` reads them.
//!
//! * [`query`]: what stands behind the `?`: pages, orders, filters;
//! * [`refusal`]: the model's errors in the API's words;
//! * [`record`], [`setting`], [`ruleset`], [`list`], [`access_rule`], [`health_check`], [`notification`], [`private_network`], [`token`], [`tunnel`],
//!   [`tunnel_configuration`], [`login`]: the objects. What a body may say is read by the model itself, which knows the rules; instants are read and written here.
//! * [`LoginCertificate`]: the file that says who asks, and where.
//!
//! What is not here: routes and permissions (`control/api`, `control/app`), and the HTTP client that carries them.
#![forbid(unsafe_code)]

pub mod access_rule;
mod certificate;
mod envelope;
pub mod health_check;
pub mod list;
pub mod login;
pub mod notification;
pub mod private_network;
pub mod query;
mod quick;
pub mod record;
pub mod refusal;
pub mod ruleset;
pub mod setting;
mod timestamp;
pub mod token;
pub mod tunnel;
pub mod tunnel_configuration;

pub use certificate::{CERTIFICATE_BYTES_MAX, CertificateError, LoginCertificate};
pub use envelope::{ApiError, Envelope, Source, codes};
pub use quick::{ANSWER_BYTES_MAX, Edges, QuickAnswerError, QuickTunnel, parse_quick_answer};
pub use refusal::Refusal;
pub use timestamp::{TimeError, WireTime};
