//! How an origin is spoken to: what a rule, or the top level, says, and what holds in the end.

use std::time::Duration;

/// What a rule, or the top level, says; none: inherited.
#[derive(Debug, Clone, Default, PartialEq)]
#[allow(missing_docs, reason = "each is documented in `OriginSettings`, where it has its value")]
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

/// A rule of a SOCKS proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IpRule {
    /// A CIDR.
    pub prefix: String,
    /// Empty: all ports.
    pub ports: Vec<u16>,
    /// Allow or deny.
    pub allow: bool,
}

/// Asks for a signed token of the identity provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Without it, nothing is checked.
    pub required: bool,
    /// Whose keys sign.
    pub team_name: String,
    /// Accepted audiences.
    pub aud_tag: Vec<String>,
    /// Of the provider.
    pub environment: String,
}

/// Private flows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WarpRouting {
    /// Default 5 s.
    pub connect_timeout: Option<Duration>,
    /// Default 30 s.
    pub tcp_keep_alive: Option<Duration>,
    /// 0: no limit.
    pub max_active_flows: Option<u64>,
}

/// Rule over top over defaults: nothing optional is left that has a default.
#[derive(Debug, Clone, PartialEq)]
pub struct OriginSettings {
    /// To connect by TCP. Default 30 s.
    pub connect_timeout: Duration,
    /// For the TLS handshake. Default 10 s.
    pub tls_timeout: Duration,
    /// Period of TCP keep-alive. Default 30 s.
    pub tcp_keep_alive: Duration,
    /// Do not race IPv4 and IPv6.
    pub no_happy_eyeballs: bool,
    /// Idle connections kept. Default 100.
    pub keep_alive_connections: u32,
    /// How long they are kept. Default 90 s.
    pub keep_alive_timeout: Duration,
    /// `Host` for the origin; empty: the visitor's goes on.
    pub http_host_header: String,
    /// Name in the origin's certificate; empty: its host.
    pub origin_server_name: String,
    /// The request's `Host` is the name in the certificate.
    pub match_sni_to_host: bool,
    /// A PEM file of further roots; empty: none.
    pub ca_pool: String,
    /// Accept any certificate.
    pub no_tls_verify: bool,
    /// Send `Content-Length` instead of chunks.
    pub disable_chunked_encoding: bool,
    /// Speak HTTP/2 to the origin.
    pub http2_origin: bool,
    /// The rule is a bastion.
    pub bastion_mode: bool,
    /// Legacy. Default 127.0.0.1.
    pub proxy_address: String,
    /// Legacy. Default 0.
    pub proxy_port: u16,
    /// Empty or `socks`.
    pub proxy_type: String,
    /// Of a SOCKS proxy; none matches: deny.
    pub ip_rules: Vec<IpRule>,
    /// A token is asked for.
    pub access: Option<Access>,
}

impl OriginSettings {
    /// Rule over top over defaults.
    pub fn merge(rule: &OriginRequest, top: &OriginRequest) -> Self {
        macro_rules! pick {
            ($field:ident, $default:expr) => {
                rule.$field.clone().or_else(|| top.$field.clone()).unwrap_or($default)
            };
        }
        Self {
            connect_timeout: pick!(connect_timeout, Duration::from_secs(30)),
            tls_timeout: pick!(tls_timeout, Duration::from_secs(10)),
            tcp_keep_alive: pick!(tcp_keep_alive, Duration::from_secs(30)),
            no_happy_eyeballs: pick!(no_happy_eyeballs, false),
            keep_alive_connections: pick!(keep_alive_connections, 100),
            keep_alive_timeout: pick!(keep_alive_timeout, Duration::from_secs(90)),
            http_host_header: pick!(http_host_header, String::new()),
            origin_server_name: pick!(origin_server_name, String::new()),
            match_sni_to_host: pick!(match_sni_to_host, false),
            ca_pool: pick!(ca_pool, String::new()),
            no_tls_verify: pick!(no_tls_verify, false),
            disable_chunked_encoding: pick!(disable_chunked_encoding, false),
            http2_origin: pick!(http2_origin, false),
            bastion_mode: pick!(bastion_mode, false),
            proxy_address: pick!(proxy_address, "127.0.0.1".to_owned()),
            proxy_port: pick!(proxy_port, 0),
            proxy_type: pick!(proxy_type, String::new()),
            ip_rules: pick!(ip_rules, Vec::new()),
            access: rule.access.clone().or_else(|| top.access.clone()),
        }
    }
}
