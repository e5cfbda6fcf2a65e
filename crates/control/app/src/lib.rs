//! The verbs: everything that changes anything, and who may.
//!
//! The API, the dashboard, `admin.sock` and the demo are doors to the methods of [`App`]; none of them touches the store. Each
//! verb names the permission it needs ([`access`]), decides within one transaction, and returns once its change is durable and,
//! where a node runs in this process, obeyed.
#![forbid(unsafe_code)]

pub mod access;
mod chain;
mod error;
mod events;
mod ingress;
mod open;
mod quick;
mod route;
mod secrets;
mod tunnels;
mod zones;

pub use access::{Caller, Permission};
pub use error::AppError;
pub use open::{App, Clock, Settings, system_clock};
pub use poterne_control_store::{ConfigSource, Tunnel, Zone};
pub use quick::{QUICK_CREATIONS_MAX, QUICK_LIFE, QUICK_TUNNELS_MAX, QuickTunnel};
pub use route::{RecordOutcome, Routed};
pub use secrets::{Rotation, Token};
pub use tunnels::{Deleted, NewTunnel, TunnelInfo};
