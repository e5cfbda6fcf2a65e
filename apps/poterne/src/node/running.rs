//! The verbs of a node that runs: those of every administration, and those about the process itself.

use std::sync::Arc;

use super::reload::Reloader;
use crate::{
    admin::{
        protocol::{Answer, Verb},
        server::Administrator,
    },
    administration::Administration,
};

pub(super) struct Running {
    pub administration: Arc<Administration>,
    pub reloader: Arc<Reloader>,
}

impl Administrator for Running {
    async fn execute(&self, verb: Verb) -> Answer {
        match verb {
            Verb::Reload {} => match self.reloader.reload().await {
                Ok(reloaded) => Answer::Reloaded(reloaded),
                Err(error) => Answer::Refused { message: error.to_string() },
            },
            verb => self.administration.execute(verb).await,
        }
    }
}
