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
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = inner.stop.cancelled() => return,
        }
        let (now, connections) = (Instant::now(), inner.registry.all());
        heard.keep(connections.iter().map(|connection| connection.id));
        for connection in &connections {
            let Link::Quic(quic) = &connection.link else { continue };
            let silent_for = heard.silent_for(connection.id, quic.stats().udp_rx.datagrams, now);
            if connection.set_silent(silent_for >= inner.settings.silent_after) {
                inner.registry.arrived(connection);
            }
        }
        let silent = connections.iter().filter(|connection| connection.is_silent()).count();
        inner.counters.silent.set(i64::try_from(silent).unwrap_or(i64::MAX));
    }
}

/// When each connection was last heard: at the last look that found more packets received than the one before. Pure.
#[derive(Default)]
struct Heard(HashMap<ConnectionId, (u64, Instant)>);

impl Heard {
    /// Forgets all others.
    fn keep(&mut self, connections: impl Iterator<Item = ConnectionId>) {
        let known = std::mem::take(&mut self.0);
        self.0 = connections.filter_map(|id| Some((id, *known.get(&id)?))).collect();
    }

    /// How long a connection has been silent that has received so many packets by now.
    fn silent_for(&mut self, connection: ConnectionId, received: u64, now: Instant) -> Duration {
        let last = self.0.entry(connection).or_insert((received, now));
        if last.0 != received {
            *last = (received, now);
        }
        now.saturating_duration_since(last.1)
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
            let received = u64::from(tick.min(5) / 2);
            heard.keep([id].into_iter());
            if silent_at.is_none() && heard.silent_for(id, received, start + at) >= settings.silent_after {
                silent_at = Some(at);
            }
        }
        let (last_packet, silent_at) = (TICK * 3, silent_at.expect("noticed"));
        assert!(silent_at - last_packet < Duration::from_secs(2), "{silent_at:?}");
        assert!(silent_at > TICK * 6, "an agent that answers is never called silent");
        heard.keep(std::iter::empty());
        assert!(heard.0.is_empty());
    }
}
