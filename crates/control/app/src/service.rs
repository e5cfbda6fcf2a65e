//! Where a hostname leads, and how the agent speaks to it: what `tunnel route` may set of a rule.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::AppError;

/// Longest value, in bytes: a path.
const VALUE_BYTES_MAX: usize = 4096;

/// A service, as a rule names it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Service {
    /// As in `http://localhost:8080` (tunnel-protocol §7.3).
    pub url: String,
    /// What is set of the rule's `originRequest`.
    pub origin: OriginKeys,
}

impl From<&str> for Service {
    fn from(url: &str) -> Self {
        Self { url: url.to_owned(), origin: OriginKeys::default() }
    }
}

/// Keys of a rule's `originRequest` (tunnel-protocol §7.2). None: as it was before. `false` or an empty text takes the key away, which
/// is its default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OriginKeys {
    /// Take any certificate from the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_tls_verify: Option<bool>,
    /// The name expected in the service's certificate, and sent as SNI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin_server_name: Option<String>,
    /// A PEM file on the agent's machine with more authorities for the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_pool: Option<String>,
    /// `Host` sent to the service; the visitor's goes into `X-Forwarded-Host`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_host_header: Option<String>,
    /// Speak HTTP/2 to the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http2_origin: Option<bool>,
    /// Send a length instead of chunks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_chunked_encoding: Option<bool>,
}

impl OriginKeys {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Refuses what no agent could use.
    pub(crate) fn check(&self) -> Result<(), AppError> {
        for (key, value) in [
            ("originServerName", &self.origin_server_name),
            ("caPool", &self.ca_pool),
            ("httpHostHeader", &self.http_host_header),
        ] {
            let Some(value) = value else { continue };
            // A path may have spaces; a name may not.
            let is_path = key == "caPool";
            let fits = |c: char| !c.is_control() && (is_path || c.is_ascii_graphic());
            if value.len() > VALUE_BYTES_MAX || !value.chars().all(fits) {
                let value: String = value.chars().take(100).collect();
                return Err(AppError::OriginKey { key, value });
            }
        }
        Ok(())
    }

    /// Writes them into a rule.
    pub(crate) fn apply(&self, rule: &mut Map<String, Value>) {
        let truth = |value: Option<bool>| value.map(|truth| (truth, Value::from(truth)));
        let text = |value: &Option<String>| value.as_ref().map(|text| (!text.is_empty(), Value::from(text.as_str())));
        for (key, value) in [
            ("noTLSVerify", truth(self.no_tls_verify)),
            ("originServerName", text(&self.origin_server_name)),
            ("caPool", text(&self.ca_pool)),
            ("httpHostHeader", text(&self.http_host_header)),
            ("http2Origin", truth(self.http2_origin)),
            ("disableChunkedEncoding", truth(self.disable_chunked_encoding)),
        ] {
            let Some((is_set, value)) = value else { continue };
            let keys = rule.entry("originRequest").or_insert_with(|| Map::new().into());
            if !keys.is_object() {
                *keys = Map::new().into();
            }
            let Value::Object(keys) = keys else { continue };
            if is_set {
                keys.insert(key.into(), value);
            } else {
                keys.remove(key);
            }
        }
        if rule.get("originRequest").and_then(Value::as_object).is_some_and(Map::is_empty) {
            rule.remove("originRequest");
        }
    }
}
