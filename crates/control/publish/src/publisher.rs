//! The task.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use poterne_control_app::{App, AppError, Live};
use poterne_control_store::{Session, Store, StoreError, Touched};
use poterne_feed::{Change, Command};
use poterne_model::{CertificatePackId, ZoneId};
use poterne_snapshot::{Chunk, ChunkKey, NodeChunk, Snapshot, SnapshotHandle};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    ahead::{Ahead, NewNames},
    difference::{self, Chunks, Difference, OfZone},
    read::{self, Audit, Pages},
    rows::{self, News},
    world::World,
};

/// How often the store is looked at though nothing said it changed: a wake-up lost, or made by another process, is then found, quick
/// tunnels end, and the next rows are looked at again ([`Audit`]).
const ROUND_EVERY: Duration = Duration::from_secs(30);

/// Pause after a failure; it doubles with each, up to the greatest.
const RETRY_AFTER: Duration = Duration::from_secs(1);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10);

/// Zones end by days: every hour is often enough.
const ROUNDS_OF_ZONE_ENDS: u32 = 120;

/// How long a node may take to obey a change: a slow disk's fsync, many times over.
const APPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// Most things read anew one by one; beyond it reading everything is quicker.
const TOUCHED_MAX: u32 = 20_000;

/// Keys remembered while a node does not take changes; beyond it everything is compared once it does.
const OWED_MAX: usize = 100_000;

/// Most chunks in one change. What one verb changes stays together unless it is larger, as a zone of more names that is paused: it is
/// then obeyed in pieces, one right after another, and memory does not grow with what is published.
const CHUNKS_MAX: usize = 50_000;

/// Most certificates in one: 3 KiB or so each.
const CERTIFICATES_MAX: usize = 1000;

/// Things touched after which the store is told to forget those that are live; it is a write of its own, and waits until it pays.
const FORGET_AFTER: usize = 1000;

/// Most of them forgotten in one write, for which verbs wait. What is left is forgotten in later rounds.
const FORGET_MAX: u32 = 5000;

/// Why nothing, or not all, was published this time. It is tried again.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The store could not be read, or an order not be forgotten.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Quick tunnels could not be ended.
    #[error(transparent)]
    App(#[from] AppError),
    /// The node refused the change, or could not keep it; its log says why.
    #[error("generation {generation} was not applied: the node's log says why")]
    NotApplied {
        /// Which.
        generation: u64,
    },
    /// The node's end of the feed is gone.
    #[error("the node has left the feed")]
    Closed,
    /// Compiling panicked.
    #[error("compiling the snapshot failed: {0}")]
    Compile(String),
}

/// Brings what the store says in force, again and again.
pub struct Publisher {
    app: App,
    store: Store,
    handle: SnapshotHandle,
    changes: mpsc::Sender<Change>,
    commands: mpsc::Sender<Command>,
    node: NodeChunk,
    live: watch::Sender<Live>,
    /// None until everything was read, and after what leaves it in doubt.
    pub(crate) world: Option<World>,
    /// The number of the store's last change that the world has taken in.
    seen: u64,
    owed: Owed,
    /// Things touched since the store last forgot some.
    forgettable: usize,
    /// Rounds so far.
    rounds: u32,
    audit: Audit,
    pub(crate) ahead: Ahead,
    /// How many files were taken in as they were handed over.
    #[cfg(test)]
    pub(crate) taken_ahead: usize,
    pub(crate) limits: Limits,
}

/// The bounds that tests reach.
pub(crate) struct Limits {
    pub(crate) apply_timeout: Duration,
    pub(crate) touched_max: u32,
    pub(crate) chunks_max: usize,
    pub(crate) certificates_max: usize,
}

/// What may not be in force as the world says.
enum Owed {
    Everything,
    Keys(BTreeSet<ChunkKey>),
}

impl Publisher {
    /// A publisher for the node that obeys `handle`, reached by `changes` and `commands`; `node` is what all nodes are told of
    /// themselves.
    pub fn new(
        app: App,
        store: Store,
        handle: SnapshotHandle,
        changes: mpsc::Sender<Change>,
        commands: mpsc::Sender<Command>,
        node: NodeChunk,
    ) -> Self {
        let ahead = Ahead::default();
        let (told, tunnel_domain) = (ahead.clone(), node.tunnel_domain.clone());
        app.hand_files_to(move |brought| told.begin(brought, tunnel_domain.clone()));
        Self {
            app,
            store,
            handle,
            changes,
            commands,
            node,
            live: watch::Sender::new(Live::default()),
            world: None,
            seen: 0,
            owed: Owed::Everything,
            forgettable: 0,
            rounds: 0,
            audit: Audit::default(),
            ahead,
            #[cfg(test)]
            taken_ahead: 0,
            limits: Limits {
                apply_timeout: APPLY_TIMEOUT,
                touched_max: TOUCHED_MAX,
                chunks_max: CHUNKS_MAX,
                certificates_max: CERTIFICATES_MAX,
            },
        }
    }

    /// What the node obeys, as it goes on; hand it to [`App::wait_for`].
    pub fn live(&self) -> watch::Receiver<Live> {
        self.live.subscribe()
    }

    /// Converges whenever the store changes, and every 30 s, until told to stop.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut changed = self.store.changes();
        let mut next_round = Instant::now();
        let mut retry_after = RETRY_AFTER;
        loop {
            changed.borrow_and_update();
            let is_round = Instant::now() >= next_round;
            if is_round {
                next_round = Instant::now() + ROUND_EVERY;
            }
            let done = if is_round { self.round().await } else { self.converge().await.map(drop) };
            let waits_for_changes = match done {
                Ok(()) => {
                    retry_after = RETRY_AFTER;
                    true
                }
                Err(PublishError::Closed) => return,
                Err(error) => {
                    tracing::error!(%error, "publishing failed; the last generation keeps serving, trying again");
                    next_round = Instant::now() + retry_after;
                    retry_after = (retry_after * 2).min(RETRY_AFTER_MAX);
                    false
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                woken = changed.changed(), if waits_for_changes => if woken.is_err() { return },
                () = tokio::time::sleep_until(next_round) => {}
            }
        }
    }

    /// Once: reads what changed, compares, sends, waits until it is obeyed, sends orders. Returns the generation in force.
    pub async fn converge(&mut self) -> Result<u64, PublishError> {
        self.step(false).await
    }

    /// Once, with what is due now and then.
    pub(crate) async fn round(&mut self) -> Result<(), PublishError> {
        self.app.expire_quick_tunnels().await?;
        self.app.tend_zone_keys().await?;
        self.app.tend_cookie_secrets().await?;
        self.app.tend_ticket_keys().await?;
        self.app.expire_challenges().await?;
        self.app.tend_certificates().await?;
        self.app.tend_origin_certificates().await?;
        self.app.tend_visitor_certificates().await?;
        if self.rounds.is_multiple_of(ROUNDS_OF_ZONE_ENDS) {
            self.app.end_zones().await?;
        }
        self.rounds = self.rounds.wrapping_add(1);
        self.step(true).await?;
        self.forget(1).await
    }

    async fn step(&mut self, audits: bool) -> Result<u64, PublishError> {
        let mut session = self.store.read().await?;
        let change = session.change().await?;
        // Those of this change and before: sent once it is obeyed.
        let orders = session.outbox().await?;
        let mut news = News::default();
        let (mut audited, mut at_hand) = (None, None);
        if let Some(world) = &self.world {
            match session.touched_since(self.seen, self.limits.touched_max).await? {
                Some(touched) => {
                    self.forgettable += touched.len();
                    self.app.zones_changed(touched.iter().filter_map(zone_of));
                    at_hand = self.ahead.take(&mut session, world, &touched, self.seen).await?;
                    news = read::news(&mut session, world, touched, at_hand.as_ref().map(|names| names.zone)).await?;
                    if audits && !news.begins_anew {
                        audited = Some(self.audit.next(&mut session, world).await?);
                    }
                }
                None => self.world = None,
            }
        }
        let world = match self.world.take() {
            Some(world) if !news.begins_anew => world,
            _ => {
                news = News::default();
                self.app.all_zones_changed();
                (self.owed, self.forgettable) = (Owed::Everything, FORGET_AFTER);
                let world = read::everything(&mut session, &self.node).await?;
                self.ahead.reads_with(&world.issuers);
                at_hand = None;
                world
            }
        };
        self.seen = change;
        self.ahead.passed(change);
        let mut whole = std::mem::take(&mut news.whole);
        // One that is gone, or is to be read with all of its names all the same.
        let is_over = |id: ZoneId| whole.contains(&id) || news.zones.iter().any(|(gone, zone)| *gone == id && zone.is_none());
        at_hand = at_hand.filter(|names: &NewNames| !is_over(names.zone));
        whole.extend(at_hand.as_ref().map(|names| names.zone));
        let world = if whole.is_empty() {
            world
        } else {
            // What is looked at again may be of these zones, which are told of in their own order.
            audited = None;
            self.take_in_whole(&mut session, world, std::mem::take(&mut news), &whole, at_hand).await?
        };
        drop(session);
        let difference = self.take_in(world, news, audited).await?;
        if !whole.is_empty() {
            // Whatever happens before those zones are sent: all is compared then.
            self.owed = Owed::Everything;
        }
        let mut generation = self.send_difference(difference).await?;
        for zone in whole {
            generation = self.send_zone(zone).await?;
        }
        match (&mut self.world, &self.owed) {
            (Some(world), Owed::Everything) => world.share(&self.handle.load()),
            (Some(world), Owed::Keys(keys)) => world.share_certificates(&self.handle.load(), keys.iter()),
            (None, _) => {}
        }
        self.owed = Owed::Keys(BTreeSet::new());
        let sent = self.send_orders(&orders).await?;
        self.live.send_replace(Live { change, generation });
        self.forget_orders(sent).await?;
        self.forget(FORGET_AFTER).await?;
        Ok(generation)
    }

    /// Steps the world, and says what the node lacks. A panic on the way loses the world, which is then read anew.
    async fn take_in(&mut self, mut world: World, news: News, audited: Option<News>) -> Result<Difference, PublishError> {
        let snapshot = self.handle.load().clone();
        let owed = std::mem::replace(&mut self.owed, Owed::Everything);
        world.change = self.seen;
        let work = move || {
            let mut owed = owed;
            owed.extend(world.update(news));
            let mut found = match &owed {
                Owed::Everything => difference::of_everything(&world, &snapshot),
                Owed::Keys(keys) => difference::of_keys(&world, &snapshot, keys.iter()),
            };
            if let (Some(audited), Owed::Keys(_)) = (audited, &owed) {
                let looked_at = world.update(audited);
                let wrong = difference::of_keys(&world, &snapshot, looked_at.iter());
                let known = found.len();
                found.extend(wrong);
                if found.len() > known {
                    tracing::warn!(
                        chunks = found.len() - known,
                        "what is in force was not what the store says, though nothing told of a change; put right"
                    );
                }
                owed.extend(looked_at);
            }
            (world, owed, found)
        };
        let (world, owed, found) = blocking(work).await?;
        (self.world, self.owed) = (Some(world), owed);
        Ok(found)
    }

    /// Steps the world by names that are at hand, by news, and then by all names of the other zones, which are never held at once. What of
    /// those zones is to be sent is found out by [`Publisher::send_zone`]; what else may have changed is owed.
    async fn take_in_whole(
        &mut self,
        session: &mut Session,
        mut world: World,
        news: News,
        whole: &BTreeSet<ZoneId>,
        at_hand: Option<NewNames>,
    ) -> Result<World, PublishError> {
        let mut owed = std::mem::replace(&mut self.owed, Owed::Everything);
        let is_other = |key: &ChunkKey| !matches!(key, ChunkKey::Name(id, _) | ChunkKey::Zone(id) if whole.contains(id));
        let others = |keys: BTreeSet<ChunkKey>| keys.into_iter().filter(is_other).collect::<BTreeSet<_>>();
        if let Owed::Keys(keys) = &mut owed {
            keys.retain(is_other);
        }
        world.change = self.seen;
        #[cfg(test)]
        {
            self.taken_ahead += usize::from(at_hand.is_some());
        }
        let known = at_hand.as_ref().map(|names| names.zone);
        let work = move || {
            // What is in the news was read later.
            at_hand.into_iter().for_each(|names| world.take_new_names(names));
            let keys = world.update(news);
            (world, keys)
        };
        let keys;
        (world, keys) = blocking(work).await?;
        owed.extend(others(keys));
        for zone in whole {
            let mut pages = Pages::of(*zone);
            let mut next = if known == Some(*zone) { None } else { pages.next(session).await? };
            while let Some(page) = next {
                let id = *zone;
                let work = move || {
                    let names = page.differing(&world)?;
                    world.take_names(id, names);
                    Ok::<_, StoreError>(world)
                };
                // The database makes the next page meanwhile.
                let (read, done) = tokio::join!(pages.next(session), blocking(work));
                world = done??;
                next = read?;
            }
            if known != Some(*zone) {
                world.pack(*zone);
            }
            owed.extend(others(world.reached_from(*zone)));
        }
        self.owed = owed;
        Ok(world)
    }

    /// Sends what nodes lack of a zone, piece by piece; while they take one, the next is made.
    async fn send_zone(&mut self, zone: ZoneId) -> Result<u64, PublishError> {
        let most = self.limits.chunks_max;
        let mut generation = self.handle.load().generation();
        let mut pieces = OfZone::new(zone);
        let mut ready = None;
        loop {
            let chunks = match ready.take() {
                Some(chunks) => chunks,
                None => {
                    let made = self.piece(pieces, most).await?;
                    pieces = made.0;
                    let Some(chunks) = made.1 else { return Ok(generation) };
                    chunks
                }
            };
            if !pieces.is_of_names() {
                generation = self.send(chunks).await?;
                continue;
            }
            let Some(world) = self.world.take() else { return Ok(generation) };
            let (sent, made) = tokio::join!(self.send(chunks), piece(world, self.handle.load().clone(), pieces, most));
            let (world, rest, chunks) = made?;
            (self.world, pieces, ready) = (Some(world), rest, chunks);
            generation = sent?;
        }
    }

    async fn piece(&mut self, pieces: OfZone, most: usize) -> Result<(OfZone, Option<Chunks>), PublishError> {
        // Lost where it panics, and read anew.
        let Some(world) = self.world.take() else { return Ok((pieces, None)) };
        let (world, pieces, chunks) = piece(world, self.handle.load().clone(), pieces, most).await?;
        self.world = Some(world);
        Ok((pieces, chunks))
    }

    /// Sends what nodes lack. Certificates are read of the store as they are sent, so that memory does not grow with them: the first of them go with the
    /// rest, since they may be of one verb. One that was replaced or taken away since the world was read is so by the next step.
    async fn send_difference(&self, difference: Difference) -> Result<u64, PublishError> {
        let Difference { mut chunks, certificates } = difference;
        let mut pieces = certificates.chunks(self.limits.certificates_max);
        chunks.extend(self.certificates(pieces.next().unwrap_or_default()).await?);
        let mut generation = self.send(chunks).await?;
        for packs in pieces {
            generation = self.send(self.certificates(packs).await?).await?;
        }
        Ok(generation)
    }

    async fn certificates(&self, packs: &[CertificatePackId]) -> Result<Chunks, PublishError> {
        let mut chunks = Chunks::with_capacity(packs.len());
        if packs.is_empty() {
            return Ok(chunks);
        }
        let mut session = self.store.read().await?;
        for pack in packs {
            let chunk = session.certificate_in_force(*pack).await?.and_then(rows::certificate);
            chunks.extend(chunk.map(|chunk| (ChunkKey::Certificate(*pack).encode(), Some(Chunk::Certificate(chunk).encode()))));
        }
        Ok(chunks)
    }

    async fn send(&self, mut chunks: Chunks) -> Result<u64, PublishError> {
        let mut generation = self.handle.load().generation();
        let mut applied = self.handle.subscribe();
        while !chunks.is_empty() {
            let rest = chunks.split_off(chunks.len().min(self.limits.chunks_max));
            generation += 1;
            tracing::debug!(generation, chunks = chunks.len(), "publishing");
            let change = Change { generation, chunks };
            self.changes.send(change).await.map_err(|_| PublishError::Closed)?;
            let reached =
                tokio::time::timeout(self.limits.apply_timeout, applied.wait_for(|applied| *applied >= generation)).await;
            if !matches!(reached, Ok(Ok(_))) {
                return Err(PublishError::NotApplied { generation });
            }
            chunks = rest;
        }
        Ok(generation)
    }

    /// Orders go after the change they belong to: an agent dropped from a deleted tunnel must not find it alive when it comes
    /// back. An order sent twice does no harm; one forgotten would.
    async fn send_orders(&self, orders: &[(i64, Command)]) -> Result<Option<i64>, PublishError> {
        for (_, command) in orders {
            self.commands.send(command.clone()).await.map_err(|_| PublishError::Closed)?;
        }
        Ok(orders.last().map(|(id, _)| *id))
    }

    async fn forget_orders(&self, last: Option<i64>) -> Result<(), PublishError> {
        let Some(last) = last else { return Ok(()) };
        let mut session = self.store.write().await?;
        session.outbox_sent(last).await?;
        Ok(session.commit_silently().await?)
    }

    /// Lets the store forget of what was touched and is live, once that much was touched since.
    async fn forget(&mut self, at_least: usize) -> Result<(), PublishError> {
        if self.forgettable < at_least {
            return Ok(());
        }
        let live = self.live.borrow().change;
        let mut session = self.store.write().await?;
        let forgotten = session.forget_touched(live, FORGET_MAX).await?;
        session.commit_silently().await?;
        self.forgettable = usize::from(forgotten == u64::from(FORGET_MAX));
        Ok(())
    }
}

async fn piece(
    world: World,
    snapshot: Arc<Snapshot>,
    mut pieces: OfZone,
    most: usize,
) -> Result<(World, OfZone, Option<Chunks>), PublishError> {
    let work = move || {
        let chunks = pieces.next(&world, &snapshot, most);
        (world, pieces, chunks)
    };
    blocking(work).await
}

/// Where it holds up nobody.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, PublishError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| PublishError::Compile(error.to_string()))
}

impl Owed {
    fn extend(&mut self, more: BTreeSet<ChunkKey>) {
        if let Self::Keys(keys) = self {
            keys.extend(more);
            if keys.len() > OWED_MAX {
                *self = Self::Everything;
            }
        }
    }
}

/// The zone of which something was touched that its certificates may hang on.
fn zone_of(touched: &Touched) -> Option<ZoneId> {
    match touched {
        Touched::Zone(id) | Touched::Names(id) | Touched::Name(id, _) => Some(*id),
        Touched::Node | Touched::Account(_) | Touched::Tunnel(_) | Touched::Challenge(_) | Touched::Certificate(_) => None,
    }
}
