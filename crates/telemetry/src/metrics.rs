//! One registry per process, shared by handle, told as OpenMetrics text.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, NoLabelSet, text},
    metrics::{MetricType, family::Family},
    registry::{Registry, Unit},
};

/// Something that only grows. Cloning shares it; adding is one relaxed atomic.
pub type Counter = prometheus_client::metrics::counter::Counter;

/// Something that grows and shrinks. Cloning shares it.
pub type Gauge = prometheus_client::metrics::gauge::Gauge;

/// `Content-Type` of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How such a text ends.
const END: &str = "# EOF\n";

/// The process's metrics. Every name begins with `poterne_` (or the prefix given to [`Metrics::with_prefix`]).
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Mutex<Registry>>);

impl Metrics {
    /// An empty registry whose names begin with `poterne_`.
    pub fn new() -> Self {
        Self::with_prefix("poterne")
    }

    /// An empty registry whose names begin with this prefix and `_`; an empty prefix adds nothing.
    pub fn with_prefix(prefix: &str) -> Self {
        let registry = if prefix.is_empty() { Registry::default() } else { Registry::with_prefix(prefix) };
        Self(Arc::new(Mutex::new(registry)))
    }

    /// A new counter. The text form adds `_total` to its name.
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        let counter = Counter::default();
        self.register(|registry| registry.register(name, help, counter.clone()));
        counter
    }

    /// One counter per value of a label whose values are known beforehand, in their order.
    pub fn counters<const N: usize>(
        &self,
        name: &str,
        help: &str,
        label: &'static str,
        values: [&'static str; N],
    ) -> [Counter; N] {
        let family = Family::<[(&'static str, &'static str); 1], Counter>::default();
        let counters = values.map(|value| family.get_or_create_owned(&[(label, value)]));
        self.register(|registry| registry.register(name, help, family));
        counters
    }

    /// A new gauge.
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        let gauge = Gauge::default();
        self.register(|registry| registry.register(name, help, gauge.clone()));
        gauge
    }

    /// Gauges, one per value of a label, that are read when they are told: whoever has them counts nothing meanwhile.
    pub fn gauges_read(&self, name: &str, help: &str, label: &'static str, read: impl Reading) {
        self.read(name, help, label, MetricType::Gauge, read);
    }

    /// The same of what only grows.
    pub fn counters_read(&self, name: &str, help: &str, label: &'static str, read: impl Reading) {
        self.read(name, help, label, MetricType::Counter, read);
    }

    fn read(&self, name: &str, help: &str, label: &'static str, kind: MetricType, read: impl Reading) {
        let read = Read { name: name.to_owned(), help: help.to_owned(), label, kind, read };
        self.register(|registry| registry.register_collector(Box::new(read)));
    }

    /// A new counter of bytes, seconds or the like.
    pub fn counter_of(&self, unit: Unit, name: &str, help: &str) -> Counter {
        let counter = Counter::default();
        self.register(|registry| registry.register_with_unit(name, help, unit, counter.clone()));
        counter
    }

    /// Gives the registry for anything the helpers above do not make.
    pub fn register<T>(&self, with: impl FnOnce(&mut Registry) -> T) -> T {
        // A registration that panicked left the registry as it was, or with one metric more.
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The same of two registries, whose names differ, as one text.
    pub fn encode_with(&self, other: &Self) -> String {
        let mut text = self.encode();
        text.truncate(text.len() - text.strip_suffix(END).map_or(0, |_| END.len()));
        text.push_str(&other.encode());
        text
    }

    /// The text that `/metrics` answers, in the OpenMetrics format.
    pub fn encode(&self) -> String {
        let mut out = String::new();
        let encoded = self.register(|registry| text::encode(&mut out, registry));
        encoded.expect("writing to a string does not fail");
        out
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// What tells each value of a label and its number, when it is asked. It must not ask for metrics itself.
pub trait Reading: Fn() -> Vec<(&'static str, u64)> + Send + Sync + 'static {}

impl<F: Fn() -> Vec<(&'static str, u64)> + Send + Sync + 'static> Reading for F {}

/// Metrics that are read when they are told.
struct Read<F> {
    name: String,
    help: String,
    label: &'static str,
    kind: MetricType,
    read: F,
}

impl<F> fmt::Debug for Read<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Read").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<F: Reading> Collector for Read<F> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut metric = encoder.encode_descriptor(&self.name, &self.help, None, self.kind)?;
        for (value, number) in (self.read)() {
            let labels = [(self.label, value)];
            let mut one = metric.encode_family(&labels)?;
            match self.kind {
                MetricType::Counter => one.encode_counter::<NoLabelSet, _, u64>(&number, None)?,
                _ => one.encode_gauge(&i64::try_from(number).unwrap_or(i64::MAX))?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_told() {
        let metrics = Metrics::new();
        let requests = metrics.counter("edge_requests", "Requests answered");
        let open = metrics.gauge("edge_connections", "Connections open");
        let [small, large] = metrics.counters("edge_errors", "Errors", "class", ["4xx", "5xx"]);
        requests.inc_by(3);
        open.set(7);
        small.inc();
        large.inc_by(2);
        let text = metrics.clone().encode();
        for line in [
            "poterne_edge_requests_total 3",
            "poterne_edge_connections 7",
            "poterne_edge_errors_total{class=\"4xx\"} 1",
            "poterne_edge_errors_total{class=\"5xx\"} 2",
        ] {
            assert!(text.contains(line), "{line} is missing in:\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn what_is_read_is_read_when_it_is_told() {
        let (metrics, number) = (Metrics::new(), Arc::new(Mutex::new(1)));
        let read = |number: &Arc<Mutex<u64>>| {
            let number = number.clone();
            move || vec![("a", *number.lock().unwrap()), ("b", 7)]
        };
        metrics.gauges_read("entries", "Entries", "table", read(&number));
        metrics.counters_read("refused", "Refused", "reason", read(&number));
        assert!(metrics.encode().contains("poterne_entries{table=\"a\"} 1\n"));
        *number.lock().unwrap() = 5;
        let text = metrics.encode();
        for line in [
            "# TYPE poterne_entries gauge",
            "poterne_entries{table=\"a\"} 5",
            "poterne_entries{table=\"b\"} 7",
            "# TYPE poterne_refused counter",
            "poterne_refused_total{reason=\"a\"} 5",
        ] {
            assert!(text.contains(line), "{line} is missing in:\n{text}");
        }
    }

    #[test]
    fn two_registries_are_told_as_one() {
        let [one, two] = [Metrics::new(), Metrics::new()];
        one.counter("a", "A").inc();
        two.counter("b", "B").inc();
        let text = one.encode_with(&two);
        assert!(text.contains("poterne_a_total 1\n") && text.contains("poterne_b_total 1\n"), "{text}");
        assert_eq!(text.matches("# EOF").count(), 1);
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn an_empty_prefix_leaves_names_alone() {
        let metrics = Metrics::with_prefix("");
        metrics.counter("build_info", "x").inc();
        assert!(metrics.encode().contains("\nbuild_info_total 1\n"));
    }
}
