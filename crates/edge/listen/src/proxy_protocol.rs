//! The PROXY protocol, versions 1 and 2 (haproxy.org, `proxy-protocol.txt`): who a connection is really from, as told by a load balancer
//! that passes bytes on as they are.
//!
//! Whether a header comes is known before it is read, by who connects; it is never guessed from the bytes, or a visitor could write one
//! himself. [`next`] is pure: it says of what was read how much more surely belongs to the header, so that no byte behind it is taken.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{io::AsyncReadExt as _, net::TcpStream};

/// What version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Octets of version 2 before its addresses.
const FIXED: usize = 16;

/// The shortest of all headers, `PROXY UNKNOWN` and the end of its line: so much can be read of either version.
const SHORTEST: usize = 15;

/// The longest line of version 1, its end included.
const LINE_MAX: usize = 107;

/// The longest rest of version 2: addresses and what else the sender says of the connection. The protocol allows 65,535; senders
/// keep to what fits a packet or two.
const REST_MAX: usize = 4096;

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// The connection is the proxy's own, as its health checks are, or it does not know whose.
    Own,
    /// Another's.
    From {
        /// Who connected to the proxy.
        peer: SocketAddr,
        /// Where that one connected to.
        local: SocketAddr,
    },
}

/// How a header goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It is whole.
    Whole(Told),
    /// So many octets more are its own.
    Octets(usize),
    /// It ends with a line that may be so many octets longer.
    Line(usize),
}

/// Why a connection that had to begin with a header is closed. Culprit: the proxy, or how it is set.
#[derive(Debug, thiserror::Error)]
pub enum ProxyProtocolError {
    /// Something else came.
    #[error("no PROXY protocol header came, but {0:?}; let the proxy send one, or take it out of [edge] proxy_protocol")]
    Absent(String),
    /// One came that cannot be read.
    #[error("a PROXY protocol header of version {version} {what}")]
    Malformed {
        /// 1 or 2.
        version: u8,
        /// What of it.
        what: &'static str,
    },
    /// It did not come in time.
    #[error("no whole PROXY protocol header came within {0:?}")]
    Timeout(Duration),
    /// The connection ended.
    #[error("the connection ended within its PROXY protocol header: {0}")]
    Ended(#[from] io::Error),
}

/// Reads the header of a connection, and not an octet more.
///
/// # Errors
/// None came in time, or what came is none.
pub async fn read(stream: &mut TcpStream, timeout: Duration) -> Result<Told, ProxyProtocolError> {
    let reading = async {
        let mut head = Vec::with_capacity(LINE_MAX);
        loop {
            match next(&head)? {
                Next::Whole(told) => return Ok(told),
                Next::Octets(count) => {
                    let begun = head.len();
                    head.resize(begun + count, 0);
                    stream.read_exact(&mut head[begun..]).await?;
                }
                Next::Line(most) => {
                    // Looked at first, since the end of the line may be among the visitor's own octets.
                    let mut seen = [0; LINE_MAX];
                    let count = stream.peek(&mut seen[..most]).await?;
                    if count == 0 {
                        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                    }
                    let line = seen[..count].iter().position(|octet| *octet == b'\n').map_or(count, |end| end + 1);
                    stream.read_exact(&mut seen[..line]).await?;
                    head.extend_from_slice(&seen[..line]);
                }
            }
        }
    };
    tokio::time::timeout(timeout, reading).await.map_err(|_| ProxyProtocolError::Timeout(timeout))?
}

/// What comes after these octets, which begin a connection.
///
/// # Errors
/// They begin no header.
pub fn next(head: &[u8]) -> Result<Next, ProxyProtocolError> {
    if head.len() < SHORTEST {
        return Ok(Next::Octets(SHORTEST - head.len()));
    }
    if head.starts_with(SIGNATURE) {
        return version_2(head);
    }
    if head.starts_with(b"PROXY ") {
        return version_1(head);
    }
    Err(ProxyProtocolError::Absent(head[..SHORTEST].escape_ascii().to_string()))
}

fn version_1(head: &[u8]) -> Result<Next, ProxyProtocolError> {
    let malformed = |what| ProxyProtocolError::Malformed { version: 1, what };
    let Some(line) = head.strip_suffix(b"\n") else {
        return match LINE_MAX.checked_sub(head.len()) {
            Some(0) | None => Err(malformed("is longer than 107 octets")),
            Some(_) if head.contains(&b'\n') => Err(malformed("goes on behind its line")),
            Some(most) => Ok(Next::Line(most)),
        };
    };
    let line = line.strip_suffix(b"\r").ok_or_else(|| malformed("ends with a bare line feed"))?;
    let line = std::str::from_utf8(line).map_err(|_| malformed("is not ASCII"))?;
    let mut words = line.split(' ').skip(1);
    let told = match words.next() {
        // Whatever else is in the line is not to be believed.
        Some("UNKNOWN") => return Ok(Next::Whole(Told::Own)),
        Some("TCP4") => addresses::<Ipv4Addr>(&mut words),
        Some("TCP6") => addresses::<Ipv6Addr>(&mut words),
        _ => return Err(malformed("is neither of TCP4, of TCP6 nor UNKNOWN")),
    };
    match (told, words.next()) {
        (Some((peer, local)), None) => Ok(Next::Whole(Told::From { peer, local })),
        _ => Err(malformed("does not hold two addresses and two ports of its family")),
    }
}

/// Two addresses of one family, then their ports.
fn addresses<'l, A>(words: &mut impl Iterator<Item = &'l str>) -> Option<(SocketAddr, SocketAddr)>
where
    A: std::str::FromStr,
    std::net::IpAddr: From<A>,
{
    let mut address = || words.next()?.parse::<A>().ok().map(std::net::IpAddr::from);
    let (source, destination) = (address()?, address()?);
    let mut port = || {
        let digits = words.next().filter(|word| word.bytes().all(|octet| octet.is_ascii_digit()))?;
        digits.parse::<u16>().ok()
    };
    Some((SocketAddr::new(source, port()?), SocketAddr::new(destination, port()?)))
}

fn version_2(head: &[u8]) -> Result<Next, ProxyProtocolError> {
    let malformed = |what| ProxyProtocolError::Malformed { version: 2, what };
    let Some((fixed, rest)) = head.split_at_checked(FIXED) else { return Ok(Next::Octets(FIXED - head.len())) };
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if length > REST_MAX {
        return Err(malformed("says of itself to be longer than 4096 octets"));
    }
    match fixed[12] {
        0x20 | 0x21 => {}
        _ => return Err(malformed("has an unknown version or command")),
    }
    if rest.len() < length {
        return Ok(Next::Octets(length - rest.len()));
    }
    if fixed[12] == 0x20 {
        return Ok(Next::Whole(Told::Own));
    }
    let too_short = || malformed("is too short for the addresses of its family");
    let (source, destination, ports): (std::net::IpAddr, std::net::IpAddr, _) = match fixed[13] {
        0x11 => {
            let part = rest.first_chunk::<12>().ok_or_else(too_short)?;
            let [a, b, c, d, e, f, g, h, ports @ ..] = *part;
            ([a, b, c, d].into(), [e, f, g, h].into(), ports)
        }
        0x21 => {
            let part = rest.first_chunk::<36>().ok_or_else(too_short)?;
            let address = |from: usize| <[u8; 16]>::try_from(&part[from..from + 16]).expect("16 octets");
            (address(0).into(), address(16).into(), [part[32], part[33], part[34], part[35]])
        }
        // Not of TCP: datagrams, local sockets, or not said. The protocol asks to go on as if nothing were known.
        _ => return Ok(Next::Whole(Told::Own)),
    };
    let [source_high, source_low, destination_high, destination_low] = ports;
    Ok(Next::Whole(Told::From {
        peer: SocketAddr::new(source.to_canonical(), u16::from_be_bytes([source_high, source_low])),
        local: SocketAddr::new(destination.to_canonical(), u16::from_be_bytes([destination_high, destination_low])),
    }))
}

#[cfg(test)]
mod tests;
