//! Services that answer early, oddly or wrongly: each gets a correct, bounded answer to the visitor, and no kept connection is
//! poisoned by it.
#![allow(clippy::unwrap_used, reason = "test code")]

mod edge;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use edge::{Exchange, NO_BODY, QuicEdge, Told, config, fetch, get, read_head, rule, service, soon};
use http::{Request, StatusCode};
use poterne_tunnel_agent::Agent;
use poterne_tunnel_proto::metadata::{BodyLength, RequestOptions};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{mpsc, oneshot},
};
use tokio_util::sync::CancellationToken;

/// An agent in front of a service that does what the test says, on each connection.
async fn in_front_of<F, W>(serve: F) -> (QuicEdge, quinn::Connection)
where
    F: Fn(TcpStream) -> W + Send + Sync + 'static,
    W: Future<Output = ()> + Send + 'static,
{
    let address = service(serve).await;
    let mut edge = QuicEdge::new(Told::default());
    let agent = Agent::new(config(edge.address, &edge.authority, vec![rule("", &format!("http://{address}"))])).unwrap();
    let mut connected = agent.connected();
    tokio::spawn(agent.run(CancellationToken::new()));
    let connection = edge.connection().await;
    soon("the registration", connected.wait_for(|up| *up == 1)).await.unwrap();
    (edge, connection)
}

/// An upload of this length, not one byte of it sent.
async fn upload(connection: &quinn::Connection, length: u64, expect: bool) -> Exchange {
    let mut request = Request::put("https://a.example/u").header("host", "a.example").header("content-length", length);
    if expect {
        request = request.header("expect", "100-continue");
    }
    let options = RequestOptions { body: BodyLength::Known(length), ..NO_BODY };
    Exchange::begin(connection, request.body(()).unwrap(), options).await
}

/// Reads and discards until the end.
async fn drain(stream: &mut TcpStream) {
    let mut buffer = vec![0; 64 * 1024];
    while !matches!(stream.read(&mut buffer).await, Ok(0) | Err(_)) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_refused_before_it_is_sent_on() {
    let (told, mut seen) = mpsc::unbounded_channel();
    let (_edge, connection) = in_front_of(move |mut stream| {
        let told = told.clone();
        async move {
            let head = read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno").await.unwrap();
            // What comes after the head, until the agent closes.
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            told.send((head.to_ascii_lowercase(), rest.len())).unwrap();
        }
    })
    .await;
    let mut exchange = upload(&connection, 1_000_000, true).await;
    // The refusal may be quicker.
    let _ = exchange.send.write_all(&[b'x'; 1000]).await;
    assert_eq!(exchange.head().await.unwrap().0.status, StatusCode::EXPECTATION_FAILED);
    assert_eq!(exchange.body().await.unwrap(), b"no");
    // The edge is told to stop, and the service saw the expectation and nothing of the body.
    assert!(soon("the stop", exchange.send.stopped()).await.unwrap().is_some());
    let (head, rest) = soon("the end of the service's connection", seen.recv()).await.unwrap();
    assert!(head.contains("\r\nexpect: 100-continue\r\n"), "{head}");
    assert_eq!(rest, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_says_continue_gets_the_body_and_is_kept() {
    let connections = Arc::new(AtomicUsize::new(0));
    let (_edge, connection) = in_front_of({
        let connections = connections.clone();
        move |mut stream| {
            connections.fetch_add(1, Ordering::SeqCst);
            async move {
                while !read_head(&mut stream).await.is_empty() {
                    stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
                    let mut body = [0; 5];
                    stream.read_exact(&mut body).await.unwrap();
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n").await.unwrap();
                    stream.write_all(&body).await.unwrap();
                }
            }
        }
    })
    .await;
    // The connection goes back to the pool just after the answer has ended: ask until one was used again.
    let mut served = 0;
    while served <= connections.load(Ordering::SeqCst) {
        let mut exchange = upload(&connection, 5, true).await;
        exchange.send.write_all(b"hello").await.unwrap();
        exchange.send.finish().unwrap();
        assert_eq!(exchange.head().await.unwrap().0.status, StatusCode::OK);
        assert_eq!(exchange.body().await.unwrap(), b"hello");
        served += 1;
        assert!(served < 100, "no connection is ever kept");
    }
}

/// Waits the second that a service has to answer the expectation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_ignores_the_expectation_gets_the_body_all_the_same() {
    let (_edge, connection) = in_front_of(|mut stream| async move {
        read_head(&mut stream).await;
        let mut body = [0; 5];
        stream.read_exact(&mut body).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    })
    .await;
    let mut exchange = upload(&connection, 5, true).await;
    exchange.send.write_all(b"hello").await.unwrap();
    exchange.send.finish().unwrap();
    assert_eq!(exchange.head().await.unwrap().0.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_early_refusal_is_passed_on_whole_though_the_service_resets() {
    let (_edge, connection) = in_front_of(|mut stream| async move {
        read_head(&mut stream).await;
        // What is still with the sender when it resets, its kernel throws away: so less than a receiver takes unread, and nothing held
        // back until the head is acknowledged (Nagle's algorithm).
        stream.set_nodelay(true).unwrap();
        let body = vec![b'n'; 30_000];
        stream.write_all(b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 30000\r\n\r\n").await.unwrap();
        stream.write_all(&body).await.unwrap();
        // Closing with unread bytes resets the connection, whatever of the upload is still coming.
        stream.read_u8().await.unwrap();
    })
    .await;
    for _ in 0..20 {
        let mut exchange = upload(&connection, 1 << 40, false).await;
        let (stop, mut stopped) = oneshot::channel::<()>();
        let mut send = std::mem::replace(&mut exchange.send, connection.open_bi().await.unwrap().0);
        let sending = tokio::spawn(async move {
            let piece = vec![b'x'; 64 * 1024];
            while send.write_all(&piece).await.is_ok() && stopped.try_recv().is_err() {}
        });
        assert_eq!(exchange.head().await.unwrap().0.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(exchange.body().await.unwrap().len(), 30_000);
        soon("the end of the upload", sending).await.unwrap();
        drop(stop);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_refuses_and_goes_on_reading_does_not_get_it_all() {
    let (_edge, connection) = in_front_of(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        drain(&mut stream).await;
    })
    .await;
    let mut exchange = upload(&connection, 1 << 40, false).await;
    assert_eq!(exchange.head().await.unwrap().0.status, StatusCode::UNAUTHORIZED);
    assert_eq!(exchange.body().await.unwrap(), b"");
    assert!(soon("the stop", exchange.send.stopped()).await.unwrap().is_some());
}

/// A service that sends these bytes to every request: each of many requests gets what is expected. Tells whether any connection
/// was used twice.
async fn is_kept_after(answer: &str, expected: (StatusCode, &str)) -> bool {
    let answer: Arc<str> = answer.into();
    let connections = Arc::new(AtomicUsize::new(0));
    let (_edge, connection) = in_front_of({
        let connections = connections.clone();
        move |mut stream| {
            connections.fetch_add(1, Ordering::SeqCst);
            let answer = answer.clone();
            async move { while !read_head(&mut stream).await.is_empty() && stream.write_all(answer.as_bytes()).await.is_ok() {} }
        }
    })
    .await;
    // A connection goes back to the pool just after its answer has ended, so that a few requests may need another all the same.
    for requests in 1..=50 {
        let (status, body) = fetch(&connection, "https://a.example/").await.unwrap();
        assert_eq!((status, String::from_utf8(body).unwrap().as_str()), expected);
        if connections.load(Ordering::SeqCst) < requests {
            return true;
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_follows_an_answer_never_answers_the_next_request() {
    let bad = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad";
    let sound = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    for answer in [sound, chunked] {
        assert!(is_kept_after(answer, (StatusCode::OK, "ok")).await, "{answer}");
        for rest in ["+more", bad] {
            assert!(!is_kept_after(&format!("{answer}{rest}"), (StatusCode::OK, "ok")).await, "{answer}{rest}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_where_none_belong_are_dropped_with_their_connection() {
    let bad = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad";
    for (code, reason) in [(StatusCode::NO_CONTENT, "No Content"), (StatusCode::NOT_MODIFIED, "Not Modified")] {
        let answer = format!("HTTP/1.1 {} {reason}\r\nContent-Length: {}\r\n\r\n{bad}", code.as_u16(), bad.len());
        assert!(!is_kept_after(&answer, (code, "")).await, "{answer}");
    }
    // The body may also come later: a 204 that announces one is not kept.
    for (framing, kept) in [("Content-Length: 5", false), ("Transfer-Encoding: chunked", false), ("Content-Length: 0", true)] {
        let answer = format!("HTTP/1.1 204 No Content\r\n{framing}\r\n\r\n");
        assert_eq!(is_kept_after(&answer, (StatusCode::NO_CONTENT, "")).await, kept, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_request_gets_a_length_and_no_body() {
    let (_edge, connection) = in_front_of(|mut stream| async move {
        while !read_head(&mut stream).await.is_empty() {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await;
        }
    })
    .await;
    for _ in 0..3 {
        let request = Request::head("https://a.example/").header("host", "a.example").body(()).unwrap();
        let mut exchange = Exchange::begin(&connection, request, NO_BODY).await;
        exchange.send.finish().unwrap();
        let (head, _) = exchange.head().await.unwrap();
        assert_eq!((head.status, &head.headers["content-length"]), (StatusCode::OK, &"5".parse().unwrap()));
        assert_eq!(exchange.body().await.unwrap(), b"");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_http_1_0_end_with_their_connection() {
    let answers: [&[u8]; 2] =
        [b"HTTP/1.0 200 OK\r\nServer: old\r\n\r\nall of it", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nall of it"];
    for answer in answers {
        let (_edge, connection) = in_front_of(move |mut stream| async move {
            read_head(&mut stream).await;
            stream.write_all(answer).await.unwrap();
        })
        .await;
        for _ in 0..2 {
            let (status, body) = fetch(&connection, "https://a.example/").await.unwrap();
            assert_eq!((status, body.as_slice()), (StatusCode::OK, b"all of it".as_slice()));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interim_answers_are_skipped_and_bounded() {
    let connections = Arc::new(AtomicUsize::new(0));
    let (_edge, connection) = in_front_of({
        let connections = connections.clone();
        move |mut stream| {
            let is_first = connections.fetch_add(1, Ordering::SeqCst) == 0;
            async move {
                read_head(&mut stream).await;
                if is_first {
                    let answer = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
                    stream.write_all(answer).await.unwrap();
                    return;
                }
                while stream.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n").await.is_ok() {}
            }
        }
    })
    .await;
    assert_eq!(fetch(&connection, "https://a.example/").await.unwrap(), (StatusCode::OK, b"ok".to_vec()));
    let error = fetch(&connection, "https://a.example/").await.unwrap_err();
    assert!(error.contains("more than 16 interim answers"), "{error}");
}

/// Words of the agent about an answer that it does not pass on.
async fn refusal(answer: Vec<u8>) -> String {
    let answer = Arc::new(answer);
    let (_edge, connection) = in_front_of(move |mut stream| {
        let answer = answer.clone();
        async move {
            read_head(&mut stream).await;
            let _ = stream.write_all(&answer).await;
            drain(&mut stream).await;
        }
    })
    .await;
    fetch(&connection, "https://a.example/").await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_cannot_be_passed_on_say_why() {
    let with_head = |bytes: usize| {
        let fields: String = (0..bytes / 1000).map(|at| format!("X-{at:04}: {}\r\n", "a".repeat(990))).collect();
        format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{fields}\r\n").into_bytes()
    };
    for (answer, words) in [
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
            "both Transfer-Encoding and Content-Length",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!".to_vec(),
            "Content-Length that is no number, or several",
        ),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n".to_vec(), "asked for no switch"),
        (b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), "status line"),
        (with_head(200_000), "exceeds 131072 bytes"),
    ] {
        let error = refusal(answer).await;
        assert!(error.starts_with("Unable to reach the origin service.") && error.contains(words), "{words}: {error}");
    }
    let get_large = in_front_of(move |mut stream| async move {
        read_head(&mut stream).await;
        let fields: String = (0..100).map(|at| format!("X-{at:04}: {}\r\n", "a".repeat(990))).collect();
        let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{fields}\r\nok").as_bytes()).await;
    });
    let (_edge, connection) = get_large.await;
    assert_eq!(fetch(&connection, "https://a.example/").await.unwrap(), (StatusCode::OK, b"ok".to_vec()));
    let mut exchange = Exchange::begin(&connection, get("https://a.example/"), NO_BODY).await;
    exchange.send.finish().unwrap();
    assert_eq!(exchange.head().await.unwrap().0.headers.len(), 101);
}
