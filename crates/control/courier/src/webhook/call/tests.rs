//! Calls over real sockets.

use poterne_guard::Range;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};

use super::*;

const ACCOUNT: AccountId = AccountId::from_bytes([1; 16]);

fn loopback() -> Guard {
    Guard { allowed: vec![Range { network: "127.0.0.0/8".parse().unwrap(), accounts: None }], own: Vec::new() }
}

/// A receiver that answers each connection's first request so, and tells what it read.
async fn receiver(answer: &'static str) -> (u16, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let mut requests = Vec::new();
        while let Ok(Ok((mut stream, _))) = tokio::time::timeout(Duration::from_millis(300), listener.accept()).await {
            requests.push(read(&mut stream).await);
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        requests
    });
    (port, task)
}

/// A request with its body of the length it says.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    loop {
        stream.read_buf(&mut bytes).await.unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse::<usize>().unwrap();
        if body.len() >= length {
            return text;
        }
    }
}

async fn call(guard: &Guard, url: &str, secret: Option<&Secret>) -> Result<(), CallError> {
    let call =
        Call { account: ACCOUNT, url, secret, id: "msg_1".into(), at_secs: 1_614_265_330, body: b"{\"test\": 1}".to_vec() };
    Caller::default().call(guard, call).await
}

#[tokio::test]
async fn a_call_is_signed_in_both_ways() {
    let (port, requests) = receiver("HTTP/1.1 204 No Content\r\n\r\n").await;
    let secret = Secret::new(b"hush".to_vec());
    call(&loopback(), &format!("http://127.0.0.1:{port}/a?b=c"), Some(&secret)).await.unwrap();
    call(&loopback(), &format!("http://127.0.0.1:{port}/"), None).await.unwrap();
    let requests = requests.await.unwrap();
    let signature = sign::signature(b"hush", "msg_1", 1_614_265_330, b"{\"test\": 1}");
    for line in [
        "POST /a?b=c HTTP/1.1",
        &format!("host: 127.0.0.1:{port}"),
        "content-type: application/json",
        "webhook-id: msg_1",
        "webhook-timestamp: 1614265330",
        &format!("webhook-signature: {signature}"),
        "cf-webhook-auth: hush",
    ] {
        assert!(requests[0].lines().any(|found| found == line), "{line} is missing in:\n{}", requests[0]);
    }
    assert!(requests[0].ends_with("{\"test\": 1}"));
    assert!(
        !requests[1].contains("signature") && !requests[1].contains("auth"),
        "without a secret there is nothing to sign with"
    );
}

#[tokio::test]
async fn what_is_not_let_through_is_never_connected_to() {
    let (port, requests) = receiver("HTTP/1.1 200 OK\r\n\r\n").await;
    for host in
        ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.1", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "0.0.0.0"]
    {
        let error = call(&Guard::default(), &format!("http://{host}:{port}/"), None).await.unwrap_err();
        assert!(error.is_final(), "{host}: {error}");
    }
    let other = Guard {
        allowed: vec![Range { accounts: Some(vec![AccountId::from_bytes([2; 16])]), ..loopback().allowed[0].clone() }],
        ..loopback()
    };
    assert!(call(&other, &format!("http://127.0.0.1:{port}/"), None).await.unwrap_err().is_final());
    assert!(requests.await.unwrap().is_empty());
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (inside, requests) = receiver("HTTP/1.1 200 OK\r\n\r\n").await;
    let answer = format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:{inside}/\r\ncontent-length: 0\r\n\r\n");
    let (port, _) = receiver(answer.leak()).await;
    let error = call(&loopback(), &format!("http://127.0.0.1:{port}/"), None).await.unwrap_err();
    assert!(matches!(error, CallError::Redirect { status, .. } if status == StatusCode::TEMPORARY_REDIRECT), "{error}");
    assert!(requests.await.unwrap().is_empty());
}

#[tokio::test]
async fn what_a_receiver_says_decides() {
    for (answer, is_final, why) in [
        ("HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n", true, "410 Gone"),
        ("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n", false, "answers 500"),
        ("HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n", false, "answers 401"),
        ("220 mail.example.net ESMTP\r\n", false, "does not answer as an HTTP server"),
        ("", false, "does not answer as an HTTP server"),
    ] {
        let (port, _) = receiver(answer).await;
        let error = call(&loopback(), &format!("http://127.0.0.1:{port}/secret-path"), None).await.unwrap_err();
        let text = error.to_string();
        assert!(error.is_final() == is_final && text.contains(why) && !text.contains("secret-path"), "{text}");
    }
}

#[tokio::test]
async fn an_endless_answer_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read(&mut stream).await;
        let mut written = 0u64;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n").await.unwrap();
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {
            written += 4096;
        }
        written
    });
    call(&loopback(), &format!("http://127.0.0.1:{port}/"), None).await.unwrap();
    let written = task.await.unwrap();
    assert!(written < 50_000_000, "what the kernel's buffers take, and no more: {written}");
}

#[tokio::test]
async fn over_tls_the_name_in_the_certificate_counts() {
    use rustls::pki_types::PrivateKeyDer;
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(mut stream) = acceptor.accept(stream).await {
                read(&mut stream).await;
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            }
        }
    });
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let caller = Caller::with_tls(Arc::new(client.with_root_certificates(roots).with_no_client_auth()));
    let call = |url: String| {
        let caller = &caller;
        async move {
            let call = Call { account: ACCOUNT, url: &url, secret: None, id: "a".into(), at_secs: 0, body: b"{}".to_vec() };
            caller.call(&loopback(), call).await
        }
    };
    call(format!("https://localhost:{port}/")).await.unwrap();
    let error = call(format!("https://127.0.0.1:{port}/")).await.unwrap_err();
    assert!(matches!(&error, CallError::Tls { .. }) && !error.is_final(), "{error}");
}
