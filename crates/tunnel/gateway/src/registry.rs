//! Tunnel → live connections. Requests read it without a lock; registrations, few and slow, take one per tunnel.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use poterne_model::{ConnectionId, ConnectorId, ConnectorInfo, TunnelId, TunnelStatus, tunnel};
use poterne_tunnel_proto::registration::{RegistrationError, Slots};
use tokio::sync::Notify;

use crate::connection::Connection;

/// After its last loss, or the start of this node, a tunnel is expected back for this long: a stock agent's first attempts fall into
/// it.
const EXPECTED_BACK: Duration = Duration::from_secs(10);

/// Live connections of a tunnel.
pub(crate) struct Tunnel {
    live: ArcSwap<Vec<Arc<Connection>>>,
    slots: Mutex<Slots<ConnectionId>>,
    /// Told when a connection becomes usable.
    pub(crate) arrived: Notify,
    pub(crate) waiting: AtomicUsize,
    pub(crate) in_flight: AtomicUsize,
    /// What people read, in seconds since the Unix epoch; 0: never.
    first_connected: AtomicU64,
    last_loss: AtomicU64,
    /// What is decided by.
    lost: Mutex<Option<Instant>>,
    /// Connections that make a connector whole; 1 for a quick tunnel.
    wanted: AtomicUsize,
}

impl Tunnel {
    fn new(connections_max: usize, expected_since: Instant) -> Self {
        Self {
            live: ArcSwap::default(),
            slots: Mutex::new(Slots::new(connections_max)),
            arrived: Notify::new(),
            waiting: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
            first_connected: AtomicU64::new(0),
            last_loss: AtomicU64::new(0),
            lost: Mutex::new(Some(expected_since)),
            wanted: AtomicUsize::new(tunnel::connections_wanted(1, false)),
        }
    }

    /// Power of two choices: of two random usable connections, of `connector` where one is named, the one with fewer requests in
    /// flight. One that takes no more streams for now is chosen only where all are full.
    pub(crate) fn choose(
        &self,
        connector: Option<ConnectorId>,
        tried: &[Option<ConnectionId>],
        random: u64,
    ) -> Option<Arc<Connection>> {
        let live = self.live.load();
        let usable = |connection: &&Arc<Connection>| {
            connection.is_usable()
                && !tried.contains(&Some(connection.id))
                && connector.is_none_or(|only| only == connection.connector)
        };
        let count = live.iter().filter(usable).count();
        if count == 0 {
            return None;
        }
        // The two halves of the random number are independent draws.
        let (first, second) = ((random >> 32) as usize % count, (random & 0xffff_ffff) as usize % count);
        let first = live.iter().filter(usable).nth(first)?;
        let second = live.iter().filter(usable).nth(second).unwrap_or(first);
        let better = if second.in_flight() < first.in_flight() { second } else { first };
        if better.has_room() {
            return Some(better.clone());
        }
        let roomy = live.iter().filter(usable).filter(|connection| connection.has_room());
        Some(roomy.min_by_key(|connection| connection.in_flight()).unwrap_or(better).clone())
    }

    /// Waits until there is a connection to choose.
    pub(crate) async fn comes(&self, connector: Option<ConnectorId>, tried: &[Option<ConnectionId>]) -> Arc<Connection> {
        loop {
            let mut arrived = std::pin::pin!(self.arrived.notified());
            // Registered before we look, so that no arrival is missed.
            arrived.as_mut().enable();
            if let Some(connection) = self.choose(connector, tried, crate::random()) {
                return connection;
            }
            arrived.await;
        }
    }

    /// Requests whose response has not ended, on all connections; those that still wait for a head among them.
    pub(crate) fn running(&self) -> usize {
        let sent: usize = self.live.load().iter().map(|connection| connection.in_flight()).sum();
        sent.max(self.in_flight.load(Ordering::Relaxed))
    }

    /// Whether a connection may become usable soon: one was lost so lately that another may be on its way, or one is there that is
    /// not usable for now.
    pub(crate) fn may_come_back(&self, now: Instant) -> bool {
        let lost = *self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.is_some_and(|at| now.saturating_duration_since(at) <= EXPECTED_BACK)
            || self.live.load().iter().any(|c| !c.is_usable())
    }
}

/// All tunnels that ever connected since the start, or were asked for just after it.
pub(crate) struct Registry {
    /// Ids are drawn by control, not chosen.
    tunnels: papaya::HashMap<TunnelId, Arc<Tunnel>, foldhash::fast::RandomState>,
    started: Instant,
}

impl Registry {
    pub(crate) fn new(now: Instant) -> Self {
        Self { tunnels: papaya::HashMap::default(), started: now }
    }

    /// A tunnel that has not connected yet, as long as its agents may be on their way back to a node that was started anew. The
    /// caller knows that there is such a tunnel: nothing else may be remembered.
    pub(crate) fn expected(&self, id: TunnelId, connections_max: usize, now: Instant) -> Option<Arc<Tunnel>> {
        let is_early = now.saturating_duration_since(self.started) <= EXPECTED_BACK;
        is_early.then(|| self.entry(id, connections_max))
    }

    /// A tunnel whose agents are on their way from this program's predecessor.
    pub(crate) fn expect(&self, id: TunnelId, connections_max: usize) -> Arc<Tunnel> {
        let tunnel = self.entry(id, connections_max);
        *tunnel.lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        tunnel
    }

    fn entry(&self, id: TunnelId, connections_max: usize) -> Arc<Tunnel> {
        let new = || Arc::new(Tunnel::new(connections_max, self.started));
        self.tunnels.pin().get_or_insert_with(id, new).clone()
    }

    pub(crate) fn tunnel(&self, id: TunnelId) -> Option<Arc<Tunnel>> {
        self.tunnels.pin().get(&id).cloned()
    }

    /// Takes the connection's slot; gives the connection it supersedes.
    pub(crate) fn admit(
        &self,
        connection: Arc<Connection>,
        connections_max: usize,
        quick: bool,
    ) -> Result<Option<Arc<Connection>>, RegistrationError> {
        let tunnel = self.entry(connection.tunnel, connections_max);
        let mut slots = tunnel.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let superseded = slots.admit(connection.connector, connection.index, connection.id)?;
        let mut live = Vec::clone(&tunnel.live.load());
        let old = superseded.and_then(|old| live.iter().position(|c| c.id == old)).map(|at| live.swap_remove(at));
        live.push(connection.clone());
        tunnel.live.store(Arc::new(live));
        drop(slots);
        if quick {
            tunnel.wanted.store(tunnel::connections_wanted(1, true), Ordering::Relaxed);
        }
        let _ = tunnel.first_connected.compare_exchange(0, connection.opened_at.max(1), Ordering::Relaxed, Ordering::Relaxed);
        tunnel.arrived.notify_waiters();
        Ok(old)
    }

    /// A connection has become usable: whoever waits for one looks again.
    pub(crate) fn arrived(&self, connection: &Connection) {
        if let Some(tunnel) = self.tunnel(connection.tunnel) {
            tunnel.arrived.notify_waiters();
        }
    }

    /// Forgets a connection; false if it was superseded and so forgotten already.
    pub(crate) fn release(&self, connection: &Connection) -> bool {
        let Some(tunnel) = self.tunnel(connection.tunnel) else { return false };
        let mut slots = tunnel.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.release(connection.connector, connection.index, &connection.id);
        let live = tunnel.live.load();
        let was_live = live.iter().any(|c| c.id == connection.id);
        if was_live {
            tunnel.live.store(Arc::new(live.iter().filter(|c| c.id != connection.id).cloned().collect()));
            tunnel.last_loss.store(crate::unix_now(), Ordering::Relaxed);
            *tunnel.lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        was_live
    }

    pub(crate) fn connections(&self, id: TunnelId) -> Vec<Arc<Connection>> {
        self.tunnel(id).map(|tunnel| Vec::clone(&tunnel.live.load())).unwrap_or_default()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Connection>> {
        self.tunnels.pin().iter().flat_map(|(_, tunnel)| Vec::clone(&tunnel.live.load())).collect()
    }

    /// Forgets tunnels that are gone, so that quick tunnels leave nothing behind.
    pub(crate) fn forget(&self, gone: impl Fn(TunnelId) -> bool) {
        self.tunnels.pin().retain(|id, tunnel| !gone(*id) || !tunnel.live.load().is_empty());
    }

    pub(crate) fn connectors(&self, id: TunnelId) -> Vec<ConnectorInfo> {
        let mut connectors: Vec<ConnectorInfo> = Vec::new();
        for connection in self.connections(id) {
            let info = connection.info();
            if let Some(known) = connectors.iter_mut().find(|c| c.id == connection.connector) {
                known.run_at = known.run_at.min(info.opened_at);
                known.connections.push(info);
            } else {
                connectors.push(ConnectorInfo {
                    id: connection.connector,
                    version: connection.version.clone(),
                    arch: connection.arch.clone(),
                    features: connection.features.clone(),
                    run_at: info.opened_at,
                    connections: vec![info],
                });
            }
        }
        connectors
    }

    pub(crate) fn status(&self, id: TunnelId, now: u64) -> (TunnelStatus, Option<u64>) {
        let Some(tunnel) = self.tunnel(id) else { return (TunnelStatus::Inactive, None) };
        let serving = |connector: &ConnectorInfo| connector.connections.iter().filter(|c| !c.draining).count();
        let connectors = self.connectors(id);
        let some = |at: u64| (at != 0).then_some(at);
        let facts = tunnel::StatusFacts {
            connections_of_best: connectors.iter().map(serving).max().unwrap_or(0),
            connections: connectors.iter().map(serving).sum(),
            wanted: tunnel.wanted.load(Ordering::Relaxed),
            last_loss: some(tunnel.last_loss.load(Ordering::Relaxed)),
            first_connected: some(tunnel.first_connected.load(Ordering::Relaxed)),
        };
        tunnel::status(facts, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tunnel_is_expected_back_for_a_while_by_a_clock_that_nobody_sets() {
        let start = Instant::now();
        let now = start + Duration::from_secs(3600);
        let tunnel = Tunnel::new(4, start);
        assert!(tunnel.may_come_back(start) && !tunnel.may_come_back(now));
        *tunnel.lost.lock().unwrap() = Some(now);
        assert!(tunnel.may_come_back(now + EXPECTED_BACK));
        assert!(!tunnel.may_come_back(now + EXPECTED_BACK + Duration::from_millis(1)));
    }
    #[test]
    fn only_a_node_just_started_expects_tunnels_it_has_not_seen() {
        let (registry, start) = (Registry::new(Instant::now()), Instant::now());
        let id = TunnelId::from_bytes([1; 16]);
        assert!(registry.expected(id, 4, start + EXPECTED_BACK + Duration::from_secs(1)).is_none());
        assert!(registry.tunnel(id).is_none(), "nothing is left behind");
        assert!(registry.expected(id, 4, start).is_some_and(|tunnel| tunnel.may_come_back(start)));
    }
}
