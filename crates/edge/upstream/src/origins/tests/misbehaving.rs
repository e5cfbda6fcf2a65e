//! Origins that do what they should not.

use super::*;

/// Says this to whoever asks, and hangs up, by a reset where that is asked for.
async fn says(bytes: Vec<u8>, reset: bool) -> SocketAddr {
    origin(move |_, mut stream| {
        let bytes = bytes.clone();
        async move {
            heard(&mut stream, "\r\n\r\n").await?;
            let _ = stream.write_all(&bytes).await;
            if reset {
                stream.set_zero_linger()?;
            }
            Ok(())
        }
    })
    .await
}

#[tokio::test]
async fn nonsense_is_told_as_such() {
    let head = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\nok").into_bytes();
    let huge = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(200 * 1024)).into_bytes();
    for (bytes, reset, told) in [
        (Vec::new(), false, "closed the connection before"),
        (Vec::new(), true, "broke before its answer"),
        (b"HTTP/1.1 200 OK\r\nConte".to_vec(), false, "closed the connection within"),
        (b"HTTP/1.1 200 OK\r\nConte".to_vec(), true, "broke before its answer"),
        (b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(), false, "does not begin with an HTTP/1.1 status line"),
        (b"\x15\x03\x01\x00\x02\x02\x50".to_vec(), false, "does it speak TLS"),
        (head("Content-Length: 2\r\nTransfer-Encoding: chunked"), false, "both Transfer-Encoding and Content-Length"),
        (head("Content-Length: 2\r\nContent-Length: 3"), false, "several that differ"),
        (head("Content-Length: -2"), false, "no number"),
        (head("Transfer-Encoding: gzip, chunked"), false, "other than chunked"),
        (head("X: a\n\tb"), false, "LF alone"),
        (head("X : a"), false, "header line"),
        (head("Content-Length: 2\n"), false, "LF alone"),
        (huge, false, "exceeds 131072 bytes"),
        (head(&"X: y\r\n".repeat(1_001)), false, "more than 1000 fields"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(40), false, "interim answers"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n".to_vec(), false, "switched protocols"),
    ] {
        let at = says(bytes.clone(), reset).await;
        let error = fault(origins().send(route(at), get()).await);
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        assert!(
            matches!(&error, OriginError::Invalid(who, why) if *who == at.to_string() && why.contains(told)),
            "{shown:?}: {error}"
        );
    }
}

#[tokio::test]
async fn interim_answers_are_not_the_answer() {
    let at = says(
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\nok".to_vec(),
        false,
    )
    .await;
    assert_eq!(text(origins().send(route(at), get()).await).await, "ok");
}

#[tokio::test]
async fn a_body_that_breaks_off_never_looks_whole() {
    for (answer, reset) in [
        ("Content-Length: 100\r\n\r\nten bytes.", false),
        ("Content-Length: 100\r\n\r\nten bytes.", true),
        ("Transfer-Encoding: chunked\r\n\r\na\r\nten bytes.\r\n", false),
        ("Transfer-Encoding: chunked\r\n\r\na\r\nten bytes.\r\n", true),
        ("Transfer-Encoding: chunked\r\n\r\na\nten bytes.\n0\n\n", false),
        ("Transfer-Encoding: chunked\r\n\r\n9\r\nten bytes.\r\n0\r\n\r\n", false),
        ("\r\nten bytes.", true),
    ] {
        let at = says(format!("HTTP/1.1 200 OK\r\n{answer}").into_bytes(), reset).await;
        let origins = origins();
        // A reset may overtake what was sent before it.
        let Ok(response) = origins.send(route(at), get()).await else {
            assert!(reset, "{answer:?}");
            continue;
        };
        let error = whole(response.into_body()).await.unwrap_err();
        assert!(error.contains("the origin"), "{error}");
        assert_eq!(origins.shared.counters.open.get(), 0, "it is not kept");
    }
    let at = says(b"HTTP/1.1 200 OK\r\n\r\nten bytes.".to_vec(), false).await;
    assert_eq!(text(origins().send(route(at), get()).await).await, "ten bytes.", "its end is the connection's");
}

#[tokio::test]
async fn what_is_left_over_ends_the_connection() {
    let at = origin(|number, mut stream| async move {
        heard(&mut stream, "\r\n\r\n").await?;
        stream
            .write_all(
                format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
                    .as_bytes(),
            )
            .await?;
        heard(&mut stream, "never").await.map(drop)
    })
    .await;
    let origins = origins();
    for number in 0..3 {
        assert_eq!(text(origins.send(route(at), get()).await).await, number.to_string());
    }
}

#[tokio::test]
async fn silence_ends_in_time() {
    let at = origin(|_, mut stream| async move { heard(&mut stream, "never").await.map(drop) }).await;
    let impatient = OriginRoute { read_timeout: Duration::from_millis(200), ..route(at) };
    let error = fault(origins().send(impatient, get()).await);
    assert!(matches!(&error, OriginError::Slow(_, why) if why.contains("did not answer")), "{error:?}");
}

#[tokio::test]
async fn who_takes_nothing_is_left_in_time() {
    let at = origin(|_, stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
        Ok(())
    })
    .await;
    let settings = Settings { write_timeout: Duration::from_millis(200), ..Settings::for_files(4096) };
    let origins = origins_with(settings, RootCertStore::empty());
    let error = fault(origins.send(route(at), request(Method::PUT, Body::full(vec![b'x'; 64 << 20]))).await);
    assert!(matches!(&error, OriginError::Slow(_, why) if why.contains("took nothing")), "{error:?}");
}

#[tokio::test]
async fn nobody_there_is_told_from_nobody_who_answers() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let origins = origins_with(hasty(), RootCertStore::empty());
    assert_eq!(fault(origins.send(route(free), get()).await), OriginError::Refused(free.to_string()));

    // A listener that accepts nothing, and whose queue is full: what comes then is dropped.
    let deaf = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    deaf.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    deaf.listen(0).unwrap();
    let at = deaf.local_addr().unwrap().as_socket().unwrap();
    let waiting: Vec<_> = (0..4)
        .map(|_| {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&at.into());
            socket
        })
        .collect();
    let error = fault(origins.send(route(at), get()).await);
    assert!(matches!(&error, OriginError::ConnectTimeout(who, _) if *who == at.to_string()), "{error:?}");
    drop(waiting);
}
