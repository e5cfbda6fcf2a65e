//! Boot settings: few, and a restart away. What an operator changes on a Tuesday lives in the control plane instead.
//!
//! Four layers, each its own module, the later over the earlier: defaults ([`keys`]), file ([`mod@file`]), environment and flags
//! ([`overlay`]). The file may be absent. One table, [`keys::KEYS`], declares every key: its documentation, its default, the
//! template and the names of environment variables all come out of it.

use std::{
    net::{IpAddr, SocketAddr},
    num::{NonZeroU32, NonZeroUsize},
    path::{Path, PathBuf},
};

use poterne_model::{AccountId, Name};
use poterne_tunnel_proto::management::STOCK_HOSTNAME;
use serde::Deserialize;

use crate::{access_log::Format, cli::Sources};
use loaded::placed;

mod acme;
pub mod file;
pub mod keys;
mod loaded;
pub mod mail;
pub mod overlay;
mod telemetry;

pub use loaded::Loaded;

/// Where the file is looked for when no `--config` is given; there it may be absent.
pub const DEFAULT_FILE: &str = "/etc/poterne/poterne.toml";

/// Everything a node is told before it starts.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Version of this format. Always 1.
    pub version: u32,
    /// Who this node is.
    pub node: Node,
    /// The visitors' side.
    pub edge: Edge,
    /// The agents' side.
    pub tunnel: Tunnel,
    /// The name server's settings.
    pub dns: Dns,
    /// The control plane.
    pub control: Control,
    /// Certificates of a public authority.
    pub acme: Acme,
    /// Outgoing mail.
    pub mail: Mail,
    /// What is written down.
    pub log: Log,
    /// What is told of requests as parts of traces.
    pub telemetry: Telemetry,
}

/// `[node]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Its own name, under which its API is reached; absent: this machine's host name.
    pub name: Option<Name>,
    /// What it does.
    pub roles: Vec<Role>,
    /// Where it keeps its state.
    pub state_dir: PathBuf,
    /// Addresses the world reaches it at.
    pub public_addresses: Vec<IpAddr>,
}

/// One role of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Store, verbs, API, publication.
    Control,
    /// The name server.
    Dns,
    /// Visitors and agents.
    Edge,
}

/// `[edge]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edge {
    /// Listeners in clear.
    pub http: Vec<SocketAddr>,
    /// Listeners with TLS.
    pub https: Vec<SocketAddr>,
    /// Peers whose forwarding headers are believed.
    pub trusted_proxies: Vec<String>,
    /// Peers whose connections begin with a PROXY protocol header.
    pub proxy_protocol: Vec<String>,
    /// Certificates of the operator's own.
    pub certificates: Vec<CertificateFiles>,
    /// Private ranges that direct origins may be in.
    pub origins_allowed: Vec<OriginRange>,
    /// Connections to direct origins at once; absent: an eighth of the descriptors the process may have.
    pub origin_connections_max: Option<NonZeroUsize>,
    /// The same of one zone; absent: half of those.
    pub origin_connections_per_zone_max: Option<NonZeroUsize>,
    /// MiB of answers that may lie here for visitors who take nothing; absent: an eighth of the machine's memory.
    pub stalled_mib_max: Option<NonZeroU32>,
    /// Visitors' connections at once; absent: three quarters of the descriptors the process may have.
    pub connections_max: Option<usize>,
    /// Visitors' connections at once from one IPv4 address or one IPv6 /64.
    pub connections_per_address_max: usize,
    /// Least rate of a request's body over HTTP/1.1 in bytes a second; absent: none.
    pub upload_bytes_per_sec_min: Option<NonZeroU32>,
    /// Seconds a visitor may take nothing of an answer; absent: any number.
    pub stalled_write_secs: Option<NonZeroU32>,
    /// Whether visitors that close their sending side are served.
    pub serve_half_closed: bool,
    /// Seconds granted to requests in flight when the node stops.
    pub drain_secs: u64,
}

impl Edge {
    /// The pairs of files of `certificates`: chain and key.
    pub fn certificate_files(&self) -> Vec<(PathBuf, PathBuf)> {
        self.certificates.iter().map(|files| (files.cert.clone(), files.key.clone())).collect()
    }
}

/// One of `[edge] certificates`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateFiles {
    /// PEM file of the chain, leaf first.
    pub cert: PathBuf,
    /// PEM file of its key.
    pub key: PathBuf,
}

/// One of `[edge] origins_allowed`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OriginRange {
    /// The range.
    pub cidr: String,
    /// The accounts it is allowed for; absent: all.
    pub accounts: Option<Vec<String>>,
}

/// `[tunnel]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tunnel {
    /// Listeners for agents, UDP and TCP both.
    pub listen: Vec<SocketAddr>,
    /// The node's own suffix of tunnel names.
    pub domain: Option<Name>,
    /// Where quick tunnels get their names; absent: no quick tunnels.
    pub quick_domain: Option<Name>,
    /// Where agents' management services are reached; absent: under the node's name.
    pub management_hostname: Option<Name>,
    /// Edges that tokens name, as host names or addresses with ports; empty: node name or public addresses.
    pub edges: Vec<String>,
    /// Congestion control towards agents.
    pub congestion: Congestion,
}

/// Congestion control of a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Congestion {
    /// Holds its rate where packets are lost at random.
    Bbr,
    /// What most of the Internet does.
    Cubic,
}

/// `[dns]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dns {
    /// Listeners of the name server; empty: see [`Config::dns_listens`].
    pub listen: Vec<SocketAddr>,
    /// Listeners for DNS over TLS; absent: see [`Config::dns_listens`].
    pub listen_tls: Option<Vec<SocketAddr>>,
    /// Names of the name servers zones are delegated to.
    pub nameservers: Vec<Name>,
    /// Below which names of partial zones lead here; absent: there are no such zones.
    pub cname_suffix: Option<Name>,
    /// How often the same answer is sent to one network in a second; 0: no limit.
    pub responses_per_sec: u32,
    /// Resolvers; empty: the machine's.
    pub resolvers: Vec<ResolverAddress>,
    /// A file with the addresses of the root's servers; absent: resolvers say who serves what.
    pub root_hints: Option<PathBuf>,
}

/// A resolver's address, with or without its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ResolverAddress(pub SocketAddr);

impl TryFrom<String> for ResolverAddress {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let address =
            text.parse().ok().or_else(|| Some(SocketAddr::new(text.parse().ok()?, poterne_dns_resolver::resolver::PORT)));
        let wrong = || format!("{text:?} is no address of a resolver: write one such as \"192.0.2.53\" or \"127.0.0.1:5353\"");
        address.map(Self).ok_or_else(wrong)
    }
}

/// `[control]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// Listener of the API, in clear: loopback only, unless you know why.
    pub listen: SocketAddr,
    /// Where people reach the node's pages, when that is not its name over TLS.
    pub url: Option<String>,
    /// Other names of this node's API.
    pub aliases: Vec<Name>,
    /// The database.
    pub store: String,
    /// Zones the operator declares active, exact names or `*.` patterns.
    pub activate: Vec<Name>,
    /// API requests that a token or a user may make in a minute; 0: without limit.
    pub rate_limit: u32,
    /// Listener of metrics and health.
    pub metrics: SocketAddr,
}

/// `[acme]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acme {
    /// Directory URL of the authority; absent: certificates come from the node's own.
    pub directory: Option<String>,
    /// Contact of the account.
    pub email: Option<String>,
    /// PEM file that verifies the directory.
    pub ca_file: Option<PathBuf>,
    /// Name of the key that the account is bound to another with.
    pub eab_kid: Option<String>,
    /// That key, in base64url.
    pub eab_hmac_key: Option<Hidden>,
    /// Which of its profiles is asked for.
    pub profile: Option<String>,
    /// What CAA records call it, where its directory does not say.
    pub issuers: Vec<String>,
    /// How names are proven, the first that can be.
    pub challenges: Vec<String>,
    /// More authorities, asked where the first does not give.
    pub others: Vec<AcmeAuthority>,
}

/// One of `[acme] others`; its keys are those of `[acme]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcmeAuthority {
    /// Directory URL.
    pub directory: String,
    /// PEM file that verifies it.
    pub ca_file: Option<PathBuf>,
    /// See [`Acme::eab_kid`].
    pub eab_kid: Option<String>,
    /// See [`Acme::eab_hmac_key`].
    pub eab_hmac_key: Option<Hidden>,
    /// See [`Acme::profile`].
    pub profile: Option<String>,
    /// See [`Acme::issuers`].
    #[serde(default)]
    pub issuers: Vec<String>,
}

/// `[mail]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    /// URL of the mail server; absent: no mail is sent.
    pub smtp: Option<Hidden>,
    /// Sender of the node's mails.
    pub from: Option<String>,
    /// The user's password, where it is not in the URL.
    pub password: Option<Hidden>,
    /// A file that holds it.
    pub password_file: Option<PathBuf>,
    /// PEM file that vouches for the mail server, beside the system's authorities.
    pub ca_file: Option<PathBuf>,
    /// What notices are written in.
    pub language: MailLanguage,
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// A level, or directives.
    pub level: String,
    /// Where requests are written, a line each: a file, or `stdout`; absent: nowhere.
    pub access: Option<String>,
    /// How such a line looks.
    pub access_format: Format,
    /// The share of requests that is written; those answered with a status of 500 or more always are.
    pub access_sample: f64,
    /// Whether queries are written.
    pub access_query: bool,
}

/// `[telemetry]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// Base URL of a collector; absent: what the environment says, and without that nobody traces.
    pub otlp: Option<String>,
    /// Header fields for it, as `name=value,name=value`.
    pub headers: Option<Hidden>,
    /// PEM file that verifies it, instead of the system's authorities.
    pub ca_file: Option<PathBuf>,
    /// What this program is called there.
    pub service: Option<String>,
    /// The share of traces begun here that is recorded.
    pub sample: Option<f64>,
    /// What becomes of traces that visitors say they are part of.
    pub parents: Parents,
}

/// What becomes of a trace that a visitor's request says it is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Parents {
    /// Another one begins here.
    Ignore,
    /// Its ids go on; whether it is recorded is decided here.
    Continue,
    /// What it says is believed.
    Trust,
}

/// What notices are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailLanguage {
    /// English and French, in one message.
    Both,
    /// English.
    En,
    /// French.
    Fr,
}

/// A text that may hold a password: `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Hidden(String);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden(…)")
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path} cannot be read: {error}; check the path given by --config or POTERNE_CONFIG, and the file's permissions")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file is wrong somewhere.
    #[error("{path}:{line}:{column}: {what}")]
    InFile {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What is wrong, and the remedy.
        what: String,
    },
    /// A variable or a flag is wrong.
    #[error("{origin}: {what}")]
    InOverlay {
        /// The variable or flag.
        origin: String,
        /// What is wrong, and the remedy.
        what: String,
    },
    /// All parts are right, their sum is not.
    #[error("{0}")]
    Inconsistent(String),
}

impl Config {
    /// The defaults, as [`keys::KEYS`] states them.
    pub fn defaults() -> Self {
        Self::deserialize(keys::defaults()).expect("the defaults of the key table parse: a test holds it")
    }

    /// Reads all layers. `path` is what `--config` names; without it [`DEFAULT_FILE`] is read where it exists.
    pub fn load(
        path: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: &[String],
    ) -> Result<Self, ConfigError> {
        Self::load_whole(path, environment, flags).map(|loaded| loaded.config)
    }

    fn load_whole(
        path: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: &[String],
    ) -> Result<Loaded, ConfigError> {
        let mut table = keys::defaults();
        let mut file = None;
        if let Some((path, text)) = read(path)? {
            let own = file::parse(&path, &text)?;
            keys::merge(&mut table, own.clone());
            file = Some((path, text, own));
        }
        for change in overlay::from_environment(environment)?.into_iter().chain(overlay::from_flags(flags)?) {
            keys::merge(&mut table, change);
        }
        let config = Self::deserialize(table.clone()).map_err(|error| ConfigError::Inconsistent(error.to_string()))?;
        match config.check() {
            Err(ConfigError::Inconsistent(what)) => Err(placed(file.as_ref(), &table, what)),
            checked => checked.map(|()| Loaded { config, table, file }),
        }
    }

    /// Reads all layers as the command line and this process's environment say.
    pub fn from_sources(sources: &Sources) -> Result<Self, ConfigError> {
        Self::loaded(sources).map(|loaded| loaded.config)
    }

    /// The same, to be compared with what is read later.
    pub fn loaded(sources: &Sources) -> Result<Loaded, ConfigError> {
        let environment =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let mut loaded = Self::load_whole(sources.config.as_deref(), environment, &sources.set)?;
        if let Some(state_dir) = &sources.state_dir {
            loaded.config.node.state_dir.clone_from(state_dir);
        }
        Ok(loaded)
    }

    /// What no single key can know.
    fn check(&self) -> Result<(), ConfigError> {
        let wrong = |what: &str| Err(ConfigError::Inconsistent(what.into()));
        if self.node.roles.is_empty() {
            return wrong("[node] roles is empty: a node that does nothing; take [\"control\", \"dns\", \"edge\"]");
        }
        if !(self.control.store == "sqlite"
            || self.control.store.starts_with("postgres://")
            || self.control.store.starts_with("postgresql://"))
        {
            // It may hold a password, so it is not shown.
            return wrong("[control] store is neither \"sqlite\" nor a URL such as postgres://poterne@localhost/poterne");
        }
        if !self.node.roles.contains(&Role::Control) || !self.node.roles.contains(&Role::Edge) {
            return wrong(
                "[node] roles: this version runs control and edge in one process; take [\"control\", \"dns\", \"edge\"]",
            );
        }
        for (key, ranges) in [("trusted_proxies", &self.edge.trusted_proxies), ("proxy_protocol", &self.edge.proxy_protocol)] {
            if let Some(range) = ranges.iter().find(|text| range(text).is_none()) {
                return wrong(&format!("[edge] {key}: {range:?} is neither an address nor a range such as 10.0.0.0/8"));
            }
        }
        let accounts = self.edge.origins_allowed.iter().filter_map(|allowed| allowed.accounts.as_ref()).flatten();
        if let Some((account, error)) = accounts.filter_map(|id| Some((id, id.parse::<AccountId>().err()?))).next() {
            return wrong(&format!("[edge] origins_allowed: the account {account:?} is none: {error}"));
        }
        if let Some(url) = self.control.url.as_deref().filter(|url| !is_origin(url)) {
            return wrong(&format!("[control] url: {url:?} is no address of pages: write one as in https://control.example.net"));
        }
        if let Err(error) = poterne_telemetry::logs::check(&self.log.level) {
            return wrong(&format!("[log] level: {error}"));
        }
        if !(0.0..=1.0).contains(&self.log.access_sample) {
            return wrong(&format!("[log] access_sample: {} is no share: write one from 0.0 to 1.0", self.log.access_sample));
        }
        acme::check(&self.acme)?;
        mail::check(&self.mail)?;
        telemetry::check(&self.telemetry)?;
        if let Some(range) = self.edge.origins_allowed.iter().find(|allowed| range(&allowed.cidr).is_none()) {
            return wrong(&format!(
                "[edge] origins_allowed: {:?} is neither an address nor a range such as 10.0.0.0/8",
                range.cidr
            ));
        }
        Ok(())
    }

    /// Private addresses that origins may have; [`Config::load`] has seen that each is what it should be.
    pub fn origins_allowed(&self) -> Vec<poterne_control_app::OriginRange> {
        let read = |allowed: &OriginRange| {
            let network = range(&allowed.cidr)?.to_string().parse().ok()?;
            let accounts = allowed.accounts.as_ref().map(|ids| ids.iter().filter_map(|id| id.parse().ok()).collect());
            Some(poterne_control_app::OriginRange { network, accounts })
        };
        self.edge.origins_allowed.iter().filter_map(read).collect()
    }

    /// How this node asks other name servers. What is wrong with the hints is told; a machine that names no resolver has none.
    pub fn resolver(&self, guard: poterne_guard::Guard) -> Result<poterne_dns_resolver::Settings, ConfigError> {
        use poterne_dns_resolver::{Settings, hints};
        let mut resolvers: Vec<SocketAddr> = self.dns.resolvers.iter().map(|resolver| resolver.0).collect();
        let mut roots = Vec::new();
        if let Some(path) = &self.dns.root_hints {
            let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable { path: path.clone(), error })?;
            roots = hints::root_hints(&text);
            if roots.is_empty() {
                let why =
                    format!("[dns] root_hints: {} names no address; it is a zone file with A and AAAA records", path.display());
                return Err(ConfigError::Inconsistent(why));
            }
        } else if resolvers.is_empty() {
            resolvers = std::fs::read_to_string("/etc/resolv.conf").map(|text| hints::resolv_conf(&text)).unwrap_or_default();
        }
        Ok(Settings::new(roots, resolvers, guard))
    }

    /// What links to this node's own pages begin with: what the operator says, else its name over TLS where it has one, else where the
    /// API listens. No slash at its end.
    pub fn pages(&self) -> String {
        if let Some(url) = &self.control.url {
            return url.trim_end_matches('/').to_owned();
        }
        match (self.node_names().first(), self.edge.https.first().map(SocketAddr::port)) {
            (Some(name), Some(443)) => format!("https://{name}"),
            (Some(name), Some(port)) => format!("https://{name}:{port}"),
            _ => format!("http://{}", crate::bind::reachable(self.control.listen)),
        }
    }

    /// Under which names the node's API answers; the first is its own.
    pub fn node_names(&self) -> Vec<Name> {
        let own = self.node.name.clone().or_else(|| {
            let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
            Name::parse(machine.trim()).ok()
        });
        own.into_iter().chain(self.control.aliases.iter().cloned()).collect()
    }

    /// Hostnames of agents' management services; the first is what their tokens name.
    pub fn management_names(&self) -> Vec<Name> {
        let under_node = || Name::parse(&format!("management.{}", self.node_names().first()?)).ok();
        let stock = Name::parse(STOCK_HOSTNAME).ok();
        let mut names: Vec<Name> = self.tunnel.management_hostname.clone().or_else(under_node).into_iter().chain(stock).collect();
        names.dedup();
        names
    }

    /// The first of them with the port of the visitors' TLS listener, unless that is 443.
    pub fn management_authority(&self) -> Option<String> {
        let name = self.management_names().into_iter().next()?;
        let port = self.edge.https.first().map(SocketAddr::port).filter(|port| !matches!(port, 0 | 443));
        Some(port.map_or_else(|| name.to_string(), |port| format!("{name}:{port}")))
    }

    /// What tokens tell agents to dial: what the operator says, else the node's name where the operator gave one, else its
    /// public addresses, else the addresses it listens on.
    pub fn agents_dial(&self) -> Vec<String> {
        let port = self.tunnel.listen.first().map_or(7844, SocketAddr::port);
        if !self.tunnel.edges.is_empty() {
            return self.tunnel.edges.clone();
        }
        if let Some(name) = &self.node.name {
            return vec![format!("{name}:{port}")];
        }
        if !self.node.public_addresses.is_empty() {
            return self.node.public_addresses.iter().map(|ip| SocketAddr::new(*ip, port).to_string()).collect();
        }
        let named = self.tunnel.listen.iter().filter(|address| !address.ip().is_unspecified()).map(ToString::to_string);
        let named: Vec<String> = named.collect();
        if named.is_empty() { self.node_names().iter().take(1).map(|name| format!("{name}:{port}")).collect() } else { named }
    }

    /// Where the name server listens, and where for TLS: what the operator says; else port 53 of `machine`, this machine's addresses, once
    /// zones can be delegated here.
    pub fn dns_listens(&self, machine: impl FnOnce() -> Vec<IpAddr>) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        if !self.node.roles.contains(&Role::Dns) {
            return (Vec::new(), Vec::new());
        }
        let mut listen = self.dns.listen.clone();
        if listen.is_empty() && !self.dns.nameservers.is_empty() {
            listen = machine().into_iter().map(|address| SocketAddr::new(address, 53)).collect();
        }
        let beside = || {
            let standard = listen.iter().filter(|address| address.port() == 53);
            standard.map(|address| SocketAddr::new(address.ip(), 853)).collect()
        };
        let tls = self.dns.listen_tls.clone().unwrap_or_else(beside);
        (listen, tls)
    }

    /// The addresses that proxied names are answered with: the public ones, else those that visitors are received at.
    pub fn edge_addresses(&self) -> Vec<IpAddr> {
        if !self.node.public_addresses.is_empty() {
            return self.node.public_addresses.clone();
        }
        self.edge.https.iter().map(SocketAddr::ip).filter(|address| !address.is_unspecified()).collect()
    }
}

/// The file and its text, where there is one.
fn read(path: Option<&Path>) -> Result<Option<(PathBuf, String)>, ConfigError> {
    let named = path.is_some();
    let path = path.unwrap_or(Path::new(DEFAULT_FILE)).to_path_buf();
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some((path, text))),
        Err(error) if !named && error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ConfigError::Unreadable { path, error }),
    }
}

/// Whether a text is a scheme and a host, perhaps with a port: the pages stand at the root.
fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let host = rest.map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    host.is_some_and(|host| !host.is_empty() && host.chars().all(fits))
}

/// An address or a CIDR range.
pub fn range(text: &str) -> Option<ipnet::IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(ipnet::IpNet::from))
}

#[cfg(test)]
mod tests;
