//! What people and programs are told of, and by which words of the API it is asked for.
//!
//! A notice is facts; the words for a reader are whoever's that sends it. It waits sealed, since links let people in, and neither its
//! `Debug` nor any log shows one.

use std::fmt;

use poterne_model::{HealthCheckId, Timestamp, TunnelId, TunnelStatus, ZoneId, ZoneStatus, health_check::HealthStatus};
use serde::{Deserialize, Serialize};

/// A link that lets in whoever follows it. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Link(String);

/// What somebody is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Notice {
    /// To whom it concerns: they may join an account.
    Invitation {
        /// The account's name.
        account: String,
        /// Who invites, as far as it is a person.
        inviter: Option<String>,
        /// Names of the roles that wait for them.
        roles: Vec<String>,
        /// Where to answer.
        link: Link,
        /// Until when.
        expires_at: Timestamp,
    },
    /// Somebody asked to choose another password.
    PasswordReset {
        /// Where to choose it.
        link: Link,
        /// Until when.
        expires_at: Timestamp,
        /// From where it was asked.
        ip: Option<String>,
    },
    /// A sign-in from where there was none before.
    NewSignIn {
        /// When.
        at: Timestamp,
        /// From which address.
        ip: String,
        /// The program, as it called itself.
        program: Option<String>,
    },
    /// What a person signs in with is not as it was.
    SignInChanged {
        /// What happened.
        change: SignInChange,
        /// When.
        at: Timestamp,
        /// From which address.
        ip: Option<String>,
    },
    /// Somebody came to belong to an account.
    MemberAdded {
        /// The account's name.
        account: String,
        /// Who.
        email: String,
        /// Names of their roles.
        roles: Vec<String>,
        /// When.
        at: Timestamp,
    },
    /// Somebody belongs to an account no more.
    MemberRemoved {
        /// The account's name.
        account: String,
        /// Who.
        email: String,
        /// When.
        at: Timestamp,
    },
    /// There is a new API token, of the account or over it.
    TokenCreated {
        /// What it is called.
        name: String,
        /// Who made it, as far as it is a person.
        by: Option<String>,
        /// From which address.
        ip: Option<String>,
        /// When.
        at: Timestamp,
    },
    /// A tunnel is not as it was.
    TunnelHealth {
        /// Its id.
        tunnel: TunnelId,
        /// Its name.
        name: String,
        /// How it is now.
        status: TunnelStatus,
        /// How it was when that was last told.
        before: TunnelStatus,
        /// Since when.
        at: Timestamp,
    },
    /// A tunnel came or went.
    TunnelUpdate {
        /// Its id.
        tunnel: TunnelId,
        /// Its name.
        name: String,
        /// It went.
        deleted: bool,
        /// Who did it, as far as it is a person.
        by: Option<String>,
        /// When.
        at: Timestamp,
    },
    /// A zone is not as it was.
    ZoneStatus {
        /// Its id.
        zone: ZoneId,
        /// Its name.
        name: String,
        /// How it is now.
        status: ZoneStatus,
        /// How it was.
        before: ZoneStatus,
        /// When.
        at: Timestamp,
    },
    /// A zone that nothing is delegated to ends.
    ZoneEnd {
        /// Its id.
        zone: ZoneId,
        /// Its name.
        name: String,
        /// How it stands.
        status: ZoneStatus,
        /// When it is deleted.
        ends_at: Timestamp,
        /// It is.
        over: bool,
        /// When this was decided.
        at: Timestamp,
    },
    /// A zone that is another server's does not come, or comes again.
    SecondaryZone {
        /// Its id.
        zone: ZoneId,
        /// Its name.
        name: String,
        /// `failing`, `expired` or `recovered`.
        event: String,
        /// What went wrong.
        why: Option<String>,
        /// When.
        at: Timestamp,
    },
    /// The origin of a health check is not as it was.
    HealthCheck {
        /// The check's zone.
        zone: ZoneId,
        /// The zone's name.
        zone_name: String,
        /// The check.
        check: HealthCheckId,
        /// What it is called.
        name: String,
        /// What it asks.
        address: String,
        /// How that is now.
        status: HealthStatus,
        /// How it was.
        before: HealthStatus,
        /// Why, where it is unhealthy.
        why: Option<String>,
        /// When.
        at: Timestamp,
    },
    /// Nothing but that notices arrive.
    Test {
        /// When it was asked for.
        at: Timestamp,
    },
}

/// What may happen to what a person signs in with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignInChange {
    /// Another password, or the first.
    Password,
    /// A second factor was added.
    SecondFactorAdded,
    /// A second factor was taken away.
    SecondFactorRemoved,
    /// A passkey was added.
    PasskeyAdded,
    /// A passkey was taken away.
    PasskeyRemoved,
    /// The recovery codes are others now.
    RecoveryCodes,
}

impl Link {
    /// Of this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text; for whom it is meant, and nobody's log.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link(…)")
    }
}

impl Notice {
    /// The word for logs and counters.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Invitation { .. } => "invitation",
            Self::PasswordReset { .. } => "password_reset",
            Self::NewSignIn { .. } => "new_sign_in",
            Self::SignInChanged { .. } => "sign_in_changed",
            Self::MemberAdded { .. } => "member_added",
            Self::MemberRemoved { .. } => "member_removed",
            Self::TokenCreated { .. } => "token_created",
            Self::TunnelHealth { .. } => "tunnel_health",
            Self::TunnelUpdate { .. } => "tunnel_update",
            Self::ZoneStatus { .. } => "zone_status",
            Self::ZoneEnd { .. } => "zone_end",
            Self::SecondaryZone { .. } => "secondary_zone",
            Self::HealthCheck { .. } => "health_check",
            Self::Test { .. } => "test",
        }
    }

    /// From when on it is worth nothing.
    pub const fn expires_at(&self) -> Option<Timestamp> {
        match self {
            Self::Invitation { expires_at, .. } | Self::PasswordReset { expires_at, .. } => Some(*expires_at),
            _ => None,
        }
    }

    /// When what it tells of happened; none: it asks for something instead.
    pub const fn at(&self) -> Option<Timestamp> {
        match self {
            Self::NewSignIn { at, .. }
            | Self::SignInChanged { at, .. }
            | Self::MemberAdded { at, .. }
            | Self::MemberRemoved { at, .. }
            | Self::TokenCreated { at, .. }
            | Self::TunnelHealth { at, .. }
            | Self::TunnelUpdate { at, .. }
            | Self::ZoneStatus { at, .. }
            | Self::ZoneEnd { at, .. }
            | Self::SecondaryZone { at, .. }
            | Self::HealthCheck { at, .. }
            | Self::Test { at } => Some(*at),
            Self::Invitation { .. } | Self::PasswordReset { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_kept_and_not_shown() {
        let link = Link::new("https://node.example/invitation#secret");
        let notice = Notice::PasswordReset { link, expires_at: Timestamp::from_secs(9), ip: None };
        assert!(!format!("{notice:?}").contains("secret"));
        let text = serde_json::to_string(&notice).unwrap();
        assert!(text.contains("#secret"));
        assert_eq!(serde_json::from_str::<Notice>(&text).unwrap(), notice);
        assert_eq!((notice.kind(), notice.expires_at()), ("password_reset", Some(Timestamp::from_secs(9))));
    }
}
