//! A WebSocket to an origin, after its 101: raw bytes both ways (RFC 6455). Whoever leaves ends both.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes, BytesMut};
use poterne_edge_http::{Body, BodyError, Frame};
use tokio::{
    io::{AsyncWriteExt as _, ReadHalf, WriteHalf},
    task::JoinHandle,
};
use tokio_util::io::poll_read_buf;

use super::{pool::Io, zone::Share};

/// Bytes read at a time. An idle WebSocket holds no such buffer.
const READ_BYTES: usize = 16 * 1024;

/// What the origin sends. Dropping it ends the connection.
struct Downwards {
    reader: ReadHalf<Io>,
    /// Read, and not handed on; first what came with the head.
    received: BytesMut,
    upwards: JoinHandle<()>,
    _share: Share,
}

/// The body that goes to the visitor, while what the visitor sends goes to the origin. `early` came with the head.
pub(super) fn body(io: Io, early: Bytes, visitor: Body, share: Share) -> Body {
    let (reader, writer) = tokio::io::split(io);
    // A task of its own: either direction may stand still without the other.
    let upwards = tokio::spawn(async move {
        if let Err(error) = pump(visitor, writer).await {
            tracing::debug!(%error, "a WebSocket's way to its origin ended");
        }
    });
    Body::flow(Downwards { reader, received: BytesMut::from(&early[..]), upwards, _share: share })
}

async fn pump(mut visitor: Body, mut writer: WriteHalf<Io>) -> io::Result<()> {
    while let Some(frame) = visitor.frame().await {
        let Ok(mut bytes) = frame.map_err(io::Error::other)?.into_data() else { continue };
        while bytes.has_remaining() {
            writer.write_buf(&mut bytes).await?;
        }
        // What TLS gathered must not wait for more.
        writer.flush().await?;
    }
    writer.shutdown().await
}

impl http_body::Body for Downwards {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let this = &mut *self;
        if this.received.is_empty() {
            this.received.reserve(READ_BYTES);
            let read = poll_read_buf(Pin::new(&mut this.reader), cx, &mut this.received);
            if read.is_pending() {
                this.received = BytesMut::new();
            }
            match ready!(read) {
                Ok(0) => return Poll::Ready(None),
                Ok(_) => {}
                Err(error) => {
                    return Poll::Ready(Some(Err(BodyError::Upstream(format!("the origin's WebSocket broke: {error}")))));
                }
            }
        }
        Poll::Ready(Some(Ok(Frame::data(this.received.split().freeze()))))
    }
}

impl Drop for Downwards {
    fn drop(&mut self) {
        self.upwards.abort();
    }
}
