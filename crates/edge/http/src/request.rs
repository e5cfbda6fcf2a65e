//! What a request carries beside its head.

use std::{net::SocketAddr, sync::Arc};

use http::HeaderValue;
use poterne_model::ClientAuth;

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

    /// The port that need not be written.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// What a TLS handshake agreed on, in OpenSSL's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Negotiated {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite; none over QUIC, whose library does not tell.
    pub cipher: Option<&'static str>,
}

/// The visitor's connection, shared by all its requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The visitor's address: the peer of the socket. An IPv4 address that came through a dual-stack socket is an IPv4 address.
    pub peer: SocketAddr,
    /// The address the visitor reached.
    pub local: SocketAddr,
    /// Clear or TLS.
    pub scheme: Scheme,
    /// The name the visitor asked for in its TLS handshake, lower-case.
    pub sni: Option<Box<str>>,
    /// `peer`'s address as a field value, written once for all requests of the connection.
    pub peer_value: HeaderValue,
    /// The fingerprint of its TLS handshake (JA4), where it is known: never in clear, nor by QUIC, whose handshake is not seen as it came.
    pub ja4: Option<Arc<str>>,
    /// What its handshake agreed on; none in clear.
    pub tls: Option<Negotiated>,
    /// What became of asking for the visitor's certificate; none: it was not asked.
    pub client: Option<Arc<ClientAuth>>,
    /// Whether visitors of this name may come by HTTP/3 to the same port, and are told so.
    pub offers_http3: bool,
}

impl Connection {
    /// A connection as it was accepted.
    pub fn new(peer: SocketAddr, local: SocketAddr, scheme: Scheme, sni: Option<Box<str>>) -> Self {
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let peer_value = HeaderValue::try_from(peer.ip().to_string()).expect("an address is visible ASCII");
        Self { peer, local, scheme, sni, peer_value, ja4: None, tls: None, client: None, offers_http3: false }
    }

    /// The same, with the fingerprint of its handshake.
    pub fn with_ja4(self, ja4: Option<Arc<str>>) -> Self {
        Self { ja4, ..self }
    }

    /// The same, with what its handshake agreed on.
    pub fn with_tls(self, tls: Negotiated) -> Self {
        Self { tls: Some(tls), ..self }
    }

    /// The same, with what became of asking for the visitor's certificate.
    pub fn with_client(self, client: Option<Arc<ClientAuth>>) -> Self {
        Self { client, ..self }
    }

    /// The same, offering HTTP/3 or not.
    pub fn offering_http3(self, offers_http3: bool) -> Self {
        Self { offers_http3, ..self }
    }
}

/// What the visitor wants of this request (in the request's extensions, but for [`Kind::Http`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An ordinary exchange.
    Http,
    /// A WebSocket opening handshake. The request body yields nothing until the response is answered with 101; from then on it
    /// is the visitor's raw bytes (RFC 6455 frames), and the response's body goes to the visitor raw.
    ///
    /// The head is as it came: `Connection` and `Upgrade` are in it (but for HTTP/2 and 3, which have neither), and whoever sends it on removes
    /// them with the fields that `Connection` names (RFC 9110 §7.6.1). The `Sec-WebSocket-*` fields are in it.
    WebSocket,
}
