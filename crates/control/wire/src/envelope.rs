//! The envelope around every answer (api-v4 §1.3).

use serde::{Deserialize, Deserializer, Serialize};

/// Error codes that clients branch on or people search for (api-v4 §1.9). Each is born here.
pub mod codes {
    /// Too many requests.
    pub const RATE_LIMITED: i64 = 971;
    /// No such route.
    pub const NO_ROUTE: i64 = 7000;
    /// No such route, or an identifier of the wrong form; sent together with [`NO_ROUTE`].
    pub const NO_SUCH_OBJECT: i64 = 7003;
    /// The method is not for this route.
    pub const METHOD_NOT_ALLOWED: i64 = 10405;
    /// Ours: the node failed, and its log says why.
    pub const INTERNAL: i64 = 10_000_500;
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
}

/// One error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    /// See [`codes`]. Sent as a number; some servers send a text, which is read too.
    #[serde(deserialize_with = "code")]
    pub code: i64,
    /// For a person.
    #[serde(default)]
    pub message: String,
}

impl<T> Envelope<T> {
    /// A success.
    pub fn success(result: T) -> Self {
        Self { success: true, errors: Vec::new(), messages: Vec::new(), result: Some(result) }
    }
}

impl Envelope<()> {
    /// A failure.
    pub fn failure(errors: Vec<ApiError>) -> Self {
        Self { success: false, errors, messages: Vec::new(), result: None }
    }

    /// The answer for everything that is not there.
    pub fn no_route(path: &str) -> Self {
        let path: String = path.chars().take(200).collect();
        let first = format!("Could not route to {path}, perhaps your object identifier is invalid?");
        let errors = [(codes::NO_SUCH_OBJECT, first), (codes::NO_ROUTE, "No route for that URI".to_owned())];
        Self::failure(errors.into_iter().map(|(code, message)| ApiError { code, message }).collect())
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
