//! The shapes that answers are made of, each under its name once.

use std::{collections::BTreeMap, marker::PhantomData};

use poterne_model::{
    AccessRuleId, AccountId, AclId, AuditId, CertificateId, CertificatePackId, ConnectionId, ConnectorId, HealthCheckId, ListId,
    ListItemId, ListOperationId, MembershipId, NotificationPolicyId, PasskeyId, PeerId, RecordId, RouteId, RuleId, RulesetId,
    SessionId, TokenId, TsigId, TunnelId, UserId, VirtualNetworkId, WebhookId, ZoneId,
};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use utoipa::ToSchema;

/// Schemas by name.
#[derive(Debug, Default)]
pub(crate) struct Components(BTreeMap<String, Value>);

impl Components {
    /// A reference to a type's schema, which is kept with all that it names.
    pub(crate) fn reference<T: ToSchema>(&mut self) -> Value {
        let name = T::name().into_owned();
        if !self.0.contains_key(&name) {
            self.keep(name.clone(), json_of(T::schema()));
            let mut beneath = Vec::new();
            T::schemas(&mut beneath);
            for (name, schema) in beneath {
                self.keep(name, json_of(schema));
            }
        }
        reference(&name)
    }

    /// A reference to a schema that has a title, which is its name here; one without stands where it is used.
    pub(crate) fn by_title(&mut self, schema: Value) -> Value {
        let Some(name) = schema["title"].as_str().map(str::to_owned) else { return schema };
        self.keep(name.clone(), schema);
        reference(&name)
    }

    fn keep(&mut self, name: String, schema: Value) {
        let kept = self.0.entry(name).or_insert_with(|| schema.clone());
        debug_assert_eq!(*kept, schema, "two shapes have one name");
    }

    pub(crate) fn extend(&mut self, others: Self) {
        for (name, schema) in others.0 {
            self.keep(name, schema);
        }
    }

    pub(crate) fn into_map(self) -> BTreeMap<String, Value> {
        self.0
    }
}

fn json_of(schema: impl Serialize) -> Value {
    serde_json::to_value(schema).expect("a schema is always JSON")
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// What can stand in an answer or a path, and how it is told.
pub(crate) trait Shown {
    fn shown(components: &mut Components) -> Value;
}

/// Each type's schema stands among the components, under the type's name.
macro_rules! shown {
    ($($name:ty),+ $(,)?) => {$(
        impl $crate::openapi::components::Shown for $name {
            fn shown(components: &mut $crate::openapi::components::Components) -> serde_json::Value {
                components.reference::<Self>()
            }
        }
    )+};
}

pub(crate) use shown;

shown![
    AccessRuleId,
    AccountId,
    AclId,
    AuditId,
    CertificateId,
    CertificatePackId,
    ConnectionId,
    ConnectorId,
    HealthCheckId,
    ListId,
    ListItemId,
    ListOperationId,
    MembershipId,
    NotificationPolicyId,
    PasskeyId,
    PeerId,
    RecordId,
    RouteId,
    RuleId,
    RulesetId,
    SessionId,
    TokenId,
    TsigId,
    TunnelId,
    UserId,
    VirtualNetworkId,
    WebhookId,
    ZoneId
];

/// JSON that is written by hand and described as a `T`.
pub(crate) struct Like<T>(Value, PhantomData<fn() -> T>);

impl<T> Like<T> {
    pub(crate) const fn new(value: Value) -> Self {
        Self(value, PhantomData)
    }
}

impl<T> Serialize for Like<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<T: Shown> Shown for Like<T> {
    fn shown(components: &mut Components) -> Value {
        T::shown(components)
    }
}

impl Shown for String {
    fn shown(_: &mut Components) -> Value {
        json!({ "type": "string" })
    }
}

impl Shown for u64 {
    fn shown(_: &mut Components) -> Value {
        json!({ "type": "integer", "minimum": 0 })
    }
}

/// An object whose members are not told.
impl Shown for Value {
    fn shown(_: &mut Components) -> Value {
        json!({ "type": "object" })
    }
}

impl<T: Shown> Shown for Vec<T> {
    fn shown(components: &mut Components) -> Value {
        json!({ "type": "array", "items": T::shown(components) })
    }
}

/// An object whose members are all alike.
impl<T: Shown> Shown for BTreeMap<&'static str, T> {
    fn shown(components: &mut Components) -> Value {
        json!({ "type": "object", "additionalProperties": T::shown(components) })
    }
}

/// A list that is always empty.
impl Shown for [Value; 0] {
    fn shown(_: &mut Components) -> Value {
        json!({ "type": "array", "maxItems": 0 })
    }
}

impl<T: Shown> Shown for Option<T> {
    fn shown(components: &mut Components) -> Value {
        json!({ "anyOf": [T::shown(components), { "type": "null" }] })
    }
}
