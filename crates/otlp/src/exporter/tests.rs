//! The task against a collector on a real socket, which answers as it is told.

use std::{path::Path, sync::Mutex, time::SystemTime};

use poterne_telemetry::trace::{Context, Kind};
use rustls_pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::TcpListener,
};

use super::*;
use crate::settings::{Given, Names};

/// What a collector was sent: a head and a body each, and over how many connections.
#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<(String, Vec<u8>)>>,
    connections: AtomicU64,
}

/// A collector that gives these answers, then says 200 to all that comes. An empty one closes the connection.
async fn collector(answers: &'static [&'static str], tls: Option<tokio_rustls::TlsAcceptor>) -> (u16, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::<Seen>::default();
    tokio::spawn({
        let seen = Arc::clone(&seen);
        let answers = Arc::new(Mutex::new(answers.iter()));
        async move {
            while let Ok((stream, _)) = listener.accept().await {
                seen.connections.fetch_add(1, Relaxed);
                let (seen, next) = (Arc::clone(&seen), Arc::clone(&answers));
                let next = move || next.lock().unwrap().next().copied().unwrap_or(TAKEN);
                match tls.clone() {
                    None => drop(tokio::spawn(serve(stream, seen, next))),
                    Some(tls) => drop(tokio::spawn(async move {
                        if let Ok(stream) = tls.accept(stream).await {
                            serve(stream, seen, next).await;
                        }
                    })),
                }
            }
        }
    });
    (port, seen)
}

const TAKEN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, seen: Arc<Seen>, next: impl Fn() -> &'static str) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap();
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        seen.requests.lock().unwrap().push((head, body));
        let answer = next();
        if answer.is_empty() || stream.write_all(answer.as_bytes()).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

fn exporter(url: &str, ca_file: Option<&Path>) -> (Arc<Exporter>, Worker) {
    let given = Given {
        endpoint: Some(url.to_owned()),
        headers: Some("authorization=Bearer%20t0ken".to_owned()),
        ca_file: ca_file.map(Path::to_path_buf),
        ..Given::default()
    };
    let names = Names { endpoint: "e", headers: "h", sample: "s" };
    Exporter::new(Settings::of(&given, names, |_| None, "poterne", "1.2.3").unwrap().unwrap())
}

fn at(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn fill(exporter: &Exporter, count: usize) {
    for _ in 0..count {
        exporter.take(Span {
            context: Context::new(true),
            kind: Kind::Server,
            name: "GET",
            start: SystemTime::now(),
            duration: Duration::from_millis(1),
            attributes: Vec::new(),
            events: Vec::new(),
            error: None,
        });
    }
}

fn counts(exporter: &Exporter) -> [u64; 4] {
    let counts = exporter.counts();
    assert_eq!(counts.iter().map(|(outcome, _)| *outcome).collect::<Vec<_>>(), ["sent", "queue_full", "rejected", "unreachable"]);
    std::array::from_fn(|at| counts[at].1)
}

/// As where the program has been told to end: what waits is sent, and nothing is waited for.
fn ended() -> CancellationToken {
    let stop = CancellationToken::new();
    stop.cancel();
    stop
}

/// Runs the task until these spans are accounted for, then ends it.
async fn run_until(worker: Worker, exporter: &Exporter, accounted: u64) {
    let stop = CancellationToken::new();
    let running = tokio::spawn(worker.run(stop.clone()));
    while counts(exporter).iter().sum::<u64>() < accounted {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn what_waits_is_sent_in_batches_when_the_program_ends() {
    let (port, seen) = collector(&[], None).await;
    let (exporter, worker) = exporter(&at(port), None);
    fill(&exporter, BATCH_MAX + 1);
    assert_eq!(exporter.waiting(), BATCH_MAX as u64 + 1);
    worker.run(ended()).await;
    assert_eq!((counts(&exporter), exporter.waiting()), ([BATCH_MAX as u64 + 1, 0, 0, 0], 0));
    let requests = seen.requests.lock().unwrap();
    assert_eq!((requests.len(), seen.connections.load(Relaxed)), (2, 1));
    let head = &requests[0].0;
    assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
    for field in
        ["content-type: application/x-protobuf\r\n", "authorization: Bearer t0ken\r\n", &format!("host: 127.0.0.1:{port}\r\n")]
    {
        assert!(head.contains(field), "{head}");
    }
}

#[tokio::test]
async fn what_finds_the_queue_full_is_counted_and_nobody_waits() {
    let (port, _) = collector(&[], None).await;
    let (exporter, worker) = exporter(&at(port), None);
    fill(&exporter, QUEUE_MAX + 7);
    assert_eq!((counts(&exporter), exporter.waiting()), ([0, 7, 0, 0], QUEUE_MAX as u64));
    worker.run(ended()).await;
    assert_eq!(counts(&exporter), [QUEUE_MAX as u64, 7, 0, 0]);
    fill(&exporter, 1);
    assert_eq!(counts(&exporter), [QUEUE_MAX as u64, 8, 0, 0], "nobody takes it any more");
}

#[tokio::test]
async fn a_batch_that_may_be_taken_later_is_sent_again_as_it_was() {
    let later = &["HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 0\r\n\r\n", ""];
    let (port, seen) = collector(later, None).await;
    let (exporter, worker) = exporter(&at(port), None);
    fill(&exporter, 3);
    run_until(worker, &exporter, 3).await;
    assert_eq!(counts(&exporter), [3, 0, 0, 0]);
    let requests = seen.requests.lock().unwrap();
    assert_eq!((requests.len(), seen.connections.load(Relaxed)), (3, 2), "over a new connection where the old one was closed");
    assert!(requests.iter().all(|(_, body)| *body == requests[0].1));
}

#[tokio::test]
async fn what_a_collector_refuses_is_not_sent_again() {
    let refusals = &[
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno",
        // partial_success { rejected_spans: 2 }
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\x0a\x02\x08\x02",
    ];
    let (port, seen) = collector(refusals, None).await;
    let (exporter, worker) = exporter(&at(port), None);
    fill(&exporter, BATCH_MAX + 5);
    worker.run(ended()).await;
    assert_eq!(counts(&exporter), [3, 0, BATCH_MAX as u64 + 2, 0]);
    assert_eq!(seen.requests.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn spans_that_nobody_took_before_the_end_are_counted() {
    let (port, seen) = collector(&[""], None).await;
    let (exporter, worker) = exporter(&at(port), None);
    fill(&exporter, BATCH_MAX + 1);
    worker.run(ended()).await;
    assert_eq!(counts(&exporter), [0, 0, 0, BATCH_MAX as u64 + 1]);
    assert_eq!(seen.requests.lock().unwrap().len(), 1, "once, and no second batch after it");
}

#[tokio::test]
async fn over_tls_the_collector_is_verified() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    std::fs::write(&file, made.cert.pem()).unwrap();
    let key = PrivatePkcs8KeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let (port, seen) = collector(&[], Some(Arc::new(config).into())).await;
    for (url, ca_file, taken) in [
        (format!("https://localhost:{port}"), Some(&*file), true),
        (format!("https://localhost:{port}"), None, false),
        (format!("https://127.0.0.1:{port}"), Some(&*file), false),
        (format!("https://localhost:{port}"), Some(Path::new("/nowhere.pem")), false),
    ] {
        let (exporter, worker) = exporter(&url, ca_file);
        fill(&exporter, 1);
        worker.run(ended()).await;
        assert_eq!(counts(&exporter), if taken { [1, 0, 0, 0] } else { [0, 0, 0, 1] }, "{url} {ca_file:?}");
    }
    assert_eq!(seen.requests.lock().unwrap().len(), 1);
}
