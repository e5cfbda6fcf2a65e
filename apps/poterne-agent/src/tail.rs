//! `tail` and `management token`: an agent's log read from elsewhere, and the token that opens it.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use poterne_model::ConnectorId;
use poterne_telemetry::logs;
use poterne_tunnel_agent::{
    Proxies, Trust,
    tail::{Tail, json, line},
};
use poterne_tunnel_proto::management::{
    message::{EventKind, Filters, Level},
    token::{Resource, Token},
};

use crate::{
    cli::{RootFlags, TunnelFlags},
    manage, run,
};

/// `tail`.
#[derive(Debug, Args)]
#[command(subcommand_negates_reqs = true)]
pub(crate) struct TailFlags {
    #[command(subcommand)]
    pub(crate) verb: Option<TailVerb>,
    /// The tunnel, by name or id
    #[arg(required_unless_present = "token")]
    pub(crate) tunnel: Option<String>,
    /// Which of its agents, where it has several [default: any]
    #[arg(long, value_name = "ID", env = "TUNNEL_MANAGEMENT_CONNECTOR")]
    pub(crate) connector_id: Option<ConnectorId>,
    /// What lines are to be about: http, tcp, udp, cloudflared (the agent itself); repeatable [default: all]
    #[arg(
        long = "event", value_name = "EVENT", env = "TUNNEL_MANAGEMENT_FILTER_EVENTS", value_delimiter = ',', value_parser = event
    )]
    pub(crate) events: Vec<EventKind>,
    /// Least level: debug, info, warn, error
    #[arg(long, value_name = "LEVEL", env = "TUNNEL_MANAGEMENT_FILTER_LEVEL", default_value = "debug", value_parser = level)]
    pub(crate) level: Level,
    /// Share of the lines to be shown, above 0 and up to 1
    #[arg(long, value_name = "SHARE", env = "TUNNEL_MANAGEMENT_FILTER_SAMPLE", default_value_t = 1.0, value_parser = share)]
    pub(crate) sample: f64,
    /// A management token, instead of one that the API is asked for
    #[arg(long, env = "TUNNEL_MANAGEMENT_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// Where agents' logs are read: the node's management hostname, with its port unless that is 443 [default: what the token says]
    #[arg(long, value_name = "HOST", env = "TUNNEL_MANAGEMENT_HOSTNAME")]
    pub(crate) management_hostname: Option<String>,
    #[command(flatten)]
    pub(crate) node: NodeFlags,
}

/// Below `tail`.
#[derive(Debug, Subcommand)]
pub(crate) enum TailVerb {
    /// Print a token that opens a tunnel's logs for an hour
    Token {
        /// The tunnel, by name or id
        tunnel: String,
    },
}

/// Below `management`.
#[derive(Debug, Subcommand)]
pub(crate) enum ManagementVerb {
    /// Print a token for a tunnel's agents that lives an hour
    Token {
        /// What for: logs, admin or host_details
        #[arg(long, value_name = "RESOURCE")]
        resource: Resource,
        /// The tunnel, by name or id
        tunnel: String,
        #[command(flatten)]
        node: NodeFlags,
    },
}

/// Which node is asked, and by whom.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct NodeFlags {
    /// The cert.pem of `login`, which says who asks a node's API
    #[arg(long, global = true, value_name = "PATH", env = "TUNNEL_ORIGIN_CERT")]
    pub(crate) origincert: Option<std::path::PathBuf>,
    /// The API, where cert.pem does not say it: https://NODE/client/v4
    #[arg(long, global = true, value_name = "URL", env = "TUNNEL_API_URL")]
    pub(crate) api_url: Option<String>,
    /// Trust only the authorities of this PEM file; the node's own is ca.pem in its state directory
    #[arg(long, global = true, value_name = "PATH", env = "TUNNEL_CACERT")]
    pub(crate) cacert: Option<std::path::PathBuf>,
}

impl From<NodeFlags> for TunnelFlags {
    fn from(NodeFlags { origincert, api_url, cacert }: NodeFlags) -> Self {
        Self { origincert, api_url, cacert, ..Self::default() }
    }
}

fn event(word: &str) -> Result<EventKind, String> {
    EventKind::of_word(word).ok_or_else(|| "write http, tcp, udp or cloudflared".to_owned())
}

fn level(word: &str) -> Result<Level, String> {
    Level::of_word(word).ok_or_else(|| "write debug, info, warn or error".to_owned())
}

/// 0 is the stock agent's word for all of them.
fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "write a number above 0 and up to 1, as in 0.1 for every tenth line".to_owned())
}

/// `tail`, and `tail token`.
pub(crate) fn tail(root: &RootFlags, flags: TailFlags) -> anyhow::Result<ExitCode> {
    let as_json = root.output.as_deref() == Some("json");
    begin(root, async move {
        match flags.verb {
            Some(TailVerb::Token { tunnel }) => print_token(&tunnel, Resource::Logs, flags.node).await,
            None => read(flags, as_json).await,
        }
    })
}

/// `management token`.
pub(crate) fn management(root: &RootFlags, verb: ManagementVerb) -> anyhow::Result<ExitCode> {
    let ManagementVerb::Token { resource, tunnel, node } = verb;
    begin(root, async move { print_token(&tunnel, resource, node).await })
}

fn begin(root: &RootFlags, work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    run::log_to(root, logs::Format::Text)?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(Box::pin(work))
}

/// As the stock agent prints it.
async fn print_token(tunnel: &str, resource: Resource, node: NodeFlags) -> anyhow::Result<ExitCode> {
    let (token, _) = manage::management_token(&node.into(), tunnel, resource).await?;
    crate::print(&format!("{}\n", serde_json::json!({ "token": token })))
}

async fn read(flags: TailFlags, as_json: bool) -> anyhow::Result<ExitCode> {
    let TailFlags { tunnel, connector_id, events, level, sample, token, management_hostname, node, .. } = flags;
    let (token, trust) = match (token, tunnel) {
        (Some(token), _) => (token, node.cacert.map_or(Trust::WebPki, Trust::CaFile)),
        (None, tunnel) => {
            let tunnel = tunnel.context("which tunnel? `poterne-agent tail TUNNEL`")?;
            manage::management_token(&node.into(), &tunnel, Resource::Logs).await?
        }
    };
    let claims = Token::parse(token.trim()).context("--token")?.claims;
    let hostname = management_hostname.or_else(|| Some(claims.iss).filter(|host| !host.is_empty()));
    let hostname = hostname.context("the token does not say where it is taken: give --management-hostname HOST")?;
    let filters = Filters { events, level: Some(level), sampling: sample };
    let proxies = Proxies::from_environment()?;
    let tail = Tail { hostname, address: None, token, connector: connector_id, filters, trust, proxies };
    let mut out = io::stdout();
    tail.run(|entry| writeln!(out, "{}", if as_json { json(&entry) } else { line(&entry) })).await?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn the_line_says_what_is_to_be_read() {
        let line = "poterne-agent tail --event http,tcp --event udp --level warn --sample 0.5 --output json home";
        let Command::Tail(flags) = Cli::try_parse_from(line.split(' ')).unwrap().command else { panic!() };
        assert_eq!(flags.tunnel.as_deref(), Some("home"));
        assert_eq!(flags.events, [EventKind::Http, EventKind::Tcp, EventKind::Udp]);
        assert_eq!((flags.level, flags.sample), (Level::Warn, 0.5));
        let line = "poterne-agent tail token --api-url http://127.0.0.1/client/v4 home";
        let Command::Tail(flags) = Cli::try_parse_from(line.split(' ')).unwrap().command else { panic!() };
        assert!(matches!(flags.verb, Some(TailVerb::Token { tunnel }) if tunnel == "home"));
        assert!(flags.node.api_url.is_some());
        let line = "poterne-agent management token --resource host_details home";
        assert!(matches!(Cli::try_parse_from(line.split(' ')).unwrap().command, Command::Management(_)));
        for wrong in ["tail", "tail --level loud home", "tail --sample 2 home", "tail --event mail home", "management token home"]
        {
            let line = format!("poterne-agent {wrong}");
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{wrong}");
        }
    }
}
