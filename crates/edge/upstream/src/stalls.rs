//! Answers that their visitors do not take ([`poterne_stalls`]): those of tunnels, and of origins over HTTP/2, whose connections visitors share.
//!
//! A player that pauses keeps its place. But visitors are strangers: a few hundred who never read would hold hundreds of megabytes.

use std::{
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use poterne_edge_http::{Body, BodyError, Frame};
use poterne_stalls::{Seen, Waits, Watched};
use poterne_telemetry::{
    Metrics,
    metrics::{Counter, Gauge},
};

const CF_CONNECTING_IP: HeaderName = HeaderName::from_static("cf-connecting-ip");

/// Answers no longer than this are not watched: an agent's or an origin's window holds thousands of them.
const SHORT_BYTES: u64 = 64 * 1024;

/// What an operator may set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Most bytes that may lie here for visitors who take nothing, of all together. Metrics `answers_stalled_bytes` and `answers_let_go`.
    ///
    /// Default: see [`Settings::for_memory`].
    pub bytes_max: u64,
}

impl Settings {
    /// The default for a process that may take so many bytes: an eighth of them, at least 16 MiB and at most 1 GiB.
    pub fn for_memory(bytes: u64) -> Self {
        Self { bytes_max: (bytes / 8).clamp(16 << 20, 1 << 30) }
    }
}

/// All answers that are watched; clones are the same.
#[derive(Debug, Clone)]
pub struct Stalls {
    all: poterne_stalls::Stalls,
    bytes: Gauge,
    let_go: Counter,
}

impl Stalls {
    /// Nothing is watched yet; somebody has to [`run`](Self::run) it.
    pub fn new(settings: Settings, metrics: &Metrics) -> Self {
        // As soon as can be seen: what is stalled holds up nobody until the bound is reached, and must not be far beyond it.
        let settings = poterne_stalls::Settings { bytes_max: settings.bytes_max, patience: Duration::ZERO };
        Self {
            all: poterne_stalls::Stalls::new(settings),
            bytes: metrics
                .gauge("answers_stalled_bytes", "Bytes that may lie here for visitors who take nothing of their answers"),
            let_go: metrics.counter("answers_let_go", "Answers let go because too much lay here for visitors who took nothing"),
        }
    }

    /// The body of an answer to `request`, of which this much may lie here when its visitor takes nothing; `length` where it is known.
    pub fn body<B>(&self, body: B, request: &HeaderMap, length: Option<u64>, bytes_max: u32) -> Body
    where
        B: http_body::Body<Data = Bytes, Error = BodyError> + Send + Unpin + 'static,
    {
        if body.is_end_stream() || length.is_some_and(|length| length <= SHORT_BYTES) {
            return Body::flow(body);
        }
        Body::flow(Kept { answer: self.all.watch(body, bytes_max, visitor(request)), is_over: false })
    }

    /// Looks again and again, and lets go.
    pub async fn run(&self) {
        self.all.run(|seen| self.tell(seen)).await;
    }

    fn tell(&self, Seen { stalled, bytes, let_go }: Seen) {
        self.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.let_go.inc_by(let_go);
        if let_go > 0 {
            let (mib, mib_max) = (bytes >> 20, self.all.settings().bytes_max >> 20);
            tracing::warn!(
                stalled,
                let_go,
                mib,
                mib_max,
                culprit = "visitor",
                "too much lies here for visitors who take nothing of their answers: some were let go, those of whoever had most first"
            );
        }
    }
}

/// A number for the address, or the IPv6 /64, that the pipeline says a request is from.
fn visitor(request: &HeaderMap) -> u64 {
    let said = request.get(CF_CONNECTING_IP).and_then(|address| address.to_str().ok());
    match said.and_then(|address| address.parse().ok()) {
        Some(IpAddr::V4(address)) => address.to_bits().into(),
        Some(IpAddr::V6(address)) => u64::try_from(address.to_bits() >> 64).unwrap_or_default(),
        None => 0,
    }
}

impl Default for Stalls {
    fn default() -> Self {
        Self::new(Settings::for_memory(2 << 30), &Metrics::new())
    }
}

/// An answer's body that is watched.
struct Kept<B> {
    answer: Watched<B>,
    is_over: bool,
}

impl<B> http_body::Body for Kept<B>
where
    B: http_body::Body<Data = Bytes, Error = BodyError> + Unpin,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let polled = self.answer.with(|body| {
            let polled = Pin::new(body).poll_frame(cx);
            let waits = if matches!(polled, Poll::Ready(Some(Ok(_)))) { Waits::Taker } else { Waits::Sender };
            (polled, waits)
        });
        let polled = polled.unwrap_or_else(|| {
            let why = "the visitor took nothing of it while too many did so, and was let go: the visitor's fault";
            Poll::Ready(Some(Err(BodyError::Upstream(why.to_owned()))))
        });
        self.is_over = matches!(polled, Poll::Ready(None | Some(Err(_))));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.answer.read(http_body::Body::is_end_stream).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use http_body::Body as _;

    use super::*;

    /// Gives a piece each time it is asked, or waits.
    struct Given(bool);

    impl http_body::Body for Given {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
            if self.0 { Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x"))))) } else { Poll::Pending }
        }
    }

    fn polled(body: &mut Body) -> Poll<Option<Result<Frame, BodyError>>> {
        Pin::new(body).poll_frame(&mut Context::from_waker(std::task::Waker::noop()))
    }

    #[test]
    fn visitors_are_told_apart_by_their_addresses() {
        let of = |text: &'static str| visitor(&HeaderMap::from_iter([(CF_CONNECTING_IP, text.parse().unwrap())]));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::2:0:0:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:1::1"));
        assert_eq!(visitor(&HeaderMap::new()), 0);
    }

    #[test]
    fn an_answer_that_was_let_go_says_whose_fault_it_was() {
        let stalls = Stalls::new(Settings { bytes_max: 0 }, &Metrics::new());
        let from = HeaderMap::new();
        let mut waits = stalls.body(Given(false), &from, None, 1);
        let mut short = stalls.body(Given(true), &from, Some(SHORT_BYTES), 1);
        let mut long = stalls.body(Given(true), &from, Some(SHORT_BYTES + 1), 1);
        assert!(polled(&mut waits).is_pending() && polled(&mut short).is_ready() && polled(&mut long).is_ready());
        assert_eq!([(); 3].map(|()| stalls.all.look().let_go), [0, 1, 0]);
        let told = polled(&mut long);
        assert!(matches!(&told, Poll::Ready(Some(Err(BodyError::Upstream(why)))) if why.contains("visitor's fault")), "{told:?}");
        assert!(matches!(polled(&mut long), Poll::Ready(None)) && long.is_end_stream());
        assert!(polled(&mut waits).is_pending() && matches!(polled(&mut short), Poll::Ready(Some(Ok(_)))));
    }
}
