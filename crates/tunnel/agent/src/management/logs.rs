//! `/logs`: the agent's log, streamed to one client at a time.
//!
//! Lines come from the process's logs by a tap that is open only while somebody streams. They wait in a short queue; a client slower
//! than the log loses lines, and the agent is never held up by it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use poterne_telemetry::{Tap, tap::Line};
use poterne_tunnel_proto::{
    h2::Source,
    management::{
        message::{AgentMessage, CLIENT_BYTES_MAX, ClientMessage, Entry, EventKind, Filters, Level, rfc3339},
        session::{Close, Conversation, ENTRIES_MAX, Entered, Gate, LIFE_MAX, PING_EVERY, Step},
        token::Claims,
    },
    metadata::AgentRequest,
    stream::ConnectionType,
    websocket::{
        self,
        messages::{Message, MessageError, Messages, Sender, TEXT, close_payload},
    },
};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Shared,
    side::{Answer, Incoming, SideError},
};

/// How long a client may take to read a frame before it is let go: two pings.
const SEND_MAX: Duration = Duration::from_secs(30);

/// Target of lines about flows of private networks.
pub(crate) const TCP_TARGET: &str = "poterne_tunnel_agent::tcp";

/// The agent's one stream.
pub(super) struct Stream {
    tap: Option<Tap>,
    place: Mutex<Place>,
}

#[derive(Default)]
struct Place {
    gate: Gate,
    /// Cancelled when a newer session of its holder's actor takes it.
    displaced: CancellationToken,
}

/// A session that streams, until it is dropped.
struct Session<'a> {
    stream: &'a Stream,
    number: u64,
    displaced: CancellationToken,
}

impl Stream {
    pub(super) fn new(tap: Option<Tap>) -> Self {
        Self { tap, place: Mutex::default() }
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        // Nothing panics while it is held.
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Streams what passes the filters into `entries`; none if another actor streams.
    fn enter(&self, shared: &Shared, actor: &str, filters: Filters, entries: mpsc::Sender<Entry>) -> Option<Session<'_>> {
        let mut place = self.place();
        let Entered::Granted { session, displaced } = place.gate.enter(actor) else { return None };
        if displaced.is_some() {
            place.displaced.cancel();
        }
        place.displaced = CancellationToken::new();
        if let Some(tap) = &self.tap {
            let lost = shared.metrics.log_entries_lost.clone();
            let least = filters.level.map_or(tracing::Level::DEBUG, tracing_level);
            let sink = move |line: Line| {
                let (kind, level) = (kind_of(line.target), level_of(line.level));
                if filters.wants(kind, level, rand::random) && entries.try_send(entry(line, kind, level)).is_err() {
                    lost.fetch_add(1, Relaxed);
                }
            };
            tap.open(least, Arc::new(sink));
        }
        Some(Session { stream: self, number: session, displaced: place.displaced.clone() })
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        let mut place = self.stream.place();
        if place.gate.leave(self.number)
            && let Some(tap) = &self.stream.tap
        {
            tap.close();
        }
    }
}

/// Serves one client to its end.
pub(super) async fn serve(shared: &Shared, request: &AgentRequest, claims: &Claims, incoming: Incoming, mut answer: Answer) {
    let mut headers = HeaderMap::new();
    let key = request.head.headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| request.kind == ConnectionType::WebSocket);
    let Some(key) = key else {
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONTENT_LENGTH, 0.into());
        let _ = answer.head(StatusCode::UPGRADE_REQUIRED, &headers, Source::Agent, false, None, true).await;
        return;
    };
    if shared.management.stream.tap.is_none() {
        headers.insert(header::CONTENT_LENGTH, 0.into());
        let _ = answer.head(StatusCode::SERVICE_UNAVAILABLE, &headers, Source::Agent, false, None, true).await;
        return;
    }
    let accept = HeaderValue::try_from(websocket::accept_key(key.as_bytes())).expect("base64 is visible ASCII");
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if answer.head(StatusCode::SWITCHING_PROTOCOLS, &headers, Source::Agent, false, None, false).await.is_err() {
        return;
    }
    if let Ok(close) = converse(shared, claims, incoming, &mut answer).await {
        tracing::debug!(code = close.code(), reason = close.reason(), "a log session ended");
        if send(&mut answer, websocket::CLOSE, &close_payload(close.code(), close.reason())).await.is_ok() {
            let _ = answer.finish(None).await;
        }
    }
}

/// The client left, or reads nothing.
struct Gone;

impl From<SideError> for Gone {
    fn from(_: SideError) -> Self {
        Self
    }
}

async fn converse(shared: &Shared, claims: &Claims, mut incoming: Incoming, answer: &mut Answer) -> Result<Close, Gone> {
    let began = Instant::now();
    // By the token's own words, so that the clock here may say what it likes.
    let life = claims.exp.checked_sub(claims.iat).map_or(LIFE_MAX, Duration::from_secs);
    let mut talk = Conversation::new(Duration::ZERO, life);
    let mut messages = Messages::new(Sender::Client, CLIENT_BYTES_MAX);
    let (entries, mut arrived) = mpsc::channel(ENTRIES_MAX);
    let mut session: Option<Session<'_>> = None;
    let mut ping = tokio::time::interval(PING_EVERY);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ping.tick().await;
    loop {
        let due = began + talk.poll_timeout();
        let displaced = session.as_ref().map(|session| session.displaced.clone());
        tokio::select! {
            data = incoming.data() => {
                let Some(Ok(data)) = data else { return Err(Gone) };
                messages.push(&data);
                loop {
                    let text = match messages.message() {
                        Ok(None) => break,
                        Ok(Some(Message::Data(text))) => text,
                        Ok(Some(Message::Ping(payload))) => {
                            send(answer, websocket::PONG, &payload).await?;
                            continue;
                        }
                        Ok(Some(Message::Pong)) => continue,
                        Ok(Some(Message::Close(..))) => return Ok(Close::Answered),
                        Err(MessageError::TooLong(_)) => return Ok(Close::TooLong),
                        Err(_) => return Ok(Close::Malformed),
                    };
                    match talk.message(began.elapsed(), ClientMessage::parse(&text)) {
                        Step::Nothing => {}
                        Step::Start(filters) => {
                            // Its own place first: whoever starts anew is no second session.
                            drop(session.take());
                            session = shared.management.stream.enter(shared, &claims.actor.id, filters, entries.clone());
                            if session.is_none() {
                                return Ok(Close::Taken);
                            }
                            tracing::info!(actor = claims.actor.id, "the log of this agent is being streamed");
                        }
                        Step::Stop => {
                            session = None;
                            // What waits was meant for before.
                            while arrived.try_recv().is_ok() {}
                        }
                        Step::Close(close) => return Ok(close),
                    }
                }
            }
            Some(entry) = arrived.recv() => {
                send(answer, TEXT, &AgentMessage::Logs { logs: vec![entry] }.encode()).await?;
            }
            _ = ping.tick() => send(answer, websocket::PING, &[]).await?,
            () = async { displaced.as_ref().expect("checked").cancelled().await }, if displaced.is_some() => {
                return Ok(Close::Displaced);
            }
            () = shared.stopping.cancelled() => return Ok(Close::GoingAway),
            () = sleep_until(due.into()) => {
                if let Step::Close(close) = talk.timeout(began.elapsed()) {
                    return Ok(close);
                }
            }
        }
    }
}

async fn send(answer: &mut Answer, opcode: u8, payload: &[u8]) -> Result<(), Gone> {
    let frame = Bytes::from([&websocket::frame_header(opcode, payload.len()), payload].concat());
    Ok(timeout(SEND_MAX, answer.data(frame)).await.map_err(|_| Gone)??)
}

/// A line as an entry, its fields by the stock agent's names.
fn entry(line: Line, event: EventKind, level: Level) -> Entry {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut fields = line.fields;
    for (ours, stock) in [("ray", "cfRay"), ("rule", "ingressRule"), ("service", "originService")] {
        if let Some(value) = fields.remove(ours) {
            fields.insert(stock.to_owned(), value);
        }
    }
    Entry { time: rfc3339(now), level, message: line.message, event, fields }
}

/// What a line is about, by the module that wrote it.
fn kind_of(target: &str) -> EventKind {
    let is = |module: &str| target.strip_prefix("poterne_tunnel_agent::").is_some_and(|rest| rest.starts_with(module));
    if target == TCP_TARGET {
        EventKind::Tcp
    } else if is("proxy") || is("origin") {
        EventKind::Http
    } else {
        EventKind::Cloudflared
    }
}

fn level_of(level: tracing::Level) -> Level {
    match level {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::INFO => Level::Info,
        _ => Level::Debug,
    }
}

fn tracing_level(level: Level) -> tracing::Level {
    match level {
        Level::Error => tracing::Level::ERROR,
        Level::Warn => tracing::Level::WARN,
        Level::Info => tracing::Level::INFO,
        Level::Debug => tracing::Level::DEBUG,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;

    #[test]
    fn a_line_is_told_as_the_stock_agent_would() {
        let fields = json!({ "connIndex": 1, "ray": "r", "rule": 0, "service": "http://s" });
        let Some(fields) = fields.as_object().cloned() else { panic!() };
        let target = "poterne_tunnel_agent::proxy::http";
        let line = Line { level: tracing::Level::WARN, target, message: "m".into(), fields };
        let (kind, level) = (kind_of(line.target), level_of(line.level));
        assert_eq!((kind, level), (EventKind::Http, Level::Warn));
        let entry = entry(line, kind, level);
        let expected = json!({ "connIndex": 1, "cfRay": "r", "ingressRule": 0, "originService": "http://s" });
        assert_eq!(serde_json::Value::from(entry.fields), expected);
        assert!(entry.time.ends_with('Z'));
        assert_eq!(kind_of(TCP_TARGET), EventKind::Tcp);
        assert_eq!(kind_of("poterne_tunnel_agent::session"), EventKind::Cloudflared);
        assert_eq!(kind_of("poterne_agent::run"), EventKind::Cloudflared);
        let line = Line { level: tracing::Level::TRACE, target, message: String::new(), fields: Map::new() };
        assert_eq!(level_of(line.level), Level::Debug);
    }
}
