//! What the model refuses, in the API's words: status, code, message, and where in the body (api-v4 §1.3, §1.8, §1.9).

use poterne_model::{
    ShapeError,
    access_rule::DuplicateAccessRule,
    list::ListError,
    private_network::{RouteError, VirtualNetworkError},
    ruleset::{PhaseError, RulesetError},
    setting::SettingError,
};

use crate::{codes, query::QueryError};

/// There is no zone setting of that id.
pub const SETTING_UNKNOWN: i64 = 1006;
/// A zone setting cannot have that value.
pub const SETTING_VALUE: i64 = 1007;
/// The phase has no rules.
pub const NO_ENTRY_POINT: i64 = 10003;
/// An access rule for the same is there.
pub const ACCESS_RULE_DUPLICATE: i64 = 10009;
/// A rule's expression is wrong.
pub const EXPRESSION: i64 = 20127;
/// Ours: the body, or a parameter, is wrong.
pub const INVALID: i64 = 10_000_400;
/// Ours: it cannot be while something else is. Told with 400, since SDKs repeat what gets 409 (api-v4 §0.15).
pub const CONFLICT: i64 = 10_000_409;

/// One error of an answer, before it is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Of HTTP.
    pub status: u16,
    /// What clients branch on.
    pub code: i64,
    /// For a person.
    pub message: String,
    /// JSON pointer into the body.
    pub pointer: Option<String>,
}

impl Refusal {
    fn new(status: u16, code: i64, error: &impl ToString) -> Self {
        Self { status, code, message: error.to_string(), pointer: None }
    }
}

impl From<ShapeError> for Refusal {
    fn from(error: ShapeError) -> Self {
        let code = if error.pointer.ends_with("/expression") { EXPRESSION } else { INVALID };
        Self { pointer: Some(error.pointer.clone()), ..Self::new(400, code, &error) }
    }
}

impl From<SettingError> for Refusal {
    fn from(error: SettingError) -> Self {
        match &error {
            SettingError::Unknown { .. } => Self::new(400, SETTING_UNKNOWN, &error),
            SettingError::Value { error: shape, .. } => {
                Self { pointer: Some(shape.pointer.clone()), ..Self::new(400, SETTING_VALUE, &error) }
            }
        }
    }
}

impl From<PhaseError> for Refusal {
    fn from(error: PhaseError) -> Self {
        match &error {
            PhaseError::Unknown(_) => Self::new(400, INVALID, &error),
            PhaseError::NotOffered { .. } | PhaseError::AccountOnly(_) => Self::new(404, NO_ENTRY_POINT, &error),
        }
    }
}

impl From<RulesetError> for Refusal {
    fn from(error: RulesetError) -> Self {
        match error {
            RulesetError::Shape(shape) => shape.into(),
            RulesetError::NoRule(_) => Self::new(404, codes::NO_SUCH_OBJECT, &error),
            RulesetError::Managed => Self::new(400, INVALID, &error),
        }
    }
}

impl From<ListError> for Refusal {
    fn from(error: ListError) -> Self {
        match error {
            ListError::Shape(shape) => shape.into(),
            ListError::Full(_) => Self::new(400, INVALID, &error),
        }
    }
}

impl From<DuplicateAccessRule> for Refusal {
    fn from(error: DuplicateAccessRule) -> Self {
        Self::new(400, ACCESS_RULE_DUPLICATE, &error)
    }
}

impl From<RouteError> for Refusal {
    fn from(error: RouteError) -> Self {
        match error {
            RouteError::Devices(_) => Self::new(400, INVALID, &error),
            RouteError::Duplicate { .. } => Self::new(400, CONFLICT, &error),
        }
    }
}

impl From<VirtualNetworkError> for Refusal {
    fn from(error: VirtualNetworkError) -> Self {
        match error {
            VirtualNetworkError::NotFound(_) => Self::new(404, codes::NO_SUCH_OBJECT, &error),
            VirtualNetworkError::NameTaken(_) => Self::new(400, CONFLICT, &error),
            _ => Self::new(400, INVALID, &error),
        }
    }
}

impl From<QueryError> for Refusal {
    fn from(error: QueryError) -> Self {
        Self::new(400, INVALID, &error)
    }
}

#[cfg(test)]
mod tests {
    use poterne_model::{
        At, Timestamp,
        ruleset::{Phase, Scope},
        setting::{ZoneSettings, find},
    };
    use serde_json::json;

    use super::*;

    #[test]
    fn codes_are_those_that_clients_know() {
        let unknown = Refusal::from(find("brotly").unwrap_err());
        assert_eq!((unknown.status, unknown.code), (400, 1006));
        let error = ZoneSettings::default().set("ssl", &At::new(&json!("on"), "/value"), Timestamp::default()).unwrap_err();
        let refusal = Refusal::from(error);
        assert_eq!((refusal.code, refusal.pointer.as_deref()), (1007, Some("/value")));
        assert!(refusal.message.contains("off, flexible, full, strict, origin_pull"), "{}", refusal.message);
        let expression = Refusal::from(ShapeError::new("/rules/0/expression", "x"));
        assert_eq!((expression.code, expression.pointer.as_deref()), (20127, Some("/rules/0/expression")));
        let phase = Refusal::from(Phase::find("ddos_l7", Scope::Zone).unwrap_err());
        assert_eq!((phase.status, phase.code), (404, 10003));
    }
}
