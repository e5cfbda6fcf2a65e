//! A visitor's socket under `h2`, and what the clock must know of it.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::frames::Frames;

/// When the visitor was heard. Read and written by the connection's one task; atomic because the socket and the task both hold it.
#[derive(Debug)]
pub(super) struct Heard {
    start: Instant,
    /// Microseconds after `start` of the last read.
    last: AtomicU64,
    /// The same of the first byte of a head that is not complete, and one more; nought while there is none.
    head: AtomicU64,
}

impl Heard {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), last: AtomicU64::new(0), head: AtomicU64::new(0) }
    }

    pub(super) fn last(&self) -> Instant {
        self.start + Duration::from_micros(self.last.load(Relaxed))
    }

    /// Since when a head is incomplete.
    pub(super) fn in_head_since(&self) -> Option<Instant> {
        self.head.load(Relaxed).checked_sub(1).map(|micros| self.start + Duration::from_micros(micros))
    }

    /// Something was read: a head is incomplete after it, which may have begun in it.
    fn note(&self, in_head: bool, began_head: bool) {
        let micros = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX - 1);
        self.last.store(micros, Relaxed);
        match (in_head, self.head.load(Relaxed)) {
            (true, 0) => self.head.store(micros + 1, Relaxed),
            // Each head has its own time.
            (true, 1..) if began_head => self.head.store(micros + 1, Relaxed),
            (false, 1..) => self.head.store(0, Relaxed),
            _ => {}
        }
    }
}

/// The socket.
pub(super) struct Watched<IO> {
    io: IO,
    frames: Frames,
    heard: Arc<Heard>,
}

impl<IO> Watched<IO> {
    pub(super) fn new(io: IO, heard: Arc<Heard>) -> Self {
        Self { io, frames: Frames::default(), heard }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Watched<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        let read = &buf.filled()[before..];
        if !read.is_empty() {
            this.frames.read(read);
            this.heard.note(this.frames.in_head(), this.frames.began_head());
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Watched<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
