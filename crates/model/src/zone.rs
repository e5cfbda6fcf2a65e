//! A zone's life.

use serde::{Deserialize, Serialize};

use crate::{Name, Timestamp};

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
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Active, Self::Moved];

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

/// Who answers for a zone's names, by its API word (edge-behaviour §1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ZoneKind {
    /// This instance, to which the zone is delegated.
    Full,
    /// Its owner's own name servers, where each name that is to come here is a CNAME to the same name below the node's suffix.
    Partial,
    /// This instance, with what another name server gives it.
    Secondary,
}

impl ZoneKind {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Full, Self::Partial, Self::Secondary];

    /// The word the v4 API uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Partial => "partial",
            Self::Secondary => "secondary",
        }
    }
}

/// What keeps other accounts of the same installation from adding a zone that serves (api-v4 §3).
///
/// A pending zone holds nothing: it could be anybody's, and whoever adds a name first must not keep its owner out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZoneHold {
    /// Names below the zone may not be added either.
    pub include_subdomains: bool,
    /// From when on; none: at once.
    pub hold_after: Option<Timestamp>,
}

impl ZoneHold {
    /// Whether it holds at that instant.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.hold_after.is_none_or(|after| after <= now)
    }

    /// Whether another account may not add this name, `held` being the zone's.
    pub fn blocks(&self, held: &Name, added: &Name, now: Timestamp) -> bool {
        self.holds(now) && (added == held || self.include_subdomains && added.is_within(held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_keeps_others_from_the_name_and_what_is_below() {
        let name = |text: &str| Name::parse(text).unwrap();
        let (held, now) = (name("example.com"), Timestamp::from_secs(100));
        let blocks = |hold: ZoneHold, added: &str| hold.blocks(&held, &name(added), now);
        let alone = ZoneHold { include_subdomains: false, hold_after: None };
        let all = ZoneHold { include_subdomains: true, hold_after: Some(now) };
        assert!(blocks(alone, "example.com") && !blocks(alone, "a.example.com"));
        assert!(blocks(all, "example.com") && blocks(all, "b.a.example.com"));
        assert!(!blocks(all, "anexample.com") && !blocks(all, "com"));
        let later = ZoneHold { hold_after: Some(Timestamp::from_secs(101)), ..all };
        assert!(!blocks(later, "example.com") && later.holds(Timestamp::from_secs(101)));
    }
}
