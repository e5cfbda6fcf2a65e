//! Zone settings on the wire (api-v4 §10).

use poterne_model::{
    At, Schema, ShapeError,
    setting::{ManagedHeaders, SettingView, find, managed},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::WireTime;

/// Most settings in one call.
const ITEMS_MAX: usize = 200;

/// One setting.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SettingObject {
    /// Which.
    pub id: String,
    /// What it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// The same, of the few settings that say it so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Always true: there are no plans.
    pub editable: bool,
    /// Null: never changed.
    pub modified_on: Option<WireTime>,
    /// Of development mode alone, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_remaining: Option<i64>,
}

impl From<SettingView> for SettingObject {
    fn from(view: SettingView) -> Self {
        let enabled = view.value.as_bool().filter(|_| view.is_switch);
        Self {
            id: view.id.to_owned(),
            value: (!view.is_switch).then_some(view.value),
            enabled,
            editable: true,
            modified_on: view.modified_on.map(WireTime),
            time_remaining: view.time_remaining,
        }
    }
}

/// What [`read_value`] reads; what a value may be depends on the setting.
pub fn value_schema() -> Schema {
    let value = Schema::object([("value", Schema::anything().required().about("what the setting may say"))]);
    let enabled =
        Schema::object([("enabled", Schema::boolean().required().about("the same, of the few settings that say it so"))]);
    Schema::any_of([value, enabled]).named("SettingChange").example(serde_json::json!({ "value": "on" }))
}

/// What [`read_items`] reads.
pub fn items_schema() -> Schema {
    let members = [
        ("id", Schema::text(64).required().about("which setting")),
        ("value", Schema::anything().about("what it may say")),
        ("enabled", Schema::anything().about("the same, of the few settings that say it so")),
    ];
    let items = Schema::items(Schema::object(members), ITEMS_MAX).required();
    let example = serde_json::json!({ "items": [{ "id": "brotli", "value": "on" }] });
    Schema::object([("items", items)]).named("SettingsChanges").example(example)
}

/// What the body of a PATCH of one setting says: its `value`, or `enabled` where the setting has that. A setting that is not known
/// is refused later, by its own error.
///
/// # Errors
/// It says neither.
pub fn read_value<'a>(id: &str, body: &At<'a>) -> Result<At<'a>, ShapeError> {
    let is_switch = find(id).is_ok_and(|setting| setting.kind.default_value().is_boolean());
    let (first, second) = if is_switch { ("enabled", "value") } else { ("value", "enabled") };
    body.object()?;
    body.member(first).or_else(|| body.member(second).filter(|_| is_switch)).map_or_else(|| body.required(first), Ok)
}

/// What the body of a PATCH of many says, as `{"items": [{"id", "value"}]}`.
///
/// # Errors
/// An item says neither which setting nor what.
pub fn read_items<'a>(body: &At<'a>) -> Result<Vec<(&'a str, At<'a>)>, ShapeError> {
    let items = body.required("items")?.items(ITEMS_MAX)?;
    items
        .map(|item| {
            let id = item.required("id")?.text(64)?;
            Ok((id, read_value(id, &item)?))
        })
        .collect()
}

/// What is added to or removed from requests and responses by name.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedHeadersObject {
    /// On the way to the origin.
    pub managed_request_headers: Vec<ManagedHeader>,
    /// On the way to the visitor.
    pub managed_response_headers: Vec<ManagedHeader>,
}

/// One of them.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedHeader {
    /// Which.
    pub id: String,
    /// Whether it is on.
    pub enabled: bool,
    /// Whether it cannot be turned on, since one that it undoes is on.
    pub has_conflict: bool,
    /// Those that it undoes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts_with: Vec<String>,
}

impl From<&ManagedHeaders> for ManagedHeadersObject {
    fn from(headers: &ManagedHeaders) -> Self {
        let one = |id: &&str| {
            let conflict = ManagedHeaders::conflict_of(id);
            ManagedHeader {
                id: (*id).to_owned(),
                enabled: headers.is_on(id),
                has_conflict: conflict.is_some_and(|other| headers.is_on(other)),
                conflicts_with: conflict.into_iter().map(str::to_owned).collect(),
            }
        };
        Self {
            managed_request_headers: managed::REQUEST.iter().map(one).collect(),
            managed_response_headers: managed::RESPONSE.iter().map(one).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use poterne_model::{Timestamp, setting::ZoneSettings};
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn told(settings: &ZoneSettings, id: &str) -> Value {
        serde_json::to_value(SettingObject::from(settings.get(find(id).unwrap(), NOW.plus_secs(60)))).unwrap()
    }

    #[test]
    fn settings_are_told_as_clients_expect() {
        let mut settings = ZoneSettings::default();
        assert_eq!(told(&settings, "ssl"), json!({"id": "ssl", "value": "full", "editable": true, "modified_on": null}));
        assert_eq!(told(&settings, "development_mode")["time_remaining"], 0);
        let body = json!({"value": "on", "id": "development_mode"});
        let value = read_value("development_mode", &At::body(&body)).unwrap();
        settings.set("development_mode", &value, NOW).unwrap();
        let expected = json!({"id": "development_mode", "value": "on", "editable": true,
            "modified_on": "2027-01-15T08:00:00.000000Z", "time_remaining": 10_740});
        assert_eq!(told(&settings, "development_mode"), expected);
        let recommender = json!({"id": "ssl_recommender", "enabled": false, "editable": true, "modified_on": null});
        assert_eq!(told(&settings, "ssl_recommender"), recommender);
    }

    #[test]
    fn bodies_of_one_and_of_many_are_read() {
        let body = json!({"items": [{"id": "brotli", "value": "off"}, {"id": "ssl_recommender", "enabled": true}]});
        let items = read_items(&At::body(&body)).unwrap();
        assert_eq!(
            items.iter().map(|(id, at)| (*id, at.pointer())).collect::<Vec<_>>(),
            [("brotli", "/items/0/value"), ("ssl_recommender", "/items/1/enabled")]
        );
        assert_eq!(read_value("brotli", &At::body(&json!({"enabled": true}))).unwrap_err().pointer, "/value");
        assert_eq!(read_items(&At::body(&json!({"items": [{"value": 1}]}))).unwrap_err().pointer, "/items/0/id");
        assert!(read_value("brotli", &At::body(&json!([]))).is_err());
    }

    #[test]
    fn managed_headers_are_told_whole() {
        let body = json!({"managed_response_headers": [{"id": "add_security_headers", "enabled": true}],
            "managed_request_headers": [{"id": "remove_visitor_ip_headers", "enabled": true}]});
        let headers = ManagedHeaders::default().patched(&At::body(&body)).unwrap();
        let object = ManagedHeadersObject::from(&headers);
        assert_eq!(object.managed_request_headers.len(), managed::REQUEST.len());
        let told = serde_json::to_value(&object).unwrap();
        assert_eq!(
            told["managed_response_headers"][0],
            json!({"id": "add_security_headers", "enabled": true, "has_conflict": false})
        );
        let undone = json!({"id": "add_true_client_ip_headers", "enabled": false, "has_conflict": true,
            "conflicts_with": ["remove_visitor_ip_headers"]});
        assert!(told["managed_request_headers"].as_array().unwrap().contains(&undone), "{told}");
    }
}
