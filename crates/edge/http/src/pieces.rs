//! Pieces of a body that wait in memory, in order. Pure.
//!
//! A piece shares the memory that it was read into: a visitor who sends a byte at a time would have each of them keep a buffer alive,
//! and a place in a queue. Small pieces that wait are put together instead, so that what is held is about what is counted.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Longest piece that is copied to the one before it, in bytes. A longer one is worth its place in the queue, and the part of its
/// buffer that is not its own.
const COPIED_BYTES_MAX: usize = 1024;

/// What waits.
#[derive(Debug, Default)]
pub struct Pieces {
    queue: VecDeque<Bytes>,
    /// Small pieces put together; they come after the queue.
    last: BytesMut,
    bytes: usize,
}

impl Pieces {
    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a piece; an empty one is none.
    pub fn push(&mut self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        self.bytes += data.len();
        // The first to wait is likely to be taken as it is.
        if data.len() <= COPIED_BYTES_MAX && self.bytes > data.len() {
            return self.last.extend_from_slice(&data);
        }
        if !self.last.is_empty() {
            self.queue.push_back(std::mem::take(&mut self.last).freeze());
        }
        self.queue.push_back(data);
    }

    /// Takes the next piece, which may be several that were put together.
    pub fn pop(&mut self) -> Option<Bytes> {
        let data = match self.queue.pop_front() {
            Some(data) => data,
            None if self.last.is_empty() => return None,
            None => std::mem::take(&mut self.last).freeze(),
        };
        self.bytes -= data.len();
        Some(data)
    }

    /// Lets go of everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bytes_that_come_one_by_one_share_a_place() {
        let read = Bytes::from(vec![b'x'; 10_000]);
        let mut pieces = Pieces::default();
        (0..10_000).for_each(|at| pieces.push(read.slice(at..=at)));
        assert_eq!(pieces.bytes(), 10_000);
        let first = pieces.pop().unwrap();
        let rest = pieces.pop().unwrap();
        assert_eq!((first.len(), rest.len(), pieces.pop(), pieces.bytes()), (1, 9_999, None, 0));
        assert!(!read.as_ptr_range().contains(&rest.as_ptr()), "the buffer is not kept alive");
    }

    #[test]
    fn a_long_piece_is_not_copied() {
        let read = Bytes::from(vec![b'x'; 2_000]);
        let mut pieces = Pieces::default();
        pieces.push(Bytes::from_static(b"a"));
        pieces.push(Bytes::from_static(b"b"));
        pieces.push(read.clone());
        let taken = std::iter::from_fn(|| pieces.pop()).collect::<Vec<_>>();
        assert_eq!(taken.len(), 3);
        assert_eq!(taken[2].as_ptr(), read.as_ptr());
    }

    proptest! {
        #[test]
        fn what_is_taken_is_what_was_put_in(steps in prop::collection::vec(prop::option::of(0usize..3_000), 0..60)) {
            let (mut pieces, mut put, mut taken) = (Pieces::default(), Vec::new(), Vec::new());
            for (at, step) in steps.into_iter().enumerate() {
                if let Some(len) = step {
                    let data = vec![u8::try_from(at).unwrap(); len];
                    put.extend_from_slice(&data);
                    pieces.push(data.into());
                } else if let Some(data) = pieces.pop() {
                    taken.extend_from_slice(&data);
                }
                prop_assert_eq!(pieces.bytes(), put.len() - taken.len());
            }
            while let Some(data) = pieces.pop() {
                taken.extend_from_slice(&data);
            }
            prop_assert!(taken == put);
        }
    }
}
