//! What is done to a URL before rules, cache and origin see it (edge-behaviour §4.8, api-v4 §10).

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{At, Schema, ShapeError};

/// How, and for whom.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UrlNormalization {
    /// How.
    #[serde(rename = "type")]
    pub kind: NormalizationKind,
    /// For whom.
    pub scope: NormalizationScope,
}

/// How.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NormalizationKind {
    /// As RFC 3986 §6.2.2, after `\` became `/` and `//` became `/`.
    Cloudflare,
    /// As RFC 3986 §6.2.2 alone.
    Rfc3986,
}

/// For whom.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NormalizationScope {
    /// Rules and cache; the origin gets the URL as it came.
    Incoming,
    /// The origin too.
    Both,
}

const KINDS: &[&str] = &["cloudflare", "rfc3986"];

const SCOPES: &[&str] = &["incoming", "both"];

impl Default for UrlNormalization {
    /// Both: rules that see one path while the origin serves another are how rules are got around.
    fn default() -> Self {
        Self { kind: NormalizationKind::Cloudflare, scope: NormalizationScope::Both }
    }
}

impl UrlNormalization {
    /// What [`Self::read`] reads.
    pub fn body() -> Schema {
        let (kind, scope) = (Schema::one_of(KINDS).required(), Schema::one_of(SCOPES).required());
        Schema::object([("type", kind), ("scope", scope)])
            .named("NewUrlNormalization")
            .example(json!({ "type": "rfc3986", "scope": "both" }))
    }

    /// From the body of a PUT.
    ///
    /// # Errors
    /// A member is missing or none of its words.
    pub fn read(body: &At<'_>) -> Result<Self, ShapeError> {
        body.object()?;
        let kind = match body.required("type")?.one_of(KINDS)? {
            "rfc3986" => NormalizationKind::Rfc3986,
            _ => NormalizationKind::Cloudflare,
        };
        let scope = match body.required("scope")?.one_of(SCOPES)? {
            "both" => NormalizationScope::Both,
            _ => NormalizationScope::Incoming,
        };
        Ok(Self { kind, scope })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_told_reads_the_same() {
        for kind in ["cloudflare", "rfc3986"] {
            for scope in ["incoming", "both"] {
                let body = json!({"type": kind, "scope": scope});
                assert_eq!(serde_json::to_value(UrlNormalization::read(&At::body(&body)).unwrap()).unwrap(), body);
            }
        }
        assert_eq!(UrlNormalization::read(&At::body(&json!({"type": "cloudflare"}))).unwrap_err().pointer, "/scope");
        assert_eq!(UrlNormalization::read(&At::body(&json!({"type": "x", "scope": "both"}))).unwrap_err().pointer, "/type");
    }
}
