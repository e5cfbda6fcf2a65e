//! HTTP/1.1 connections to one local service, driven by whoever uses them.
//!
//! A [`Driven`] holds both halves of a hyper connection; the task of the request polls the connection while it waits, so a request
//! costs no wake-up of another task, and an idle connection costs no task at all. That the service closed it while idle is
//! found out by polling it once when it is taken.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Mutex, PoisonError, atomic::Ordering},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use super::{
    OriginIo,
    guard::{Guarded, Rearm},
};
use crate::side::{Incoming, Part, SideError};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::{body::Incoming as OriginBody, client::conn::http1};
use hyper_util::rt::TokioIo;

/// Largest read from a service at once, in bytes. hyper starts at 8 KiB and doubles while reads come back full, so only bulk
/// grows to this.
const READ_BYTES_MAX: usize = 256 * 1024;
/// Most header lines of an answer.
const HEADERS_MAX: usize = 256;

/// What the visitor sends, as hyper wants it.
#[derive(Debug)]
pub(crate) enum RequestBody {
    Empty,
    Whole(Option<Bytes>),
    Stream(Incoming),
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = SideError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, SideError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Whole(data) => Poll::Ready(data.take().map(|data| Ok(Frame::data(data)))),
            Self::Stream(incoming) => incoming.poll_part(cx).map_ok(|part| match part {
                Part::Data(data) => Frame::data(data),
                Part::Trailers(trailers) => Frame::trailers(trailers),
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Empty | Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty | Self::Whole(None) => SizeHint::with_exact(0),
            Self::Whole(Some(data)) => SizeHint::with_exact(data.len() as u64),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

/// One connection and its driver.
#[derive(Debug)]
pub(crate) struct Driven {
    sender: http1::SendRequest<RequestBody>,
    connection: http1::Connection<TokioIo<Guarded>, RequestBody>,
    ended: bool,
    rearm: Rearm,
    /// Came out of the pool: the service may have closed it meanwhile.
    pub(crate) reused: bool,
}

/// A request that got no answer; `request` is given back when not a byte of it was written.
#[derive(Debug)]
pub(crate) struct SendError {
    pub(crate) error: hyper::Error,
    pub(crate) request: Option<Request<RequestBody>>,
}

impl Driven {
    pub(crate) async fn new(io: OriginIo) -> hyper::Result<Self> {
        let (io, rearm) = Guarded::new(io);
        let (sender, connection) = http1::Builder::new()
            .title_case_headers(true)
            .max_headers(HEADERS_MAX)
            .max_buf_size(READ_BYTES_MAX)
            .handshake(TokioIo::new(io))
            .await?;
        Ok(Self { sender, connection, ended: false, rearm, reused: false })
    }

    /// Sends, and waits for the head of the answer.
    pub(crate) async fn send(&mut self, request: Request<RequestBody>) -> Result<Response<OriginBody>, SendError> {
        self.rearm.store(true, Ordering::Relaxed);
        let mut response = pin!(self.sender.try_send_request(request));
        let sent = drive(&mut self.connection, &mut self.ended, |cx| response.as_mut().poll(cx)).await;
        sent.map_err(|mut error| SendError { request: error.take_message(), error: error.into_error() })
    }

    /// The next frame of the answer's body.
    pub(crate) async fn frame(&mut self, body: &mut OriginBody) -> Option<hyper::Result<Frame<Bytes>>> {
        drive(&mut self.connection, &mut self.ended, |cx| Pin::new(&mut *body).poll_frame(cx)).await
    }

    /// The next frame if it is already here. `None`: not yet.
    pub(crate) async fn frame_now(&mut self, body: &mut OriginBody) -> Option<Option<hyper::Result<Frame<Bytes>>>> {
        poll_fn(|cx| {
            let polled = poll_driven(&mut self.connection, &mut self.ended, cx, &mut |cx| Pin::new(&mut *body).poll_frame(cx));
            Poll::Ready(match polled {
                Poll::Ready(frame) => Some(frame),
                Poll::Pending => None,
            })
        })
        .await
    }

    /// Does `work` while the connection moves on: a request body may still be going out.
    pub(crate) async fn during<F: Future>(&mut self, work: F) -> F::Output {
        let mut work = pin!(work);
        drive(&mut self.connection, &mut self.ended, |cx| work.as_mut().poll(cx)).await
    }

    /// After `101`: the bare connection, and what was already read from it.
    pub(crate) fn into_upgraded(self) -> (OriginIo, Bytes) {
        let parts = self.connection.into_parts();
        (parts.io.into_inner().into_inner(), parts.read_buf)
    }

    /// Whether another request may be sent; polls the connection once, which finds an end that came while idle.
    async fn is_usable(&mut self) -> bool {
        poll_fn(|cx| {
            if !self.ended && self.connection.poll_without_shutdown(cx).is_ready() {
                self.ended = true;
            }
            Poll::Ready(!self.ended && matches!(self.sender.poll_ready(cx), Poll::Ready(Ok(()))))
        })
        .await
    }
}

async fn drive<T>(
    connection: &mut http1::Connection<TokioIo<Guarded>, RequestBody>,
    ended: &mut bool,
    mut work: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> T {
    poll_fn(|cx| poll_driven(connection, ended, cx, &mut work)).await
}

/// The work, then the connection, then the work again, for which the connection may just have brought what it waited for.
fn poll_driven<T>(
    connection: &mut http1::Connection<TokioIo<Guarded>, RequestBody>,
    ended: &mut bool,
    cx: &mut Context<'_>,
    work: &mut impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    if let Poll::Ready(output) = work(cx) {
        return Poll::Ready(output);
    }
    if !*ended && connection.poll_without_shutdown(cx).is_ready() {
        *ended = true;
    }
    work(cx)
}

/// Idle connections of one rule, the youngest used first.
#[derive(Debug)]
pub(crate) struct Pool {
    idle: Mutex<VecDeque<Idle>>,
    idle_max: usize,
    idle_time: Duration,
}

#[derive(Debug)]
struct Idle {
    connection: Driven,
    /// Name the TLS session was made for; differs within a rule only with `matchSNItoHost`.
    server_name: Option<Box<str>>,
    since: Instant,
}

impl Pool {
    /// Keeps at most `idle_max` connections (`keepAliveConnections`), each for at most `idle_time` (`keepAliveTimeout`).
    pub(crate) fn new(idle_max: usize, idle_time: Duration) -> Self {
        Self { idle: Mutex::default(), idle_max, idle_time }
    }

    /// A usable idle connection, if there is one.
    pub(crate) async fn take(&self, server_name: Option<&str>, now: Instant) -> Option<Driven> {
        loop {
            let mut idle = {
                let mut idle = self.lock();
                let at = idle.iter().rposition(|idle| idle.server_name.as_deref() == server_name)?;
                idle.remove(at)?
            };
            let fresh = now.saturating_duration_since(idle.since) < self.idle_time;
            if fresh && idle.connection.is_usable().await {
                idle.connection.reused = true;
                return Some(idle.connection);
            }
        }
    }

    /// Keeps a connection whose answer was read to its end; drops it if it cannot be used again.
    pub(crate) async fn put(&self, mut connection: Driven, server_name: Option<&str>, now: Instant) {
        if self.idle_max == 0 || !connection.is_usable().await {
            return;
        }
        let idle = Idle { connection, server_name: server_name.map(Into::into), since: now };
        let mut all = self.lock();
        all.push_back(idle);
        let evicted = if all.len() > self.idle_max { all.pop_front() } else { None };
        drop(all);
        drop(evicted);
    }

    /// Closes what has been idle too long; called now and then.
    pub(crate) fn sweep(&self, now: Instant) {
        let mut all = self.lock();
        let keep = all.iter().position(|idle| now.saturating_duration_since(idle.since) < self.idle_time).unwrap_or(all.len());
        let expired: Vec<Idle> = all.drain(..keep).collect();
        drop(all);
        drop(expired);
    }

    /// Idle connections now.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    /// A connection that has served one request, and the service's end of it.
    async fn served(listener: &TcpListener) -> (Driven, TcpStream) {
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut service, _) = listener.accept().await.unwrap();
        let mut driven = Driven::new(OriginIo::Tcp(stream)).await.unwrap();
        let answering = tokio::spawn(async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(service.read_u8().await.unwrap());
            }
            service.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
            service
        });
        let request = Request::get("/").header("host", "x").body(RequestBody::Empty).unwrap();
        let mut body = driven.send(request).await.unwrap().into_body();
        while driven.frame(&mut body).await.is_some() {}
        (driven, answering.await.unwrap())
    }

    #[tokio::test]
    async fn a_kept_connection_is_used_again_while_fresh() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pool = Pool::new(2, Duration::from_secs(90));
        let now = Instant::now();
        let (driven, _service) = served(&listener).await;
        pool.put(driven, None, now).await;
        assert!(pool.take(Some("other.example"), now).await.is_none(), "made for another name");
        let driven = pool.take(None, now + Duration::from_secs(89)).await.unwrap();
        assert!(driven.reused);
        pool.put(driven, None, now).await;
        assert!(pool.take(None, now + Duration::from_secs(90)).await.is_none(), "too old");
    }

    #[tokio::test]
    async fn the_pool_is_bounded_and_swept() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pool = Pool::new(2, Duration::from_secs(90));
        let now = Instant::now();
        let mut services = Vec::new();
        for age in [0, 60, 60] {
            let (driven, service) = served(&listener).await;
            pool.put(driven, None, now + Duration::from_secs(age)).await;
            services.push(service);
        }
        assert_eq!(pool.len(), 2);
        assert_eq!(services[0].read(&mut [0]).await.unwrap(), 0, "the oldest was closed");
        pool.sweep(now + Duration::from_secs(149));
        assert_eq!(pool.len(), 2);
        pool.sweep(now + Duration::from_secs(150));
        assert_eq!(pool.len(), 0);
    }

    #[tokio::test]
    async fn one_closed_while_idle_is_not_handed_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pool = Pool::new(2, Duration::from_secs(90));
        let (driven, service) = served(&listener).await;
        pool.put(driven, None, Instant::now()).await;
        drop(service);
        // The kernel tells when the end arrived; the pool then finds it by itself.
        let probe = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        drop(probe);
        assert!(pool.take(None, Instant::now()).await.is_none());
    }
}
