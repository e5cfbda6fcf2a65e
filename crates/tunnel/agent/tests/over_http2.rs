//! The agent over HTTP/2 with reversed roles, and what it does where UDP goes nowhere.
#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

mod edge;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use edge::{Authority, Server, Told, config, mirror, read_head, rule, service, soon};
use http::{Request, Response};
use poterne_tunnel_agent::{Agent, Protocol};
use poterne_tunnel_proto::{config::IngressRule, h2 as wire, metadata::Answer};
use poterne_tunnel_rpc::{Limits, RpcThreads, serve_registration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;

/// TLS alone: dials by QUIC to its port meet nobody.
struct TlsEdge {
    address: SocketAddr,
    told: Arc<Told>,
    authority: Authority,
    connections: mpsc::UnboundedReceiver<h2::client::SendRequest<Bytes>>,
    /// What drives each of them.
    drivers: Arc<Mutex<Vec<tokio::task::AbortHandle>>>,
}

impl TlsEdge {
    async fn new() -> Self {
        let authority = Authority::new();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(authority.server_config(&[])));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let told = Arc::new(Told::default());
        let (accepted, connections) = mpsc::unbounded_channel();
        let drivers = Arc::<Mutex<Vec<_>>>::default();
        tokio::spawn({
            let (told, threads, drivers) = (told.clone(), RpcThreads::new(1), drivers.clone());
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let tls = acceptor.accept(stream).await.unwrap();
                    let (mut sender, connection) = h2::client::handshake(tls).await.unwrap();
                    drivers.lock().unwrap().push(tokio::spawn(connection).abort_handle());
                    let (response, send) = sender.send_request(wire::control_stream_request(), false).unwrap();
                    let (told, threads, accepted) = (told.clone(), threads.clone(), accepted.clone());
                    tokio::spawn(async move {
                        let recv = response.await.unwrap().into_body();
                        let _ = accepted.send(sender);
                        let (near, far) = tokio::io::duplex(64 * 1024);
                        tokio::spawn(carry(recv, send, far));
                        let (reader, writer) = tokio::io::split(near);
                        let _ = serve_registration(&threads, reader, writer, Arc::new(Server(told)), Limits::default()).await;
                    });
                }
            }
        });
        Self { address, told, authority, connections, drivers }
    }

    async fn connection(&mut self) -> h2::client::SendRequest<Bytes> {
        soon("a connection of the agent", self.connections.recv()).await.unwrap()
    }
}

/// The control stream's two bodies as one byte stream.
async fn carry(mut recv: h2::RecvStream, mut send: h2::SendStream<Bytes>, far: tokio::io::DuplexStream) {
    let (mut read, mut write) = tokio::io::split(far);
    let down = async {
        while let Some(Ok(data)) = recv.data().await {
            let _ = recv.flow_control().release_capacity(data.len());
            if write.write_all(&data).await.is_err() {
                return;
            }
        }
        let _ = write.shutdown().await;
    };
    let up = async {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(read @ 1..) = read.read(&mut buffer).await {
            if send.send_data(Bytes::copy_from_slice(&buffer[..read]), false).is_err() {
                return;
            }
        }
        let _ = send.send_data(Bytes::new(), true);
    };
    tokio::join!(down, up);
}

async fn running(rules: Vec<IngressRule>, protocol: Protocol) -> (TlsEdge, h2::client::SendRequest<Bytes>) {
    let mut edge = TlsEdge::new().await;
    let mut settings = config(edge.address, &edge.authority, rules);
    settings.protocol = protocol;
    let agent = Agent::new(settings).unwrap();
    let mut connected = agent.connected();
    tokio::spawn(agent.run(CancellationToken::new()));
    let sender = edge.connection().await;
    soon("the registration", connected.wait_for(|up| *up == 1)).await.unwrap();
    (edge, sender)
}

async fn ask(
    sender: &mut h2::client::SendRequest<Bytes>,
    request: Request<()>,
    body: Option<&'static [u8]>,
    websocket: bool,
) -> (Response<h2::RecvStream>, Answer, Option<h2::SendStream<Bytes>>) {
    let request = wire::tunnel_request(&request.into_parts().0, websocket).unwrap();
    let (response, mut send) = sender.send_request(request, body.is_none()).unwrap();
    if let Some(body) = body {
        send.send_data(Bytes::from_static(body), !websocket).unwrap();
    }
    let (parts, recv) = soon("an answer", response).await.unwrap().into_parts();
    let answer = wire::response_head(&parts, websocket).unwrap();
    (Response::from_parts(parts, recv), answer, body.map(|_| send))
}

async fn rest(mut recv: h2::RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut body = Vec::new();
    while let Some(data) = soon("the rest of an answer", recv.data()).await {
        let data = data?;
        let _ = recv.flow_control().release_capacity(data.len());
        body.extend_from_slice(&data);
    }
    Ok(body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_udp_goes_nowhere_http2_serves() {
    let address = service(mirror).await;
    // Auto: QUIC is tried first and finds nobody.
    let (edge, mut sender) = running(vec![rule("", &format!("http://{address}"))], Protocol::Auto).await;
    let request = Request::get("https://app.example/x?y=1").header("host", "app.example").body(()).unwrap();
    let (response, answer, _) = ask(&mut sender, request, None, false).await;
    let Answer::Head { parts, .. } = answer else { panic!("{answer:?}") };
    assert_eq!(parts.status, 200);
    assert_eq!(parts.headers.get_all("x-multi").iter().collect::<Vec<_>>(), ["a", "b"]);
    let seen = String::from_utf8(rest(response.into_body()).await.unwrap()).unwrap().to_ascii_lowercase();
    assert!(seen.starts_with("get /x?y=1 http/1.1\r\n") && seen.contains("host: app.example\r\n"), "{seen}");
    assert!(edge.told.local_configuration.lock().unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_go_up_and_broken_answers_are_resets() {
    let (cut, may_cut) = tokio::sync::watch::channel(false);
    let address = service(move |mut stream| {
        let mut may_cut = may_cut.clone();
        async move {
            let head = read_head(&mut stream).await.to_ascii_lowercase();
            if head.starts_with("get") {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n0123456789").await.unwrap();
                may_cut.wait_for(|cut| *cut).await.unwrap();
                return;
            }
            assert!(head.contains("transfer-encoding: chunked"), "{head}");
            let mut body = [0; 15];
            stream.read_exact(&mut body).await.unwrap();
            assert_eq!(&body, b"5\r\nhello\r\n0\r\n\r\n");
            stream.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        }
    })
    .await;
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let rules = vec![rule("dead.example", &format!("http://{dead}")), rule("", &format!("http://{address}"))];
    let (_edge, mut sender) = running(rules, Protocol::Http2).await;
    let request = |method: &str, host: &str| {
        Request::builder().method(method).uri(format!("https://{host}/")).header("host", host).body(()).unwrap()
    };
    let (_, answer, _) = ask(&mut sender, request("POST", "a.example"), Some(b"hello"), false).await;
    assert!(matches!(answer, Answer::Head { parts, .. } if parts.status == 201));
    let (response, _, _) = ask(&mut sender, request("GET", "a.example"), None, false).await;
    let mut body = response.into_body();
    assert_eq!(soon("the first bytes", body.data()).await.unwrap().unwrap(), "0123456789");
    cut.send(true).unwrap();
    assert!(rest(body).await.unwrap_err().is_reset());
    let (_, answer, _) = ask(&mut sender, request("GET", "dead.example"), None, false).await;
    assert!(matches!(answer, Answer::Error { .. }), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tcp_services_speak_websocket_frames() {
    let address = service(|mut stream| async move {
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    })
    .await;
    let (_edge, mut sender) = running(vec![rule("", &format!("tcp://{address}"))], Protocol::Http2).await;
    let request =
        Request::get("https://db.example/").header("host", "db.example").header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    // One masked frame, its mask all zeros; the echo comes back unmasked.
    let frame = b"\x82\x84\0\0\0\0ping";
    let (response, answer, _send) = ask(&mut sender, request.body(()).unwrap(), Some(frame), true).await;
    let Answer::Head { parts, .. } = answer else { panic!("{answer:?}") };
    assert_eq!(parts.status, 101);
    let mut body = response.into_body();
    let mut back = Vec::new();
    while back.len() < 6 {
        back.extend_from_slice(&soon("the echo", body.data()).await.unwrap().unwrap());
    }
    assert_eq!(back, b"\x82\x04ping");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_is_pushed_and_answered() {
    let (_edge, mut sender) = running(vec![rule("", "http_status:404")], Protocol::Http2).await;
    for (version, config, applied, is_error) in
        [(3, r#"{"ingress":[{"service":"http_status:201"}]}"#, 3, false), (4, r#"{"ingress":[{"service":"nonsense"}]}"#, 3, true)]
    {
        let push = wire::encode_push(&wire::ConfigurationPush { version, config: config.into() }).unwrap();
        let (response, mut send) = sender.send_request(wire::configuration_request(), false).unwrap();
        send.send_data(push, true).unwrap();
        let response = soon("the answer", response).await.unwrap();
        let answer = wire::parse_push_answer(&rest(response.into_body()).await.unwrap()).unwrap();
        assert_eq!((answer.latest_applied_version, answer.error.is_some()), (applied, is_error));
    }
    let request = Request::get("https://a.example/").header("host", "a.example").body(()).unwrap();
    let (_, answer, _) = ask(&mut sender, request, None, false).await;
    assert!(matches!(answer, Answer::Head { parts, .. } if parts.status == 201));
}

#[tokio::test]
async fn why_a_connection_ended_is_told() {
    let (logs, _guard) = edge::capture();
    let (mut edge, _sender) = running(vec![rule("", "http_status:404")], Protocol::Http2).await;
    for driver in edge.drivers.lock().unwrap().drain(..) {
        driver.abort();
    }
    // It is told before the agent dials anew.
    edge.connection().await;
    let text = String::from_utf8(logs.lock().unwrap().clone()).unwrap();
    let line = text.lines().find(|line| line.contains("the connection to the edge was lost")).unwrap_or_else(|| panic!("{text}"));
    assert!(line.contains("closed by the edge"), "{line}");
}

#[tokio::test]
async fn the_words_of_an_edge_that_goes_away_are_told() {
    let (logs, _guard) = edge::capture();
    let authority = Authority::new();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(authority.server_config(&[])));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = config(listener.local_addr().unwrap(), &authority, vec![rule("", "http_status:404")]);
    settings.protocol = Protocol::Http2;
    tokio::spawn(Agent::new(settings).unwrap().run(CancellationToken::new()));
    for _ in 0..2 {
        let (stream, _) = soon("a dial", listener.accept()).await.unwrap();
        let mut tls = acceptor.accept(stream).await.unwrap();
        // The preface, SETTINGS, and GOAWAY with ENHANCE_YOUR_CALM and words (RFC 9113 §3.4, §6.8).
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let goaway = b"\0\0\x13\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0btoo crowded";
        tls.write_all(&[&preface[..], b"\0\0\0\x04\0\0\0\0\0", goaway].concat()).await.unwrap();
        let _ = tls.shutdown().await;
        // Until the agent has left, too.
        let _ = soon("the agent's end", tls.read_to_end(&mut Vec::new())).await;
    }
    let text = String::from_utf8(logs.lock().unwrap().clone()).unwrap();
    let line = text.lines().find(|line| line.contains("ended before it was registered")).unwrap_or_else(|| panic!("{text}"));
    assert!(line.contains("too crowded"), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_served_a_crowd_is_renewed() {
    let (release, released) = tokio::sync::watch::channel(false);
    let arrived = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = arrived.clone();
    let address = service(move |mut stream| {
        let (mut released, counted) = (released.clone(), counted.clone());
        async move {
            read_head(&mut stream).await;
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            released.wait_for(|released| *released).await.unwrap();
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        }
    })
    .await;
    let mut edge = TlsEdge::new().await;
    let mut settings = config(edge.address, &edge.authority, vec![rule("", &format!("http://{address}"))]);
    settings.protocol = Protocol::Http2;
    (settings.ha_connections, settings.calm) = (2, std::time::Duration::from_millis(20));
    let agent = Agent::new(settings).unwrap();
    let mut connected = agent.connected();
    tokio::spawn(agent.run(CancellationToken::new()));
    soon("two connections", connected.wait_for(|up| *up == 2)).await.unwrap();
    let mut crowded = edge.connection().await;
    let mut crowd = Vec::new();
    for _ in 0..600 {
        let request = Request::get("https://a.example/").header("host", "a.example").body(()).unwrap();
        let request = wire::tunnel_request(&request.into_parts().0, false).unwrap();
        crowded = soon("room for a stream", crowded.ready()).await.unwrap();
        crowd.push(crowded.send_request(request, true).unwrap().0);
    }
    // All at once: a crowd that is answered while it comes is none.
    soon("the crowd", async {
        while arrived.load(std::sync::atomic::Ordering::SeqCst) < 600 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    release.send(true).unwrap();
    for answer in crowd {
        assert_eq!(soon("an answer", answer).await.unwrap().status(), 204);
    }
    soon("the goodbye", async {
        while edge.told.goodbyes.load(std::sync::atomic::Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // Connection 0 comes first; its driver ends, as when the edge has drained it.
    edge.drivers.lock().unwrap()[0].abort();
    soon("the loss", connected.wait_for(|up| *up == 1)).await.unwrap();
    soon("both again", connected.wait_for(|up| *up == 2)).await.unwrap();
    let indexes: Vec<u8> = edge.told.registrations.lock().unwrap().iter().map(|registration| registration.index).collect();
    assert_eq!(indexes, [0, 1, 0]);
}
