//! `poterne serve`: the real node.

use std::{ffi::OsString, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use tokio_util::sync::CancellationToken;

use crate::{
    cli,
    config::Config,
    handover::{Given, Predecessor},
    inherited::Inherited,
    node::{Node, Options, reload::Source},
    notify, process,
    state::StateDir,
};

/// Runs the node until it is told to stop.
pub async fn run(arguments: cli::Serve) -> anyhow::Result<()> {
    let predecessor = Predecessor::of_environment()?;
    // Heard first: who ends with something unheard is not heard well itself.
    let given = predecessor.as_ref().map(Predecessor::given).transpose()?;
    let served = Box::pin(serve(arguments, predecessor.clone().zip(given))).await;
    if let (Err(error), Some(predecessor)) = (&served, &predecessor) {
        predecessor.failed(&format!("{error:#}"));
    }
    served
}

async fn serve(arguments: cli::Serve, predecessor: Option<(Predecessor, Given)>) -> anyhow::Result<()> {
    let loaded = Config::loaded(&arguments.sources)?;
    let config = loaded.config.clone();
    let logs = process::start_logs(&config.log.level)?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "poterne starts");
    process::raise_descriptor_limit();
    let stop = CancellationToken::new();
    process::stop_on_signals(stop.clone())?;
    let (state, sockets, predecessor) = match predecessor {
        None => (StateDir::hold(&config.node.state_dir)?, Inherited::of_environment(), None),
        Some((predecessor, given)) => {
            let (path, lock) = given.state;
            let state = StateDir::take_over(&config.node.state_dir, lock)?;
            ensure!(
                state.path() == path,
                "[node] state_dir is {} now, and was {}: that needs a restart",
                state.path().display(),
                path.display()
            );
            (state, Inherited::given(given.sockets), Some((predecessor, given.generation)))
        }
    };
    tracing::info!(state_dir = %state.path().display(), found = state.found(), "state");
    let drain = Duration::from_secs(config.edge.drain_secs);
    let is_successor = predecessor.is_some();
    let options = Options {
        visitors_under: &[],
        drain,
        sockets,
        source: Some(Source { sources: arguments.sources, loaded, logs }),
        predecessor,
        arguments: Some(without_ready_fd(std::env::args_os().skip(1))),
    };
    let node = Node::start(config, Arc::new(state), options).await?;
    process::reload_on_hangup(Arc::clone(node.reloader()), stop.clone())?;
    let ready = node.ready();
    tracing::info!(ready = serde_json::to_string(&ready).unwrap_or_default(), "ready");
    if let Some(fd) = arguments.ready_fd {
        ready.write_to_fd(fd).with_context(|| format!("--ready-fd {fd}: is the descriptor open for writing?"))?;
    }
    if !is_successor {
        // Of a successor the one before it tells.
        notify::ready();
    }
    tokio::select! {
        () = stop.cancelled() => notify::stopping(),
        () = node.replaced() => {}
    }
    node.drain_visitors().await;
    node.stop().await;
    tracing::info!("stopped");
    Ok(())
}

/// What a successor is started with: nobody waits for its line.
fn without_ready_fd(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let (mut kept, mut is_value) = (Vec::new(), false);
    for argument in arguments {
        let text = argument.to_string_lossy();
        if is_value || text.starts_with("--ready-fd=") {
            is_value = false;
        } else if text == "--ready-fd" {
            is_value = true;
        } else {
            kept.push(argument);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successor_is_started_with_all_but_the_descriptor() {
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        let given = words(&["serve", "--ready-fd", "1", "--config", "c", "--ready-fd=3", "--set", "a.b=c"]);
        assert_eq!(without_ready_fd(given.into_iter()), words(&["serve", "--config", "c", "--set", "a.b=c"]));
    }
}
