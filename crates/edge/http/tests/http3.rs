//! HTTP/3 over real sockets: a client of another crate for what is right, bytes of our own for what is not.
#![allow(clippy::unwrap_used, unreachable_pub, reason = "a failed helper is a failed test; helpers are shared")]

#[path = "http3/client.rs"]
mod client;
#[path = "http3/server.rs"]
mod server;
#[path = "http3/transport.rs"]
mod transport;

use std::{future::poll_fn, time::Duration};

use bytes::{Buf as _, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use poterne_edge_http::Limits;

use self::{
    client::{Raw, frame, goaway_of, head},
    server::{Server, resident_bytes},
    transport::Transport,
};

type Requests = h3::client::SendRequest<Transport, Bytes>;

/// The other crate's client, and the task that drives it.
async fn connect(server: &Server) -> (Requests, tokio::task::JoinHandle<h3::error::ConnectionError>) {
    let connection = server.connect().await;
    let (mut driver, requests) = h3::client::new(Transport::new(connection)).await.unwrap();
    (requests, tokio::spawn(async move { poll_fn(|cx| driver.poll_close(cx)).await }))
}

/// Sends a request of this method with a body, and tells the answer.
async fn ask(requests: &mut Requests, method: &str, path: &str, body: &[u8]) -> (StatusCode, Vec<u8>) {
    let request = Request::builder().method(method).uri(format!("https://a.test{path}")).body(()).unwrap();
    let mut stream = requests.send_request(request).await.unwrap();
    if !body.is_empty() {
        stream.send_data(Bytes::copy_from_slice(body)).await.unwrap();
    }
    stream.finish().await.unwrap();
    let answer = stream.recv_response().await.unwrap();
    let mut text = Vec::new();
    while let Some(mut piece) = stream.recv_data().await.unwrap() {
        text.extend_from_slice(&piece.copy_to_bytes(piece.remaining()));
    }
    (answer.status(), text)
}

#[tokio::test]
async fn requests_are_answered_one_after_another() {
    let server = Server::start(Limits::default());
    let (mut requests, _driver) = connect(&server).await;
    assert_eq!(ask(&mut requests, "GET", "/a", b"").await, (StatusCode::OK, b"GET /a  0 HTTP/3.0".to_vec()));
    assert_eq!(ask(&mut requests, "POST", "/b", b"hi").await, (StatusCode::OK, b"POST /b hi 0 HTTP/3.0".to_vec()));
    assert_eq!(ask(&mut requests, "HEAD", "/c", b"").await, (StatusCode::OK, Vec::new()));
    assert_eq!(ask(&mut requests, "GET", "/status/204", b"").await, (StatusCode::NO_CONTENT, Vec::new()));
    assert_eq!(ask(&mut requests, "GET", "/status/530", b"").await.0.as_u16(), 530);
}

#[tokio::test]
async fn ten_megabytes_flow_both_ways_at_once() {
    let server = Server::start(Limits::default());
    let (mut requests, _driver) = connect(&server).await;
    let request = Request::builder().method("POST").uri("https://a.test/echo").body(()).unwrap();
    let (mut up, mut down) = requests.send_request(request).await.unwrap().split();
    let sent: Vec<u8> = (0..10_000_000u32).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect();
    let body = Bytes::from(sent);
    let sending = tokio::spawn({
        let body = body.clone();
        async move {
            for piece in body.chunks(100_000) {
                up.send_data(body.slice_ref(piece)).await.unwrap();
            }
            up.finish().await.unwrap();
        }
    });
    assert_eq!(down.recv_response().await.unwrap().status(), StatusCode::OK);
    let mut received = Vec::with_capacity(body.len());
    while let Some(mut piece) = down.recv_data().await.unwrap() {
        received.extend_from_slice(&piece.copy_to_bytes(piece.remaining()));
    }
    sending.await.unwrap();
    assert!(received == body);
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let server = Server::start(Limits::default());
    let (mut requests, _driver) = connect(&server).await;
    let request = Request::builder().method("POST").uri("https://a.test/echo").header("te", "trailers").body(()).unwrap();
    let mut stream = requests.send_request(request).await.unwrap();
    stream.send_data(Bytes::from_static(b"call")).await.unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    trailers.insert("x-sum", HeaderValue::from_static("abc"));
    // What an origin would take for the edge's own words does not pass.
    trailers.insert("cf-connecting-ip", HeaderValue::from_static("192.0.2.1"));
    stream.send_trailers(trailers).await.unwrap();
    stream.finish().await.unwrap();
    stream.recv_response().await.unwrap();
    let mut piece = stream.recv_data().await.unwrap().unwrap();
    assert_eq!(piece.copy_to_bytes(piece.remaining()), "call");
    assert!(stream.recv_data().await.unwrap().is_none());
    let told = stream.recv_trailers().await.unwrap().unwrap();
    assert_eq!(
        (told.len(), &told["grpc-status"], &told["x-sum"]),
        (2, &HeaderValue::from_static("0"), &HeaderValue::from_static("abc"))
    );
}

/// RFC 9114 §4.2.2.
#[tokio::test]
async fn no_field_section_is_sent_that_the_visitor_does_not_take() {
    let server = Server::start(Limits::default());
    let get = |path: &str| head(&[(":method", "GET"), (":scheme", "https"), (":authority", "a.test"), (":path", path)]);
    // SETTINGS_MAX_FIELD_SECTION_SIZE of 1,000; 10,000; and 10.
    let [little, enough, none] = [&[0x6, 0x43, 0xe8][..], &[0x6, 0x67, 0x10], &[0x6, 0x0a]];
    let raw = Raw::saying(&server, enough).await;
    assert_eq!(raw.ask(&get("/long-fields")).await, (200, "all of it".to_owned()));
    // They may be read after the first request: until they are, everything may be sent.
    let raw = Raw::saying(&server, little).await;
    let refused = loop {
        match raw.ask(&get("/long-fields")).await {
            (200, _) => {}
            other => break other,
        }
    };
    assert_eq!(refused, (502, "refused: the answer's header fields are larger than the visitor takes".to_owned()));
    assert_eq!(raw.ask(&get("/a")).await.0, 200, "what fits is answered as ever");
    let raw = Raw::saying(&server, none).await;
    let code = loop {
        let (mut send, mut recv) = raw.connection.open_bi().await.unwrap();
        send.write_all(&get("/a")).await.unwrap();
        send.finish().unwrap();
        match recv.read_to_end(100_000).await {
            Ok(_) => {}
            Err(quinn::ReadToEndError::Read(quinn::ReadError::Reset(code))) => break code.into_inner(),
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(code, 0x102, "where not even a page fits, there is none");
}

#[tokio::test]
async fn a_hundred_requests_share_a_connection() {
    let server = Server::start(Limits::default());
    let (requests, _driver) = connect(&server).await;
    let asked = (0..300).map(|at| {
        let mut requests = requests.clone();
        tokio::spawn(async move {
            let path = format!("/n/{at}");
            let (status, text) = ask(&mut requests, "POST", &path, path.as_bytes()).await;
            assert_eq!((status, String::from_utf8(text).unwrap()), (StatusCode::OK, format!("POST {path} {path} 0 HTTP/3.0")));
        })
    });
    for asked in asked.collect::<Vec<_>>() {
        asked.await.unwrap();
    }
}

#[tokio::test]
async fn ten_thousand_requests_leave_nothing_behind() {
    let server = Server::start(Limits::default());
    let (mut requests, _driver) = connect(&server).await;
    for _ in 0..3_000 {
        ask(&mut requests, "POST", "/a", b"hi").await;
    }
    let before = resident_bytes();
    for _ in 0..7_000 {
        ask(&mut requests, "POST", "/a", b"hi").await;
    }
    let grown = resident_bytes().saturating_sub(before);
    // Both ends and their streams are in this process.
    assert!(grown < 4 * 1024 * 1024, "{grown} bytes");
}

#[tokio::test]
async fn a_malformed_head_is_answered_and_the_connection_goes_on() {
    let server = Server::start(Limits::default());
    let raw = Raw::connect(&server).await;
    let plain = [(":method", "GET"), (":scheme", "https"), (":authority", "a.test"), (":path", "/a")];
    fn joined<'a>(plain: &[(&'a str, &'a str)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        [plain, more].concat()
    }
    let without = |name: &str| plain.iter().copied().filter(|(other, _)| *other != name).collect::<Vec<_>>();
    let replaced = |name: &str, value: &'static str| {
        plain.iter().copied().map(|(other, old)| (other, if other == name { value } else { old })).collect::<Vec<_>>()
    };
    let long = format!("/{}", "a".repeat(17_000));
    let large = "x".repeat(17_000);
    let many = joined(&plain, &vec![("x", "y"); 101]);
    let sent: Vec<(Vec<(&str, &str)>, u16)> = vec![
        (without(":method"), 400),
        (without(":scheme"), 400),
        (without(":authority"), 400),
        (without(":path"), 400),
        (replaced(":path", ""), 400),
        (replaced(":path", "a"), 400),
        (replaced(":path", "/#a"), 400),
        (replaced(":path", "/a b"), 400),
        (replaced(":path", "*"), 400),
        (replaced(":scheme", "http"), 400),
        (replaced(":authority", "a b"), 400),
        (replaced(":method", "G T"), 400),
        (replaced(":method", "CONNECT"), 405),
        (replaced(":method", "TRACE"), 405),
        (joined(&plain, &[(":path", "/b")]), 400),
        (joined(&plain, &[(":status", "200")]), 400),
        (joined(&plain, &[(":other", "x")]), 400),
        (joined(&plain, &[("x", "y"), (":authority", "a.test")]), 400),
        (joined(&plain, &[("host", "b.test")]), 400),
        (joined(&plain, &[("host", "a.test"), ("host", "a.test")]), 400),
        (joined(&plain, &[("connection", "close")]), 400),
        (joined(&plain, &[("transfer-encoding", "chunked")]), 400),
        (joined(&plain, &[("upgrade", "h2c")]), 400),
        (joined(&plain, &[("keep-alive", "x")]), 400),
        (joined(&plain, &[("te", "gzip")]), 400),
        (joined(&plain, &[("X-Upper", "y")]), 400),
        (joined(&plain, &[("x y", "z")]), 400),
        (joined(&plain, &[("", "z")]), 400),
        (joined(&plain, &[("x", "a\rb")]), 400),
        (joined(&plain, &[("x", "a\0b")]), 400),
        (joined(&plain, &[("x", " a")]), 400),
        (joined(&plain, &[("content-length", "5"), ("content-length", "6")]), 400),
        (joined(&plain, &[("content-length", "+5")]), 400),
        (joined(&plain, &[("expect", "miracles")]), 417),
        (joined(&plain, &[(":protocol", "websocket")]), 400),
        (joined(&plain, &[("x", &large)]), 431),
        (many, 431),
        (joined(&plain, &[("a", &large[..12_000]), ("b", &large[..12_000]), ("c", &large[..12_000])]), 431),
        (vec![(":method", "GET"), (":scheme", "https"), (":authority", "a.test"), (":path", &long)], 414),
    ];
    for (fields, status) in sent {
        let (told, text) = raw.ask(&head(&fields)).await;
        let shown: Vec<_> = fields.iter().map(|(name, value)| (*name, &value[..value.len().min(20)])).collect();
        assert_eq!(told, status, "{shown:?}: {text}");
        assert!(text.starts_with("refused: "), "{shown:?}: {text}");
    }
    // 40,000 bytes as they are coded are not even read.
    let (told, _) = raw.ask(&frame(1, &[0; 40_000])).await;
    assert_eq!(told, 431);
    assert_eq!(raw.ask(&head(&plain)).await, (200, "GET /a  0 HTTP/3.0".to_owned()));
    assert_eq!(raw.ask(&head(&joined(&plain, &[("host", "A.test"), ("cookie", "a=b"), ("cookie", "c=d")]))).await.0, 200);
    assert_eq!(server.seen(), ["/a", "/a"], "nothing else reached the handler");
}

#[tokio::test]
async fn what_is_no_http3_ends_the_connection() {
    let plain = head(&[(":method", "GET"), (":scheme", "https"), (":authority", "a.test"), (":path", "/a")]);
    let with = |more: Vec<u8>| [plain.clone(), more].concat();
    let server = Server::start(Limits::default());
    for (stream, code) in [
        (frame(0, b"data"), 0x105),
        (with(frame(4, b"")), 0x105),
        (with(frame(5, b"x")), 0x105),
        (with(frame(6, b"x")), 0x105),
        (with([frame(1, &[0, 0]), frame(0, b"x")].concat()), 0x105),
        (with(vec![0, 5, b'x']), 0x106),
        (frame(1, &[1, 0]), 0x200),
        (frame(1, &[0, 0, 0x80]), 0x200),
        (with(frame(1, &[0])), 0x200),
    ] {
        let raw = Raw::connect(&server).await;
        let (mut send, mut recv) = raw.connection.open_bi().await.unwrap();
        send.write_all(&stream).await.unwrap();
        send.finish().unwrap();
        let _ = recv.read_to_end(1_000).await;
        assert_eq!(raw.closed().await, code, "{stream:?}");
    }
    for (streams, code) in [
        (vec![vec![0, 4, 0], vec![0, 4, 0]], 0x103),
        (vec![vec![1, 0]], 0x103),
        (vec![vec![0, 7, 1, 0]], 0x10a),
        (vec![vec![0, 4, 2, 4, 0]], 0x109),
        (vec![vec![2, 0x3f, 0xe1, 0x1f]], 0x201),
    ] {
        let raw = Raw::unsettled(&server).await;
        let mut sides = Vec::new();
        for stream in &streams {
            let mut side = raw.connection.open_uni().await.unwrap();
            side.write_all(stream).await.unwrap();
            sides.push(side);
        }
        assert_eq!(raw.closed().await, code, "{streams:?}");
    }
    let raw = Raw::unsettled(&server).await;
    let mut control = raw.connection.open_uni().await.unwrap();
    control.write_all(&[0, 4, 0]).await.unwrap();
    control.finish().unwrap();
    assert_eq!(raw.closed().await, 0x104, "the control stream ended");
}

#[tokio::test]
async fn what_nobody_knows_is_passed_over() {
    let server = Server::start(Limits::default());
    let raw = Raw::connect(&server).await;
    let mut unknown = raw.connection.open_uni().await.unwrap();
    unknown.write_all(&[0x21, 1, 2, 3]).await.unwrap();
    assert_eq!(unknown.stopped().await.unwrap().unwrap().into_inner(), 0x103);
    let plain = head(&[(":method", "POST"), (":scheme", "https"), (":authority", "a.test"), (":path", "/a")]);
    let stream = [frame(0x21, &[9; 5_000]), plain, frame(0x40, b"?"), frame(0, b"h"), frame(0, b""), frame(0, b"i")].concat();
    assert_eq!(raw.ask(&stream).await, (200, "POST /a hi 0 HTTP/3.0".to_owned()));
}

#[tokio::test]
async fn a_length_that_was_said_is_the_length() {
    let server = Server::start(Limits::default());
    let raw = Raw::connect(&server).await;
    let post = |length: &str| {
        let length = length.to_owned();
        head(&[(":method", "POST"), (":scheme", "https"), (":authority", "a.test"), (":path", "/a"), ("content-length", &length)])
    };
    for body in ["hi", "hi there"] {
        let (_, text) = raw.ask(&[post("5"), frame(0, body.as_bytes())].concat()).await;
        assert!(text.contains("not as long as its Content-Length"), "{body}: {text}");
    }
    assert_eq!(raw.ask(&[post("5"), frame(0, b"hello")].concat()).await.1, "POST /a hello 0 HTTP/3.0");
    let (mut send, mut recv) = raw.connection.open_bi().await.unwrap();
    send.write_all(&post("5")).await.unwrap();
    send.finish().unwrap();
    // Whether the end was there with the head or came after it, nobody takes this for a request without a body.
    let answer = recv.read_to_end(1_000).await;
    assert!(answer.is_err() || client::parse(&answer.unwrap()).1.contains("not as long as its Content-Length"));
    assert_eq!(raw.ask(&post("0")).await.0, 200);
}

#[tokio::test]
async fn a_reset_breaks_off_one_request_alone() {
    let server = Server::start(Limits::default());
    let raw = Raw::connect(&server).await;
    let post = head(&[(":method", "POST"), (":scheme", "https"), (":authority", "a.test"), (":path", "/a")]);
    let (mut send, mut recv) = raw.connection.open_bi().await.unwrap();
    send.write_all(&[post, frame(0, b"some")].concat()).await.unwrap();
    server.until_seen(1).await;
    send.reset(0x10cu32.into()).unwrap();
    let answer = recv.read_to_end(10_000).await.unwrap();
    assert!(client::parse(&answer).1.contains("reset the stream"), "the handler knows");

    // Who wants no answer is not worked for.
    let never = head(&[(":method", "GET"), (":scheme", "https"), (":authority", "a.test"), (":path", "/never")]);
    let (mut send, mut recv) = raw.connection.open_bi().await.unwrap();
    send.write_all(&never).await.unwrap();
    server.until_seen(2).await;
    assert_eq!(server.waiting(), 1);
    recv.stop(0x10cu32.into()).unwrap();
    server.until_waiting(0).await;
    let plain = head(&[(":method", "GET"), (":scheme", "https"), (":authority", "a.test"), (":path", "/c")]);
    assert_eq!(raw.ask(&plain).await.0, 200);
}

#[tokio::test]
async fn an_answer_before_the_body_is_read_is_whole() {
    let server = Server::start(Limits::default());
    let raw = Raw::connect(&server).await;
    let (mut send, mut recv) = raw.connection.open_bi().await.unwrap();
    let post = head(&[(":method", "POST"), (":scheme", "https"), (":authority", "a.test"), (":path", "/ignores")]);
    send.write_all(&[post, frame(0, &[0; 10_000])].concat()).await.unwrap();
    let answer = recv.read_to_end(10_000).await.unwrap();
    assert_eq!(client::parse(&answer), (200, "early".to_owned()));
    assert_eq!(send.stopped().await.unwrap().unwrap().into_inner(), 0x100, "nothing is wrong with the rest");
}

#[tokio::test]
async fn a_slow_head_is_given_up() {
    let server = Server::start(Limits { head_timeout: Duration::from_millis(50), ..Limits::default() });
    let raw = Raw::connect(&server).await;
    let plain = head(&[(":method", "GET"), (":scheme", "https"), (":authority", "a.test"), (":path", "/a")]);
    let (mut send, mut recv) = raw.connection.open_bi().await.unwrap();
    send.write_all(&plain[..10]).await.unwrap();
    assert_eq!(client::parse(&recv.read_to_end(10_000).await.unwrap()).0, 408);
    assert_eq!(raw.ask(&plain).await.0, 200, "others go on");
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let server = Server::start(Limits { h3_idle_timeout: Duration::from_millis(50), ..Limits::default() });
    let raw = Raw::connect(&server).await;
    assert_eq!(raw.closed().await, 0x100);
}

#[tokio::test]
async fn who_cancels_all_it_asks_for_is_sent_away() {
    let server = Server::start(Limits::default());
    let raw = Raw::connect(&server).await;
    let never = head(&[(":method", "GET"), (":scheme", "https"), (":authority", "a.test"), (":path", "/never")]);
    let closed = tokio::spawn({
        let connection = raw.connection.clone();
        async move { connection.closed().await }
    });
    while let Ok((mut send, mut recv)) = raw.connection.open_bi().await {
        let _ = send.write_all(&never).await;
        let _ = (send.reset(0x10cu32.into()), recv.stop(0x10cu32.into()));
    }
    let quinn::ConnectionError::ApplicationClosed(close) = closed.await.unwrap() else { panic!("not by us") };
    assert_eq!(close.error_code.into_inner(), 0x107);
}

#[tokio::test]
async fn a_drain_lets_the_last_answer_out_and_takes_no_other() {
    let server = Server::start(Limits::default());
    let raw = Raw::connect(&server).await;
    let flow = head(&[(":method", "GET"), (":scheme", "https"), (":authority", "a.test"), (":path", "/flow")]);
    let (mut send, mut recv) = raw.connection.open_bi().await.unwrap();
    send.write_all(&flow).await.unwrap();
    send.finish().unwrap();
    server.until_seen(1).await;
    server.piece(b"one").await;
    server.drain.cancel();
    assert_eq!(goaway_of(&raw).await, 4, "the first was taken");
    let (mut late, mut refused) = raw.connection.open_bi().await.unwrap();
    late.write_all(&flow).await.unwrap();
    let error = refused.read_to_end(1_000).await.unwrap_err();
    assert!(matches!(error, quinn::ReadToEndError::Read(quinn::ReadError::Reset(code)) if code.into_inner() == 0x10b), "{error}");
    server.piece(b"two").await;
    server.end_pieces();
    assert_eq!(client::parse(&recv.read_to_end(10_000).await.unwrap()), (200, "onetwo".to_owned()));
    assert_eq!(raw.closed().await, 0x100);
}

#[tokio::test]
async fn a_panic_costs_one_connection() {
    let server = Server::start(Limits::default());
    let (one, other) = (Raw::connect(&server).await, Raw::connect(&server).await);
    let get = |path: &str| head(&[(":method", "GET"), (":scheme", "https"), (":authority", "a.test"), (":path", path)]);
    let (mut send, mut recv) = one.connection.open_bi().await.unwrap();
    send.write_all(&get("/panic")).await.unwrap();
    assert!(recv.read_to_end(1_000).await.is_err());
    assert_eq!(other.ask(&get("/a")).await.0, 200);
    assert_eq!(Raw::connect(&server).await.ask(&get("/b")).await.0, 200);
}

#[tokio::test]
async fn a_websocket_is_a_stream_of_its_own() {
    let server = Server::start(Limits::default());
    let raw = Raw::connect(&server).await;
    let open = |path: &str| {
        head(&[
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "https"),
            (":authority", "a.test"),
            (":path", path),
            ("sec-websocket-version", "13"),
        ])
    };
    let (mut send, mut recv) = raw.connection.open_bi().await.unwrap();
    send.write_all(&open("/ws")).await.unwrap();
    let mut answer = Vec::new();
    while client::parse(&answer).0 == 0 {
        answer.extend_from_slice(&recv.read_chunk(1_000, true).await.unwrap().unwrap().bytes);
    }
    assert_eq!(client::parse(&answer), (200, String::new()), "opened, and nothing was said yet");
    send.write_all(&frame(0, b"\0\x01raw\nbytes")).await.unwrap();
    while client::parse(&answer).1.is_empty() {
        answer.extend_from_slice(&recv.read_chunk(1_000, true).await.unwrap().unwrap().bytes);
    }
    assert_eq!(client::parse(&answer).1, "\0\x01raw\nbytes");
    send.finish().unwrap();
    assert!(recv.read_to_end(1_000).await.unwrap().is_empty());
    assert_eq!(raw.ask(&open("/refuses-ws")).await.0, 502);
    let mut old = head(&[
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":authority", "a.test"),
        (":path", "/ws"),
    ]);
    assert_eq!(raw.ask(&old).await.0, 426);
    old = head(&[
        (":method", "CONNECT"),
        (":protocol", "connect-udp"),
        (":scheme", "https"),
        (":authority", "a.test"),
        (":path", "/ws"),
    ]);
    assert_eq!(raw.ask(&old).await.0, 405);
}

#[tokio::test]
async fn a_head_of_many_packets_and_huffmans_code_is_read() {
    let server = Server::start(Limits::default());
    let (mut requests, _driver) = connect(&server).await;
    let mut request = Request::builder().uri("https://a.test/fields");
    for at in 0..60 {
        request = request.header(HeaderName::try_from(format!("x-field-{at}")).unwrap(), format!("{at} ").repeat(100).trim_end());
    }
    let mut stream = requests.send_request(request.body(()).unwrap()).await.unwrap();
    stream.finish().await.unwrap();
    assert_eq!(stream.recv_response().await.unwrap().headers()["x-count"], "60");
}
