//! The scout: looks at what the world's name servers say of zones, and tells `control/app`, which decides.
//!
//! ```text
//! app ── zones_due ──→ Scout ── delegation ──→ the parent's servers
//!  ▲                     │ └──── the resolvers, where a zone may be lost
//!  └── delegation_seen ──┘
//! ```
//!
//! Beside that it scans what a zone had elsewhere ([`scan`]), and copies zones that are other servers' ([`copies`]).
//!
//! It wakes for the zone that is due first, looks at [`LOOKS_MAX`] at once, and gives each [`LOOK_TIMEOUT`]. What it took up and could
//! not say, as when the node is killed, is due again by itself.
#![forbid(unsafe_code)]

pub mod check;
pub mod copies;
mod look;
pub mod scan;

use std::{sync::Arc, time::Duration};

use poterne_control_app::{App, AppError, DueZone, ScanDone};
use poterne_dns_resolver::Resolver;
use poterne_telemetry::{Metrics, metrics::Counter};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use look::look;

/// Most zones that are looked at at once.
pub const LOOKS_MAX: u32 = 16;

/// How long a look may take.
pub const LOOK_TIMEOUT: Duration = Duration::from_secs(60);

/// Most scans at once, and how long one may take.
pub const SCANS_MAX: u32 = 4;
/// See [`SCANS_MAX`].
pub const SCAN_TIMEOUT: Duration = Duration::from_secs(180);

/// How long zones are left alone when the store fails.
const STORE_FAILED: Duration = Duration::from_secs(5);

/// Looks at zones' delegations.
pub struct Scout {
    app: App,
    resolver: Resolver,
    /// The parent's servers answered; they did not.
    looks: [Counter; 2],
}

impl Scout {
    /// Over an application, with these eyes.
    pub fn new(app: App, resolver: Resolver, metrics: &Metrics) -> Arc<Self> {
        let help = "Looks at delegations, by whether the servers of the parent answered";
        let looks = metrics.counters("delegation_looks", help, "outcome", ["answered", "unanswered"]);
        let eyes = resolver.clone();
        metrics.gauges_read(
            "resolver_fill",
            "Questions to other name servers on their way, at most 64, and answers remembered, at most 10000",
            "of",
            move || {
                let (questions, answers) = eyes.fill();
                let number = |size| u64::try_from(size).unwrap_or(u64::MAX);
                vec![("questions", number(questions)), ("answers", number(answers))]
            },
        );
        Arc::new(Self { app, resolver, looks })
    }

    /// Works until told to stop.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        tokio::join!(self.watch(&stop), self.scans(&stop), copies::run(&self.app, &self.resolver, &stop));
    }

    async fn scans(self: &Arc<Self>, stop: &CancellationToken) {
        // What a former run of the node had begun, or left waiting, is found without anybody asking again.
        while stop.run_until_cancelled(self.scan_turn()).await.is_some() {
            if stop.run_until_cancelled(self.app.scans_due_woken()).await.is_none() {
                return;
            }
        }
    }

    /// Does the scans that are due now, at most [`SCANS_MAX`]; how many it were.
    pub async fn scan_turn(self: &Arc<Self>) -> usize {
        let due = match self.app.scans_due(SCANS_MAX).await {
            Ok(due) => due,
            Err(error) => {
                tracing::error!(%error, "scans that are due cannot be read");
                return 0;
            }
        };
        let count = due.len();
        let mut scans = JoinSet::new();
        for due in due {
            let this = Arc::clone(self);
            scans.spawn(async move {
                let done = match tokio::time::timeout(SCAN_TIMEOUT, scan::scan(&this.resolver, &due)).await {
                    Ok(done) => done,
                    Err(_) => {
                        ScanDone { warnings: vec!["the scan took too long: nothing was found".to_owned()], ..ScanDone::default() }
                    }
                };
                if let Err(error) = this.app.scan_done(due.zone.id, done).await {
                    tracing::error!(zone = %due.zone.apex, %error, "what a scan came to cannot be kept: it is done again");
                }
            });
        }
        while scans.join_next().await.is_some() {}
        count
    }

    async fn watch(self: &Arc<Self>, stop: &CancellationToken) {
        while stop.run_until_cancelled(self.app.zones_due_woken()).await.is_some() {
            match stop.run_until_cancelled(self.turn()).await {
                Some(Err(error)) => {
                    tracing::error!(%error, "zones that are due to be looked at cannot be read; trying on");
                    let _ = stop.run_until_cancelled(tokio::time::sleep(STORE_FAILED)).await;
                }
                Some(Ok(_)) => {}
                None => return,
            }
        }
    }

    /// Looks at what is due now, at most [`LOOKS_MAX`] zones; how many it were.
    ///
    /// # Errors
    /// The store fails.
    pub async fn turn(self: &Arc<Self>) -> Result<usize, AppError> {
        let due = self.app.zones_due(LOOKS_MAX).await?;
        let count = due.len();
        let mut looks = JoinSet::new();
        for due in due {
            let this = Arc::clone(self);
            looks.spawn(async move { this.one(due).await });
        }
        let mut failed = None;
        while let Some(done) = looks.join_next().await {
            if let Ok(Err(error)) = done {
                failed = Some(error);
            }
        }
        failed.map_or(Ok(count), Err)
    }

    async fn one(&self, due: DueZone) -> Result<(), AppError> {
        // Without names of one's own nothing can be delegated here; it is looked at all the same, for what is there.
        let seen = tokio::time::timeout(LOOK_TIMEOUT, look(&self.resolver, &due)).await.unwrap_or_default();
        self.looks[usize::from(seen.name_servers.is_none())].inc();
        let status = self.app.delegation_seen(due.zone.id, &seen).await?;
        let names = seen.name_servers.as_ref().map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
        tracing::debug!(zone = %due.zone.apex, status = status.map_or("gone", |status| status.as_str()),
            name_servers = names.as_deref().unwrap_or("unknown"), "looked at a zone's delegation");
        Ok(())
    }
}
