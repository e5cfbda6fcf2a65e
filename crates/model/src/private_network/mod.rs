//! Private networks behind tunnels: routes, and the virtual networks that keep equal addresses apart (api-v4 §6.7,
//! edge-behaviour §6.10).
//!
//! * [`route`]: which tunnel leads to a network; the longest match wins;
//! * [`virtual_network`]: one is always the default.

pub mod route;
pub mod virtual_network;

pub use route::{Route, RouteChanges, RouteDraft, RouteError, RouteFilter, longest_match};
pub use virtual_network::{DEFAULT_NAME, VirtualNetwork, VirtualNetworkDraft, VirtualNetworkError, VirtualNetworkFilter};

/// Longest comment of a route or a virtual network, in characters.
pub const COMMENT_CHARS_MAX: usize = 500;
