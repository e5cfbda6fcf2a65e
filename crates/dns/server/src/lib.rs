//! UDP, TCP and TLS listeners around the answer.
//!
//! ```text
//! UDP   a thread a core, each with a socket on the same port (SO_REUSEPORT) → a batch of packets → answer → rate → send
//! TCP   edge/listen accepts within limits → stream: lengths, pipelining, idle and slow clients → answer
//! TLS   the same behind a handshake
//! HTTPS edge/http receives a request → doh: a message in it → answer
//! ```
//!
//! UDP has threads of its own: a flood costs cores, and not the tasks of visitors; answering takes a microsecond or two and waits for
//! nothing. Packets are received 32 at a time (`recvmmsg`, by `quinn-udp`, which knows each packet's destination too: a socket that
//! listens on every address answers from the one that was asked), and the answers to them leave together (`sendmmsg`, by `rustix`, whose
//! form of it is safe; nix 0.32's hands out addresses that nobody wrote).
//!
//! Beside answers, zones leave whole for those who may have them (`transfer`, over streams alone), and they are told of changes (`notify`).
//!
//! What bounds whom: over UDP, [`rate`] (answers to one prefix); over TCP, connections in all and of one prefix, time for a message
//! and time without one. Datagrams wait in the kernel's buffer and are lost when it is full, which is what UDP is for.
//!
//! An answer that lacks what another provider's name leads to is parked until that is looked up ([`lookups`]).
//!
//! What is not here: what is answered (`dns/answer`), and receiving DNS over HTTPS, which the edge's listeners do: the program hands their
//! requests to [`Doh`].
#![forbid(unsafe_code)]

mod bind;
mod counts;
mod departures;
mod doh;
pub mod lookups;
mod notify;
pub mod rate;
mod stream;
#[cfg(test)]
mod tests;
mod transfer;
mod udp;

use std::{
    io,
    net::IpAddr,
    num::NonZeroUsize,
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use poterne_dns_answer::{Client, Kind, Reply, Service, Transport, answer};
use poterne_dns_resolver::Resolver;
use poterne_edge_listen::{Admission, AdmissionLimits, Arrival, Listener};
use poterne_guard::Guard;
use poterne_model::ZoneId;
use poterne_snapshot::SnapshotHandle;
use poterne_telemetry::Metrics;
use rustls::{ProtocolVersion, ServerConfig};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use bind::{Bound, bind};
use counts::Counts;
pub use doh::Doh;
use lookups::{Lookups, ROUNDS_MAX, Waiter};
pub use poterne_dns_answer::transfer::signatures::SIGNATURES_MAX;
use rate::{Rate, Rates};
pub use transfer::{REMEMBERED_MAX, SIGNATURES_PER_SEC, SIGNED_MAX};

/// What a name server is told.
#[derive(Clone)]
pub struct Settings {
    /// What it says of itself.
    pub service: Service,
    /// How many answers one prefix gets over UDP; none: as many as it asks for.
    pub rates: Option<Rates>,
    /// Whether clients on this machine get no more than others. Default not: nobody can send in their name.
    pub limits_this_machine: bool,
    /// Connections over TCP and TLS in all. Default 1,024; each takes a descriptor, and up to 130 KiB while it sends long messages.
    pub connections_max: usize,
    /// Connections of one IPv4 address or one IPv6 /64. Default 20 (edge-behaviour §5.11).
    pub connections_per_prefix_max: usize,
    /// How DNS over TLS is spoken, where it is.
    pub tls: Option<Arc<ServerConfig>>,
    /// Where the time comes from.
    pub clock: Clock,
    /// Finds what names of others lead to, for CNAMEs that are flattened; none: those are shown.
    pub resolver: Option<Resolver>,
    /// Who hears what control must know. It does not wait.
    pub told: Arc<dyn Fn(Told) + Send + Sync>,
}

/// What control must know of zones that other name servers share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// A primary says that a zone copied from it changed.
    Notified(ZoneId),
    /// A peer was given a zone, or what changed of it.
    Transferred {
        /// Which.
        zone: ZoneId,
        /// In which version.
        serial: u32,
    },
}

/// A wall clock.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

impl Default for Settings {
    fn default() -> Self {
        Self {
            service: Service::default(),
            rates: Some(Rates::default()),
            limits_this_machine: false,
            connections_max: 1024,
            connections_per_prefix_max: 20,
            tls: None,
            clock: Arc::new(SystemTime::now),
            resolver: None,
            told: Arc::new(|_| {}),
        }
    }
}

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A name server that answers.
pub struct Server {
    shared: Arc<Shared>,
    admission: Arc<Admission>,
    tls: Option<TlsAcceptor>,
    stop: CancellationToken,
    tasks: TaskTracker,
    /// Their other ends wake the threads when these are closed.
    wakers: Vec<UnixStream>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

/// What all listeners share.
pub(crate) struct Shared {
    snapshot: SnapshotHandle,
    service: Service,
    rate: Option<Rate>,
    limits_this_machine: bool,
    counts: Counts,
    clock: Clock,
    /// Requests answered: each begins with another address, though each may be its connection's only one.
    turns: AtomicU32,
    told: Arc<dyn Fn(Told) + Send + Sync>,
    transfers: transfer::Transfers,
    stop: CancellationToken,
    lookups: Option<Arc<Lookups>>,
}

impl Server {
    /// One that listens nowhere yet. With a resolver, within a tokio runtime.
    pub fn new(settings: Settings, snapshot: SnapshotHandle, metrics: &Metrics) -> Self {
        let Settings {
            mut service,
            rates,
            limits_this_machine,
            connections_max,
            connections_per_prefix_max,
            tls,
            clock,
            resolver,
            told,
        } = settings;
        let limits = AdmissionLimits { connections_max, connections_per_prefix_max };
        let rate = rates.map(|rates| Rate::new(rates, Instant::now()));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let lookups = resolver
            .map(|resolver| Lookups::new(resolver, snapshot.clone(), Arc::clone(&clock), (tasks.clone(), stop.clone()), metrics));
        if let Some(lookups) = &lookups {
            service.elsewhere = Some(lookups.table());
        }
        let counts = Counts::new(metrics);
        Self {
            shared: Arc::new(Shared {
                snapshot,
                service,
                rate,
                limits_this_machine,
                counts,
                clock,
                turns: AtomicU32::new(0),
                told,
                transfers: transfer::Transfers::default(),
                stop: stop.clone(),
                lookups,
            }),
            admission: Admission::counted_as(limits, metrics, "dns_connections", "Name server connections"),
            tls: tls.map(TlsAcceptor::from),
            stop,
            tasks,
            wakers: Vec::new(),
            threads: Vec::new(),
        }
    }

    /// Answers on these sockets.
    ///
    /// # Errors
    /// The system gives no thread or no descriptor.
    pub fn serve(&mut self, bound: Bound) -> io::Result<()> {
        for socket in bound.udp {
            let (waker, woken) = UnixStream::pair()?;
            let listener = udp::Listener::new(socket, woken, Arc::clone(&self.shared))?;
            self.threads.push(std::thread::Builder::new().name("dns".into()).spawn(move || listener.run())?);
            self.wakers.push(waker);
        }
        if let Some(listener) = bound.tcp {
            let shared = Arc::clone(&self.shared);
            self.accept(listener, move |arrival, stop| {
                stream::serve(arrival.stream, arrival.peer.ip(), Transport::Tcp, true, Arc::clone(&shared), stop)
            });
        }
        Ok(())
    }

    /// Tells other name servers of zones' changes, those that `guard` lets a zone's account reach. `from`: addresses of this node that they
    /// know it by.
    pub fn tell_peers(&self, guard: Guard, from: Vec<IpAddr>) {
        self.tasks.spawn(notify::run(Arc::clone(&self.shared), guard, from));
    }

    /// Answers over TLS on this socket; does nothing without [`Settings::tls`].
    pub fn serve_tls(&self, listener: Listener) {
        let Some(tls) = self.tls.clone() else { return };
        let shared = Arc::clone(&self.shared);
        self.accept(listener, move |arrival, stop| {
            let (tls, shared) = (tls.clone(), Arc::clone(&shared));
            async move {
                let Arrival { stream, peer, .. } = arrival;
                match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
                    Ok(Ok(stream)) => {
                        // RFC 9103 §7.2: zones travel over TLS 1.3 or later, or not at all; other questions are asked as they always were.
                        let gives_zones = stream.get_ref().1.protocol_version() != Some(ProtocolVersion::TLSv1_2);
                        stream::serve(stream, peer.ip(), Transport::Tls, gives_zones, shared, stop).await;
                    }
                    Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake for DNS failed"),
                    Err(_) => tracing::debug!(%peer, "a TLS handshake for DNS was not finished in time"),
                }
            }
        });
    }

    /// What answers DNS over HTTPS; it goes on while whoever receives requests does.
    pub fn doh(&self) -> Doh {
        Doh::new(Arc::clone(&self.shared))
    }

    fn accept<F>(&self, listener: Listener, serve: impl Fn(Arrival, CancellationToken) -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (admission, stop, tasks) = (Arc::clone(&self.admission), self.stop.clone(), self.tasks.clone());
        self.tasks.spawn(async move {
            let connections = stop.clone();
            listener.run(admission, stop, tasks, move |arrival| serve(arrival, connections.clone())).await;
        });
    }

    /// Stops listening; returns when nobody is being answered any more.
    pub async fn stop(self) {
        self.stop.cancel();
        drop(self.wakers);
        self.tasks.close();
        self.tasks.wait().await;
        let threads = self.threads;
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join())));
        if let Err(error) = joined.await {
            tracing::error!(%error, "a thread of the name server could not be waited for");
        }
    }
}

/// How many UDP sockets a listening address gets: one a core.
pub fn sockets_per_address() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

impl Shared {
    /// Answers one message, for the first time or after it has waited that often. None: it waits, and what `later` makes is called when
    /// it need not any more.
    pub(crate) fn answer(
        &self,
        client: &Client,
        query: &[u8],
        out: &mut [u8],
        round: u8,
        later: impl FnOnce() -> Waiter,
    ) -> Option<Reply> {
        let reply = answer(&self.snapshot.load(), &self.service, client, query, out);
        if let (Some(sought), Some(lookups)) = (&reply.sought, &self.lookups) {
            let may_wait = reply.lacks && round < ROUNDS_MAX && query.len() <= lookups::QUERY_OCTETS_MAX;
            let waiter = may_wait.then(later);
            let waits = waiter.is_some();
            if lookups.want(sought, waiter) && waits {
                return None;
            }
        }
        self.counts.answered(client.transport, &reply);
        if let (Kind::Notified, Some((_, zone))) = (reply.kind, reply.zone) {
            (self.told)(Told::Notified(zone));
        }
        Some(reply)
    }

    /// Another number for each request.
    pub(crate) fn turn(&self) -> u32 {
        self.turns.fetch_add(1, Relaxed)
    }

    /// Seconds since the Unix epoch.
    pub(crate) fn now_unix(&self) -> u64 {
        (self.clock)().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
    }

    /// Seconds since the Unix epoch, as cookies count them.
    pub(crate) fn now_secs(&self) -> u32 {
        seconds(&self.clock)
    }
}

fn seconds(clock: &Clock) -> u32 {
    let since = clock().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    u32::try_from(since % (1 << 32)).unwrap_or_default()
}
