//! Rulesets and rules on the wire (api-v4 §7).

use poterne_model::{
    RulesetId,
    ruleset::{Rule, Ruleset},
};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::WireTime;

/// A ruleset. Versions are decimal texts.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Serialize)]
#[allow(missing_docs, reason = "each is documented in `Ruleset`")]
pub struct RulesetObject<'a> {
    pub id: RulesetId,
    pub name: &'a str,
    pub description: &'a str,
    pub kind: &'static str,
    pub phase: &'static str,
    pub version: String,
    pub last_updated: WireTime,
    /// Absent in lists of rulesets.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<RuleObject>>))]
    pub rules: Option<Vec<Value>>,
}

impl<'a> RulesetObject<'a> {
    /// As a list of rulesets holds it: without its rules.
    pub fn head(ruleset: &'a Ruleset) -> Self {
        Self {
            id: ruleset.id,
            name: &ruleset.name,
            description: &ruleset.description,
            kind: ruleset.kind.as_str(),
            phase: ruleset.phase.as_str(),
            version: ruleset.version.to_string(),
            last_updated: ruleset.last_updated.into(),
            rules: None,
        }
    }

    /// With its rules.
    pub fn whole(ruleset: &'a Ruleset) -> Self {
        Self { rules: Some(ruleset.rules.iter().map(rule_object).collect()), ..Self::head(ruleset) }
    }
}

/// A rule as [`rule_object`] tells it, for the description of the API.
#[cfg(feature = "openapi")]
#[derive(Debug, Clone, utoipa::ToSchema)]
#[allow(missing_docs, reason = "each is documented in `RuleBody`")]
pub struct RuleObject {
    pub id: poterne_model::RuleId,
    pub r#ref: String,
    /// A decimal text, raised by every change of the rule.
    pub version: String,
    pub last_updated: WireTime,
    pub action: poterne_model::ruleset::Action,
    pub expression: String,
    pub description: String,
    pub enabled: bool,
    /// What the action does; its members depend on it. Those not known to this version are kept and told back.
    pub action_parameters: Option<Value>,
    pub categories: Option<Vec<String>>,
    /// Whether it says so in the log, under `enabled`.
    pub logging: Option<Value>,
    /// What it counts; of `http_ratelimit` alone.
    pub ratelimit: Option<Value>,
    pub exposed_credential_check: Option<Value>,
}

/// One rule: what it says, as [`poterne_model::ruleset::RuleBody::members`] tells it, and what it is.
pub fn rule_object(rule: &Rule) -> Value {
    let mut out: Map<String, Value> = rule.body.members();
    out.insert("id".into(), rule.id.to_string().into());
    out.insert("ref".into(), rule.reference.as_str().into());
    out.insert("version".into(), rule.version.to_string().into());
    out.insert("last_updated".into(), WireTime(rule.last_updated).to_string().into());
    Value::Object(out)
}

#[cfg(test)]
mod tests {
    use poterne_model::{
        At, RuleId, Timestamp,
        ruleset::{Kind, Phase, RulesetDraft, RulesetPut, Scope},
    };
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_submitted_comes_back_in_normal_form_and_is_taken_again() {
        let rule = json!({"ref": "mine", "action": "set_cache_settings", "expression": " (http.host eq \"a.test\") ",
            "action_parameters": {"cache": true, "edge_ttl": {"mode": "override_origin", "default": 60}, "new_member": {"x": 1}, "gone": null}});
        let body = json!({"name": "default", "kind": "zone", "phase": "http_request_cache_settings", "rules": [rule]});
        let draft = RulesetDraft::read(&At::body(&body), Scope::Zone).unwrap();
        let mut new_id = || RuleId::from_bytes([5; 16]);
        let now = Timestamp::from_secs(1_800_000_000);
        let mut ruleset = Ruleset::new(RulesetId::from_bytes([1; 16]), draft, &mut new_id, now).unwrap();
        let told = serde_json::to_value(RulesetObject::whole(&ruleset)).unwrap();
        let expected = json!({"id": "01".repeat(16), "name": "default", "description": "", "kind": "zone",
            "phase": "http_request_cache_settings", "version": "1", "last_updated": "2027-01-15T08:00:00.000000Z",
            "rules": [{"id": "05".repeat(16), "ref": "mine", "version": "1", "last_updated": "2027-01-15T08:00:00.000000Z",
                "action": "set_cache_settings", "expression": "(http.host eq \"a.test\")", "description": "", "enabled": true,
                "action_parameters": {"cache": true, "edge_ttl": {"mode": "override_origin", "default": 60}, "new_member": {"x": 1}}}]});
        assert_eq!(told, expected);
        assert!(serde_json::to_value(RulesetObject::head(&ruleset)).unwrap().get("rules").is_none());
        let again = RulesetPut::read(&At::body(&told), Phase::CacheSettings, Kind::Zone).unwrap();
        assert!(!ruleset.put(again, &mut new_id, now).unwrap(), "what was told changes nothing");
    }
}
