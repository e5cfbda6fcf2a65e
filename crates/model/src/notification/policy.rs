//! Policies: who is told of what.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    DESCRIPTION_CHARS_MAX,
    alert::{AlertType, Facts, FilterOption},
};
use crate::{At, NotificationPolicyId, Schema, ShapeError, Timestamp, WebhookId};

/// Most addresses, and most webhooks, of one policy.
pub const RECIPIENTS_MAX: usize = 50;

/// Most values of one filter, and the longest, in characters.
const VALUES_MAX: usize = 100;
const VALUE_CHARS_MAX: usize = 255;

/// By key, the values of which an event has one, each once and in the order in which they were written.
pub type Filters = BTreeMap<String, Vec<String>>;

/// To whom notices go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mechanisms {
    /// Addresses, in lower case. Whose they may be is for the account to say.
    pub email: BTreeSet<String>,
    /// Webhooks.
    pub webhooks: BTreeSet<WebhookId>,
}

/// A policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotificationPolicy {
    /// Its id.
    pub id: NotificationPolicyId,
    /// What it says.
    pub text: PolicyDraft,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub modified_at: Timestamp,
}

/// What a policy says; also what a body brings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyDraft {
    /// What it is called.
    pub name: String,
    /// For people; may be empty.
    #[serde(default)]
    pub description: String,
    /// Whether it tells anybody.
    pub enabled: bool,
    /// Of which events.
    pub alert_type: AlertType,
    /// Of which of these; empty: all.
    #[serde(default)]
    pub filters: Filters,
    /// To whom.
    #[serde(default)]
    pub mechanisms: Mechanisms,
}

impl PolicyDraft {
    /// What [`Self::read`] takes.
    pub fn schema(is_new: bool) -> Schema {
        let needed = |schema: Schema| if is_new { schema.required() } else { schema };
        let mail = Schema::object([("id", Schema::text(254).about("a member's address").required())]);
        let webhook = Schema::object([("id", Schema::hex("a webhook").required())]);
        let mechanisms = [("email", Schema::items(mail, RECIPIENTS_MAX)), ("webhooks", Schema::items(webhook, RECIPIENTS_MAX))];
        let filters = Schema::of(json!({ "type": "object" })).about("by key, texts of which an event has one");
        let members = [
            ("name", needed(Schema::text(super::NAME_CHARS_MAX).not_empty())),
            ("alert_type", needed(Schema::one_of(AlertType::WORDS))),
            ("mechanisms", needed(Schema::object(mechanisms).about("at least one"))),
            ("enabled", Schema::boolean().by_default(true)),
            ("description", Schema::text(DESCRIPTION_CHARS_MAX)),
            ("filters", filters),
        ];
        let example = json!({ "name": "tunnels", "alert_type": "tunnel_health_event", "enabled": true, "description": "all of them",
            "mechanisms": { "webhooks": [{ "id": "0123456789abcdef0123456789abcdef" }] }, "filters": {} });
        Schema::object(members).named(if is_new { "NewNotificationPolicy" } else { "NotificationPolicyChanges" }).example(example)
    }

    /// From the body of a POST; or of a PUT, where `before` is what was, and stays where the body is silent. Null takes away what may be
    /// left out.
    ///
    /// # Errors
    /// The first member that is wrong.
    pub fn read(body: &At<'_>, before: Option<&Self>) -> Result<Self, ShapeError> {
        body.object()?;
        let alert_type = match (body.member("alert_type"), before) {
            (Some(at), _) => AlertType::read(&at)?,
            (None, Some(before)) => before.alert_type,
            (None, None) => AlertType::read(&body.required("alert_type")?)?,
        };
        let name = match (body.member("name"), before) {
            (None, Some(before)) => before.name.clone(),
            _ => super::name(&body.required("name")?)?,
        };
        let enabled = match (body.member("enabled"), before) {
            (Some(at), _) => at.boolean()?,
            (None, before) => before.is_none_or(|before| before.enabled),
        };
        let kept = |name: &str| before.filter(|_| body.value.get(name).is_none());
        let description = match body.member("description") {
            Some(at) => at.text(DESCRIPTION_CHARS_MAX)?.to_owned(),
            None => kept("description").map_or_else(String::new, |before| before.description.clone()),
        };
        if let Some(at) = body.member("alert_interval").filter(|at| at.value != "") {
            return Err(at.wrong("nothing is told twice here: leave it out"));
        }
        let mechanisms = match (body.member("mechanisms"), before) {
            (None, Some(before)) => before.mechanisms.clone(),
            _ => mechanisms(&body.required("mechanisms")?)?,
        };
        let filters = match (body.member("filters"), kept("filters")) {
            (Some(at), _) => filters(&at, alert_type.filters())?,
            (None, Some(before)) if before.alert_type == alert_type => before.filters.clone(),
            (None, _) => Filters::new(),
        };
        Ok(Self { name, description, enabled, alert_type, filters, mechanisms })
    }

    /// Whether it tells of an event of its kind with these facts.
    pub fn takes(&self, facts: &Facts<'_>) -> bool {
        let holds = |(key, values): (&String, &Vec<String>)| facts.value(key).is_some_and(|value| values.contains(&value));
        self.enabled && self.filters.iter().all(holds)
    }
}

fn mechanisms(at: &At<'_>) -> Result<Mechanisms, ShapeError> {
    at.only(&["email", "webhooks", "pagerduty"])?;
    let mut found = Mechanisms::default();
    for item in at.member("email").map(|list| list.items(RECIPIENTS_MAX)).transpose()?.into_iter().flatten() {
        found.email.insert(item.required("id")?.text(254)?.trim().to_lowercase());
    }
    for item in at.member("webhooks").map(|list| list.items(RECIPIENTS_MAX)).transpose()?.into_iter().flatten() {
        let id = item.required("id")?;
        let parsed = id.text(64)?.parse().map_err(|_| id.wrong("write the id of one of the account's webhooks"))?;
        found.webhooks.insert(parsed);
    }
    if let Some(list) = at.member("pagerduty")
        && list.items(RECIPIENTS_MAX)?.len() > 0
    {
        return Err(list.wrong("PagerDuty is not spoken here: write a webhook with the URL it gives"));
    }
    if found == Mechanisms::default() {
        return Err(at.wrong("write at least one of email and webhooks"));
    }
    Ok(found)
}

fn filters(at: &At<'_>, options: &[FilterOption]) -> Result<Filters, ShapeError> {
    let keys: Vec<_> = options.iter().map(|option| option.key).collect();
    at.only(&keys)?;
    let mut filters = Filters::new();
    for option in options {
        let Some(list) = at.member(option.key) else { continue };
        let mut values: Vec<String> = Vec::new();
        for item in list.items(VALUES_MAX)? {
            let text = item.text(VALUE_CHARS_MAX)?;
            if !option.values.is_empty() && !option.values.iter().any(|(word, _)| *word == text) {
                let words: Vec<_> = option.values.iter().map(|(word, _)| *word).collect();
                return Err(item.wrong(format_args!("write one of {}", words.join(", "))));
            }
            if !values.iter().any(|value| value == text) {
                values.push(text.to_owned());
            }
        }
        if !values.is_empty() {
            filters.insert(option.key.to_owned(), values);
        }
    }
    Ok(filters)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::TunnelStatus;

    fn read(body: &Value) -> Result<PolicyDraft, ShapeError> {
        PolicyDraft::read(&At::body(body), None)
    }

    fn body() -> Value {
        json!({ "name": "tunnels", "alert_type": "tunnel_health_event", "enabled": true,
            "mechanisms": { "email": [{ "id": "Ada@example.com" }], "webhooks": [{ "id": "0".repeat(32) }], "pagerduty": [] },
            "filters": { "new_status": ["TUNNEL_STATUS_TYPE_DOWN"], "tunnel_id": null } })
    }

    #[test]
    fn a_policy_tells_of_what_its_filters_take() {
        let policy = read(&body()).unwrap();
        assert!(policy.mechanisms.email.contains("ada@example.com"));
        let down = Facts { new_status: Some(TunnelStatus::Down), ..Facts::default() };
        assert!(policy.takes(&down));
        assert!(!policy.takes(&Facts { new_status: Some(TunnelStatus::Healthy), ..down.clone() }));
        assert!(!policy.takes(&Facts::default()), "a fact that is not known does not pass");
        assert!(!PolicyDraft { enabled: false, ..policy.clone() }.takes(&down));
        let text = serde_json::to_string(&policy).unwrap();
        assert_eq!(serde_json::from_str::<PolicyDraft>(&text).unwrap(), policy);
    }

    #[test]
    fn a_put_keeps_what_it_does_not_say() {
        let before = read(&body()).unwrap();
        let after = PolicyDraft::read(&At::body(&json!({ "enabled": false })), Some(&before)).unwrap();
        assert_eq!(after, PolicyDraft { enabled: false, ..before.clone() });
        let other = json!({ "alert_type": "poterne_token_event" });
        let after = PolicyDraft::read(&At::body(&other), Some(&before)).unwrap();
        assert!(after.filters.is_empty(), "filters of another kind of event would never hold");
        let null = json!({ "description": null, "filters": null });
        let before = PolicyDraft { description: "told".into(), ..before };
        let after = PolicyDraft::read(&At::body(&null), Some(&before)).unwrap();
        assert_eq!(after, PolicyDraft { description: String::new(), filters: Filters::new(), ..before });
    }

    #[test]
    fn the_values_of_a_filter_stand_once_and_as_they_were_written() {
        let mut body = body();
        body["filters"] = json!({ "tunnel_name": ["home", "away", "home"] });
        assert_eq!(read(&body).unwrap().filters["tunnel_name"], ["home", "away"]);
    }

    #[test]
    fn what_cannot_be_obeyed_is_refused_at_its_place() {
        for (key, value, pointer) in [
            ("alert_type", json!("dos_attack_l7"), "/alert_type"),
            ("alert_interval", json!("30m"), "/alert_interval"),
            ("mechanisms", json!({}), "/mechanisms"),
            ("mechanisms", json!({ "email": [{ "id": 7 }] }), "/mechanisms/email/0/id"),
            ("mechanisms", json!({ "webhooks": [{ "id": "x" }] }), "/mechanisms/webhooks/0/id"),
            ("mechanisms", json!({ "pagerduty": [{ "id": "x" }] }), "/mechanisms/pagerduty"),
            ("filters", json!({ "zones": ["x"] }), "/filters/zones"),
            ("filters", json!({ "new_status": ["down"] }), "/filters/new_status/0"),
            ("enabled", json!("yes"), "/enabled"),
            ("name", json!(" "), "/name"),
        ] {
            let mut body = body();
            body[key] = value;
            assert_eq!(read(&body).unwrap_err().pointer, pointer, "{body}");
        }
    }
}
