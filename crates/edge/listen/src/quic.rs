//! A UDP socket on which QUIC connections arrive.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use poterne_telemetry::{Counter, Gauge, Metrics};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::admission::Admission;

/// Handshakes at a time, shared by all listeners of a process: each takes some tens of KiB and a signature before its sender has shown
/// anything.
///
/// Over UDP an address can be forged until it is proved (RFC 9000 §8.1). Beyond half of the room a newcomer must prove its own, which costs us
/// nothing to ask: so a forger can neither use the other half up nor take anybody's share of connections.
#[derive(Debug)]
pub struct Handshakes {
    max: usize,
    open: AtomicUsize,
    gauge: Gauge,
    asked: Counter,
    refused: Counter,
}

/// What becomes of an attempt. Pure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Admit,
    /// Prove the address first.
    Prove,
    Refuse,
}

fn judge(open: usize, max: usize, is_proved: bool) -> Verdict {
    match is_proved {
        false if 2 * open >= max => Verdict::Prove,
        true if open >= max => Verdict::Refuse,
        _ => Verdict::Admit,
    }
}

impl Handshakes {
    /// At most so many. Default of a node: [`Handshakes::MAX`].
    pub fn new(max: usize, metrics: &Metrics) -> Arc<Self> {
        let bound = metrics.gauge("edge_quic_handshakes_max", "Handshakes of visitors over QUIC that may be open");
        bound.set(i64::try_from(max).unwrap_or(i64::MAX));
        Arc::new(Self {
            max,
            open: AtomicUsize::new(0),
            gauge: metrics.gauge("edge_quic_handshakes", "Handshakes of visitors over QUIC that are open"),
            asked: metrics.counter("edge_quic_retries", "Visitors over QUIC asked to prove their address first"),
            refused: metrics
                .counter("edge_quic_handshakes_refused", "Visitors over QUIC refused because too many handshakes are open"),
        })
    }

    /// Worth 100 MiB at the worst.
    pub const MAX: usize = 2_048;

    fn begin(self: &Arc<Self>) -> Handshake {
        self.open.fetch_add(1, Relaxed);
        self.gauge.inc();
        Handshake(Arc::clone(self))
    }
}

/// One that is open.
struct Handshake(Arc<Handshakes>);

impl Drop for Handshake {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
        self.0.gauge.dec();
    }
}

/// A connection whose handshake is done.
#[derive(Debug)]
pub struct QuicArrival {
    /// The connection.
    pub connection: quinn::Connection,
    /// The visitor, an IPv4 address as such even through a dual-stack socket.
    pub peer: SocketAddr,
    /// Where it came to.
    pub local: SocketAddr,
}

/// A bound endpoint.
#[derive(Debug, Clone)]
pub struct QuicListener {
    endpoint: quinn::Endpoint,
    local: SocketAddr,
}

impl QuicListener {
    /// Of an endpoint that has a server's configuration.
    ///
    /// # Errors
    /// Its socket has no address.
    pub fn new(endpoint: quinn::Endpoint) -> std::io::Result<Self> {
        Ok(Self { local: endpoint.local_addr()?, endpoint })
    }

    /// Accepts until `stop` is cancelled, and gives each admitted connection to `serve` once its handshake is done, in a task of its own that
    /// `tasks` tracks; the connection counts against the limits until that task ends. Connections stay when this returns: the endpoint is
    /// theirs ([`QuicListener::rest`]).
    ///
    /// `config`: how one is answered if not as all others are. `patience`: how long a handshake may take.
    pub async fn run<F>(
        &self,
        (admission, handshakes): (Arc<Admission>, Arc<Handshakes>),
        config: impl Fn(SocketAddr) -> Option<Arc<quinn::ServerConfig>>,
        patience: Duration,
        stop: CancellationToken,
        tasks: TaskTracker,
        serve: impl Fn(QuicArrival) -> F + Clone + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        while let Some(Some(incoming)) = stop.run_until_cancelled(self.endpoint.accept()).await {
            let peer = incoming.remote_address();
            match judge(handshakes.open.load(Relaxed), handshakes.max, incoming.remote_address_validated()) {
                Verdict::Admit => {}
                Verdict::Prove => {
                    handshakes.asked.inc();
                    // Only what is proved already cannot be asked to, and that is never answered so.
                    let _ = incoming.retry();
                    continue;
                }
                Verdict::Refuse => {
                    handshakes.refused.inc();
                    incoming.refuse();
                    continue;
                }
            }
            let permit = match admission.admit(peer.ip()) {
                Ok(permit) => permit,
                Err(refused) => {
                    tracing::debug!(visitor = %peer, listener = %self.local, %refused, "a connection was refused");
                    incoming.refuse();
                    continue;
                }
            };
            let (handshake, local_ip) = (handshakes.begin(), incoming.local_ip());
            let accepted = match config(peer) {
                Some(config) => incoming.accept_with(config),
                None => incoming.accept(),
            };
            let Ok(connecting) = accepted.inspect_err(|error| tracing::debug!(visitor = %peer, %error, "no handshake began"))
            else {
                continue;
            };
            let local = SocketAddr::new(local_ip.unwrap_or(self.local.ip()).to_canonical(), self.local.port());
            let serve = serve.clone();
            tasks.spawn(async move {
                let connected = tokio::time::timeout(patience, connecting).await;
                drop(handshake);
                match connected {
                    Ok(Ok(connection)) => {
                        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                        serve(QuicArrival { connection, peer, local }).await;
                    }
                    Ok(Err(error)) => tracing::debug!(visitor = %peer, %error, "a QUIC handshake failed"),
                    Err(_) => tracing::debug!(visitor = %peer, "a QUIC handshake was not finished in time"),
                }
                drop(permit);
            });
        }
        self.endpoint.set_server_config(None);
    }

    /// Resolves once no connection is left and what was said last has left, or after `patience`.
    pub async fn rest(&self, patience: Duration) {
        let _ = tokio::time::timeout(patience, self.endpoint.wait_idle()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_address_takes_half_of_the_room_at_most() {
        let verdicts = |is_proved| [0, 1, 2, 3, 4, 5].map(|open| judge(open, 4, is_proved));
        use Verdict::{Admit, Prove, Refuse};
        assert_eq!(verdicts(false), [Admit, Admit, Prove, Prove, Prove, Prove]);
        assert_eq!(verdicts(true), [Admit, Admit, Admit, Admit, Refuse, Refuse]);
    }
}
