//! Mail over real sockets: the security that a server is asked for. What messages are like is seen by a real server end to end.

use std::sync::Arc;

use poterne_keys::Secret;
use rustls::pki_types::PrivateKeyDer;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_798_792_500);

/// A certificate for `localhost` that vouches for itself, and who shows it.
fn certificate() -> (Vec<u8>, TlsAcceptor) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap())
        .unwrap();
    (made.cert.pem().into_bytes(), TlsAcceptor::from(Arc::new(config)))
}

/// One dialogue: what is said to each command, by its first word; returns the commands.
async fn dialogue(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    greeting: bool,
    answers: &[(&str, &str)],
) -> (Vec<String>, impl AsyncRead + AsyncWrite + Unpin) {
    let mut stream = BufReader::new(stream);
    let mut commands = Vec::new();
    if greeting {
        stream.write_all(b"220 here ESMTP\r\n").await.unwrap();
    }
    let mut in_data = false;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return (commands, stream.into_inner());
        }
        let line = line.trim_end().to_owned();
        if in_data && line != "." {
            continue;
        }
        let word = line.split([' ', ':']).next().unwrap_or("").to_owned();
        let answer = answers.iter().find(|(known, _)| *known == word).map_or("250 fine", |(_, answer)| answer);
        in_data = word == "DATA" && answer.starts_with('3');
        commands.push(line);
        stream.write_all(format!("{answer}\r\n").as_bytes()).await.unwrap();
        if word == "STARTTLS" && answer.starts_with("220") {
            return (commands, stream.into_inner());
        }
    }
}

async fn server<F>(serve: impl FnOnce(TcpStream) -> F + Send + 'static) -> (u16, JoinHandle<Vec<String>>)
where
    F: Future<Output = Vec<String>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move { serve(listener.accept().await.unwrap().0).await });
    (port, task)
}

fn mailer(port: u16, security: Security, authorities: Option<Vec<u8>>) -> Mailer {
    let credentials = Some(("u".to_owned(), Secret::new(b"open sesame".to_vec())));
    let server = Server { host: "localhost".into(), port, security, credentials };
    let from = "poterne@example.net".parse().unwrap();
    let settings = MailSettings { server, from, authorities, node: "node.example.net".into(), languages: Languages::Both };
    Mailer::new(settings).unwrap()
}

async fn send(mailer: &Mailer) -> Result<(), Failure> {
    mailer.send(NoticeId::from_bytes([1; 16]), "ada@example.com", &Notice::Test { at: NOW }, None, NOW).await
}

#[tokio::test]
async fn nothing_is_said_before_the_way_is_closed_to_others() {
    let (pem, acceptor) = certificate();
    let (port, told) = server(async move |stream: TcpStream| {
        let clear = [("EHLO", "250-here\r\n250 STARTTLS"), ("STARTTLS", "220 go on")];
        let (mut commands, stream) = dialogue(stream, true, &clear).await;
        let stream = acceptor.accept(stream).await.unwrap();
        commands.push("(TLS)".into());
        let closed =
            [("EHLO", "250-here\r\n250 AUTH PLAIN"), ("AUTH", "235 welcome"), ("DATA", "354 go on"), ("QUIT", "221 bye")];
        let (more, _) = dialogue(stream, false, &closed).await;
        commands.extend(more);
        commands
    })
    .await;
    send(&mailer(port, Security::StartTls, Some(pem))).await.unwrap();
    let commands = told.await.unwrap();
    let words: Vec<_> = commands.iter().map(|line| line.split([' ', ':']).next().unwrap()).collect();
    assert_eq!(words[..4], ["EHLO", "STARTTLS", "(TLS)", "EHLO"], "{commands:?}");
    assert!(words.contains(&"AUTH") && words.contains(&"DATA"), "{commands:?}");
}

#[tokio::test]
async fn a_server_without_tls_gets_no_password_and_no_message() {
    let (port, told) =
        server(async |stream: TcpStream| dialogue(stream, true, &[("EHLO", "250-here\r\n250 AUTH PLAIN")]).await.0).await;
    let failure = send(&mailer(port, Security::StartTls, None)).await.unwrap_err();
    let text = failure.to_string();
    assert!(matches!(failure, Failure::Tls { .. }) && !failure.is_final() && text.contains("STARTTLS"), "{text}");
    let commands = told.await.unwrap();
    assert!(commands.iter().all(|line| !line.starts_with("AUTH") && !line.starts_with("MAIL")), "{commands:?}");
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_told_with_the_remedy() {
    let (_, acceptor) = certificate();
    let (port, _told) = server(async move |stream: TcpStream| {
        let _ = acceptor.accept(stream).await;
        Vec::new()
    })
    .await;
    let failure = send(&mailer(port, Security::Tls, None)).await.unwrap_err();
    let text = failure.to_string();
    assert!(matches!(failure, Failure::Tls { .. }) && text.contains("[mail] ca_file"), "{text}");
    let settings = MailSettings { authorities: Some(b"nothing".to_vec()), ..mailer(port, Security::Clear, None).settings };
    let settings = MailSettings { server: Server { security: Security::Tls, ..settings.server.clone() }, ..settings };
    assert!(Mailer::new(settings).unwrap_err().to_string().contains("BEGIN CERTIFICATE"));
}

#[tokio::test]
async fn what_a_server_says_decides() {
    for (word, answer, is_final, why) in [
        ("RCPT", "550 5.1.1 no such user", true, "refuses: 550 5.1.1 no such user"),
        ("RCPT", "451 4.7.1 greylisted", false, "does not take it now: 451 4.7.1 greylisted"),
        ("AUTH", "535 5.7.8 bad credentials", false, "does not take this user and password (535 5.7.8 bad credentials)"),
        ("MAIL", "hello", false, "does not answer as one"),
    ] {
        let (port, _told) = server(async move |stream: TcpStream| {
            let answers = [(word, answer), ("EHLO", "250-here\r\n250 AUTH PLAIN"), ("AUTH", "235 fine"), ("QUIT", "221 bye")];
            dialogue(stream, true, &answers).await.0
        })
        .await;
        let failure = send(&mailer(port, Security::Clear, None)).await.unwrap_err();
        let text = failure.to_string();
        assert!(failure.is_final() == is_final && text.contains(why) && !text.contains("sesame"), "{text}");
    }
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let failure = send(&mailer(free, Security::Clear, None)).await.unwrap_err();
    assert!(matches!(failure, Failure::Unreachable { .. }), "{failure}");
}
