//! Webhooks and notification policies on the wire (`/accounts/{account}/alerting/v3`).

use std::collections::BTreeMap;

use poterne_model::{
    NotificationPolicyId, WebhookId,
    notification::{AlertType, Filters, NotificationPolicy, Webhook, alert::FilterOption},
};
use serde::Serialize;

use crate::WireTime;

/// A webhook. Its secret is in no answer.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "each is documented in `Webhook`")]
pub struct WebhookObject {
    pub id: WebhookId,
    pub name: String,
    pub url: String,
    /// Always `generic`: one shape is sent to all.
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub created_at: WireTime,
    pub last_success: Option<WireTime>,
    pub last_failure: Option<WireTime>,
}

impl From<Webhook> for WebhookObject {
    fn from(webhook: Webhook) -> Self {
        Self {
            id: webhook.id,
            name: webhook.name,
            url: webhook.url,
            kind: "generic",
            created_at: webhook.created_at.into(),
            last_success: webhook.last_success.map(WireTime),
            last_failure: webhook.last_failure.map(WireTime),
        }
    }
}

/// A policy. What its user left out is absent.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "each is documented in `PolicyDraft`")]
#[cfg_attr(feature = "openapi", schema(as = NotificationPolicyObject))]
pub struct PolicyObject {
    pub id: NotificationPolicyId,
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    #[cfg_attr(feature = "openapi", schema(required = false))]
    pub description: String,
    pub enabled: bool,
    pub alert_type: AlertType,
    pub mechanisms: MechanismsObject,
    #[serde(skip_serializing_if = "Filters::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<String, Vec<String>>, required = false))]
    pub filters: Filters,
    pub created: WireTime,
    pub modified: WireTime,
}

/// To whom notices go. A mechanism that names nobody is absent, and so is PagerDuty always.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "each is documented in `Mechanisms`")]
pub struct MechanismsObject {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(required = false))]
    pub email: Vec<MailMechanism>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(required = false))]
    pub webhooks: Vec<WebhookMechanism>,
}

/// An address.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MailMechanism {
    /// It.
    pub id: String,
}

/// A webhook.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WebhookMechanism {
    /// Its id.
    pub id: WebhookId,
}

impl From<NotificationPolicy> for PolicyObject {
    fn from(policy: NotificationPolicy) -> Self {
        let NotificationPolicy { id, text, created_at, modified_at } = policy;
        let mechanisms = MechanismsObject {
            email: text.mechanisms.email.into_iter().map(|id| MailMechanism { id }).collect(),
            webhooks: text.mechanisms.webhooks.into_iter().map(|id| WebhookMechanism { id }).collect(),
        };
        Self {
            id,
            name: text.name,
            description: text.description,
            enabled: text.enabled,
            alert_type: text.alert_type,
            mechanisms,
            filters: text.filters,
            created: created_at.into(),
            modified: modified_at.into(),
        }
    }
}

/// A kind of event.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AlertObject {
    /// What a policy names it by.
    #[serde(rename = "type")]
    pub kind: AlertType,
    /// For people.
    pub display_name: &'static str,
    /// For people.
    pub description: &'static str,
    /// By what it can be narrowed.
    pub filter_options: Vec<FilterObject>,
}

/// A filter that a policy may have; its members are spelled as the service does.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct FilterObject {
    /// Its name.
    pub key: &'static str,
    /// Values are equal, or are not.
    pub comparison_operator: &'static str,
    /// Nobody must write one.
    pub optional: bool,
    /// Where not every text is one: its values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_values: Option<Vec<ValueObject>>,
}

/// One value of a filter.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ValueObject {
    /// What is written.
    #[serde(rename = "ID")]
    pub id: &'static str,
    /// What it is for people.
    #[serde(rename = "Description")]
    pub description: &'static str,
}

/// Kinds of events, under their headings.
pub fn available_alerts(kinds: &[AlertType]) -> BTreeMap<&'static str, Vec<AlertObject>> {
    let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for kind in kinds {
        let filter_options = kind.filters().iter().map(filter).collect();
        let (display_name, description) = (kind.display_name(), kind.description());
        groups.entry(kind.group()).or_default().push(AlertObject { kind: *kind, display_name, description, filter_options });
    }
    groups
}

fn filter(option: &FilterOption) -> FilterObject {
    let values = option.values.iter().map(|(id, description)| ValueObject { id, description }).collect::<Vec<_>>();
    FilterObject {
        key: option.key,
        comparison_operator: "==",
        optional: true,
        available_values: (!values.is_empty()).then_some(values),
    }
}

#[cfg(test)]
mod tests {
    use poterne_model::{At, Timestamp, notification::PolicyDraft};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_policy_is_told_as_it_was_written() {
        let body = json!({ "name": "t", "alert_type": "tunnel_health_event", "enabled": true, "filters": { "tunnel_name": ["home"] },
            "mechanisms": { "email": [{ "id": "a@example.com" }], "webhooks": [{ "id": "0".repeat(32) }] } });
        let text = PolicyDraft::read(&At::body(&body), None).unwrap();
        let (id, now) = (NotificationPolicyId::from_bytes([1; 16]), Timestamp::from_secs(1_800_000_000));
        let told =
            serde_json::to_value(PolicyObject::from(NotificationPolicy { id, text, created_at: now, modified_at: now })).unwrap();
        for key in ["name", "alert_type", "enabled", "filters"] {
            assert_eq!(told[key], body[key], "{key}");
        }
        assert_eq!(told["mechanisms"]["webhooks"], body["mechanisms"]["webhooks"]);
        assert_eq!(told["created"], "2027-01-15T08:00:00.000000Z");
    }

    #[test]
    fn what_a_policy_was_not_given_is_absent() {
        let body = json!({ "name": "t", "alert_type": "tunnel_health_event", "enabled": true,
            "mechanisms": { "email": [{ "id": "a@example.com" }] } });
        let text = PolicyDraft::read(&At::body(&body), None).unwrap();
        let (id, now) = (NotificationPolicyId::from_bytes([1; 16]), Timestamp::from_secs(1_800_000_000));
        let told =
            serde_json::to_value(PolicyObject::from(NotificationPolicy { id, text, created_at: now, modified_at: now })).unwrap();
        assert_eq!(told["mechanisms"], body["mechanisms"]);
        assert_eq!((told.get("filters"), told.get("description")), (None, None));
    }

    #[test]
    fn kinds_are_listed_under_their_headings() {
        let told = serde_json::to_value(available_alerts(AlertType::ALL)).unwrap();
        let health = &told["Tunnel"][0];
        assert_eq!(health["type"], "tunnel_health_event");
        assert_eq!(
            health["filter_options"][0]["AvailableValues"][2],
            json!({ "ID": "TUNNEL_STATUS_TYPE_DOWN", "Description": "Down" })
        );
        assert_eq!(told["Poterne"].as_array().unwrap().len(), 3);
    }
}
