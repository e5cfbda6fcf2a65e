//! Reaching a local service: its addresses, in which order, and how long to wait.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{net::TcpStream, time::timeout};

/// Pause before the next address is tried beside the first (RFC 8305 §5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// How to connect; from a rule's `originRequest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnectOptions {
    pub(crate) timeout: Duration,
    pub(crate) keep_alive: Duration,
    pub(crate) happy_eyeballs: bool,
}

/// Connects to `host:port` within the timeout, names included.
pub(crate) async fn tcp(host: &str, port: u16, options: ConnectOptions) -> io::Result<TcpStream> {
    let connecting = async {
        // A literal needs no lookup, and lookups cost a thread.
        if let Ok(ip) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            return TcpStream::connect(SocketAddr::new(ip, port)).await;
        }
        let addresses = interleave(tokio::net::lookup_host((host, port)).await?.collect());
        first_of(&addresses, options.happy_eyeballs).await
    };
    let stream = timeout(options.timeout, connecting).await.map_err(|_| {
        io::Error::new(io::ErrorKind::TimedOut, format!("no connection to {host}:{port} within {:?}", options.timeout))
    })??;
    stream.set_nodelay(true)?;
    if !options.keep_alive.is_zero() {
        let keep_alive = socket2::TcpKeepalive::new().with_time(options.keep_alive).with_interval(options.keep_alive);
        socket2::SockRef::from(&stream).set_tcp_keepalive(&keep_alive)?;
    }
    Ok(stream)
}

/// Alternates families, beginning with that of the first (RFC 8305 §4).
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first_is_v4) = addresses.first().map(SocketAddr::is_ipv4) else { return addresses };
    let (first, second): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| address.is_ipv4() == first_is_v4);
    let longest = first.len().max(second.len());
    (0..longest).flat_map(|i| [first.get(i), second.get(i)]).flatten().copied().collect()
}

async fn first_of(addresses: &[SocketAddr], race: bool) -> io::Result<TcpStream> {
    let mut error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut attempts = FuturesUnordered::new();
    let mut rest = addresses.iter();
    loop {
        if let Some(address) = rest.next() {
            attempts.push(TcpStream::connect(*address));
        } else if attempts.is_empty() {
            return Err(error);
        }
        let pause = if race && rest.len() > 0 { ATTEMPT_DELAY } else { Duration::MAX };
        match timeout(pause, attempts.next()).await {
            Ok(Some(Ok(stream))) => return Ok(stream),
            Ok(Some(Err(refused))) => error = refused,
            Ok(None) | Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: ConnectOptions =
        ConnectOptions { timeout: Duration::from_secs(5), keep_alive: Duration::from_secs(30), happy_eyeballs: true };

    #[test]
    fn families_alternate_beginning_with_the_first() {
        let addresses = ["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"].map(|text| text.parse().unwrap()).to_vec();
        let order: Vec<String> = interleave(addresses).iter().map(ToString::to_string).collect();
        assert_eq!(order, ["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]);
    }

    #[tokio::test]
    async fn a_dead_address_does_not_hide_a_live_one() {
        let live = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for race in [false, true] {
            let stream = first_of(&[dead, live.local_addr().unwrap()], race).await.unwrap();
            assert_eq!(stream.peer_addr().unwrap(), live.local_addr().unwrap());
        }
        assert!(first_of(&[dead], true).await.is_err());
        assert!(first_of(&[], true).await.is_err());
        assert!(tcp("127.0.0.1", live.local_addr().unwrap().port(), OPTIONS).await.is_ok());
    }
}
