//! One HTTP/1.1 connection to a server, driven by whoever uses it.
//!
//! The task of a request owns the connection while it needs it and polls it while it waits: a request costs no wake-up of another
//! task and no channel, an idle connection costs no task at all. Both directions move at once, since a server may answer before
//! it has read the whole request; what it says then is passed on, and the connection is not used again.

use std::{
    collections::VecDeque,
    fmt::Display,
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};
use http_body::{Body, Frame};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};
use tokio_util::io::poll_read_buf;

use crate::{
    body::{BodyFault, CHUNK_END, Framing, Piece, advance, chunk_line, last_chunk},
    head::{Answer, HeadError, Rules, take_answer},
};

/// First read from a server, in bytes; doubled while reads come back full, so that only bulk grows it.
const READ_BYTES_MIN: usize = 4 * 1024;
const READ_BYTES_MAX: usize = 256 * 1024;
/// Interim answers (1xx) before the answer itself. A server that asks for the body and shows progress sends a handful.
const INTERIM_MAX: usize = 16;
/// How long a server may think about `Expect: 100-continue`; many never answer it. The stock agent's value.
const CONTINUE_AFTER: Duration = Duration::from_secs(1);
/// Buffers given to one system call; pieces of a body are as long as the packets they came in.
const SLICES_MAX: usize = 64;
/// Bytes of a request gathered before they are written.
const GATHERED_BYTES_MAX: usize = 64 * 1024;

/// Why there is no answer, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Without a byte of one. Culprit: the server.
    #[error("it closed the connection before its answer")]
    ClosedBefore,
    /// In the middle of one. Culprit: the server.
    #[error("it closed the connection within its answer")]
    ClosedWithin,
    /// The connection broke.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// No answer that has one meaning. Culprit: the server.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// No body that has one meaning. Culprit: the server.
    #[error(transparent)]
    Body(#[from] BodyFault),
    /// More interim answers than anybody needs. Culprit: the server.
    #[error("it sent more than {INTERIM_MAX} interim answers")]
    Interim,
    /// The request's body broke off. Culprit: the visitor.
    #[error("the visitor's request ended early: {0}")]
    Visitor(String),
    /// The request's body is of another length than its head says. Culprit: the visitor.
    #[error("the visitor's request body is not as long as it said")]
    Length,
    /// The whole request was sent, and no answer came for so long ([`Patience::answer`]). Culprit: the server.
    #[error("it did not answer within {} seconds", .0.as_secs())]
    Silent(Duration),
    /// It took nothing of the request for so long ([`Patience::write`]). Culprit: the server.
    #[error("it took nothing of the request for {} seconds", .0.as_secs())]
    Stalled(Duration),
}

/// How long a server is waited for; none: as long as the connection lives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Patience {
    /// While it takes nothing of what there is to be sent.
    pub write: Option<Duration>,
    /// From the request's end to the head of the answer.
    pub answer: Option<Duration>,
}

/// A request that got no answer.
#[derive(Debug)]
pub struct SendError<B> {
    /// Why.
    pub fault: Fault,
    /// The request's body, or what is left of it.
    pub body: B,
    /// Something was taken of the body.
    pub touched: bool,
    /// Not a byte of the request was written.
    pub unsent: bool,
    /// A byte of an answer was seen.
    pub answered: bool,
}

impl<B> SendError<B> {
    /// Whether the request may be sent once more on another connection, as far as its body allows (design invariant 5): the connection
    /// died, no byte of an answer was seen, and the request may be repeated or never left.
    pub fn may_repeat(&self, idempotent: bool) -> bool {
        let died = matches!(self.fault, Fault::ClosedBefore | Fault::Io(_));
        died && !self.answered && (self.unsent || idempotent)
    }

    /// The body to send once more, where nothing of it was taken.
    ///
    /// # Errors
    /// It may not be sent again.
    pub fn again(self, idempotent: bool) -> Result<B, Fault> {
        if self.may_repeat(idempotent) && !self.touched { Ok(self.body) } else { Err(self.fault) }
    }
}

/// What is sent: see [`crate::encode_request`].
#[derive(Debug)]
pub struct Outgoing<B> {
    /// The head, as it goes over the wire.
    pub head: Bytes,
    /// Its method, which says how the answer ends.
    pub method: Method,
    /// The body.
    pub body: B,
    /// Of the body, if the head says it; otherwise the body is chunked.
    pub length: Option<u64>,
    /// The head says `Expect: 100-continue`: the body waits for the server's word (RFC 9110 §10.1.1).
    pub expects: bool,
    /// How long the server is waited for.
    pub patience: Patience,
}

/// One connection.
#[derive(Debug)]
pub struct Http1<IO, B> {
    io: IO,
    rules: Rules,
    /// Received and not handed on yet.
    received: BytesMut,
    read_bytes: usize,
    /// Of the answer under way.
    framing: Framing,
    keep_alive: bool,
    upload: Upload<B>,
    /// Wakes whoever has waited long enough; made with the first request that does not wait for ever.
    alarm: Option<Pin<Box<Sleep>>>,
    /// Came out of a pool: the server may have closed it meanwhile.
    pub reused: bool,
}

/// A request on its way out.
#[derive(Debug)]
struct Upload<B> {
    queue: VecDeque<Bytes>,
    /// Bytes in the queue.
    queued: usize,
    body: B,
    length: Option<u64>,
    stage: Stage,
    /// Bytes that went out.
    written: u64,
    body_touched: bool,
}

/// What an exchange waits for: time begins anew with each change of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// The server to take more; so much has gone.
    Write(u64),
    /// The visitor, who has limits of its own.
    Visitor,
    /// The answer.
    Answer,
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

impl<IO, B> Http1<IO, B>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    B: Body<Data = Bytes, Error: Display> + Default + Unpin,
{
    /// A connection that has carried nothing yet.
    pub fn new(io: IO, rules: Rules) -> Self {
        let upload = Upload {
            queue: VecDeque::new(),
            queued: 0,
            body: B::default(),
            length: None,
            stage: Stage::Done,
            written: 0,
            body_touched: false,
        };
        Self {
            io,
            rules,
            received: BytesMut::new(),
            read_bytes: READ_BYTES_MIN,
            framing: Framing::Length(0),
            keep_alive: true,
            upload,
            alarm: None,
            reused: false,
        }
    }

    /// Sends, and waits for the head of the answer; interim ones are dropped.
    ///
    /// # Errors
    /// There is none.
    pub async fn send(&mut self, request: Outgoing<B>) -> Result<Answer, SendError<B>> {
        let Outgoing { head, method, body, length, expects, patience } = request;
        self.upload.begin(head, body, length, expects);
        let mut waiting = Waiting::Visitor;
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
                    // The server does not read any more. It may have said why; else its silence tells.
                    (Poll::Pending, Poll::Ready(Err(fault @ (Fault::Visitor(_) | Fault::Length)))) => {
                        return Poll::Ready(Err(fault));
                    }
                    (Poll::Pending, _) => return self.poll_patience(cx, patience, &mut waiting).map(Err),
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

    /// Ready once the server has been waited for long enough.
    fn poll_patience(&mut self, cx: &mut Context<'_>, patience: Patience, waiting: &mut Waiting) -> Poll<Fault> {
        let now_waiting = self.upload.waiting();
        let (limit, fault): (_, fn(Duration) -> Fault) = match now_waiting {
            Waiting::Write(_) => (patience.write, Fault::Stalled),
            Waiting::Visitor => (None, Fault::Silent),
            Waiting::Answer => (patience.answer, Fault::Silent),
        };
        let changed = std::mem::replace(waiting, now_waiting) != now_waiting;
        let Some(limit) = limit else { return Poll::Pending };
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep(limit)));
        if changed {
            alarm.as_mut().reset(Instant::now() + limit);
        }
        alarm.as_mut().poll(cx).map(|()| fault(limit))
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>, method: &Method, interim: &mut usize) -> Poll<Result<Answer, Fault>> {
        loop {
            match take_answer(&mut self.received, method, &self.rules)? {
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
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        // A request that cannot be sent to its end is the server's choice by now: it has answered.
        let _ = self.upload.poll(cx, &mut self.io);
        loop {
            match self.framing.decode(&mut self.received, self.rules.forgiving) {
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
    pub fn is_end_stream(&self) -> bool {
        self.framing.is_ended()
    }

    /// How many more bytes of body come, where that is known.
    pub fn body_left(&self) -> Option<u64> {
        match self.framing {
            Framing::Length(left) => Some(left),
            _ if self.framing.is_ended() => Some(0),
            _ => None,
        }
    }

    /// Does `work` while the request's body goes on. It is given pinned: moving it in would make room for it twice.
    pub async fn during<F: Future>(&mut self, mut work: Pin<&mut F>) -> F::Output {
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
    pub fn into_upgraded(self) -> (IO, Bytes) {
        (self.io, self.received.freeze())
    }

    /// Whether another request may follow: the answer was framed and read, nothing is left over, and the request was sent whole
    /// (edge-behaviour §5.8).
    pub fn is_reusable(&self) -> bool {
        self.keep_alive && self.framing.is_ended() && self.received.is_empty() && matches!(self.upload.stage, Stage::Done)
    }

    /// Whether all of the request is out, or nothing more of it can be.
    pub fn is_sent(&self) -> bool {
        matches!(self.upload.stage, Stage::Done | Stage::Failed)
    }

    /// Whether an idle connection is still open and silent.
    pub fn is_silent(&mut self) -> bool {
        let mut byte = [0];
        let read = Pin::new(&mut self.io).poll_read(&mut Context::from_waker(Waker::noop()), &mut ReadBuf::new(&mut byte));
        // An end, an error, or an answer to nothing.
        read.is_pending()
    }
}

impl<B> Upload<B>
where
    B: Body<Data = Bytes, Error: Display> + Default + Unpin,
{
    fn begin(&mut self, head: Bytes, body: B, length: Option<u64>, expects: bool) {
        self.queued = head.len();
        self.queue.clear();
        self.queue.push_back(head);
        self.stage = match expects {
            _ if body.is_end_stream() && length.is_none_or(|length| length == 0) => Stage::Flushing,
            true => Stage::Expecting(Box::pin(sleep(CONTINUE_AFTER))),
            false => Stage::Flowing,
        };
        (self.body, self.length, self.written, self.body_touched) = (body, length, 0, false);
    }

    /// The server wants the body.
    fn go_on(&mut self) {
        if matches!(self.stage, Stage::Expecting(_)) {
            self.stage = Stage::Flowing;
        }
    }

    fn failed(&mut self, fault: Fault, answered: bool) -> SendError<B> {
        let body = std::mem::take(&mut self.body);
        SendError { fault, body, touched: self.body_touched, unsent: self.written == 0, answered }
    }

    /// What is waited for while no answer comes.
    fn waiting(&self) -> Waiting {
        match self.stage {
            Stage::Done | Stage::Failed => Waiting::Answer,
            _ if !self.queue.is_empty() => Waiting::Write(self.written),
            Stage::Expecting(_) | Stage::Flowing => Waiting::Visitor,
            Stage::Flushing => Waiting::Write(self.written),
        }
    }

    /// Sends as much as can be sent now; ready once all is out, or nothing more can be.
    fn poll<IO: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, io: &mut IO) -> Poll<Result<(), Fault>> {
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

    fn poll_out<IO: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, io: &mut IO) -> Poll<Result<(), Fault>> {
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
                Poll::Ready(Some(Err(error))) => return Err(Fault::Visitor(error.to_string())),
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
    fn poll_write<IO: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, io: &mut IO) -> Poll<io::Result<()>> {
        loop {
            let io = Pin::new(&mut *io);
            let written = match self.queue.len() {
                0 => return Poll::Ready(Ok(())),
                // A request without a body is one piece: a plain write costs the kernel less than one of a list.
                1 => ready!(io.poll_write(cx, &self.queue[0])),
                queued => {
                    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                    for (slice, bytes) in slices.iter_mut().zip(&self.queue) {
                        *slice = IoSlice::new(bytes);
                    }
                    ready!(io.poll_write_vectored(cx, &slices[..queued.min(SLICES_MAX)]))
                }
            };
            match written? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => {
                    self.queued -= written;
                    self.written += written as u64;
                    advance(&mut self.queue, written);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
