//! Idle HTTP/1.1 connections to one local service. That the service closed one is found out when it is taken.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::Http1;
use crate::side::{Incoming, Part, SideError};

/// What the visitor sends, as either protocol to the service wants it.
#[derive(Debug, Default)]
pub(crate) enum RequestBody {
    #[default]
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

/// Idle connections of one rule, the youngest used first.
#[derive(Debug)]
pub(crate) struct Pool {
    idle: Mutex<VecDeque<Idle>>,
    idle_max: usize,
    idle_time: Duration,
}

#[derive(Debug)]
struct Idle {
    connection: Box<Http1>,
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
    pub(crate) fn take(&self, server_name: Option<&str>, now: Instant) -> Option<Box<Http1>> {
        loop {
            let mut idle = {
                let mut idle = self.lock();
                let at = idle.iter().rposition(|idle| idle.server_name.as_deref() == server_name)?;
                idle.remove(at)?
            };
            let fresh = now.saturating_duration_since(idle.since) < self.idle_time;
            if fresh && idle.connection.is_silent() {
                idle.connection.reused = true;
                return Some(idle.connection);
            }
        }
    }

    /// Keeps a connection whose answer was read to its end; drops it if it cannot be used again.
    pub(crate) fn put(&self, connection: Box<Http1>, server_name: Option<&str>, now: Instant) {
        if self.idle_max == 0 || !connection.is_reusable() {
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
    use std::future::poll_fn;

    use http::Method;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::origin::{OriginIo, RULES};
    use poterne_origin::{Outgoing, Patience};

    /// A connection that has served one request, and the service's end of it.
    async fn served(listener: &TcpListener) -> (Box<Http1>, TcpStream) {
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut service, _) = listener.accept().await.unwrap();
        let mut connection = Box::new(Http1::new(OriginIo::Tcp(stream), RULES));
        let answering = tokio::spawn(async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(service.read_u8().await.unwrap());
            }
            service.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
            service
        });
        let head = Bytes::from_static(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        connection
            .send(Outgoing {
                head,
                method: Method::GET,
                body: RequestBody::Empty,
                length: None,
                expects: false,
                patience: Patience::default(),
            })
            .await
            .unwrap();
        while poll_fn(|cx| connection.poll_frame(cx)).await.is_some() {}
        (connection, answering.await.unwrap())
    }

    #[tokio::test]
    async fn a_kept_connection_is_used_again_while_fresh() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pool = Pool::new(2, Duration::from_secs(90));
        let now = Instant::now();
        let (connection, _service) = served(&listener).await;
        pool.put(connection, None, now);
        assert!(pool.take(Some("other.example"), now).is_none(), "made for another name");
        let connection = pool.take(None, now + Duration::from_secs(89)).unwrap();
        assert!(connection.reused);
        pool.put(connection, None, now);
        assert!(pool.take(None, now + Duration::from_secs(90)).is_none(), "too old");
    }

    #[tokio::test]
    async fn the_pool_is_bounded_and_swept() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pool = Pool::new(2, Duration::from_secs(90));
        let now = Instant::now();
        let mut services = Vec::new();
        for age in [0, 60, 60] {
            let (connection, service) = served(&listener).await;
            pool.put(connection, None, now + Duration::from_secs(age));
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
        let (connection, service) = served(&listener).await;
        pool.put(connection, None, Instant::now());
        drop(service);
        // The kernel tells when the end arrived; the pool then finds it by itself.
        let probe = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        drop(probe);
        assert!(pool.take(None, Instant::now()).is_none());
    }
}
