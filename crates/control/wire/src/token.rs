//! API tokens, policies and permission groups on the wire (api-v4 §2).

use poterne_model::{
    AccountId, At, PermissionGroupId, PolicyId, Schema, ShapeError, Timestamp, TokenId,
    permission::{ApiToken, Condition, Effect, PermissionGroup, Policy, Terms, TokenStatus, group, policy, resource, token},
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::WireTime;

/// A token.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Serialize)]
#[allow(missing_docs, reason = "each is documented in `ApiToken` and `Terms`")]
pub struct TokenObject {
    pub id: TokenId,
    pub name: String,
    pub status: TokenStatus,
    pub issued_on: WireTime,
    pub modified_on: WireTime,
    pub last_used_on: Option<WireTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<WireTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_on: Option<WireTime>,
    pub policies: Vec<PolicyObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub condition: Option<Value>,
    /// The secret, in the answer to the call that made it and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
}

impl std::fmt::Debug for TokenObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenObject").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

impl Drop for TokenObject {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.value);
    }
}

/// A policy.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PolicyObject {
    /// Its id.
    pub id: PolicyId,
    /// Gives or takes.
    pub effect: Effect,
    /// Over what.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub resources: Map<String, Value>,
    /// What.
    pub permission_groups: Vec<GroupReference>,
}

/// A group, as a policy names it.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupReference {
    /// Its id.
    pub id: PermissionGroupId,
    /// Its name, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'static str>,
}

/// A group, as the list of them holds it.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupObject {
    /// Its id.
    pub id: PermissionGroupId,
    /// Its name.
    pub name: &'static str,
    /// What kind of resource it is given over.
    pub scopes: [&'static str; 1],
    /// Whether new policies may name it.
    pub is_selectable: bool,
}

impl From<&PermissionGroup> for GroupObject {
    fn from(group: &PermissionGroup) -> Self {
        Self { id: group.id(), name: group.name, scopes: [group.level().scope()], is_selectable: true }
    }
}

impl From<&Policy> for PolicyObject {
    fn from(policy: &Policy) -> Self {
        let reference = |id: &PermissionGroupId| GroupReference { id: *id, name: group::by_id(*id).map(|group| group.name) };
        Self {
            id: policy.id,
            effect: policy.effect,
            resources: resource::write(&policy.resources),
            permission_groups: policy.groups.iter().map(reference).collect(),
        }
    }
}

impl TokenObject {
    /// A token as it is now.
    pub fn new(token: &ApiToken, now: Timestamp) -> Self {
        let Terms { policies, condition, not_before, expires_on, .. } = &token.terms;
        Self {
            id: token.id,
            name: token.name.clone(),
            status: token.status(now),
            issued_on: token.issued_on.into(),
            modified_on: token.modified_on.into(),
            last_used_on: token.last_used_on.map(WireTime),
            not_before: not_before.map(WireTime),
            expires_on: expires_on.map(WireTime),
            policies: policies.iter().map(PolicyObject::from).collect(),
            condition: (!condition.is_empty()).then(|| condition_object(condition)),
            value: None,
        }
    }

    /// With its secret, for the answer to the call that made it.
    #[must_use]
    pub fn with_secret(mut self, secret: String) -> Self {
        self.value = Some(secret);
        self
    }
}

fn condition_object(condition: &Condition) -> Value {
    let mut out = Map::new();
    for (key, networks) in [("in", &condition.within), ("not_in", &condition.outside)] {
        if !networks.is_empty() {
            out.insert(key.to_owned(), networks.iter().map(ToString::to_string).collect());
        }
    }
    json!({ "request_ip": out })
}

/// A token as a body brings it, in POST and PUT alike: what it leaves out goes back to its default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenDraft {
    /// See [`ApiToken::name`].
    pub name: String,
    /// See [`ApiToken::disabled`].
    pub disabled: bool,
    /// See [`ApiToken::terms`].
    pub terms: Terms,
}

impl TokenDraft {
    /// What [`Self::read`] reads.
    pub fn schema() -> Schema {
        let members = [
            ("name", Schema::text(token::NAME_CHARS_MAX).not_empty().required()),
            ("status", Schema::one_of(TokenStatus::WORDS)),
            ("policies", Schema::items(Policy::schema(), policy::POLICIES_MAX).not_empty().required()),
            ("condition", Condition::schema()),
            ("not_before", Schema::instant()),
            ("expires_on", Schema::instant()),
        ];
        let policy = json!({
            "effect": "allow", "permission_groups": [{ "id": "c4c0b111b94489de8ed41a7035ee9f09" }],
            "resources": { "com.cloudflare.api.account.zone.*": "*" },
        });
        Schema::object(members).named("NewToken").example(json!({ "name": "ci", "policies": [policy] }))
    }

    /// From a body. `owner` is the account a token of an account belongs to; policies get ids that are handed in.
    ///
    /// # Errors
    /// The first member that is wrong.
    pub fn read(body: &At<'_>, owner: Option<AccountId>, new_id: &mut dyn FnMut() -> PolicyId) -> Result<Self, ShapeError> {
        let given = body.required("name")?;
        let name = given.text(token::NAME_CHARS_MAX)?.trim();
        if name.is_empty() {
            return Err(given.wrong("write a name"));
        }
        let status = body.member("status").map(|status| status.one_of(TokenStatus::WORDS)).transpose()?;
        let given = body.required("policies")?;
        let policies: Vec<Policy> =
            given.items(policy::POLICIES_MAX)?.map(|policy| Policy::read(&policy, new_id())).collect::<Result<_, _>>()?;
        if policies.is_empty() {
            return Err(given.wrong("write at least one policy"));
        }
        let condition = body.member("condition").map_or_else(|| Ok(Condition::default()), |given| Condition::read(&given))?;
        let (not_before, expires_on) = (instant(body, "not_before")?, instant(body, "expires_on")?);
        if let (Some(start), Some(end)) = (not_before, expires_on)
            && end <= start
        {
            return Err(body.required("expires_on")?.wrong("the token would end before it begins"));
        }
        let terms = Terms { owner, policies, condition, not_before, expires_on };
        Ok(Self { name: name.to_owned(), disabled: status == Some("disabled"), terms })
    }
}

/// An instant; the zero one that Go clients send for none is none.
fn instant(body: &At<'_>, key: &str) -> Result<Option<Timestamp>, ShapeError> {
    let Some(given) = body.member(key).filter(|given| given.value != "" && given.value != "0001-01-01T00:00:00Z") else {
        return Ok(None);
    };
    let time = WireTime::parse(given.text(64)?).map_err(|error| ShapeError::new(given.pointer(), error.to_string()))?;
    Ok(Some(time.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn body() -> Value {
        let dns = group::by_name("DNS Write").unwrap().id();
        json!({"name": " ci ", "expires_on": "2027-06-01T00:00:00Z", "not_before": "0001-01-01T00:00:00Z",
            "condition": {"request_ip": {"in": ["192.0.2.7/24"], "not_in": []}},
            "policies": [{"effect": "allow", "permission_groups": [{"id": dns}],
                "resources": {format!("com.cloudflare.api.account.{}", "0a".repeat(16)): {"com.cloudflare.api.account.zone.*": "*"}}}]})
    }

    fn read(body: &Value) -> Result<TokenDraft, ShapeError> {
        TokenDraft::read(&At::body(body), None, &mut || PolicyId::from_bytes([5; 16]))
    }

    #[test]
    fn a_token_is_told_as_it_was_written_and_its_secret_once() {
        let TokenDraft { name, disabled, terms } = read(&body()).unwrap();
        let id = TokenId::from_bytes([1; 16]);
        let token = ApiToken { id, name, disabled, terms, issued_on: NOW, modified_on: NOW, last_used_on: None };
        let told = serde_json::to_value(TokenObject::new(&token, NOW)).unwrap();
        let dns = group::by_name("DNS Write").unwrap().id();
        let expected = json!({"id": "01".repeat(16), "name": "ci", "status": "active", "last_used_on": null,
            "issued_on": "2027-01-15T08:00:00.000000Z", "modified_on": "2027-01-15T08:00:00.000000Z",
            "expires_on": "2027-06-01T00:00:00.000000Z", "condition": {"request_ip": {"in": ["192.0.2.7/24"]}},
            "policies": [{"id": "05".repeat(16), "effect": "allow", "permission_groups": [{"id": dns, "name": "DNS Write"}],
                "resources": body()["policies"][0]["resources"]}]});
        assert_eq!(told, expected);
        let mut again = read(&told).unwrap();
        assert_eq!(std::mem::take(&mut again.terms), token.terms);
        let made = TokenObject::new(&token, NOW).with_secret("s3cret".into());
        assert_eq!(serde_json::to_value(&made).unwrap()["value"], "s3cret");
        assert!(!format!("{made:?}").contains("s3cret"));
        assert_eq!(token.status(NOW.plus_secs(365 * 86_400)), TokenStatus::Expired);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (key, value, pointer) in [
            ("name", json!(" "), "/name"),
            ("policies", json!([]), "/policies"),
            ("policies", json!([{}]), "/policies/0/resources"),
            ("condition", json!({"request_ip": {"in": "x"}}), "/condition/request_ip/in"),
            ("expires_on", json!("soon"), "/expires_on"),
            ("not_before", json!("2027-06-01"), "/expires_on"),
            ("status", json!("on"), "/status"),
        ] {
            let mut wrong = body();
            wrong[key] = value;
            assert_eq!(read(&wrong).unwrap_err().pointer, pointer);
        }
    }

    #[test]
    fn groups_are_listed_with_their_scope() {
        let group = GroupObject::from(group::by_name("DNS Read").unwrap());
        let told = serde_json::to_value(&group).unwrap();
        assert_eq!((&told["name"], &told["scopes"]), (&json!("DNS Read"), &json!(["com.cloudflare.api.account.zone"])));
    }
}
