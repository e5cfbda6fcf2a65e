//! Distributed traces: what a program tells of a request's way once a part of it is over.
//!
//! * [`context`]: ids, and how they travel between programs (W3C Trace Context);
//! * [`span`]: what is told, under the names of OpenTelemetry's semantic conventions.
//!
//! This is a vocabulary of our own: crates on a request's way speak it, and link nothing of OpenTelemetry. Who takes spans is handed in by
//! the program ([`Sink`]); where none is, there is no [`Tracer`], and a request pays a look at an empty place. Whose word is taken on
//! whether a request is recorded, and why: `docs/decisions/0029-traces.md`.

pub mod context;
pub mod span;

use std::{fmt, sync::Arc};

pub use context::{Context, Parent, SpanId, TraceId};
pub use span::{Event, Kind, Span, Value};

/// Takes spans that are over. It is called on a request's way, on any thread: it must not wait.
pub trait Sink: Send + Sync + 'static {
    /// Takes one, or drops it and counts it.
    fn take(&self, span: Span);

    /// What became of those it took, by outcome; for metrics.
    fn counts(&self) -> Vec<(&'static str, u64)>;

    /// How many wait.
    fn waiting(&self) -> u64;
}

/// What becomes of a trace that a request says it is part of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Parents {
    /// Nobody's word is taken: a new trace begins here.
    Ignore,
    /// Its ids go on, but whether it is recorded is decided here, by chance: whoever writes the field cannot have everything recorded.
    #[default]
    Continue,
    /// Its ids go on, and what it says of recording holds.
    Trust,
}

/// Begins spans, and hands on those that are over. Clones are the same one.
#[derive(Clone)]
pub struct Tracer {
    sink: Arc<dyn Sink>,
    /// Of 2^32: the share of traces begun here that is recorded.
    share: u64,
}

impl Tracer {
    /// Records this share (0.0 to 1.0) of the traces about which nobody else decides.
    pub fn new(sink: Arc<dyn Sink>, ratio: f64) -> Self {
        Self { sink, share: share(ratio) }
    }

    /// The span of a request that came in with this parent.
    ///
    /// Chance, not the trace's id, decides: a visitor chooses that id, and could choose one that is recorded.
    pub fn begin(&self, came: Option<Parent>, parents: Parents) -> Context {
        let chance: u32 = rand::random();
        let decided = u64::from(chance) < self.share;
        match came.filter(|_| parents != Parents::Ignore) {
            None => Context::new(decided),
            Some(parent) => parent.child(if parents == Parents::Trust { parent.sampled } else { decided }),
        }
    }

    /// Takes a span that is over.
    pub fn take(&self, span: Span) {
        self.sink.take(span);
    }

    /// What became of spans, by outcome.
    pub fn counts(&self) -> Vec<(&'static str, u64)> {
        self.sink.counts()
    }

    /// Spans that wait to be sent.
    pub fn waiting(&self) -> u64 {
        self.sink.waiting()
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracer").field("share", &self.share).finish_non_exhaustive()
    }
}

/// A ratio as a share of 2^32.
#[expect(clippy::cast_possible_truncation, reason = "within 0 and 2^32")]
fn share(ratio: f64) -> u64 {
    // NaN is no share of anything.
    let ratio = if ratio.is_nan() { 0.0 } else { ratio.clamp(0.0, 1.0) };
    (ratio * 4_294_967_296.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;

    impl Sink for Nobody {
        fn take(&self, _: Span) {}

        fn counts(&self) -> Vec<(&'static str, u64)> {
            Vec::new()
        }

        fn waiting(&self) -> u64 {
            0
        }
    }

    fn tracer(ratio: f64) -> Tracer {
        Tracer::new(Arc::new(Nobody), ratio)
    }

    fn parent(sampled: bool) -> Parent {
        let flags = if sampled { "01" } else { "00" };
        Parent::parse(format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}").as_bytes()).unwrap()
    }

    #[test]
    fn whose_word_is_taken() {
        let (all, none) = (tracer(1.0), tracer(0.0));
        for sampled in [true, false] {
            let came = Some(parent(sampled));
            let trusted = none.begin(came, Parents::Trust);
            assert_eq!(
                (trusted.trace, trusted.parent, trusted.sampled),
                (parent(sampled).trace, Some(parent(sampled).span), sampled)
            );
            let continued = none.begin(came, Parents::Continue);
            assert_eq!((continued.trace, continued.parent, continued.sampled), (trusted.trace, trusted.parent, false));
            assert!(all.begin(came, Parents::Continue).sampled);
            let ignored = all.begin(came, Parents::Ignore);
            assert_ne!(ignored.trace, trusted.trace);
            assert_eq!((ignored.parent, ignored.sampled), (None, true));
        }
        let first = all.begin(None, Parents::Trust);
        assert_eq!((first.parent, first.sampled), (None, true));
        assert!(!none.begin(None, Parents::Trust).sampled);
    }

    #[test]
    fn the_share_is_kept_whatever_id_a_visitor_chooses() {
        let tracer = tracer(0.25);
        let recorded = (0..20_000).filter(|_| tracer.begin(Some(parent(true)), Parents::Continue).sampled).count();
        // Ten standard deviations around 5,000.
        assert!((4_388..=5_612).contains(&recorded), "{recorded}");
        assert_eq!([share(-1.0), share(0.0), share(1.0), share(7.0), share(f64::NAN)], [0, 0, 1 << 32, 1 << 32, 0]);
    }
}
