//! The verbs of a node that runs: those of every administration, and those about the process itself.

use std::sync::{Arc, Weak};

use tokio::sync::mpsc;

use super::{edge::Edge, reload::Reloader, upgrade::Upgrader};
use crate::{
    access_log::readers_of,
    admin::{
        live,
        protocol::{Answer, Verb},
        server::Administrator,
    },
    administration::Administration,
};

pub(super) struct Running {
    pub administration: Arc<Administration>,
    pub reloader: Arc<Reloader>,
    pub upgrader: Weak<Upgrader>,
    pub edge: Arc<Edge>,
}

impl Administrator for Running {
    async fn execute(&self, verb: Verb) -> Answer {
        match verb {
            Verb::Reload {} => match self.reloader.reload().await {
                Ok(reloaded) => Answer::Reloaded(reloaded),
                Err(error) => Answer::Refused { message: error.to_string() },
            },
            Verb::Upgrade { program } => {
                let Some(upgrader) = self.upgrader.upgrade() else {
                    return Answer::Refused { message: "the node is about to end".into() };
                };
                // Whoever asked may leave: an upgrade is done whole.
                match tokio::spawn(async move { upgrader.upgrade(program).await }).await {
                    Ok(Ok(upgraded)) => Answer::Upgraded(upgraded),
                    Ok(Err(error)) => Answer::Refused { message: error.to_string() },
                    Err(error) => Answer::Refused { message: error.to_string() },
                }
            }
            verb => self.administration.execute(verb).await,
        }
    }

    fn watch(&self, verb: &Verb) -> Option<mpsc::Receiver<Answer>> {
        let Verb::TailRequests { filter } = verb else { return None };
        let pipeline = Arc::clone(&self.edge.pipeline);
        Some(live::begin(filter.clone(), self.edge.drain.clone(), move |change| readers_of(pipeline.readers(), change)))
    }
}
