//! The process itself: how many descriptors it may hold, and when it is asked to stop.

use std::sync::Arc;

use anyhow::Context as _;
use poterne_telemetry::{Tap, logs::Changing};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::node::reload::Reloader;

/// Exit code after a second signal, as a shell shows a process killed by SIGINT.
const EXIT_AT_ONCE: i32 = 130;

/// Threads that serve requests: `POTERNE_THREADS`, else one fewer than cores, at least one.
///
/// Threads that wait for work wake each other: on two cores a second one cost a fifth more CPU a request (measured), while the
/// kernel's part of the work wants a core as well. Raise it where one core is not enough for the peaks.
pub fn threads() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let wanted = std::env::var("POTERNE_THREADS").ok().and_then(|threads| threads.parse().ok());
    wanted.unwrap_or(cores.saturating_sub(1)).clamp(1, 1024)
}

/// Raises the limit of open descriptors to the hard one, and says what that allows.
pub fn raise_descriptor_limit() {
    let before = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: before.maximum, maximum: before.maximum };
    let raised = before.current == before.maximum || setrlimit(Resource::Nofile, wanted).is_ok();
    match getrlimit(Resource::Nofile).current {
        None => tracing::info!("open descriptors: no limit"),
        Some(limit) if raised => {
            // A visitor's request through a tunnel needs one descriptor here: the agent's streams share a connection.
            tracing::info!(
                limit,
                "open descriptors: raised to the hard limit, enough for about {} visitors at once",
                limit.saturating_sub(64)
            );
        }
        Some(limit) => tracing::warn!(limit, "open descriptors: the limit could not be raised to the hard one"),
    }
}

/// Begins the logs: `POTERNE_LOG` says what to log (a level or directives), else `default` does.
pub fn start_logs(default: &str) -> anyhow::Result<Changing> {
    start_logs_with(default, None)
}

/// The same, with a tap for an agent in this process.
pub fn start_logs_with(default: &str, tap: Option<&Tap>) -> anyhow::Result<Changing> {
    let settings = poterne_telemetry::logs::Settings { filter: Some(log_filter(default)), ..Default::default() };
    poterne_telemetry::logs::init_with(&settings, tap).context("POTERNE_LOG or [log] level")
}

/// What to log: `POTERNE_LOG`, where it is set, else what is given.
pub fn log_filter(default: &str) -> String {
    std::env::var("POTERNE_LOG").ok().filter(|filter| !filter.is_empty()).unwrap_or_else(|| default.into())
}

/// Reads the settings again at each SIGHUP, until told to stop; what is wrong with them is logged.
pub fn reload_on_hangup(reloader: Arc<Reloader>, stop: CancellationToken) -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while let Some(Some(())) = stop.run_until_cancelled(hangup.recv()).await {
            if let Err(error) = reloader.reload().await {
                tracing::error!(%error, "SIGHUP: the configuration was not read again");
            }
        }
    });
    Ok(())
}

/// Cancels `stop` at the first SIGINT or SIGTERM; at the second the process ends at once.
pub fn stop_on_signals(stop: CancellationToken) -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        loop {
            let name = tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
            };
            if stop.is_cancelled() {
                tracing::warn!("{name} again: ending at once");
                std::process::exit(EXIT_AT_ONCE);
            }
            tracing::info!("{name}: draining; the same signal again ends at once");
            stop.cancel();
        }
    });
    Ok(())
}
