//! Refuses an HTTP/1.1 answer that says two things about its own length.
//!
//! hyper, given both `Transfer-Encoding` and `Content-Length`, drops the latter and goes on. RFC 9112 §6.3 lets an intermediary do
//! so for requests alone, and calls it likely smuggling: whoever sits between the service and us may have cut the answers
//! elsewhere. The head is watched as it passes; the body costs nothing.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::OriginIo;

/// Bytes kept of a line's beginning: enough for `transfer-encoding:`.
const PREFIX: usize = 18;

/// Watches one answer at a time.
#[derive(Debug, Default)]
pub(crate) struct HeadWatch {
    line: [u8; PREFIX],
    line_len: usize,
    /// Past the blank line: the rest is body.
    done: bool,
    informational: bool,
    first_line_seen: bool,
    transfer_encoding: bool,
    content_length: bool,
}

impl HeadWatch {
    /// True when the head, so far, contradicts itself.
    pub(crate) fn observe(&mut self, bytes: &[u8]) -> bool {
        for &byte in bytes {
            if self.done {
                return false;
            }
            if byte != b'\n' {
                if self.line_len < PREFIX {
                    self.line[self.line_len] = byte;
                }
                self.line_len += 1;
                continue;
            }
            if self.end_line() {
                return true;
            }
        }
        false
    }

    fn end_line(&mut self) -> bool {
        let line = &self.line[..self.line_len.min(PREFIX)];
        let blank = line.is_empty() || line == b"\r";
        if !self.first_line_seen {
            // `HTTP/1.1 1xx`: another head follows, except after 101.
            self.first_line_seen = true;
            self.informational = line.get(9) == Some(&b'1') && line.get(9..12) != Some(b"101");
        } else if blank {
            let again = self.informational;
            *self = Self { done: !again, ..Self::default() };
            return false;
        } else if line.len() >= 15 && line[..15].eq_ignore_ascii_case(b"content-length:") {
            self.content_length = true;
        } else if line.eq_ignore_ascii_case(b"transfer-encoding:") {
            self.transfer_encoding = true;
        }
        self.line_len = 0;
        self.transfer_encoding && self.content_length
    }
}

/// Told by the pool that the next bytes to be read begin a new head.
pub(crate) type Rearm = Arc<AtomicBool>;

/// A connection whose answers are watched.
#[derive(Debug)]
pub(crate) struct Guarded {
    io: OriginIo,
    watch: HeadWatch,
    rearm: Rearm,
}

impl Guarded {
    pub(crate) fn new(io: OriginIo) -> (Self, Rearm) {
        let rearm = Rearm::default();
        (Self { io, watch: HeadWatch::default(), rearm: rearm.clone() }, rearm)
    }

    pub(crate) fn into_inner(self) -> OriginIo {
        self.io
    }
}

impl AsyncRead for Guarded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        if self.rearm.load(Ordering::Relaxed) && self.rearm.swap(false, Ordering::Relaxed) {
            self.watch = HeadWatch::default();
        }
        if !self.watch.done && self.watch.observe(&buf.filled()[before..]) {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the local service sent both Transfer-Encoding and Content-Length",
            )));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn contradicts(answer: &str) -> bool {
        let whole = HeadWatch::default().observe(answer.as_bytes());
        // The verdict does not depend on how the bytes were cut.
        let mut watch = HeadWatch::default();
        let in_pieces = answer.as_bytes().iter().any(|byte| watch.observe(std::slice::from_ref(byte)));
        assert_eq!(whole, in_pieces);
        whole
    }

    #[test]
    fn both_lengths_are_refused_in_any_order_and_case() {
        assert!(contradicts("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTRANSFER-encoding: chunked\r\n\r\n"));
        assert!(contradicts("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nX: y\ncontent-length: 5\n\n"));
        assert!(contradicts(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length:1\r\nTransfer-Encoding:chunked\r\n\r\n"
        ));
    }

    #[test]
    fn one_length_and_any_body_pass() {
        assert!(!contradicts("HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n"));
        assert!(!contradicts("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Content-Length: 1\r\n\r\n"));
        assert!(!contradicts(
            "HTTP/1.1 103 Early Hints\r\nContent-Length: 1\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        ));
    }
}
