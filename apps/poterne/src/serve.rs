//! `poterne serve`: the real node.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::{
    cli,
    config::Config,
    inherited::Inherited,
    node::{Node, Options, reload::Source},
    process,
    state::StateDir,
};

/// Runs the node until it is told to stop.
pub async fn run(arguments: cli::Serve) -> anyhow::Result<()> {
    let loaded = Config::loaded(&arguments.sources)?;
    let config = loaded.config.clone();
    let logs = process::start_logs(&config.log.level)?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "poterne starts");
    process::raise_descriptor_limit();
    let stop = CancellationToken::new();
    process::stop_on_signals(stop.clone())?;
    let state = StateDir::hold(&config.node.state_dir)?;
    tracing::info!(state_dir = %state.path().display(), found = state.found(), "state");
    let drain = Duration::from_secs(config.edge.drain_secs);
    let source = Some(Source { sources: arguments.sources, loaded, logs });
    let options = Options { visitors_under: &[], drain, sockets: Inherited::of_environment(), source };
    let node = Node::start(config, Arc::new(state), options).await?;
    process::reload_on_hangup(Arc::clone(node.reloader()), stop.clone())?;
    let ready = node.ready();
    tracing::info!(ready = serde_json::to_string(&ready).unwrap_or_default(), "ready");
    if let Some(fd) = arguments.ready_fd {
        ready.write_to_fd(fd).with_context(|| format!("--ready-fd {fd}: is the descriptor open for writing?"))?;
    }
    stop.cancelled().await;
    node.drain_visitors().await;
    node.stop().await;
    tracing::info!("stopped");
    Ok(())
}
