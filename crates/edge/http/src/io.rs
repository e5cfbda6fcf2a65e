//! A visitor's byte stream on its way to the codec, under the eyes of the [`Guard`].

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{Limits, guard::Guard, strict::Refusal, watch::Watch};

/// Wraps an HTTP/1.1 visitor's stream. Once the guard refuses, reads fail and the codec gives up without answering.
pub(crate) struct Guarded<IO> {
    inner: IO,
    guard: Guard,
    watch: Arc<Watch>,
    limits: Arc<Limits>,
    refusal: Option<Refusal>,
}

/// Where a visitor broke the rules.
pub(crate) enum Refused {
    /// In a request's head: nothing will answer it but us.
    Head(Refusal),
    /// In the body of a request that its handler answers, or has answered.
    Body,
}

impl<IO> Guarded<IO> {
    pub(crate) fn new(inner: IO, watch: Arc<Watch>, limits: Arc<Limits>) -> Self {
        Self { inner, guard: Guard::default(), watch, limits, refusal: None }
    }

    /// The stream itself, and whether and how it was refused.
    pub(crate) fn into_parts(self) -> (IO, Option<Refused>) {
        // The guard stands where it refused.
        let in_head = self.guard.in_head();
        (self.inner, self.refusal.map(|refusal| if in_head { Refused::Head(refusal) } else { Refused::Body }))
    }

    /// Whether the visitor is still to send the rest of a body.
    pub(crate) fn in_body(&self) -> bool {
        self.guard.in_body()
    }

    fn refused(refusal: Refusal) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, refusal)
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Guarded<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(refusal) = this.refusal {
            return Poll::Ready(Err(Self::refused(refusal)));
        }
        let before = buf.filled().len();
        match Pin::new(&mut this.inner).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {}
            other => return other,
        }
        // After a 101 the bytes are the WebSocket's, not HTTP's.
        if this.watch.is_raw() {
            return Poll::Ready(Ok(()));
        }
        if let Err(stop) = this.guard.scan(&buf.filled()[before..], &this.limits) {
            this.refusal = Some(stop.refusal);
            buf.set_filled(before + stop.pass);
            // An empty read would mean that the visitor closed.
            if stop.pass == 0 {
                return Poll::Ready(Err(Self::refused(stop.refusal)));
            }
        }
        this.watch.set_in_head(this.guard.in_head());
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Guarded<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The codec thinks that the visitor left; the refusal is still to be written.
        if self.refusal.is_some() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
