//! A TCP socket that accepts.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    num::NonZeroUsize,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use ipnet::IpNet;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    admission::{Admission, Permit},
    group,
    proxy_protocol::{self, Told},
};

/// Connections accepted before other tasks of the thread get their turn.
const ACCEPTS_PER_WAKE: usize = 64;

/// How long to wait when the process or the machine has no descriptor or memory left for a connection.
const EXHAUSTED_WAIT: Duration = Duration::from_millis(50);

/// Bytes that the kernel may hold unsent before the socket stops taking more: bodies wait in the tunnel's windows instead
/// of in kernel memory that nobody counts, and a lost visitor is noticed sooner.
const UNSENT_BYTES_MAX: u32 = 256 * 1024;

/// How long a proxy may take to say whose connection it brings. It is the first thing that it sends; the time is that of one lost packet or two.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// An accepted connection.
#[derive(Debug)]
pub struct Arrival {
    /// The socket, with `TCP_NODELAY` set.
    pub stream: TcpStream,
    /// The visitor, an IPv4 address as such even through a dual-stack socket.
    pub peer: SocketAddr,
    /// Where it came to.
    pub local: SocketAddr,
}

/// Load balancers that say first whose connection they bring; another list is obeyed by the next connection.
pub type Proxies = Arc<ArcSwap<Vec<IpNet>>>;

/// A bound socket.
#[derive(Debug)]
pub struct Listener {
    inner: TcpListener,
    local: SocketAddr,
    /// Who says first whose connection it brings.
    proxies: Proxies,
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl Listener {
    /// Binds and listens. `[::]` takes IPv4 as well; port 0 lets the kernel choose. Fails with `AddrInUse` when another socket
    /// listens there.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let alone = group::open(address, NonZeroUsize::MIN)?.swap_remove(0);
        Self::from_std(alone)
    }

    /// Takes a socket that already listens.
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let inner = TcpListener::from_std(listener)?;
        let local = inner.local_addr()?;
        Ok(Self { inner, local, proxies: Arc::default() })
    }

    /// The same, in front of which these proxies stand: each connection from one of them begins with a PROXY protocol header
    /// ([`proxy_protocol`]) or is closed. Nobody else's is looked at for one.
    #[must_use]
    pub fn behind(self, proxies: Proxies) -> Self {
        Self { proxies, ..self }
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Accepts until `stop` is cancelled, and gives each admitted connection to `serve`, in a task of its own that `tasks`
    /// tracks; the connection counts against the limits until that task ends. The socket is closed when this returns.
    pub async fn run<F>(
        self,
        admission: Arc<Admission>,
        stop: CancellationToken,
        tasks: TaskTracker,
        serve: impl Fn(Arrival) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let serve = Arc::new(serve);
        let mut in_a_row = 0;
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                accepted = self.inner.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.take(stream, peer, &admission, &tasks, &serve),
                Err(error) if is_of_the_visitor(&error) => {}
                Err(error) => {
                    tracing::warn!(listener = %self.local, %error, "cannot accept connections for now; raise nofile if this stays");
                    tokio::time::sleep(EXHAUSTED_WAIT).await;
                }
            }
            in_a_row += 1;
            if in_a_row == ACCEPTS_PER_WAKE {
                in_a_row = 0;
                tokio::task::yield_now().await;
            }
        }
    }

    /// Serves a connection, or closes it.
    fn take<F>(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        admission: &Arc<Admission>,
        tasks: &TaskTracker,
        serve: &Arc<impl Fn(Arrival) -> F + Send + Sync + 'static>,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let brought = self.proxies.load().iter().any(|proxies| proxies.contains(&peer.ip()));
        // A proxy has no share of its own: what it brings counts in that of whom it names.
        let permit = if brought { admission.admit_anyone() } else { admission.admit(peer.ip()) };
        let permit = match permit {
            Ok(permit) => permit,
            Err(refused) => {
                tracing::debug!(visitor = %peer, listener = %self.local, %refused, "a connection was closed at once");
                return;
            }
        };
        // Fails only for a socket that is already dead, which the first read will tell.
        let _ = stream.set_nodelay(true);
        let _ = SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
        let local = stream.local_addr().unwrap_or(self.local);
        let local = SocketAddr::new(local.ip().to_canonical(), local.port());
        let arrival = Arrival { stream, peer, local };
        if brought {
            let serve = Arc::clone(serve);
            tasks.spawn(async move {
                if let Some((arrival, permit)) = named(arrival, permit).await {
                    serve(arrival).await;
                    drop(permit);
                }
            });
        } else {
            let served = serve(arrival);
            tasks.spawn(async move {
                served.await;
                drop(permit);
            });
        }
    }
}

/// The connection that a proxy has brought, with the names of its two ends.
async fn named(mut arrival: Arrival, mut permit: Permit) -> Option<(Arrival, Permit)> {
    let proxy = arrival.peer;
    match proxy_protocol::read(&mut arrival.stream, HEADER_TIMEOUT).await {
        Ok(Told::Own) => {}
        Ok(Told::From { peer, local }) => (arrival.peer, arrival.local) = (peer, local),
        Err(error) => {
            tracing::warn!(%proxy, %error, "a connection of a proxy was closed");
            return None;
        }
    }
    if let Err(refused) = permit.share_of(arrival.peer.ip()) {
        tracing::debug!(visitor = %arrival.peer, %proxy, %refused, "a connection was closed at once");
        return None;
    }
    Some((arrival, permit))
}

/// Errors of one connection that was gone before it was accepted (accept(2)); the next one is accepted at once.
fn is_of_the_visitor(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, HostUnreachable, Interrupted, NetworkDown, NetworkUnreachable};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | HostUnreachable | Interrupted | NetworkDown | NetworkUnreachable)
}

#[cfg(test)]
mod tests {
    use poterne_telemetry::Metrics;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::AdmissionLimits;

    fn local() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    #[tokio::test]
    async fn a_taken_port_is_refused() {
        let first = Listener::bind(local()).unwrap();
        assert_eq!(Listener::bind(first.local_addr()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[tokio::test]
    async fn a_proxy_names_the_visitor_and_another_cannot() {
        let admission = Admission::new(AdmissionLimits { connections_max: 9, connections_per_prefix_max: 1 }, &Metrics::new());
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let serve = |mut arrival: Arrival| async move {
            let mut first = [0; 5];
            if arrival.stream.read_exact(&mut first).await.is_ok() {
                let told = format!("{} {} {}", arrival.peer, arrival.local, first.escape_ascii());
                arrival.stream.write_all(told.as_bytes()).await.unwrap();
                arrival.stream.shutdown().await.unwrap();
                // A socket that is closed with something unread takes back what it said.
                while let Ok(1..) = arrival.stream.read(&mut first).await {}
            }
        };
        let told = async |proxies: &str, sent: &str| {
            let listener =
                Listener::bind(local()).unwrap().behind(Arc::new(ArcSwap::from_pointee(vec![proxies.parse().unwrap()])));
            let mut visitor = TcpStream::connect(listener.local_addr()).await.unwrap();
            tokio::spawn(listener.run(Arc::clone(&admission), stop.clone(), tasks.clone(), serve));
            visitor.write_all(sent.as_bytes()).await.unwrap();
            let mut told = String::new();
            let _ = visitor.read_to_string(&mut told).await;
            told
        };
        let header = "PROXY TCP4 192.0.2.1 203.0.113.9 12345 443\r\n";
        assert_eq!(told("127.0.0.0/8", &format!("{header}hello")).await, "192.0.2.1:12345 203.0.113.9:443 hello");
        assert_eq!(told("127.0.0.0/8", "hello, without a header").await, "", "a header must come");
        let stranger = told("10.0.0.0/8", &format!("{header}hello")).await;
        assert!(stranger.starts_with("127.0.0.1:") && stranger.ends_with(" PROXY"), "{stranger}");
        // The share is the visitor's, not the proxy's.
        let mut taken = admission.admit_anyone().unwrap();
        taken.share_of("192.0.2.1".parse().unwrap()).unwrap();
        assert_eq!(told("127.0.0.0/8", &format!("{header}hello")).await, "");
        assert!(
            told("127.0.0.0/8", &format!("{}hello", header.replace("192.0.2.1", "192.0.2.2"))).await.starts_with("192.0.2.2:")
        );
        stop.cancel();
    }

    #[tokio::test]
    async fn arrivals_are_served_until_the_stop_and_within_the_limit() {
        let listener = Listener::bind(local()).unwrap();
        let address = listener.local_addr();
        let admission = Admission::new(AdmissionLimits { connections_max: 1, connections_per_prefix_max: 1 }, &Metrics::new());
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let running = tokio::spawn(listener.run(admission, stop.clone(), tasks.clone(), |mut arrival: Arrival| async move {
            let mut byte = [0];
            while let Ok(1) = arrival.stream.read(&mut byte).await {
                if arrival.stream.write_all(&byte).await.is_err() {
                    break;
                }
            }
        }));
        let mut byte = [0];
        let mut first = TcpStream::connect(address).await.unwrap();
        first.write_all(b"x").await.unwrap();
        first.read_exact(&mut byte).await.unwrap();
        let mut second = TcpStream::connect(address).await.unwrap();
        assert_eq!(second.read(&mut byte).await.unwrap_or(0), 0, "the second is closed at once");

        stop.cancel();
        running.await.unwrap();
        first.write_all(b"y").await.unwrap();
        first.read_exact(&mut byte).await.unwrap();
        assert_eq!(&byte, b"y", "what was accepted goes on");
        drop(first);
        tasks.close();
        tasks.wait().await;
        assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
    }
}
