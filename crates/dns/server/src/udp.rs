//! One UDP socket, and the thread that answers on it.

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr, UdpSocket},
    os::unix::net::UnixStream,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

use poterne_dns_answer::{Client, Cookie, Reply, Transport, truncate};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSocketState};
use rustix::event::{PollFd, PollFlags, poll};

use crate::{Shared, departures::Departures, lookups::Waiter, rate::Verdict};

/// Room for one arrival. The kernel may put packets of one sender that came together into one, of at most this many octets; pages
/// that nothing came into are never touched.
const ARRIVAL_OCTETS: usize = 65_536;

/// A socket, not yet served.
pub(crate) struct Listener {
    to: Arc<Outlet>,
    woken: UnixStream,
}

/// Where answers leave, at once or later.
struct Outlet {
    socket: UdpSocket,
    state: UdpSocketState,
    /// Whether it receives for every address, and must say which one it answers from.
    is_wildcard: bool,
    shared: Arc<Shared>,
}

/// Who asked, and at which address of ours.
#[derive(Clone, Copy)]
struct Path {
    peer: SocketAddr,
    own: Option<IpAddr>,
}

impl Listener {
    pub(crate) fn new(socket: UdpSocket, woken: UnixStream, shared: Arc<Shared>) -> io::Result<Self> {
        let state = UdpSocketState::new((&socket).into())?;
        let is_wildcard = socket.local_addr()?.ip().is_unspecified();
        Ok(Self { to: Arc::new(Outlet { socket, state, is_wildcard, shared }), woken })
    }

    /// Answers until it is told to stop, and woken by the other end of `woken` that is closed.
    pub(crate) fn run(self) {
        let mut room = vec![0; BATCH_SIZE * ARRIVAL_OCTETS];
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let mut departures = Departures::of(BATCH_SIZE);
        let mut turn = 0u32;
        // Asked once a batch: a flood lets no thread sleep.
        let Outlet { socket, state, shared, .. } = &*self.to;
        while !shared.stop.is_cancelled() {
            let mut arrivals: Vec<IoSliceMut<'_>> = room.chunks_mut(ARRIVAL_OCTETS).map(IoSliceMut::new).collect();
            match state.recv(socket.into(), &mut arrivals, &mut metas) {
                Ok(count) => {
                    let received = arrivals.iter().zip(&metas).take(count);
                    let mut queries = received.flat_map(|(arrival, meta)| {
                        let octets = &arrival[..meta.len.min(ARRIVAL_OCTETS)];
                        octets.chunks(meta.stride.max(1)).map(move |query| (query, meta))
                    });
                    // A panic costs the packet that made it, and no other.
                    while catch_unwind(AssertUnwindSafe(|| self.answer_all(&mut queries, &mut turn, &mut departures))).is_err() {
                        shared.counts.panicked.inc();
                        tracing::error!("answering a query panicked; the others are answered");
                    }
                    self.to.send(&mut departures);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::debug!(%error, "a datagram could not be received");
                    self.wait();
                }
            }
        }
    }

    /// Waits for a packet, or for the end.
    fn wait(&self) {
        let mut waited = [PollFd::new(&self.to.socket, PollFlags::IN), PollFd::new(&self.woken, PollFlags::IN)];
        // Interrupted: looked at again.
        let _ = poll(&mut waited, None);
    }

    fn answer_all<'q>(
        &self,
        queries: &mut impl Iterator<Item = (&'q [u8], &'q RecvMeta)>,
        turn: &mut u32,
        departures: &mut Departures,
    ) {
        let Some(first) = queries.next() else { return };
        let (now, now_secs) = (Instant::now(), self.to.shared.now_secs());
        for (query, meta) in std::iter::once(first).chain(queries) {
            *turn = turn.wrapping_add(1);
            let client = Client { address: meta.addr.ip().to_canonical(), transport: Transport::Udp, now_secs, turn: *turn };
            if departures.is_full() {
                self.to.send(departures);
            }
            let path = Path { peer: meta.addr, own: meta.dst_ip };
            self.to.answer(&client, query, path, departures, now, 0);
        }
    }
}

impl Outlet {
    fn answer(self: &Arc<Self>, client: &Client, query: &[u8], path: Path, departures: &mut Departures, now: Instant, round: u8) {
        let later = || self.later(*client, query.to_vec(), path, round + 1);
        let out = departures.place();
        let Some(reply) = self.shared.answer(client, query, out, round, later) else { return };
        if reply.length == 0 {
            return;
        }
        let mut length = reply.length;
        match self.verdict(client, &reply, &out[..length], now) {
            Verdict::Send => {}
            Verdict::Truncate => {
                self.shared.counts.shortened.inc();
                length = truncate(&mut out[..length]);
            }
            Verdict::Drop => {
                self.shared.counts.dropped.inc();
                return;
            }
        }
        departures.push(path.peer, path.own, length);
    }

    /// Nobody can send from loopback who is not on this machine.
    fn is_limited(&self, client: &Client) -> bool {
        self.shared.limits_this_machine || !client.address.is_loopback()
    }

    /// Who has a cookie of ours is where he says.
    fn verdict(&self, client: &Client, reply: &Reply, response: &[u8], now: Instant) -> Verdict {
        match &self.shared.rate {
            Some(rate) if reply.cookie != Cookie::Valid && self.is_limited(client) => {
                rate.judge(client.address, reply, response, now)
            }
            _ => Verdict::Send,
        }
    }

    /// Answers a query that has waited. Whoever calls it is no thread of this socket.
    fn later(self: &Arc<Self>, client: Client, query: Vec<u8>, path: Path, round: u8) -> Waiter {
        let to = Arc::clone(self);
        Box::new(move || {
            let mut departures = Departures::of(1);
            let client = Client { now_secs: to.shared.now_secs(), ..client };
            let answered = AssertUnwindSafe(|| to.answer(&client, &query, path, &mut departures, Instant::now(), round));
            if catch_unwind(answered).is_err() {
                to.shared.counts.panicked.inc();
                tracing::error!("answering a query that had waited panicked");
            }
            to.send(&mut departures);
        })
    }

    fn send(&self, departures: &mut Departures) {
        let lost = |peer, error: io::Error| {
            self.shared.counts.unsent.inc();
            tracing::debug!(%peer, %error, "an answer could not be sent");
        };
        if self.is_wildcard {
            departures.send_from_each(&self.socket, &self.state, lost);
        } else {
            departures.send(&self.socket, lost);
        }
    }
}
