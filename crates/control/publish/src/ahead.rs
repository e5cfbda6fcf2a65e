//! What a large zone file brings, read while the database still writes it.
//!
//! Verbs hand a file's records over as they are written ([`Brought`]); here they become what the world holds of them, on a thread beside
//! the database's. When the change they belong to is seen in the store, they are taken in as they are, if it is certain that they are
//! what the store would say: it was kept, nothing else changed so many names of the zone since the world last looked, and what they were
//! read with is what the world reads with. Otherwise the store is asked, as if nothing had been handed over. Names that changed one by
//! one, too, are read again after it.

use std::sync::{Arc, Mutex, PoisonError};

use poterne_acme::caa::Issuer;
use poterne_control_app::Brought;
use poterne_control_store::{Session, StoreError, Touched};
use poterne_model::{Name, ZoneId};
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{
    PublishError,
    path::{self, Path},
    rows::{Reading, Records},
    world::World,
};

/// The file that was handed over last. One is taken in at a time, so there is no other.
#[derive(Clone, Default)]
pub(crate) struct Ahead(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    issuers: Vec<Issuer>,
    file: Option<File>,
}

/// A file under way.
struct File {
    zone: ZoneId,
    proxies: bool,
    change: u64,
    before: Option<u64>,
    issuers: Vec<Issuer>,
    names: JoinHandle<Result<Vec<(Path, Records)>, PublishError>>,
    kept: oneshot::Receiver<()>,
}

/// Names of a zone that had no records, by path, with what they have now.
pub(crate) struct NewNames {
    pub(crate) zone: ZoneId,
    pub(crate) names: Vec<(Path, Records)>,
}

impl Ahead {
    /// Begins to read a file, for a world with that domain of tunnels.
    pub(crate) fn begin(&self, brought: Brought, tunnel_domain: Option<Name>) {
        let Brought { zone, apex, proxies, change, before, records, kept } = brought;
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let issuers = state.issuers.clone();
        let read_with = issuers.clone();
        let names = tokio::task::spawn_blocking(move || {
            let (reading, apex) =
                (Reading { tunnel_domain: tunnel_domain.as_ref(), issuers: &read_with }, path::path(apex.as_str()));
            let mut names = Vec::new();
            records.each(|path, records| {
                let below = Path::from(path::below(path.as_bytes(), &apex));
                names.extend(Records::of(records, reading, proxies)?.map(|read| (below, read)));
                Ok::<_, PublishError>(())
            })?;
            Ok(names)
        });
        state.file = Some(File { zone, proxies, change, before, issuers, names, kept });
    }

    /// Forgets a file that is of no use any more, since the world has taken in all up to that change.
    pub(crate) fn passed(&self, change: u64) {
        let is_over = |file: &mut File| file.change <= change;
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).file.take_if(is_over));
    }

    #[cfg(test)]
    pub(crate) fn is_begun(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).file.is_some()
    }

    /// Says with which authorities the world reads CAA records.
    pub(crate) fn reads_with(&self, issuers: &[Issuer]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).issuers = issuers.to_vec();
    }

    /// What was handed over and is part of what was touched since the world last looked, after the change `seen`. None where there is
    /// nothing, or the store is to be asked.
    pub(crate) async fn take(
        &self,
        session: &mut Session,
        world: &World,
        touched: &[Touched],
        seen: u64,
    ) -> Result<Option<NewNames>, StoreError> {
        let zone = self.0.lock().unwrap_or_else(PoisonError::into_inner).file.as_ref().map(|file| file.zone);
        let Some(zone) = zone.filter(|zone| touched.contains(&Touched::Names(*zone))) else { return Ok(None) };
        let touched_at = session.all_names_touched_at(zone).await?;
        let is_it = |file: &mut File| file.zone == zone && Some(file.change) == touched_at;
        let file = self.0.lock().unwrap_or_else(PoisonError::into_inner).file.take_if(is_it);
        let Some(File { proxies, before, issuers, names, kept, .. }) = file else { return Ok(None) };
        let fits = before.is_none_or(|before| before <= seen) && world.proxies(zone) == Some(proxies) && issuers == world.issuers;
        // The number may have become another change's, where this one was not kept after all.
        if !fits || kept.await.is_err() {
            return Ok(None);
        }
        match names.await {
            Ok(Ok(names)) => Ok(Some(NewNames { zone, names })),
            Ok(Err(error)) => {
                tracing::warn!(%zone, %error, "a zone file was not read as it was written: it is read of the store");
                Ok(None)
            }
            Err(error) => {
                tracing::error!(%zone, %error, "reading a zone file as it was written failed: it is read of the store");
                Ok(None)
            }
        }
    }
}
