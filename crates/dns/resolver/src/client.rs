//! One question to one server: over UDP, again where nothing comes, over TCP where it does not fit.
//!
//! The socket is of this question alone and connected to the server, on a port that the kernel draws; with the id that makes about
//! thirty bits that a forger must guess (RFC 5452 §4).

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use poterne_dns_wire::Rcode;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    time::Instant,
};
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use crate::{
    message::{Question, Reply, ReplyError, UDP_OCTETS_MAX},
    tls::PeerTls,
};

/// How long one attempt may take (edge-behaviour §1.3).
pub const TIMEOUT: Duration = Duration::from_secs(2);

/// How often a question is put at most.
pub const TRIES_MAX: u32 = 3;

/// Most datagrams that are looked at while one reply is waited for: what is not it may be a forger's.
const DATAGRAMS_MAX: usize = 32;

/// How one question is put.
#[derive(Debug, Clone, Copy)]
pub struct How {
    /// The server is to go on for us.
    pub recursion: bool,
    /// DNSSEC's records are wanted.
    pub dnssec: bool,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How often it is put.
    pub tries: u32,
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It may not be asked.
    #[error("{0}")]
    Refused(#[from] poterne_guard::Refusal),
    /// Nothing came.
    #[error("no reply from {server} in {} attempts", tries)]
    Silent {
        /// The server.
        server: SocketAddr,
        /// How often it was asked.
        tries: u32,
    },
    /// The network failed.
    #[error("{server} cannot be asked: {error}")]
    Io {
        /// The server.
        server: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// Something came that is no reply.
    #[error("{server} answers what cannot be read")]
    Malformed {
        /// The server.
        server: SocketAddr,
    },
}

/// Asks a server; once more without EDNS where it is from before that.
///
/// # Errors
/// There is no reply.
pub async fn ask(server: SocketAddr, question: &Question, how: How) -> Result<Reply, AskError> {
    let reply = ask_with(server, question, how, true).await?;
    match reply.code {
        Rcode::FormErr | Rcode::NotImp => ask_with(server, question, how, false).await,
        _ => Ok(reply),
    }
}

async fn ask_with(server: SocketAddr, question: &Question, how: How, edns: bool) -> Result<Reply, AskError> {
    let io = |error| AskError::Io { server, error };
    let mut failed = None;
    for _ in 0..how.tries.max(1) {
        match tokio::time::timeout(how.timeout, over_udp(server, question, how, edns)).await {
            Err(_) => {}
            Ok(Ok(reply)) if reply.truncated => return over_tcp(server, question, how, edns).await,
            Ok(Ok(reply)) => return Ok(reply),
            // What an ICMP message says need not be true a moment later.
            Ok(Err(error)) => failed = Some(error),
        }
    }
    Err(failed.map_or(AskError::Silent { server, tries: how.tries }, io))
}

fn query(question: &Question, id: u16, how: How, edns: bool) -> Vec<u8> {
    if edns { question.query(id, how.recursion, how.dnssec) } else { question.plain_query(id, how.recursion) }
}

async fn over_udp(server: SocketAddr, question: &Question, how: How, edns: bool) -> io::Result<Reply> {
    let any: SocketAddr = if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    let id: u16 = rand::random();
    socket.send(&query(question, id, how, edns)).await?;
    let mut buffer = vec![0; usize::from(UDP_OCTETS_MAX).max(4096)];
    for _ in 0..DATAGRAMS_MAX {
        let length = socket.recv(&mut buffer).await?;
        if let Ok(reply) = question.reply(id, &buffer[..length]) {
            return Ok(reply);
        }
    }
    Err(io::Error::other("too many datagrams that are no reply"))
}

async fn over_tcp(server: SocketAddr, question: &Question, how: How, edns: bool) -> Result<Reply, AskError> {
    let io = |error| AskError::Io { server, error };
    let id: u16 = rand::random();
    let deadline = Instant::now() + how.timeout * 2;
    let asked = tokio::time::timeout_at(deadline, async {
        let mut stream = Stream::connect(server).await?;
        stream.send(&query(question, id, how, edns)).await?;
        stream.receive().await
    });
    match asked.await {
        Err(_) => Err(AskError::Silent { server, tries: 1 }),
        Ok(Err(error)) => Err(io(error)),
        Ok(Ok(octets)) => match question.reply(id, &octets) {
            // Cut over a stream, where there is room: it is not the answer, and not that there is none either.
            Ok(reply) if reply.truncated => Err(AskError::Malformed { server }),
            Ok(reply) => Ok(reply),
            Err(ReplyError::Foreign | ReplyError::Malformed) => Err(AskError::Malformed { server }),
        },
    }
}

/// Messages over TCP, each behind its length (RFC 1035 §4.2.2), which bounds it; in clear, or over TLS.
pub(crate) struct Stream(Either<TcpStream, Box<TlsStream<TcpStream>>>);

impl Stream {
    pub(crate) async fn connect(server: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        Ok(Self(Either::Left(stream)))
    }

    pub(crate) async fn connect_tls(server: SocketAddr, tls: &PeerTls) -> io::Result<Self> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        Ok(Self(Either::Right(Box::new(tls.over(stream, server).await?))))
    }

    pub(crate) async fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let length = u16::try_from(message.len()).map_err(io::Error::other)?;
        let mut framed = length.to_be_bytes().to_vec();
        framed.extend(message);
        self.0.write_all(&framed).await?;
        self.0.flush().await
    }

    pub(crate) async fn receive(&mut self) -> io::Result<Vec<u8>> {
        let length = self.0.read_u16().await?;
        let mut message = vec![0; length.into()];
        self.0.read_exact(&mut message).await?;
        Ok(message)
    }
}
