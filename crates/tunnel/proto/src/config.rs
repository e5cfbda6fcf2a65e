//! Configuration.
#![allow(unused_variables, clippy::todo, missing_docs)]
use bytes::Bytes;
use std::{collections::BTreeMap, time::Duration};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigurationAnswer {
    pub latest_applied_version: i32,
    pub error: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct TunnelConfig {
    pub ingress: Vec<IngressRule>,
    pub origin_request: OriginRequest,
    pub warp_routing: WarpRouting,
}
#[derive(Debug, Clone, PartialEq)]
pub struct IngressRule {
    pub hostname: String,
    pub path: Option<String>,
    pub service: Service,
    pub origin_request: OriginRequest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpScheme {
    Http,
    Https,
    Ws,
    Wss,
}
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpOrigin {
    pub scheme: HttpScheme,
    pub host: String,
    pub port: Option<u16>,
}
impl HttpOrigin {
    pub fn tls(&self) -> bool {
        todo!()
    }
    /// 80 or 443 when none was given.
    pub fn port(&self) -> u16 {
        todo!()
    }
    /// `host` or `host:port`, IPv6 in brackets.
    pub fn authority(&self) -> String {
        todo!()
    }
}
/// Display gives the configuration's own spelling back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Service {
    Http(HttpOrigin),
    Unix {
        path: String,
        tls: bool,
    },
    HttpStatus(u16),
    HelloWorld,
    Bastion,
    SocksProxy,
    /// tcp, ssh, rdp, smb or any other scheme; the default port is filled in.
    Tcp {
        scheme: String,
        host: String,
        port: u16,
    },
}
impl std::fmt::Display for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}
impl std::str::FromStr for Service {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        todo!()
    }
}

/// What a rule, or the top level, says; None: inherited.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OriginRequest {
    pub connect_timeout: Option<Duration>,
    pub tls_timeout: Option<Duration>,
    pub tcp_keep_alive: Option<Duration>,
    pub no_happy_eyeballs: Option<bool>,
    pub keep_alive_connections: Option<u32>,
    pub keep_alive_timeout: Option<Duration>,
    pub http_host_header: Option<String>,
    pub origin_server_name: Option<String>,
    pub match_sni_to_host: Option<bool>,
    pub ca_pool: Option<String>,
    pub no_tls_verify: Option<bool>,
    pub disable_chunked_encoding: Option<bool>,
    pub http2_origin: Option<bool>,
    pub bastion_mode: Option<bool>,
    pub proxy_address: Option<String>,
    pub proxy_port: Option<u16>,
    pub proxy_type: Option<String>,
    pub ip_rules: Option<Vec<IpRule>>,
    pub access: Option<Access>,
}
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpRule {
    pub prefix: String,
    pub ports: Vec<u16>,
    pub allow: bool,
}
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    pub required: bool,
    pub team_name: String,
    pub aud_tag: Vec<String>,
    pub environment: String,
}
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WarpRouting {
    pub connect_timeout: Option<Duration>,
    pub tcp_keep_alive: Option<Duration>,
    pub max_active_flows: Option<u64>,
}

/// Rule over top over defaults: nothing optional is left that has a default.
#[derive(Debug, Clone, PartialEq)]
pub struct OriginSettings {
    pub connect_timeout: Duration,
    pub tls_timeout: Duration,
    pub tcp_keep_alive: Duration,
    pub no_happy_eyeballs: bool,
    pub keep_alive_connections: u32,
    pub keep_alive_timeout: Duration,
    /// Empty: the visitor's Host goes on.
    pub http_host_header: String,
    pub origin_server_name: String,
    pub match_sni_to_host: bool,
    pub ca_pool: String,
    pub no_tls_verify: bool,
    pub disable_chunked_encoding: bool,
    pub http2_origin: bool,
    pub bastion_mode: bool,
    pub proxy_address: String,
    pub proxy_port: u16,
    pub proxy_type: String,
    pub ip_rules: Vec<IpRule>,
    pub access: Option<Access>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("todo")]
pub struct ConfigError;

impl TunnelConfig {
    /// Remote JSON: durations are whole seconds, keys in any case, unknown keys ignored. Validated.
    pub fn from_json(json: &[u8]) -> Result<Self, ConfigError> {
        todo!()
    }
    pub fn to_json(&self) -> Bytes {
        todo!()
    }
    pub fn validate(&self) -> Result<(), ConfigError> {
        todo!()
    }
    /// §7.4: what is told to the edge of a locally managed tunnel.
    pub fn local_configuration(&self, flags: &BTreeMap<String, String>) -> Bytes {
        todo!()
    }
}

/// Any YAML or JSON value, for `serde_saphyr::from_str::<Document>`; key order is kept.
#[derive(Debug, Clone, PartialEq)]
pub enum Document {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Document>),
    Map(Vec<(String, Document)>),
}
impl<'de> serde::Deserialize<'de> for Document {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        todo!()
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
    pub fn from_document(document: Document) -> Result<Self, ConfigError> {
        todo!()
    }
}
/// Go's spelling: `1m30s`, `500ms`, `1.5h`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    todo!()
}

#[derive(Debug)]
pub struct MatchedRule {
    pub rule: IngressRule,
    pub origin: OriginSettings,
}
#[derive(Debug)]
pub struct Matcher {
    rules: Vec<MatchedRule>,
}
impl Matcher {
    /// Compiled once per configuration. An empty ingress gives the single rule http_status:503.
    pub fn new(config: &TunnelConfig) -> Result<Self, ConfigError> {
        todo!()
    }
    /// `host` may carry a port; `path` without query. Index 0-based.
    pub fn find(&self, host: &str, path: &str) -> (usize, &MatchedRule) {
        todo!()
    }
    pub fn rules(&self) -> &[MatchedRule] {
        &self.rules
    }
}
