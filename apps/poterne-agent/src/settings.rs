//! Flags over environment over config.yml over defaults, as one [`AgentConfig`].

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use anyhow::{Context as _, bail, ensure};
use poterne_model::TunnelId;
use poterne_otlp::settings::Names;
use poterne_tunnel_agent::{
    AgentConfig, Congestion, Identity, IpVersion, Protocol, Proxies, StatusListen, Trust, quick::QuickTunnel,
};
use poterne_tunnel_proto::{
    config::{Document, IngressRule, LocalFile, OriginRequest, Service, TunnelConfig, parse_duration},
    token::{Credentials, TunnelToken},
};

use crate::{
    cli::{RunFlags, TunnelFlags},
    manage::{self, session::search_dirs},
};

/// Longest grace period (reference §1.3).
const GRACE_MAX: Duration = Duration::from_secs(180);

/// What the line and the file say together.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) flags: TunnelFlags,
    file: Option<LocalFile>,
    tunnel: Option<String>,
}

impl Settings {
    /// Fills what the line left open from the file's keys.
    pub(crate) fn new(mut flags: TunnelFlags, file: Option<LocalFile>) -> anyhow::Result<Self> {
        let mut tunnel = None;
        for (key, value) in file.iter().flat_map(|file| &file.others) {
            fill(&mut flags, &mut tunnel, key, value).with_context(|| format!("config.yml: key {key:?}"))?;
        }
        for path in file.iter().flat_map(|file| &file.unknown) {
            tracing::warn!("{path} is not known and has no effect");
        }
        Ok(Self { flags, file, tunnel })
    }

    /// Neither token nor credentials nor a tunnel's name anywhere: a quick tunnel is meant.
    pub(crate) fn names_no_tunnel(&self) -> bool {
        self.tunnel.is_none() && self.flags.credentials_file.is_none() && self.flags.credentials_contents.is_none()
    }

    /// For `tunnel run`.
    pub(crate) fn named(&self, run: &RunFlags) -> anyhow::Result<AgentConfig> {
        let (token, from_credentials) = self.token(run)?;
        let mut config = AgentConfig::from_token(&token)
            .unwrap_or_else(|| AgentConfig::new(Identity::from(&token), Vec::new(), Trust::WebPki));
        config.local = self.local()?;
        if config.local.is_none() && from_credentials {
            tracing::warn!("config.yml has no ingress rules and there is no --url: every request will get 503");
        }
        self.apply(&mut config)?;
        Ok(config)
    }

    /// A name for which no credentials file is here, made the id that the account knows it by: `tunnel create` names files so.
    pub(crate) async fn with_id(&self, run: &RunFlags) -> anyhow::Result<RunFlags> {
        let flags = &self.flags;
        let has_proof = run.token.is_some()
            || run.token_file.is_some()
            || flags.credentials_contents.is_some()
            || flags.credentials_file.is_some();
        let wanted = run.tunnel.as_ref().or(self.tunnel.as_ref()).filter(|_| !has_proof);
        let Some(name) = wanted.filter(|name| name.parse::<TunnelId>().is_err() && self.find_credentials(name).is_none()) else {
            return Ok(run.clone());
        };
        let id = Box::pin(manage::session::id_of(flags, name)).await?;
        Ok(RunFlags { tunnel: Some(id.to_string()), ..run.clone() })
    }

    /// For `tunnel --url`.
    pub(crate) fn quick(&self, tunnel: &QuickTunnel) -> anyhow::Result<AgentConfig> {
        let mut config = tunnel
            .agent_config()
            .or_else(|| {
                let mut config = AgentConfig::new(tunnel.identity.clone(), Vec::new(), Trust::WebPki);
                config.ha_connections = 1;
                config.quick_hostname = Some(tunnel.hostname.clone());
                Some(config)
            })
            .context("a configuration was just made")?;
        config.local = self.local()?;
        self.apply(&mut config)?;
        Ok(config)
    }

    /// Trust for what is asked over the web: `--cacert`, or the web's authorities.
    pub(crate) fn web_trust(&self) -> Trust {
        self.flags.cacert.clone().map_or(Trust::WebPki, Trust::CaFile)
    }

    /// Where spans go, and how many; none: nobody traces. What the line and the file leave open, OpenTelemetry's own variables may say.
    pub(crate) fn traces(&self, environment: impl Fn(&str) -> Option<String>) -> anyhow::Result<Option<poterne_otlp::Settings>> {
        let flags = &self.flags;
        let given = poterne_otlp::Given {
            endpoint: flags.otlp_endpoint.clone(),
            sample: flags.otlp_sample,
            service: flags.otlp_service.clone(),
            ..poterne_otlp::Given::default()
        };
        let names = Names { endpoint: "--otlp-endpoint", headers: "OTEL_EXPORTER_OTLP_HEADERS", sample: "--otlp-sample" };
        Ok(poterne_otlp::Settings::of(&given, names, environment, "poterne-agent", env!("CARGO_PKG_VERSION"))?)
    }

    /// Token before token file before credentials (reference §9.1).
    fn token(&self, run: &RunFlags) -> anyhow::Result<(TunnelToken, bool)> {
        if let Some(token) = &run.token {
            return Ok((TunnelToken::parse(token.trim()).context("the tunnel token (--token or TUNNEL_TOKEN)")?, false));
        }
        if let Some(path) = &run.token_file {
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read the token file {}", path.display()))?;
            let token = TunnelToken::parse(text.trim()).with_context(|| format!("the token file {}", path.display()))?;
            return Ok((token, false));
        }
        if let Some(contents) = &self.flags.credentials_contents {
            return Ok((Credentials::parse(contents.as_bytes()).context("TUNNEL_CRED_CONTENTS")?.0, true));
        }
        let wanted = run.tunnel.as_ref().or(self.tunnel.as_ref());
        let path = match (&self.flags.credentials_file, wanted) {
            (Some(path), _) => path.clone(),
            (None, Some(tunnel)) => self.find_credentials(tunnel).with_context(|| {
                let dirs = search_dirs(self.flags.origincert.as_deref());
                let tried: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
                format!(
                    "no credentials file {tunnel}.json in {}; give --credentials-file, or a token: `poterne-agent tunnel token {tunnel}` \
                     prints it",
                    tried.join(", ")
                )
            })?,
            (None, None) => bail!(
                "no tunnel is named; give --token (or TUNNEL_TOKEN, or --token-file), or `tunnel:` and `credentials-file:` in config.yml"
            ),
        };
        let json = std::fs::read(&path).with_context(|| format!("cannot read the credentials file {}", path.display()))?;
        let credentials = Credentials::parse(&json).with_context(|| format!("the credentials file {}", path.display()))?;
        Ok((credentials.0, true))
    }

    fn find_credentials(&self, tunnel: &str) -> Option<PathBuf> {
        let dirs = search_dirs(self.flags.origincert.as_deref());
        dirs.iter().map(|dir| dir.join(format!("{tunnel}.json"))).find(|path| path.is_file())
    }

    /// The file's rules; without any, the one that `--url` and its like make.
    fn local(&self) -> anyhow::Result<Option<TunnelConfig>> {
        let file = self.file.as_ref().map(|file| file.config.clone());
        if let Some(config) = file.clone().filter(|config| !config.ingress.is_empty()) {
            return Ok(Some(config));
        }
        let flags = &self.flags;
        let service: Service = match (&flags.url, &flags.unix_socket) {
            _ if flags.hello_world => Service::HelloWorld,
            _ if flags.bastion => Service::Bastion,
            (Some(url), _) => {
                let url = if url.contains("://") || url.starts_with("unix") { url.clone() } else { format!("http://{url}") };
                let service = url.trim_end_matches('/').parse();
                service.map_err(|reason| anyhow::anyhow!("--url {url}: {reason}; write for example http://localhost:8080"))?
            }
            (None, Some(path)) => Service::Unix { path: path.clone(), tls: false },
            (None, None) => return Ok(file),
        };
        let on = |flag: bool| flag.then_some(true);
        let origin_request = OriginRequest {
            http_host_header: flags.http_host_header.clone(),
            origin_server_name: flags.origin_server_name.clone(),
            ca_pool: flags.origin_ca_pool.clone(),
            no_tls_verify: on(flags.no_tls_verify),
            disable_chunked_encoding: on(flags.no_chunked_encoding),
            http2_origin: on(flags.http2_origin),
            ..OriginRequest::default()
        };
        let mut config = file.unwrap_or_default();
        config.ingress = vec![IngressRule { hostname: String::new(), path: None, service, origin_request }];
        config.validate().context("--url")?;
        Ok(Some(config))
    }

    fn apply(&self, config: &mut AgentConfig) -> anyhow::Result<()> {
        let flags = &self.flags;
        if !flags.edge.is_empty() {
            let mut edges: Vec<String> = Vec::new();
            for edge in &flags.edge {
                let edge = if edge.contains(':') { edge.clone() } else { format!("{edge}:7844") };
                if !edges.contains(&edge) {
                    edges.push(edge);
                }
            }
            config.edges = edges;
        }
        if let Some(path) = &flags.cacert {
            config.trust = Trust::CaFile(path.clone());
        }
        config.protocol = match flags.protocol.as_deref() {
            None | Some("auto") => Protocol::Auto,
            Some("quic") => Protocol::Quic,
            Some("http2" | "h2mux") => Protocol::Http2,
            Some(other) => bail!("--protocol {other}: use auto, quic or http2"),
        };
        config.congestion = match flags.congestion.as_deref() {
            None | Some("bbr") => Congestion::Bbr,
            Some("cubic") => Congestion::Cubic,
            Some(other) => bail!("--congestion {other}: use bbr or cubic"),
        };
        config.ip_version = match flags.edge_ip_version.as_deref() {
            None | Some("auto") => IpVersion::Auto,
            Some("4") => IpVersion::V4,
            Some("6") => IpVersion::V6,
            Some(other) => bail!("--edge-ip-version {other}: use auto, 4 or 6"),
        };
        if let Some(bind) = &flags.edge_bind_address {
            config.bind = Some(bind.parse().with_context(|| format!("--edge-bind-address {bind}: write an IP address"))?);
        }
        config.post_quantum = flags.post_quantum;
        if let Some(connections) = flags.ha_connections {
            ensure!((1..=64).contains(&connections), "--ha-connections {connections}: use 1 to 64");
            config.ha_connections = connections;
        }
        config.retries = flags.retries.unwrap_or(config.retries);
        config.grace_period =
            time("--grace-period", flags.grace_period.as_deref())?.unwrap_or(config.grace_period).min(GRACE_MAX);
        config.rpc_timeout = time("--rpc-timeout", flags.rpc_timeout.as_deref())?.unwrap_or(config.rpc_timeout);
        config.status = match flags.metrics.as_deref() {
            None => StatusListen::FirstFree,
            Some(text) => {
                let address = text.replace("localhost:", "127.0.0.1:");
                StatusListen::At(
                    address
                        .parse()
                        .with_context(|| format!("--metrics {text}: write ADDRESS:PORT, for example 127.0.0.1:9090"))?,
                )
            }
        };
        for tag in &flags.tag {
            let (key, value) = tag.split_once('=').with_context(|| format!("--tag {tag}: write KEY=VALUE"))?;
            config.tags.push((key.to_owned(), value.to_owned()));
        }
        if let Some(hostname) = &flags.management_hostname {
            config.management.hostname.clone_from(hostname);
        }
        config.management.diagnostics = flags.management_diagnostics.unwrap_or(true);
        config.management.label.clone_from(&flags.label);
        config.proxies = Proxies::from_environment()?;
        config.state_dir = flags.state_dir.clone().or_else(default_state_dir);
        config.local_flags = told(flags);
        Ok(())
    }
}

/// The flags that the edge is told of (reference §7.4).
fn told(flags: &TunnelFlags) -> BTreeMap<String, String> {
    let given = [
        ("protocol", flags.protocol.clone()),
        ("metrics", flags.metrics.clone()),
        ("edge-ip-version", flags.edge_ip_version.clone()),
        ("edge-bind-address", flags.edge_bind_address.clone()),
        ("retries", flags.retries.map(|retries| retries.to_string())),
    ];
    given.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

fn time(flag: &str, text: Option<&str>) -> anyhow::Result<Option<Duration>> {
    text.map(|text| parse_duration(text).with_context(|| format!("{flag} {text}: write a time such as 30s or 1m30s"))).transpose()
}

/// `$STATE_DIRECTORY` of systemd, else the user's; absent without either.
fn default_state_dir() -> Option<PathBuf> {
    let given = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    given("STATE_DIRECTORY")
        .or_else(|| given("XDG_STATE_HOME").map(|dir| dir.join("poterne-agent")))
        .or_else(|| given("HOME").map(|home| home.join(".local/state/poterne-agent")))
}

/// One top-level key of config.yml, where the line said nothing.
fn fill(flags: &mut TunnelFlags, tunnel: &mut Option<String>, key: &str, value: &Document) -> anyhow::Result<()> {
    let text = || match value {
        Document::Text(text) => Ok(text.clone()),
        Document::Integer(number) => Ok(number.to_string()),
        Document::Float(number) => Ok(number.to_string()),
        Document::Bool(truth) => Ok(truth.to_string()),
        _ => bail!("write a single value"),
    };
    let truth = || match value {
        Document::Bool(truth) => Ok(*truth),
        _ => bail!("write true or false"),
    };
    let list = || match value {
        Document::List(items) => items
            .iter()
            .map(|item| if let Document::Text(text) = item { Ok(text.clone()) } else { bail!("write a list of texts") })
            .collect(),
        Document::Text(text) => Ok(vec![text.clone()]),
        _ => bail!("write a list of texts"),
    };
    fn or<T>(flag: &mut Option<T>, value: anyhow::Result<T>) -> anyhow::Result<()> {
        if flag.is_none() {
            *flag = Some(value?);
        }
        Ok(())
    }
    let number = || -> anyhow::Result<u8> { text()?.parse().context("write a small number") };
    match key {
        "tunnel" => or(tunnel, text()),
        "credentials-file" | "cred-file" => or(&mut flags.credentials_file, text().map(PathBuf::from)),
        "url" => or(&mut flags.url, text()),
        "unix-socket" => or(&mut flags.unix_socket, text()),
        "http-host-header" => or(&mut flags.http_host_header, text()),
        "origin-server-name" => or(&mut flags.origin_server_name, text()),
        "origin-ca-pool" => or(&mut flags.origin_ca_pool, text()),
        "management-hostname" => or(&mut flags.management_hostname, text()),
        "management-diagnostics" => or(&mut flags.management_diagnostics, truth()),
        "label" => or(&mut flags.label, text()),
        "quick-service" => or(&mut flags.quick_service, text()),
        "origincert" => or(&mut flags.origincert, text().map(PathBuf::from)),
        "api-url" => or(&mut flags.api_url, text()),
        "max-fetch-size" => or(&mut flags.max_fetch_size, text().and_then(|text| text.parse().context("write a number"))),
        "cacert" => or(&mut flags.cacert, text().map(PathBuf::from)),
        "protocol" => or(&mut flags.protocol, text()),
        "edge-ip-version" => or(&mut flags.edge_ip_version, text()),
        "edge-bind-address" => or(&mut flags.edge_bind_address, text()),
        "grace-period" => or(&mut flags.grace_period, text()),
        "rpc-timeout" => or(&mut flags.rpc_timeout, text()),
        "metrics" => or(&mut flags.metrics, text()),
        "congestion" => or(&mut flags.congestion, text()),
        "state-dir" => or(&mut flags.state_dir, text().map(PathBuf::from)),
        "otlp-endpoint" => or(&mut flags.otlp_endpoint, text()),
        "otlp-sample" => {
            or(&mut flags.otlp_sample, text().and_then(|text| text.parse().context("write a share from 0.0 to 1.0")))
        }
        "otlp-service" => or(&mut flags.otlp_service, text()),
        "pidfile" => or(&mut flags.pidfile, text().map(PathBuf::from)),
        "retries" => or(&mut flags.retries, number()),
        "ha-connections" => or(&mut flags.ha_connections, number()),
        "hello-world" => truth().map(|truth| flags.hello_world |= truth),
        "bastion" => truth().map(|truth| flags.bastion |= truth),
        "no-tls-verify" => truth().map(|truth| flags.no_tls_verify |= truth),
        "no-chunked-encoding" => truth().map(|truth| flags.no_chunked_encoding |= truth),
        "http2-origin" => truth().map(|truth| flags.http2_origin |= truth),
        "post-quantum" => truth().map(|truth| flags.post_quantum |= truth),
        "edge" if flags.edge.is_empty() => list().map(|edges: Vec<String>| flags.edge = edges),
        "tag" if flags.tag.is_empty() => list().map(|tags: Vec<String>| flags.tag = tags),
        // Of the line, of the whole program, or without meaning here.
        "edge"
        | "tag"
        | "loglevel"
        | "logfile"
        | "output"
        | "no-autoupdate"
        | "autoupdate-freq"
        | "no-prechecks"
        | "region"
        | "transport-loglevel"
        | "metrics-update-freq"
        | "max-active-flows" => Ok(()),
        _ => {
            tracing::warn!(key, "config.yml: this key is not known and has no effect");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "eyJhIjoiMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYiLCJ0IjoiM2Q1MzlmOTctY2QzYS00ZDhlLTgzM2ItNjVlOTA5OWM3YThkIiwicyI6IkFBRUNBd1FGQmdjSUNRb0xEQTBPRHhBUkVoTVVGUllYR0JrYUd4d2RIaDg9In0=";

    fn with_token() -> RunFlags {
        RunFlags { token: Some(TOKEN.into()), ..RunFlags::default() }
    }

    #[test]
    fn the_line_wins_over_the_file() {
        let file =
            poterne_tunnel_agent::local_file::parse("protocol: http2\nedge: [from-file:7844]\nretries: 3\n", "test").unwrap();
        let flags = TunnelFlags { protocol: Some("quic".into()), ..TunnelFlags::default() };
        let config = Settings::new(flags, Some(file)).unwrap().named(&with_token()).unwrap();
        assert_eq!(config.protocol, Protocol::Quic);
        assert_eq!(config.edges, ["from-file:7844"]);
        assert_eq!(config.retries, 3);
    }

    #[test]
    fn repeated_edges_are_one_and_have_a_default_port() {
        let edge = vec!["e:7844".into(), "e".into(), "e:7844".into()];
        let config = Settings::new(TunnelFlags { edge, ..TunnelFlags::default() }, None).unwrap().named(&with_token()).unwrap();
        assert_eq!(config.edges, ["e:7844"]);
        assert_eq!(config.ha_connections, 4);
    }

    #[test]
    fn wrong_values_name_their_flag_and_remedy() {
        let wrong = |flags: TunnelFlags| format!("{:#}", Settings::new(flags, None).unwrap().named(&with_token()).unwrap_err());
        let text = wrong(TunnelFlags { protocol: Some("tcp".into()), ..TunnelFlags::default() });
        assert_eq!(text, "--protocol tcp: use auto, quic or http2");
        let text = wrong(TunnelFlags { grace_period: Some("soon".into()), ..TunnelFlags::default() });
        assert!(text.starts_with("--grace-period soon: write a time such as 30s"), "{text}");
        let text = wrong(TunnelFlags { url: Some("http://".into()), ..TunnelFlags::default() });
        assert!(text.contains("--url"), "{text}");
    }

    #[test]
    fn spans_go_where_the_line_the_file_or_the_environment_says() {
        let file = |text: &str| Some(poterne_tunnel_agent::local_file::parse(text, "test").unwrap());
        let around = |name: &str| (name == "OTEL_EXPORTER_OTLP_ENDPOINT").then(|| "http://around:4318".to_owned());
        let none = Settings::new(TunnelFlags::default(), None).unwrap();
        assert_eq!(none.traces(|_| None).unwrap(), None);
        assert_eq!(none.traces(around).unwrap().unwrap().collector(), "http://around:4318");
        let of_file = file("otlp-endpoint: http://file:4318\notlp-sample: 0.5\notlp-service: home\n");
        let flags = TunnelFlags { otlp_endpoint: Some("http://line:4318".into()), ..TunnelFlags::default() };
        let both = Settings::new(flags, of_file).unwrap().traces(around).unwrap().unwrap();
        assert_eq!((both.collector().as_str(), both.sample), ("http://line:4318", 0.5));
        let wrong = |flags: TunnelFlags| Settings::new(flags, None).unwrap().traces(around).unwrap_err().to_string();
        let text = wrong(TunnelFlags { otlp_endpoint: Some("line".into()), ..TunnelFlags::default() });
        assert!(text.starts_with("--otlp-endpoint: \"line\" is no address of a collector"), "{text}");
        let text = wrong(TunnelFlags { otlp_sample: Some(2.0), ..TunnelFlags::default() });
        assert_eq!(text, "--otlp-sample: \"2\" is no share: write one from 0.0 to 1.0");
    }
}
