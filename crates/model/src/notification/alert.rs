//! Kinds of events. Only those that this node tells of are here: a policy for another is refused when it is written.

use crate::{HealthCheckId, TunnelId, TunnelStatus, health_check::HealthStatus, word::words};

words! {
    /// A kind of event, by the API's word. Words of our own begin with `poterne_`.
    pub enum AlertType {
        /// A tunnel became healthy, degraded or down.
        TunnelHealth = "tunnel_health_event",
        /// A tunnel was made or deleted.
        TunnelUpdate = "tunnel_update_event",
        /// Somebody came to belong to the account, or does no more.
        Members = "poterne_member_event",
        /// An API token was made.
        Tokens = "poterne_token_event",
        /// A zone was put in force, or its delegation was lost.
        ZoneStatus = "poterne_zone_status_event",
        /// A zone that is another server's does not come, or comes again.
        SecondaryZone = "secondary_dns_all_primaries_failing",
        /// A check's origin became healthy or unhealthy.
        HealthCheck = "health_check_status_notification",
    }
}

/// What a filter can ask of an event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts<'f> {
    /// The tunnel's id.
    pub tunnel: Option<TunnelId>,
    /// The tunnel's name.
    pub tunnel_name: Option<&'f str>,
    /// How the tunnel is now.
    pub new_status: Option<TunnelStatus>,
    /// What happened, by a word.
    pub event: Option<&'f str>,
    /// The health check's id.
    pub health_check: Option<HealthCheckId>,
    /// How its origin is now.
    pub health: Option<HealthStatus>,
}

/// A filter an event can be narrowed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FilterOption {
    /// Its name.
    pub key: &'static str,
    /// The values it may have, each with what it is for people; empty: any text.
    pub values: &'static [(&'static str, &'static str)],
}

/// The API's words for how a tunnel is, in a filter.
pub const TUNNEL_STATUSES: &[(&str, &str)] = &[
    ("TUNNEL_STATUS_TYPE_HEALTHY", "Healthy"),
    ("TUNNEL_STATUS_TYPE_DEGRADED", "Degraded"),
    ("TUNNEL_STATUS_TYPE_DOWN", "Down"),
];

/// The API's words for how a check's origin is, in a filter.
pub const HEALTH_STATUSES: &[(&str, &str)] = &[("Healthy", "Healthy"), ("Unhealthy", "Unhealthy")];

impl AlertType {
    /// Its name for people.
    pub const fn display_name(self) -> &'static str {
        match self {
            Self::TunnelHealth => "Tunnel Health Alert",
            Self::TunnelUpdate => "Tunnel Creation or Deletion Event",
            Self::Members => "Member Event",
            Self::Tokens => "API Token Event",
            Self::ZoneStatus => "Zone Status Event",
            Self::SecondaryZone => "Secondary DNS all Primaries Failing",
            Self::HealthCheck => "Health Checks status notification",
        }
    }

    /// Under which heading it is listed.
    pub const fn group(self) -> &'static str {
        match self {
            Self::TunnelHealth | Self::TunnelUpdate => "Tunnel",
            Self::Members | Self::Tokens | Self::ZoneStatus => "Poterne",
            Self::SecondaryZone => "DNS",
            Self::HealthCheck => "Health Checks",
        }
    }

    /// What it tells, for people.
    pub const fn description(self) -> &'static str {
        match self {
            Self::TunnelHealth => "A tunnel became healthy, degraded or down",
            Self::TunnelUpdate => "A tunnel was created or deleted",
            Self::Members => "Somebody accepted an invitation, left, or was removed",
            Self::Tokens => "An API token of the account, or of a member over it, was created",
            Self::HealthCheck => "The origin of a health check became healthy or unhealthy",
            Self::SecondaryZone => "No primary gives a secondary zone, it expired, or it comes again",
            Self::ZoneStatus => {
                "A zone is active, or its delegation to this node's name servers was lost, or it is to be deleted for want of one"
            }
        }
    }

    /// By what it can be narrowed.
    pub const fn filters(self) -> &'static [FilterOption] {
        match self {
            Self::TunnelHealth => &[
                FilterOption { key: "new_status", values: TUNNEL_STATUSES },
                FilterOption { key: "tunnel_id", values: &[] },
                FilterOption { key: "tunnel_name", values: &[] },
            ],
            Self::TunnelUpdate => &[
                FilterOption { key: "event", values: &[("create", "Created"), ("delete", "Deleted")] },
                FilterOption { key: "tunnel_id", values: &[] },
                FilterOption { key: "tunnel_name", values: &[] },
            ],
            Self::ZoneStatus => &[FilterOption {
                key: "event",
                values: &[("active", "Active"), ("moved", "Moved"), ("ending", "To be deleted"), ("deleted", "Deleted")],
            }],
            Self::SecondaryZone => &[FilterOption {
                key: "event",
                values: &[("failing", "Failing"), ("expired", "Expired"), ("recovered", "Recovered")],
            }],
            Self::HealthCheck => {
                &[FilterOption { key: "health_check_id", values: &[] }, FilterOption { key: "status", values: HEALTH_STATUSES }]
            }
            Self::Members | Self::Tokens => &[],
        }
    }
}

impl Facts<'_> {
    /// What the event is by a filter's key.
    pub(super) fn value(&self, key: &str) -> Option<String> {
        match key {
            "tunnel_id" => self.tunnel.map(|id| id.to_string()),
            "tunnel_name" => self.tunnel_name.map(str::to_owned),
            "event" => self.event.map(str::to_owned),
            "health_check_id" => self.health_check.map(|id| id.to_string()),
            // As they stand in `HEALTH_STATUSES`; nothing is told of others.
            "status" => match self.health? {
                HealthStatus::Healthy => Some("Healthy".to_owned()),
                HealthStatus::Unhealthy => Some("Unhealthy".to_owned()),
                HealthStatus::Unknown | HealthStatus::Suspended => None,
            },
            // The word as it stands in `TUNNEL_STATUSES`.
            "new_status" => self.new_status.map(|status| format!("TUNNEL_STATUS_TYPE_{}", status.as_str().to_ascii_uppercase())),
            _ => None,
        }
    }
}
