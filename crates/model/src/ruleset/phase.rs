//! When in a request's life a rule is asked (edge-behaviour §4.1).

use super::{Action, Kind, Scope};
use crate::word::words;

words! {
    /// A phase that rules may be written for.
    pub enum Phase {
        /// The URL is put in normal form.
        RequestSanitize = "http_request_sanitize",
        /// Single redirects.
        DynamicRedirect = "http_request_dynamic_redirect",
        /// Bulk redirects out of lists; an account's alone.
        Redirect = "http_request_redirect",
        /// Path and query are rewritten.
        Transform = "http_request_transform",
        /// Settings for this request alone.
        ConfigSettings = "http_config_settings",
        /// Host, SNI, name and port of the origin.
        Origin = "http_request_origin",
        /// The owner's firewall rules.
        FirewallCustom = "http_request_firewall_custom",
        /// Rate limiting.
        Ratelimit = "http_ratelimit",
        /// Managed rulesets.
        FirewallManaged = "http_request_firewall_managed",
        /// Fields of the request to the origin.
        LateTransform = "http_request_late_transform",
        /// How a request is cached.
        CacheSettings = "http_request_cache_settings",
        /// How a response is stored.
        ResponseCacheSettings = "http_response_cache_settings",
        /// Fields of the response to the visitor.
        ResponseHeadersTransform = "http_response_headers_transform",
        /// What leaks out in responses.
        ResponseFirewallManaged = "http_response_firewall_managed",
        /// Error pages of one's own.
        CustomErrors = "http_custom_errors",
        /// Which compression a response gets.
        ResponseCompression = "http_response_compression",
        /// Fields that are logged besides.
        LogCustomFields = "http_log_custom_fields",
    }
}

/// Phases that clients name, and that have no rules of an owner's here. Names with a `*` stand for all that begin so.
const RESERVED: &[(&str, &str)] = &[
    ("ddos_l4", "packets are filtered before there is a request; this node's defence has no rules to edit"),
    ("ddos_l7", "this node's defence against floods has no rules to edit; write a rule for http_ratelimit"),
    ("http_request_sbfm", "bot management is not offered; write a rule for http_request_firewall_custom"),
    ("http_request_api_gateway*", "interfaces are not described here; write a rule for http_request_firewall_custom"),
    ("http_request_cloud_connector", "there is no object storage behind this node; write a rule for http_request_origin"),
    ("http_request_snippets", "visitors' requests run no scripts here"),
    ("magic_transit*", "networks are not transited here"),
];

/// Why there are no rules under a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PhaseError {
    /// No phase of that name.
    #[error("there is no phase {0:?}: write one of {phases}", phases = Phase::WORDS.join(", "))]
    Unknown(String),
    /// Known, and without rules here: it is answered as an empty one when asked for.
    #[error("the phase {phase} has no rules here: {why}")]
    NotOffered {
        /// As asked for, at most 64 characters of it.
        phase: String,
        /// Why, and what to do.
        why: &'static str,
    },
    /// Only accounts have it.
    #[error("the phase {0} is an account's, not a zone's: write its rules under /accounts")]
    AccountOnly(Phase),
}

impl Phase {
    /// The phase of that name, where a scope of that kind has it.
    ///
    /// # Errors
    /// It does not.
    pub fn find(name: &str, scope: Scope) -> Result<Self, PhaseError> {
        match Self::of_word(name) {
            Some(Self::Redirect) if scope == Scope::Zone => Err(PhaseError::AccountOnly(Self::Redirect)),
            Some(phase) => Ok(phase),
            None => {
                let shown = || name.chars().take(64).collect();
                let reserved = RESERVED.iter().find(|(known, _)| covers(known, name));
                Err(reserved
                    .map_or_else(|| PhaseError::Unknown(shown()), |(_, why)| PhaseError::NotOffered { phase: shown(), why }))
            }
        }
    }

    /// Whether a name is one that rules may be written for, or one that is known and has none here. Rules that skip phases may
    /// name both.
    pub fn is_known(name: &str) -> bool {
        Self::of_word(name).is_some() || RESERVED.iter().any(|(known, _)| covers(known, name))
    }

    /// The actions that may stand in it.
    pub const fn actions(self) -> &'static [Action] {
        use Action as A;
        match self {
            Self::RequestSanitize => &[A::Execute],
            Self::DynamicRedirect | Self::Redirect => &[A::Redirect],
            Self::Transform | Self::LateTransform | Self::ResponseHeadersTransform => &[A::Rewrite],
            Self::ConfigSettings => &[A::SetConfig],
            Self::Origin => &[A::Route],
            Self::FirewallCustom => &[A::Block, A::Challenge, A::JsChallenge, A::ManagedChallenge, A::Log, A::Skip, A::Execute],
            Self::Ratelimit => &[A::Block, A::Challenge, A::JsChallenge, A::ManagedChallenge, A::Log, A::Execute],
            Self::FirewallManaged => {
                &[A::Block, A::Challenge, A::JsChallenge, A::ManagedChallenge, A::Log, A::Skip, A::Execute, A::Score]
            }
            Self::CacheSettings => &[A::SetCacheSettings],
            Self::ResponseCacheSettings => &[A::SetCacheSettings, A::SetCacheTags, A::SetCacheControl],
            Self::ResponseFirewallManaged => &[A::Block, A::Log, A::Skip, A::Execute],
            Self::CustomErrors => &[A::ServeError],
            Self::ResponseCompression => &[A::CompressResponse],
            Self::LogCustomFields => &[A::LogCustomField],
        }
    }

    /// Whether an action may stand in a ruleset of this phase and kind. An account's entry point may execute rulesets in every
    /// phase.
    pub fn allows(self, kind: Kind, action: Action) -> bool {
        self.actions().contains(&action) || (kind == Kind::Root && action == Action::Execute)
    }
}

fn covers(known: &str, name: &str) -> bool {
    known.strip_suffix('*').map_or(known == name, |start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_found_where_they_are() {
        assert_eq!(Phase::find("http_ratelimit", Scope::Zone), Ok(Phase::Ratelimit));
        assert_eq!(Phase::find("http_request_redirect", Scope::Account), Ok(Phase::Redirect));
        assert_eq!(Phase::find("http_request_redirect", Scope::Zone), Err(PhaseError::AccountOnly(Phase::Redirect)));
        assert!(matches!(Phase::find("magic_transit_managed", Scope::Account), Err(PhaseError::NotOffered { .. })));
        assert!(matches!(Phase::find("ddos_l7", Scope::Zone), Err(PhaseError::NotOffered { .. })));
        let unknown = Phase::find("http_reqest", Scope::Zone).unwrap_err().to_string();
        assert!(unknown.contains("http_request_firewall_custom"), "{unknown}");
    }

    #[test]
    fn every_phase_has_an_action() {
        for phase in Phase::ALL {
            assert!(!phase.actions().is_empty(), "{phase}");
        }
        assert!(Phase::Transform.allows(Kind::Root, Action::Execute));
        assert!(!Phase::Transform.allows(Kind::Zone, Action::Execute));
    }
}
