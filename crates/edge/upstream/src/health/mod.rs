//! Health checks: origins asked again and again, as zones' owners want it (docs/health-checks.md).
//!
//! * [`schedule`]: which check is due when, when its origin is called unhealthy, and what is told of it; pure;
//! * [`hop`]: what is asked where, an answer that leads elsewhere included, and what is a good answer; pure;
//! * [`run`]: the loop around them, on the way that requests take ([`Origins::look`]).
//!
//! An address that a check calls unhealthy gets no request of its zone's while others will do ([`Origins::avoid`]).

pub mod hop;
pub mod schedule;

use std::{
    collections::HashMap,
    future::pending,
    sync::Arc,
    time::{Duration, Instant},
};

use poterne_model::{AccountId, ZoneId, health_check::Checked};
use poterne_telemetry::{Counter, Gauge, Metrics};
use tokio::{
    sync::watch,
    task::{self, JoinSet},
};
use tokio_util::sync::CancellationToken;

pub use schedule::{CHECKS_LOOKED_AT_MAX, LOOKS_MAX, LOOKS_OF_ZONE_MAX, SLOW_LOOKS_MAX};

use self::schedule::{Look, Schedule, Told};
use crate::{Origins, Shown};

/// How long after one change the checks are read again at the earliest: a thousand changes of records are one.
const READ_EVERY: Duration = Duration::from_secs(1);

/// Whose a check is, and how its zone goes to origins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whose {
    /// The zone.
    pub zone: ZoneId,
    /// Its account, which says which addresses may be reached.
    pub account: AccountId,
    /// By whose certificate the origin is told who asks; none: it is not.
    pub identifies: Option<Shown>,
}

/// Where checks come from. Handed in by the program.
pub trait Source: Send + Sync + 'static {
    /// Shows each check that is to be made.
    fn each(&self, show: &mut dyn FnMut(Whose, &Checked));

    /// Changes whenever [`Source::each`] may show others.
    fn changed(&self) -> watch::Receiver<u64>;

    /// Passes on what was found out; false: not now, say it again.
    fn tell(&self, told: Told) -> bool;
}

/// What is counted.
struct Counters {
    checks: Gauge,
    unhealthy: Gauge,
    looking: Gauge,
    good: Counter,
    bad: Counter,
    left_out: Gauge,
}

impl Counters {
    fn new(metrics: &Metrics) -> Self {
        let [good, bad] =
            metrics.counters("health_check_looks", "Looks at origins for health checks", "outcome", ["good", "bad"]);
        Self {
            checks: metrics.gauge("health_checks", "Health checks that are made"),
            unhealthy: metrics.gauge("health_checks_unhealthy", "Health checks whose origin is unhealthy"),
            looking: metrics.gauge("health_checks_looking", "Looks under way for health checks"),
            good,
            bad,
            left_out: metrics.gauge("health_checks_left_out", "Health checks that are not made since there are too many"),
        }
    }
}

/// Makes the checks, until told to stop.
pub fn run(
    origins: Arc<Origins>,
    source: Arc<dyn Source>,
    metrics: &Metrics,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send + use<> {
    make(origins, source, Counters::new(metrics), stop)
}

async fn make(origins: Arc<Origins>, source: Arc<dyn Source>, counters: Counters, stop: CancellationToken) {
    let mut changed = source.changed();
    // What is there now is read first.
    changed.mark_changed();
    let mut read_after = Instant::now();
    let mut schedule = Schedule::default();
    let mut looks: JoinSet<Result<(), String>> = JoinSet::new();
    let mut under_way: HashMap<task::Id, Look> = HashMap::new();
    loop {
        let now = Instant::now();
        while let Some(look) = schedule.take_due(now) {
            let (origins, asked) = (Arc::clone(&origins), look.clone());
            let task = looks.spawn(async move { origins.look(&asked).await });
            under_way.insert(task.id(), look);
        }
        counters.looking.set(number(under_way.len()));
        let readable = async {
            tokio::time::sleep_until(read_after.into()).await;
            if changed.changed().await.is_err() {
                // Who publishes is gone: what is known stays.
                pending().await
            }
        };
        let due = schedule.next_due();
        let due = async {
            match due {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => pending().await,
            }
        };
        let done = tokio::select! {
            () = stop.cancelled() => return,
            () = readable => None,
            () = due => continue,
            Some(done) = looks.join_next_with_id() => Some(done),
        };
        let (now, before) = (Instant::now(), schedule.changes());
        let told = match done {
            None => {
                read_after = now + READ_EVERY;
                schedule.set(now, &mut || rand::random(), |show| source.each(show));
                counters.checks.set(number(schedule.len()));
                counters.left_out.set(number(schedule.left_out()));
                None
            }
            Some(done) => {
                let (task, outcome) = match done {
                    Ok(done) => done,
                    Err(error) => (error.id(), Err(format!("the node failed to look: {error}"))),
                };
                let Some(look) = under_way.remove(&task) else { continue };
                let looked = if outcome.is_ok() { &counters.good } else { &counters.bad };
                looked.inc();
                schedule.looked(&look, outcome, now, rand::random())
            }
        };
        // What is told is obeyed by then.
        if schedule.changes() != before {
            counters.unhealthy.set(number(schedule.unhealthy()));
            origins.avoid(schedule.avoided());
        }
        if let Some(told) = told {
            let check = told.check;
            if !source.tell(told) {
                schedule.untold(check);
            }
        }
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
