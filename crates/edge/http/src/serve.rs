//! The framing of one accepted connection: [`crate::http1`] or [`crate::http2`], which see nothing of each other.

use std::{future::Future, pin::Pin, sync::Arc};

use http::request::Parts;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use crate::{Connection, Kind, Limits, Refusal, Request, Response, SocketOf, http1, http2};

/// How the bytes of a connection are framed: known from ALPN over TLS, always HTTP/1.1 in clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1 and 1.0.
    Http1,
    /// HTTP/2.
    Http2,
}

/// What answers requests: the pipeline.
pub trait Handler: Send + Sync + 'static {
    /// Answers a well-formed request of this connection. Its extensions hold a [`Kind`] where that is not [`Kind::Http`].
    fn handle(&self, request: Request, connection: &Arc<Connection>) -> impl Future<Output = Response> + Send;

    /// Answers what is no request that could be handled. `head` is absent when it could not be read. The connection is closed
    /// after the answer on HTTP/1.1; the answer's body must be whole ([`crate::Body::full`]).
    fn refuse(&self, connection: &Connection, head: Option<&http::request::Parts>, refusal: Refusal) -> Response;
}

/// What all exchanges of a connection share.
pub(crate) struct Shared<H> {
    pub(crate) handler: Arc<H>,
    pub(crate) connection: Arc<Connection>,
    pub(crate) limits: Arc<Limits>,
}

/// Serves one visitor until it leaves, breaks a rule, waits too long, or `drain` is cancelled and its last response is out.
///
/// Runs in the caller's task; dropping the future closes the connection at once. `socket`: what is below `io`, for what only it can tell.
///
/// It is boxed here, so that it is as large as its protocol wants, and `io` is in it once: each `async fn` that takes one by value keeps room
/// for it of its own.
pub fn serve_connection<IO, H>(
    io: IO,
    socket: SocketOf<IO>,
    protocol: Protocol,
    connection: Arc<Connection>,
    handler: Arc<H>,
    limits: Arc<Limits>,
    drain: CancellationToken,
) -> Pin<Box<dyn Future<Output = ()> + Send>>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    let shared = Shared { handler, connection, limits };
    match protocol {
        Protocol::Http1 => Box::pin(http1::serve(io, socket, shared, drain)),
        Protocol::Http2 => Box::pin(http2::serve(io, shared, drain)),
    }
}

/// Tells the handler what is wanted, if it is not what nearly all want: extensions cost an allocation or three.
pub(crate) fn mark(head: &mut Parts, kind: Kind) {
    if kind != Kind::Http {
        head.extensions.insert(kind);
    }
}
