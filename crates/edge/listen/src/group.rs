//! Listening sockets of one address: one a core, among which the kernel spreads connections (`SO_REUSEPORT`, socket(7)).
//!
//! Each is accepted from by a task of its own ([`crate::Listener::run`]). A connection waits in the queue of the socket that the kernel chose
//! for it, and is reset where that one is closed: sockets of a group are given to another program all together or not at all
//! (docs/decisions/0028).

use std::{
    io,
    net::{Ipv6Addr, SocketAddr, TcpListener},
    num::NonZeroUsize,
};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel keeps for us to accept, for each socket. The kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Most sockets of one address, however many cores there are: a task accepts some 100,000 connections a second.
const SOCKETS_MAX: usize = 64;

/// How many sockets an address of visitors gets: one a core.
pub fn sockets_per_listener() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Listens at an address with so many sockets, at least one and at most 64, non-blocking. `[::]` takes IPv4 as well; port 0 lets the kernel
/// choose one number for all.
///
/// # Errors
/// `AddrInUse` when anybody listens there, with whatever options; else what the kernel says.
pub fn open(address: SocketAddr, sockets: NonZeroUsize) -> io::Result<Vec<TcpListener>> {
    // Alone, so that nobody else's sockets are joined: one who shares a port would be given visitors of the other's.
    let first = listening(address, false)?;
    let address = first.local_addr()?;
    let mut group = vec![first];
    let count = sockets.get().min(SOCKETS_MAX);
    if count > 1 {
        socket2::SockRef::from(&group[0]).set_reuse_port(true)?;
    }
    while group.len() < count {
        match listening(address, true) {
            Ok(socket) => group.push(socket),
            Err(error) => {
                // One socket receives everybody; more are for speed.
                tracing::warn!(%address, sockets = group.len(), wanted = count, %error, "fewer sockets listen here than cores would serve");
                break;
            }
        }
    }
    Ok(group)
}

fn listening(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Lets a restart bind while old connections are in TIME_WAIT; it does not share a listening port.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    if address.is_ipv6() {
        socket.set_only_v6(address.ip() != Ipv6Addr::UNSPECIFIED)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    fn group(address: &str, sockets: usize) -> io::Result<Vec<TcpListener>> {
        open(address.parse().unwrap(), NonZeroUsize::new(sockets).unwrap())
    }

    fn accepted(socket: &TcpListener) -> usize {
        std::iter::from_fn(|| socket.accept().ok()).count()
    }

    #[test]
    fn connections_are_spread_and_none_is_lost() {
        let group = group("127.0.0.1:0", 2).unwrap();
        let address = group[0].local_addr().unwrap();
        assert_eq!(group[1].local_addr().unwrap(), address, "port 0 is one number for all");
        let visitors: Vec<_> = (0..128).map(|_| TcpStream::connect(address).unwrap()).collect();
        let shares: Vec<usize> = group.iter().map(accepted).collect();
        assert_eq!(shares.iter().sum::<usize>(), visitors.len());
        // That all of them come to one has a chance of 2^-127.
        assert!(shares.iter().all(|share| *share > 0), "{shares:?}");
    }

    #[test]
    fn nobody_joins_and_nobody_is_joined() {
        let ours = group("127.0.0.1:0", 2).unwrap();
        let taken = ours[0].local_addr().unwrap().to_string();
        for sockets in [1, 2] {
            assert_eq!(group(&taken, sockets).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        }
        let lonely = group("127.0.0.1:0", 1).unwrap();
        let taken = lonely[0].local_addr().unwrap().to_string();
        assert_eq!(group(&taken, 2).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn each_socket_of_the_ipv6_wildcard_takes_ipv4_as_well() {
        // Where this machine has no IPv6 there is nothing to be seen.
        let Ok(group) = group("[::]:0", 2) else { return };
        let port = group[0].local_addr().unwrap().port();
        let visitors: Vec<_> = (0..64).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
        assert_eq!(group.iter().map(accepted).sum::<usize>(), visitors.len());
        assert_eq!(super::tests::group(&format!("127.0.0.1:{port}"), 2).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn there_is_a_bound() {
        assert_eq!(group("127.0.0.1:0", 1000).unwrap().len(), SOCKETS_MAX);
    }
}
