//! A connection over QUIC.

use std::{io::Cursor, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use poterne_model::tunnel::Transport;
use poterne_tunnel_proto::{
    metadata::{self, AgentRequest},
    stream::{Opening, PREAMBLE_BYTES_MAX, Parsed, parse_opening},
};
use poterne_tunnel_rpc::{Limits, RegistrationClient, serve_agent};
use poterne_tunnel_transport::soon;
use tokio::{io::AsyncReadExt, sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{EdgeCalls, RENEWAL_MAX, Registered, goodbye, register, renewal, streams::Streams};
use crate::{
    Shared,
    dial::{STREAM_WINDOW, STREAMS_AT_FIRST, STREAMS_MAX},
    proxy,
    side::{Answer, Incoming, QuicIncoming, Sent},
    supervise::{Dial, Event},
};

/// How long an opened stream may take to say what it is: an edge writes its preamble in one go.
const PREAMBLE_MAX: Duration = Duration::from_secs(10);

/// Runs the connection to its end; `events` hears of the registration, the return value of the end.
pub(crate) async fn run(
    shared: Arc<Shared>,
    connection: quinn::Connection,
    dial: Dial,
    events: mpsc::Sender<(u8, Event)>,
    shutdown: CancellationToken,
) -> Event {
    let _initiated = shared.connections.initiated();
    // The edge may push a configuration before its answer to the registration arrives, so streams are served from the start.
    let streams = Arc::new(Streams::default());
    let serving = tokio::spawn(accept(shared.clone(), connection.clone(), dial.index, streams.clone()));
    let end = registered(&shared, &connection, dial, &streams, &events, &shutdown).await;
    serving.abort();
    connection.close(quinn::VarInt::from_u32(0), b"");
    end
}

async fn registered(
    shared: &Shared,
    connection: &quinn::Connection,
    dial: Dial,
    streams: &Streams,
    events: &mpsc::Sender<(u8, Event)>,
    shutdown: &CancellationToken,
) -> Event {
    let Ok((send, recv)) = connection.open_bi().await else { return Event::Failed };
    let client = RegistrationClient::connect(&shared.threads, recv, send);
    match register(shared, &client, dial, Transport::Quic, connection.local_ip()).await {
        Registered::Yes => {}
        Registered::No(event) => return event,
    }
    let edge = connection.remote_address().ip().to_canonical();
    let listed = shared.connections.registered(dial.index, edge, Some(connection.clone()));
    let _ = events.send((dial.index, Event::Registered)).await;
    let turn = tokio::select! {
        reason = connection.closed() => {
            tracing::warn!(connIndex = dial.index, %reason, "the connection to the edge was lost");
            return Event::Lost;
        }
        () = shutdown.cancelled() => None,
        turn = streams.outlived(shared.calm, || renewal(shared, dial.index)) => Some(turn),
    };
    let drained = async {
        goodbye(shared, &client, dial.index).await;
        connection.closed().await
    };
    let (limit, end) = if turn.is_some() { (RENEWAL_MAX, Event::Renewed) } else { (shared.grace_period, Event::Lost) };
    let _ = timeout(limit, drained).await;
    // Before the turn goes on: the next who asks for it must see that one is away.
    drop(listed);
    drop(turn);
    end
}

async fn accept(shared: Arc<Shared>, connection: quinn::Connection, index: u8, streams: Arc<Streams>) {
    let mut granted = STREAMS_AT_FIRST;
    while let Ok((send, recv)) = connection.accept_bi().await {
        if granted < STREAMS_MAX && streams.open() >= granted as usize / 2 {
            granted = (granted * 2).min(STREAMS_MAX);
            connection.set_max_concurrent_bi_streams(granted.into());
        }
        let (shared, held) = (shared.clone(), streams.enter());
        // Boxed: a task moves its future several times, and aligns it so that the allocator takes its slow way.
        tokio::spawn(Box::pin(async move {
            stream(shared, index, send, recv).await;
            drop(held);
        }));
    }
}

/// What an edge-opened stream turned out to be.
enum Opened {
    Request(Box<AgentRequest>, Bytes),
    Rpc(Bytes),
}

async fn stream(shared: Arc<Shared>, index: u8, mut send: quinn::SendStream, mut recv: quinn::RecvStream) {
    let opened = match soon(PREAMBLE_MAX, preamble(&mut recv)).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(reason)) => {
            tracing::warn!(%reason, "the edge opened a stream that cannot be understood");
            let _ = send.reset(quinn::VarInt::from_u32(0));
            return;
        }
        Err(_) => {
            tracing::warn!("the edge opened a stream and did not say what for within {PREAMBLE_MAX:?}");
            let _ = send.reset(quinn::VarInt::from_u32(0));
            return;
        }
    };
    match opened {
        Opened::Request(request, rest) => {
            let answer = Answer::quic(send, request.framed_response_allowed);
            let incoming = if request.has_body {
                let incoming = QuicIncoming::new(recv, rest, request.framed_request);
                Incoming::Body(shared.uploads.watch(Sent::Quic(incoming), STREAM_WINDOW, 0))
            } else {
                Incoming::Empty
            };
            proxy::serve(&shared, index, request, incoming, answer).await;
        }
        Opened::Rpc(rest) => {
            Box::pin(async {
                let reader = Cursor::new(rest).chain(recv);
                let calls = Arc::new(EdgeCalls(shared.clone()));
                if let Err(error) = serve_agent(&shared.threads, reader, send, calls, Limits::default(), shared.rpc_timeout).await
                {
                    tracing::debug!(%error, "a call from the edge ended early");
                }
            })
            .await
        }
    }
}

/// Reads until it is known what the stream is for; a preamble nearly always comes in one piece.
async fn preamble(recv: &mut quinn::RecvStream) -> Result<Opened, String> {
    let mut gathered = BytesMut::new();
    let mut piece = next(recv).await?;
    loop {
        if let Some(opened) = understand(&piece)? {
            return Ok(opened);
        }
        if gathered.is_empty() {
            gathered.extend_from_slice(&piece);
        }
        if gathered.len() > PREAMBLE_BYTES_MAX {
            return Err(format!("its head exceeds {PREAMBLE_BYTES_MAX} bytes"));
        }
        gathered.extend_from_slice(&next(recv).await?);
        piece = gathered.clone().freeze();
    }
}

async fn next(recv: &mut quinn::RecvStream) -> Result<Bytes, String> {
    match recv.read_chunk(PREAMBLE_BYTES_MAX, true).await {
        Ok(Some(chunk)) => Ok(chunk.bytes),
        Ok(None) => Err("it ended within its head".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn understand(bytes: &Bytes) -> Result<Option<Opened>, String> {
    match parse_opening(bytes).map_err(|error| error.to_string())? {
        Parsed::Incomplete => Ok(None),
        Parsed::Complete { value: Opening::Rpc, consumed } => Ok(Some(Opened::Rpc(bytes.slice(consumed..)))),
        Parsed::Complete { value: Opening::Data, .. } => {
            match metadata::parse_request_head(bytes).map_err(|error| error.to_string())? {
                Parsed::Incomplete => Ok(None),
                Parsed::Complete { value, consumed } => Ok(Some(Opened::Request(Box::new(value), bytes.slice(consumed..)))),
            }
        }
    }
}
