//! A reader that looks at each message's segment table as it passes, and stops before anything is allocated for a message that is
//! too large.
//!
//! ```text
//! segments − 1 (u32 LE)  words of each segment (u32 LE …)  padding to 8 bytes  segments
//! ```
//! Source: <https://capnproto.org/encoding.html#serialization-over-a-stream>.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, ReadBuf};

/// Most segments a message may have.
pub const SEGMENTS_MAX: usize = 64;

/// A message that is refused. Culprit: the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Too many segments.
    #[error("a message announces {0} segments, more than {SEGMENTS_MAX}")]
    Segments(usize),
    /// Too long.
    #[error("a message announces {bytes} bytes, more than {bytes_max}")]
    TooLong {
        /// Announced.
        bytes: usize,
        /// Accepted.
        bytes_max: usize,
    },
}

/// Follows a byte stream from message to message. Pure: bytes in, verdict out.
#[derive(Debug, Default)]
pub struct Scanner {
    /// Bytes of the present message already seen.
    seen: usize,
    /// Whole length of the present message, once its table was read.
    len: Option<usize>,
    segments: usize,
    body: usize,
    word: [u8; 4],
}

impl Scanner {
    /// Takes the next bytes of the stream; an error says that the message they begin must not be read.
    pub fn scan(&mut self, mut bytes: &[u8], bytes_max: usize) -> Result<(), FrameError> {
        while !bytes.is_empty() {
            if let Some(len) = self.len {
                let part = bytes.len().min(len - self.seen);
                self.seen += part;
                bytes = &bytes[part..];
            } else {
                self.word[self.seen % 4] = bytes[0];
                self.seen += 1;
                bytes = &bytes[1..];
                if self.seen.is_multiple_of(4) {
                    self.table_word(u32::from_le_bytes(self.word) as usize, bytes_max)?;
                }
            }
            if self.len == Some(self.seen) {
                *self = Self::default();
            }
        }
        Ok(())
    }

    fn table_word(&mut self, word: usize, bytes_max: usize) -> Result<(), FrameError> {
        if self.seen == 4 {
            self.segments = word + 1;
            if self.segments > SEGMENTS_MAX {
                return Err(FrameError::Segments(self.segments));
            }
            return Ok(());
        }
        self.body = self.body.saturating_add(word.saturating_mul(8));
        if self.body > bytes_max {
            return Err(FrameError::TooLong { bytes: self.body, bytes_max });
        }
        if self.seen == 4 + 4 * self.segments {
            self.len = Some(self.seen.next_multiple_of(8) + self.body);
        }
        Ok(())
    }
}

/// The limit in force, raised once the peer has proved itself.
#[derive(Debug, Clone)]
pub(crate) struct Bound(Arc<AtomicUsize>);

impl Bound {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes_max)))
    }

    pub(crate) fn set(&self, bytes_max: usize) {
        self.0.store(bytes_max, Ordering::Relaxed);
    }
}

/// See the module's page.
#[derive(Debug)]
pub(crate) struct BoundedReader<R> {
    inner: R,
    scanner: Scanner,
    bound: Bound,
}

impl<R> BoundedReader<R> {
    pub(crate) fn new(inner: R, bound: Bound) -> Self {
        Self { inner, scanner: Scanner::default(), bound }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for BoundedReader<R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        std::task::ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        let bytes_max = self.bound.0.load(Ordering::Relaxed);
        let verdict = self.scanner.scan(&buf.filled()[before..], bytes_max);
        Poll::Ready(verdict.map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(segments: &[u32]) -> Vec<u8> {
        let mut bytes = u32::try_from(segments.len() - 1).unwrap().to_le_bytes().to_vec();
        segments.iter().for_each(|words| bytes.extend(words.to_le_bytes()));
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes.resize(bytes.len() + segments.iter().sum::<u32>() as usize * 8, 0xff);
        bytes
    }

    #[test]
    fn large_messages_are_refused_by_their_table() {
        let mut scanner = Scanner::default();
        assert_eq!(
            scanner.scan(&[0, 0, 0, 0, 1, 0x20, 0, 0], 65536),
            Err(FrameError::TooLong { bytes: 65544, bytes_max: 65536 })
        );
        assert_eq!(Scanner::default().scan(&[0xff; 4], 65536), Err(FrameError::Segments(1 << 32)));
        // The sum counts, not each segment.
        let two = [1, 0, 0, 0, 0, 0x10, 0, 0, 1, 0x10, 0, 0];
        assert!(Scanner::default().scan(&two, 65536).is_err());
    }

    proptest! {
        #[test]
        fn messages_in_any_pieces_pass(sizes in prop::collection::vec(prop::collection::vec(0u32..40, 1..9), 1..6), cut in 1usize..50) {
            let stream: Vec<u8> = sizes.iter().flat_map(|segments| message(segments)).collect();
            let mut scanner = Scanner::default();
            for piece in stream.chunks(cut) {
                prop_assert!(scanner.scan(piece, 8 * 400).is_ok());
            }
            prop_assert_eq!(scanner.seen, 0, "the scanner stands at a message's beginning");
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Scanner::default().scan(&bytes, 65536);
        }
    }
}
