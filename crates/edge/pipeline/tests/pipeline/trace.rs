//! Requests as parts of traces: what the upstream is told, and what whoever traces is.

use poterne_edge_upstream::{Over, Trail};
use poterne_model::{ConnectionId, tunnel::Transport};
use poterne_telemetry::{
    Tracer,
    trace::{Kind as Side, Parent, Parents, Sink, Span, Value},
};

use super::*;

const VISITORS: &str =
    "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\ntracestate: congo=t61rcWkgMzE\r\n";

/// Keeps what it is told.
#[derive(Default)]
struct Kept(Mutex<Vec<Span>>);

impl Sink for Kept {
    fn take(&self, span: Span) {
        self.0.lock().unwrap().push(span);
    }

    fn counts(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    fn waiting(&self) -> u64 {
        0
    }
}

impl Kept {
    /// The span in which the visitor was served, and the one in which the upstream was asked.
    fn take(&self) -> (Option<Span>, Option<Span>) {
        let mut all = std::mem::take(&mut *self.0.lock().unwrap()).into_iter();
        let last = all.next_back();
        let first = all.next();
        assert!(all.next().is_none(), "more spans than sides");
        assert!(last.iter().all(|span| span.kind == Side::Server) && first.iter().all(|span| span.kind == Side::Client));
        (last, first)
    }
}

fn traced(ratio: f64, parents: Parents) -> (Edge, Arc<Kept>) {
    let kept = Arc::<Kept>::default();
    let tracer = Some(Tracer::new(kept.clone(), ratio));
    (edge_with(Settings { tracer, parents, ..Settings::default() }), kept)
}

/// Of a tunnel's connection, as an upstream tells it.
pub(super) fn over(connection: u8) -> Over {
    Over::Tunnel {
        connection: ConnectionId::from_bytes([connection; 16]),
        connector: ConnectorId::from_bytes([8; 16]),
        transport: Transport::Quic,
        agent: "192.0.2.9:4433".parse().unwrap(),
    }
}

/// One connection, and for `/again` another one before it.
pub(super) fn leave(trail: &mut Trail, path: &str) {
    if path == "/again" {
        trail.sent(|| over(1));
        trail.failed(&"the agent left");
    }
    trail.sent(|| over(2));
}

fn ask(path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: site.test\r\nUser-Agent: probe/1\r\n{more}\r\n")
}

fn attribute<'a>(span: &'a Span, key: &str) -> Option<&'a Value> {
    let mut found = span.attributes.iter().filter(|(name, _)| *name == key).map(|(_, value)| value);
    let first = found.next();
    assert!(found.next().is_none(), "{key} stands twice in {span:?}");
    first
}

#[track_caller]
fn says(span: &Span, expected: &[(&str, Value)]) {
    for (key, value) in expected {
        assert_eq!(attribute(span, key), Some(value), "{key} of {span:?}");
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

/// What the upstream read in its head.
fn parent(edge: &Edge) -> (Option<Parent>, Option<String>) {
    let (_, head, _) = edge.pretend.last.lock().unwrap().take().expect("it reached the tunnel");
    assert!(head.get_all("traceparent").iter().count() < 2);
    (Parent::of(&head), head.get("tracestate").map(|state| state.to_str().unwrap().to_owned()))
}

#[tokio::test]
async fn where_nobody_traces_a_visitors_trace_passes_as_it_came() {
    let edge = edge();
    edge.ask(None, &ask("/", VISITORS)).await;
    let (_, head, _) = edge.pretend.last.lock().unwrap().take().unwrap();
    assert_eq!(head["traceparent"], "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    assert_eq!(head["tracestate"], "congo=t61rcWkgMzE");
    edge.ask(None, &ask("/", "traceparent: nonsense\r\n")).await;
    assert_eq!(edge.pretend.last.lock().unwrap().take().unwrap().1["traceparent"], "nonsense");
    edge.ask(None, &ask("/", "")).await;
    assert_eq!(parent(&edge), (None, None));
}

#[tokio::test]
async fn a_request_is_two_spans_of_one_trace_and_the_upstream_reads_of_the_second() {
    let (edge, kept) = traced(1.0, Parents::Continue);
    let answer = edge.ask(None, &ask("/a/b?secret=1", VISITORS)).await;
    let (told, state) = parent(&edge);
    let (served, asked) = kept.take();
    let (served, asked) = (served.unwrap(), asked.unwrap());
    let visitors = Parent::parse(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
    assert_eq!((served.context.trace, served.context.parent), (visitors.trace, Some(visitors.span)));
    assert_eq!((asked.context.trace, asked.context.parent), (visitors.trace, Some(served.context.span)));
    assert_eq!(told, Some(Parent { trace: visitors.trace, span: asked.context.span, sampled: true }));
    assert_eq!(state.as_deref(), Some("congo=t61rcWkgMzE"), "the trace goes on, and its state with it");

    let ray = answer.split("cf-ray: ").nth(1).unwrap().split("\r\n").next().unwrap();
    says(
        &served,
        &[
            ("http.request.method", Value::Word("GET")),
            ("url.scheme", Value::Word("http")),
            ("url.path", text("/a/b")),
            ("server.address", text("site.test")),
            ("client.address", text("127.0.0.1")),
            ("user_agent.original", text("probe/1")),
            ("network.protocol.version", Value::Word("1.1")),
            ("http.response.status_code", Value::Number(200)),
            ("http.response.body.size", Value::Number(5)),
            ("poterne.ray", text(ray)),
            ("poterne.zone.id", Value::shown(ZoneId::from_bytes([1; 16]))),
            ("poterne.account.id", Value::shown(ACCOUNT)),
            ("poterne.tunnel.id", Value::shown(TUNNEL)),
        ],
    );
    says(
        &asked,
        &[
            ("url.full", text("http://site.test/a/b")),
            ("http.response.status_code", Value::Number(200)),
            ("poterne.ray", text(ray)),
            ("poterne.tunnel.id", Value::shown(TUNNEL)),
            ("poterne.connection.id", Value::shown(ConnectionId::from_bytes([2; 16]))),
            ("poterne.connection.transport", Value::Word("quic")),
            ("network.peer.address", text("192.0.2.9")),
        ],
    );
    assert_eq!((served.name, asked.name, &served.error, &asked.error), ("GET", "GET", &None, &None));
    assert_eq!(attribute(&asked, "http.request.resend_count"), None);
    assert!(asked.start >= served.start && asked.duration <= served.duration);
    assert!(!format!("{served:?}{asked:?}").contains("secret"), "a query opens doors");
}

#[tokio::test]
async fn who_says_nothing_or_nonsense_begins_a_trace() {
    let (edge, kept) = traced(1.0, Parents::Continue);
    let twice = format!("{VISITORS}{VISITORS}");
    for more in ["", "traceparent: 00-xyz\r\ntracestate: congo=1\r\n", &twice] {
        edge.ask(None, &ask("/", more)).await;
        let (served, asked) = kept.take();
        let (served, asked) = (served.unwrap(), asked.unwrap());
        assert_eq!((served.context.parent, asked.context.parent), (None, Some(served.context.span)), "{more}");
        let told = Parent { trace: served.context.trace, span: asked.context.span, sampled: true };
        assert_eq!(parent(&edge), (Some(told), None), "{more}: one field, and no state of another trace");
        assert_ne!(told.trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
    }
}

#[tokio::test]
async fn a_visitors_word_on_recording_is_taken_where_it_is_trusted_alone() {
    for (ratio, parents, goes_on, recorded) in [
        (0.0, Parents::Continue, true, false),
        (0.0, Parents::Trust, true, true),
        (0.0, Parents::Ignore, false, false),
        (1.0, Parents::Ignore, false, true),
    ] {
        let (edge, kept) = traced(ratio, parents);
        edge.ask(None, &ask("/", VISITORS)).await;
        let (told, state) = parent(&edge);
        let told = told.unwrap();
        assert_eq!(told.trace.to_string() == "4bf92f3577b34da6a3ce929d0e0e4736", goes_on, "{parents:?}");
        assert_ne!(told.span.to_string(), "00f067aa0ba902b7", "the edge is the parent");
        assert_eq!((told.sampled, state.is_some()), (recorded, goes_on), "{ratio} {parents:?}");
        let (served, asked) = kept.take();
        assert_eq!((served.is_some(), asked.is_some()), (recorded, recorded), "{ratio} {parents:?}");
    }
}

#[tokio::test]
async fn what_went_wrong_is_told_of_both_sides() {
    let (edge, kept) = traced(1.0, Parents::Continue);
    edge.get("site.test", "/broken").await;
    let (served, asked) = kept.take();
    let (served, asked) = (served.unwrap(), asked.unwrap());
    assert_eq!(served.error.as_deref(), Some(""));
    says(&served, &[("http.response.status_code", Value::Number(502)), ("error.type", text("502"))]);
    assert!(asked.error.as_deref().unwrap().contains("connection refused"), "{asked:?}");
    says(&asked, &[("error.type", Value::Word("no_answer"))]);
    assert_eq!(attribute(&asked, "http.response.status_code"), None);

    // Sent again after a connection was lost.
    edge.get("site.test", "/again").await;
    let (served, asked) = kept.take();
    let asked = asked.unwrap();
    assert_eq!((served.unwrap().error, &asked.error), (None, &None));
    says(
        &asked,
        &[
            ("http.request.resend_count", Value::Number(1)),
            ("poterne.connection.id", Value::shown(ConnectionId::from_bytes([2; 16]))),
        ],
    );
    let [again] = &asked.events[..] else { panic!("{asked:?}") };
    assert_eq!(again.name, "poterne.sent_again");
    assert!(again.attributes.contains(&("exception.message", text("the agent left"))), "{again:?}");
    assert!(again.attributes.contains(&("poterne.connection.id", Value::shown(ConnectionId::from_bytes([1; 16])))), "{again:?}");
}

#[tokio::test]
async fn a_visitor_who_leaves_before_an_answer_is_told_of() {
    let (edge, kept) = traced(1.0, Parents::Continue);
    let mut visitor = edge.connect(None).await;
    visitor.write_all(ask("/hang", "").as_bytes()).await.unwrap();
    while edge.pretend.last.lock().unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    assert!(kept.0.lock().unwrap().is_empty(), "nothing is over");
    drop(visitor);
    while kept.0.lock().unwrap().len() < 2 {
        tokio::task::yield_now().await;
    }
    let (served, asked) = kept.take();
    let (served, asked) = (served.unwrap(), asked.unwrap());
    for span in [&served, &asked] {
        assert!(span.error.as_deref().unwrap().starts_with("the visitor left"), "{span:?}");
        says(span, &[("error.type", Value::Word("visitor_left"))]);
        assert_eq!(attribute(span, "http.response.status_code"), None);
    }
    assert!(attribute(&served, "poterne.ray").is_some(), "the log's lines are found by it");
    assert_eq!(attribute(&served, "poterne.ray"), attribute(&asked, "poterne.ray"));
}

#[tokio::test]
async fn what_the_edge_answers_itself_is_one_span() {
    let (edge, kept) = traced(1.0, Parents::Continue);
    for (host, path, status, error) in [("nobody.example", "/", 409, false), ("gone.site.test", "/", 530, true)] {
        edge.get(host, path).await;
        let (served, asked) = kept.take();
        let served = served.unwrap();
        assert!(asked.is_none(), "{host}: nobody was asked");
        says(&served, &[("http.response.status_code", Value::Number(status)), ("server.address", text(host))]);
        assert_eq!(served.error.is_some(), error, "{host}");
    }
}

#[tokio::test]
async fn a_visitor_makes_up_no_long_or_many_attributes() {
    let (edge, kept) = traced(1.0, Parents::Continue);
    let long = "x".repeat(5_000);
    let asked = format!("BREW /{long} HTTP/1.1\r\nHost: site.test\r\nUser-Agent: {long}\r\n\r\n");
    edge.ask(None, &asked).await;
    let (served, _) = kept.take();
    let served = served.unwrap();
    assert_eq!(served.name, "HTTP");
    says(&served, &[("http.request.method", Value::Word("_OTHER")), ("http.request.method_original", text("BREW"))]);
    for (key, value) in &served.attributes {
        assert!(!matches!(value, Value::Text(text) if text.len() > 1024), "{key}");
    }
    assert!(served.attributes.len() <= 24, "{}", served.attributes.len());
}
