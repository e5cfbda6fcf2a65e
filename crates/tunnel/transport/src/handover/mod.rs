//! Two programs on one UDP socket: the one that is being replaced, which still has connections, and the one that replaces it.
//!
//! ```text
//!                     ┌─ ids: made by this program, or asking for a new connection ─→ its quinn
//! socket ─→ successor ┤
//!                     └─ ids: another generation's ─→ parcel ─→ predecessor's quinn, which answers on the socket itself
//! ```
//!
//! The kernel gives each datagram to whoever reads first, so only one of them may read: the successor, as soon as there is one. What belongs
//! to connections of its predecessor it hands back, until that has ended ([`socket`]). Connection ids say whose they are ([`ids`]): a
//! program answers ids that it does not know with resets that the other end believes, so that none may reach the wrong one.
//!
//! Without a predecessor this costs one look at a pointer for each batch that is received.

pub mod ids;
pub mod parcel;
pub mod socket;

pub use ids::Ids;
pub use socket::Shared;
