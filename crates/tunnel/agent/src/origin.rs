//! Connections to local services.
//!
//! * [`connect`]: addresses, happy eyeballs, TCP options, Unix sockets;
//! * [`tls`]: who the service must prove to be;
//! * [`pool`]: idle connections, kept per rule.
//!
//! HTTP/1.1 itself is `poterne_origin`'s.

pub(crate) mod connect;
pub(crate) mod pool;
pub(crate) mod tls;

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use poterne_origin::Rules;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::client::TlsStream;

/// What a local service may answer. A head may be twice as long as a visitor's answer may have it (edge-behaviour §2.9), since interim
/// answers count, too, and may have as many fields as a head on a QUIC stream has room for, less what is ours. It is the operator's own,
/// and nobody stands between it and us: home-made services are forgiven their line ends.
pub(crate) const RULES: Rules =
    Rules { head_bytes_max: 128 * 1024, fields_max: poterne_tunnel_proto::stream::METADATA_MAX - 24, forgiving: true };

/// An HTTP/1.1 connection to one.
pub(crate) type Http1 = poterne_origin::Http1<OriginIo, pool::RequestBody>;

/// A connected local service.
#[derive(Debug)]
pub(crate) enum OriginIo {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
    UnixTls(Box<TlsStream<UnixStream>>),
}

macro_rules! each {
    ($self:expr, $io:ident => $call:expr) => {
        match $self.get_mut() {
            OriginIo::Tcp($io) => $call,
            OriginIo::Unix($io) => $call,
            OriginIo::Tls($io) => $call,
            OriginIo::UnixTls($io) => $call,
        }
    };
}

impl AsyncRead for OriginIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, io => Pin::new(io).poll_read(cx, buf))
    }
}

impl AsyncWrite for OriginIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, io => Pin::new(io).poll_write(cx, buf))
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        each!(self, io => Pin::new(io).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        matches!(self, Self::Tcp(_) | Self::Unix(_))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, io => Pin::new(io).poll_shutdown(cx))
    }
}
