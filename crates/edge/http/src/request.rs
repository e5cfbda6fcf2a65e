//! What a request carries beside its head.

use std::net::SocketAddr;

/// How the visitor came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// In clear.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// The visitor's connection, shared by all its requests (in the request's extensions as `Arc<Connection>`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The visitor's address: the peer of the socket.
    pub peer: SocketAddr,
    /// The address the visitor reached.
    pub local: SocketAddr,
    /// Clear or TLS.
    pub scheme: Scheme,
    /// The name the visitor asked for in its TLS handshake, lower-case.
    pub sni: Option<Box<str>>,
}

/// What the visitor wants of this request (in the request's extensions).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An ordinary exchange.
    Http,
    /// A WebSocket opening handshake. The request body yields nothing until the response is answered with 101; from then on it
    /// is the visitor's raw bytes (RFC 6455 frames), and the response's body goes to the visitor raw.
    ///
    /// `Connection` and `Upgrade` are already removed from the head; the `Sec-WebSocket-*` fields are in it.
    WebSocket,
}
