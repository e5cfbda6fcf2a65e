//! Local services that are not plain HTTP/1.1 over TCP: TLS, Unix sockets, HTTP/2.
#![allow(clippy::unwrap_used, reason = "test code")]

mod edge;

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use edge::{Authority, Exchange, NO_BODY, QuicEdge, Told, config, fetch, get, rule, rule_with, soon};
use http::{HeaderMap, Request, Response};
use poterne_tunnel_agent::Agent;
use poterne_tunnel_proto::{
    config::{IngressRule, OriginRequest},
    framed,
    metadata::{BodyLength, RequestOptions},
};
use rustls::pki_types::pem::PemObject as _;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UnixListener},
};
use tokio_util::sync::CancellationToken;

async fn running(rules: Vec<IngressRule>) -> (QuicEdge, quinn::Connection) {
    let mut edge = QuicEdge::new(Told::default());
    let agent = Agent::new(config(edge.address, &edge.authority, rules)).unwrap();
    let mut connected = agent.connected();
    tokio::spawn(agent.run(CancellationToken::new()));
    let connection = edge.connection().await;
    soon("the registration", connected.wait_for(|up| *up == 1)).await.unwrap();
    (edge, connection)
}

/// A service over TLS, named as the edge's certificate is; answers with the server name it was asked for.
async fn tls_service(authority: &Authority) -> SocketAddr {
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(authority.server_config(&[b"http/1.1"])));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut tls) = acceptor.accept(stream).await else { return };
                let name = tls.get_ref().1.server_name().unwrap_or("none").to_owned();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(tls.read_u8().await.unwrap());
                }
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
                tls.write_all(answer.as_bytes()).await.unwrap();
                tls.shutdown().await.unwrap();
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tls_service_must_prove_its_name_unless_told_otherwise() {
    let authority = Authority::new();
    let address = tls_service(&authority).await;
    let dir = tempfile::tempdir().unwrap();
    let pool = dir.path().join("ca.pem");
    std::fs::write(&pool, authority.ca_pem()).unwrap();
    let service = format!("https://{address}");
    let with = |hostname: &str, origin: OriginRequest| rule_with(hostname, &service, origin);
    let trusted = OriginRequest { ca_pool: Some(pool.display().to_string()), ..OriginRequest::default() };
    let rules = vec![
        with("named.example", OriginRequest { origin_server_name: Some("quic.cftunnel.com".into()), ..trusted.clone() }),
        with("h2.cftunnel.com", OriginRequest { match_sni_to_host: Some(true), ..trusted.clone() }),
        with("unnamed.example", trusted),
        with("any.example", OriginRequest { no_tls_verify: Some(true), ..OriginRequest::default() }),
        with(
            "",
            OriginRequest {
                origin_server_name: Some("quic.cftunnel.com".into()),
                ca_pool: Some(other_pool(dir.path())),
                ..OriginRequest::default()
            },
        ),
    ];
    let (_edge, connection) = running(rules).await;
    assert_eq!(fetch(&connection, "https://named.example/").await.unwrap().1, b"quic.cftunnel.com");
    assert_eq!(fetch(&connection, "https://h2.cftunnel.com/").await.unwrap().1, b"h2.cftunnel.com");
    assert_eq!(fetch(&connection, "https://any.example/").await.unwrap().0, 200);
    for refused in ["unnamed.example", "stranger.example"] {
        let text = fetch(&connection, &format!("https://{refused}/")).await.unwrap_err();
        assert!(text.contains("originServerName"), "the remedy is named: {text}");
    }
}

/// An authority that did not sign the service's certificate.
fn other_pool(dir: &std::path::Path) -> String {
    let path = dir.join("other.pem");
    let pem = Authority::new().ca_pem();
    assert!(rustls::pki_types::CertificateDer::from_pem_slice(pem.as_bytes()).is_ok());
    std::fs::write(&path, pem).unwrap();
    path.display().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_may_live_on_a_unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("web.sock");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nunix").await.unwrap();
    });
    let (_edge, connection) = running(vec![rule("", &format!("unix:{}", path.display()))]).await;
    assert_eq!(fetch(&connection, "https://a.example/").await.unwrap().1, b"unix");
}

/// What gRPC needs: HTTP/2 without TLS, both directions at once, trailers at the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http2_service_streams_both_ways_and_ends_with_trailers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            tokio::spawn(async move {
                assert_eq!(request.uri().authority().unwrap(), "grpc.example");
                assert_eq!(request.headers()["te"], "trailers");
                let mut body = request.into_body();
                let mut send: h2::SendStream<Bytes> = respond.send_response(Response::new(()), false).unwrap();
                while let Some(data) = body.data().await {
                    let data = data.unwrap();
                    let _ = body.flow_control().release_capacity(data.len());
                    send.send_data(data, false).unwrap();
                }
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", "0".parse().unwrap());
                send.send_trailers(trailers).unwrap();
            });
        }
    });
    let http2 = OriginRequest { http2_origin: Some(true), ..OriginRequest::default() };
    let (_edge, connection) = running(vec![rule_with("", &format!("http://{address}"), http2)]).await;
    for _ in 0..2 {
        let request =
            Request::post("https://grpc.example/s/m").header("host", "grpc.example").header("te", "trailers").body(()).unwrap();
        let options = RequestOptions { websocket: false, body: BodyLength::Unknown, poterne: Some(edge::FRAMED) };
        let mut exchange = Exchange::begin(&connection, request, options).await;
        let (_, is_framed) = exchange.head().await.unwrap();
        assert!(is_framed);
        for message in [b"one", b"two"] {
            exchange.send.write_all(&framed::data_header(3)).await.unwrap();
            exchange.send.write_all(message).await.unwrap();
            // It comes back before the next is sent.
            assert_eq!(exchange.some(7).await, [&framed::data_header(3), &message[..]].concat());
        }
        exchange.send.write_all(&framed::end(None).unwrap()).await.unwrap();
        exchange.send.finish().unwrap();
        let mut rest = Bytes::from(exchange.body().await.unwrap());
        let Some(framed::Piece::End(Some(trailers))) = framed::Decoder::new().decode(&mut rest).unwrap() else {
            panic!("no trailers")
        };
        assert_eq!(trailers["grpc-status"], "0");
    }
}

/// HTTP/2 has room for both; only between two Poternes does QUIC, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_pass_both_ways_beside_a_length() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            tokio::spawn(async move {
                assert_eq!(request.headers()["content-length"], "5");
                let mut body = request.into_body();
                while let Some(data) = body.data().await {
                    let _ = body.flow_control().release_capacity(data.unwrap().len());
                }
                // What came beside five bytes goes back beside two.
                let trailers = body.trailers().await.unwrap().unwrap_or_default();
                let head = Response::builder().header("content-length", "2").body(()).unwrap();
                let mut send: h2::SendStream<Bytes> = respond.send_response(head, false).unwrap();
                send.send_data(Bytes::from_static(b"ok"), false).unwrap();
                send.send_trailers(trailers).unwrap();
            });
        }
    });
    let http2 = OriginRequest { http2_origin: Some(true), ..OriginRequest::default() };
    let (_edge, connection) = running(vec![rule_with("", &format!("http://{address}"), http2)]).await;
    let request = Request::post("https://a.example/").header("host", "a.example").body(()).unwrap();
    let options = RequestOptions { websocket: false, body: BodyLength::Known(5), poterne: Some(edge::FRAMED) };
    let mut exchange = Exchange::begin(&connection, request, options).await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", "1a2b".parse().unwrap());
    let body = [&framed::data_header(5)[..], b"hello", &framed::end(Some(&trailers)).unwrap()].concat();
    exchange.send.write_all(&body).await.unwrap();
    exchange.send.finish().unwrap();
    let (head, is_framed) = exchange.head().await.unwrap();
    assert_eq!((head.headers["content-length"].as_bytes(), is_framed), (&b"2"[..], true));
    let (mut rest, mut decoder) = (Bytes::from(exchange.body().await.unwrap()), framed::Decoder::new());
    assert_eq!(decoder.decode(&mut rest).unwrap(), Some(framed::Piece::Data("ok".into())));
    assert_eq!(decoder.decode(&mut rest).unwrap(), Some(framed::Piece::End(Some(trailers))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn required_access_lets_nobody_pass_and_chunks_become_lengths_when_asked() {
    let access = poterne_tunnel_proto::config::Access { required: true, team_name: "team".into(), ..Default::default() };
    let address = edge::service(edge::mirror).await;
    let service = format!("http://{address}");
    let rules = vec![
        rule_with("private.example", &service, OriginRequest { access: Some(access), ..OriginRequest::default() }),
        rule_with("", &service, OriginRequest { disable_chunked_encoding: Some(true), ..OriginRequest::default() }),
    ];
    let (_edge, connection) = running(rules).await;
    let mut exchange = Exchange::begin(&connection, get("https://private.example/"), NO_BODY).await;
    exchange.send.finish().unwrap();
    assert_eq!(exchange.head().await.unwrap().0.status, 403);
    for (size, status) in [(1000, 200), (70_000, 413)] {
        let request = Request::post("https://a.example/").header("host", "a.example").body(()).unwrap();
        let mut exchange = Exchange::begin(&connection, request, RequestOptions { body: BodyLength::Unknown, ..NO_BODY }).await;
        exchange.send.write_all(&vec![b'x'; size]).await.unwrap();
        let _ = exchange.send.finish();
        assert_eq!(exchange.head().await.unwrap().0.status, status);
        if status == 200 {
            let seen = String::from_utf8(exchange.body().await.unwrap()).unwrap().to_ascii_lowercase();
            assert!(seen.contains("content-length: 1000\r\n") && !seen.contains("transfer-encoding"), "{seen}");
        }
    }
}
