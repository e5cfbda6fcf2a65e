//! What the codecs do at their edges: settings, old visitors, early answers, WebSockets over HTTP/2.
#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use poterne_edge_http::{
    Body, BodyError, Connection, Frame, Handler, Kind, Limits, Protocol, Refusal, Request, Response, Scheme, body,
    serve_connection,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    sync::Notify,
    task::JoinHandle,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// Answers by path.
struct Origin {
    /// `/late` is answered once told.
    told: Arc<Notify>,
}

/// A body of pieces, then trailers or an error.
struct Pieces(std::vec::IntoIter<Result<Frame, BodyError>>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BodyError;
    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame, BodyError>>> {
        std::task::Poll::Ready(self.0.next())
    }
}

fn pieces(pieces: Vec<Result<Frame, BodyError>>) -> Body {
    Body::flow(Pieces(pieces.into_iter()))
}

fn data(text: &'static str) -> Result<Frame, BodyError> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

async fn read(body: &mut Body) -> Result<(Vec<u8>, HeaderMap), BodyError> {
    let (mut text, mut trailers) = (Vec::new(), HeaderMap::new());
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) => text.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    Ok((text, trailers))
}

impl Handler for Origin {
    async fn handle(&self, mut request: Request, _: &Arc<Connection>) -> Response {
        match request.uri().path() {
            "/late" => {
                self.told.notified().await;
                Response::new(Body::full("late"))
            }
            // A service that knows nothing of WebSockets.
            "/no-ws" => Response::new(Body::full("a page")),
            // Takes the body only once the answer's head is on its way.
            "/echo" => Response::new(std::mem::take(request.body_mut())),
            "/early" => http::Response::builder().status(403).body(Body::full("no")).unwrap(),
            "/length" => http::Response::builder().header("content-length", "5").body(Body::empty()).unwrap(),
            "/short" => http::Response::builder().header("content-length", "9").body(pieces(vec![data("five!")])).unwrap(),
            "/broken" => Response::new(pieces(vec![data("half"), Err(BodyError::Upstream("it fell".into()))])),
            "/trailers" => {
                let sum = ["x-sum", "content-length", "connection", "transfer-encoding", "te", "keep-alive", "cf-ray"]
                    .map(|name| (HeaderName::from_static(name), HeaderValue::from_static("1")));
                let sum = HeaderMap::from_iter(sum);
                Response::new(pieces(vec![data("a"), data(""), data("b"), Ok(body::trailers(sum))]))
            }
            "/large" => Response::new(pieces(vec![Ok(Frame::data(vec![b'x'; 3_000_000].into()))])),
            "/ws" => {
                assert_eq!(request.extensions().get(), Some(&Kind::WebSocket));
                assert_eq!((request.method(), request.headers()["sec-websocket-key"].len()), (&Method::GET, 24));
                let up = std::mem::take(request.body_mut());
                http::Response::builder().status(101).header("sec-websocket-accept", "x").body(up).unwrap()
            }
            _ => match read(request.body_mut()).await {
                Ok((text, trailers)) => {
                    let mut names: Vec<_> = trailers.keys().map(HeaderName::as_str).collect();
                    names.sort_unstable();
                    Response::new(Body::full(format!("{} [{}]", String::from_utf8_lossy(&text), names.join(" "))))
                }
                Err(error) => Response::new(Body::full(error.to_string())),
            },
        }
    }

    fn refuse(&self, _: &Connection, head: Option<&http::request::Parts>, refusal: Refusal) -> Response {
        let text = format!("{refusal} ({})", if head.is_some() { "read" } else { "not read" });
        let mut response = Response::new(Body::full(text));
        *response.status_mut() = refusal.status();
        response
    }
}

struct Visit {
    stream: DuplexStream,
    told: Arc<Notify>,
    served: JoinHandle<()>,
}

fn visit(protocol: Protocol, limits: Limits) -> Visit {
    let (stream, theirs) = tokio::io::duplex(16 * 1024);
    let told = Arc::new(Notify::new());
    let origin = Arc::new(Origin { told: Arc::clone(&told) });
    let address = "192.0.2.1:1".parse().unwrap();
    let connection = Arc::new(Connection::new(address, address, Scheme::Http, None));
    let served = tokio::spawn(serve_connection(
        theirs,
        |_| None,
        protocol,
        connection,
        origin,
        Arc::new(limits),
        CancellationToken::new(),
    ));
    Visit { stream, told, served }
}

fn http1() -> Visit {
    visit(Protocol::Http1, Limits::default())
}

impl Visit {
    async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    async fn until(&mut self, end: &str) -> String {
        let mut read = Vec::new();
        while !read.ends_with(end.as_bytes()) {
            match self.stream.read_u8().await {
                Ok(byte) => read.push(byte),
                Err(_) => panic!("closed before {end:?}: {:?}", String::from_utf8_lossy(&read)),
            }
        }
        String::from_utf8(read).unwrap()
    }

    async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest).await;
        String::from_utf8_lossy(&rest).into_owned()
    }
}

#[tokio::test]
async fn requests_sent_ahead_are_answered_in_order() {
    let mut visit = http1();
    visit.send("GET /late HTTP/1.1\r\nHost: a\r\n\r\nPOST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhiGET /c HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    visit.told.notify_one();
    let all = visit.rest().await;
    assert_eq!(all.matches("HTTP/1.1 200 OK").count(), 3, "{all}");
    let (late, hi) = (all.find("late").unwrap(), all.find("hi []").unwrap());
    assert!(late < hi && all.contains("connection: close\r\n"), "{all}");
}

#[tokio::test]
async fn an_old_visitor_may_keep_its_connection_where_lengths_are_known() {
    let mut visit = http1();
    visit.send("GET /a HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n").await;
    let answer = visit.until(" []").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.contains("connection: keep-alive\r\n"), "{answer}");
    visit.send("GET /trailers HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n").await;
    let answer = visit.rest().await;
    assert!(answer.contains("connection: close\r\n") && answer.ends_with("\r\n\r\nab"), "{answer}");
}

#[tokio::test]
async fn what_has_no_body_ends_with_its_head() {
    let mut visit = http1();
    for path in ["/length", "/trailers", "/early"] {
        visit.send(&format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let answer = visit.until("\r\n\r\n").await;
        assert!(!answer.contains("chunked"), "{answer}");
        assert_eq!(answer.contains("content-length: 5"), path == "/length");
    }
    visit.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(visit.until(" []").await.starts_with("HTTP/1.1 200 OK\r\n"), "nothing lay between");
}

#[tokio::test]
async fn trailers_reach_who_asks_for_them_and_none_that_frame_or_route() {
    let mut visit = http1();
    visit.send("GET /trailers HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n").await;
    assert!(visit.until("0\r\nx-sum: 1\r\n\r\n").await.contains("\r\n\r\n1\r\na\r\n1\r\nb\r\n"));
    visit.send("GET /trailers HTTP/1.1\r\nHost: a\r\n\r\n").await;
    visit.until("1\r\nb\r\n0\r\n\r\n").await;
    visit.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 1\r\nHost: b\r\nCF-Ray: c\r\nX_Sum: d\r\n\r\n").await;
    visit.until(" [x-sum]").await;
}

#[tokio::test]
async fn an_answer_is_cut_off_where_it_is_not_whole() {
    for (path, end) in [("/short", "five!"), ("/broken", "4\r\nhalf\r\n")] {
        let mut visit = http1();
        visit.send(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let answer = visit.rest().await;
        assert!(answer.ends_with(end), "{answer}");
    }
}

#[tokio::test]
async fn an_upload_refused_early_is_answered_and_the_connection_goes_on_if_it_came_whole() {
    let mut visit = http1();
    visit.send("PUT /early HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody").await;
    let answer = visit.until("no").await;
    assert!(answer.starts_with("HTTP/1.1 403 ") && !answer.contains("connection: close"), "{answer}");
    visit.send("PUT /early HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\nbegins").await;
    let answer = visit.rest().await;
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("connection: close\r\n"), "{answer}");
}

#[tokio::test]
async fn a_refused_expectation_is_not_invited() {
    let mut visit = http1();
    visit.send("PUT /early HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n").await;
    let answer = visit.rest().await;
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("connection: close\r\n"), "{answer}");
}

#[tokio::test]
async fn nobody_is_invited_once_the_answer_has_begun() {
    let mut visit = http1();
    visit.send("PUT /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n").await;
    let head = visit.until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("connection: close\r\n"), "{head}");
    // Who sends its body uninvited is heard all the same.
    visit.send("body").await;
    assert_eq!(visit.rest().await, "body");
}

#[tokio::test]
async fn a_refusal_knows_what_could_be_read() {
    for (head, told) in [("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "(read)"), ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", "(not read)")]
    {
        let mut visit = http1();
        visit.send(head).await;
        assert!(visit.rest().await.ends_with(told));
    }
}

#[tokio::test]
async fn a_body_cut_off_by_its_visitor_is_told_to_the_handler() {
    let mut visit = http1();
    visit.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf").await;
    visit.stream.shutdown().await.unwrap();
    let answer = visit.rest().await;
    assert!(answer.contains("the visitor broke off the request body"), "{answer}");
}

#[tokio::test]
async fn who_half_closes_is_gone_unless_the_operator_says_otherwise() {
    for half_closed_served in [false, true] {
        let mut visit = visit(Protocol::Http1, Limits { half_closed_served, ..Limits::default() });
        visit.send("GET /late HTTP/1.1\r\nHost: a\r\n\r\n").await;
        visit.stream.shutdown().await.unwrap();
        if half_closed_served {
            tokio::task::yield_now().await;
            visit.told.notify_one();
        }
        let answer = visit.rest().await;
        assert_eq!(answer.ends_with("late"), half_closed_served, "{answer}");
        visit.served.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_closed_without_a_word() {
    let mut visit = http1();
    let before = Instant::now();
    assert_eq!(visit.rest().await, "");
    assert_eq!(before.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_body_keeps_its_least_rate_where_one_is_set() {
    let limits = || Limits { body_rate_min: std::num::NonZero::new(10), ..Limits::default() };
    let mut slow = visit(Protocol::Http1, limits());
    slow.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n").await;
    let before = Instant::now();
    slow.send("twenty bytes of body").await;
    let answer = slow.rest().await;
    assert!(answer.contains("it came too slowly"), "{answer}");
    assert_eq!(before.elapsed().as_secs(), 5 + 2, "what came buys time");

    let mut steady = visit(Protocol::Http1, limits());
    steady.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 400\r\n\r\n").await;
    for _ in 0..20 {
        steady.send("twenty bytes of body").await;
        tokio::time::sleep(Duration::from_millis(1_900)).await;
    }
    assert!(steady.until(" []").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test(start_paused = true)]
async fn a_visitor_that_takes_nothing_is_left_where_that_is_bounded() {
    let patience = Duration::from_secs(60);
    let mut visit = visit(Protocol::Http1, Limits { stalled_write_timeout: Some(patience), ..Limits::default() });
    let before = Instant::now();
    visit.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;
    (&mut visit.served).await.unwrap();
    assert_eq!(before.elapsed().as_secs(), 60);
    let got = visit.rest().await.len();
    assert!(got < 100_000, "{got}");
}

#[tokio::test]
async fn a_large_answer_arrives_whole() {
    let mut visit = http1();
    visit.send("GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let answer = visit.rest().await;
    assert!(answer.ends_with("\r\n0\r\n\r\n") && answer.matches('x').count() >= 3_000_000);
}

async fn http2(limits: Limits) -> (h2::client::SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>, JoinHandle<()>) {
    let Visit { stream, served, .. } = visit(Protocol::Http2, limits);
    let (client, connection) = h2::client::Builder::new().initial_window_size(20_000).handshake(stream).await.unwrap();
    (client, tokio::spawn(connection), served)
}

async fn all(mut body: h2::RecvStream) -> (Vec<u8>, Option<HeaderMap>) {
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        bytes.extend_from_slice(&data);
    }
    (bytes, body.trailers().await.unwrap())
}

#[tokio::test]
async fn http2_answers_are_framed_by_streams() {
    let (mut client, ..) = http2(Limits::default()).await;
    let mut ask = |method: &str, path: &str| {
        let request = http::Request::builder().method(method).uri(format!("http://a.test{path}")).body(()).unwrap();
        client.send_request(request, true).unwrap().0
    };
    let (trailers, large, head, early) =
        (ask("GET", "/trailers"), ask("GET", "/large"), ask("HEAD", "/length"), ask("GET", "/early"));
    let (text, trailers) = all(trailers.await.unwrap().into_body()).await;
    let trailers = trailers.unwrap();
    assert_eq!((&text[..], &trailers["x-sum"], trailers.len()), (&b"ab"[..], &HeaderValue::from_static("1"), 1));
    assert_eq!(all(large.await.unwrap().into_body()).await.0.len(), 3_000_000);
    let head = head.await.unwrap();
    assert!(head.headers()["content-length"] == "5" && head.headers().contains_key("date") && head.body().is_end_stream());
    let early = early.await.unwrap();
    assert_eq!((early.status().as_u16(), &early.headers()["content-length"]), (403, &HeaderValue::from_static("2")));
}

#[tokio::test]
async fn http2_counts_fields_and_drops_trailers_that_route() {
    let (mut client, ..) = http2(Limits::default()).await;
    let mut many = http::Request::builder().uri("http://a.test/");
    for number in 0..101 {
        many = many.header(format!("x-{number}"), "1");
    }
    let (refused, _) = client.send_request(many.body(()).unwrap(), true).unwrap();
    assert_eq!(refused.await.unwrap().status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    let request = http::Request::post("http://a.test/").body(()).unwrap();
    let (response, mut body) = client.send_request(request, false).unwrap();
    let names = ["x-sum", "cf-connecting-ip", "host"];
    body.send_trailers(names.map(|name| (HeaderName::from_static(name), HeaderValue::from_static("1"))).into_iter().collect())
        .unwrap();
    assert_eq!(all(response.await.unwrap().into_body()).await.0, b" [x-sum]");
}

#[tokio::test]
async fn a_websocket_may_be_an_http2_stream() {
    let (mut client, ..) = http2(Limits::default()).await;
    while !client.is_extended_connect_protocol_enabled() {
        client = client.ready().await.unwrap();
        tokio::task::yield_now().await;
    }
    let open_at = |path: &str, version: &str| {
        let mut request =
            http::Request::connect(format!("http://a.test{path}")).header("sec-websocket-version", version).body(()).unwrap();
        request.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
        request
    };
    let open = |version: &str| open_at("/ws", version);
    let (response, mut up) = client.send_request(open("13"), false).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(!response.headers().contains_key("sec-websocket-accept"));
    up.send_data(Bytes::from_static(b"raw"), false).unwrap();
    let mut down = response.into_body();
    assert_eq!(down.data().await.unwrap().unwrap(), "raw");
    up.send_data(Bytes::new(), true).unwrap();
    assert!(all(down).await.0.is_empty(), "it ends with its visitor's side");

    for (path, status) in [("/no-ws", StatusCode::BAD_GATEWAY), ("/early", StatusCode::FORBIDDEN)] {
        let (response, _up) = client.send_request(open_at(path, "13"), false).unwrap();
        assert_eq!(response.await.unwrap().status(), status, "none but 101 opens it");
    }
    let (response, _up) = client.send_request(open("8"), false).unwrap();
    assert_eq!(response.await.unwrap().status(), StatusCode::UPGRADE_REQUIRED);
    let connect = http::Request::connect("a.test:443").body(()).unwrap();
    let (response, _up) = client.send_request(connect, false).unwrap();
    assert_eq!(response.await.unwrap().status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test(start_paused = true)]
async fn a_visitor_that_does_not_answer_pings_is_dead() {
    let Visit { mut stream, served, .. } = visit(Protocol::Http2, Limits::default());
    let before = Instant::now();
    // Preface, SETTINGS, and a request for /late by a literal head; then silence.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let head = b"\x82\x86\x44\x05/late\x41\x01a";
    stream.write_all(&[0, 0, u8::try_from(head.len()).unwrap(), 1, 5, 0, 0, 0, 1]).await.unwrap();
    stream.write_all(head).await.unwrap();
    served.await.unwrap();
    assert_eq!(before.elapsed().as_secs(), 30 + 20);
}

#[tokio::test(start_paused = true)]
async fn an_http2_head_has_its_time_too() {
    let Visit { mut stream, served, .. } = visit(Protocol::Http2, Limits::default());
    let before = Instant::now();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    // HEADERS without END_HEADERS, then a CONTINUATION whose end does not come.
    stream.write_all(b"\0\0\x01\x01\x01\0\0\0\x01\x82").await.unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    stream.write_all(b"\0\0\x05\x09\x04\0\0\0\x01\x86").await.unwrap();
    served.await.unwrap();
    assert_eq!(before.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn each_http2_head_has_a_time_of_its_own() {
    let Visit { mut stream, served, .. } = visit(Protocol::Http2, Limits::default());
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    // GET / of `a`; what is sent at a time ends in the middle of one.
    let head = |stream: u8| [&[0, 0, 6, 1, 5, 0, 0, 0, stream][..], &b"\x82\x86\x84\x41\x01a"[..]].concat();
    let all: Vec<u8> = [1, 3, 5, 7].into_iter().flat_map(head).collect();
    let mut rest = &all[..];
    for len in [12, 15, 15] {
        stream.write_all(&rest[..len]).await.unwrap();
        rest = &rest[len..];
        tokio::time::sleep(Duration::from_secs(6)).await;
    }
    assert!(!served.is_finished(), "none took more than six seconds");
    let before = Instant::now();
    served.await.unwrap();
    assert_eq!(before.elapsed().as_secs(), 4, "the last one is never complete");
}

#[tokio::test(start_paused = true)]
async fn an_idle_visitor_that_answers_no_goodbye_is_left() {
    let Visit { mut stream, served, .. } = visit(Protocol::Http2, Limits::default());
    let before = Instant::now();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    served.await.unwrap();
    assert_eq!(before.elapsed().as_secs(), 180 + 2);
}

#[tokio::test(start_paused = true)]
async fn a_visitor_without_a_preface_is_left() {
    let Visit { stream, served, .. } = visit(Protocol::Http2, Limits::default());
    let before = Instant::now();
    served.await.unwrap();
    assert_eq!(before.elapsed().as_secs(), 10);
    drop(stream);
}
