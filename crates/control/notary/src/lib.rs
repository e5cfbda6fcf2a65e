//! The notary: orders certificates of public authorities (RFC 8555), and tells `control/app`, which decides.
//!
//! ```text
//! app ── certificate_packs_due ──→ Notary ── order ──→ authority
//!  ▲ ▲                               │  └── proofs_put, and the wait until every live node shows them
//!  │ └── pack_issued, pack_failed ───┤
//!  └──── arrange_certificates ───────┘
//! ```
//!
//! It wakes when zones change or the first pack is due, and has [`ORDERS_AT_ONCE`] orders under way at most. What is to be done, and in which
//! order, is `poterne_acme`'s to say ([`order`] does it); the account's key and the certificates' are `app`'s to keep. What it took up and
//! could not end, as when the node is killed, is due again by itself.
//!
//! * [`client`]: one authority: its directory, our account, and the wire;
//! * [`order`]: one order, action by action; [`caa`]: whether anybody above a zone forbids it.
#![forbid(unsafe_code)]

mod caa;
pub mod client;
mod order;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use poterne_acme::{Authorities, Authority, Culprit, Step, Trouble};
use poterne_control_app::{App, AppError, DuePack};
use poterne_dns_resolver::Resolver;
use poterne_telemetry::{Metrics, metrics::Counter};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use client::{AuthoritySettings, Binding};

use crate::client::Client;

/// Most orders under way at once.
pub const ORDERS_AT_ONCE: usize = 4;

/// How long nothing is looked at though nobody said anything: other processes may have.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How long everything is left alone when the store fails.
const STORE_FAILED: Duration = Duration::from_secs(5);

/// Orders certificates.
pub struct Notary {
    app: App,
    resolver: Resolver,
    clients: HashMap<String, Client>,
    authorities: Mutex<Authorities>,
    /// Whether these stand as they did when the last program stopped.
    remembered: OnceCell<()>,
    permits: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Issued; not.
    orders: [Counter; 2],
}

impl Notary {
    /// Over an application, with these authorities, which [`poterne_control_app::Settings`] names too.
    pub fn new(
        app: App,
        resolver: Resolver,
        authorities: Vec<AuthoritySettings>,
        metrics: &Metrics,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let named: Vec<Authority> = authorities.iter().map(|one| one.authority.clone()).collect();
        let clients = authorities.into_iter().map(|one| (one.authority.directory.clone(), Client::new(one))).collect();
        let help = "Certificate orders, by whether a certificate came of them";
        let permits = Arc::new(Semaphore::new(ORDERS_AT_ONCE));
        let free = Arc::clone(&permits);
        metrics.gauges_read("certificate_orders_under_way", "Certificate orders under way, at most 4", "of", move || {
            vec![("orders", u64::try_from(ORDERS_AT_ONCE - free.available_permits().min(ORDERS_AT_ONCE)).unwrap_or(0))]
        });
        Arc::new(Self {
            app,
            resolver,
            clients,
            authorities: Mutex::new(Authorities::new(named)),
            remembered: OnceCell::new(),
            permits,
            tasks: TaskTracker::new(),
            stop,
            orders: metrics.counters("certificate_orders", help, "outcome", ["issued", "failed"]),
        })
    }

    /// Works until told to stop.
    pub async fn run(self: Arc<Self>) {
        let stop = self.stop.clone();
        loop {
            match stop.run_until_cancelled(self.turn()).await {
                None => break,
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    tracing::error!(%error, "certificates that are due cannot be read; trying on");
                    let _ = stop.run_until_cancelled(tokio::time::sleep(STORE_FAILED)).await;
                }
            }
            if stop.run_until_cancelled(self.app.certificates_woken(LOOK_EVERY)).await.is_none() {
                break;
            }
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Looks at zones that changed, and begins what is due, as far as there is room for it.
    ///
    /// # Errors
    /// The store fails.
    pub async fn turn(self: &Arc<Self>) -> Result<(), AppError> {
        self.remembered.get_or_try_init(|| self.remember()).await?;
        self.app.arrange_certificates().await?;
        // Waits here while all are busy: what is due then would be due again and again.
        let Ok(first) = Arc::clone(&self.permits).acquire_owned().await else { return Ok(()) };
        let mut permits = vec![first];
        while let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            permits.push(permit);
        }
        let count = u32::try_from(permits.len()).unwrap_or(1);
        for (due, permit) in self.app.certificate_packs_due(count).await?.into_iter().zip(permits) {
            let this = Arc::clone(self);
            self.tasks.spawn(async move { this.one(due, permit).await });
        }
        Ok(())
    }

    /// What was asked before the last restart counts, and who was to be left alone is.
    async fn remember(&self) -> Result<(), AppError> {
        let (standings, now) = (self.app.acme_standings().await?, self.now());
        let mut authorities = self.authorities();
        standings.into_iter().for_each(|(directory, standing)| authorities.remember(&directory, standing, now));
        Ok(())
    }

    async fn one(&self, due: DuePack, permit: OwnedSemaphorePermit) {
        let id = due.pack.id;
        match self.stop.run_until_cancelled(self.take(due)).await {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                tracing::error!(pack = %id, %error, "what came of a certificate order cannot be kept: it is done again")
            }
            // The next start of the node goes on with it at once.
            None => {
                let _ = self.app.pack_rests(id, self.now()).await;
            }
        }
        drop(permit);
        self.app.certificates_wake();
    }

    async fn take(&self, due: DuePack) -> Result<(), AppError> {
        let (now, id) = (self.now(), due.pack.id);
        let step = due.course.step(due.pack.authority.as_deref(), &self.authorities(), now);
        match step {
            Step::Rest(until) => self.app.pack_rests(id, until.max(now + 1)).await,
            Step::AskWindow { directory, ari } => {
                let told = match self.clients.get(&directory) {
                    Some(client) => client.window(&ari).await,
                    // One that is asked no more may still be whose certificate is in use.
                    None => (None, None),
                };
                self.app.pack_window(id, told.0, told.1).await
            }
            Step::Revoke { directory, reason } => {
                let outcome = match self.clients.get(&directory) {
                    Some(client) => self.revoke(client, &due, reason).await,
                    None => Err(Trouble::new(Culprit::Refused, "its authority is not named under [acme] any more")),
                };
                match outcome {
                    Ok(()) => self.app.pack_revoked(id).await,
                    Err(trouble) => {
                        let authorities = self.authorities().clone();
                        self.app.pack_failed(id, None, trouble, &authorities).await
                    }
                }
            }
            Step::Order { directory, profile, replaces } => {
                let Some(client) = self.clients.get(&directory) else { return self.app.pack_rests(id, now + 60).await };
                self.authorities().ordered(&directory, now);
                self.app.pack_ordering(id, &directory).await?;
                let trouble = match order::order(self, client, &due, profile.as_deref(), replaces.as_deref()).await {
                    Ok(issued) => match self.app.pack_issued(id, issued).await {
                        Err(AppError::Invalid { why, .. }) => Trouble::new(Culprit::Refused, why),
                        kept => return self.issued(&directory, kept).await,
                    },
                    Err(trouble) => trouble,
                };
                self.orders[1].inc();
                let authorities = {
                    let mut authorities = self.authorities();
                    authorities.failed(&directory, &trouble, self.now());
                    authorities.clone()
                };
                if trouble.is_of_authority() {
                    self.app.acme_rest_keep(&directory, authorities.rest_of(&directory)).await?;
                }
                self.app.pack_failed(id, Some(&directory), trouble, &authorities).await
            }
        }
    }

    async fn revoke(&self, client: &Client, due: &DuePack, reason: u8) -> Result<(), Trouble> {
        let leaf = self.app.certificate_leaf(due.pack.id).await;
        let leaf = leaf.map_err(|error| Trouble::new(Culprit::Internal, error.to_string()))?;
        // One that is gone needs no revoking.
        let Some(leaf) = leaf else { return Ok(()) };
        client.enter(&self.app).await?.revoke(&leaf, reason).await
    }

    async fn issued(&self, directory: &str, kept: Result<(), AppError>) -> Result<(), AppError> {
        kept?;
        self.orders[0].inc();
        let was_resting = self.authorities().answered(directory);
        if was_resting { self.app.acme_rest_keep(directory, None).await } else { Ok(()) }
    }

    fn now(&self) -> i64 {
        self.app.instant().as_secs()
    }

    /// Poisoning is forgiven: what is in it is whole between any two statements.
    fn authorities(&self) -> MutexGuard<'_, Authorities> {
        self.authorities.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
