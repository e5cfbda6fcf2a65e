//! Permissions: what a verb needs, and whether the policies of a token give it (api-v4 §2).
//!
//! * a [`Permission`] is a [`Subject`] and a [`Right`]; a verb names one, over a [`Target`];
//! * [`group`]: the bundles that policies name;
//! * [`resource`]: what a policy is given over;
//! * [`policy`]: allowing and denying, and the one decision;
//! * [`token`]: what carries policies.
//!
//! A token gives nothing its owner has not: whether its user is a member of the account, and in which role, is decided beside
//! this, by whoever knows the members.

pub mod group;
pub mod policy;
pub mod resource;
#[cfg(test)]
mod tests;
pub mod token;

use std::fmt;

pub use group::{GROUPS, PermissionGroup};
pub use policy::{Condition, Effect, Policy, Terms, Written};
pub use resource::{Resource, Selector};
pub use token::{ApiToken, TokenStatus};

use crate::{AccountId, UserId, ZoneId, ruleset, word::words};

words! {
    /// What a permission speaks of.
    pub enum Subject {
        /// Zones themselves.
        Zones = "zone",
        /// Their records.
        DnsRecords = "dns_records",
        /// Their settings.
        ZoneSettings = "zone_settings",
        /// Certificates.
        Certificates = "ssl",
        /// Throwing out what is cached.
        CachePurge = "cache_purge",
        /// What is cached, and how.
        CacheSettings = "cache_settings",
        /// A zone's firewall, rate limits and every other phase that has no subject of its own.
        ZoneRulesets = "waf",
        /// A zone's access rules.
        ZoneAccessRules = "firewall",
        /// Load balancers.
        LoadBalancers = "lb",
        /// What origins are asked again and again.
        HealthChecks = "healthchecks",
        /// What was counted.
        Analytics = "analytics",
        /// Page rules.
        PageRules = "page_rules",
        /// Single redirects.
        RedirectRules = "dynamic_redirects",
        /// Paths and fields that are rewritten.
        TransformRules = "transform_rules",
        /// How origins are reached.
        OriginRules = "origin_rules",
        /// Settings by request.
        ConfigRules = "config_rules",
        /// Tunnels.
        Tunnels = "tunnels",
        /// Private routes and virtual networks.
        PrivateRoutes = "private_routes",
        /// What stands in front of applications.
        AccessApps = "access",
        /// Secrets that let programs in there.
        AccessServiceTokens = "access_service_tokens",
        /// Lists that rules refer to.
        Lists = "lists",
        /// An account's rulesets.
        AccountRulesets = "account_rulesets",
        /// An account's access rules.
        AccountAccessRules = "account_firewall",
        /// Accounts themselves.
        Accounts = "account",
        /// Who belongs to them.
        Members = "member",
        /// Authorities that an account brought, to vouch for visitors.
        AccountCertificates = "account_ssl",
        /// An account's API tokens.
        AccountTokens = "account_api_tokens",
        /// Who changed what.
        AuditLogs = "auditlogs",
        /// Who is told of an account's events.
        Notifications = "notifications",
        /// A user's own name and settings.
        UserDetails = "user",
        /// A user's own API tokens.
        UserTokens = "api_tokens",
    }
}

/// What may be done. Whoever may edit may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Right {
    /// See.
    Read,
    /// Change.
    Edit,
}

/// What a verb needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Permission {
    /// Of what.
    pub subject: Subject,
    /// To do what.
    pub right: Right,
}

/// What kind of thing a subject belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    /// A zone.
    Zone,
    /// An account.
    Account,
    /// A user.
    User,
}

impl Level {
    /// How the API calls it in a group's `scopes`.
    pub const fn scope(self) -> &'static str {
        match self {
            Self::Zone => "com.cloudflare.api.account.zone",
            Self::Account => "com.cloudflare.api.account",
            Self::User => "com.cloudflare.api.user",
        }
    }
}

/// What a verb is called on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// A user, who is the caller.
    User(UserId),
    /// An account.
    Account(AccountId),
    /// A zone and the account it belongs to.
    Zone(AccountId, ZoneId),
    /// A zone that is not there yet: only what is given over every zone of the account reaches it.
    NewZone(AccountId),
}

impl Target {
    /// What kind it is.
    pub const fn level(self) -> Level {
        match self {
            Self::User(_) => Level::User,
            Self::Account(_) => Level::Account,
            Self::Zone(..) | Self::NewZone(_) => Level::Zone,
        }
    }
}

impl Subject {
    /// To see it.
    pub const fn to_read(self) -> Permission {
        Permission { subject: self, right: Right::Read }
    }

    /// To change it.
    pub const fn to_edit(self) -> Permission {
        Permission { subject: self, right: Right::Edit }
    }

    /// What it belongs to.
    pub const fn level(self) -> Level {
        match self {
            Self::Zones
            | Self::DnsRecords
            | Self::ZoneSettings
            | Self::Certificates
            | Self::CachePurge
            | Self::CacheSettings
            | Self::ZoneRulesets
            | Self::ZoneAccessRules
            | Self::LoadBalancers
            | Self::HealthChecks
            | Self::Analytics
            | Self::PageRules
            | Self::RedirectRules
            | Self::TransformRules
            | Self::OriginRules
            | Self::ConfigRules => Level::Zone,
            Self::Tunnels
            | Self::PrivateRoutes
            | Self::AccessApps
            | Self::AccessServiceTokens
            | Self::Lists
            | Self::AccountRulesets
            | Self::AccountAccessRules
            | Self::Accounts
            | Self::Members
            | Self::AccountCertificates
            | Self::AccountTokens
            | Self::AuditLogs
            | Self::Notifications => Level::Account,
            Self::UserDetails | Self::UserTokens => Level::User,
        }
    }

    /// Which one the rules of a phase belong to.
    pub const fn of_phase(phase: ruleset::Phase, scope: ruleset::Scope) -> Self {
        use ruleset::Phase as P;
        match (scope, phase) {
            (ruleset::Scope::Account, _) => Self::AccountRulesets,
            (_, P::DynamicRedirect) => Self::RedirectRules,
            (_, P::Transform | P::LateTransform | P::ResponseHeadersTransform) => Self::TransformRules,
            (_, P::Origin) => Self::OriginRules,
            (_, P::ConfigSettings) => Self::ConfigRules,
            (_, P::CacheSettings | P::ResponseCacheSettings) => Self::CacheSettings,
            _ => Self::ZoneRulesets,
        }
    }
}

/// As zone objects list it: `#dns_records:edit`.
impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let right = match self.right {
            Right::Read => "read",
            Right::Edit => "edit",
        };
        write!(f, "#{}:{right}", self.subject)
    }
}
