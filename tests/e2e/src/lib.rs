//! The whole system on loopback: the real programs as child processes, real servers behind them, real clients in front.
//!
//! `cargo xtask test` builds the programs, provides the peers and says where both are (`POTERNE_BIN`, `POTERNE_AGENT_BIN`,
//! `POTERNE_E2E_PYTHON`, `POTERNE_E2E_NODE_MODULES`, `CLOUDFLARED_BIN`). The first segment of a test's name says which peers it needs,
//! so that leaving one out is a filter.
//!
//! * [`node`]: a node and its verbs; [`agent`]: ours or the stock one, over QUIC or HTTP/2;
//! * [`origin`]: services behind the tunnel: nginx, and one that says on the wire whatever a test wants;
//! * [`peer`]: Python programs that are service and visitor at once;
//! * [`client`]: programs that use the API; [`api`]: the test itself does;
//! * [`postgres`]: a database server, and a way to it that can be cut;
//! * [`curl`]: the visitor of most tests;
//! * [`dig`]: who asks the name server;
//! * [`network`]: a network of a test's own; [`tree`]: a root, a top-level domain and whatever hangs on it, within one;
//! * [`name_server`]: other name servers, which share zones with the node;
//! * [`pebble`]: a certificate authority; [`certificate`]: one that nobody knows;
//! * [`failures`]: what goes wrong beneath a node;
//! * [`training`]: visits of every kind, for builds that are trained;
//! * [`reserved`]: ports for servers that must be told one;
//! * [`process`]: child processes that end with their owner.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "this crate is tests: a failed helper is a failed test")]

pub mod agent;
pub mod api;
pub mod certificate;
pub mod client;
pub mod curl;
pub mod dig;
pub mod failures;
pub mod name_server;
pub mod network;
pub mod node;
pub mod origin;
pub mod pebble;
pub mod peer;
pub mod postgres;
pub mod process;
pub mod reserved;
pub mod training;
pub mod tree;

pub use agent::{Agent, Kind};
pub use api::Api;
pub use client::Client;
pub use curl::Curl;
pub use dig::Dig;
pub use node::{Node, Setup};
pub use origin::{Nginx, Raw};
pub use process::{Orphan, Running, eventually};
pub use reserved::Reserved;
pub use tree::Tree;
