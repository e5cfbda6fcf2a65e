//! The last frame of an HTTP/2 connection. `h2`'s client says GOAWAY only when nothing uses the connection any more, and a
//! connection that is closed by decision is still used; so its transport is lent to `h2`, comes back when `h2` is dropped, and
//! carries the frame then. Whatever `h2` had not finished writing is lost with it, as it was before.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{BufMut as _, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    sync::oneshot,
};

/// How long the frame may take to leave.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// Most bytes of the reason that are sent.
const REASON_BYTES_MAX: usize = 200;

/// A transport that returns to its lender when it is dropped.
pub(crate) struct Lent<IO> {
    /// Here until the drop.
    io: Option<IO>,
    back: Option<oneshot::Sender<IO>>,
}

impl<IO> Lent<IO> {
    /// Lends a transport; it comes back through the receiver.
    pub(crate) fn new(io: IO) -> (Self, oneshot::Receiver<IO>) {
        let (back, returned) = oneshot::channel();
        (Self { io: Some(io), back: Some(back) }, returned)
    }

    fn io(self: Pin<&mut Self>) -> Pin<&mut IO>
    where
        IO: Unpin,
    {
        Pin::new(self.get_mut().io.as_mut().expect("here until the drop"))
    }
}

impl<IO> Drop for Lent<IO> {
    fn drop(&mut self) {
        if let (Some(io), Some(back)) = (self.io.take(), self.back.take()) {
            // Nobody may be waiting for it.
            let _ = back.send(io);
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Lent<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.io().poll_read(cx, buf)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Lent<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.io().poll_write(cx, buf)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.io().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.as_ref().is_some_and(IO::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io().poll_shutdown(cx)
    }
}

/// Says GOAWAY without an error (RFC 9113 §6.8), why, and closes.
pub(crate) async fn say<IO: AsyncWrite + Unpin>(mut io: IO, reason: &str) {
    let reason = &reason.as_bytes()[..reason.len().min(REASON_BYTES_MAX)];
    let mut frame = BytesMut::with_capacity(9 + 8 + reason.len());
    frame.put_uint(8 + reason.len() as u64, 3);
    frame.put_u8(7); // GOAWAY
    frame.put_u8(0); // no flags
    frame.put_u32(0); // of the connection
    frame.put_u32(0); // an agent opens no stream
    frame.put_u32(0); // NO_ERROR
    frame.put_slice(reason);
    let leave = async {
        io.write_all(&frame).await?;
        io.shutdown().await
    };
    // The agent may be gone.
    let _ = tokio::time::timeout(LEAVE_TIMEOUT, leave).await;
}
