//! A zone's life.

use serde::{Deserialize, Serialize};

/// Where a zone stands in its life, by its API word.
///
/// ```text
///   pending ──(delegation seen, or the operator's word)──→ active ──(delegation lost)──→ moved
///      ▲                                                      ▲───────(seen again)─────────┘
///      └── born here
/// ```
///
/// Only an active or moved zone makes the edge accept traffic: a pending one could be anybody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ZoneStatus {
    /// Added, its delegation not yet seen.
    Pending,
    /// In force.
    Active,
    /// Was active; the parent now delegates elsewhere.
    Moved,
}

impl ZoneStatus {
    /// Whether the edge serves the zone's proxied names.
    pub const fn serves(self) -> bool {
        matches!(self, Self::Active | Self::Moved)
    }

    /// The word the v4 API uses, also the one kept in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Moved => "moved",
        }
    }
}
