//! From addresses to a connection: guarded, several at once (RFC 8305), and told apart by how they fail.

use std::{io, net::SocketAddr, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use poterne_guard::{Guard, connect::is_own};
use poterne_model::AccountId;
use tokio::net::TcpStream;

use crate::OriginError;

/// Pause before the next address is tried beside the first (RFC 8305 §5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// How long a peer may leave what was sent without an acknowledgement (edge-behaviour §2.9).
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(30);
/// How often a silent connection's peer is asked whether it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Of these addresses, those that the account may reach (edge-behaviour §5.10). The one that is connected to is among them: nothing is
/// resolved again.
///
/// # Errors
/// There is none.
pub(super) fn admitted(guard: &Guard, account: AccountId, addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, OriginError> {
    let mut refused = None;
    let mut admitted = addresses;
    admitted.retain(|address| match guard.admits(account, *address, is_own(*address)) {
        Ok(_) => true,
        Err(refusal) => {
            refused.get_or_insert(refusal);
            false
        }
    });
    match refused {
        Some(refusal) if admitted.is_empty() => Err(OriginError::of_refusal(refusal)),
        _ => Ok(admitted),
    }
}

/// A connection, where it leads, and those addresses that were tried in vain before.
pub(super) struct Reached {
    pub(super) stream: TcpStream,
    pub(super) address: SocketAddr,
    pub(super) failed: Vec<SocketAddr>,
}

/// No address answers.
#[derive(Debug)]
pub(super) struct Unreached {
    /// Those that failed, and those that did not answer in time.
    pub(super) failed: Vec<SocketAddr>,
    pub(super) error: OriginError,
}

/// Connects to the first of these addresses that answers: one after the other, the next beside the last when that takes its time.
pub(super) async fn first_of(addresses: &[SocketAddr], timeout: Duration) -> Result<Reached, Unreached> {
    let until = tokio::time::Instant::now() + timeout;
    let mut attempts = FuturesUnordered::new();
    let mut rest = addresses.iter().copied();
    let mut verdicts = Verdicts::default();
    let mut failed = Vec::new();
    loop {
        if let Some(address) = rest.next() {
            attempts.push(async move { (address, TcpStream::connect(address).await) });
        } else if attempts.is_empty() {
            return Err(Unreached { failed, error: verdicts.error(addresses, timeout) });
        }
        let soon = tokio::time::Instant::now() + ATTEMPT_DELAY;
        let due = if rest.len() > 0 { soon.min(until) } else { until };
        match tokio::time::timeout_at(due, attempts.next()).await {
            Ok(Some((address, connected))) => match connected.and_then(|stream| prepare(&stream).map(|()| stream)) {
                Ok(stream) => return Ok(Reached { stream, address, failed }),
                Err(error) => {
                    verdicts.note(&error);
                    failed.push(address);
                }
            },
            Ok(None) => {}
            Err(_) if due < until => {}
            Err(_) => {
                verdicts.late = true;
                failed.extend(addresses.iter().filter(|address| !failed.contains(address)).copied().collect::<Vec<_>>());
                return Err(Unreached { error: verdicts.error(addresses, timeout), failed });
            }
        }
    }
}

/// Small writes leave at once, and a peer that is gone is noticed.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE))?;
    socket.set_tcp_user_timeout(Some(ACKNOWLEDGED_WITHIN))
}

/// What was seen of a set of addresses.
#[derive(Debug, Default)]
struct Verdicts {
    refused: usize,
    late: bool,
    other: Option<(io::ErrorKind, String)>,
}

impl Verdicts {
    fn note(&mut self, error: &io::Error) {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => self.refused += 1,
            io::ErrorKind::TimedOut => self.late = true,
            kind => self.other = Some((kind, error.to_string())),
        }
    }

    /// Refused only where all of them refused; the kernel's and ours count as one kind of late (edge-behaviour §2.4).
    fn error(self, addresses: &[SocketAddr], timeout: Duration) -> OriginError {
        let origin = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match self.other {
            _ if self.late => OriginError::ConnectTimeout(origin, timeout.as_secs()),
            // A reset is an answer of the kind that refuses.
            Some((io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted, _)) => OriginError::Refused(origin),
            Some((_, why)) => OriginError::Unreachable(origin, why),
            None => OriginError::Refused(origin),
        }
    }
}

#[cfg(test)]
mod tests {
    use poterne_guard::Range;
    use tokio::net::TcpListener;

    use super::*;

    const ACCOUNT: AccountId = AccountId::from_bytes([1; 16]);
    const TIMEOUT: Duration = Duration::from_secs(10);

    async fn free() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
    }

    #[tokio::test]
    async fn a_dead_address_does_not_hide_a_live_one() {
        let live = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (dead, live) = (free().await, live.local_addr().unwrap());
        let reached = first_of(&[dead, live], TIMEOUT).await.unwrap_or_else(|unreached| panic!("{unreached:?}"));
        assert_eq!((reached.address, reached.failed), (live, vec![dead]));
        assert_eq!(reached.stream.peer_addr().unwrap(), live);
    }

    #[tokio::test]
    async fn whoever_refuses_is_told_from_whoever_cannot_be_reached() {
        let (one, other) = (free().await, free().await);
        let unreached = first_of(&[one, other], TIMEOUT).await.err().unwrap();
        assert!(matches!(&unreached.error, OriginError::Refused(who) if who.contains(&other.to_string())), "{unreached:?}");
        assert_eq!(unreached.failed, [one, other]);
        // Nobody connects to many at once: the kernel says so without asking anyone.
        let nowhere: SocketAddr = "224.0.0.1:80".parse().unwrap();
        let unreached = first_of(&[nowhere, one], TIMEOUT).await.err().unwrap();
        assert!(matches!(unreached.error, OriginError::Unreachable(..)), "{unreached:?}");
    }

    #[test]
    fn late_is_late_whoever_says_so() {
        let address = ["192.0.2.1:80".parse().unwrap()];
        let of = |kinds: &[io::ErrorKind]| {
            let mut verdicts = Verdicts::default();
            kinds.iter().for_each(|kind| verdicts.note(&(*kind).into()));
            verdicts.error(&address, TIMEOUT)
        };
        use io::ErrorKind::{ConnectionRefused, HostUnreachable, TimedOut};
        assert_eq!(of(&[ConnectionRefused, TimedOut]), OriginError::ConnectTimeout("192.0.2.1:80".into(), 10));
        assert!(matches!(of(&[ConnectionRefused, HostUnreachable]), OriginError::Unreachable(..)));
        assert_eq!(of(&[ConnectionRefused]), OriginError::Refused("192.0.2.1:80".into()));
    }

    #[test]
    fn only_what_the_account_may_reach_is_left() {
        let loopback = Range { network: "127.0.0.0/8".parse().unwrap(), accounts: None };
        let guard = Guard { allowed: vec![loopback], own: vec!["9.9.9.9".parse().unwrap()] };
        let [here, private, own, world] =
            ["127.0.0.1:80", "10.0.0.1:80", "9.9.9.9:443", "8.8.8.8:443"].map(|text| text.parse::<SocketAddr>().unwrap());
        let left = |addresses: &[SocketAddr]| admitted(&guard, ACCOUNT, addresses.to_vec());
        assert_eq!(left(&[private, here, own, world]), Ok(vec![here, world]));
        assert_eq!(left(&[own, private]), Err(OriginError::Own("9.9.9.9".parse().unwrap())));
        assert!(matches!(left(&[private]), Err(OriginError::Prohibited(_))));
    }
}
