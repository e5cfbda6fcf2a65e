//! A WebSocket after its 101: raw bytes both ways, each side slowed by the other.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
    time::timeout,
};

use crate::{Body, BodyError, Frame};

/// Bytes read from a visitor at a time. An idle WebSocket holds one such buffer.
const READ_BYTES: usize = 8 * 1024;
/// How long the goodbye may take.
const SHUTDOWN_MAX: Duration = Duration::from_secs(2);

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
/// (tunnel-protocol §4.4). `early` is what the codec had read beyond the head; `patience` is how long the visitor may take nothing of what
/// is sent to it ([`crate::Limits::stalled_write_timeout`]).
pub(crate) async fn pump<IO>(stream: IO, early: Bytes, handover: Handover, patience: Option<Duration>) -> io::Result<()>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
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
                within(patience, writer.write_buf(&mut bytes)).await?;
            }
            within(patience, writer.flush()).await?;
        }
        Ok(())
    };
    let ended = tokio::select! {
        ended = upwards => ended,
        ended = downwards => ended,
    };
    // A visitor that takes nothing any more, not even this, is left.
    within(Some(SHUTDOWN_MAX), writer.shutdown()).await?;
    ended
}

async fn within<T>(limit: Option<Duration>, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match limit {
        None => work.await,
        Some(limit) => timeout(limit, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::ReadBuf, time::Instant};

    use super::*;

    /// A visitor that is there, says nothing and takes nothing.
    struct Deaf;

    impl AsyncRead for Deaf {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Deaf {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Pending
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    async fn ends_after(down: Body, patience: Option<Duration>) -> u64 {
        let (up, _body) = visitor_bytes();
        let before = Instant::now();
        let ended = pump(Deaf, Bytes::new(), Handover { down, up }, patience).await;
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
        before.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_visitor_that_takes_nothing_is_left() {
        assert_eq!(ends_after(Body::empty(), None).await, 2, "the goodbye alone");
        assert_eq!(ends_after(Body::full("more"), Some(Duration::from_secs(60))).await, 60 + 2);
    }
}
