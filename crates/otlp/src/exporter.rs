//! The queue that spans wait in, and the task that sends them.
//!
//! A request never waits for a collector: what finds the queue full is counted and dropped, and so is a batch that was sent often enough
//! in vain. Where the program ends, what waits is sent once more, for as long as [`FLUSH_MAX`].

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use poterne_telemetry::trace::{Sink, Span};
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    answer::{self, Verdict},
    client::Client,
    encode,
    settings::Settings,
};

/// Spans that wait to be sent; one more is dropped and counted. A kilobyte each as a rule, and a dozen at the very worst.
pub const QUEUE_MAX: usize = 4096;
/// Spans of one request to the collector.
pub const BATCH_MAX: usize = 512;
/// How long the first of a batch waits for others.
pub const BATCH_WAIT: Duration = Duration::from_secs(1);
/// How long what waits may take to be sent when the program ends.
pub const FLUSH_MAX: Duration = Duration::from_secs(3);

/// What became of spans.
#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    queue_full: AtomicU64,
    rejected: AtomicU64,
    unreachable: AtomicU64,
}

/// Where spans are handed in.
#[derive(Debug)]
pub struct Exporter {
    queue: mpsc::Sender<Span>,
    counts: Arc<Counts>,
}

impl Sink for Exporter {
    fn take(&self, span: Span) {
        if let Err(TrySendError::Full(_) | TrySendError::Closed(_)) = self.queue.try_send(span) {
            self.counts.queue_full.fetch_add(1, Relaxed);
        }
    }

    fn counts(&self) -> Vec<(&'static str, u64)> {
        let Counts { sent, queue_full, rejected, unreachable } = &*self.counts;
        let all = [("sent", sent), ("queue_full", queue_full), ("rejected", rejected), ("unreachable", unreachable)];
        all.map(|(outcome, count)| (outcome, count.load(Relaxed))).to_vec()
    }

    fn waiting(&self) -> u64 {
        (self.queue.max_capacity() - self.queue.capacity()) as u64
    }
}

/// The task behind an exporter; see [`Worker::run`].
pub struct Worker {
    queue: mpsc::Receiver<Span>,
    counts: Arc<Counts>,
    client: Client,
    resource: Vec<(String, String)>,
    version: &'static str,
    collector: String,
    /// The last batch was not taken: that is said once, and once that one is taken again.
    trouble: bool,
}

impl Exporter {
    /// An exporter and its task, which has not begun. Nothing is connected before there is a span.
    pub fn new(settings: Settings) -> (Arc<Self>, Worker) {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        let counts = Arc::<Counts>::default();
        let worker = Worker {
            queue: receiver,
            counts: Arc::clone(&counts),
            resource: settings.resource.clone(),
            version: settings.version,
            collector: settings.collector(),
            client: Client::new(settings),
            trouble: false,
        };
        (Arc::new(Self { queue: sender, counts }), worker)
    }
}

/// Spans as they are sent.
struct Batch {
    body: Bytes,
    spans: u64,
}

impl Worker {
    /// Sends spans until `stop`, and then what waits.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut left = None;
        while left.is_none() {
            let Some(Some(first)) = stop.run_until_cancelled(self.queue.recv()).await else { break };
            let batch = self.gather(first, &stop).await;
            left = self.deliver(batch, &stop).await;
        }
        self.queue.close();
        let flushed = timeout(FLUSH_MAX, self.flush(&mut left)).await;
        let lost = left.map_or(0, |batch| batch.spans) + self.queue.len() as u64;
        self.counts.unreachable.fetch_add(lost, Relaxed);
        if flushed.is_err() || lost > 0 {
            tracing::warn!(collector = self.collector, spans = lost, "the program ends before its last spans were taken");
        }
    }

    /// More spans, until there are enough or the first has waited for long enough.
    async fn gather(&mut self, first: Span, stop: &CancellationToken) -> Batch {
        let deadline = Instant::now() + BATCH_WAIT;
        let mut spans = vec![first];
        while spans.len() < BATCH_MAX {
            let room = BATCH_MAX - spans.len();
            let more = stop.run_until_cancelled(timeout_at(deadline, self.queue.recv_many(&mut spans, room))).await;
            if !matches!(more, Some(Ok(1..))) {
                break;
            }
        }
        self.batch(&spans)
    }

    fn batch(&self, spans: &[Span]) -> Batch {
        Batch { body: encode::request(&self.resource, self.version, spans).into(), spans: spans.len() as u64 }
    }

    /// Sends a batch, again where it may help. Gives it back where the program ends meanwhile.
    async fn deliver(&mut self, batch: Batch, stop: &CancellationToken) -> Option<Batch> {
        let mut attempts = 0;
        loop {
            let Some(asked) = stop.run_until_cancelled(self.attempt(&batch)).await else { return Some(batch) };
            let Err(asked) = asked else { return None };
            attempts += 1;
            let Some(pause) = answer::pause(attempts, asked, rand::random()) else {
                self.counts.unreachable.fetch_add(batch.spans, Relaxed);
                return None;
            };
            if stop.run_until_cancelled(sleep(pause)).await.is_none() {
                return Some(batch);
            }
        }
    }

    /// Sends a batch once.
    ///
    /// # Errors
    /// It may be taken later: after so long, where the collector says.
    async fn attempt(&mut self, batch: &Batch) -> Result<(), Option<Duration>> {
        let verdict = match self.client.post(batch.body.clone()).await {
            Ok(told) => match Verdict::of(told.status, &told.headers, &told.body) {
                Verdict::Later(asked) => {
                    self.complain(&format!("it answered {}", told.status));
                    return Err(asked);
                }
                Verdict::Refused => {
                    self.complain(&format!("it answered {}", told.status));
                    self.counts.rejected.fetch_add(batch.spans, Relaxed);
                    return Ok(());
                }
                taken @ Verdict::Taken(..) => taken,
            },
            Err(error) => {
                self.complain(&error);
                return Err(None);
            }
        };
        let Verdict::Taken(rejected, words) = verdict else { return Ok(()) };
        let rejected = rejected.min(batch.spans);
        self.counts.rejected.fetch_add(rejected, Relaxed);
        self.counts.sent.fetch_add(batch.spans - rejected, Relaxed);
        if rejected > 0 {
            self.complain(&format!("it rejected {rejected} of {} spans: {words}", batch.spans));
        } else if std::mem::take(&mut self.trouble) {
            tracing::info!(collector = self.collector, "the collector takes spans again");
        }
        Ok(())
    }

    fn complain(&mut self, error: &str) {
        if std::mem::replace(&mut self.trouble, true) {
            tracing::debug!(collector = self.collector, error, "spans were not taken");
        } else {
            tracing::warn!(collector = self.collector, error, "spans were not taken; trying on, and not saying so again");
        }
    }

    /// Sends what is left, each batch once, as long as they are taken.
    async fn flush(&mut self, left: &mut Option<Batch>) {
        loop {
            if left.is_none() {
                let mut spans = Vec::new();
                if self.queue.recv_many(&mut spans, BATCH_MAX).await == 0 {
                    return;
                }
                *left = Some(self.batch(&spans));
            }
            let Some(batch) = left else { return };
            // Borrowed, so that what is cut off here is counted.
            let body = Batch { body: batch.body.clone(), spans: batch.spans };
            if self.attempt(&body).await.is_err() {
                return;
            }
            *left = None;
        }
    }
}

#[cfg(test)]
mod tests;
