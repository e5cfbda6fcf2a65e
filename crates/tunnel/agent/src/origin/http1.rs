//! An HTTP/1.1 connection to a local service, driven by whoever uses it.
//!
//! The task of a request owns the connection while it needs it and polls it while it waits: a request costs no wake-up of another
//! task and no channel, an idle connection costs no task at all. Both directions move at once, since a service may answer before
//! it has read the whole request; what it says then is passed on, and the connection is not used again.
//!
//! * [`head`], [`body`]: bytes to meaning and back, pure.

pub(crate) mod body;
pub(crate) mod head;

use std::{
    collections::VecDeque,
    future::poll_fn,
    io::{self, IoSlice},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};
use http_body::{Body as _, Frame};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};
use tokio_util::io::poll_read_buf;

use self::{
    body::{BodyFault, CHUNK_END, Framing, Piece, advance, chunk_line, last_chunk},
    head::{Answer, HeadError, take_answer},
};
use super::{OriginIo, pool::RequestBody};
use crate::side::SideError;

/// First read from a service, in bytes; doubled while reads come back full, so that only bulk grows it.
const READ_BYTES_MIN: usize = 4 * 1024;
const READ_BYTES_MAX: usize = 256 * 1024;
/// Interim answers (1xx) before the answer itself. A service that asks for the body and shows progress sends a handful.
const INTERIM_MAX: usize = 16;
/// How long a service may think about `Expect: 100-continue`; many never answer it. The stock agent's value.
const CONTINUE_AFTER: Duration = Duration::from_secs(1);
/// Buffers given to one system call; pieces of a body are as long as the packets they came in.
const SLICES_MAX: usize = 64;
/// Bytes of a request gathered before they are written.
const GATHERED_BYTES_MAX: usize = 64 * 1024;

/// Why there is no answer, or not all of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("the service closed the connection before its answer")]
    ClosedBefore,
    #[error("the service closed the connection within its answer")]
    ClosedWithin,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Head(#[from] HeadError),
    #[error(transparent)]
    Body(#[from] BodyFault),
    #[error("the service sent more than {INTERIM_MAX} interim answers")]
    Interim,
    #[error("the visitor's request ended early: {0}")]
    Visitor(SideError),
    #[error("the visitor's request body is not as long as it said")]
    Length,
}

/// A request that got no answer.
#[derive(Debug)]
pub(crate) struct SendError {
    pub(crate) fault: Fault,
    /// The request's body, if nothing was taken of it.
    pub(crate) body: Option<RequestBody>,
    /// Not a byte of the request was written.
    pub(crate) unsent: bool,
    /// A byte of an answer was seen.
    pub(crate) answered: bool,
}

impl SendError {
    /// The body to send once more on another connection (design invariant 5): the connection died, no byte of an answer was seen,
    /// nothing of the body was taken, and the request may be repeated or never left.
    pub(crate) fn again(self, idempotent: bool) -> Result<RequestBody, Fault> {
        let died = matches!(self.fault, Fault::ClosedBefore | Fault::Io(_));
        match self.body {
            Some(body) if died && !self.answered && (self.unsent || idempotent) => Ok(body),
            _ => Err(self.fault),
        }
    }
}

/// What is sent: see [`head::encode_request`].
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) head: Bytes,
    pub(crate) method: Method,
    pub(crate) body: RequestBody,
    /// Of the body, if the head says it; otherwise the body is chunked.
    pub(crate) length: Option<u64>,
    /// The head says `Expect: 100-continue`: the body waits for the service's word (RFC 9110 §10.1.1).
    pub(crate) expects: bool,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Http1 {
    io: OriginIo,
    /// Received and not handed on yet.
    received: BytesMut,
    read_bytes: usize,
    /// Of the answer under way.
    framing: Framing,
    keep_alive: bool,
    upload: Upload,
    /// Came out of the pool: the service may have closed it meanwhile.
    pub(crate) reused: bool,
}

/// A request on its way out.
#[derive(Debug)]
struct Upload {
    queue: VecDeque<Bytes>,
    /// Bytes in the queue.
    queued: usize,
    body: RequestBody,
    length: Option<u64>,
    stage: Stage,
    written: bool,
    body_touched: bool,
}

#[derive(Debug)]
enum Stage {
    /// The body waits for `100 Continue`, or for the time after which it goes without.
    Expecting(Pin<Box<Sleep>>),
    /// The body is asked for more.
    Flowing,
    /// All is in the queue.
    Flushing,
    /// All is out.
    Done,
    Failed,
}

impl Http1 {
    pub(crate) fn new(io: OriginIo) -> Self {
        let upload = Upload {
            queue: VecDeque::new(),
            queued: 0,
            body: RequestBody::Empty,
            length: None,
            stage: Stage::Done,
            written: false,
            body_touched: false,
        };
        Self {
            io,
            received: BytesMut::new(),
            read_bytes: READ_BYTES_MIN,
            framing: Framing::Length(0),
            keep_alive: true,
            upload,
            reused: false,
        }
    }

    /// Sends, and waits for the head of the answer; interim ones are dropped.
    pub(crate) async fn send(&mut self, request: Outgoing) -> Result<Answer, SendError> {
        let Outgoing { head, method, body, length, expects } = request;
        self.upload.begin(head, body, length, expects);
        if self.reused {
            // Before anything is taken of the body: a connection that died in the pool shows here, and then the body is whole.
            let head = poll_fn(|cx| self.upload.poll_write(cx, &mut self.io)).await;
            if let Err(error) = head {
                return Err(self.upload.failed(error.into(), false));
            }
        }
        let mut interim = 0;
        let answer = poll_fn(|cx| {
            loop {
                let upload = self.upload.poll(cx, &mut self.io);
                let seen = interim;
                match (self.poll_answer(cx, &method, &mut interim), upload) {
                    (Poll::Ready(answer), _) => return Poll::Ready(answer),
                    // What was waited for may have been said just now.
                    (Poll::Pending, Poll::Pending) if interim > seen => {}
                    // The service does not read any more. It may have said why; else its silence tells.
                    (Poll::Pending, Poll::Ready(Err(fault @ (Fault::Visitor(_) | Fault::Length)))) => {
                        return Poll::Ready(Err(fault));
                    }
                    (Poll::Pending, _) => return Poll::Pending,
                }
            }
        })
        .await;
        match answer {
            Ok(answer) => {
                self.framing = answer.framing;
                self.keep_alive = answer.keep_alive;
                Ok(answer)
            }
            Err(fault) => {
                let answered = interim > 0 || !self.received.is_empty();
                Err(self.upload.failed(fault, answered))
            }
        }
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>, method: &Method, interim: &mut usize) -> Poll<Result<Answer, Fault>> {
        loop {
            match take_answer(&mut self.received, method)? {
                Some(answer) if answer.status.is_informational() && answer.status != StatusCode::SWITCHING_PROTOCOLS => {
                    *interim += 1;
                    if answer.status == StatusCode::CONTINUE {
                        self.upload.go_on();
                    }
                    if *interim > INTERIM_MAX {
                        return Poll::Ready(Err(Fault::Interim));
                    }
                }
                Some(answer) => return Poll::Ready(Ok(answer)),
                None => {
                    if ready!(self.poll_receive(cx))? == 0 {
                        let fault = if self.received.is_empty() { Fault::ClosedBefore } else { Fault::ClosedWithin };
                        return Poll::Ready(Err(fault));
                    }
                }
            }
        }
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.received.reserve(self.read_bytes);
        let read = poll_read_buf(Pin::new(&mut self.io), cx, &mut self.received);
        match read {
            Poll::Ready(Ok(read)) if read >= self.read_bytes => self.read_bytes = (self.read_bytes * 2).min(READ_BYTES_MAX),
            // Nothing there: hold no buffer while waiting.
            Poll::Pending if self.received.is_empty() => self.received = BytesMut::new(),
            _ => {}
        }
        read
    }

    /// The next frame of the answer's body; none after its end.
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        // A request that cannot be sent to its end is the service's choice by now: it has answered.
        let _ = self.upload.poll(cx, &mut self.io);
        loop {
            match self.framing.decode(&mut self.received) {
                Ok(Piece::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Piece::End(trailers)) => return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers)))),
                Ok(Piece::Wait) => {}
                Err(fault) => return Poll::Ready(Some(Err(fault.into()))),
            }
            match ready!(self.poll_receive(cx)) {
                Ok(0) if self.framing == Framing::UntilClose => {
                    self.framing = Framing::Length(0);
                    return Poll::Ready(None);
                }
                Ok(0) => return Poll::Ready(Some(Err(Fault::ClosedWithin))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
        }
    }

    /// Whether the answer has no more body.
    pub(crate) fn is_end_stream(&self) -> bool {
        self.framing.is_ended()
    }

    /// Does `work` while the request's body goes on.
    pub(crate) async fn during<F: Future>(&mut self, work: F) -> F::Output {
        let mut work = pin!(work);
        poll_fn(|cx| {
            let worked = work.as_mut().poll(cx);
            if worked.is_pending() {
                let _ = self.upload.poll(cx, &mut self.io);
            }
            worked
        })
        .await
    }

    /// After `101`: the bare connection, and what was already read from it.
    pub(crate) fn into_upgraded(self) -> (OriginIo, Bytes) {
        (self.io, self.received.freeze())
    }

    /// Whether another request may follow: the answer was framed and read, nothing is left over, and the request was sent whole
    /// (edge-behaviour §5.8).
    pub(crate) fn is_reusable(&self) -> bool {
        self.keep_alive && self.framing.is_ended() && self.received.is_empty() && matches!(self.upload.stage, Stage::Done)
    }

    /// Whether an idle connection is still open and silent.
    pub(crate) async fn is_silent(&mut self) -> bool {
        poll_fn(|cx| {
            let mut byte = [0];
            let read = Pin::new(&mut self.io).poll_read(cx, &mut ReadBuf::new(&mut byte));
            // An end, an error, or an answer to nothing.
            Poll::Ready(read.is_pending())
        })
        .await
    }
}

impl Upload {
    fn begin(&mut self, head: Bytes, body: RequestBody, length: Option<u64>, expects: bool) {
        self.queued = head.len();
        self.queue.clear();
        self.queue.push_back(head);
        self.stage = match expects {
            _ if body.is_end_stream() && length.is_none_or(|length| length == 0) => Stage::Flushing,
            true => Stage::Expecting(Box::pin(sleep(CONTINUE_AFTER))),
            false => Stage::Flowing,
        };
        (self.body, self.length, self.written, self.body_touched) = (body, length, false, false);
    }

    /// The service wants the body.
    fn go_on(&mut self) {
        if matches!(self.stage, Stage::Expecting(_)) {
            self.stage = Stage::Flowing;
        }
    }

    fn failed(&mut self, fault: Fault, answered: bool) -> SendError {
        let body = (!self.body_touched).then(|| std::mem::replace(&mut self.body, RequestBody::Empty));
        SendError { fault, body, unsent: !self.written, answered }
    }

    /// Sends as much as can be sent now; ready once all is out, or nothing more can be.
    fn poll(&mut self, cx: &mut Context<'_>, io: &mut OriginIo) -> Poll<Result<(), Fault>> {
        if matches!(self.stage, Stage::Done | Stage::Failed) {
            return Poll::Ready(Ok(()));
        }
        let polled = self.poll_out(cx, io);
        match &polled {
            Poll::Ready(Ok(())) => self.stage = Stage::Done,
            Poll::Ready(Err(_)) => self.stage = Stage::Failed,
            Poll::Pending => {}
        }
        polled
    }

    fn poll_out(&mut self, cx: &mut Context<'_>, io: &mut OriginIo) -> Poll<Result<(), Fault>> {
        if let Stage::Expecting(in_vain) = &mut self.stage {
            if in_vain.as_mut().poll(cx).is_pending() {
                ready!(self.poll_write(cx, io))?;
                ready!(Pin::new(io).poll_flush(cx))?;
                return Poll::Pending;
            }
            self.stage = Stage::Flowing;
        }
        loop {
            let dry = matches!(self.stage, Stage::Flowing) && self.poll_gather(cx)?.is_pending();
            ready!(self.poll_write(cx, io))?;
            if dry || matches!(self.stage, Stage::Flushing) {
                // What TLS gathered must not wait for more.
                ready!(Pin::new(io).poll_flush(cx))?;
                return if dry { Poll::Pending } else { Poll::Ready(Ok(())) };
            }
        }
    }

    /// Takes what the body has, up to a bound, as one chunk where it is chunked. Pending: it has no more for now.
    fn poll_gather(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Fault> {
        self.body_touched = true;
        let begin = self.queue.len();
        let mut gathered = 0;
        let mut end = None;
        let polled = loop {
            if self.queued + gathered >= GATHERED_BYTES_MAX {
                break Poll::Ready(());
            }
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => break Poll::Pending,
                Poll::Ready(Some(Err(error))) => return Err(Fault::Visitor(error)),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        gathered += data.len();
                        self.queue.push_back(data);
                    }
                    Err(frame) => end = Some(frame.into_trailers().ok()),
                },
                Poll::Ready(None) => end = end.or(Some(None)),
            }
            if end.is_some() {
                break Poll::Ready(());
            }
        };
        self.queued += gathered;
        match &mut self.length {
            Some(left) => *left = left.checked_sub(gathered as u64).ok_or(Fault::Length)?,
            // An empty chunk would be the last one.
            None if gathered == 0 => {}
            None => {
                let line = chunk_line(gathered);
                self.queued += line.len() + CHUNK_END.len();
                self.queue.insert(begin, line);
                self.queue.push_back(CHUNK_END);
            }
        }
        if let Some(trailers) = end {
            match self.length {
                None => {
                    let last = last_chunk(trailers.as_ref());
                    self.queued += last.len();
                    self.queue.push_back(last);
                }
                Some(0) => {}
                Some(_) => return Err(Fault::Length),
            }
            self.stage = Stage::Flushing;
        }
        Ok(polled)
    }

    /// Writes the queue.
    fn poll_write(&mut self, cx: &mut Context<'_>, io: &mut OriginIo) -> Poll<io::Result<()>> {
        while !self.queue.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            for (slice, bytes) in slices.iter_mut().zip(&self.queue) {
                *slice = IoSlice::new(bytes);
            }
            let count = self.queue.len().min(SLICES_MAX);
            match ready!(Pin::new(&mut *io).poll_write_vectored(cx, &slices[..count]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => {
                    self.queued -= written;
                    advance(&mut self.queue, written);
                }
            }
            self.written = true;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
