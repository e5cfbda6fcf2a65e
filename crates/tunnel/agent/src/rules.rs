//! The configuration in force: rules compiled once, with what each needs to reach its service.
//!
//! A configuration is taken whole or not at all. Requests in flight keep the rules they began with; connections to services that
//! did not change are not carried over, they close when their last request is answered.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::HeaderValue;
use hyper::client::conn::http2;
use poterne_tunnel_proto::config::{
    ConfigurationAnswer, HttpScheme, IpRule, Matcher, OriginSettings, Service, TunnelConfig, WarpRouting,
};
use rustls::ClientConfig;

use crate::{
    metrics::AgentMetrics,
    origin::{
        connect::ConnectOptions,
        pool::{Pool, RequestBody},
        tls,
    },
};

/// A configuration that is well-formed and still cannot be obeyed here.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// It contradicts itself; the text names rule, key and remedy.
    #[error(transparent)]
    Config(#[from] poterne_tunnel_proto::config::ConfigError),
    /// A rule needs something this machine does not have.
    #[error("ingress rule {rule} ({service}): {reason}")]
    Rule {
        /// From 1.
        rule: usize,
        /// As written.
        service: String,
        /// What is missing.
        reason: String,
    },
}

/// All rules, ready to serve.
#[derive(Debug)]
pub(crate) struct Rules {
    matcher: Matcher,
    targets: Vec<Arc<Target>>,
    pub(crate) warp: WarpRouting,
    pub(crate) version: i32,
    pub(crate) json: Bytes,
}

/// Where one rule leads.
#[derive(Debug)]
pub(crate) enum Target {
    Http(Box<HttpTarget>),
    Status(http::StatusCode),
    HelloWorld,
    Flow {
        host: String,
        port: u16,
        connect: ConnectOptions,
    },
    Bastion {
        connect: ConnectOptions,
    },
    Socks {
        rules: Vec<IpPolicy>,
        connect: ConnectOptions,
    },
    /// `access.required`: only the vendor can verify such a token, so nobody passes.
    AccessRequired,
}

impl Target {
    /// As it is told in logs.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Http(service) => &service.name,
            Self::Status(_) => "http_status",
            Self::HelloWorld => "hello_world",
            Self::Flow { host, .. } => host,
            Self::Bastion { .. } => "bastion",
            Self::Socks { .. } => "socks-proxy",
            Self::AccessRequired => "access",
        }
    }
}

/// An HTTP service and its connections.
#[derive(Debug)]
pub(crate) struct HttpTarget {
    pub(crate) reach: Reach,
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) tls_timeout: Duration,
    /// SNI and verified name, unless the visitor's host is to be used.
    pub(crate) server_name: String,
    pub(crate) match_sni_to_host: bool,
    pub(crate) connect: ConnectOptions,
    pub(crate) host_header: Option<HeaderValue>,
    /// `http2Origin` on a plain `http://` service: prior knowledge, as gRPC servers expect.
    pub(crate) http2_prior: bool,
    pub(crate) http2: Mutex<Option<http2::SendRequest<RequestBody>>>,
    pub(crate) buffer_chunked: bool,
    pub(crate) pool: Pool,
    /// As written, for messages.
    pub(crate) name: String,
}

#[derive(Debug)]
pub(crate) enum Reach {
    Tcp { host: String, port: u16 },
    Unix(String),
}

/// One compiled line of `ipRules`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct IpPolicy {
    network: IpAddr,
    bits: u8,
    ports: Vec<u16>,
    allow: bool,
}

impl IpPolicy {
    fn compile(rule: &IpRule) -> Option<Self> {
        let (address, bits) = rule.prefix.split_once('/')?;
        let network: IpAddr = address.parse().ok()?;
        let bits: u8 = bits.parse().ok()?;
        let bits_max = if network.is_ipv4() { 32 } else { 128 };
        (bits <= bits_max).then(|| Self { network, bits, ports: rule.ports.clone(), allow: rule.allow })
    }

    fn covers(&self, ip: IpAddr, port: u16) -> bool {
        let shared = match (self.network, ip) {
            (IpAddr::V4(network), IpAddr::V4(ip)) => (network.to_bits() ^ ip.to_bits()).leading_zeros(),
            (IpAddr::V6(network), IpAddr::V6(ip)) => (network.to_bits() ^ ip.to_bits()).leading_zeros(),
            _ => return false,
        };
        shared >= u32::from(self.bits) && (self.ports.is_empty() || self.ports.contains(&port))
    }
}

/// The first rule that covers the destination decides; none: denied (reference §7.3).
pub(crate) fn is_allowed(rules: &[IpPolicy], ip: IpAddr, port: u16) -> bool {
    let ip = ip.to_canonical();
    rules.iter().find(|rule| rule.covers(ip, port)).is_some_and(|rule| rule.allow)
}

impl Rules {
    pub(crate) fn compile(config: &TunnelConfig, version: i32) -> Result<Self, RulesError> {
        let matcher = Matcher::new(config)?;
        let mut clients = HashMap::new();
        let targets =
            matcher
                .rules()
                .iter()
                .enumerate()
                .map(|(at, matched)| {
                    target(&matched.rule.service, &matched.origin, &mut clients)
                        .map(Arc::new)
                        .map_err(|reason| RulesError::Rule { rule: at + 1, service: matched.rule.service.to_string(), reason })
                })
                .collect::<Result<_, _>>()?;
        Ok(Self { matcher, targets, warp: config.warp_routing, version, json: config.to_json() })
    }

    /// Where this request goes. `host` may carry a port.
    pub(crate) fn find(&self, host: &str, path: &str) -> (usize, &Arc<Target>) {
        let (at, _) = self.matcher.find(host, path);
        (at, &self.targets[at])
    }

    pub(crate) fn sweep(&self, now: Instant) {
        for target in &self.targets {
            if let Target::Http(http) = &**target {
                http.pool.sweep(now);
            }
        }
    }
}

type ClientKey = (String, bool, bool);

fn target(
    service: &Service,
    settings: &OriginSettings,
    clients: &mut HashMap<ClientKey, Arc<ClientConfig>>,
) -> Result<Target, String> {
    if settings.access.as_ref().is_some_and(|access| access.required) {
        tracing::warn!(
            %service,
            "originRequest.access.required asks for tokens that only their issuer can verify; every request to this rule gets 403"
        );
        return Ok(Target::AccessRequired);
    }
    let connect = ConnectOptions {
        timeout: settings.connect_timeout,
        keep_alive: settings.tcp_keep_alive,
        happy_eyeballs: !settings.no_happy_eyeballs,
    };
    if settings.bastion_mode {
        return Ok(Target::Bastion { connect });
    }
    let socks = || {
        let compile = |rule: &IpRule| {
            IpPolicy::compile(rule)
                .ok_or_else(|| format!("originRequest.ipRules: {:?} is not a network such as 10.0.0.0/8", rule.prefix))
        };
        let rules = settings.ip_rules.iter().map(compile).collect::<Result<_, _>>()?;
        Ok::<_, String>(Target::Socks { rules, connect })
    };
    let mut http = |reach: Reach, host: &str, is_tls: bool| {
        let client = if is_tls {
            let key = (settings.ca_pool.clone(), !settings.no_tls_verify, settings.http2_origin);
            if !clients.contains_key(&key) {
                let client = tls::client_config(&key.0, key.1, key.2).map_err(|error| error.to_string())?;
                clients.insert(key.clone(), client);
            }
            clients.get(&key).cloned()
        } else {
            None
        };
        let host_header = match settings.http_host_header.as_str() {
            "" => None,
            host => Some(
                HeaderValue::from_str(host)
                    .map_err(|_| format!("originRequest.httpHostHeader: {host:?} cannot be a Host field"))?,
            ),
        };
        let server_name = if settings.origin_server_name.is_empty() { host } else { &settings.origin_server_name };
        Ok::<_, String>(Target::Http(Box::new(HttpTarget {
            reach,
            tls: client,
            tls_timeout: settings.tls_timeout,
            server_name: server_name.trim_start_matches('[').trim_end_matches(']').to_owned(),
            match_sni_to_host: settings.match_sni_to_host,
            connect,
            host_header,
            http2_prior: settings.http2_origin && !is_tls,
            http2: Mutex::default(),
            buffer_chunked: settings.disable_chunked_encoding,
            pool: Pool::new(usize::try_from(settings.keep_alive_connections).unwrap_or(usize::MAX), settings.keep_alive_timeout),
            name: service.to_string(),
        })))
    };
    match service {
        Service::Http(origin) => {
            let is_tls = matches!(origin.scheme, HttpScheme::Https | HttpScheme::Wss);
            http(Reach::Tcp { host: origin.host.clone(), port: origin.port() }, &origin.host, is_tls)
        }
        Service::Unix { path, tls } => http(Reach::Unix(path.clone()), "localhost", *tls),
        Service::HttpStatus(code) => {
            http::StatusCode::from_u16(*code).map(Target::Status).map_err(|_| format!("{code} is not a status; use 100 to 999"))
        }
        Service::HelloWorld => Ok(Target::HelloWorld),
        Service::Bastion => Ok(Target::Bastion { connect }),
        Service::SocksProxy => socks(),
        Service::Tcp { .. } if settings.proxy_type == "socks" => socks(),
        Service::Tcp { host, port, .. } => Ok(Target::Flow { host: host.clone(), port: *port, connect }),
    }
}

/// The rules in force and their replacement.
#[derive(Debug)]
pub(crate) struct RulesBook {
    current: ArcSwap<Rules>,
    applying: Mutex<()>,
}

impl RulesBook {
    /// Version −1: any pushed configuration is newer. Without local rules everything is answered 503 until one comes.
    pub(crate) fn new(local: &TunnelConfig) -> Result<Self, RulesError> {
        Ok(Self { current: ArcSwap::from_pointee(Rules::compile(local, -1)?), applying: Mutex::new(()) })
    }

    pub(crate) fn load(&self) -> arc_swap::Guard<Arc<Rules>> {
        self.current.load()
    }

    pub(crate) fn load_full(&self) -> Arc<Rules> {
        self.current.load_full()
    }

    /// Applies a pushed configuration if it is newer than the one in force (reference §7.1).
    pub(crate) fn apply(&self, version: i32, json: &[u8], metrics: &AgentMetrics) -> ConfigurationAnswer {
        let _one_at_a_time = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.current.load().version;
        if version <= current {
            return ConfigurationAnswer { latest_applied_version: current, error: None };
        }
        let compiled =
            TunnelConfig::from_json(json).map_err(RulesError::from).and_then(|config| Rules::compile(&config, version));
        match compiled {
            Ok(rules) => {
                self.current.store(Arc::new(rules));
                metrics.config_version.store(version, Ordering::Relaxed);
                tracing::info!(version, "Updated to new configuration");
                ConfigurationAnswer { latest_applied_version: version, error: None }
            }
            Err(error) => {
                tracing::error!(version, %error, "the edge sent a configuration that cannot be used; the previous one stays");
                ConfigurationAnswer { latest_applied_version: current, error: Some(error.to_string()) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_newer_and_valid_configurations_are_applied() {
        let metrics = AgentMetrics::default();
        let book = RulesBook::new(&TunnelConfig::default()).unwrap();
        let (_, target) = {
            let rules = book.load_full();
            let (at, target) = rules.find("any.example", "/");
            (at, target.clone())
        };
        assert!(matches!(*target, Target::Status(status) if status == 503));
        let good = br#"{"ingress":[{"service":"http_status:404"}]}"#;
        assert_eq!(book.apply(0, good, &metrics), ConfigurationAnswer { latest_applied_version: 0, error: None });
        assert_eq!(book.apply(0, b"not even read", &metrics), ConfigurationAnswer { latest_applied_version: 0, error: None });
        let refused =
            book.apply(7, br#"{"ingress":[{"service":"https://u","originRequest":{"caPool":"/nowhere.pem"}}]}"#, &metrics);
        assert_eq!(refused.latest_applied_version, 0);
        let text = refused.error.unwrap();
        assert!(text.contains("ingress rule 1 ") && text.contains("/nowhere.pem"), "{text}");
    }

    #[test]
    fn the_first_ip_rule_decides_and_none_denies() {
        let rule = |prefix: &str, ports: &[u16], allow| {
            IpPolicy::compile(&IpRule { prefix: prefix.into(), ports: ports.to_vec(), allow }).unwrap()
        };
        let rules = [rule("10.1.0.0/16", &[], false), rule("10.0.0.0/8", &[22, 80], true), rule("fd00::/8", &[], true)];
        let allowed = |ip: &str, port| is_allowed(&rules, ip.parse().unwrap(), port);
        assert!(allowed("10.2.3.4", 22) && allowed("fd12::1", 9) && allowed("::ffff:10.2.3.4", 80));
        assert!(!allowed("10.1.3.4", 22) && !allowed("10.2.3.4", 23) && !allowed("11.0.0.1", 22));
        assert!(!is_allowed(&[], "10.0.0.1".parse().unwrap(), 22));
    }
}
