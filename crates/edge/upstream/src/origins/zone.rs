//! What a zone has of its own on the way to its origins: idle connections, TLS sessions, what failed, and its share of connections.
//! Nothing of it is another zone's.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{
    Shared,
    candidates::Ledger,
    http2::{Multiplexed, Ticket},
    pool::{Connection, Key, Pool},
    tls::{Serial, ZoneTls},
};
use crate::OriginError;

/// See the module's page.
pub(super) struct Zone {
    pub(super) shared: Arc<Shared>,
    pub(super) pool: Pool,
    pub(super) tls: ZoneTls,
    /// Connections that carry many requests at once.
    multiplexed: Mutex<HashMap<Key, Vec<Arc<Multiplexed>>>>,
    ledger: Mutex<Ledger>,
    open: Arc<AtomicUsize>,
}

/// The right to one connection; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    shared: Arc<Shared>,
    zone: Arc<AtomicUsize>,
}

impl Zone {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let pool = Pool::new(shared.settings.idle_per_origin_max, shared.counters.idle.clone());
        Self {
            shared,
            pool,
            tls: ZoneTls::default(),
            multiplexed: Mutex::default(),
            ledger: Mutex::default(),
            open: Arc::default(),
        }
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The right to one connection more.
    ///
    /// # Errors
    /// The zone, or the node, has all it may have.
    pub(super) fn share(&self) -> Result<Share, OriginError> {
        let settings = &self.shared.settings;
        if self.open.fetch_add(1, Ordering::Relaxed) >= settings.connections_per_zone_max {
            // What only waits makes room.
            if !self.close_one() {
                self.open.fetch_sub(1, Ordering::Relaxed);
                self.shared.counters.refused.inc();
                return Err(OriginError::TooManyConnections(settings.connections_per_zone_max));
            }
        }
        if self.shared.open.fetch_add(1, Ordering::Relaxed) >= settings.connections_max && !self.close_one() {
            self.open.fetch_sub(1, Ordering::Relaxed);
            self.shared.open.fetch_sub(1, Ordering::Relaxed);
            self.shared.counters.refused.inc();
            return Err(OriginError::TooManyConnections(settings.connections_max));
        }
        self.shared.counters.open.inc();
        Ok(Share { shared: Arc::clone(&self.shared), zone: Arc::clone(&self.open) })
    }

    /// How many connections it has open.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Keeps a connection whose answer was read to its end, if it can be used again and the node has room for idle ones.
    pub(super) fn put(&self, connection: Box<Connection>) {
        // The last quarter is for connections that carry something.
        if self.shared.open.load(Ordering::Relaxed) <= self.shared.settings.connections_max / 4 * 3 {
            self.pool.put(connection, std::time::Instant::now());
        }
    }

    /// Closes something idle to make room for another; whether there was anything.
    fn close_one(&self) -> bool {
        if self.pool.close_one() {
            return true;
        }
        let mut all = self.multiplexed();
        let idle = all.values_mut().find_map(|connections| {
            let at = connections.iter().position(|connection| connection.is_idle())?;
            Some(connections.swap_remove(at))
        });
        idle.inspect(|connection| connection.retire()).is_some()
    }

    /// A request's part of a connection that carries many. One that is not `believed` any more takes no other request.
    pub(super) fn ticket(&self, key: &Key, believed: impl Fn(Option<&Serial>) -> bool) -> Option<Ticket> {
        self.multiplexed().get(key)?.iter().find_map(|connection| {
            if !believed(connection.serial.as_ref()) {
                connection.retire();
            }
            connection.ticket()
        })
    }

    /// Has others use this connection too.
    pub(super) fn join(&self, key: Key, connection: Arc<Multiplexed>) {
        self.multiplexed().entry(key).or_default().push(connection);
    }

    fn multiplexed(&self) -> MutexGuard<'_, HashMap<Key, Vec<Arc<Multiplexed>>>> {
        self.multiplexed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes and forgets what is too old, and what does not stand any more: what it was made with is another now. Tells whether the zone has
    /// nothing left.
    pub(super) fn sweep(&self, stands: &dyn Fn(&Key, Option<&Serial>) -> bool, now: std::time::Instant) -> bool {
        let idle_timeout = self.shared.settings.idle_timeout;
        self.multiplexed().retain(|key, connections| {
            connections.retain(|connection| {
                if !stands(key, connection.serial.as_ref()) {
                    // Requests that are on it end as they will.
                    connection.retire();
                }
                connection.is_kept(now, idle_timeout)
            });
            !connections.is_empty()
        });
        let is_empty = self.pool.sweep(stands, now);
        self.ledger().sweep(now) && is_empty && self.open.load(Ordering::Relaxed) == 0
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.zone.fetch_sub(1, Ordering::Relaxed);
        self.shared.open.fetch_sub(1, Ordering::Relaxed);
        self.shared.counters.open.dec();
    }
}
