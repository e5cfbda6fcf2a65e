//! `poterne tail`: requests as they are answered, by `admin.sock`; or the log of a tunnel's agent, read on the node's own machine with a token
//! that the operator needs not ask for.
//!
//! The latter goes the way of every such client: by the visitors' side of the node to the agent.

use std::{
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use poterne_tunnel_agent::{
    Proxies, Trust,
    tail::{Tail, json, line},
};
use poterne_tunnel_proto::management::{message::Filters, token::Token};

use crate::{
    admin::{
        client,
        live::{Filter, Share},
        protocol::{Answer, Verb},
    },
    cli,
    config::Config,
    state,
};

/// Reads until the agent ends the session, or this program is stopped.
pub async fn run(verb: cli::Tail) -> anyhow::Result<ExitCode> {
    let config = Config::from_sources(&verb.admin.sources)?;
    let dir = &config.node.state_dir;
    let Some(tunnel) = verb.tunnel else { return requests(dir, verb.filters, verb.sample, verb.admin.json).await };
    let asked = client::ask(&dir.join(state::SOCKET), &Verb::ManagementToken { tunnel }).await?;
    let (token, https) = match asked {
        Some(Answer::ManagementToken { token, https }) => (token, https),
        Some(Answer::Refused { message }) => bail!(message),
        Some(_) => bail!("the running node answered something else: restart it after an upgrade"),
        None => bail!("no node runs with the state in {}, and only a running one reaches agents", dir.display()),
    };
    let address = https.context("the node receives nobody over TLS ([edge] https is empty), and this goes by way of it")?;
    let authorities = dir.join(state::CA);
    let authorities = std::fs::read_to_string(&authorities).with_context(|| format!("cannot read {}", authorities.display()))?;
    let tail = Tail {
        hostname: Token::parse(&token)?.claims.iss,
        address: Some(address),
        token,
        connector: verb.connector_id,
        filters: Filters { events: verb.events, level: Some(verb.level), sampling: verb.sample },
        trust: Trust::WebPkiAnd(authorities),
        proxies: Proxies::default(),
    };
    let mut out = io::stdout();
    tail.run(|entry| writeln!(out, "{}", if verb.admin.json { json(&entry) } else { line(&entry) })).await?;
    Ok(ExitCode::SUCCESS)
}

/// Shows requests until this program is stopped, or the node is.
async fn requests(dir: &Path, filters: cli::RequestFilters, share: f64, as_json: bool) -> anyhow::Result<ExitCode> {
    let cli::RequestFilters { host, status, method, visitor, query } = filters;
    let hosts = host.into_iter().map(|host| host.to_ascii_lowercase()).collect();
    let methods = method.into_iter().map(|method| method.to_ascii_uppercase()).collect();
    let filter = Filter { hosts, statuses: status, methods, visitors: visitor, share: Share::of(share), query };
    let (mut out, mut error) = (io::stdout(), io::stderr());
    let mut refused = None;
    let (socket, verb) = (dir.join(state::SOCKET), Verb::TailRequests { filter });
    let there = client::watch(&socket, &verb, |answer| {
        match answer {
            Answer::Request { json, text } => writeln!(out, "{}", if as_json { json } else { text })?,
            Answer::Missed(count) => writeln!(error, "({count} requests came too fast to be shown)")?,
            Answer::Refused { message } => {
                refused = Some(message);
                return Ok(false);
            }
            _ => {}
        }
        Ok(true)
    });
    if !there.await? {
        bail!("no node runs with the state in {}, and only a running one has requests", dir.display());
    }
    match refused {
        Some(message) => bail!(message),
        None => Ok(ExitCode::SUCCESS),
    }
}
