//! A WebSocket after its 101: raw bytes both ways, each side slowed by the other.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
};

use crate::{Body, BodyError, Frame};

/// Bytes read from a visitor at a time. An idle WebSocket holds one such buffer.
const READ_BYTES: usize = 8 * 1024;

/// What the exchange leaves behind for the connection to go on with once the 101 is written.
pub(crate) struct Handover {
    /// Towards the visitor.
    pub(crate) down: Body,
    /// From the visitor.
    pub(crate) up: mpsc::Sender<Bytes>,
}

/// The two ends of the visitor's bytes: where the connection will put them, and the request body that yields them.
pub(crate) fn visitor_bytes() -> (mpsc::Sender<Bytes>, Body) {
    // One piece waits while the next is read: more would only be memory.
    let (sender, receiver) = mpsc::channel(1);
    (sender, Body::flow(VisitorBytes(receiver)))
}

struct VisitorBytes(mpsc::Receiver<Bytes>);

impl http_body::Body for VisitorBytes {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        self.0.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// Pumps until either side ends; then both are ended, for there is no half-open WebSocket through a tunnel
/// (tunnel-protocol §4.4). `early` is what the codec had read beyond the head.
pub(crate) async fn pump<IO: AsyncRead + AsyncWrite + Unpin>(stream: IO, early: Bytes, handover: Handover) -> io::Result<()> {
    let Handover { mut down, up } = handover;
    let (mut reader, mut writer) = tokio::io::split(stream);
    let upwards = async {
        if !early.is_empty() && up.send(early).await.is_err() {
            return Ok(());
        }
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(READ_BYTES);
            if reader.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
            if up.send(buffer.split().freeze()).await.is_err() {
                return Ok(());
            }
        }
    };
    let downwards = async {
        while let Some(frame) = down.frame().await {
            let Ok(mut bytes) = frame.map_err(io::Error::other)?.into_data() else { continue };
            while bytes.has_remaining() {
                writer.write_buf(&mut bytes).await?;
            }
            writer.flush().await?;
        }
        Ok(())
    };
    let ended = tokio::select! {
        ended = upwards => ended,
        ended = downwards => ended,
    };
    writer.shutdown().await?;
    ended
}
