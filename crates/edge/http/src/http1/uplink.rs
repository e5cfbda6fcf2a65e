//! A request's body between the task that reads the visitor and whoever takes the body, which may be another task.
//!
//! What waits here is bounded: the visitor is not read while [`WINDOW_BYTES`] wait, and TCP tells it so.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::SizeHint;

use crate::{BodyError, Frame, pieces::Pieces};

/// Bytes of a body that may wait to be taken; one more read may come on top.
const WINDOW_BYTES: usize = 64 * 1024;

#[derive(Debug, Default)]
struct State {
    pieces: Pieces,
    /// What comes after the pieces.
    trailers: Option<HeaderMap>,
    /// What comes after that.
    end: Option<Result<(), BodyError>>,
    wanted: bool,
    /// Nobody takes the body any more.
    abandoned: bool,
    taker: Option<Waker>,
    giver: Option<Waker>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The end that gives. Dropped before the end, it breaks the body off.
#[derive(Debug)]
pub(crate) struct Giver(Arc<Mutex<State>>);

/// The end that takes.
#[derive(Debug)]
pub(crate) struct Taker {
    state: Arc<Mutex<State>>,
    /// Bytes to come, if that is known.
    left: Option<u64>,
    ended: bool,
}

/// What the taking end is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Demand {
    /// There is room, and the body was asked for.
    Wanted,
    /// There is room; nobody has asked for the body yet.
    Room,
    /// No room.
    Full,
    /// It is gone.
    Abandoned,
}

/// A body of this length, if it is known.
pub(crate) fn uplink(length: Option<u64>) -> (Giver, Taker) {
    let state = Arc::new(Mutex::new(State::default()));
    (Giver(Arc::clone(&state)), Taker { state, left: length, ended: false })
}

impl Giver {
    /// Looks; wakes this task when it changes.
    pub(crate) fn demand(&self, cx: &Context<'_>) -> Demand {
        let mut state = lock(&self.0);
        if state.abandoned {
            return Demand::Abandoned;
        }
        if !state.giver.as_ref().is_some_and(|giver| giver.will_wake(cx.waker())) {
            state.giver = Some(cx.waker().clone());
        }
        match (state.pieces.bytes() < WINDOW_BYTES, state.wanted) {
            (false, _) => Demand::Full,
            (true, true) => Demand::Wanted,
            (true, false) => Demand::Room,
        }
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        lock(&self.0).abandoned
    }

    pub(crate) fn data(&self, data: Bytes) {
        let mut state = lock(&self.0);
        state.pieces.push(data);
        wake(state);
    }

    pub(crate) fn end(&self, trailers: Option<HeaderMap>) {
        let mut state = lock(&self.0);
        state.trailers = trailers;
        state.end = Some(Ok(()));
        wake(state);
    }

    /// Breaks the body off.
    pub(crate) fn fail(&self, reason: impl Into<String>) {
        let mut state = lock(&self.0);
        state.end.get_or_insert(Err(BodyError::Visitor(reason.into())));
        wake(state);
    }
}

fn wake(mut state: MutexGuard<'_, State>) {
    let taker = state.taker.take();
    drop(state);
    if let Some(taker) = taker {
        taker.wake();
    }
}

impl Drop for Giver {
    fn drop(&mut self) {
        self.fail("the connection ended before the body");
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        state.abandoned = true;
        state.pieces.clear();
        state.trailers = None;
        let giver = state.giver.take();
        drop(state);
        if let Some(giver) = giver {
            giver.wake();
        }
    }
}

impl http_body::Body for Taker {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        let mut state = lock(&this.state);
        let (first_asked, was_full) = (!state.wanted, state.pieces.bytes() >= WINDOW_BYTES);
        state.wanted = true;
        let polled = match state.pieces.pop() {
            Some(data) => {
                this.left = this.left.map(|left| left.saturating_sub(data.len() as u64));
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            None if state.trailers.is_some() => Poll::Ready(state.trailers.take().map(|trailers| Ok(Frame::trailers(trailers)))),
            None => match state.end.take() {
                Some(end) => {
                    this.ended = true;
                    Poll::Ready(end.err().map(Err))
                }
                None => {
                    if !state.taker.as_ref().is_some_and(|taker| taker.will_wake(cx.waker())) {
                        state.taker = Some(cx.waker().clone());
                    }
                    Poll::Pending
                }
            },
        };
        let has_room = was_full && state.pieces.bytes() < WINDOW_BYTES;
        let giver = if first_asked || has_room { state.giver.take() } else { None };
        drop(state);
        if let Some(giver) = giver {
            giver.wake();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use http_body::Body as _;

    use super::*;

    fn take(taker: &mut Taker) -> Poll<Option<Result<Frame, BodyError>>> {
        Pin::new(taker).poll_frame(&mut Context::from_waker(Waker::noop()))
    }

    fn demand(giver: &Giver) -> Demand {
        giver.demand(&Context::from_waker(Waker::noop()))
    }

    #[test]
    fn what_is_given_is_taken_and_the_window_bounds_it() {
        let (giver, mut taker) = uplink(None);
        assert_eq!(demand(&giver), Demand::Room);
        assert!(take(&mut taker).is_pending());
        assert_eq!(demand(&giver), Demand::Wanted);
        giver.data(Bytes::from(vec![0; WINDOW_BYTES]));
        assert_eq!(demand(&giver), Demand::Full);
        assert!(matches!(take(&mut taker), Poll::Ready(Some(Ok(frame))) if frame.is_data()));
        assert_eq!(demand(&giver), Demand::Wanted);
        giver.end(Some(HeaderMap::new()));
        drop(giver);
        assert!(matches!(take(&mut taker), Poll::Ready(Some(Ok(frame))) if frame.is_trailers()));
        assert!(matches!(take(&mut taker), Poll::Ready(None)));
        assert!(taker.is_end_stream());
    }

    #[test]
    fn a_chunk_a_byte_takes_no_more_than_its_bytes() {
        let (giver, mut taker) = uplink(None);
        let read = Bytes::from(vec![0; 5_000]);
        (0..read.len()).for_each(|at| giver.data(read.slice(at..=at)));
        let mut taken = Vec::new();
        while let Poll::Ready(Some(Ok(frame))) = take(&mut taker) {
            taken.push(frame.into_data().unwrap().len());
        }
        assert_eq!(taken, [1, 4_999]);
    }

    #[test]
    fn whoever_leaves_tells_the_other() {
        let (giver, mut taker) = uplink(Some(5));
        giver.data(Bytes::from_static(b"ab"));
        drop(giver);
        assert!(matches!(take(&mut taker), Poll::Ready(Some(Ok(_)))));
        assert_eq!(taker.size_hint().exact(), Some(3));
        assert!(matches!(take(&mut taker), Poll::Ready(Some(Err(BodyError::Visitor(_))))));
        assert!(matches!(take(&mut taker), Poll::Ready(None)));

        let (giver, taker) = uplink(Some(5));
        drop(taker);
        assert_eq!(demand(&giver), Demand::Abandoned);
    }
}
