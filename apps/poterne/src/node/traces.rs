//! Who is told of requests as parts of traces, where a collector is named.

use poterne_otlp::{Exporter, Settings};
use poterne_telemetry::{Metrics, Tracer};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Begins to send spans; after `stop` what waits is sent.
pub(super) fn begin(settings: Settings, metrics: &Metrics, tasks: &TaskTracker, stop: CancellationToken) -> Tracer {
    let (collector, sample) = (settings.collector(), settings.sample);
    tracing::info!(collector, sample, "requests are traced");
    let (exporter, worker) = Exporter::new(settings);
    tasks.spawn(worker.run(stop));
    let tracer = Tracer::new(exporter, sample);
    let counted = tracer.clone();
    metrics.counters_read("trace_spans", "Spans, by what became of them", "outcome", move || counted.counts());
    let waiting = tracer.clone();
    metrics.gauges_read("trace_queue", "Spans that wait to be sent", "to", move || vec![("collector", waiting.waiting())]);
    tracer
}
