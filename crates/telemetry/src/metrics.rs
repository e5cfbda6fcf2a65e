//! One registry per process, shared by handle, told as OpenMetrics text.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::{
    encoding::text,
    metrics::family::Family,
    registry::{Registry, Unit},
};

/// Something that only grows. Cloning shares it; adding is one relaxed atomic.
pub type Counter = prometheus_client::metrics::counter::Counter;

/// Something that grows and shrinks. Cloning shares it.
pub type Gauge = prometheus_client::metrics::gauge::Gauge;

/// `Content-Type` of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

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
    fn an_empty_prefix_leaves_names_alone() {
        let metrics = Metrics::with_prefix("");
        metrics.counter("build_info", "x").inc();
        assert!(metrics.encode().contains("\nbuild_info_total 1\n"));
    }
}
