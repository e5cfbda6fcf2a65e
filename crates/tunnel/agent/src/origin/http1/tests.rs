use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;

/// A connection and the service's end of it.
async fn pair() -> (Http1, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (stream, service) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (Http1::new(OriginIo::Tcp(stream.unwrap())), service.unwrap().0)
}

fn outgoing(method: Method, body: RequestBody, length: Option<u64>) -> Outgoing {
    Outgoing { head: Bytes::from_static(b"X / HTTP/1.1\r\nHost: x\r\n\r\n"), method, body, length, expects: false }
}

fn get() -> Outgoing {
    outgoing(Method::GET, RequestBody::Empty, None)
}

fn whole(text: &'static str) -> RequestBody {
    RequestBody::Whole(Some(Bytes::from_static(text.as_bytes())))
}

/// A request body that has not ended, and its visitor.
async fn endless() -> (h2::SendStream<Bytes>, crate::side::Incoming) {
    let (ours, theirs) = tokio::io::duplex(1024);
    let (client, server) = tokio::join!(h2::client::handshake(ours), h2::server::handshake(theirs));
    let ((mut client, driver), mut server) = (client.unwrap(), server.unwrap());
    tokio::spawn(driver);
    let (_, sending) = client.send_request(http::Request::post("https://x/").body(()).unwrap(), false).unwrap();
    let (request, _respond) = server.accept().await.unwrap().unwrap();
    tokio::spawn(async move { while server.accept().await.is_some() {} });
    (sending, crate::side::Incoming::Http2 { recv: request.into_body(), data_ended: false })
}

async fn body(connection: &mut Http1) -> Result<Vec<u8>, Fault> {
    let mut all = Vec::new();
    while let Some(frame) = poll_fn(|cx| connection.poll_frame(cx)).await {
        all.extend_from_slice(&frame?.into_data().unwrap_or_default());
    }
    Ok(all)
}

/// Reads what the connection wrote, up to this end.
async fn heard(service: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        text.push(service.read_u8().await.unwrap());
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn one_request_follows_another() {
    let (mut connection, mut service) = pair().await;
    for _ in 0..2 {
        service.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n").await.unwrap();
        assert_eq!(connection.send(get()).await.unwrap().status, StatusCode::OK);
        assert!(!connection.is_reusable(), "its body is still to be read");
        assert_eq!(body(&mut connection).await.unwrap(), b"ok");
        assert!(connection.is_reusable());
        heard(&mut service, "\r\n\r\n").await;
        assert!(connection.is_silent().await);
    }
}

#[tokio::test]
async fn a_body_is_sent_by_its_length_or_in_chunks() {
    let (mut connection, mut service) = pair().await;
    service.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    connection.send(outgoing(Method::POST, whole("hello"), Some(5))).await.unwrap();
    assert!(heard(&mut service, "hello").await.ends_with("\r\n\r\nhello"));
    service.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    connection.send(outgoing(Method::POST, whole("hello"), None)).await.unwrap();
    assert!(heard(&mut service, "0\r\n\r\n").await.ends_with("\r\n\r\n5\r\nhello\r\n0\r\n\r\n"));
    let wrong = connection.send(outgoing(Method::POST, whole("hello"), Some(6))).await.unwrap_err();
    assert!(matches!(wrong.fault, Fault::Length));
}

#[tokio::test]
async fn interim_answers_are_dropped_and_bounded() {
    let (mut connection, mut service) = pair().await;
    service.write_all(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    assert_eq!(connection.send(get()).await.unwrap().status, StatusCode::OK);
    service.write_all("HTTP/1.1 102 Processing\r\n\r\n".repeat(INTERIM_MAX + 1).as_bytes()).await.unwrap();
    let endless = connection.send(get()).await.unwrap_err();
    assert!(matches!(endless.fault, Fault::Interim));
    assert!(endless.answered);
}

#[tokio::test]
async fn an_early_answer_is_heard_while_the_body_waits() {
    let (mut connection, mut service) = pair().await;
    let (mut visitor, incoming) = endless().await;
    service.write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await.unwrap();
    let answer = connection.send(outgoing(Method::POST, RequestBody::Stream(incoming), None)).await.unwrap();
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(!connection.is_reusable(), "the request was not sent whole");
    visitor.send_data(Bytes::new(), true).unwrap();
}

#[tokio::test]
async fn an_expected_body_waits_for_the_services_word() {
    let expecting = || Outgoing { expects: true, ..outgoing(Method::PUT, whole("hello"), Some(5)) };
    let (mut connection, mut service) = pair().await;
    let (answer, ()) = tokio::join!(connection.send(expecting()), async {
        heard(&mut service, "\r\n\r\n").await;
        service.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
        assert_eq!(heard(&mut service, "hello").await, "hello");
        service.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    });
    assert_eq!(answer.unwrap().status, StatusCode::NO_CONTENT);
    assert!(connection.is_reusable());

    let (answer, ()) = tokio::join!(connection.send(expecting()), async {
        heard(&mut service, "\r\n\r\n").await;
        service.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    });
    assert_eq!(answer.unwrap().status, StatusCode::UNAUTHORIZED);
    assert!(!connection.is_reusable(), "the service may still expect the body");
    let mut byte = [0];
    assert_eq!(service.try_read(&mut byte).unwrap_err().kind(), io::ErrorKind::WouldBlock, "nothing of the body was sent");
}

#[tokio::test]
async fn a_service_that_says_nothing_gets_the_body_all_the_same() {
    let (mut connection, mut service) = pair().await;
    tokio::time::pause();
    let expecting = Outgoing { expects: true, ..outgoing(Method::PUT, whole("hello"), Some(5)) };
    let (answer, ()) = tokio::join!(connection.send(expecting), async {
        heard(&mut service, "hello").await;
        service.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    });
    assert_eq!(answer.unwrap().status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn what_is_left_over_or_unasked_ends_the_connection() {
    let (mut connection, mut service) = pair().await;
    service.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok!").await.unwrap();
    connection.send(get()).await.unwrap();
    assert_eq!(body(&mut connection).await.unwrap(), b"ok");
    assert!(!connection.is_reusable());

    let (mut connection, mut service) = pair().await;
    service.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    connection.send(get()).await.unwrap();
    assert!(connection.is_reusable());
    heard(&mut service, "\r\n\r\n").await;
    service.write_all(b"HTTP/1.1 408 Request Timeout\r\n\r\n").await.unwrap();
    let OriginIo::Tcp(stream) = &connection.io else { panic!() };
    stream.readable().await.unwrap();
    assert!(!connection.is_silent().await);
}

#[tokio::test]
async fn a_body_cut_short_is_an_error_unless_its_end_is_the_connections() {
    for (answer, whole) in [
        ("HTTP/1.1 200 OK\r\n\r\nok", true),
        ("HTTP/1.0 200 OK\r\n\r\nok", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", false),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", false),
    ] {
        let (mut connection, mut service) = pair().await;
        service.write_all(answer.as_bytes()).await.unwrap();
        connection.send(get()).await.unwrap();
        heard(&mut service, "\r\n\r\n").await;
        drop(service);
        let body = body(&mut connection).await;
        assert_eq!(body.is_ok_and(|body| body == b"ok"), whole, "{answer:?}");
        assert!(!connection.is_reusable());
    }
}

#[tokio::test]
async fn only_what_may_be_repeated_is() {
    let gone = async || {
        let (mut connection, mut service) = pair().await;
        let (error, ()) = tokio::join!(connection.send(get()), async {
            heard(&mut service, "\r\n\r\n").await;
            drop(service);
        });
        error.unwrap_err()
    };
    assert!(gone().await.again(true).is_ok());
    assert!(matches!(gone().await.again(false), Err(Fault::ClosedBefore)), "it may have had its effect");
    let seen = SendError { answered: true, ..gone().await };
    assert!(seen.again(true).is_err());
    let unsent = SendError { unsent: true, ..gone().await };
    assert!(unsent.again(false).is_ok());
    let touched = SendError { body: None, ..gone().await };
    assert!(touched.again(true).is_err());
}
