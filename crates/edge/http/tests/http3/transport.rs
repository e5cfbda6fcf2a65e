//! quinn under the h3 crate's client, which brings a transport of its own that would have quinn built twice.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use h3::{
    error::Code,
    quic::{
        BidiStream, Connection, ConnectionErrorIncoming, OpenStreams, RecvStream, SendStream, StreamErrorIncoming, StreamId,
        WriteBuf,
    },
};

type Opening<T> = Option<Pin<Box<dyn Future<Output = Result<T, quinn::ConnectionError>> + Send + Sync>>>;

/// A connection, or what opens its streams.
pub struct Transport {
    quic: quinn::Connection,
    bidi: Opening<(quinn::SendStream, quinn::RecvStream)>,
    send: Opening<quinn::SendStream>,
    recv: Opening<quinn::RecvStream>,
}

impl Transport {
    pub fn new(quic: quinn::Connection) -> Self {
        Self { quic, bidi: None, send: None, recv: None }
    }
}

impl Clone for Transport {
    fn clone(&self) -> Self {
        Self::new(self.quic.clone())
    }
}

fn lost(error: quinn::ConnectionError) -> ConnectionErrorIncoming {
    match error {
        quinn::ConnectionError::ApplicationClosed(close) => {
            ConnectionErrorIncoming::ApplicationClose { error_code: close.error_code.into_inner() }
        }
        quinn::ConnectionError::TimedOut => ConnectionErrorIncoming::Timeout,
        error => ConnectionErrorIncoming::Undefined(Arc::new(error)),
    }
}

fn stream_lost(error: quinn::ConnectionError) -> StreamErrorIncoming {
    StreamErrorIncoming::ConnectionErrorIncoming { connection_error: lost(error) }
}

impl Connection<Bytes> for Transport {
    type RecvStream = Down;
    type OpenStreams = Self;

    fn poll_accept_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Down, ConnectionErrorIncoming>> {
        let quic = self.quic.clone();
        let accepting = self.recv.get_or_insert_with(|| Box::pin(async move { quic.accept_uni().await }));
        let accepted = ready!(accepting.as_mut().poll(cx));
        self.recv = None;
        Poll::Ready(accepted.map(Down).map_err(lost))
    }

    fn poll_accept_bidi(&mut self, _: &mut Context<'_>) -> Poll<Result<Both, ConnectionErrorIncoming>> {
        // Servers open none.
        Poll::Pending
    }

    fn opener(&self) -> Self {
        self.clone()
    }
}

impl OpenStreams<Bytes> for Transport {
    type BidiStream = Both;
    type SendStream = Up;

    fn poll_open_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<Both, StreamErrorIncoming>> {
        let quic = self.quic.clone();
        let opening = self.bidi.get_or_insert_with(|| Box::pin(async move { quic.open_bi().await }));
        let opened = ready!(opening.as_mut().poll(cx));
        self.bidi = None;
        Poll::Ready(opened.map(|(send, recv)| Both(Up { send, data: None }, Down(recv))).map_err(stream_lost))
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<Up, StreamErrorIncoming>> {
        let quic = self.quic.clone();
        let opening = self.send.get_or_insert_with(|| Box::pin(async move { quic.open_uni().await }));
        let opened = ready!(opening.as_mut().poll(cx));
        self.send = None;
        Poll::Ready(opened.map(|send| Up { send, data: None }).map_err(stream_lost))
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.quic.close(quinn::VarInt::from_u64(code.value()).unwrap(), reason);
    }
}

pub struct Up {
    send: quinn::SendStream,
    data: Option<WriteBuf<Bytes>>,
}

impl SendStream<Bytes> for Up {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        while let Some(data) = self.data.as_mut().filter(|data| data.has_remaining()) {
            match ready!(Pin::new(&mut self.send).poll_write(cx, data.chunk())) {
                Ok(written) => data.advance(written),
                Err(quinn::WriteError::Stopped(code)) => {
                    return Poll::Ready(Err(StreamErrorIncoming::StreamTerminated { error_code: code.into_inner() }));
                }
                Err(quinn::WriteError::ConnectionLost(error)) => return Poll::Ready(Err(stream_lost(error))),
                Err(error) => return Poll::Ready(Err(StreamErrorIncoming::Unknown(Box::new(error)))),
            }
        }
        self.data = None;
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.data = Some(data.into());
        Ok(())
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        let _ = self.send.finish();
        Poll::Ready(Ok(()))
    }

    fn reset(&mut self, code: u64) {
        let _ = self.send.reset(quinn::VarInt::from_u64(code).unwrap());
    }

    fn send_id(&self) -> StreamId {
        u64::from(self.send.id()).try_into().unwrap()
    }
}

pub struct Down(quinn::RecvStream);

impl RecvStream for Down {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        Poll::Ready(match ready!(pin!(self.0.read_chunk(usize::MAX, true)).poll(cx)) {
            Ok(chunk) => Ok(chunk.map(|chunk| chunk.bytes)),
            Err(quinn::ReadError::Reset(code)) => Err(StreamErrorIncoming::StreamTerminated { error_code: code.into_inner() }),
            Err(quinn::ReadError::ConnectionLost(error)) => Err(stream_lost(error)),
            Err(error) => Err(StreamErrorIncoming::Unknown(Box::new(error))),
        })
    }

    fn stop_sending(&mut self, code: u64) {
        let _ = self.0.stop(quinn::VarInt::from_u64(code).unwrap());
    }

    fn recv_id(&self) -> StreamId {
        u64::from(self.0.id()).try_into().unwrap()
    }
}

pub struct Both(Up, Down);

impl SendStream<Bytes> for Both {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.0.poll_ready(cx)
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.0.send_data(data)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.0.poll_finish(cx)
    }

    fn reset(&mut self, code: u64) {
        self.0.reset(code);
    }

    fn send_id(&self) -> StreamId {
        self.0.send_id()
    }
}

impl RecvStream for Both {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        self.1.poll_data(cx)
    }

    fn stop_sending(&mut self, code: u64) {
        self.1.stop_sending(code);
    }

    fn recv_id(&self) -> StreamId {
        self.1.recv_id()
    }
}

impl BidiStream<Bytes> for Both {
    type SendStream = Up;
    type RecvStream = Down;

    fn split(self) -> (Up, Down) {
        (self.0, self.1)
    }
}
