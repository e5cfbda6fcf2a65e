//! What the gateway does by itself: it notices silence, and carries the snapshot's changes to agents.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use poterne_model::ConnectionId;
use poterne_tunnel_proto::{config::ConfigurationAnswer, h2 as wire};
use poterne_tunnel_rpc::update_configuration;
use tokio::time::MissedTickBehavior;

use crate::{
    Inner,
    connection::{Connection, Link},
};

/// How often QUIC connections are looked at.
const TICK: Duration = Duration::from_millis(250);

/// An agent has this long to take a configuration.
const PUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// How often a push that failed is tried again, and how long we wait between.
const PUSH_ATTEMPTS: u32 = 5;
const PUSH_PAUSE: Duration = Duration::from_secs(2);

/// Longest answer to a push over HTTP/2, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

pub(crate) fn start(inner: &Arc<Inner>) {
    inner.tasks.spawn(silence(inner.clone()));
    inner.tasks.spawn(generations(inner.clone()));
}

/// Marks QUIC connections that were not heard for a while. Over HTTP/2 each connection's own pings tell.
async fn silence(inner: Arc<Inner>) {
    let mut heard = Heard::default();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = inner.stop.cancelled() => return,
        }
        look(&inner, &mut heard, Instant::now());
    }
}

/// One look at all connections.
fn look(inner: &Inner, heard: &mut Heard, now: Instant) {
    let connections = inner.registry.all();
    let received = connections.iter().filter_map(|connection| match &connection.link {
        Link::Quic(quic) => Some((connection.id, quic.stats().udp_rx.datagrams)),
        Link::Http2 { .. } => None,
    });
    heard.look(received, now);
    for connection in &connections {
        if let Some(silent_for) = heard.silent_for(connection.id)
            && connection.set_silent(silent_for >= inner.settings.silent_after)
        {
            inner.registry.arrived(connection);
        }
    }
    let silent = connections.iter().filter(|connection| connection.is_silent()).count();
    inner.counters.silent.set(i64::try_from(silent).unwrap_or(i64::MAX));
}

/// How long each connection has been silent: since the last look that found more packets received than the one before. Pure.
///
/// Only time in which we looked counts. While this process itself stood still (a machine that was paused, a processor that was busy
/// elsewhere) nobody else was silent: what they sent waits in the sockets, and an agent must not lose its visitors over it.
#[derive(Default)]
struct Heard {
    looked: Option<Instant>,
    known: HashMap<ConnectionId, Silence>,
}

#[derive(Clone, Copy)]
struct Silence {
    received: u64,
    lasts: Duration,
}

impl Heard {
    /// Takes note of how many packets each connection has received by now; forgets all others.
    fn look(&mut self, received: impl Iterator<Item = (ConnectionId, u64)>, now: Instant) {
        let listened = self.looked.map_or(Duration::ZERO, |looked| now.saturating_duration_since(looked).min(TICK));
        self.looked = Some(now);
        let known = std::mem::take(&mut self.known);
        self.known = received
            .map(|(id, received)| {
                let before = known.get(&id).filter(|before| before.received == received);
                (id, Silence { received, lasts: before.map_or(Duration::ZERO, |before| before.lasts + listened) })
            })
            .collect();
    }

    /// How long a connection has been silent at the last look; none if it was not there.
    fn silent_for(&self, connection: ConnectionId) -> Option<Duration> {
        self.known.get(&connection).map(|silence| silence.lasts)
    }
}

/// Follows the snapshot: new configurations go to agents, connections of deleted tunnels are closed.
async fn generations(inner: Arc<Inner>) {
    let mut generation = inner.snapshot.subscribe();
    loop {
        tokio::select! {
            changed = generation.changed() => if changed.is_err() { return },
            () = inner.stop.cancelled() => return,
        }
        let snapshot = Arc::clone(&inner.snapshot.load());
        for connection in inner.registry.all() {
            match snapshot.tunnel(connection.tunnel) {
                None => connection.close("the tunnel was deleted"),
                Some(_) => push(&inner, &connection),
            }
        }
        inner.registry.forget(|tunnel| snapshot.tunnel(tunnel).is_none());
    }
}

/// Brings an agent to the snapshot's configuration, unless that is being done already.
pub(crate) fn push(inner: &Arc<Inner>, connection: &Arc<Connection>) {
    if wanted(inner, connection).is_none() {
        return served(inner, connection);
    }
    if connection.pushing.swap(true, Ordering::AcqRel) {
        return;
    }
    let (inner, connection) = (inner.clone(), connection.clone());
    inner.clone().tasks.spawn(async move {
        let mut failures = 0;
        // Again after a success, too: the snapshot may have moved on meanwhile.
        while let Some((version, config)) = wanted(&inner, &connection) {
            match send(&inner, &connection, version, config).await {
                Ok(ConfigurationAnswer { error: Some(error), .. }) => {
                    inner.counters.pushes_failed.inc();
                    tracing::warn!(tunnel = %connection.tunnel, connector = %connection.connector, version, error, "the agent refused its configuration; it keeps the one before");
                    connection.pushed.store(version.into(), Ordering::Relaxed);
                }
                Ok(answer) => {
                    connection.pushed.store(answer.latest_applied_version.max(version).into(), Ordering::Relaxed);
                    tracing::debug!(tunnel = %connection.tunnel, connection = %connection.id, version, "the agent has its configuration");
                }
                Err(error) => {
                    failures += 1;
                    inner.counters.pushes_failed.inc();
                    tracing::warn!(tunnel = %connection.tunnel, connection = %connection.id, version, error, "a configuration could not be brought to the agent");
                    if failures >= PUSH_ATTEMPTS || connection.is_draining() {
                        break;
                    }
                    tokio::time::sleep(PUSH_PAUSE).await;
                    continue;
                }
            }
            served(&inner, &connection);
            inner.answers.send_modify(|answers| *answers += 1);
        }
        served(&inner, &connection);
        connection.pushing.store(false, Ordering::Release);
        if failures < PUSH_ATTEMPTS && !connection.is_draining() {
            // The snapshot may have moved on since the last look.
            push(&inner, &connection);
        }
    });
}

/// Requests may be sent to an agent that has answered, even by refusing: then it keeps the configuration before. And to one that
/// cannot be brought to answer: what it has is better than nothing.
fn served(inner: &Inner, connection: &Connection) {
    if connection.set_configured() {
        inner.registry.arrived(connection);
    }
}

/// Whether an agent has yet to answer the snapshot's configuration.
pub(crate) fn is_behind(inner: &Inner, connection: &Connection) -> bool {
    !connection.is_draining() && wanted(inner, connection).is_some()
}

fn wanted(inner: &Inner, connection: &Connection) -> Option<(i32, Bytes)> {
    let snapshot = inner.snapshot.load();
    let remote = snapshot.tunnel(connection.tunnel)?.remote.as_ref()?;
    (i64::from(remote.version) > connection.pushed.load(Ordering::Relaxed)).then(|| (remote.version, remote.json.clone()))
}

async fn send(inner: &Inner, connection: &Connection, version: i32, config: Bytes) -> Result<ConfigurationAnswer, String> {
    match &connection.link {
        Link::Quic(quic) => {
            let (send, recv) = quic.open_bi().await.map_err(|e| e.to_string())?;
            update_configuration(&inner.threads, recv, send, version, config, PUSH_TIMEOUT).await.map_err(|e| e.to_string())
        }
        Link::Http2 { requests, .. } => {
            let exchange = push_http2(requests.clone(), version, config);
            tokio::time::timeout(PUSH_TIMEOUT, exchange).await.map_err(|_| "the agent did not answer in time".to_owned())?
        }
    }
}

async fn push_http2(
    requests: h2::client::SendRequest<Bytes>,
    version: i32,
    config: Bytes,
) -> Result<ConfigurationAnswer, String> {
    let body = wire::encode_push(&wire::ConfigurationPush { version, config }).map_err(|e| e.to_string())?;
    let mut requests = requests.ready().await.map_err(|e| e.to_string())?;
    let (response, mut stream) = requests.send_request(wire::configuration_request(), false).map_err(|e| e.to_string())?;
    stream.send_data(body, true).map_err(|e| e.to_string())?;
    let mut body = response.await.map_err(|e| e.to_string())?.into_body();
    let mut answer = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.map_err(|e| e.to_string())?;
        // What was read may be sent again.
        let _ = body.flow_control().release_capacity(chunk.len());
        if answer.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err("the agent's answer is too long".into());
        }
        answer.extend_from_slice(&chunk);
    }
    wire::parse_push_answer(&answer).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    #[test]
    fn a_connection_is_silent_within_two_seconds_of_its_last_packet() {
        let (settings, start) = (Settings::default(), Instant::now());
        let (id, mut heard) = (ConnectionId::from_random_bytes([1; 16]), Heard::default());
        // The last packet comes just after a look; an agent answers pings every half second until then.
        let mut silent_at = None;
        for tick in 0..20u32 {
            let at = TICK * tick;
            heard.look([(id, u64::from(tick.min(5) / 2))].into_iter(), start + at);
            if silent_at.is_none() && heard.silent_for(id) >= Some(settings.silent_after) {
                silent_at = Some(at);
            }
        }
        let (last_packet, silent_at) = (TICK * 3, silent_at.expect("noticed"));
        assert!(silent_at - last_packet < Duration::from_secs(2), "{silent_at:?}");
        assert!(silent_at > TICK * 6, "an agent that answers is never called silent");
        heard.look(std::iter::empty(), start);
        assert!(heard.known.is_empty());
    }

    #[test]
    fn a_node_that_stood_still_calls_nobody_silent_for_it() {
        let (settings, start) = (Settings::default(), Instant::now());
        let [lively, gone] = [1, 2].map(|id| ConnectionId::from_random_bytes([id; 16]));
        let mut heard = Heard::default();
        let is_silent = |heard: &Heard, id| heard.silent_for(id).expect("known") >= settings.silent_after;
        let mut look = |lively_received, at| {
            heard.look([(lively, lively_received), (gone, 7)].into_iter(), start + at);
            (is_silent(&heard, lively), is_silent(&heard, gone))
        };
        assert_eq!(look(1, Duration::ZERO), (false, false));
        assert_eq!(look(2, TICK), (false, false));
        // SIGSTOP, or a paused machine: five seconds, then a minute, without a look. The first look after it comes before the sockets
        // are read.
        let mut at = TICK + Duration::from_secs(5);
        assert_eq!(look(2, at), (false, false));
        assert_eq!(look(12, at + TICK), (false, false));
        at += Duration::from_secs(60);
        assert_eq!(look(12, at), (false, false));
        assert_eq!(look(13, at + TICK), (false, false));
        // Who is still not heard once we listen again is silent all the same, and soon.
        let noticed = (2..).find(|tick| look(11 + u64::from(*tick), at + TICK * *tick) == (false, true)).expect("noticed");
        assert!(TICK * noticed < Duration::from_secs(2), "{noticed} looks");
    }
}
