//! From a target to a socket, by way of the guard.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use poterne_model::AccountId;
use tokio::net::TcpStream;

use crate::{
    Target,
    guard::{Admitted, Guard, Refusal},
};

/// How long a name may take to resolve.
pub const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long one address may take to answer.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Most addresses of a name that are looked at, and of those let through most that are tried.
const ADDRESSES_MAX: usize = 32;
const TRIES_MAX: usize = 3;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name leads nowhere.
    #[error("{host} is not resolved: {error}")]
    Resolve {
        /// The name.
        host: String,
        /// Why.
        error: io::Error,
    },
    /// None of its addresses may be reached.
    #[error("{host} is not reached: {refusal}")]
    Refused {
        /// The name.
        host: String,
        /// Of the first address.
        refusal: Refusal,
    },
    /// Nobody is there.
    #[error("no connection to {host} at {address}: {error}")]
    Connect {
        /// The name.
        host: String,
        /// The last address that was tried.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
}

impl ConnectError {
    /// Whether the guard said no: another attempt ends the same way until somebody changes something.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }
}

/// Connects to the first address of the target that is let through and answers, and says why it was let through.
///
/// # Errors
/// There is none.
pub async fn connect(guard: &Guard, account: AccountId, target: &Target) -> Result<(TcpStream, Admitted), ConnectError> {
    let host = || target.host.clone();
    let addresses = resolve(target).await.map_err(|error| ConnectError::Resolve { host: host(), error })?;
    let mut refused = None;
    let mut failed = None;
    let mut tries = 0;
    for address in addresses {
        let admitted = match guard.admits(account, address, is_own(address)) {
            Ok(admitted) => admitted,
            Err(refusal) => {
                refused.get_or_insert(refusal);
                continue;
            }
        };
        tries += 1;
        if tries > TRIES_MAX {
            break;
        }
        match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok((stream, admitted)),
            Ok(Err(error)) => failed = Some((address, error)),
            Err(_) => failed = Some((address, io::ErrorKind::TimedOut.into())),
        }
    }
    Err(match (failed, refused) {
        (Some((address, error)), _) => ConnectError::Connect { host: host(), address, error },
        (None, Some(refusal)) => ConnectError::Refused { host: host(), refusal },
        (None, None) => ConnectError::Resolve { host: host(), error: io::Error::other("it has no address") },
    })
}

async fn resolve(target: &Target) -> io::Result<Vec<SocketAddr>> {
    if let Some(address) = target.address {
        return Ok(vec![SocketAddr::new(address, target.port)]);
    }
    let found = tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host((target.host.as_str(), target.port))).await;
    let found = found.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    Ok(found.take(ADDRESSES_MAX).collect())
}

/// Whether this machine has the address: the kernel would then send from it to itself. Asking sends nothing.
pub fn is_own(address: SocketAddr) -> bool {
    let any: SocketAddr = if address.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let local = UdpSocket::bind(any).and_then(|socket| {
        socket.connect(address)?;
        socket.local_addr()
    });
    local.is_ok_and(|local| local.ip().to_canonical() == address.ip().to_canonical())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::guard::Range;

    const ACCOUNT: AccountId = AccountId::from_bytes([1; 16]);

    fn loopback_allowed() -> Guard {
        Guard { allowed: vec![Range { network: "127.0.0.0/8".parse().unwrap(), accounts: None }], own: Vec::new() }
    }

    async fn at(guard: &Guard, url: &str) -> Result<(TcpStream, Admitted), ConnectError> {
        connect(guard, ACCOUNT, &Target::parse(url).unwrap()).await
    }

    #[tokio::test]
    async fn loopback_is_reached_where_it_is_allowed_and_nowhere_else() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"] {
            let url = format!("http://{host}:{port}/");
            let error = at(&Guard::default(), &url).await.unwrap_err();
            assert!(error.is_refusal() && error.to_string().contains("loopback"), "{url}: {error}");
            // `localhost` is ::1 as well, which stays refused: the other address is taken.
            let (stream, admitted) = at(&loopback_allowed(), &url).await.unwrap_or_else(|error| panic!("{url}: {error}"));
            assert_eq!((stream.peer_addr().unwrap().port(), admitted), (port, Admitted::Allowed));
        }
        // Nobody but those who were let through.
        let mut came = 0;
        while let Ok(Ok(_)) = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await {
            came += 1;
        }
        assert_eq!(came, 5);
    }

    #[tokio::test]
    async fn this_machines_addresses_are_known_without_asking_for_a_list() {
        assert!(is_own("127.0.0.1:9".parse().unwrap()));
        assert!(!is_own("192.0.2.1:9".parse().unwrap()));
    }

    #[tokio::test]
    async fn nobody_there_is_told_with_the_address() {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let error = at(&loopback_allowed(), &format!("http://{free}/")).await.unwrap_err();
        assert!(matches!(&error, ConnectError::Connect { address, .. } if *address == free) && !error.is_refusal(), "{error}");
        let error = at(&loopback_allowed(), "http://no-such-name.invalid/").await.unwrap_err();
        assert!(matches!(&error, ConnectError::Resolve { .. }), "{error}");
    }
}
