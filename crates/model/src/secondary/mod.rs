//! Zones that are shared with other name servers (api-v4, `secondary_dns`; edge-behaviour §1.12).
//!
//! * [`draft`]: networks, keys, peers, and what a zone gives or takes, as clients submit them;
//! * [`tls`]: what is asked of other servers' certificates;
//! * [`refresh`]: when a copy of another server's zone is looked after, and for how long it is believed.

pub mod draft;
pub mod refresh;
pub mod tls;

pub use draft::{AclDraft, IncomingDraft, OutgoingDraft, PeerDraft, TSIG_ALGORITHMS, TsigDraft};
pub use refresh::{Held, News, Outcome, Refresh};
pub use tls::{PeerTls, TlsDraft};
