//! A connection over HTTP/2, with reversed roles: the agent dialled, and is the HTTP/2 server (reference §5).

use std::{
    future::poll_fn,
    io,
    net::{IpAddr, Ipv4Addr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use h2::{RecvStream, SendStream, server::SendResponse};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use poterne_model::tunnel::Transport;
use poterne_tunnel_proto::{
    config::ConfigurationAnswer,
    h2::{self as wire, Kind, ResponseMeta, Source},
};
use poterne_tunnel_rpc::RegistrationClient;
use poterne_tunnel_transport::Turns;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::{SetOnce, mpsc},
    time::{sleep, timeout},
};
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use super::{RENEWAL_MAX, Registered, goodbye, register, renewal, streams::Streams};
use crate::{
    Shared,
    dial::{CONNECTION_WINDOW, STREAM_WINDOW},
    proxy::{self, http::chain},
    side::{Answer, Incoming, Sent},
    supervise::{Dial, Event},
};

/// How long the edge may take to open the control stream.
const CONTROL_MAX: Duration = Duration::from_secs(10);
/// How long the end of the control stream waits to hear that the whole connection ended, and why.
const REASON_MAX: Duration = Duration::from_millis(100);
/// Longest configuration pushed this way, in bytes.
const CONFIG_BYTES_MAX: usize = 1024 * 1024;
/// What is buffered of one answer before its task has to wait, in bytes.
const SEND_BYTES_MAX: usize = 256 * 1024;
const STREAMS_MAX: u32 = 8192;

/// Runs the connection to its end; `events` hears of the registration, the return value of the end.
pub(crate) async fn run(
    shared: Arc<Shared>,
    tls: TlsStream<TcpStream>,
    dial: Dial,
    events: mpsc::Sender<(u8, Event)>,
    shutdown: CancellationToken,
) -> Event {
    let local_ip = tls.get_ref().0.local_addr().ok().map(|address| address.ip());
    let edge = tls.get_ref().0.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.ip().to_canonical());
    let handshake = h2::server::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(STREAMS_MAX)
        .max_send_buffer_size(SEND_BYTES_MAX)
        .max_frame_size(64 * 1024)
        .handshake::<_, Bytes>(tls);
    let Ok(Ok(mut connection)) = timeout(CONTROL_MAX, handshake).await else { return Event::Failed };
    let (ended, mut end) = mpsc::channel(1);
    // Tells the control stream's task that the transport has ended, and why.
    let over = Arc::new(SetOnce::new());
    let mut control_seen = false;
    let streams = Arc::new(Streams::default());
    let mut control_due = std::pin::pin!(sleep(CONTROL_MAX));
    // In turns, so that what several answers write leaves in one TLS record.
    let mut turns = Turns::default();
    let outcome = loop {
        tokio::select! {
            accepted = poll_fn(|cx| turns.poll(cx, |cx| connection.poll_accept(cx))) => {
                let (request, respond) = match accepted {
                    Some(Ok(accepted)) => accepted,
                    Some(Err(error)) => break Err(chain(&error)),
                    None => break Err("closed by the edge".to_owned()),
                };
                if !control_seen && wire::request_kind(request.headers()) == Kind::ControlStream {
                    control_seen = true;
                    let (shared, events, shutdown, over) = (shared.clone(), events.clone(), shutdown.clone(), over.clone());
                    let (ended, streams) = (ended.clone(), streams.clone());
                    let body = request.into_body();
                    tokio::spawn(async move {
                        let outcome = control(&shared, body, respond, dial, (local_ip, edge), &streams, &events, &shutdown, &over).await;
                        let _ = ended.send(outcome).await;
                    });
                } else {
                    let (shared, held) = (shared.clone(), streams.enter());
                    tokio::spawn(Box::pin(async move {
                        stream(shared, dial.index, request, respond).await;
                        drop(held);
                    }));
                }
            }
            Some(outcome) = end.recv() => break Ok(outcome),
            () = &mut control_due, if !control_seen => {
                tracing::warn!(connIndex = dial.index, "the edge did not open the control stream within {CONTROL_MAX:?}");
                break Ok(Event::Failed);
            }
        }
    };
    let reason = match outcome {
        Ok(event) => return event,
        Err(reason) => reason,
    };
    // It is set here alone, and here once.
    let _ = over.set(reason.clone());
    // The transport ended first; the control stream's task knows whether we were registered, and then says why it ended.
    let event = if control_seen { timeout(CONTROL_MAX, end.recv()).await.ok().flatten() } else { None };
    let event = event.unwrap_or(Event::Failed);
    if event == Event::Failed {
        tracing::warn!(connIndex = dial.index, reason, "the connection to the edge ended before it was registered");
    }
    event
}

/// Registration and goodbye, on the stream the edge opened for them.
#[allow(clippy::too_many_arguments, reason = "called once, from the loop above that owns all of these")]
async fn control(
    shared: &Shared,
    body: RecvStream,
    mut respond: SendResponse<Bytes>,
    dial: Dial,
    (local_ip, edge): (Option<IpAddr>, IpAddr),
    streams: &Streams,
    events: &mpsc::Sender<(u8, Event)>,
    shutdown: &CancellationToken,
    over: &SetOnce<String>,
) -> Event {
    let head =
        wire::agent_response(StatusCode::OK, &HeaderMap::new(), ResponseMeta { src: Source::Agent, flow_rate_limited: false });
    let Ok(send) = respond.send_response(head, false) else { return Event::Failed };
    let client = RegistrationClient::connect(&shared.threads, Reader { recv: body, piece: Bytes::new() }, Writer(send));
    match register(shared, &client, dial, Transport::Http2, local_ip).await {
        Registered::Yes => {}
        Registered::No(event) => return event,
    }
    let listed = shared.connections.registered(dial.index, edge, None);
    let _ = events.send((dial.index, Event::Registered)).await;
    let turn = tokio::select! {
        reason = over.wait() => {
            tracing::warn!(connIndex = dial.index, reason, "the connection to the edge was lost");
            return Event::Lost;
        }
        () = client.closed() => {
            // Its stream ends with the connection too, a moment before that is told.
            let reason = timeout(REASON_MAX, over.wait()).await.map_or("the edge ended the control stream", String::as_str);
            tracing::warn!(connIndex = dial.index, reason, "the connection to the edge was lost");
            return Event::Lost;
        }
        () = shutdown.cancelled() => None,
        turn = streams.outlived(shared.calm, || renewal(shared, dial.index)) => Some(turn),
    };
    let drained = async {
        goodbye(shared, &client, dial.index).await;
        over.wait().await;
    };
    let (limit, end) = if turn.is_some() { (RENEWAL_MAX, Event::Renewed) } else { (shared.grace_period, Event::Lost) };
    let _ = timeout(limit, drained).await;
    // Before the turn goes on: the next who asks for it must see that one is away.
    drop(listed);
    drop(turn);
    end
}

async fn stream(shared: Arc<Shared>, index: u8, request: http::Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let kind = wire::request_kind(request.headers());
    let (head, recv) = request.into_parts();
    match kind {
        Kind::UpdateConfiguration => {
            let answer = configuration(shared, recv).await;
            let response = Response::builder()
                .status(StatusCode::OK)
                .header(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))
                .body(())
                .expect("constant parts");
            if let Ok(mut send) = respond.send_response(response, false) {
                let _ = send.send_data(wire::encode_push_answer(&answer), true);
            }
        }
        Kind::ControlStream => respond.send_reset(h2::Reason::REFUSED_STREAM),
        Kind::Http | Kind::WebSocket | Kind::Tcp => {
            let request = match wire::agent_request(head, recv.is_end_stream()) {
                Ok(request) => request,
                Err(error) => {
                    tracing::warn!(%error, "the edge sent a request that cannot be understood");
                    respond.send_reset(h2::Reason::PROTOCOL_ERROR);
                    return;
                }
            };
            let incoming = if request.has_body {
                Incoming::Body(shared.uploads.watch(Sent::Http2 { recv, data_ended: false }, STREAM_WINDOW, 0))
            } else {
                Incoming::Empty
            };
            proxy::serve(&shared, index, Box::new(request), incoming, Answer::http2(respond)).await;
        }
    }
}

async fn configuration(shared: Arc<Shared>, mut recv: RecvStream) -> ConfigurationAnswer {
    let unchanged = |shared: &Shared, error: String| ConfigurationAnswer {
        latest_applied_version: shared.rules.load().version,
        error: Some(error),
    };
    let mut body = BytesMut::new();
    while let Some(data) = recv.data().await {
        let Ok(data) = data else { return unchanged(&shared, "the configuration broke off".to_owned()) };
        if body.len() + data.len() > CONFIG_BYTES_MAX {
            return unchanged(&shared, format!("the configuration exceeds {CONFIG_BYTES_MAX} bytes"));
        }
        let _ = recv.flow_control().release_capacity(data.len());
        body.extend_from_slice(&data);
    }
    let push = match wire::parse_push(&body) {
        Ok(push) => push,
        Err(error) => return unchanged(&shared, error.to_string()),
    };
    let applying = {
        let shared = shared.clone();
        tokio::task::spawn_blocking(move || shared.rules.apply(push.version, &push.config, &shared.metrics))
    };
    applying.await.unwrap_or_else(|error| unchanged(&shared, error.to_string()))
}

/// The control stream's request body as bytes.
struct Reader {
    recv: RecvStream,
    piece: Bytes,
}

impl AsyncRead for Reader {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.piece.is_empty() {
            match ready!(self.recv.poll_data(cx)) {
                Some(Ok(data)) => {
                    let _ = self.recv.flow_control().release_capacity(data.len());
                    self.piece = data;
                }
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let take = self.piece.len().min(buf.remaining());
        buf.put_slice(&self.piece[..take]);
        self.piece.advance(take);
        Poll::Ready(Ok(()))
    }
}

/// The control stream's response body as bytes.
struct Writer(SendStream<Bytes>);

impl AsyncWrite for Writer {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.0.reserve_capacity(buf.len());
        loop {
            match ready!(self.0.poll_capacity(cx)) {
                Some(Ok(0)) => {}
                Some(Ok(room)) => {
                    let take = room.min(buf.len());
                    self.0.send_data(Bytes::copy_from_slice(&buf[..take]), false).map_err(io::Error::other)?;
                    return Poll::Ready(Ok(take));
                }
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = self.0.send_data(Bytes::new(), true);
        Poll::Ready(Ok(()))
    }
}
