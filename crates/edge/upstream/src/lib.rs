//! Where a request goes on: through a tunnel, or straight to an origin.
//!
//! * [`tunnel`]: the way through tunnels, a trait that `tunnel/gateway` implements;
//! * [`origins`]: the way straight to origins;
//! * [`health`]: health checks of origins;
//! * [`stalls`]: answers that their visitors do not take, of either way;
//! * [`trail`]: which connections a request took, where somebody traces it;
//! * [`error`]: why no response came. What an upstream knows is said here; what the visitor reads of it is decided in one place, the
//!   pipeline.
#![forbid(unsafe_code)]

pub mod error;
pub mod health;
pub mod origins;
pub mod stalls;
pub mod trail;
pub mod tunnel;

pub use error::{OriginError, UpstreamError};
pub use origins::{
    Certificate, Identities, Identity, Leg, OriginRoute, Origins, Place, Revoked, Settings, SetupError, Shown, leg::leg,
    web_roots,
};
pub use stalls::Stalls;
pub use trail::{Over, Trail, Try};
pub use tunnel::{TunnelRoute, Tunnels};
