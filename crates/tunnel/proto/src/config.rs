//! A tunnel's configuration: ingress rules and how origins are spoken to.
//!
//! It comes as JSON, pushed by the edge, or out of the agent's own YAML file; both become a [`TunnelConfig`], are validated by the
//! same rules, and are compiled once into a [`Matcher`]. Reading the YAML text itself is the agent's.

mod document;
mod matcher;
mod origin;
mod read;
mod service;
mod write;

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;

use self::read::{Durations, Reader};
pub use self::{
    document::Document,
    matcher::{MatchedRule, Matcher},
    origin::{Access, IpRule, OriginRequest, OriginSettings, WarpRouting},
    service::{HttpOrigin, HttpScheme, Service},
};

/// Longest configuration read, in bytes.
pub const CONFIG_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What an agent says to a pushed configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigurationAnswer {
    /// The version in force now.
    pub latest_applied_version: i32,
    /// Why the pushed one is not.
    pub error: Option<String>,
}

/// A whole configuration.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TunnelConfig {
    /// The first rule that fits counts; the last one fits everything.
    pub ingress: Vec<IngressRule>,
    /// For all rules that say nothing else.
    pub origin_request: OriginRequest,
    /// Private flows.
    pub warp_routing: WarpRouting,
}

/// One rule.
#[derive(Debug, Clone, PartialEq)]
pub struct IngressRule {
    /// Exact, or `*.` and a suffix; empty or `*`: every host.
    pub hostname: String,
    /// An expression searched for in the URL's path; none: every path.
    pub path: Option<String>,
    /// Where it leads.
    pub service: Service,
    /// What differs from the top level.
    pub origin_request: OriginRequest,
}

impl IngressRule {
    fn is_catch_all(&self) -> bool {
        matches!(self.hostname.as_str(), "" | "*") && self.path.is_none()
    }
}

/// Why a configuration is refused whole: rule, key, value and remedy in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl ConfigError {
    fn new(text: String) -> Self {
        Self(text.chars().take(1000).collect())
    }
}

impl TunnelConfig {
    /// Remote JSON: durations are whole seconds, keys in any case, unknown keys ignored. Validated.
    ///
    /// # Errors
    /// It is not JSON, or breaks a rule of [`Self::validate`].
    pub fn from_json(json: &[u8]) -> Result<Self, ConfigError> {
        if json.len() > CONFIG_BYTES_MAX {
            return Err(ConfigError::new(format!(
                "the configuration has {} bytes: at most {CONFIG_BYTES_MAX} are read",
                json.len()
            )));
        }
        let document =
            serde_json::from_slice(json).map_err(|e| ConfigError::new(format!("the configuration is not JSON: {e}")))?;
        let (config, _) = Reader { durations: Durations::Seconds, unknown: Vec::new() }.config(document)?;
        config.validate()?;
        Ok(config)
    }

    /// As [`Self::from_json`] reads it.
    pub fn to_json(&self) -> Bytes {
        write::json(self)
    }

    /// Every rule leads somewhere, and nothing is unreachable or ambiguous. An empty ingress is valid.
    ///
    /// # Errors
    /// Names the first rule that is wrong, counted from 1.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let last = self.ingress.len();
        for (number, rule) in (1..).zip(&self.ingress) {
            let wrong = |why: String| {
                let host = if rule.hostname.is_empty() { String::new() } else { format!(" ({})", rule.hostname) };
                Err(ConfigError::new(format!("ingress rule {number}{host}: {why}")))
            };
            if number == last && !rule.is_catch_all() {
                return wrong(
                    "the last rule must match every request: add one with only a service, as in http_status:404".into(),
                );
            }
            if number < last && rule.is_catch_all() {
                return wrong("it matches every request, so the rules after it are never reached: move it to the end".into());
            }
            if rule.hostname.contains(':') {
                return wrong("hostname has a port: write the name alone".into());
            }
            if rule.hostname.trim_start_matches("*.").contains('*') && rule.hostname != "*" {
                return wrong("hostname has a '*' that is not its first label: write *.example.org".into());
            }
            if let Some(error) = rule.path.as_deref().and_then(|path| matcher::compile(path).err()) {
                // The parser draws the expression over several lines; its last says what is wrong.
                let error = error.to_string();
                let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
                let path = rule.path.as_deref().unwrap_or_default();
                return wrong(format!("path is no regular expression ({path:?}: {reason}): write one, as in ^/api/"));
            }
            for ip_rule in rule.origin_request.ip_rules.iter().flatten() {
                if !is_cidr(&ip_rule.prefix) {
                    return wrong(format!("ipRules: {:?} is no prefix: write 10.0.0.0/8", ip_rule.prefix));
                }
                if ip_rule.ports.contains(&0) {
                    return wrong("ipRules: port 0 does not exist: write 1 to 65535".into());
                }
            }
            if let Some(access) = &rule.origin_request.access
                && access.team_name.is_empty()
                && !access.aud_tag.is_empty()
            {
                return wrong("access: audTag needs a teamName".into());
            }
        }
        Ok(())
    }

    /// What is told to the edge of a locally managed tunnel, with the flags that were set.
    pub fn local_configuration(&self, flags: &BTreeMap<String, String>) -> Bytes {
        write::local(self, flags)
    }
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    match address.parse::<std::net::IpAddr>() {
        Ok(address) => bits.parse::<u8>().is_ok_and(|bits| bits <= if address.is_ipv4() { 32 } else { 128 }),
        Err(_) => false,
    }
}

/// The agent's config.yml.
#[derive(Debug, Clone, PartialEq)]
pub struct LocalFile {
    /// Validated; an empty ingress is allowed.
    pub config: TunnelConfig,
    /// Top-level keys that are not ingress, originRequest or warp-routing (tunnel, credentials-file, edge, protocol, …).
    pub others: Vec<(String, Document)>,
    /// Unknown keys below ingress, originRequest and warp-routing, by path; a warning each.
    pub unknown: Vec<String>,
}

impl LocalFile {
    /// From the tree that a YAML reader made. Durations are spelled as in `1m30s`.
    ///
    /// # Errors
    /// A value is of the wrong kind, or a rule of [`TunnelConfig::validate`] is broken.
    pub fn from_document(document: Document) -> Result<Self, ConfigError> {
        let mut reader = Reader { durations: Durations::Spelled, unknown: Vec::new() };
        let (config, others) = reader.config(document)?;
        config.validate()?;
        Ok(Self { config, others, unknown: reader.unknown })
    }
}

/// Go's spelling: `1m30s`, `500ms`, `1.5h`; units h, m, s, ms, us, µs, ns.
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let number_len = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, tail) = rest.split_at(number_len);
        let unit_len = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_len);
        let unit = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * unit).ok()?;
        total = total.checked_add(part)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests;
