//! Webhooks: programs that are told, at a URL.

use serde_json::json;

use crate::{At, Schema, ShapeError, Timestamp, WebhookId};

/// Longest URL, in characters.
pub const URL_CHARS_MAX: usize = 2048;

/// Longest secret, in characters.
pub const SECRET_CHARS_MAX: usize = 512;

/// A webhook. Its secret is not here: it is never told again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// What it is called.
    pub name: String,
    /// Where it is called.
    pub url: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When a notice was last taken there.
    pub last_success: Option<Timestamp>,
    /// When one last was not.
    pub last_failure: Option<Timestamp>,
}

/// A secret as a body brings it. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(String);

/// What a body says of a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookDraft {
    /// See [`Webhook::name`].
    pub name: String,
    /// See [`Webhook::url`]; whether it can be gone to is for the guard to say.
    pub url: String,
    /// None: as it was; empty: none from now on.
    pub secret: Option<WebhookSecret>,
}

impl WebhookSecret {
    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

impl WebhookDraft {
    /// What [`Self::read`] takes.
    pub fn schema() -> Schema {
        let members = [
            ("name", Schema::text(super::NAME_CHARS_MAX).not_empty().required()),
            ("url", Schema::text(URL_CHARS_MAX).with("format", "uri").required()),
            ("secret", Schema::text(SECRET_CHARS_MAX).about("visible characters of ASCII; it is in no answer")),
        ];
        let example =
            json!({ "name": "ops", "url": "https://hooks.example.com/poterne", "secret": "correct-horse-battery-staple" });
        Schema::object(members).named("WebhookText").example(example)
    }

    /// From the body of a POST or a PUT.
    ///
    /// # Errors
    /// The first member that is wrong; a secret is not repeated.
    pub fn read(body: &At<'_>) -> Result<Self, ShapeError> {
        body.object()?;
        let secret = body.member("secret").map(|at| secret(&at)).transpose()?;
        let url = body.required("url")?.text(URL_CHARS_MAX)?.trim().to_owned();
        Ok(Self { name: super::name(&body.required("name")?)?, url, secret })
    }
}

fn secret(at: &At<'_>) -> Result<WebhookSecret, ShapeError> {
    let wrong = || {
        let why = format!("{} is no secret: write at most {SECRET_CHARS_MAX} visible characters of ASCII", at.pointer());
        ShapeError::new(at.pointer(), why)
    };
    // It is sent as a field of a header.
    let text =
        at.value.as_str().filter(|text| text.len() <= SECRET_CHARS_MAX && text.bytes().all(|byte| byte.is_ascii_graphic()));
    text.map(|text| WebhookSecret(text.to_owned())).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_draft_is_read_and_its_secret_is_in_no_message() {
        let read = |body: Value| WebhookDraft::read(&At::body(&body));
        let draft = read(json!({ "name": " ops ", "url": "https://a.example/", "secret": "hush" })).unwrap();
        assert_eq!((draft.name.as_str(), draft.secret.as_ref().map(WebhookSecret::expose)), ("ops", Some("hush")));
        assert!(!format!("{draft:?}").contains("hush"));
        assert_eq!(read(json!({ "name": "ops", "url": "x", "secret": null })).unwrap().secret, None);
        for secret in ["hush\r\nx: y", "hush hush", &"hush".repeat(200), "hüsh"] {
            let error = read(json!({ "name": "ops", "url": "x", "secret": secret })).unwrap_err();
            assert!(error.pointer == "/secret" && !error.why.contains("hush"), "{error:?}");
        }
        assert_eq!(read(json!({ "name": "", "url": "x" })).unwrap_err().pointer, "/name");
        assert_eq!(read(json!({ "name": "a\nb", "url": "x" })).unwrap_err().pointer, "/name");
        assert_eq!(read(json!({ "name": "ops" })).unwrap_err().pointer, "/url");
    }
}
