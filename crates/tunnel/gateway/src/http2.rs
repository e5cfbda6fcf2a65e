//! One agent's TLS connection with HTTP/2 in reversed roles: the agent dials, and we are the HTTP/2 client.

use std::{
    future::poll_fn,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

use crate::{
    Inner,
    connection::Link,
    goaway::{self, Lent},
    newcomers::Ticket,
    register::Registration,
    settings::{Congestion, PING_INTERVAL},
};
use bytes::{Buf as _, Bytes};
use poterne_tunnel_proto::h2 as wire;
use poterne_tunnel_rpc::{Limits, serve_registration};
use poterne_tunnel_transport::{Turns, ask_for_bbr};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// Largest HTTP/2 frame we accept, in bytes: large bodies come in fewer pieces.
const FRAME_BYTES_MAX: u32 = 64 * 1024;

pub(crate) fn server_config(
    certificates: Arc<dyn rustls::server::ResolvesServerCert>,
) -> Result<Arc<rustls::ServerConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    Ok(Arc::new(config))
}

pub(crate) async fn accept(inner: Arc<Inner>, stream: TcpStream, peer: SocketAddr, ticket: Ticket) {
    // Small frames must not wait for more (Nagle); a failure costs latency only.
    let _ = stream.set_nodelay(true);
    if inner.settings.congestion == Congestion::Bbr {
        ask_for_bbr(&stream);
    }
    let acceptor = tokio_rustls::TlsAcceptor::from(inner.tls.clone());
    match tokio::time::timeout(inner.settings.handshake_timeout, acceptor.accept(stream)).await {
        Ok(Ok(tls)) => run(inner, tls, peer, ticket).await,
        Ok(Err(error)) => {
            inner.counters.handshakes_failed.inc();
            tracing::debug!(%peer, %error, "a TLS handshake with an agent failed");
        }
        Err(_) => {
            inner.counters.handshakes_failed.inc();
            tracing::debug!(%peer, "a TLS handshake with an agent was not finished in time");
        }
    }
}

pub(crate) async fn run<IO>(inner: Arc<Inner>, stream: tokio_rustls::server::TlsStream<IO>, peer: SocketAddr, ticket: Ticket)
where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (stream, returned) = Lent::new(stream);
    // A pre-check closes after the handshake; the first write or read then fails, silently.
    let handshake = h2::client::Builder::new()
        .initial_window_size(inner.settings.stream_window)
        .initial_connection_window_size(inner.settings.connection_window)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_header_list_size(512 * 1024)
        .enable_push(false)
        .handshake::<_, Bytes>(stream);
    let Ok(Ok((mut requests, mut connection))) = tokio::time::timeout(inner.settings.handshake_timeout, handshake).await else {
        return;
    };
    let Some(ping) = connection.ping_pong() else { return };
    let Ok((response, body)) = requests.send_request(wire::control_stream_request(), false) else { return };

    let closed = CancellationToken::new();
    let registration = Registration::new(inner.clone(), Link::Http2 { requests, closed: closed.clone() }, peer, ticket);
    let timeout = inner.settings.handshake_timeout;
    let control = async {
        let response = match tokio::time::timeout(timeout, response).await {
            Ok(Ok(response)) if response.status() == http::StatusCode::OK => response,
            _ => return Ok(()),
        };
        let reader = Reader { body: response.into_body(), chunk: Bytes::new() };
        serve_registration(&inner.threads, reader, Writer(body), registration.server(), Limits::default()).await
    };
    // In turns, so that what several requests write leaves in one TLS record.
    let mut turns = Turns::default();
    let driven = poll_fn(|cx| turns.poll(cx, |cx| Pin::new(&mut connection).poll(cx)));
    let (reason, listens) = tokio::select! {
        outcome = driven => match outcome {
            Ok(()) => ("the agent closed the connection".to_owned(), false),
            Err(error) => (error.to_string(), false),
        },
        reason = registration.supervise(control) => (reason, true),
        () = pings(&inner, ping, &registration) => ("the agent is silent".to_owned(), false),
        () = closed.cancelled() => (registration.closed_for().unwrap_or_default(), true),
    };
    drop(connection);
    closed.cancel();
    registration.ended(&reason).await;
    if let (true, Ok(stream)) = (listens, returned.await) {
        goaway::say(stream, &reason).await;
    }
}

/// The agent has no keep-alive of its own on this transport: we ask, and leave when nobody answers.
async fn pings(inner: &Inner, ping: h2::PingPong, registration: &Registration) {
    let settings = &inner.settings;
    listen(ping, |silent| registration.set_silent(silent), settings.silent_after, settings.dead_after).await;
}

/// Somebody who can be asked whether they live.
trait Asked {
    /// Resolves with the answer; an error says that the connection has ended.
    fn ask(&mut self) -> impl Future<Output = Result<(), h2::Error>> + Send;
}

impl Asked for h2::PingPong {
    async fn ask(&mut self) -> Result<(), h2::Error> {
        self.ping(h2::Ping::opaque()).await.map(drop)
    }
}

/// Asks again and again; returns when there was no answer for `dead_after`.
///
/// Silence is counted in the waits that were granted, not read off a clock: while this process itself stood still (a machine that was
/// paused, a processor that was busy elsewhere), nobody else was silent.
async fn listen(mut peer: impl Asked, set_silent: impl Fn(bool), silent_after: Duration, dead_after: Duration) {
    const WAIT: Duration = Duration::from_millis(250);
    loop {
        tokio::time::sleep(PING_INTERVAL).await;
        let mut silent_for = PING_INTERVAL;
        let mut answer = std::pin::pin!(peer.ask());
        loop {
            match tokio::time::timeout(WAIT, &mut answer).await {
                Ok(Ok(())) => break,
                // The connection has ended, and whoever drives it knows.
                Ok(Err(_)) => return std::future::pending().await,
                Err(_) => silent_for += WAIT,
            }
            if silent_for >= dead_after {
                return;
            }
            set_silent(silent_for >= silent_after);
        }
        set_silent(false);
    }
}

/// The control stream's response body as bytes.
struct Reader {
    body: h2::RecvStream,
    chunk: Bytes,
}

impl AsyncRead for Reader {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        while self.chunk.is_empty() {
            match std::task::ready!(self.body.poll_data(cx)) {
                Some(Ok(chunk)) => {
                    // What was read may be sent again.
                    let _ = self.body.flow_control().release_capacity(chunk.len());
                    self.chunk = chunk;
                }
                Some(Err(error)) => return Poll::Ready(Err(std::io::Error::other(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let len = self.chunk.len().min(buf.remaining());
        buf.put_slice(&self.chunk[..len]);
        self.chunk.advance(len);
        Poll::Ready(Ok(()))
    }
}

/// The control stream's request body as bytes.
struct Writer(h2::SendStream<Bytes>);

impl AsyncWrite for Writer {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        self.0.reserve_capacity(buf.len());
        let room = match self.0.capacity() {
            0 => match std::task::ready!(self.0.poll_capacity(cx)) {
                Some(Ok(room)) => room,
                Some(Err(error)) => return Poll::Ready(Err(std::io::Error::other(error))),
                None => return Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into())),
            },
            room => room,
        };
        let len = room.min(buf.len());
        self.0.send_data(Bytes::copy_from_slice(&buf[..len]), false).map_err(std::io::Error::other)?;
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        // The stream may have ended already.
        let _ = self.0.send_data(Bytes::new(), true);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    const SILENT: Duration = Duration::from_millis(1500);
    const DEAD: Duration = Duration::from_secs(5);

    struct Mute;

    impl Asked for Mute {
        async fn ask(&mut self) -> Result<(), h2::Error> {
            std::future::pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_answer_is_silent_and_then_dead() {
        let silent_at = std::cell::Cell::new(None);
        let start = tokio::time::Instant::now();
        let note = |silent: bool| {
            if silent && silent_at.get().is_none() {
                silent_at.set(Some(start.elapsed()));
            }
        };
        listen(Mute, note, SILENT, DEAD).await;
        assert_eq!((silent_at.get(), start.elapsed()), (Some(SILENT), DEAD));
    }

    /// Says that it was asked, and answers when the test says so.
    struct Slow {
        asked: mpsc::Sender<()>,
        answers: mpsc::Receiver<()>,
    }

    impl Asked for Slow {
        async fn ask(&mut self) -> Result<(), h2::Error> {
            self.asked.send(()).await.expect("the test listens");
            self.answers.recv().await.expect("the test answers");
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_stood_still_does_not_take_others_for_dead() {
        let (answer, answers) = mpsc::channel(1);
        let (asked, mut questions) = mpsc::channel(1);
        let listening = listen(Slow { asked, answers }, |silent| assert!(!silent), SILENT, DEAD);
        let still = async {
            questions.recv().await;
            tokio::time::advance(Duration::from_secs(60)).await;
            answer.send(()).await.expect("it listens still");
            questions.recv().await.expect("it asks again");
        };
        tokio::select! {
            () = listening => panic!("taken for dead"),
            () = still => {}
        }
    }
}
