//! What is done to a URL before rules, cache and origin see it (edge-behaviour §4.8, api-v4 §10).

use serde::{Deserialize, Serialize};

use crate::{At, ShapeError};

/// How, and for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UrlNormalization {
    /// How.
    #[serde(rename = "type")]
    pub kind: NormalizationKind,
    /// For whom.
    pub scope: NormalizationScope,
}

/// How.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NormalizationKind {
    /// As RFC 3986 §6.2.2, after `\` became `/` and `//` became `/`.
    Cloudflare,
    /// As RFC 3986 §6.2.2 alone.
    Rfc3986,
}

/// For whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NormalizationScope {
    /// Rules and cache; the origin gets the URL as it came.
    Incoming,
    /// The origin too.
    Both,
}

impl Default for UrlNormalization {
    /// Both: rules that see one path while the origin serves another are how rules are got around.
    fn default() -> Self {
        Self { kind: NormalizationKind::Cloudflare, scope: NormalizationScope::Both }
    }
}

impl UrlNormalization {
    /// From the body of a PUT.
    ///
    /// # Errors
    /// A member is missing or none of its words.
    pub fn read(body: &At<'_>) -> Result<Self, ShapeError> {
        body.object()?;
        let kind = match body.required("type")?.one_of(&["cloudflare", "rfc3986"])? {
            "rfc3986" => NormalizationKind::Rfc3986,
            _ => NormalizationKind::Cloudflare,
        };
        let scope = match body.required("scope")?.one_of(&["incoming", "both"])? {
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
