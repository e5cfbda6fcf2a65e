//! Access rules on the wire (api-v4 §8).

use poterne_model::{
    AccessRuleId,
    access_rule::{AccessConfiguration, AccessMode, AccessRule, AccessRuleFilter, AccessScope, AccessTarget},
};
use serde::{Deserialize, Serialize};

use crate::{
    WireTime,
    query::{
        Parameter, Query, QueryError,
        filter::{Match, Order},
    },
};

/// A rule.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each is documented in `AccessRule`")]
pub struct AccessRuleObject {
    pub id: AccessRuleId,
    pub mode: AccessMode,
    pub configuration: AccessConfiguration,
    pub notes: String,
    /// The modes it may be changed to: all of them.
    pub allowed_modes: Vec<AccessMode>,
    pub scope: ScopeObject,
    pub created_on: WireTime,
    pub modified_on: WireTime,
}

/// Whose visitors are meant.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeObject {
    /// Of the user, account or zone.
    pub id: String,
    /// `user` or `organization`, for an account's. A zone's has none: the SDKs know these two words alone, and refuse others when
    /// they validate.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Of a user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

impl AccessRuleObject {
    /// A rule; `email` is its user's, where it is one's.
    pub fn new(rule: AccessRule, email: Option<String>) -> Self {
        let AccessRule { id, scope, mode, configuration, notes, created_on, modified_on } = rule;
        let scope = match scope {
            AccessScope::User(id) => ScopeObject { id: id.to_string(), kind: Some("user".into()), email },
            AccessScope::Account(id) => ScopeObject { id: id.to_string(), kind: Some("organization".into()), email: None },
            AccessScope::Zone(id) => ScopeObject { id: id.to_string(), kind: None, email: None },
        };
        let (created_on, modified_on) = (created_on.into(), modified_on.into());
        Self { id, mode, configuration, notes, allowed_modes: AccessMode::ALL.to_vec(), scope, created_on, modified_on }
    }
}

/// What [`read_filter`] reads.
pub fn filter_parameters() -> impl Iterator<Item = Parameter> {
    let conditions = [
        Parameter::word("mode", AccessMode::WORDS, "of that mode"),
        Parameter::text("notes", "whose notes hold this"),
        Parameter::word("configuration.target", AccessTarget::WORDS, "of that target"),
        Parameter::text("configuration.value", "of that value"),
        Parameter::matching("match"),
    ];
    conditions.into_iter().chain(Parameter::order(&ORDERED_BY))
}

const ORDERED_BY: [&str; 3] = ["mode", "configuration.target", "configuration.value"];

/// Which rules a request lists, and in which order: by `mode`, `configuration.target` or `configuration.value`.
///
/// # Errors
/// A parameter is none of its words.
pub fn read_filter(query: &Query) -> Result<(AccessRuleFilter, Order), QueryError> {
    let filter = AccessRuleFilter {
        mode: query.word("mode", AccessMode::of_word, AccessMode::WORDS)?,
        notes: query.text("notes").map(str::to_owned),
        target: query.word("configuration.target", AccessTarget::of_word, AccessTarget::WORDS)?,
        value: query.text("configuration.value").map(str::to_owned),
        any: Match::read(query, "match")? == Match::Any,
    };
    Ok((filter, Order::read(query, &ORDERED_BY)?))
}

#[cfg(test)]
mod tests {
    use poterne_model::{At, Timestamp, UserId, ZoneId, access_rule::AccessRuleDraft};
    use serde_json::json;

    use super::*;
    use crate::query::query;

    #[test]
    fn a_rule_is_told_with_its_scope_and_modes() {
        let body = json!({"mode": "block", "configuration": {"target": "country", "value": "fr"}, "notes": "why"});
        let draft = AccessRuleDraft::read(&At::body(&body)).unwrap();
        let now = Timestamp::from_secs(1_800_000_000);
        let scope = AccessScope::Zone(ZoneId::from_bytes([1; 16]));
        let rule = draft.into_rule(AccessRuleId::from_bytes([2; 16]), scope, [], now).unwrap();
        let told = serde_json::to_value(AccessRuleObject::new(rule.clone(), Some("unused".into()))).unwrap();
        let expected = json!({"id": "02".repeat(16), "mode": "block", "configuration": {"target": "country", "value": "FR"},
            "notes": "why", "allowed_modes": ["block", "challenge", "js_challenge", "managed_challenge", "whitelist"],
            "scope": {"id": "01".repeat(16)},
            "created_on": "2027-01-15T08:00:00.000000Z", "modified_on": "2027-01-15T08:00:00.000000Z"});
        assert_eq!(told, expected);
        let user = AccessRule { scope: AccessScope::User(UserId::from_bytes([3; 16])), ..rule };
        let scope = AccessRuleObject::new(user, Some("a@b.test".into())).scope;
        assert_eq!((scope.kind.as_deref(), scope.email.as_deref()), (Some("user"), Some("a@b.test")));
    }

    #[test]
    fn a_list_is_filtered_by_dotted_names() {
        let (filter, order) = read_filter(&query(&[
            ("configuration.target", "ip"),
            ("configuration.value", "192.0.2.7"),
            ("match", "any"),
            ("order", "mode"),
        ]))
        .unwrap();
        assert_eq!((filter.target, filter.any, order.field), (Some(AccessTarget::Ip), true, Some("mode")));
        assert!(read_filter(&query(&[("mode", "allow")])).is_err());
    }
}
