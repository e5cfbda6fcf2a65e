//! The visitor's side of a request stream: its head, then its body as it is taken.

use std::{
    future::Future as _,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use http_body::{Body, SizeHint};

use super::{
    code::Code,
    frames::{Fault, Piece, RequestError, RequestFrames},
    head::{HeadError, read_trailers},
};
use crate::{BodyError, Frame, Limits, strict::Refusal};

/// Most bytes taken of the stream at a time. What is not taken fills the visitor's windows, and no more comes.
const READ_BYTES: usize = 64 * 1024;

/// A piece of fewer bytes is copied, since it would keep the packet alive that it came in.
const COPIED_BYTES_MAX: usize = 512;

/// A request stream that is being read.
#[derive(Debug)]
pub(super) struct Upload {
    recv: quinn::RecvStream,
    /// To close, where what comes is no HTTP/3.
    quic: quinn::Connection,
    frames: RequestFrames,
    /// Read and not looked at.
    read: Bytes,
    /// Of whatever was read.
    anything: bool,
    limits: Arc<Limits>,
}

/// Why a stream yields no more.
#[derive(Debug, thiserror::Error)]
pub(super) enum UploadError {
    /// The visitor reset it.
    #[error("the visitor reset the stream ({0:#x})")]
    Reset(u64),
    /// The connection is gone.
    #[error("{0}")]
    Lost(String),
    /// The connection was closed for it.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// Its fields are too large.
    #[error("the fields are too large")]
    TooLarge,
}

impl Upload {
    pub(super) fn new(recv: quinn::RecvStream, quic: quinn::Connection, limits: Arc<Limits>) -> Self {
        let frames = RequestFrames::new(limits.head_bytes_max);
        Self { recv, quic, frames, read: Bytes::new(), anything: false, limits }
    }

    /// The head's field section; none where the stream ended before it.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, UploadError>> {
        match ready!(self.poll_piece(cx))? {
            Some(Piece::Section(section)) => Poll::Ready(Ok(Some(section))),
            // A body comes after a head.
            Some(Piece::Data(_)) | None => Poll::Ready(Ok(None)),
        }
    }

    /// Whether anything of a head came.
    pub(super) fn has_begun(&self) -> bool {
        self.anything || self.frames.has_begun()
    }

    /// Whether it is known by now that nothing comes after the head.
    pub(super) fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        self.read.is_empty() && self.frames.end().is_ok() && matches!(self.poll_read(cx), Poll::Ready(Ok(false)))
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Piece>, UploadError>> {
        loop {
            match self.frames.next_piece(&mut self.read) {
                Ok(Some(piece)) => return Poll::Ready(Ok(Some(piece))),
                Ok(None) => {}
                Err(RequestError::Fault(fault)) => return Poll::Ready(Err(self.close(fault))),
                Err(RequestError::TooLarge) => return Poll::Ready(Err(UploadError::TooLarge)),
            }
            if !ready!(self.poll_read(cx))? {
                return Poll::Ready(match self.frames.end() {
                    Ok(()) => Ok(None),
                    Err(fault) => Err(self.close(fault)),
                });
            }
        }
    }

    /// Reads on; false at the end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, UploadError>> {
        // It holds nothing between two polls: the stream knows whom to wake.
        match ready!(pin!(self.recv.read_chunk(READ_BYTES, true)).poll(cx)) {
            Ok(Some(chunk)) => {
                self.read = chunk.bytes;
                self.anything = true;
                Poll::Ready(Ok(true))
            }
            Ok(None) => Poll::Ready(Ok(false)),
            Err(quinn::ReadError::Reset(code)) => Poll::Ready(Err(UploadError::Reset(code.into_inner()))),
            Err(error) => Poll::Ready(Err(UploadError::Lost(error.to_string()))),
        }
    }

    fn close(&self, fault: Fault) -> UploadError {
        self.quic.close(fault.code.quic(), fault.reason.as_bytes());
        fault.into()
    }

    /// A field section that does not decode ends the connection.
    pub(super) fn undecodable(&self, reason: &'static str) {
        self.close(Fault::new(Code::DECOMPRESSION_FAILED, reason));
    }

    /// Nothing more is wanted, and nothing is wrong (RFC 9114 §4.1), unless it is in what was read already.
    pub(super) fn leave(&mut self, cx: &mut Context<'_>) {
        if let Err(RequestError::Fault(fault)) = self.frames.next_piece(&mut self.read) {
            self.close(fault);
        }
        // Its end may be here already.
        if !self.is_over(cx) {
            self.stop(Code::NO_ERROR);
        }
    }

    /// Tells the visitor to send no more.
    pub(super) fn stop(&mut self, code: Code) {
        // Already over is as good.
        let _ = self.recv.stop(code.quic());
    }
}

/// A visitor's request body over HTTP/3.
#[derive(Debug)]
pub(crate) struct Incoming {
    upload: Upload,
    /// Bytes to come, if that is known.
    left: Option<u64>,
    ended: bool,
}

impl Incoming {
    /// The rest of a stream whose head was read; of this length if it is known.
    pub(super) fn new(upload: Upload, length: Option<u64>) -> Self {
        Self { upload, left: length, ended: false }
    }

    fn broken(&mut self, reason: impl ToString, code: Code) -> Poll<Option<Result<Frame, BodyError>>> {
        self.ended = true;
        self.upload.stop(code);
        Poll::Ready(Some(Err(BodyError::Visitor(reason.to_string()))))
    }

    /// RFC 9114 §4.1.2: a length that was said is the length.
    fn is_short(&self) -> bool {
        self.left.is_some_and(|left| left > 0)
    }
}

const WRONG_LENGTH: &str = "the body is not as long as its Content-Length";

impl Body for Incoming {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, BodyError>>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        match ready!(this.upload.poll_piece(cx)) {
            Ok(Some(Piece::Data(data))) => {
                if let Some(left) = this.left {
                    let Some(left) = left.checked_sub(data.len() as u64) else {
                        return this.broken(WRONG_LENGTH, Code::MESSAGE_ERROR);
                    };
                    this.left = Some(left);
                }
                let data = if data.len() <= COPIED_BYTES_MAX { Bytes::copy_from_slice(&data) } else { data };
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Ok(Some(Piece::Section(_)) | None) if this.is_short() => this.broken(WRONG_LENGTH, Code::MESSAGE_ERROR),
            Ok(Some(Piece::Section(section))) => match read_trailers(section, &this.upload.limits) {
                Ok(trailers) => {
                    this.ended = true;
                    this.upload.leave(cx);
                    Poll::Ready((!trailers.is_empty()).then(|| Ok(Frame::trailers(trailers))))
                }
                Err(HeadError::Undecodable(reason)) => {
                    this.upload.undecodable(reason);
                    this.broken(reason, Code::DECOMPRESSION_FAILED)
                }
                Err(HeadError::Refused(refusal)) => this.broken(refusal, Code::MESSAGE_ERROR),
            },
            Ok(None) => {
                this.ended = true;
                Poll::Ready(None)
            }
            Err(UploadError::TooLarge) => this.broken(Refusal::HeadTooLarge, Code::EXCESSIVE_LOAD),
            Err(error) => this.broken(error, Code::REQUEST_CANCELLED),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.ended {
            self.upload.leave(&mut Context::from_waker(Waker::noop()));
        }
    }
}
