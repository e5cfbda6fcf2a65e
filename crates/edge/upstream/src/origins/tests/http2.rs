//! Origins that speak HTTP/2.

use bytes::Bytes;
use h2::{Reason, server::SendResponse};
use rcgen::{CertificateParams, KeyPair};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::{super::Certificate, *};

/// What an origin does with each request, given the number of its connection.
type Answer = fn(usize, http::Request<h2::RecvStream>, SendResponse<Bytes>) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// An origin that offers HTTP/2 first, and HTTP/1.1 where that is wanted.
async fn speaks_http2(answer: Answer) -> SocketAddr {
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["www.site.test".to_owned()]).unwrap().self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(vec![leaf.der().clone()], key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    origin(move |number, stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut stream = acceptor.accept(stream).await?;
            if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await?);
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nHTTP/1.1").await?;
                return stream.flush().await;
            }
            let mut connection = h2::server::handshake(stream).await.map_err(io::Error::other)?;
            while let Some(request) = connection.accept().await {
                let (request, respond) = request.map_err(io::Error::other)?;
                tokio::spawn(answer(number, request, respond));
            }
            Ok(())
        }
    })
    .await
}

fn to(at: SocketAddr) -> OriginRoute {
    OriginRoute { leg: Leg { port: at.port(), tls: Some(Certificate::Any) }, ..route(at) }
}

/// Says the connection's number, the method, the authority and what came of the body.
fn told(
    number: usize,
    request: http::Request<h2::RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        let (head, mut body) = request.into_parts();
        assert!(!head.headers.contains_key("host") && !head.headers.contains_key("connection"));
        let mut bytes = 0;
        while let Some(data) = body.data().await {
            let Ok(data) = data else { return };
            bytes += data.len();
            let _ = body.flow_control().release_capacity(data.len());
        }
        let trailers = body.trailers().await.ok().flatten().is_some();
        let text = format!("{number} {} {} {} {bytes} {trailers}", head.method, head.uri.authority().unwrap(), head.uri.path());
        let mut stream = respond.send_response(http::Response::new(()), false).unwrap();
        stream.send_data(text.into(), false).unwrap();
        stream.send_trailers(http::HeaderMap::from_iter([(http::header::ETAG, http::HeaderValue::from_static("1"))])).unwrap();
    })
}

#[tokio::test]
async fn one_connection_carries_many_requests_at_once() {
    let (origins, at) = (origins(), speaks_http2(told).await);
    assert_eq!(text(origins.send(to(at), get()).await).await, "0 GET www.site.test /p 0 false");
    let asked = (0..150).map(|_| origins.send(to(at), request(Method::POST, Body::full(vec![b'x'; 100_000]))));
    for answer in futures_util::future::join_all(asked).await {
        assert_eq!(text(answer).await, "0 POST www.site.test /p 100000 false");
    }
    assert_eq!((origins.shared.counters.opened.get(), origins.shared.counters.open.get()), (1, 1));
    let mut body = origins.send(to(at), get()).await.unwrap().into_body();
    assert!(body.frame().await.unwrap().unwrap().is_data());
    assert!(body.frame().await.unwrap().unwrap().is_trailers());
    drop(body);
    origins.sweep_at(std::time::Instant::now() + Duration::from_secs(61));
    while origins.shared.counters.open.get() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn at_steady_load_a_hundred_requests_take_one_connection() {
    let (origins, at) = (origins(), speaks_http2(told).await);
    pooled::steady_load(&origins, to(at)).await;
}

#[tokio::test]
async fn who_wants_no_http2_gets_none() {
    let (origins, at) = (origins(), speaks_http2(told).await);
    assert_eq!(text(origins.send(OriginRoute { http2: false, ..to(at) }, get()).await).await, "HTTP/1.1");
    assert!(text(origins.send(to(at), get()).await).await.contains(" GET "));
    // A WebSocket is opened by HTTP/1.1.
    assert_eq!(text(origins.send(to(at), websocket(Body::empty())).await).await, "HTTP/1.1");
}

/// Refuses whatever comes second on a connection.
fn refuses(
    number: usize,
    request: http::Request<h2::RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
    if number == 0 && request.method() == Method::POST {
        respond.send_reset(Reason::REFUSED_STREAM);
        return Box::pin(async {});
    }
    told(number, request, respond)
}

#[tokio::test]
async fn a_request_that_was_refused_is_sent_again() {
    let (origins, at) = (origins(), speaks_http2(refuses).await);
    text(origins.send(to(at), get()).await).await;
    let posted = origins.send(to(at), request(Method::POST, Body::full("hello"))).await;
    assert_eq!(text(posted).await, "1 POST www.site.test /p 5 false");
    assert_eq!(origins.shared.counters.repeated.get(), 1);
}

fn cancels(
    _: usize,
    request: http::Request<h2::RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
    if request.method() == Method::GET {
        respond.send_reset(Reason::INTERNAL_ERROR);
        return Box::pin(async {});
    }
    Box::pin(async move {
        let mut stream = respond.send_response(http::Response::new(()), false).unwrap();
        stream.send_data(Bytes::from_static(b"ten bytes."), false).unwrap();
        tokio::task::yield_now().await;
        stream.send_reset(Reason::INTERNAL_ERROR);
    })
}

#[tokio::test]
async fn a_stream_that_breaks_is_told_and_costs_no_other() {
    let (origins, at) = (origins(), speaks_http2(cancels).await);
    let error = fault(origins.send(to(at), get()).await);
    assert!(matches!(&error, OriginError::Invalid(who, _) if *who == at.to_string()), "{error:?}");
    let response = origins.send(to(at), request(Method::POST, Body::empty())).await;
    let broken = match response {
        Ok(response) => whole(response.into_body()).await.unwrap_err(),
        Err(error) => error.to_string(),
    };
    assert!(broken.contains("stream error") || broken.contains("reset"), "{broken}");
    assert_eq!(origins.shared.counters.opened.get(), 1);
}

fn never(
    _: usize,
    request: http::Request<h2::RecvStream>,
    respond: SendResponse<Bytes>,
) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        std::future::pending::<()>().await;
        drop((request, respond));
    })
}

#[tokio::test]
async fn silence_and_full_windows_end_in_time() {
    let at = speaks_http2(never).await;
    let settings = Settings { write_timeout: Duration::from_millis(200), ..Settings::for_files(4096) };
    let origins = origins_with(settings, RootCertStore::empty());
    let impatient = OriginRoute { read_timeout: Duration::from_millis(200), ..to(at) };
    let error = fault(origins.send(impatient, get()).await);
    assert!(matches!(&error, OriginError::Slow(_, why) if why.contains("did not answer")), "{error:?}");
    let error = fault(origins.send(to(at), request(Method::PUT, Body::full(vec![b'x'; 8 << 20]))).await);
    assert!(matches!(&error, OriginError::Slow(_, why) if why.contains("took nothing")), "{error:?}");
}
