//! What is in force: how a caller learns that its change is obeyed.

use std::time::Duration;

use poterne_model::Name;

use crate::{App, AppError, Caller};

/// Longest wait for a change to be obeyed; longer ones are cut to it.
pub const GENERATION_WAIT_MAX: Duration = Duration::from_secs(60);

/// What a node obeys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Live {
    /// The number of the store's last change that it has taken in.
    pub change: u64,
    /// The generation of its snapshot that came of it. Changes that nodes need not know make none.
    pub generation: u64,
}

/// What is committed, and what each node has made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generations {
    /// The number of the last change that is durable, or of the one asked about.
    pub change: u64,
    /// Whether every node obeys it.
    pub is_live: bool,
    /// The nodes.
    pub nodes: Vec<NodeGeneration>,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeGeneration {
    /// What it is called.
    pub name: String,
    /// What it obeys.
    pub live: Live,
}

impl App {
    /// What each node has applied. Waits up to `wait` (at most [`GENERATION_WAIT_MAX`]) until that is `change`, or the last one durable when it is called;
    /// whether it is by then is in the answer. Numbers tell nothing of anybody's objects: whoever has shown credentials may ask.
    pub async fn generations(&self, caller: &Caller, change: Option<u64>, wait: Duration) -> Result<Generations, AppError> {
        if *caller == Caller::Anybody {
            return Err(AppError::NotFound("generation"));
        }
        let committed = *self.0.store.changes().borrow();
        // A number from the future is a mistake; waiting for it would be one too.
        let change = change.unwrap_or(committed).min(committed);
        let live = match self.live() {
            None => None,
            Some(mut receiver) => {
                let reached = receiver.wait_for(|live| live.change >= change);
                let reached = tokio::time::timeout(wait.min(GENERATION_WAIT_MAX), reached).await;
                drop(reached);
                Some(*receiver.borrow())
            }
        };
        let name = self.settings().node_names.first().map_or_else(|| "node".to_owned(), Name::to_string);
        let is_live = live.is_some_and(|live| live.change >= change);
        Ok(Generations {
            change,
            is_live,
            nodes: live.into_iter().map(|live| NodeGeneration { name: name.clone(), live }).collect(),
        })
    }
}
