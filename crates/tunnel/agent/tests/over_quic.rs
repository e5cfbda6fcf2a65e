//! The agent over real QUIC, with real local services.
#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

mod edge;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use edge::{Exchange, NO_BODY, QuicEdge, Told, config, fetch, get, mirror, read_head, rule, rule_with, service, soon};
use http::{HeaderMap, Request};
use poterne_tunnel_agent::{Agent, Trust};
use poterne_tunnel_proto::{
    config::{IngressRule, OriginRequest},
    framed,
    metadata::{BodyLength, RequestOptions},
    registration::RegistrationError,
    stream::{ConnectRequest, ConnectionType, encode_request, parse_response},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

struct Running {
    edge: QuicEdge,
    connection: quinn::Connection,
    shutdown: CancellationToken,
    ended: tokio::task::JoinHandle<()>,
}

/// An agent with these rules, connected.
async fn running(rules: Vec<IngressRule>) -> Running {
    let mut edge = QuicEdge::new(Told::default());
    let agent = Agent::new(config(edge.address, &edge.authority, rules)).unwrap();
    let mut connected = agent.connected();
    let shutdown = CancellationToken::new();
    let ended = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { agent.run(shutdown).await.unwrap() }
    });
    let connection = edge.connection().await;
    soon("the registration", connected.wait_for(|up| *up == 1)).await.unwrap();
    Running { edge, connection, shutdown, ended }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_reaches_the_service_and_its_answer_comes_back() {
    let address = service(mirror).await;
    let running = running(vec![rule("", &format!("http://{address}"))]).await;
    let request = Request::get("https://app.example/x?y=1").header("host", "app.example").header("connection", "close, x-hop");
    let request = request.header("x-kept", "1").body(()).unwrap();
    let mut exchange = Exchange::begin(&running.connection, request, NO_BODY).await;
    exchange.send.finish().unwrap();
    let (head, framed) = exchange.head().await.unwrap();
    assert_eq!(head.status, 200);
    assert!(!framed);
    assert_eq!(head.headers.get_all("x-multi").iter().collect::<Vec<_>>(), ["a", "b"]);
    let seen = String::from_utf8(exchange.body().await.unwrap()).unwrap().to_ascii_lowercase();
    assert!(seen.starts_with("get /x?y=1 http/1.1\r\n"), "{seen}");
    assert!(
        seen.contains("host: app.example\r\n") && seen.contains("x-kept: 1\r\n") && seen.contains("cf-warp-tag-id: "),
        "{seen}"
    );
    let told = &running.edge.told;
    let registration = told.registrations.lock().unwrap()[0].clone();
    assert_eq!(registration.index, 0);
    assert!(registration.options.client.features.contains(&"poterne_trailers_1".to_owned()));
    let local = told.local_configuration.lock().unwrap().clone().expect("index 0 tells the local rules");
    assert!(String::from_utf8_lossy(&local).contains(&address.to_string()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_goes_up_with_and_without_a_length() {
    let address = service(|mut stream| async move {
        let head = read_head(&mut stream).await.to_ascii_lowercase();
        let mut body = vec![0; if head.contains("content-length: 5") { 5 } else { 15 }];
        stream.read_exact(&mut body).await.unwrap();
        let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", body.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        stream.write_all(b"\r\n0\r\n\r\n").await.unwrap();
    })
    .await;
    let running = running(vec![rule("", &format!("http://{address}"))]).await;
    for (body, expected) in [(BodyLength::Known(5), "hello"), (BodyLength::Unknown, "5\r\nhello\r\n0\r\n\r\n")] {
        let request = Request::post("https://app.example/p").header("host", "app.example").body(()).unwrap();
        let mut exchange = Exchange::begin(&running.connection, request, RequestOptions { body, ..NO_BODY }).await;
        exchange.send.write_all(b"hello").await.unwrap();
        exchange.send.finish().unwrap();
        let (head, _) = exchange.head().await.unwrap();
        assert!(!head.headers.contains_key("transfer-encoding"));
        assert_eq!(String::from_utf8(exchange.body().await.unwrap()).unwrap(), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_cut_short_is_a_reset_and_a_dead_service_has_words() {
    let (cut, may_cut) = tokio::sync::watch::channel(false);
    let address = service(move |mut stream| {
        let mut may_cut = may_cut.clone();
        async move {
            if read_head(&mut stream).await.contains("/both") {
                let answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
                stream.write_all(answer.as_bytes()).await.unwrap();
                return;
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n0123456789").await.unwrap();
            may_cut.wait_for(|cut| *cut).await.unwrap();
        }
    })
    .await;
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let rules = vec![rule("dead.example", &format!("http://{dead}")), rule("", &format!("http://{address}"))];
    let running = running(rules).await;
    let mut exchange = Exchange::begin(&running.connection, get("https://app.example/cut"), NO_BODY).await;
    exchange.send.finish().unwrap();
    exchange.head().await.unwrap();
    assert_eq!(exchange.some(10).await, b"0123456789");
    cut.send(true).unwrap();
    assert!(matches!(exchange.body().await, Err(quinn::ReadError::Reset(_))));
    let text = fetch(&running.connection, "https://dead.example/").await.unwrap_err();
    assert!(text.starts_with("Unable to reach the origin service."), "{text}");
    let text = fetch(&running.connection, "https://app.example/both").await.unwrap_err();
    assert!(text.contains("both Transfer-Encoding and Content-Length"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_kept_and_one_that_died_costs_no_request() {
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = accepted.clone();
    let address = service(move |mut stream| {
        let turn = count.fetch_add(1, Ordering::SeqCst);
        async move {
            // The first connection answers twice and dies on the third request, unanswered.
            for request in 0.. {
                if read_head(&mut stream).await.is_empty() || (turn == 0 && request == 2) {
                    return;
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
            }
        }
    })
    .await;
    let running = running(vec![rule("", &format!("http://{address}"))]).await;
    for _ in 0..2 {
        assert_eq!(fetch(&running.connection, "https://a.example/").await.unwrap().1, b"ok");
    }
    assert_eq!(accepted.load(Ordering::SeqCst), 1, "the second request reuses the connection");
    assert_eq!(fetch(&running.connection, "https://a.example/").await.unwrap().1, b"ok");
    assert_eq!(accepted.load(Ordering::SeqCst), 2, "the third is repeated on a fresh one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_pass_before_the_answer_ends_and_a_leaving_visitor_is_noticed() {
    let (gone, mut noticed) = tokio::sync::mpsc::unbounded_channel();
    let address = service(move |mut stream| {
        let gone = gone.clone();
        async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n").await.unwrap();
            // Nothing more until the agent closes.
            let _ = stream.read_u8().await;
            gone.send(()).unwrap();
        }
    })
    .await;
    let running = running(vec![rule("", &format!("http://{address}"))]).await;
    let mut exchange = Exchange::begin(&running.connection, get("https://a.example/events"), NO_BODY).await;
    exchange.send.finish().unwrap();
    exchange.head().await.unwrap();
    assert_eq!(exchange.some(9).await, b"data: 1\n\n");
    exchange.recv.stop(0u32.into()).unwrap();
    soon("the service to see the visitor leave", noticed.recv()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_service_holds_up_nobody_else() {
    let silent = service(|mut stream| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let quick = service(mirror).await;
    let running = running(vec![rule("silent.example", &format!("http://{silent}")), rule("", &format!("http://{quick}"))]).await;
    let mut waiting = Vec::new();
    for _ in 0..100 {
        let mut exchange = Exchange::begin(&running.connection, get("https://silent.example/"), NO_BODY).await;
        exchange.send.finish().unwrap();
        waiting.push(exchange);
    }
    assert_eq!(fetch(&running.connection, "https://a.example/").await.unwrap().0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_pass_both_ways_when_framed() {
    let address = service(|mut stream| async move {
        let head = read_head(&mut stream).await.to_ascii_lowercase();
        // A service that announces its trailers, and one that was asked for them.
        let announced = if head.contains("te: trailers") { "" } else { "Trailer: x-down\r\n" };
        let mut body = Vec::new();
        while !body.ends_with(b"\r\n\r\n") {
            body.push(stream.read_u8().await.unwrap());
        }
        let seen = String::from_utf8(body).unwrap().to_ascii_lowercase().contains("x-up: 1");
        let answer =
            format!("HTTP/1.1 200 OK\r\n{announced}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Down: {seen}\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let running = running(vec![rule("", &format!("http://{address}"))]).await;
    for wanted in [false, true] {
        let mut request = Request::post("https://a.example/").header("host", "a.example").header("trailer", "x-up");
        if wanted {
            request = request.header("te", "trailers");
        }
        pass_both_ways(&running, request.body(()).unwrap()).await;
    }
}

async fn pass_both_ways(running: &Running, request: Request<()>) {
    let options = RequestOptions { body: BodyLength::Unknown, websocket: false, poterne: Some(edge::FRAMED) };
    let mut exchange = Exchange::begin(&running.connection, request, options).await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-up", "1".parse().unwrap());
    exchange.send.write_all(&framed::data_header(2)).await.unwrap();
    exchange.send.write_all(b"hi").await.unwrap();
    exchange.send.write_all(&framed::end(Some(&trailers)).unwrap()).await.unwrap();
    exchange.send.finish().unwrap();
    let (_, is_framed) = exchange.head().await.unwrap();
    assert!(is_framed);
    let mut rest = Bytes::from(exchange.body().await.unwrap());
    let mut decoder = framed::Decoder::new();
    assert_eq!(decoder.decode(&mut rest).unwrap(), Some(framed::Piece::Data("ok".into())));
    let Some(framed::Piece::End(Some(down))) = decoder.decode(&mut rest).unwrap() else { panic!("no trailers came") };
    assert_eq!(down["x-down"], "true");
}

/// An unmasked server frame or a masked client frame of less than 126 bytes.
fn frame(payload: &[u8], is_client: bool) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    let mut frame = vec![0x82, length | if is_client { 0x80 } else { 0 }];
    if is_client {
        frame.extend_from_slice(&[0; 4]);
    }
    frame.extend_from_slice(payload);
    frame
}

async fn websocket(running: &Running, host: &str) -> Exchange {
    let request =
        Request::get(format!("https://{host}/")).header("host", host).header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let options = RequestOptions { websocket: true, body: BodyLength::Unknown, poterne: None };
    let mut exchange = Exchange::begin(&running.connection, request.body(()).unwrap(), options).await;
    let (head, _) = exchange.head().await.unwrap();
    assert_eq!(head.status, 101);
    assert_eq!(head.headers["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    exchange
}

async fn echo(mut stream: tokio::net::TcpStream) {
    let (mut read, mut write) = stream.split();
    let _ = tokio::io::copy(&mut read, &mut write).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tcp_services_speak_websocket_frames() {
    let address = service(echo).await;
    let running = running(vec![rule("", &format!("tcp://{address}"))]).await;
    let mut exchange = websocket(&running, "db.example").await;
    exchange.send.write_all(&frame(b"ping", true)).await.unwrap();
    assert_eq!(exchange.some(6).await, frame(b"ping", false));
    exchange.send.finish().unwrap();
    assert_eq!(exchange.body().await.unwrap(), b"");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_is_passed_to_an_http_service() {
    let address = service(|mut stream| async move {
        let head = read_head(&mut stream).await.to_ascii_lowercase();
        assert!(head.contains("connection: upgrade") && head.contains("upgrade: websocket"), "{head}");
        let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nearly";
        stream.write_all(answer.as_bytes()).await.unwrap();
        echo(stream).await;
    })
    .await;
    let running = running(vec![rule("", &format!("ws://{address}"))]).await;
    let mut exchange = websocket(&running, "ws.example").await;
    assert_eq!(exchange.some(5).await, b"early");
    exchange.send.write_all(b"raw bytes").await.unwrap();
    assert_eq!(exchange.some(9).await, b"raw bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_visitor_who_leaves_a_silent_websocket_is_noticed() {
    let (gone, mut noticed) = tokio::sync::mpsc::unbounded_channel();
    let address = service(move |mut stream| {
        let gone = gone.clone();
        async move {
            read_head(&mut stream).await;
            let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                          Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
            stream.write_all(answer.as_bytes()).await.unwrap();
            // Nothing more until the agent closes.
            let _ = stream.read_u8().await;
            gone.send(()).unwrap();
        }
    })
    .await;
    let running = running(vec![rule("", &format!("ws://{address}"))]).await;
    let mut exchange = websocket(&running, "ws.example").await;
    // It takes nothing any more, and the end of what it sent may wait behind what the service does not read.
    exchange.recv.stop(0u32.into()).unwrap();
    soon("the service to see the visitor leave", noticed.recv()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn socks_reaches_what_ip_rules_allow_and_nothing_else() {
    let address = service(echo).await;
    let allow = OriginRequest {
        ip_rules: Some(vec![poterne_tunnel_proto::config::IpRule {
            prefix: "127.0.0.0/8".into(),
            ports: vec![address.port()],
            allow: true,
        }]),
        ..OriginRequest::default()
    };
    let running = running(vec![rule("none.example", "socks-proxy"), rule_with("", "socks-proxy", allow)]).await;
    let mut connect = vec![5, 1, 0, 1, 127, 0, 0, 1];
    connect.extend_from_slice(&address.port().to_be_bytes());
    for (host, verdict) in [("some.example", 0), ("none.example", 2)] {
        let mut exchange = websocket(&running, host).await;
        exchange.send.write_all(&frame(&[5, 1, 0], true)).await.unwrap();
        assert_eq!(exchange.some(4).await, frame(&[5, 0], false));
        exchange.send.write_all(&frame(&connect, true)).await.unwrap();
        assert_eq!(exchange.some(12).await[..4], [0x82, 10, 5, verdict]);
        if verdict == 0 {
            exchange.send.write_all(&frame(b"through", true)).await.unwrap();
            assert_eq!(exchange.some(9).await, frame(b"through", false));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn private_network_flows_are_acknowledged_then_raw() {
    let address = service(echo).await;
    let running = running(vec![rule("", "http_status:404")]).await;
    let open = |dest: String| ConnectRequest { dest, kind: ConnectionType::Tcp, metadata: Vec::new() };
    for (dest, expected) in [(address.to_string(), ""), ("db.inside:1".to_owned(), "db.inside:1")] {
        let (mut send, mut recv) = running.connection.open_bi().await.unwrap();
        send.write_all(&encode_request(&open(dest))).await.unwrap();
        let mut answer = vec![0; 48];
        soon("the acknowledgement", recv.read_exact(&mut answer)).await.unwrap();
        if expected.is_empty() {
            send.write_all(b"raw").await.unwrap();
            let mut back = [0; 3];
            soon("the echo", recv.read_exact(&mut back)).await.unwrap();
            assert_eq!(&back, b"raw");
        } else {
            answer.extend(soon("the refusal", recv.read_to_end(4096)).await.unwrap());
            let parsed = parse_response(&answer).unwrap();
            assert!(format!("{parsed:?}").contains(expected), "{parsed:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn built_in_services_answer() {
    let running = running(vec![rule("status.example", "http_status:418"), rule("", "hello_world")]).await;
    assert_eq!(fetch(&running.connection, "https://status.example/").await.unwrap(), (http::StatusCode::IM_A_TEAPOT, Vec::new()));
    let (status, page) = fetch(&running.connection, "https://hello.example/").await.unwrap();
    assert_eq!(status, 200);
    assert!(String::from_utf8(page).unwrap().contains("The tunnel works."));
    assert_eq!(fetch(&running.connection, "https://hello.example/nowhere").await.unwrap().0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_are_granted_while_they_are_used() {
    let running = running(vec![rule("", "http_status:404")]).await;
    let mut held = Vec::new();
    // More than are granted at first. Each has begun to say what it is for, so that the agent sees and holds it.
    for _ in 0..1000 {
        let (mut send, recv) = soon("a stream", running.connection.open_bi()).await.unwrap();
        send.write_all(&[0x0a]).await.unwrap();
        held.push((send, recv));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_means_nothing_is_reset_and_the_others_go_on() {
    let running = running(vec![rule("", "http_status:204")]).await;
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0x0a, 0x36, 0xcd, 0x12, 0xa1, 0x3e, 0x30, 0x31, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    ] {
        let (mut send, mut recv) = running.connection.open_bi().await.unwrap();
        send.write_all(garbage).await.unwrap();
        let end = soon("the reset", recv.read_to_end(1024)).await;
        assert!(end.is_err(), "{end:?}");
    }
    assert_eq!(fetch(&running.connection, "https://a.example/").await.unwrap().0, 204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pushed_configuration_takes_effect_whole_or_not_at_all() {
    let running = running(vec![rule("", "http_status:404")]).await;
    let push = async |version, config: &'static str| {
        let (send, recv) = running.connection.open_bi().await.unwrap();
        poterne_tunnel_rpc::update_configuration(&running.edge.threads, recv, send, version, config.into(), edge::PATIENCE)
            .await
            .unwrap()
    };
    let answer = push(1, r#"{"ingress":[{"service":"http_status:201"}]}"#).await;
    assert_eq!((answer.latest_applied_version, answer.error), (1, None));
    assert_eq!(fetch(&running.connection, "https://a.example/").await.unwrap().0, 201);
    let answer = push(2, r#"{"ingress":[{"service":"http_status:20"}]}"#).await;
    assert_eq!(answer.latest_applied_version, 1);
    assert!(answer.error.is_some());
    assert_eq!(fetch(&running.connection, "https://a.example/").await.unwrap().0, 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_connections_come_and_come_back() {
    let mut edge = QuicEdge::new(Told::default());
    let mut settings = config(edge.address, &edge.authority, vec![rule("", "http_status:204")]);
    settings.ha_connections = 4;
    let agent = Agent::new(settings).unwrap();
    let mut connected = agent.connected();
    tokio::spawn(agent.run(CancellationToken::new()));
    soon("four connections", connected.wait_for(|up| *up == 4)).await.unwrap();
    let mut first = Vec::new();
    for _ in 0..4 {
        first.push(edge.connection().await);
    }
    for connection in &first {
        connection.close(0u32.into(), b"restart");
    }
    soon("the loss of all", connected.wait_for(|up| *up < 4)).await.unwrap();
    soon("their return", connected.wait_for(|up| *up == 4)).await.unwrap();
    let mut indexes: Vec<u8> = edge.told.registrations.lock().unwrap().iter().map(|registration| registration.index).collect();
    assert_eq!(indexes[0], 0, "connection 0 comes first");
    indexes.sort_unstable();
    assert_eq!(indexes, [0, 0, 1, 1, 2, 2, 3, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_served_a_crowd_is_renewed_once_all_have_gone() {
    let mut edge = QuicEdge::new(Told::default());
    let mut settings = config(edge.address, &edge.authority, vec![rule("", "http_status:204")]);
    (settings.ha_connections, settings.calm) = (2, std::time::Duration::from_millis(20));
    let agent = Agent::new(settings).unwrap();
    let mut connected = agent.connected();
    tokio::spawn(agent.run(CancellationToken::new()));
    soon("two connections", connected.wait_for(|up| *up == 2)).await.unwrap();
    let (crowded, other) = (edge.connection().await, edge.connection().await);
    let mut crowd = Vec::new();
    for _ in 0..600 {
        let (mut send, recv) = soon("a stream", crowded.open_bi()).await.unwrap();
        send.write_all(&[0x0a]).await.unwrap();
        crowd.push((send, recv));
    }
    let goodbyes = || edge.told.goodbyes.load(Ordering::SeqCst);
    // Streams are taken in their order: once this one is answered, all of them were there at once.
    assert_eq!(fetch(&crowded, "https://a.example/").await.unwrap().0, 204);
    let last = crowd.pop().unwrap();
    drop(crowd);
    // One of them is left: the connection stays, however calm it is.
    for _ in 0..50 {
        assert_eq!(fetch(&crowded, "https://a.example/").await.unwrap().0, 204);
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert_eq!(goodbyes(), 0);
    drop(last);
    soon("the goodbye", async {
        while goodbyes() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    crowded.close(0u32.into(), b"drained");
    let renewed = edge.connection().await;
    soon("both again", connected.wait_for(|up| *up == 2)).await.unwrap();
    for connection in [&renewed, &other] {
        assert_eq!(fetch(connection, "https://a.example/").await.unwrap().0, 204);
    }
    let registrations = edge.told.registrations.lock().unwrap();
    let again = registrations.last().unwrap();
    assert_eq!(registrations.iter().filter(|first| first.index == again.index).count(), 2);
    assert_eq!(again.options.previous_attempts, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_duplicate_tries_again_and_announced_edges_are_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let edge = QuicEdge::new(Told::default());
    edge.told.refusals.lock().unwrap().push(RegistrationError::duplicate());
    let announced = poterne_tunnel_proto::registration::Edges::new(vec![edge.address.to_string()], &[edge.authority.pin]);
    *edge.told.edges.lock().unwrap() = Some(announced.encode());
    let mut settings = config(edge.address, &edge.authority, vec![rule("", "http_status:204")]);
    settings.state_dir = Some(dir.path().to_owned());
    let agent = Agent::new(settings.clone()).unwrap();
    let mut connected = agent.connected();
    tokio::spawn(agent.run(CancellationToken::new()));
    soon("the second try", connected.wait_for(|up| *up == 1)).await.unwrap();
    let attempts: Vec<u8> =
        edge.told.registrations.lock().unwrap().iter().map(|request| request.options.previous_attempts).collect();
    assert_eq!(attempts, [0, 1]);
    // Started again with neither the address nor the pin: both are remembered.
    settings.edges = Vec::new();
    settings.trust = Trust::Pins(Vec::new());
    let agent = Agent::new(settings).unwrap();
    let mut connected = agent.connected();
    tokio::spawn(agent.run(CancellationToken::new()));
    soon("a connection by what is remembered", connected.wait_for(|up| *up == 1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_says_goodbye_finishes_what_runs_and_ends_when_the_edge_closes() {
    let (release, released) = tokio::sync::watch::channel(false);
    let address = service(move |mut stream| {
        let mut released = released.clone();
        async move {
            read_head(&mut stream).await;
            released.wait_for(|released| *released).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate").await.unwrap();
        }
    })
    .await;
    let running = running(vec![rule("", &format!("http://{address}"))]).await;
    let mut exchange = Exchange::begin(&running.connection, get("https://a.example/"), NO_BODY).await;
    exchange.send.finish().unwrap();
    running.shutdown.cancel();
    let told = running.edge.told.clone();
    soon("the goodbye", async {
        while told.goodbyes.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    release.send(true).unwrap();
    exchange.head().await.unwrap();
    assert_eq!(exchange.body().await.unwrap(), b"late");
    running.connection.close(0u32.into(), b"drained");
    soon("the agent's end", running.ended).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_with_another_authority_is_not_spoken_to() {
    let edge = QuicEdge::new(Told::default());
    let mut settings = config(edge.address, &edge::Authority::new(), vec![rule("", "http_status:204")]);
    settings.protocol = poterne_tunnel_agent::Protocol::Quic;
    settings.status = poterne_tunnel_agent::StatusListen::At("127.0.0.1:0".parse().unwrap());
    let agent = Agent::new(settings).unwrap();
    let mut status = agent.status_address();
    tokio::spawn(agent.run(CancellationToken::new()));
    let address = soon("the status page", status.wait_for(Option::is_some)).await.unwrap().unwrap();
    soon("a failed dial", async {
        loop {
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            let mut page = String::new();
            stream.read_to_string(&mut page).await.unwrap();
            if !page.contains("poterne_agent_dial_errors_total 0") {
                return;
            }
        }
    })
    .await;
    assert!(edge.told.registrations.lock().unwrap().is_empty(), "the secret is not shown to a stranger");
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    assert!(page.starts_with("HTTP/1.1 503") && page.contains("\"readyConnections\":0"), "{page}");
}
