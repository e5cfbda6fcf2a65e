//! A second reader of the log lines, which comes and goes while the process runs: the agent's `/logs`.
//!
//! While nobody reads, the tap answers `never` for every place that logs, and tracing remembers that: such a place costs what it costs
//! without a tap, one relaxed load. A reader that comes or goes has tracing ask all places again.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use serde_json::{Map, Value};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    subscriber::Interest,
};
use tracing_subscriber::{
    Layer,
    layer::{Context, Filter},
};

/// Longest text kept of a message or a field, in bytes.
const TEXT_BYTES_MAX: usize = 8 * 1024;
/// Most fields of a line.
const FIELDS_MAX: usize = 32;

/// A log line.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// How grave it is.
    pub level: Level,
    /// The module that wrote it, unless it said otherwise.
    pub target: &'static str,
    /// The words.
    pub message: String,
    /// What else it says.
    pub fields: Map<String, Value>,
}

/// Takes lines. It is called where a line is written, on any thread: it must not wait, and must not log.
pub type Sink = dyn Fn(Line) + Send + Sync;

/// The tap; clones are the same one.
#[derive(Clone)]
pub struct Tap(Arc<Inner>);

struct Inner {
    targets: &'static [&'static str],
    open: RwLock<Option<(Level, Arc<Sink>)>>,
}

impl Tap {
    /// A closed one, of the lines whose target begins with one of these.
    pub fn new(targets: &'static [&'static str]) -> Self {
        Self(Arc::new(Inner { targets, open: RwLock::new(None) }))
    }

    /// From now on every line at least so grave goes to `sink`, which replaces an earlier one.
    pub fn open(&self, level: Level, sink: Arc<Sink>) {
        self.set(Some((level, sink)));
    }

    /// From now on no line goes anywhere.
    pub fn close(&self) {
        self.set(None);
    }

    fn set(&self, open: Option<(Level, Arc<Sink>)>) {
        // Nothing panics while it is held.
        *self.0.open.write().unwrap_or_else(PoisonError::into_inner) = open;
        tracing::callsite::rebuild_interest_cache();
    }

    fn level(&self) -> Option<Level> {
        self.0.open.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(level, _)| *level)
    }

    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        !metadata.is_span()
            && self.level().is_some_and(|level| *metadata.level() <= level)
            && self.0.targets.iter().any(|target| metadata.target().starts_with(target))
    }

    /// The layer that listens.
    pub fn layer<S: Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        Listener(self.clone()).with_filter(Gate(self.clone()))
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tap").field(&self.level()).finish()
    }
}

struct Gate(Tap);

impl<S> Filter<S> for Gate {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.0.wants(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.0.wants(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0.level().map_or(LevelFilter::OFF, LevelFilter::from_level))
    }
}

struct Listener(Tap);

impl<S: Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let sink = self.0.0.open.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(_, sink)| Arc::clone(sink));
        let Some(sink) = sink else { return };
        let metadata = event.metadata();
        let mut line = Line { level: *metadata.level(), target: metadata.target(), message: String::new(), fields: Map::new() };
        event.record(&mut Reader(&mut line));
        sink(line);
    }
}

struct Reader<'a>(&'a mut Line);

impl Reader<'_> {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        if self.0.fields.len() < FIELDS_MAX {
            self.0.fields.insert(field.name().to_owned(), value.into());
        }
    }

    fn text(&mut self, field: &Field, mut text: String) {
        if let Some((end, _)) = text.char_indices().find(|(at, _)| *at >= TEXT_BYTES_MAX) {
            text.truncate(end);
        }
        if field.name() == "message" { self.0.message = text } else { self.put(field, text) }
    }
}

impl Visit for Reader<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value.to_owned());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.text(field, value.to_string());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::json;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    fn say() -> bool {
        let reason: Option<&str> = None;
        tracing::debug!(connIndex = 3, reason, service = %"x", "said {}", 7);
        tracing::info!(target: "elsewhere", "not ours");
        tracing::enabled!(Level::DEBUG)
    }

    #[test]
    fn lines_are_told_while_the_tap_is_open_and_cost_nothing_otherwise() {
        let tap = Tap::new(&["poterne_telemetry"]);
        let lines: Arc<Mutex<Vec<Line>>> = Arc::default();
        let sink = {
            let lines = Arc::clone(&lines);
            Arc::new(move |line| lines.lock().unwrap().push(line))
        };
        let told = || std::mem::take(&mut *lines.lock().unwrap());
        let subscriber = tracing_subscriber::registry().with(tap.layer());
        tracing::subscriber::with_default(subscriber, || {
            assert!(!say() && told().is_empty());
            tap.open(Level::DEBUG, sink.clone());
            assert!(say());
            let fields = json!({ "connIndex": 3, "service": "x" }).as_object().unwrap().clone();
            let target = "poterne_telemetry::tap::tests";
            assert_eq!(told(), [Line { level: Level::DEBUG, target, message: "said 7".into(), fields }]);
            tap.open(Level::INFO, sink);
            assert!(!say() && told().is_empty(), "not grave enough");
            tap.close();
            assert!(!say() && told().is_empty());
        });
    }
}
