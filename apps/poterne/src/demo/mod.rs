//! `poterne demo`: the whole node on loopback, a sample site, and the agent in the same process.

use std::{
    ffi::OsString,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use poterne_control_app::{Leads, OriginKeys};
use poterne_model::Name;
use poterne_telemetry::Tap;
use poterne_tunnel_agent::LOG_TARGETS;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    admin::{
        protocol::{Answer, Tunnel, Verb, Zone},
        server::Administrator as _,
    },
    bind::BindError,
    cli,
    config::Config,
    inherited::Inherited,
    language,
    node::{Node, Options},
    ports::{self, Choice},
    process,
    ready::DemoReady,
    sample_site::SampleSite,
    state::{self, StateDir, StateError},
};

mod agent;
pub mod text;

use text::{Facts, Published};

/// The demo's zone: browsers take every name below `.localhost` to loopback by themselves (RFC 6761 §6.3).
const ZONE: &str = "poterne.localhost";
/// The published hostname.
const HOSTNAME: &str = "demo.poterne.localhost";
/// Where quick tunnels get their names.
const QUICK_DOMAIN: &str = "quick.poterne.localhost";
/// The node's own name.
const NODE_NAME: &str = "node.poterne.localhost";
/// The demo's tunnel.
const TUNNEL: &str = "demo";
/// What its API token is called.
const API_TOKEN: &str = "demo";
/// The file in the state directory that says which service the demo routed, and which it last set out to: what is routed otherwise is
/// somebody's own choice.
const ROUTED: &str = "demo-service";
/// What the demo's visitors' authority may vouch for.
const VISITORS_UNDER: &[&str] = &["localhost"];
/// How long what is under way gets to end.
const DRAIN: Duration = Duration::from_secs(3);
/// Demos beside each other that share a place for their state.
const DEMOS_MAX: usize = 16;

/// Runs the demo until it is told to stop.
pub async fn run(arguments: cli::Demo) -> anyhow::Result<()> {
    let language = language::of_locale(|name| std::env::var(name).ok());
    let tap = Tap::new(LOG_TARGETS);
    process::start_logs_with("warn", Some(&tap))?;
    process::raise_descriptor_limit();
    let stop = CancellationToken::new();
    process::stop_on_signals(stop.clone())?;
    let (state, state_beside) = hold_state(arguments.state_dir.as_deref())?;
    let (state_dir, state_found) = (state.path().to_path_buf(), state.found());
    // People read stdout; with --json that is a script's, and people read stderr.
    let say = |text: &str| {
        let text = format!("{text}\n");
        let _ = if arguments.json {
            std::io::stderr().write_all(text.as_bytes())
        } else {
            std::io::stdout().write_all(text.as_bytes())
        };
    };
    if state_beside {
        say(&text::beside(language, &state_dir));
    }
    let (node, choice) = start_node(Arc::new(state), arguments.port_base).await?;
    if let Some(moved) = text::moved(language, &choice) {
        say(&moved);
    }

    let site_stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let kept = match &arguments.url {
        Some(_) => None,
        None => kept(&node, &state_dir).await?,
    };
    let (service, published) = match (&arguments.url, &kept) {
        (Some(url), _) => (Some(url.clone()), None),
        (None, Some(_)) => (None, None),
        (None, None) => {
            let site = SampleSite::bind().await.context("the sample site finds no port on loopback")?;
            let address = site.address();
            tasks.spawn(site.serve(site_stop.clone()));
            (Some(format!("http://{address}")), Some(address))
        }
    };
    if let Some(service) = &service {
        remember(&state_dir, service).context("the state directory cannot be written")?;
    }
    let things = publish(&node, service.as_deref()).await?;
    let agent = match arguments.no_agent {
        true => None,
        false => Some(agent::start(&things.token, tap)?),
    };
    let ready = {
        let mut ready = node.ready();
        let https = ready.https.context("the demo always listens for TLS")?;
        ready.demo = Some(DemoReady {
            account_id: node.administration().app().account().to_string(),
            api_token: things.api_token.clone(),
            zone_id: things.zone.id.clone(),
            zone: things.zone.name.clone(),
            hostname: HOSTNAME.into(),
            url: format!("https://{HOSTNAME}:{}/", https.port()),
            tunnel_id: things.tunnel.id.clone(),
            tunnel_token: things.token.clone(),
        });
        ready
    };
    if let Some(agent) = &agent {
        tokio::select! {
            connected = agent.connected() => {
                connected?;
                node.administration().app().agents_configured(things.tunnel.id.parse()?).await;
            }
            () = stop.cancelled() => {}
        }
    }
    if !stop.is_cancelled() {
        if arguments.json {
            ready.write(&mut std::io::stdout().lock())?;
        } else {
            let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let facts = Facts {
                program: &program(),
                hostname: HOSTNAME,
                http: loopback(choice.ports.http),
                https: loopback(choice.ports.https),
                tunnel: loopback(choice.ports.tunnel),
                api: loopback(choice.ports.api),
                ca_file: &state_dir.join(state::CA),
                visitors_ca_file: &state_dir.join(state::VISITORS_CA),
                state_dir: &state_dir,
                state_found,
                published: agent.as_ref().map(|_| match (&arguments.url, &kept, published) {
                    (None, _, Some(site)) => Published::Sample(site),
                    (None, Some(kept), None) => Published::Kept(kept),
                    (url, _, _) => Published::Own(url.as_deref().unwrap_or_default()),
                }),
                token: &things.token,
                login: &login(),
            };
            say(text::ready(language, &facts).trim_end_matches('\n'));
            say("");
        }
    }
    stop.cancelled().await;
    say(text::draining(language));
    // The visitors' side ends first: its last requests still need the agent and the site.
    node.drain_visitors().await;
    if let Some(agent) = agent {
        agent.stop().await;
    }
    node.stop().await;
    site_stop.cancel();
    tasks.close();
    tasks.wait().await;
    say(&text::stopped(language, &state_dir));
    Ok(())
}

/// The state directory, or the first one beside it that no other demo holds; and whether it is such a one.
fn hold_state(named: Option<&Path>) -> anyhow::Result<(StateDir, bool)> {
    let path = match named {
        Some(path) => path.to_path_buf(),
        None => state::demo_dir(|name: &str| -> Option<OsString> { std::env::var_os(name) })
            .context("neither XDG_STATE_HOME nor HOME says where state goes: name a directory with --state-dir")?,
    };
    let beside = |number: usize| {
        let mut name = path.clone().into_os_string();
        name.push(format!("-{number}"));
        PathBuf::from(name)
    };
    let mut held = match StateDir::hold(&path) {
        Err(error @ StateError::Held { .. }) => error,
        other => return Ok((other?, false)),
    };
    for number in 2..=DEMOS_MAX {
        match StateDir::hold(&beside(number)) {
            Err(error @ StateError::Held { .. }) => held = error,
            other => return Ok((other?, true)),
        }
    }
    Err(held).context(format!("{DEMOS_MAX} demos are running already"))
}

/// Starts the node on the first set of ports that it can have.
async fn start_node(state: Arc<StateDir>, base: u16) -> anyhow::Result<(Node, Choice)> {
    let mut passed = Vec::new();
    let mut base = base;
    loop {
        let mut choice = ports::choose(base)?;
        let options = Options {
            visitors_under: VISITORS_UNDER,
            drain: DRAIN,
            sockets: Inherited::default(),
            source: None,
            predecessor: None,
            arguments: None,
        };
        match Node::start(config(&choice), Arc::clone(&state), options).await {
            Ok(node) => {
                passed.append(&mut choice.passed);
                choice.passed = passed;
                return Ok((node, choice));
            }
            Err(error) => match error.downcast_ref::<BindError>() {
                // Somebody was faster since the ports were probed.
                Some(taken) if taken.is_taken() && passed.len() < DEMOS_MAX => {
                    passed.append(&mut choice.passed);
                    passed.push(taken.address.port());
                    base = if choice.base == 0 { 0 } else { choice.base.saturating_add(ports::STEP) };
                    if base > ports::BASE_MAX {
                        return Err(error);
                    }
                }
                _ => return Err(error),
            },
        }
    }
}

/// The node's settings: loopback and nothing else.
fn config(choice: &Choice) -> Config {
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let name = |text| Name::parse(text).expect("a name written here is a name");
    let mut config = Config::defaults();
    config.node.name = Some(name(NODE_NAME));
    config.edge.http = vec![at(choice.ports.http)];
    config.edge.https = vec![at(choice.ports.https)];
    // Everybody comes from one address here.
    config.edge.connections_per_address_max = usize::MAX;
    config.edge.origins_allowed = vec![crate::config::OriginRange { cidr: "127.0.0.0/8".into(), accounts: None }];
    config.dns.listen = vec![at(choice.ports.dns)];
    config.dns.listen_tls = Some(vec![at(choice.ports.dns_tls)]);
    config.tunnel.listen = vec![at(choice.ports.tunnel)];
    config.tunnel.quick_domain = Some(name(QUICK_DOMAIN));
    config.tunnel.edges = vec![at(choice.ports.tunnel).to_string()];
    config.control.listen = at(choice.ports.api);
    config.control.metrics = at(choice.ports.metrics);
    config.control.activate = vec![name(ZONE)];
    config
}

/// What the demo publishes.
struct Things {
    zone: Zone,
    tunnel: Tunnel,
    token: String,
    api_token: String,
}

/// Where the hostname leads, if that is the user's choice of an earlier run and no longer the demo's.
async fn kept(node: &Node, state_dir: &Path) -> anyhow::Result<Option<String>> {
    let Some(Leads { tunnel, service }) = node.administration().route_of(HOSTNAME).await? else { return Ok(None) };
    // A state without this file is of a version that put its own route back.
    let Ok(own) = std::fs::read_to_string(state_dir.join(ROUTED)) else { return Ok(None) };
    let is_own = own.lines().any(|own| service.as_deref() == Some(own));
    Ok((!is_own).then(|| service.unwrap_or_else(|| format!("tunnel {tunnel}"))))
}

/// Notes what the demo routes, before it does: whether it came to that or not, the next run knows its own.
fn remember(state_dir: &Path, service: &str) -> std::io::Result<()> {
    let path = state_dir.join(ROUTED);
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    let before = before.lines().last().unwrap_or(service);
    state::write_whole(&path, 0o600, format!("{before}\n{service}\n").as_bytes())
}

/// Makes zone, tunnel and route, or finds them from an earlier run, over the same verbs that an operator uses. Without a service the
/// hostname leads where it did.
async fn publish(node: &Node, service: Option<&str>) -> anyhow::Result<Things> {
    let administration = node.administration();
    let ask = async |verb: Verb| match administration.execute(verb).await {
        Answer::Refused { message } => bail!(message),
        answer => Ok(answer),
    };
    let Answer::Zones(zones) = ask(Verb::ZoneList { deleted: false }).await? else { bail!("the list of zones is none") };
    if !zones.iter().any(|zone| zone.name == ZONE) {
        ask(Verb::ZoneAdd { name: ZONE.into() }).await?;
    }
    let Answer::Zone(zone) = ask(Verb::ZoneActivate { name: ZONE.into() }).await? else { bail!("the zone is none") };
    let Answer::Tunnels(tunnels) = ask(Verb::TunnelList {}).await? else { bail!("the list of tunnels is none") };
    if !tunnels.iter().any(|tunnel| tunnel.name == TUNNEL) {
        ask(Verb::TunnelCreate { name: TUNNEL.into() }).await?;
    }
    if let Some(service) = service {
        let route = Verb::TunnelRoute {
            hostname: HOSTNAME.into(),
            tunnel: TUNNEL.into(),
            service: service.into(),
            origin: OriginKeys::default(),
        };
        ask(route).await.with_context(|| format!("{service} cannot be published"))?;
    }
    let Answer::Token { tunnel, token } = ask(Verb::TunnelToken { tunnel: TUNNEL.into() }).await? else {
        bail!("the token is none")
    };
    // A token's text is told once: each start has its own, and the last one's is worth nothing any more.
    let Answer::ApiTokens(tokens) = ask(Verb::TokenList {}).await? else { bail!("the list of API tokens is none") };
    for old in tokens.into_iter().filter(|token| token.name == API_TOKEN) {
        ask(Verb::TokenDelete { id: old.id }).await?;
    }
    let made = ask(Verb::TokenCreate { name: API_TOKEN.into(), permissions: vec!["all".into()] }).await?;
    let Answer::ApiToken { secret: api_token, .. } = made else { bail!("the API token is none") };
    Ok(Things { zone, tunnel, token, api_token })
}

/// The program as it was called, so that a line can be pasted.
fn program() -> String {
    std::env::args().next().filter(|name| !name.is_empty()).unwrap_or_else(|| "poterne".into())
}

/// `user@host` of this machine, for ssh.
fn login() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = match host.trim() {
        "" => "this-machine",
        host => host,
    };
    match std::env::var("USER").or_else(|_| std::env::var("LOGNAME")) {
        Ok(user) if !user.is_empty() => format!("{user}@{host}"),
        _ => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Ports;

    #[test]
    fn the_demo_is_on_loopback_and_nowhere_else() {
        let config = config(&Choice { ports: Ports::at(10_000), base: 10_000, passed: vec![] });
        let mut all = config.edge.http.clone();
        all.extend(config.edge.https.iter().chain(&config.tunnel.listen));
        all.extend(config.dns.listen.iter().chain(config.dns.listen_tls.iter().flatten()));
        all.extend([config.control.listen, config.control.metrics]);
        assert_eq!(all.len(), 7);
        assert!(all.iter().all(|address| address.ip().is_loopback()));
        let zone = Name::parse(ZONE).unwrap();
        for name in [HOSTNAME, QUICK_DOMAIN, NODE_NAME] {
            assert!(Name::parse(name).unwrap().is_within(&zone));
        }
    }

    #[test]
    fn a_held_state_directory_gives_the_one_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("demo");
        let (first, beside) = hold_state(Some(&path)).unwrap();
        assert!(!beside && first.path().ends_with("demo"));
        let (second, beside) = hold_state(Some(&path)).unwrap();
        assert!(beside && second.path().ends_with("demo-2"));
        drop(first);
        let (again, beside) = hold_state(Some(&path)).unwrap();
        assert!(!beside && again.path().ends_with("demo"));
    }
}
