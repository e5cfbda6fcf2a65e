//! Calls of webhooks.
//!
//! * [`body`]: what is sent; pure;
//! * [`sign`]: by what the receiver knows the sender; pure;
//! * [`call`]: one request over a connection that the guard let through.

pub mod body;
pub mod call;
pub mod sign;

pub use call::{CallError, Caller};
