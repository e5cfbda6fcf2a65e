//! The stages of a visitor's request put in order.
//!
//! ```text
//! visitor → edge/http → Pipeline::handle ─┬─ name ──── which host is meant, canonically
//!                                         ├─ challenge  what an authority wants to be shown
//!                                         ├─ management  agents' own service, by whoever's token opens it
//!                                         ├─ reserved ─ /cdn-cgi/ is the edge's own
//!                                         ├─ route ──── snapshot: host → tunnel or origin, or why not
//!                                         │             (secure: or to HTTPS first)
//!                                         ├─ rules ──── what the zone's rules make of it, and later of its answer
//!                                         ├─ request ── fields the origin should and should not see (visitor: who asks;
//!                                         │             visitor_certificate: by which certificate)
//!                                         ├─ upstream ─ the tunnel, or straight to the origin
//!                                         ├─ response ─ fields the visitor should and should not see
//!                                         ├─ compress ─ the same in fewer octets
//!                                         └─ secure ─── what browsers are to keep in mind
//!                  anything that fails → errors (one place: code, status, page, gRPC)
//! ```
//!
//! Around them all: who reads of requests that are over ([`access`]) is told of each, and so is who traces them (`trace`); either costs nothing
//! where nobody does.
//!
//! A stage is a function over heads in a module of its own; it knows neither its neighbours nor its place. `Pipeline::handle`
//! alone orders them. Bodies are never looked into, but for being compressed.
#![forbid(unsafe_code)]

pub mod access;
mod challenge;
mod compress;
mod errors;
mod hop;
mod log;
mod management;
mod name;
mod pages;
mod pipeline;
mod ray;
mod request;
mod reserved;
mod response;
mod route;
mod rules;
mod secure;
mod trace;
mod visitor;
mod visitor_certificate;

pub use errors::Failure;
pub use pipeline::{NodeFuture, NodeService, Pipeline, Settings};
pub use ray::RayId;
pub use secure::Ports;
