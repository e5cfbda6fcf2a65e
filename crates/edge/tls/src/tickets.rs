//! Session tickets of visitors: made with keys that all nodes of an instance have, and that change ([`poterne_keys::TicketKeys`] says which
//! makes and which opens one). They come wrapped in the snapshot, so that a visitor takes up a session after a restart, an upgrade, or at
//! another node.
//!
//! What a session was begun under is part of what its ticket says: the versions that the zone wanted, whether over QUIC, and whose
//! certificate was asked for. Whoever comes back under other terms does the whole handshake. That it is for the same name the TLS library
//! sees to (RFC 6066 §3).

use std::{
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use poterne_keys::{DataKey, NodeKey, Purpose, TICKET_LIFETIME, TicketKeys, random_bytes};
use poterne_snapshot::{SnapshotHandle, TicketKey};
use rustls::server::ProducesTickets;

/// What a wrapped key is taken for.
const SUBJECT: &[u8] = b"ticket";

/// See the module's page. Until keys come by the snapshot, this process has one of its own.
pub(crate) struct Tickets {
    snapshot: SnapshotHandle,
    node_key: Option<NodeKey>,
    own: TicketKeys,
    /// They change seldom, so what was opened last is kept.
    last: ArcSwap<Opened>,
}

#[derive(Default)]
struct Opened {
    wrapped: Vec<TicketKey>,
    keys: TicketKeys,
}

impl Tickets {
    /// `node_key`: what keys are wrapped with; none: this process is alone with its own.
    pub(crate) fn new(snapshot: SnapshotHandle, node_key: Option<NodeKey>) -> Self {
        let own = TicketKeys::new(vec![(0, DataKey::from_bytes(random_bytes()))]);
        Self { snapshot, node_key, own, last: ArcSwap::default() }
    }

    /// For sessions that are begun under these terms.
    pub(crate) fn under(self: &Arc<Self>, terms: Vec<u8>) -> Arc<dyn ProducesTickets> {
        Arc::new(Under { tickets: Arc::clone(self), terms })
    }

    /// Does something with the keys in force.
    fn with<T>(&self, act: impl FnOnce(&TicketKeys) -> T) -> T {
        let last = self.last.load_full();
        let snapshot = self.snapshot.load();
        let wrapped = &snapshot.node().ticket_keys;
        let opened = if last.wrapped == *wrapped { Arc::clone(&last) } else { Arc::new(self.open(wrapped)) };
        if !Arc::ptr_eq(&opened, &last) {
            self.last.store(Arc::clone(&opened));
        }
        act(if opened.keys.is_empty() { &self.own } else { &opened.keys })
    }

    fn open(&self, wrapped: &[TicketKey]) -> Opened {
        let open = |key: &TicketKey| -> Option<(u64, DataKey)> {
            let opened = self.node_key.as_ref()?.open(Purpose::TicketKey, SUBJECT, &key.key);
            let opened = opened.inspect_err(|error| tracing::error!(%error, "a key of session tickets does not open")).ok()?;
            Some((key.starts_at, DataKey::from_bytes(opened.expose().try_into().ok()?)))
        };
        Opened { wrapped: wrapped.to_vec(), keys: TicketKeys::new(wrapped.iter().filter_map(open).collect()) }
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}

#[derive(Debug)]
struct Under {
    tickets: Arc<Tickets>,
    terms: Vec<u8>,
}

impl ProducesTickets for Under {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(TICKET_LIFETIME.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        self.tickets.with(|keys| keys.make(now_secs(), &self.terms, session))
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.tickets.with(|keys| Some(keys.open(now_secs(), &self.terms, ticket)?.expose().to_vec()))
    }
}

fn now_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
