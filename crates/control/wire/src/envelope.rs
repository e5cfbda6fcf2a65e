//! The envelope around every answer (api-v4 §1.3).

use serde::{Deserialize, Deserializer, Serialize};

/// Error codes that clients branch on or people search for (api-v4 §1.9). Each is born here.
pub mod codes {
    /// Too many requests.
    pub const RATE_LIMITED: i64 = 971;
    /// A token that nobody knows, as `/verify` says it.
    pub const INVALID_TOKEN: i64 = 1000;
    /// No such object, or no way to do this with these credentials.
    pub const INVALID_OBJECT: i64 = 1001;
    /// A record of that name exists, as `route dns` says it.
    pub const HOST_EXISTS: i64 = 1003;
    /// A record or another value is not valid; what exactly is in `error_chain`.
    pub const INVALID_VALUE: i64 = 1004;
    /// The token may see it, not change it.
    pub const READ_ONLY: i64 = 1009;
    /// A tunnel of that name exists.
    pub const TUNNEL_EXISTS: i64 = 1013;
    /// The tunnel has connections.
    pub const TUNNEL_CONNECTED: i64 = 1022;
    /// Not the name of a domain.
    pub const NOT_A_DOMAIN: i64 = 1049;
    /// The zone exists.
    pub const ZONE_EXISTS: i64 = 1061;
    /// The zone may not be added: another account holds it.
    pub const ZONE_HELD: i64 = 1099;
    /// A header is not of the form it must have; which one is in `error_chain`.
    pub const INVALID_HEADERS: i64 = 6003;
    /// Beneath [`INVALID_HEADERS`]: `X-Auth-Email`.
    pub const INVALID_EMAIL_HEADER: i64 = 6102;
    /// Beneath [`INVALID_HEADERS`]: `X-Auth-Key`.
    pub const INVALID_KEY_HEADER: i64 = 6103;
    /// Beneath [`INVALID_HEADERS`]: `Authorization`.
    pub const INVALID_AUTHORIZATION_HEADER: i64 = 6111;
    /// The body is not the JSON it must be.
    pub const INVALID_BODY: i64 = 6007;
    /// No such e-mail or key.
    pub const UNKNOWN_KEY: i64 = 9103;
    /// No credentials at all.
    pub const NO_CREDENTIALS: i64 = 9106;
    /// A token that is not valid, or not for this.
    pub const UNAUTHORIZED: i64 = 9109;
    /// Not allowed.
    pub const FORBIDDEN: i64 = 10000;
    /// The phase has no ruleset.
    pub const NO_ENTRY_POINT: i64 = 10003;
    /// The record does not exist.
    pub const RECORD_NOT_FOUND: i64 = 81044;
    /// No such route.
    pub const NO_ROUTE: i64 = 7000;
    /// No such route, or an identifier of the wrong form; sent together with [`NO_ROUTE`].
    pub const NO_SUCH_OBJECT: i64 = 7003;
    /// The method is not for this route.
    pub const METHOD_NOT_ALLOWED: i64 = 10405;
    /// Ours: not signed in: a wrong password, code, passkey or link, or a session that is over.
    pub const NOT_SIGNED_IN: i64 = 10_000_401;
    /// Ours: a request with a cookie that may come from another site's page.
    pub const CROSS_SITE: i64 = 10_000_403;
    /// Ours: a token or key cannot do this, only somebody who is signed in.
    pub const SESSION_NEEDED: i64 = 10_000_410;
    /// Ours: whoever is signed in must show once more who they are.
    pub const CONFIRMATION_NEEDED: i64 = 10_000_411;
    /// Ours: the account asks its members for a second factor.
    pub const SECOND_FACTOR_NEEDED: i64 = 10_000_412;
    /// Ours: nothing secret is taken in clear.
    pub const INSECURE: i64 = 10_000_426;
    /// Ours: as much is being done as the machine has room for.
    pub const BUSY: i64 = 10_000_503;
    /// Ours: the node failed, and its log says why.
    pub const INTERNAL: i64 = 10_000_500;
    /// Ours: the node's store went away before it said whether the change was kept.
    pub const IN_DOUBT: i64 = 10_000_502;
    /// Ours: the node's store cannot be reached, or is busy; nothing was changed.
    pub const UNAVAILABLE: i64 = 10_000_503;
    /// Ours: the disk of the node's store is full; nothing was changed.
    pub const STORAGE_FULL: i64 = 10_000_507;
    /// Ours: quick tunnels are not offered by this node.
    pub const QUICK_TUNNELS_OFF: i64 = 10_000_404;
}

/// An answer: a result, or errors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope<T> {
    /// Whether `result` is what was asked for.
    pub success: bool,
    /// Why not; empty on success.
    #[serde(default = "Vec::new")]
    pub errors: Vec<ApiError>,
    /// Texts, never objects: stock agents decode them as strings.
    #[serde(default = "Vec::new")]
    pub messages: Vec<String>,
    /// Always sent, `null` on failure: some clients fail where it is absent.
    #[serde(default = "Option::default")]
    pub result: Option<T>,
    /// Beside a list: which part of it this is.
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    pub result_info: Option<serde_json::Value>,
}

/// One error.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    /// See [`codes`]. Sent as a number; some servers send a text, which is read too.
    #[serde(deserialize_with = "code")]
    pub code: i64,
    /// For a person.
    #[serde(default)]
    pub message: String,
    /// Where in the body, as a JSON pointer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// What lies beneath; older clients print it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(no_recursion))]
    pub error_chain: Vec<ApiError>,
}

/// Where an error lies.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// A JSON pointer into the body (RFC 6901).
    pub pointer: String,
}

impl ApiError {
    /// An error by itself.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), ..Self::default() }
    }
}

impl<T> Envelope<T> {
    /// A success.
    pub fn success(result: T) -> Self {
        Self { success: true, errors: Vec::new(), messages: Vec::new(), result: Some(result), result_info: None }
    }
}

impl Envelope<()> {
    /// A failure.
    pub fn failure(errors: Vec<ApiError>) -> Self {
        Self { success: false, errors, messages: Vec::new(), result: None, result_info: None }
    }

    /// The answer for everything that is not there.
    pub fn no_route(path: &str) -> Self {
        let path: String = path.chars().take(200).collect();
        let first = format!("Could not route to {path}, perhaps your object identifier is invalid?");
        let errors = [(codes::NO_SUCH_OBJECT, first), (codes::NO_ROUTE, "No route for that URI".to_owned())];
        Self::failure(errors.into_iter().map(|(code, message)| ApiError::new(code, message)).collect())
    }
}

fn code<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Code {
        Number(i64),
        Text(String),
    }
    Ok(match Code::deserialize(deserializer)? {
        Code::Number(number) => number,
        Code::Text(text) => text.trim().parse().unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_keeps_a_null_result_and_numeric_codes() {
        let text = serde_json::to_string(&Envelope::no_route("/client/v4/nothing")).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["result"], serde_json::Value::Null);
        assert!(value.as_object().unwrap().contains_key("result"));
        assert_eq!((&value["errors"][0]["code"], &value["errors"][1]["code"]), (&7003.into(), &7000.into()));
        assert_eq!(value["messages"], serde_json::json!([]));
    }

    #[test]
    fn a_code_sent_as_a_text_is_read_and_missing_lists_are_empty() {
        let envelope: Envelope<u8> =
            serde_json::from_str(r#"{"success":false,"errors":[{"code":"1013","message":"x"}]}"#).unwrap();
        assert_eq!(envelope.errors[0].code, 1013);
        assert_eq!((envelope.result, envelope.messages.len()), (None, 0));
    }
}
