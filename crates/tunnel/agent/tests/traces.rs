//! Requests as parts of traces: what the service reads, and what whoever traces is told.
#![allow(clippy::unwrap_used, reason = "test code")]

mod edge;

use std::sync::{Arc, Mutex};

use edge::{Exchange, NO_BODY, QuicEdge, Told, config, fetch, get, mirror, read_head, rule, service, soon};
use http::Request;
use poterne_telemetry::{
    Tracer,
    trace::{Kind, Parent, Sink, Span, Value},
};
use poterne_tunnel_agent::Agent;
use poterne_tunnel_proto::{config::IngressRule, registration::Edges};
use tokio::{io::AsyncWriteExt, sync::watch};
use tokio_util::sync::CancellationToken;

/// Keeps what it is told.
struct Kept {
    spans: Mutex<Vec<Span>>,
    count: watch::Sender<usize>,
}

impl Sink for Kept {
    fn take(&self, span: Span) {
        self.spans.lock().unwrap().push(span);
        self.count.send_modify(|count| *count += 1);
    }

    fn counts(&self) -> Vec<(&'static str, u64)> {
        vec![("sent", 0)]
    }

    fn waiting(&self) -> u64 {
        *self.count.borrow() as u64
    }
}

impl Kept {
    /// So many spans, once they are there: those of services asked first.
    async fn take<const N: usize>(&self) -> [Span; N] {
        soon("the spans", self.count.subscribe().wait_for(|count| *count == N)).await.unwrap();
        self.count.send_replace(0);
        let spans = std::mem::take(&mut *self.spans.lock().unwrap());
        spans.try_into().unwrap()
    }
}

struct Running {
    connection: quinn::Connection,
    kept: Arc<Kept>,
    _edge: QuicEdge,
    shutdown: CancellationToken,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// A connected agent that records this share; `edge_traces`: what the edge said of itself.
async fn running(rules: Vec<IngressRule>, ratio: f64, edge_traces: bool) -> Running {
    let mut edge = QuicEdge::new(Told::default());
    let edges = Edges { traces: edge_traces, ..Edges::new(vec![edge.address.to_string()], &[edge.authority.pin]) };
    *edge.told.edges.lock().unwrap() = Some(edges.encode());
    let kept = Arc::new(Kept { spans: Mutex::default(), count: watch::Sender::new(0) });
    let mut settings = config(edge.address, &edge.authority, rules);
    settings.tracer = Some(Tracer::new(kept.clone(), ratio));
    let agent = Agent::new(settings).unwrap();
    let mut connected = agent.connected();
    let shutdown = CancellationToken::new();
    tokio::spawn(agent.run(shutdown.clone()));
    let connection = edge.connection().await;
    soon("the registration", connected.wait_for(|up| *up == 1)).await.unwrap();
    Running { connection, kept, _edge: edge, shutdown }
}

fn traceparent(sampled: bool) -> String {
    format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0{}", u8::from(sampled))
}

/// What the service read when it was asked with these fields.
async fn seen(running: &Running, fields: &[(&str, &str)]) -> (Option<Parent>, bool) {
    let request = Request::get("https://app.example/x?secret=1").header("host", "app.example").header("cf-ray", "0123-LAB");
    let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(()).unwrap();
    let mut exchange = Exchange::begin(&running.connection, request, NO_BODY).await;
    exchange.send.finish().unwrap();
    assert_eq!(exchange.head().await.unwrap().0.status, 200);
    let head = String::from_utf8(exchange.body().await.unwrap()).unwrap().to_ascii_lowercase();
    let told =
        head.lines().find_map(|line| line.strip_prefix("traceparent: ")).map(|value| Parent::parse(value.as_bytes()).unwrap());
    (told, head.contains("tracestate: congo=1\r\n"))
}

fn attribute<'a>(span: &'a Span, key: &str) -> Option<&'a Value> {
    span.attributes.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_two_spans_below_the_edges_and_the_service_reads_of_the_second() {
    let address = service(mirror).await;
    // The share is none: that it is recorded is the edge's word.
    let running = running(vec![rule("", &format!("http://{address}"))], 0.0, true).await;
    // What the edge does not record is not recorded, and the service is told: below there are two spans, and no more.
    let (told, _) = seen(&running, &[("traceparent", &*traceparent(false))]).await;
    assert!(!told.unwrap().sampled);
    let fields = [("traceparent", &*traceparent(true)), ("tracestate", "congo=1")];
    let (told, state) = seen(&running, &fields).await;
    let [asked, served] = running.kept.take().await;
    let edges = Parent::parse(traceparent(true).as_bytes()).unwrap();
    assert_eq!((served.kind, served.context.trace, served.context.parent), (Kind::Server, edges.trace, Some(edges.span)));
    assert_eq!((asked.kind, asked.context.trace, asked.context.parent), (Kind::Client, edges.trace, Some(served.context.span)));
    assert_eq!((told, state), (Some(Parent { trace: edges.trace, span: asked.context.span, sampled: true }), true));
    for span in [&served, &asked] {
        assert_eq!((span.name, &span.error), ("GET", &None));
        assert_eq!(attribute(span, "http.response.status_code"), Some(&Value::Number(200)));
        assert_eq!(attribute(span, "poterne.ray"), Some(&Value::text("0123-LAB")));
        assert_eq!(attribute(span, "poterne.cut"), None);
    }
    assert_eq!(attribute(&served, "url.path"), Some(&Value::text("/x")));
    assert_eq!(attribute(&asked, "url.full"), Some(&Value::shown(format_args!("http://{address}/x"))));
    assert!(!format!("{served:?}{asked:?}").contains("secret"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_an_edge_that_does_not_trace_a_visitors_word_decides_nothing() {
    let address = service(mirror).await;
    for (ratio, recorded) in [(0.0, false), (1.0, true)] {
        let running = running(vec![rule("", &format!("http://{address}"))], ratio, false).await;
        let (told, _) = seen(&running, &[("traceparent", &*traceparent(!recorded))]).await;
        let told = told.unwrap();
        assert_eq!((told.trace, told.sampled), (Parent::parse(traceparent(true).as_bytes()).unwrap().trace, recorded));
        if recorded {
            let [asked, served] = running.kept.take().await;
            assert_eq!((served.context.trace, asked.context.span), (told.trace, told.span));
        } else {
            assert!(running.kept.spans.lock().unwrap().is_empty());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_went_wrong_is_told() {
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // A reset takes along what was not read: the service breaks off once the head is there.
    let (breaks_off, may_break_off) = watch::channel(false);
    let cut = service(move |mut stream| {
        let mut may_break_off = may_break_off.clone();
        async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n0123456789").await.unwrap();
            may_break_off.wait_for(|may| *may).await.unwrap();
        }
    })
    .await;
    let rules = vec![
        rule("dead.example", &format!("http://{dead}")),
        rule("cut.example", &format!("http://{cut}")),
        rule("", "http_status:418"),
    ];
    let running = running(rules, 1.0, true).await;

    fetch(&running.connection, "https://dead.example/").await.unwrap_err();
    let [asked, served] = running.kept.take().await;
    for span in [&served, &asked] {
        assert!(span.error.as_deref().unwrap().contains("Unable to reach the origin service"), "{span:?}");
        assert_eq!(attribute(span, "error.type"), Some(&Value::Word("no_answer")));
    }

    let mut exchange = Exchange::begin(&running.connection, get("https://cut.example/"), NO_BODY).await;
    exchange.send.finish().unwrap();
    exchange.head().await.unwrap();
    breaks_off.send_replace(true);
    exchange.body().await.unwrap_err();
    let [asked, served] = running.kept.take().await;
    for span in [&served, &asked] {
        assert!(span.error.as_deref().unwrap().starts_with("the service broke off its answer: "), "{span:?}");
        assert_eq!(attribute(span, "http.response.status_code"), Some(&Value::Number(200)));
        assert_eq!(attribute(span, "poterne.cut"), Some(&Value::Truth(true)));
    }

    // Nobody is asked: one span.
    assert_eq!(fetch(&running.connection, "https://tea.example/").await.unwrap().0, 418);
    let [served] = running.kept.take().await;
    assert_eq!((served.kind, &served.error), (Kind::Server, &None));
    assert_eq!(attribute(&served, "poterne.ingress.rule"), Some(&Value::Number(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_traces_a_trace_passes_as_it_came() {
    let address = service(mirror).await;
    let mut edge = QuicEdge::new(Told::default());
    let agent = Agent::new(config(edge.address, &edge.authority, vec![rule("", &format!("http://{address}"))])).unwrap();
    let shutdown = CancellationToken::new();
    tokio::spawn(agent.run(shutdown.clone()));
    let connection = edge.connection().await;
    let request = Request::get("https://app.example/").header("host", "app.example").header("traceparent", "anything");
    let mut exchange = Exchange::begin(&connection, request.body(()).unwrap(), NO_BODY).await;
    exchange.send.finish().unwrap();
    exchange.head().await.unwrap();
    let seen = String::from_utf8(exchange.body().await.unwrap()).unwrap().to_ascii_lowercase();
    assert!(seen.contains("traceparent: anything\r\n"), "{seen}");
    shutdown.cancel();
}
