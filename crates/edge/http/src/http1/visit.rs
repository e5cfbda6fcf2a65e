//! A visitor's socket, what was read of it and not yet understood, and what is to be written.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::TcpStream,
    time::Instant,
};
use tokio_util::{io::poll_read_buf, sync::CancellationToken};

use super::{
    answer::Out,
    decoder::Decoder,
    departure::SocketOf,
    head::{Head, Refused},
};
use crate::{Limits, alarm::Alarm, drain::Drain, strict::Refusal};

/// Bytes read where none wait: the head of a request, and the body of a small one. Read onto the stack, so that an idle connection
/// holds no memory for it.
const READ_BYTES_MIN: usize = 8 * 1024;
/// Buffers given to one system call.
const SLICES_MAX: usize = 32;

/// One connection.
pub(super) struct Visit<IO> {
    pub(super) io: IO,
    socket: SocketOf<IO>,
    pub(super) limits: Arc<Limits>,
    pub(super) decoder: Decoder,
    /// Read, and not yet understood.
    pub(super) received: BytesMut,
    /// How much is read at a time; doubled while reads come back full, halved where they bring little.
    read_bytes: usize,
    pub(super) out: Out,
    alarm: Alarm,
    pub(super) drain: Drain,
    /// Since when the connection waits for its next request, and how long it may.
    idle: (Instant, Duration),
    /// Since when a head is incomplete.
    head_since: Option<Instant>,
    /// Since when the visitor takes nothing of what is written.
    stalled_since: Option<Instant>,
}

/// What came of waiting for a request.
#[expect(clippy::large_enum_variant, reason = "a request is what nearly always comes: it is moved once rather than allocated")]
pub(super) enum Came {
    /// A request.
    Head(Head),
    /// Something that is none.
    Refused(Refused),
    /// Nothing, for too long; or nothing more is wanted.
    Ended,
    /// The visitor left.
    Gone,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Visit<IO> {
    pub(super) fn new(io: IO, socket: SocketOf<IO>, limits: Arc<Limits>, drain: CancellationToken) -> Self {
        let now = Instant::now();
        let patience = limits.head_timeout.min(limits.idle_timeout);
        Self {
            io,
            socket,
            limits,
            decoder: Decoder::default(),
            received: BytesMut::new(),
            read_bytes: READ_BYTES_MIN,
            out: Out::default(),
            alarm: Alarm::new(now + patience),
            drain: Drain::new(drain),
            idle: (now, patience),
            head_since: None,
            stalled_since: None,
        }
    }

    /// The socket below, where there is one.
    pub(super) fn socket(&self) -> Option<&TcpStream> {
        (self.socket)(&self.io)
    }

    /// Waits for the next request's head.
    pub(super) async fn head(&mut self) -> Came {
        poll_fn(|cx| self.poll_head(cx)).await
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Came> {
        loop {
            match self.decoder.head(&mut self.received, &self.limits) {
                Ok(Some(head)) => {
                    self.head_since = None;
                    return Poll::Ready(Came::Head(head));
                }
                Ok(None) => {}
                Err(refused) => return Poll::Ready(Came::Refused(refused)),
            }
            if self.received.is_empty() {
                self.received = BytesMut::new();
                // An empty line that was begun and is over now.
                self.head_since = None;
                if self.drain.poll(cx) {
                    return Poll::Ready(Came::Ended);
                }
            } else if self.head_since.is_none() {
                self.head_since = Some(Instant::now());
            }
            match self.poll_receive(cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Came::Gone),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => {
                    let due = match self.head_since {
                        Some(since) => since + self.limits.head_timeout,
                        None => self.idle.0 + self.idle.1,
                    };
                    ready!(self.alarm.poll(cx, due));
                    return Poll::Ready(match self.head_since {
                        Some(_) => Came::Refused(Refusal::Slow.into()),
                        None => Came::Ended,
                    });
                }
            }
        }
    }

    /// The exchange is over; the next request may come.
    pub(super) fn rest(&mut self) {
        self.idle = (Instant::now(), self.limits.idle_timeout);
        self.out.release();
        self.read_bytes = READ_BYTES_MIN;
    }

    /// Reads more into `received`: nought at the visitor's end.
    pub(super) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.read_bytes > READ_BYTES_MIN || !self.received.is_empty() {
            self.received.reserve(self.read_bytes);
            let read = poll_read_buf(Pin::new(&mut self.io), cx, &mut self.received);
            match read {
                Poll::Ready(Ok(read)) => self.pace(read),
                // Nothing there: hold no buffer while waiting.
                Poll::Pending if self.received.is_empty() => self.received = BytesMut::new(),
                _ => {}
            }
            return read;
        }
        let mut space = [MaybeUninit::uninit(); READ_BYTES_MIN];
        let mut space = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut space))?;
        self.received = BytesMut::from(space.filled());
        let read = self.received.len();
        self.pace(read);
        Poll::Ready(Ok(read))
    }

    /// A piece of a body keeps alive what was read with it: a visitor who has slowed down must not have a great buffer for each.
    fn pace(&mut self, read: usize) {
        if read >= self.read_bytes && self.decoder.in_body() {
            self.read_bytes = (self.read_bytes * 2).min(self.limits.buffer_bytes_max.max(READ_BYTES_MIN));
        } else if read < self.read_bytes / 4 {
            self.read_bytes = (self.read_bytes / 2).max(READ_BYTES_MIN);
        }
    }

    /// Writes what is to be written, down to the socket.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write(cx))?;
        // What TLS gathered must not wait for more.
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.unless_stalled(cx, flushed)
    }

    /// Gives away what is to be written.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let written = match self.out.single() {
                Some(bytes) => Pin::new(&mut self.io).poll_write(cx, bytes),
                None => {
                    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                    let filled = self.out.slices(&mut slices);
                    Pin::new(&mut self.io).poll_write_vectored(cx, &slices[..filled])
                }
            };
            match ready!(self.unless_stalled(cx, written))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.out.advance(written),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The same, or an error once the visitor has taken nothing for [`Limits::stalled_write_timeout`].
    fn unless_stalled<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let Some(patience) = self.limits.stalled_write_timeout else { return written };
        if written.is_ready() {
            self.stalled_since = None;
            return written;
        }
        let since = *self.stalled_since.get_or_insert_with(Instant::now);
        ready!(self.alarm.poll(cx, since + patience));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Ready once `due` has passed.
    pub(super) fn poll_alarm(&mut self, cx: &mut Context<'_>, due: Instant) -> Poll<()> {
        self.alarm.poll(cx, due)
    }

    /// Says goodbye.
    pub(super) async fn close(&mut self) {
        // A visitor that takes nothing any more, not even this, is left.
        let _ = tokio::time::timeout(super::close::TIMEOUT, self.io.shutdown()).await;
    }

    /// The bare connection, and what was already read from it.
    pub(super) fn into_raw(self) -> (IO, Bytes) {
        (self.io, self.received.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reads_are_as_large_as_what_comes() {
        let (mut visitor, io) = tokio::io::duplex(1024 * 1024);
        let mut visit = Visit::new(io, |_| None, Arc::new(Limits::default()), CancellationToken::new());
        visitor.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n").await.unwrap();
        assert!(matches!(visit.head().await, Came::Head(_)));
        visitor.write_all(&vec![b'x'; 600_000]).await.unwrap();
        let mut read = 0;
        while read < 600_000 {
            read += poll_fn(|cx| visit.poll_receive(cx)).await.unwrap();
            visit.received.clear();
        }
        assert!(visit.read_bytes > READ_BYTES_MIN);
        for _ in 0..8 {
            visitor.write_all(b"x").await.unwrap();
            poll_fn(|cx| visit.poll_receive(cx)).await.unwrap();
            visit.received.clear();
        }
        assert_eq!(visit.read_bytes, READ_BYTES_MIN);
    }
}
