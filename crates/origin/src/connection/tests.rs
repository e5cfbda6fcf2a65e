use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;

const RULES: Rules = Rules { head_bytes_max: 128 * 1024, fields_max: 1_000, forgiving: true };

/// What a visitor sends.
#[derive(Debug, Default)]
enum Sent {
    #[default]
    Empty,
    Whole(Option<Bytes>),
    /// It has not ended, and nothing comes.
    Endless,
}

impl Body for Sent {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Whole(data) => Poll::Ready(data.take().map(|data| Ok(Frame::data(data)))),
            Self::Endless => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Empty | Self::Whole(None))
    }
}

type Connection = Http1<TcpStream, Sent>;

/// A connection and the server's end of it.
async fn pair() -> (Connection, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (stream, service) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (Http1::new(stream.unwrap(), RULES), service.unwrap().0)
}

fn outgoing(method: Method, body: Sent, length: Option<u64>) -> Outgoing<Sent> {
    let head = Bytes::from_static(b"X / HTTP/1.1\r\nHost: x\r\n\r\n");
    Outgoing { head, method, body, length, expects: false, patience: Patience::default() }
}

fn get() -> Outgoing<Sent> {
    outgoing(Method::GET, Sent::Empty, None)
}

fn whole(text: &'static str) -> Sent {
    Sent::Whole(Some(Bytes::from_static(text.as_bytes())))
}

async fn body(connection: &mut Connection) -> Result<Vec<u8>, Fault> {
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
        assert!(connection.is_silent());
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
    service.write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await.unwrap();
    let answer = connection.send(outgoing(Method::POST, Sent::Endless, None)).await.unwrap();
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(!connection.is_reusable(), "the request was not sent whole");
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
    connection.io.readable().await.unwrap();
    assert!(!connection.is_silent());
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
    let touched = SendError { touched: true, ..gone().await };
    assert!(touched.again(true).is_err());
}

#[tokio::test]
async fn who_is_silent_is_waited_for_so_long_and_no_longer() {
    let patience = Patience { write: Some(Duration::from_secs(30)), answer: Some(Duration::from_secs(100)) };
    let (mut connection, mut service) = pair().await;
    // What was sent before is answered, and time begins anew with the next request.
    service.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    connection.send(Outgoing { patience, ..get() }).await.unwrap();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(99)).await;
    let begun = Instant::now();
    let silent = connection.send(Outgoing { patience, ..get() }).await.unwrap_err();
    assert!(matches!(silent.fault, Fault::Silent(limit) if limit == Duration::from_secs(100)), "{:?}", silent.fault);
    assert_eq!(begun.elapsed().as_secs(), 100);
    assert!(!silent.may_repeat(true), "it lives, and may be at work");
}

#[tokio::test]
async fn who_takes_nothing_is_not_taken_for_one_who_thinks() {
    let patience = Patience { write: Some(Duration::from_secs(30)), answer: Some(Duration::from_secs(100)) };
    let (mut connection, _service) = pair().await;
    let much = Sent::Whole(Some(Bytes::from(vec![b'x'; 64 << 20])));
    tokio::time::pause();
    let begun = Instant::now();
    let stalled = connection.send(Outgoing { patience, ..outgoing(Method::PUT, much, Some(64 << 20)) }).await.unwrap_err();
    assert!(matches!(stalled.fault, Fault::Stalled(_)), "{:?}", stalled.fault);
    assert!((30..100).contains(&begun.elapsed().as_secs()));
}

#[tokio::test]
async fn a_visitor_who_takes_its_time_is_not_the_servers_fault() {
    let patience = Patience { write: Some(Duration::from_secs(30)), answer: Some(Duration::from_secs(100)) };
    let (mut connection, mut service) = pair().await;
    tokio::time::pause();
    let (answer, ()) =
        tokio::join!(connection.send(Outgoing { patience, ..outgoing(Method::PUT, Sent::Endless, None) }), async {
            tokio::time::sleep(Duration::from_secs(1_000)).await;
            service.write_all(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        });
    assert_eq!(answer.unwrap().status, StatusCode::REQUEST_TIMEOUT);
}
