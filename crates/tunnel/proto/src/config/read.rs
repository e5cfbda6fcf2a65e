//! From a tree of values to a configuration. JSON counts durations in whole seconds, YAML writes them as `1m30s`.

use std::time::Duration;

use super::{Access, ConfigError, Document, IngressRule, IpRule, OriginRequest, TunnelConfig, WarpRouting};

/// How the text at hand writes durations.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Durations {
    /// Whole seconds.
    Seconds,
    /// Go's spelling.
    Spelled,
}

/// Most ingress rules read, so that matching stays quick and memory bounded.
pub(super) const RULES_MAX: usize = 10_000;

pub(super) struct Reader {
    pub(super) durations: Durations,
    /// Paths of keys that nothing is known of.
    pub(super) unknown: Vec<String>,
}

impl Reader {
    fn wrong(at: &str, expected: &str, got: &Document) -> ConfigError {
        ConfigError::new(format!("{at} is {}: write {expected}", got.kind()))
    }

    fn text(at: &str, value: Document) -> Result<String, ConfigError> {
        match value {
            Document::Text(text) => Ok(text),
            Document::Integer(number) => Ok(number.to_string()),
            Document::Null => Ok(String::new()),
            other => Err(Self::wrong(at, "a text", &other)),
        }
    }

    fn bool(at: &str, value: &Document) -> Result<bool, ConfigError> {
        if let Document::Bool(value) = value { Ok(*value) } else { Err(Self::wrong(at, "true or false", value)) }
    }

    fn number<T: TryFrom<i64>>(at: &str, value: &Document) -> Result<T, ConfigError> {
        match value {
            Document::Integer(number) => T::try_from(*number)
                .map_err(|_| ConfigError::new(format!("{at} is {number}: write a number in its range, from 0"))),
            other => Err(Self::wrong(at, "a whole number", other)),
        }
    }

    fn duration(&self, at: &str, value: &Document) -> Result<Duration, ConfigError> {
        match (self.durations, value) {
            (Durations::Seconds, Document::Integer(seconds)) if *seconds >= 0 => Ok(Duration::from_secs(seconds.unsigned_abs())),
            (Durations::Seconds, other) => Err(Self::wrong(at, "whole seconds, as in 30", other)),
            (Durations::Spelled, Document::Text(text)) => super::parse_duration(text)
                .ok_or_else(|| ConfigError::new(format!("{at} is {text:?}: write a duration with its unit, as in 30s or 1m30s"))),
            (Durations::Spelled, Document::Integer(0)) => Ok(Duration::ZERO),
            (Durations::Spelled, other) => Err(Self::wrong(at, "a duration with its unit, as in 30s", other)),
        }
    }

    fn list(at: &str, value: Document) -> Result<Vec<Document>, ConfigError> {
        match value {
            Document::List(list) => Ok(list),
            Document::Null => Ok(Vec::new()),
            other => Err(Self::wrong(at, "a list, each item after a dash", &other)),
        }
    }

    fn map(at: &str, value: Document) -> Result<Vec<(String, Document)>, ConfigError> {
        match value {
            Document::Map(map) => Ok(map),
            Document::Null => Ok(Vec::new()),
            other => Err(Self::wrong(at, "keys and values", &other)),
        }
    }

    /// Everything of a configuration; keys that are none of its own are given back.
    pub(super) fn config(&mut self, document: Document) -> Result<(TunnelConfig, Vec<(String, Document)>), ConfigError> {
        let mut config = TunnelConfig::default();
        let mut others = Vec::new();
        for (key, value) in Self::map("the configuration", document)? {
            match key.to_ascii_lowercase().as_str() {
                "ingress" => {
                    let list = Self::list("ingress", value)?;
                    if list.len() > RULES_MAX {
                        return Err(ConfigError::new(format!("ingress has {} rules: at most {RULES_MAX} are taken", list.len())));
                    }
                    for (number, rule) in (1..).zip(list) {
                        config.ingress.push(self.rule(number, rule)?);
                    }
                }
                "originrequest" => config.origin_request = self.origin("originRequest", value)?,
                "warp-routing" => config.warp_routing = self.warp(value)?,
                _ => others.push((key, value)),
            }
        }
        Ok((config, others))
    }

    fn rule(&mut self, number: usize, value: Document) -> Result<IngressRule, ConfigError> {
        let at = format!("ingress rule {number}");
        let (mut hostname, mut path, mut service, mut origin_request) = (String::new(), None, None, OriginRequest::default());
        for (key, value) in Self::map(&at, value)? {
            let at = format!("{at}: {key}");
            match key.to_ascii_lowercase().as_str() {
                "hostname" => hostname = Self::text(&at, value)?,
                "path" => path = Some(Self::text(&at, value)?).filter(|path| !path.is_empty()),
                "service" => service = Some(Self::text(&at, value)?),
                "originrequest" => origin_request = self.origin(&at, value)?,
                _ => self.unknown.push(at),
            }
        }
        let service = service.unwrap_or_default().parse().map_err(|why| ConfigError::new(format!("{at}: service: {why}")))?;
        Ok(IngressRule { hostname, path, service, origin_request })
    }

    fn origin(&mut self, at: &str, value: Document) -> Result<OriginRequest, ConfigError> {
        let mut out = OriginRequest::default();
        for (key, value) in Self::map(at, value)? {
            let at = format!("{at}: {key}");
            match key.to_ascii_lowercase().as_str() {
                _ if value == Document::Null => {}
                "connecttimeout" => out.connect_timeout = Some(self.duration(&at, &value)?),
                "tlstimeout" => out.tls_timeout = Some(self.duration(&at, &value)?),
                "tcpkeepalive" => out.tcp_keep_alive = Some(self.duration(&at, &value)?),
                "nohappyeyeballs" => out.no_happy_eyeballs = Some(Self::bool(&at, &value)?),
                "keepaliveconnections" => out.keep_alive_connections = Some(Self::number(&at, &value)?),
                "keepalivetimeout" => out.keep_alive_timeout = Some(self.duration(&at, &value)?),
                "httphostheader" => out.http_host_header = Some(Self::text(&at, value)?),
                "originservername" => out.origin_server_name = Some(Self::text(&at, value)?),
                "matchsnitohost" => out.match_sni_to_host = Some(Self::bool(&at, &value)?),
                "capool" => out.ca_pool = Some(Self::text(&at, value)?),
                "notlsverify" => out.no_tls_verify = Some(Self::bool(&at, &value)?),
                "disablechunkedencoding" => out.disable_chunked_encoding = Some(Self::bool(&at, &value)?),
                "http2origin" => out.http2_origin = Some(Self::bool(&at, &value)?),
                "bastionmode" => out.bastion_mode = Some(Self::bool(&at, &value)?),
                "proxyaddress" => out.proxy_address = Some(Self::text(&at, value)?),
                "proxyport" => out.proxy_port = Some(Self::number(&at, &value)?),
                "proxytype" => out.proxy_type = Some(Self::text(&at, value)?),
                "iprules" => out.ip_rules = Some(self.ip_rules(&at, value)?),
                "access" => out.access = Some(self.access(&at, value)?),
                _ => self.unknown.push(at),
            }
        }
        Ok(out)
    }

    fn ip_rules(&mut self, at: &str, value: Document) -> Result<Vec<IpRule>, ConfigError> {
        let mut rules = Vec::new();
        for (number, rule) in (1..).zip(Self::list(at, value)?) {
            let at = format!("{at}: rule {number}");
            let mut out = IpRule { prefix: String::new(), ports: Vec::new(), allow: false };
            for (key, value) in Self::map(&at, rule)? {
                let at = format!("{at}: {key}");
                match key.to_ascii_lowercase().as_str() {
                    "prefix" => out.prefix = Self::text(&at, value)?,
                    "ports" => {
                        out.ports =
                            Self::list(&at, value)?.iter().map(|port| Self::number(&at, port)).collect::<Result<_, _>>()?
                    }
                    "allow" => out.allow = Self::bool(&at, &value)?,
                    _ => self.unknown.push(at),
                }
            }
            rules.push(out);
        }
        Ok(rules)
    }

    fn access(&mut self, at: &str, value: Document) -> Result<Access, ConfigError> {
        let mut out = Access::default();
        for (key, value) in Self::map(at, value)? {
            let at = format!("{at}: {key}");
            match key.to_ascii_lowercase().as_str() {
                "required" => out.required = Self::bool(&at, &value)?,
                "teamname" => out.team_name = Self::text(&at, value)?,
                "audtag" => {
                    out.aud_tag = Self::list(&at, value)?.into_iter().map(|tag| Self::text(&at, tag)).collect::<Result<_, _>>()?
                }
                "environment" => out.environment = Self::text(&at, value)?,
                _ => self.unknown.push(at),
            }
        }
        Ok(out)
    }

    fn warp(&mut self, value: Document) -> Result<WarpRouting, ConfigError> {
        let mut out = WarpRouting::default();
        for (key, value) in Self::map("warp-routing", value)? {
            let at = format!("warp-routing: {key}");
            match key.to_ascii_lowercase().as_str() {
                _ if value == Document::Null => {}
                "connecttimeout" => out.connect_timeout = Some(self.duration(&at, &value)?),
                "tcpkeepalive" => out.tcp_keep_alive = Some(self.duration(&at, &value)?),
                "maxactiveflows" => out.max_active_flows = Some(Self::number(&at, &value)?),
                // Seen in older configurations, ignored by everybody.
                "enabled" => {}
                _ => self.unknown.push(at),
            }
        }
        Ok(out)
    }
}
