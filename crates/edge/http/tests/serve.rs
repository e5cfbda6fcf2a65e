//! Connections served over streams in memory: raw bytes in, raw bytes out.
#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use poterne_edge_http::{
    Body, BodyError, Connection, Frame, Handler, Kind, Limits, Protocol, Refusal, Request, Response, Scheme, body,
    serve_connection,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    sync::mpsc,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// Answers by path; tells every path it saw.
struct Origin {
    seen: mpsc::UnboundedSender<String>,
    /// Pieces of `/flow`'s body, as the test hands them out.
    pieces: std::sync::Mutex<Option<mpsc::Receiver<Bytes>>>,
}

struct Pieces(mpsc::Receiver<Bytes>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BodyError;
    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame, BodyError>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

impl Handler for Origin {
    async fn handle(&self, mut request: Request, _: &Arc<Connection>) -> Response {
        let path = request.uri().path().to_owned();
        let _ = self.seen.send(path.clone());
        match path.as_str() {
            "/flow" => {
                let pieces = self.pieces.lock().unwrap().take().unwrap();
                Response::new(Body::flow(Pieces(pieces)))
            }
            "/ws" => {
                assert_eq!(request.extensions().get(), Some(&Kind::WebSocket));
                assert_eq!(
                    request.headers()["connection"],
                    "Upgrade",
                    "what it names is for whoever sends the request on to remove"
                );
                let mut response = Response::new(std::mem::take(request.body_mut()));
                *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                response
            }
            "/refuses-ws" => Response::new(Body::full("no")),
            "/never" => std::future::pending().await,
            status if status.starts_with("/status/") => {
                http::Response::builder().status(&status["/status/".len()..]).body(Body::empty()).unwrap()
            }
            "/ignores" => Response::new(Body::full("early")),
            _ => {
                let (mut text, mut trailers) = (Vec::new(), HeaderMap::new());
                while let Some(frame) = request.body_mut().frame().await {
                    match frame.map(Frame::into_data) {
                        Ok(Ok(data)) => text.extend_from_slice(&data),
                        Ok(Err(frame)) => trailers = frame.into_trailers().unwrap_or_default(),
                        Err(error) => return Response::new(Body::full(format!("error: {error}"))),
                    }
                }
                let told = format!("{} {path} {} {}", request.method(), String::from_utf8_lossy(&text), trailers.len());
                Response::new(Body::full(told))
            }
        }
    }

    fn refuse(&self, _: &Connection, _: Option<&http::request::Parts>, refusal: Refusal) -> Response {
        let mut response = Response::new(Body::full(refusal.to_string()));
        *response.status_mut() = refusal.status();
        response
    }
}

struct Visit {
    stream: DuplexStream,
    seen: mpsc::UnboundedReceiver<String>,
    pieces: mpsc::Sender<Bytes>,
    drain: CancellationToken,
    served: JoinHandle<()>,
}

fn visit(protocol: Protocol) -> Visit {
    let (stream, theirs) = tokio::io::duplex(64 * 1024);
    let (seen_in, seen) = mpsc::unbounded_channel();
    let (pieces, pieces_out) = mpsc::channel(1);
    let origin = Arc::new(Origin { seen: seen_in, pieces: std::sync::Mutex::new(Some(pieces_out)) });
    let address = "192.0.2.1:1".parse().unwrap();
    let connection = Arc::new(Connection::new(address, address, Scheme::Http, None));
    let drain = CancellationToken::new();
    let served = tokio::spawn(serve_connection(
        theirs,
        |_| None,
        protocol,
        connection,
        origin,
        Arc::new(Limits::default()),
        drain.clone(),
    ));
    Visit { stream, seen, pieces, drain, served }
}

impl Visit {
    async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads until this text was seen.
    async fn until(&mut self, text: &str) -> String {
        let mut read = Vec::new();
        loop {
            let mut byte = [0];
            if self.stream.read(&mut byte).await.unwrap_or(0) == 0 {
                panic!("closed before {text:?}: {:?}", String::from_utf8_lossy(&read));
            }
            read.push(byte[0]);
            if read.ends_with(text.as_bytes()) {
                return String::from_utf8(read).unwrap();
            }
        }
    }

    async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest).await;
        String::from_utf8_lossy(&rest).into_owned()
    }
}

#[tokio::test]
async fn one_connection_carries_request_after_request() {
    let mut visit = visit(Protocol::Http1);
    visit.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").await;
    visit.until("POST /a hi 0").await;
    visit.send("POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nho\r\n0\r\nX-Sum: 1\r\n\r\n").await;
    visit.until("POST /b ho 1").await;
    visit.send("GET /c HTTP/1.0\r\nHost: a\r\n\r\n").await;
    let last = visit.rest().await;
    assert!(last.starts_with("HTTP/1.0 200") && last.ends_with("GET /c  0"), "{last}");
}

#[tokio::test]
async fn ambiguous_framing_never_reaches_the_handler_and_closes() {
    for head in [
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: y\rz\r\n\r\n",
        "GET /#x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut visit = visit(Protocol::Http1);
        visit.send(head).await;
        let answer = visit.rest().await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("connection: close"), "{head:?}: {answer:?}");
        assert!(visit.seen.try_recv().is_err(), "{head:?}");
    }
}

#[tokio::test]
async fn a_bad_chunk_breaks_the_body_and_gets_one_answer() {
    let mut visit = visit(Protocol::Http1);
    visit.send("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nxyz\r\nmore").await;
    let answer = visit.rest().await;
    assert!(answer.contains("error: ") && answer.contains("a chunk size is no hexadecimal number"), "{answer:?}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer:?}");
}

#[tokio::test]
async fn a_status_without_a_registered_reason_has_one_of_ours_or_none() {
    for (status, line) in [
        ("530", "HTTP/1.1 530 Origin Not Reachable\r\n"),
        ("520", "HTTP/1.1 520 Invalid Response From Origin\r\n"),
        ("599", "HTTP/1.1 599 \r\n"),
        ("404", "HTTP/1.1 404 Not Found\r\n"),
    ] {
        let mut visit = visit(Protocol::Http1);
        visit.send(&format!("GET /status/{status} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!(visit.until("\r\n").await, line);
    }
}

#[tokio::test]
async fn a_smuggled_second_request_is_not_seen() {
    let mut visit = visit(Protocol::Http1);
    visit.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n").await;
    visit.rest().await;
    visit.served.await.unwrap();
    assert_eq!(visit.seen.recv().await.as_deref(), Some("/a"));
    assert_eq!(visit.seen.recv().await, None);
}

#[tokio::test]
async fn refusals_have_their_own_status() {
    for (head, status) in [
        (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(17_000)), "414"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(101)), "431"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(20_000)), "431"),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n".into(), "405"),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n".into(), "405"),
        ("POST / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\nContent-Length: 1\r\n\r\n".into(), "417"),
        (
            "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 9\r\n\r\n".into(),
            "426",
        ),
    ] {
        let mut visit = visit(Protocol::Http1);
        visit.send(&head).await;
        let answer = visit.rest().await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {answer:?}");
        assert!(visit.seen.try_recv().is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_head_gets_408_and_an_idle_connection_is_closed() {
    let mut slow = visit(Protocol::Http1);
    slow.send("GET / HT").await;
    let answer = slow.rest().await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer:?}");

    let mut idle = visit(Protocol::Http1);
    idle.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    idle.until("GET /a  0").await;
    let before = tokio::time::Instant::now();
    assert_eq!(idle.rest().await, "");
    assert_eq!(before.elapsed().as_secs(), 75);
}

#[tokio::test(start_paused = true)]
async fn an_empty_line_leaves_a_connection_idle() {
    let mut visit = visit(Protocol::Http1);
    visit.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    visit.until("GET /a  0").await;
    let before = tokio::time::Instant::now();
    visit.send("\r").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    visit.send("\n").await;
    assert_eq!(visit.rest().await, "");
    assert_eq!(before.elapsed().as_secs(), 75);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_takes_long_is_not_idle() {
    let mut visit = visit(Protocol::Http1);
    visit.send("GET /flow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    visit.until("\r\n\r\n").await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    visit.pieces.send("late".into()).await.unwrap();
    visit.until("4\r\nlate\r\n").await;
}

#[tokio::test]
async fn pieces_of_a_response_are_not_held_back() {
    let mut visit = visit(Protocol::Http1);
    visit.send("GET /flow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    visit.until("\r\n\r\n").await;
    for piece in ["data: 1\n\n", "data: 2\n\n"] {
        visit.pieces.send(piece.into()).await.unwrap();
        visit.until(&format!("9\r\n{piece}\r\n")).await;
    }
    drop(visit.pieces);
    visit.pieces = mpsc::channel(1).0;
    visit.until("0\r\n\r\n").await;
}

#[tokio::test]
async fn a_body_is_invited_when_it_is_wanted() {
    let mut visit = visit(Protocol::Http1);
    visit.send("POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n").await;
    assert_eq!(visit.until("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    visit.send("hi").await;
    visit.until("POST /a hi 0").await;
}

#[tokio::test]
async fn an_answer_to_an_upload_that_was_not_read_is_not_lost() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, _paths) = mpsc::unbounded_channel();
    let serving = tokio::spawn(async move {
        let (stream, peer) = listener.accept().await.unwrap();
        let connection = Arc::new(Connection::new(peer, peer, Scheme::Http, None));
        let handler = Arc::new(Origin { seen, pieces: std::sync::Mutex::default() });
        serve_connection(
            stream,
            |stream| Some(stream),
            Protocol::Http1,
            connection,
            handler,
            Arc::default(),
            CancellationToken::new(),
        )
        .await;
    });
    let (mut answer, mut upload) = tokio::net::TcpStream::connect(address).await.unwrap().into_split();
    upload.write_all(b"PUT /ignores HTTP/1.1\r\nHost: a.test\r\nContent-Length: 12000000\r\n\r\n").await.unwrap();
    // More than the kernels hold: a reset would break the upload, and a client that cannot write looks for no answer.
    for _ in 0..1199 {
        upload.write_all(&[b'x'; 10_000]).await.unwrap();
    }
    let mut text = String::new();
    answer.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200") && text.ends_with("early"), "{text}");
    drop((upload, answer));
    serving.await.unwrap();
}

#[tokio::test]
async fn a_visitor_who_leaves_is_noticed_though_nobody_reads_its_body() {
    for resets in [false, true] {
        for head in ["Content-Length: 99000000", "Content-Length: 99000000\r\nExpect: 100-continue"] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut visitor = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (stream, peer) = listener.accept().await.unwrap();
            let (seen, mut paths) = mpsc::unbounded_channel();
            let connection = Arc::new(Connection::new(peer, peer, Scheme::Http, None));
            let handler = Arc::new(Origin { seen, pieces: std::sync::Mutex::default() });
            let limits = Arc::new(Limits { half_closed_served: resets, ..Limits::default() });
            let drain = CancellationToken::new();
            let serving = tokio::spawn(serve_connection(
                stream,
                |stream| Some(stream),
                Protocol::Http1,
                connection,
                handler,
                limits,
                drain,
            ));
            // `/never` neither takes the body nor answers.
            visitor.write_all(format!("PUT /never HTTP/1.1\r\nHost: a.test\r\n{head}\r\n\r\n").as_bytes()).await.unwrap();
            // More than waits in the edge, and no more than the kernels hold: an end comes after what was sent.
            visitor.write_all(&[b'x'; 100_000]).await.unwrap();
            assert_eq!(paths.recv().await.as_deref(), Some("/never"));
            if resets {
                visitor.set_zero_linger().unwrap();
            }
            drop(visitor);
            tokio::time::timeout(Duration::from_secs(20), serving).await.expect("noticed").unwrap();
        }
    }
}

#[tokio::test]
async fn a_websocket_is_raw_only_after_its_101() {
    const OPENING: &str = "Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let mut visit = visit(Protocol::Http1);
    visit.send(&format!("GET /refuses-ws HTTP/1.1\r\n{OPENING}")).await;
    assert!(visit.until("no").await.starts_with("HTTP/1.1 200 "));
    visit.send(&format!("GET /ws HTTP/1.1\r\n{OPENING}")).await;
    let answer = visit.until("\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 101 ") && answer.contains("upgrade: websocket"), "{answer:?}");
    visit.send("\u{0}\u{1}raw\nbytes").await;
    visit.until("\u{0}\u{1}raw\nbytes").await;
    visit.stream.shutdown().await.unwrap();
    assert_eq!(visit.rest().await, "");
    visit.served.await.unwrap();
}

#[tokio::test]
async fn a_drain_lets_the_last_response_out() {
    let mut visit = visit(Protocol::Http1);
    visit.send("GET /flow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    visit.until("\r\n\r\n").await;
    visit.drain.cancel();
    visit.pieces.send("last".into()).await.unwrap();
    drop(std::mem::replace(&mut visit.pieces, mpsc::channel(1).0));
    assert!(visit.rest().await.ends_with("4\r\nlast\r\n0\r\n\r\n"));
    visit.served.await.unwrap();
}

#[tokio::test]
async fn http2_carries_bodies_and_trailers() {
    let visit = visit(Protocol::Http2);
    let (mut client, connection) = h2::client::handshake(visit.stream).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::builder().method("POST").uri("http://a.test/up").body(()).unwrap();
    let (response, mut body) = client.send_request(request, false).unwrap();
    body.send_data("hi".into(), false).unwrap();
    body.send_trailers(HeaderMap::from_iter([(http::HeaderName::from_static("x-sum"), http::HeaderValue::from_static("1"))]))
        .unwrap();
    let mut response = response.await.unwrap().into_body();
    assert_eq!(response.data().await.unwrap().unwrap(), "POST /up hi 1");
}

#[tokio::test]
async fn http2_refuses_by_stream() {
    let visit = visit(Protocol::Http2);
    let (mut client, connection) = h2::client::handshake(visit.stream).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::builder().uri("http://a.test/").header("host", "b.test").body(()).unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    assert_eq!(response.await.unwrap().status(), StatusCode::BAD_REQUEST);
    let request = http::Request::builder().uri("http://a.test/ok").body(()).unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    assert_eq!(response.await.unwrap().status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn an_idle_http2_connection_is_closed() {
    let visit = visit(Protocol::Http2);
    let (client, connection) = h2::client::handshake(visit.stream).await.unwrap();
    let before = tokio::time::Instant::now();
    let _ = connection.await;
    assert_eq!(before.elapsed().as_secs(), 180);
    drop(client);
}

/// Bytes at once, and others that arrive when, after three minutes, the socket is looked at a second time.
struct Between {
    start: tokio::time::Instant,
    first: &'static [u8],
    second: &'static [u8],
    looks: usize,
}

impl tokio::io::AsyncRead for Between {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        if self.first.is_empty() && self.start.elapsed().as_secs() >= 180 {
            self.looks += 1;
            if self.looks == 2 {
                self.first = std::mem::take(&mut self.second);
            }
        }
        if self.first.is_empty() {
            return std::task::Poll::Pending;
        }
        let len = self.first.len().min(buf.remaining());
        let (now, later) = self.first.split_at(len);
        buf.put_slice(now);
        self.first = later;
        std::task::Poll::Ready(Ok(()))
    }
}

impl tokio::io::AsyncWrite for Between {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::task::Poll::Ready(Ok(bytes.len()))
    }
    fn poll_flush(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_comes_with_the_goodbye_is_answered() {
    let start = tokio::time::Instant::now();
    let io = Between {
        start,
        first: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        second: b"\0\0\x06\x01\x05\0\0\0\x01\x82\x86\x84\x41\x01a",
        looks: 0,
    };
    let (seen, mut paths) = mpsc::unbounded_channel();
    let origin = Arc::new(Origin { seen, pieces: std::sync::Mutex::default() });
    let address = "192.0.2.1:1".parse().unwrap();
    let connection = Arc::new(Connection::new(address, address, Scheme::Http, None));
    tokio::spawn(serve_connection(io, |_| None, Protocol::Http2, connection, origin, Arc::default(), CancellationToken::new()));
    assert_eq!(paths.recv().await.as_deref(), Some("/"));
    assert_eq!(start.elapsed().as_secs(), 180);
}

#[test]
fn a_frame_of_trailers_is_no_data() {
    assert!(body::trailers(HeaderMap::new()).is_trailers());
}
