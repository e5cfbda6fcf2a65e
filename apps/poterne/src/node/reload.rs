//! The configuration read again while the node runs: `poterne reload`, and SIGHUP.
//!
//! Everything is read and found right before anything is changed: what is wrong leaves all as it was. No connection is cut: what a
//! connection was accepted with it keeps, and what a setting says of connections holds for the next one.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use poterne_edge_tls::Files;
use poterne_telemetry::logs::Changing;
use tokio::sync::Mutex;

use super::edge::Edge;
use crate::{
    access_log::{AccessLog, Opened},
    admin::protocol::Reloaded,
    cli::Sources,
    config::{Config, ConfigError, Loaded, keys},
    process,
};

/// Where the settings of a node come from, so that they can be read again.
pub struct Source {
    /// Files, variables and flags.
    pub sources: Sources,
    /// What they said when the node started.
    pub loaded: Loaded,
    /// What is logged.
    pub logs: Changing,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("sources", &self.sources).finish_non_exhaustive()
    }
}

/// Why nothing was changed. Culprit: the operator.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The node was not started by a configuration.
    #[error("this node has no configuration that could be read again: it is a demo")]
    NoSource,
    /// There was a file, and is none.
    #[error(
        "there is no configuration file any more; the node goes on as it was. Put it back, or restart the node to do without"
    )]
    FileGone,
    /// It is wrong.
    #[error("{0}; nothing was changed")]
    Wrong(#[from] ConfigError),
}

/// Reads the configuration again.
pub struct Reloader {
    /// One at a time; none: there is no source.
    source: Option<Mutex<Source>>,
    edge: Arc<Edge>,
    drain: Arc<ArcSwap<Duration>>,
    access_log: Arc<AccessLog>,
}

impl Reloader {
    pub(super) fn new(
        source: Option<Source>,
        edge: Arc<Edge>,
        drain: Arc<ArcSwap<Duration>>,
        access_log: Arc<AccessLog>,
    ) -> Self {
        Self { source: source.map(Mutex::new), edge, drain, access_log }
    }

    /// Reads everything again, and obeys what can be obeyed by a running node.
    ///
    /// # Errors
    /// Something is wrong, and nothing was changed.
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        let mut source = self.source.as_ref().ok_or(ReloadError::NoSource)?.lock().await;
        let sources = source.sources.clone();
        let read = tokio::task::spawn_blocking(move || -> Result<_, ConfigError> {
            let loaded = Config::loaded(&sources)?;
            let files = Files::read(&loaded.config.edge.certificate_files()).map_err(|error| loaded.placed(error.to_string()))?;
            let access = Opened::of(&loaded.config.log).map_err(|error| loaded.placed(error))?;
            Ok((loaded, files, access))
        });
        let (mut loaded, files, access) = read.await.map_err(|error| ConfigError::Inconsistent(error.to_string()))??;
        if source.loaded.has_file() && !loaded.has_file() {
            return Err(ReloadError::FileGone);
        }
        let (changed, left): (Vec<_>, Vec<_>) =
            source.loaded.changed(&loaded).into_iter().partition(|key| keys::RELOADED.contains(key));

        // Nothing can fail any more.
        let names = files.names();
        self.edge.certificates.take_files(files);
        self.edge.obey(&loaded.config.edge);
        self.drain.store(Arc::new(Duration::from_secs(loaded.config.edge.drain_secs)));
        let access_log = Arc::clone(&self.access_log);
        // It waits for room among what waits to be written.
        match tokio::task::spawn_blocking(move || access_log.set(access)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "there is no thread for the access log"),
            Err(error) => tracing::error!(%error, "the access log could not be set"),
        }
        // It was seen to parse; the variable was obeyed at the start.
        let _ = source.logs.filter(&process::log_filter(&loaded.config.log.level));
        // What needs a restart is told again the next time.
        left.iter().for_each(|key| loaded.keep(&source.loaded, *key));
        source.loaded = loaded;
        let named = |keys: Vec<(&str, &str)>| keys.iter().map(|(section, name)| format!("{section}.{name}")).collect::<Vec<_>>();
        let reloaded = Reloaded { changed: named(changed), left: named(left), certificate_names: names };
        tracing::info!(changed = ?reloaded.changed, left = ?reloaded.left, certificate_names = names, "the configuration was read again");
        if !reloaded.left.is_empty() {
            tracing::warn!(left = ?reloaded.left, "these keys changed and are obeyed after a restart or `poterne upgrade`");
        }
        Ok(reloaded)
    }
}
