//! The handshake of one connection. The name is read before anything is answered, since it tells who is meant.

use std::{io, sync::Arc, time::Duration};

use poterne_edge_http::Protocol;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

use crate::Certificates;

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
}

/// Who came.
pub enum Accepted<IO> {
    /// A visitor.
    Visitor(Arrived<IO>),
    /// An agent.
    Agent(Arrived<IO>),
    /// A client of the node.
    Node(Arrived<IO>),
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
    visitors: Arc<ServerConfig>,
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
        Self { visitors: visitors(certificates), agents, classify: Box::new(classify), timeout }
    }

    /// What makes sessions resumable, of both transports.
    pub(crate) fn ticketer(&self) -> Arc<dyn rustls::server::ProducesTickets> {
        self.visitors.ticketer.clone()
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
        let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), io).await?;
        let sni: Option<Box<str>> = start.client_hello().server_name().map(|name| name.to_ascii_lowercase().into());
        let class = (self.classify)(sni.as_deref());
        let config = match (&self.agents, class) {
            (Some(agents), Class::Agent) => agents.clone(),
            _ => self.visitors.clone(),
        };
        let stream = start.into_stream(config).await?;
        let protocol = match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Protocol::Http2,
            _ => Protocol::Http1,
        };
        let arrived = Arrived { stream, sni, protocol };
        Ok(match class {
            Class::Agent => Accepted::Agent(arrived),
            Class::Node => Accepted::Node(arrived),
            Class::Visitor => Accepted::Visitor(arrived),
        })
    }
}

fn visitors(certificates: Arc<Certificates>) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .expect("the provider has suites for both versions")
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    match rustls::crypto::aws_lc_rs::Ticketer::new() {
        // Without tickets, visitors only pay a whole handshake each time.
        Ok(ticketer) => config.ticketer = ticketer,
        Err(error) => tracing::warn!(%error, "TLS sessions cannot be resumed: no randomness for tickets"),
    }
    Arc::new(config)
}

#[cfg(test)]
mod tests;
