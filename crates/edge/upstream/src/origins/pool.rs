//! Idle connections to a zone's origins. That an origin closed one is found out when it is taken, or swept.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use http::HeaderMap;
use poterne_origin::{Http1, Rules};
use poterne_telemetry::Gauge;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use super::{
    body::RequestBody,
    tls::{Named, Serial},
    zone::Share,
};

/// What an origin may answer: a head of 128 KiB (edge-behaviour §2.4), and nothing that another program could read otherwise (§5.8).
pub(super) const RULES: Rules = Rules { head_bytes_max: 128 * 1024, fields_max: 1_000, forgiving: false };

/// How long a connection may have been idle that carries a request which is not to be repeated. An origin that closes idle connections
/// waits longer than this, as good as always; so what is on its way when it closes one is a request that may be sent again.
const YOUNG: Duration = Duration::from_secs(1);

/// An origin's socket.
pub(super) type Io = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// What two requests must have in common to go over the same connection, beside the zone (edge-behaviour §5.8).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) address: SocketAddr,
    /// Whom its certificate is for; none: it is in clear.
    pub(super) named: Option<Named>,
}

/// A connection to an origin.
pub(super) struct Connection {
    pub(super) key: Key,
    pub(super) http: Http1<Io, RequestBody>,
    pub(super) share: Share,
    /// Of the origin's certificate, where it was verified.
    pub(super) serial: Option<Serial>,
    /// How long it may be idle.
    pub(super) idle_timeout: Duration,
}

impl Connection {
    pub(super) fn new(key: Key, io: Io, serial: Option<Serial>, share: Share, idle_timeout: Duration) -> Self {
        Self { key, http: Http1::new(io, RULES), share, serial, idle_timeout }
    }

    /// Heeds what the origin says of how long it keeps connections (`Keep-Alive: timeout=5`), which it knows best.
    pub(super) fn heed(&mut self, headers: &HeaderMap) {
        if let Some(timeout) = headers.get("keep-alive").and_then(|value| kept_for(value.to_str().ok()?)) {
            self.idle_timeout = self.idle_timeout.min(timeout);
        }
    }
}

/// A second less than it says: what is on its way then must still arrive in time.
fn kept_for(value: &str) -> Option<Duration> {
    let timeout = value.split(',').find_map(|parameter| {
        let (name, secs) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("timeout").then(|| secs.trim().parse::<u32>().ok())?
    })?;
    Some(Duration::from_secs(timeout.saturating_sub(1).into()))
}

/// Idle connections, the youngest used first.
pub(super) struct Pool {
    idle: Mutex<Queues>,
    per_origin_max: usize,
    gauge: Gauge,
}

/// Not SipHash, which costs more than the rest of a look: what a visitor chooses is no part of a key.
type Queues = foldhash::HashMap<Key, VecDeque<Idle>>;

struct Idle {
    connection: Box<Connection>,
    since: Instant,
}

impl Idle {
    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < self.connection.idle_timeout
    }
}

impl Pool {
    pub(super) fn new(per_origin_max: usize, gauge: Gauge) -> Self {
        Self { idle: Mutex::default(), per_origin_max, gauge }
    }

    /// A usable idle connection, if there is one. `repeatable`: what it is to carry may be sent again, should the connection turn out
    /// dead. What is not `believed` any more is closed.
    pub(super) fn take(
        &self,
        key: &Key,
        repeatable: bool,
        believed: impl Fn(Option<&Serial>) -> bool,
        now: Instant,
    ) -> Option<Box<Connection>> {
        loop {
            let idle = {
                let mut all = self.lock();
                let queue = all.get_mut(key)?;
                let youngest = queue.back()?;
                if !repeatable && now.saturating_duration_since(youngest.since) >= YOUNG {
                    return None;
                }
                queue.pop_back()?
            };
            self.gauge.dec();
            let Idle { mut connection, .. } = idle;
            let is_fresh = now.saturating_duration_since(idle.since) < connection.idle_timeout;
            if is_fresh && believed(connection.serial.as_ref()) && connection.http.is_silent() {
                connection.http.reused = true;
                return Some(connection);
            }
        }
    }

    /// Keeps a connection; drops it if it cannot be used again.
    pub(super) fn put(&self, connection: Box<Connection>, now: Instant) {
        if !connection.http.is_reusable() || connection.idle_timeout.is_zero() || self.per_origin_max == 0 {
            return;
        }
        let mut all = self.lock();
        let queue = match all.get_mut(&connection.key) {
            Some(queue) => queue,
            None => all.entry(connection.key.clone()).or_default(),
        };
        let oldest = if queue.len() >= self.per_origin_max { queue.pop_front() } else { None };
        queue.push_back(Idle { connection, since: now });
        drop(all);
        if oldest.is_none() {
            self.gauge.inc();
        }
    }

    /// Closes an idle connection to make room for another; whether there was one.
    pub(super) fn close_one(&self) -> bool {
        let oldest = {
            let mut all = self.lock();
            let fullest = all.values_mut().max_by_key(|queue| queue.len());
            fullest.and_then(VecDeque::pop_front)
        };
        if oldest.is_some() {
            self.gauge.dec();
        }
        oldest.is_some()
    }

    /// Closes what has been idle too long, what the origin closed, and what does not stand any more; tells whether nothing is left.
    pub(super) fn sweep(&self, stands: &dyn Fn(&Key, Option<&Serial>) -> bool, now: Instant) -> bool {
        let mut closed = Vec::new();
        let mut all = self.lock();
        all.retain(|_, queue| {
            let mut at = 0;
            while at < queue.len() {
                let Idle { connection, .. } = &queue[at];
                let stands = stands(&connection.key, connection.serial.as_ref());
                if stands && queue[at].is_fresh(now) && queue[at].connection.http.is_silent() {
                    at += 1;
                } else {
                    closed.extend(queue.remove(at));
                }
            }
            !queue.is_empty()
        });
        let is_empty = all.is_empty();
        drop(all);
        self.gauge.dec_by(i64::try_from(closed.len()).unwrap_or(0));
        is_empty
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origins_word_on_idle_connections_is_heeded() {
        let secs = |value| kept_for(value).map(|timeout| timeout.as_secs());
        assert_eq!(secs("timeout=5"), Some(4));
        assert_eq!(secs("max=100, Timeout = 15"), Some(14));
        assert_eq!(secs("timeout=0"), Some(0));
        assert_eq!((secs("max=5"), secs("timeout=x"), secs("")), (None, None, None));
    }
}
