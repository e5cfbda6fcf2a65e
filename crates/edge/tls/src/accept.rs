//! The handshake of one connection. The name is read before anything is answered, since it tells who is meant.

use std::{
    io,
    sync::Arc,
    time::{Duration, SystemTime},
};

use poterne_edge_http::{Negotiated, Protocol};
use poterne_model::{ClientAuth, setting::TlsVersions};
use rustls::{
    ServerConfig,
    server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
};
use rustls_pki_types::UnixTime;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::{StartHandshake, server::TlsStream};

use crate::{
    Certificates, challenge, hello,
    tickets::Tickets,
    versions::{self, Answer, Visitors, with_resolver},
};

/// Whom a name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A visitor, of a hostname or of none that we know.
    Visitor,
    /// An agent.
    Agent,
    /// The node itself: its API.
    Node,
}

/// A connection whose handshake is done.
pub struct Arrived<IO> {
    /// Decrypted.
    pub stream: TlsStream<IO>,
    /// The name that was asked for, lower-case.
    pub sni: Option<Box<str>>,
    /// What ALPN agreed on; HTTP/1.1 for who offers none.
    pub protocol: Protocol,
    /// Its client's fingerprint, if its ClientHello was no longer than [`crate::ja4::HELLO_BYTES_MAX`].
    pub ja4: Option<Arc<str>>,
    /// What was agreed on.
    pub tls: Negotiated,
    /// What became of asking for its certificate; none: it was not asked.
    pub client: Option<Arc<ClientAuth>>,
}

/// Who came.
pub enum Accepted<IO> {
    /// A visitor.
    Visitor(Arrived<IO>),
    /// An agent.
    Agent(Arrived<IO>),
    /// A client of the node.
    Node(Arrived<IO>),
    /// An authority, which has seen what it came for.
    Authority,
}

/// Why a handshake came to nothing. Culprit: the peer, or nobody.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// It was not finished in time.
    #[error("the handshake was not finished within {0:?}")]
    Timeout(Duration),
    /// It failed.
    #[error("the handshake failed: {0}")]
    Failed(#[from] io::Error),
}

/// Tells whom a name means.
type Classify = dyn Fn(Option<&str>) -> Class + Send + Sync;

/// Does handshakes.
pub struct Acceptor {
    certificates: Arc<Certificates>,
    visitors: Visitors,
    agents: Option<Arc<ServerConfig>>,
    classify: Box<Classify>,
    timeout: Duration,
}

impl Acceptor {
    /// `agents`: how agents are answered, if they are received here. `classify` gets the name in lower case.
    pub fn new(
        certificates: Arc<Certificates>,
        agents: Option<Arc<ServerConfig>>,
        classify: impl Fn(Option<&str>) -> Class + Send + Sync + 'static,
        timeout: Duration,
    ) -> Self {
        let visitors = Visitors::new(&certificates);
        Self { certificates, visitors, agents, classify: Box::new(classify), timeout }
    }

    /// What makes sessions resumable, over both transports.
    pub(crate) fn tickets(&self) -> Arc<Tickets> {
        self.certificates.tickets()
    }

    /// One handshake.
    ///
    /// # Errors
    /// The peer was too slow, or its handshake failed.
    pub async fn accept<IO: AsyncRead + AsyncWrite + Unpin>(&self, io: IO) -> Result<Accepted<IO>, AcceptError> {
        let handshake = self.handshake(io);
        tokio::time::timeout(self.timeout, handshake)
            .await
            .map_err(|_| AcceptError::Timeout(self.timeout))?
            .map_err(AcceptError::Failed)
    }

    async fn handshake<IO: AsyncRead + AsyncWrite + Unpin>(&self, io: IO) -> io::Result<Accepted<IO>> {
        let (start, ja4) = hello::read(io).await?;
        let sni: Option<Box<str>> = start.client_hello().server_name().map(|name| name.to_ascii_lowercase().into());
        // RFC 8737 §3: nobody else offers this, nor anything beside it.
        if start.client_hello().alpn().is_some_and(|mut offered| offered.any(|protocol| protocol == challenge::PROTOCOL)) {
            return self.show(start, sni.as_deref()).await;
        }
        let class = (self.classify)(sni.as_deref());
        let answer = match (&self.agents, class) {
            (Some(agents), Class::Agent) => Answer::Plain(Arc::clone(agents)),
            (_, Class::Visitor) => {
                let of = |name: &str| self.certificates.with_zone(name, |zone| Some(self.visitors.of(zone?, name)));
                // Whoever asks for no name gets no certificate, whatever is agreed on.
                sni.as_deref().and_then(of).unwrap_or_else(|| Answer::Plain(self.visitors.of_nobody()))
            }
            _ => Answer::Plain(self.visitors.of_nobody()),
        };
        if let (Some(name), Class::Visitor | Class::Node) = (sni.as_deref(), class) {
            self.certificates.prepare(name).await;
        }
        let stream = start.into_stream(answer.config()).await?;
        let client = match &answer {
            Answer::Plain(_) => None,
            Answer::Asked(asked) => Some(Arc::new(asked.answered(stream.get_ref().1.peer_certificates(), UnixTime::now()))),
        };
        let protocol = match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Protocol::Http2,
            _ => Protocol::Http1,
        };
        let tls = versions::told(stream.get_ref().1);
        let arrived = Arrived { stream, sni, protocol, ja4, tls, client };
        Ok(match class {
            Class::Agent => Accepted::Agent(arrived),
            Class::Node => Accepted::Node(arrived),
            Class::Visitor => Accepted::Visitor(arrived),
        })
    }

    /// Shows a challenge, and hangs up: that connection is good for nothing else.
    async fn show<IO: AsyncRead + AsyncWrite + Unpin>(
        &self,
        start: StartHandshake<IO>,
        sni: Option<&str>,
    ) -> io::Result<Accepted<IO>> {
        let key = sni.and_then(|name| self.certificates.challenge(name, SystemTime::now()));
        let nobody = WebPkiClientVerifier::no_client_auth();
        let config = with_resolver(Arc::new(Only(key)), TlsVersions::Both, vec![challenge::PROTOCOL.to_vec()], nobody);
        let config = Arc::new(config);
        let mut stream = start.into_stream(config).await?;
        // It has what it wants: whether it hears the goodbye is its own affair.
        let _ = stream.shutdown().await;
        Ok(Accepted::Authority)
    }
}

/// One certificate, whatever is asked for; none: an alert.
#[derive(Debug)]
struct Only(Option<Arc<CertifiedKey>>);

impl ResolvesServerCert for Only {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests;
