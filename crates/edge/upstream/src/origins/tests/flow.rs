//! Bodies, both ways and at once.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use poterne_edge_http::{BodyError, Frame};
use tokio::sync::mpsc;

use super::*;

/// A visitor's body that a test sends piece by piece; it breaks off where a piece is an error.
struct Sent(mpsc::Receiver<Result<Bytes, BodyError>>);

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

fn sent() -> (mpsc::Sender<Result<Bytes, BodyError>>, Body) {
    let (pieces, body) = mpsc::channel(1);
    (pieces, Body::flow(Sent(body)))
}

#[tokio::test]
async fn a_request_is_written_as_origins_expect() {
    let (heads, mut seen) = mpsc::channel(1);
    let at = origin(move |_, mut stream| {
        let heads = heads.clone();
        async move {
            loop {
                let head = heard(&mut stream, "\r\n\r\n").await?;
                let body = if head.contains("chunked") { heard(&mut stream, "0\r\n\r\n").await? } else { String::new() };
                let _ = heads.send(head + &body).await;
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
            }
        }
    })
    .await;
    let origins = origins();
    let mut ask = async |request| {
        origins.send(route(at), request).await.unwrap();
        seen.recv().await.unwrap()
    };
    let plain = "GET /p?q HTTP/1.1\r\nHost: www.site.test\r\nCf-Ray: 0123456789abcdef-X\r\n";
    assert_eq!(ask(get()).await, format!("{plain}\r\n"));
    let posted = ask(request(Method::POST, Body::empty())).await;
    assert!(posted.contains("\r\nContent-Length: 0\r\n"), "{posted}");
    let (pieces, body) = sent();
    pieces.send(Ok(Bytes::from_static(b"hello"))).await.unwrap();
    drop(pieces);
    let mut chunked = request(Method::POST, body);
    chunked.headers_mut().insert("te", http::HeaderValue::from_static("trailers"));
    let posted = ask(chunked).await;
    assert!(
        posted.contains("\r\nTransfer-Encoding: chunked\r\n") && posted.ends_with("\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        "{posted}"
    );
    assert!(posted.contains("\r\nConnection: TE\r\n") && !posted.contains("Content-Length"), "{posted}");
}

#[tokio::test]
async fn an_expected_body_waits_for_the_origins_word() {
    let at = origin(|_, mut stream| async move {
        let head = heard(&mut stream, "\r\n\r\n").await?;
        if head.starts_with("PUT") {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            heard(&mut stream, "hello").await?;
            return stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ntaken").await;
        }
        stream.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").await?;
        let rest = heard(&mut stream, "hello").await;
        assert!(rest.is_err(), "the body was not sent");
        Ok(())
    })
    .await;
    let origins = origins();
    let expecting = |method| {
        let mut request = request(method, Body::full("hello"));
        request.headers_mut().insert("expect", http::HeaderValue::from_static("100-continue"));
        request
    };
    assert_eq!(text(origins.send(route(at), expecting(Method::PUT)).await).await, "taken");
    let refused = origins.send(route(at), expecting(Method::POST)).await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn trailers_come_after_the_body() {
    let at = origin(|_, mut stream| async move {
        heard(&mut stream, "\r\n\r\n").await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n").await?;
        heard(&mut stream, "never").await.map(drop)
    })
    .await;
    let origins = origins();
    let mut body = origins.send(route(at), get()).await.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "ok");
    assert_eq!(body.frame().await.unwrap().unwrap().into_trailers().unwrap()["x-sum"], "1");
    assert!(body.frame().await.is_none());
    assert_eq!(origins.shared.counters.idle.get(), 1, "the connection can be used again");
}

#[tokio::test]
async fn a_request_goes_on_while_nobody_reads_its_answer() {
    let (told, mut arrived) = mpsc::channel(1);
    let at = origin(move |_, mut stream| {
        let told = told.clone();
        async move {
            heard(&mut stream, "first").await?;
            // More than any buffer on the way holds.
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n").await?;
            let (mut reader, mut writer) = stream.split();
            let much = vec![b'x'; 64 << 20];
            let reads = async {
                let mut text = Vec::new();
                while !text.ends_with(b"0\r\n\r\n") {
                    text.push(reader.read_u8().await?);
                    if text.ends_with(b"last") {
                        let _ = told.send(()).await;
                    }
                }
                io::Result::Ok(())
            };
            tokio::try_join!(writer.write_all(&much), reads).map(drop)
        }
    })
    .await;
    let (pieces, body) = sent();
    pieces.send(Ok(Bytes::from_static(b"first"))).await.unwrap();
    let origins = origins();
    let response = origins.send(route(at), request(Method::POST, body)).await.unwrap();
    for piece in ["second", "third", "last"] {
        pieces.send(Ok(Bytes::from_static(piece.as_bytes()))).await.unwrap();
    }
    arrived.recv().await.unwrap();
    drop(pieces);
    assert_eq!(whole(response.into_body()).await.unwrap().len(), 64 << 20);
}

#[tokio::test]
async fn a_visitor_who_breaks_off_is_to_blame() {
    let at = origin(|_, mut stream| async move { heard(&mut stream, "never").await.map(drop) }).await;
    let (pieces, body) = sent();
    pieces.send(Err(BodyError::Visitor("it left".into()))).await.unwrap();
    let error = origins().send(route(at), request(Method::POST, body)).await.unwrap_err();
    assert!(matches!(&error, UpstreamError::Visitor(why) if why.contains("it left")), "{error:?}");
}

#[tokio::test]
async fn a_websocket_carries_bytes_both_ways_until_one_leaves() {
    let (ended, mut end) = mpsc::channel(1);
    let at = origin(move |_, mut stream| {
        let ended = ended.clone();
        async move {
            let head = heard(&mut stream, "\r\n\r\n").await?;
            assert!(head.contains("\r\nConnection: Upgrade\r\n") && head.contains("\r\nUpgrade: websocket\r\n"), "{head}");
            assert!(head.contains("\r\nSec-Websocket-Key: dGhl") && head.contains("\r\nSec-Websocket-Version: 13\r\n"), "{head}");
            stream
                .write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nearly")
                .await?;
            heard(&mut stream, "up").await?;
            stream.write_all(b"down").await?;
            let _ = heard(&mut stream, "never").await;
            let _ = ended.send(()).await;
            Ok(())
        }
    })
    .await;
    let origins = origins();
    let (pieces, visitor) = sent();
    let response = origins.send(route(at), websocket(visitor)).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    let mut down = response.into_body();
    let mut seen = Vec::new();
    pieces.send(Ok(Bytes::from_static(b"up"))).await.unwrap();
    while seen.len() < 9 {
        seen.extend_from_slice(&down.frame().await.unwrap().unwrap().into_data().unwrap());
    }
    assert_eq!(seen, b"earlydown");
    drop(down);
    end.recv().await.unwrap();
    pieces.closed().await;
    assert_eq!(origins.shared.counters.open.get(), 0);
}

#[tokio::test]
async fn an_origin_that_speaks_no_websocket_answers_as_it_likes() {
    let (origins, at) = (origins(), origin(numbered).await);
    let (_pieces, visitor) = sent();
    assert_eq!(text(origins.send(route(at), websocket(visitor)).await).await, "0");
    assert_eq!(text(origins.send(route(at), get()).await).await, "0", "its connection is one like others");
}
