//! Queries that wait for what names of others lead to, and the looking up (decision 0017).
//!
//! ```text
//! answer lacks a name ─→ parked, under the name ─→ one look-up, however many wait ─→ the table ─→ each is answered anew
//! answer is of an old entry ─────────────────────→ one look-up, nobody waits
//! ```
//!
//! Whoever answers waits for nothing: the threads of UDP park a query and go on with the next. What is parked and what is looked up has
//! bounds, beyond which a query gets the SERVFAIL that its answer was already; resolvers then ask another server, or again. One account has
//! three quarters of each at most: whoever leads a thousand names to servers that never answer leaves room for the others.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use poterne_dns_answer::{Elsewhere, Outcome, Sought, elsewhere::ENTRIES_MAX, is_own};
use poterne_dns_resolver::{Record, ResolveError, Resolver};
use poterne_dns_wire::rtype;
use poterne_model::{AccountId, Name, Rtype};
use poterne_snapshot::SnapshotHandle;
use poterne_telemetry::{Counter, Metrics};
use tokio::{runtime::Handle, sync::Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::Clock;

/// Most queries parked. Each holds its octets, at most [`QUERY_OCTETS_MAX`].
pub const PARKED_MAX: usize = 4096;

/// Most of them for one name: who asks for it again meanwhile is told the same in the end.
pub const PARKED_OF_NAME_MAX: usize = 64;

/// Longest query that is parked, in octets.
pub const QUERY_OCTETS_MAX: usize = 1232;

/// Most names that are looked up or wait for it.
pub const NAMES_MAX: usize = 1024;

/// Most look-ups at once: half of the resolver's questions, so that zones' delegations are looked at meanwhile.
pub const LOOKUPS_MAX: usize = 32;

/// What one account may have of a bound.
const fn of_account(max: usize) -> usize {
    max / 4 * 3
}

/// How long a look-up may take, and so how long a query waits: resolvers wait as long.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// How often one query may wait: chains go out and come back.
pub const ROUNDS_MAX: u8 = 3;

/// What is done when a look-up is over.
pub(crate) type Waiter = Box<dyn FnOnce() + Send>;

/// See the module's page.
pub(crate) struct Lookups {
    table: Arc<Elsewhere>,
    resolver: Resolver,
    snapshot: SnapshotHandle,
    clock: Clock,
    runtime: Handle,
    tasks: TaskTracker,
    stop: CancellationToken,
    permits: Semaphore,
    parked: Arc<Mutex<Parked>>,
    outcomes: [Counter; 5],
    refused: Counter,
}

#[derive(Default)]
struct Parked {
    names: HashMap<Sought, Vec<Waiter>>,
    queries: usize,
    /// Of accounts that have names among those.
    shares: HashMap<AccountId, Share>,
}

/// What an account has of it.
struct Share {
    names: usize,
    queries: usize,
    permits: Arc<Semaphore>,
}

impl Default for Share {
    fn default() -> Self {
        Self { names: 0, queries: 0, permits: Arc::new(Semaphore::new(of_account(LOOKUPS_MAX))) }
    }
}

/// What a look-up found, for how many seconds, and whether that had run out already.
type Looked = (Outcome, u32, bool);

impl Lookups {
    /// Within a tokio runtime, which look-ups are done on.
    pub(crate) fn new(
        resolver: Resolver,
        snapshot: SnapshotHandle,
        clock: Clock,
        (tasks, stop): (TaskTracker, CancellationToken),
        metrics: &Metrics,
    ) -> Arc<Self> {
        let (table, parked) = (Arc::new(Elsewhere::new()), Arc::<Mutex<Parked>>::default());
        let help = "Look-ups of what names of others lead to, by what they came to";
        let outcomes = metrics.counters("dns_lookups", help, "outcome", ["addresses", "nothing", "blocked", "back", "failed"]);
        let refused = metrics.counter("dns_unparked", "Queries that did not wait for a look-up since too many did");
        let (waiting, known) = (Arc::clone(&parked), Arc::clone(&table));
        let help = format!(
            "Queries that wait for a look-up, at most {PARKED_MAX}, names being looked up, at most {NAMES_MAX}, and names remembered, at most {ENTRIES_MAX}"
        );
        metrics.gauges_read("dns_elsewhere", &help, "of", move || {
            let number = |size| u64::try_from(size).unwrap_or(u64::MAX);
            let (queries, names) = {
                let parked = lock(&waiting);
                (parked.queries, parked.names.len())
            };
            vec![("queries", number(queries)), ("lookups", number(names)), ("remembered", number(known.len()))]
        });
        let (runtime, permits) = (Handle::current(), Semaphore::new(LOOKUPS_MAX));
        Arc::new(Self { table, resolver, snapshot, clock, runtime, tasks, stop, permits, parked, outcomes, refused })
    }

    /// What is known, for answers.
    pub(crate) fn table(&self) -> Arc<Elsewhere> {
        Arc::clone(&self.table)
    }

    /// Has a name looked up, unless it is being, and calls the waiter when that is over. False: too much waits, nobody will be called.
    pub(crate) fn want(self: &Arc<Self>, sought: &Sought, waiter: Option<Waiter>) -> bool {
        let mut parked = lock(&self.parked);
        let Parked { names, queries, shares } = &mut *parked;
        let (own_names, own_queries) = shares.get(&sought.account).map_or((0, 0), |share| (share.names, share.queries));
        let is_full = match names.get(sought) {
            Some(waiters) => waiters.len() >= PARKED_OF_NAME_MAX,
            None => names.len() >= NAMES_MAX || own_names >= of_account(NAMES_MAX),
        };
        let is_crowded = *queries >= PARKED_MAX || own_queries >= of_account(PARKED_MAX);
        if is_full || waiter.is_some() && is_crowded || self.stop.is_cancelled() {
            drop(parked);
            if waiter.is_some() {
                self.refused.inc();
            }
            return false;
        }
        let share = shares.entry(sought.account).or_default();
        let count = usize::from(waiter.is_some());
        *queries += count;
        share.queries += count;
        match names.get_mut(sought) {
            Some(waiters) => waiters.extend(waiter),
            None => {
                share.names += 1;
                names.insert(sought.clone(), waiter.into_iter().collect());
                let look_up = Arc::clone(self).look_up(sought.clone(), Arc::clone(&share.permits));
                self.tasks.spawn_on(look_up, &self.runtime);
            }
        }
        true
    }

    async fn look_up(self: Arc<Self>, sought: Sought, share: Arc<Semaphore>) {
        // What panics leaves nobody waiting for ever.
        let mut over = Over { parked: Arc::clone(&self.parked), sought, is_taken: false };
        let sought = &over.sought;
        let looked = self.stop.run_until_cancelled(tokio::time::timeout(LOOKUP_TIMEOUT, async {
            // Its account's first: who waits for that keeps nobody from looking.
            let _of_account = share.acquire().await.expect("nobody closes it");
            let _permit = self.permits.acquire().await.expect("nobody closes it");
            self.found(sought).await
        }));
        let looked = match looked.await {
            Some(Ok(looked)) => looked.map_err(|error| error.to_string()),
            Some(Err(_)) => Err(format!("{} s were not enough", LOOKUP_TIMEOUT.as_secs())),
            None => Err("the name server ends".to_owned()),
        };
        let now_secs = crate::seconds(&self.clock);
        match looked {
            Ok((outcome, ttl_secs, is_stale)) => {
                let counter = &self.outcomes[number(&outcome)];
                self.table.put(sought, outcome, ttl_secs, is_stale, now_secs);
                counter.inc();
            }
            Err(why) => {
                tracing::debug!(name = %sought.name, account = %sought.account, why, "what a CNAME leads to is not found");
                self.outcomes[4].inc();
                self.table.failed(sought, now_secs);
            }
        }
        for waiter in over.take() {
            waiter();
        }
    }

    async fn found(&self, sought: &Sought) -> Result<Looked, ResolveError> {
        let Sought { account, name, rtype } = sought;
        let kind = if *rtype == rtype::A { Rtype::A } else { Rtype::Aaaa };
        let is_own = |name: &Name| is_own(&self.snapshot.load(), *account, name);
        let found = self.resolver.lookup_until(name, kind, &is_own).await?;
        if found.canonical != *name && is_own(&found.canonical) {
            return Ok((Outcome::back(&found.canonical), found.ttl_secs, found.stale));
        }
        let guard = &self.resolver.settings().guard;
        let (mut reached, mut refused) = (Vec::new(), None);
        for address in found.records.iter().filter_map(Record::address) {
            match guard.admits_address(Some(*account), address) {
                Ok(_) => reached.push(address),
                Err(refusal) => refused = Some(refusal),
            }
        }
        let outcome = match refused {
            Some(why) if reached.is_empty() => {
                tracing::warn!(%name, %account, %why, "a CNAME leads to addresses that are not answered");
                Outcome::Blocked
            }
            _ => Outcome::addresses(*rtype, reached),
        };
        Ok((outcome, found.ttl_secs, found.stale))
    }
}

const fn number(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Addresses(_) => 0,
        Outcome::Nothing => 1,
        Outcome::Blocked => 2,
        Outcome::Back(_) => 3,
    }
}

/// Ends a name's wait, however its look-up ends.
struct Over {
    parked: Arc<Mutex<Parked>>,
    sought: Sought,
    /// Who waits for the name from then on waits for another look-up.
    is_taken: bool,
}

impl Over {
    fn take(&mut self) -> Vec<Waiter> {
        if std::mem::replace(&mut self.is_taken, true) {
            return Vec::new();
        }
        let mut parked = lock(&self.parked);
        let Parked { names, queries, shares } = &mut *parked;
        let Some(waiters) = names.remove(&self.sought) else { return Vec::new() };
        *queries -= waiters.len();
        if let Some(share) = shares.get_mut(&self.sought.account) {
            share.names -= 1;
            share.queries -= waiters.len();
            if share.names == 0 {
                shares.remove(&self.sought.account);
            }
        }
        waiters
    }
}

impl Drop for Over {
    fn drop(&mut self) {
        // Out of the lock: what they hold may end with them.
        drop(self.take());
    }
}

/// Whoever panicked had changed nothing by halves.
fn lock(parked: &Mutex<Parked>) -> MutexGuard<'_, Parked> {
    parked.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{net::UdpSocket, time::SystemTime};

    use poterne_dns_resolver::Settings;
    use poterne_guard::Guard;

    use super::*;

    fn sought(account: u8, number: usize) -> Sought {
        let name = Name::parse(&format!("n{number}.example.org")).unwrap();
        Sought { account: AccountId::from_bytes([account; 16]), name, rtype: rtype::A }
    }

    fn sizes(lookups: &Lookups) -> (usize, usize, usize) {
        let parked = lock(&lookups.parked);
        (parked.names.len(), parked.queries, parked.shares.len())
    }

    /// Whose resolver never answers.
    fn lookups() -> (Arc<Lookups>, UdpSocket, TaskTracker, CancellationToken) {
        let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
        let resolver = Resolver::new(Settings::new(Vec::new(), vec![silent.local_addr().unwrap()], Guard::default()));
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let clock: Clock = Arc::new(SystemTime::now);
        let ends = (tasks.clone(), stop.clone());
        (Lookups::new(resolver, SnapshotHandle::empty(), clock, ends, &Metrics::new()), silent, tasks, stop)
    }

    #[tokio::test]
    async fn one_account_leaves_room_for_others_and_all_is_let_go_in_the_end() {
        let (lookups, _silent, tasks, stop) = lookups();
        let waiter = || Some(Box::new(|| {}) as Waiter);
        let names = (0..NAMES_MAX).filter(|number| lookups.want(&sought(1, *number), waiter())).count();
        assert_eq!(names, of_account(NAMES_MAX));
        assert!(lookups.want(&sought(2, 0), waiter()) && lookups.want(&sought(2, 0), None));
        assert!(lookups.want(&sought(1, 0), waiter()), "one that is looked up already takes no more room");
        let of_name = (0..PARKED_MAX).filter(|_| lookups.want(&sought(1, 1), waiter())).count();
        assert_eq!(of_name, PARKED_OF_NAME_MAX - 1);
        let queries = (2..names).flat_map(|number| (0..3).map(move |_| number));
        let more = queries.filter(|number| lookups.want(&sought(1, *number), waiter())).count();
        assert_eq!(names + 1 + of_name + more, of_account(PARKED_MAX));
        assert!(lookups.want(&sought(2, 1), waiter()));
        assert_eq!(sizes(&lookups), (names + 2, of_account(PARKED_MAX) + 2, 2));
        stop.cancel();
        tasks.close();
        tasks.wait().await;
        assert_eq!(sizes(&lookups), (0, 0, 0));
        assert!(!lookups.want(&sought(1, 0), waiter()), "it has ended");
    }

    /// Who is answered may ask again before the others are.
    #[tokio::test]
    async fn who_waits_for_the_next_look_up_is_not_let_go_with_the_last() {
        let (lookups, ..) = lookups();
        let parked = || Arc::clone(&lookups.parked);
        assert!(lookups.want(&sought(1, 0), Some(Box::new(|| {}))));
        let mut over = Over { parked: parked(), sought: sought(1, 0), is_taken: false };
        assert_eq!(over.take().len(), 1);
        assert!(lookups.want(&sought(1, 0), Some(Box::new(|| {}))));
        drop(over);
        assert_eq!(sizes(&lookups), (1, 1, 1));
        drop(Over { parked: parked(), sought: sought(1, 0), is_taken: false });
        assert_eq!(sizes(&lookups), (0, 0, 0));
    }
}
