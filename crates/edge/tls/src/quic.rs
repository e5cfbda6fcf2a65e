//! TLS of QUIC connections. On a visitors' port agents come too: one answer must do for both until ALPN has told who it is.

use std::{fmt, sync::Arc};

use poterne_edge_http::http3;
use rustls::{
    ServerConfig,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::{Acceptor, Certificates};

/// Agents that are received beside visitors.
pub struct Agents {
    /// What they ask for.
    pub alpn: Vec<u8>,
    /// What they are answered with, whatever name they ask for.
    pub certificates: Arc<dyn ResolvesServerCert>,
}

impl fmt::Debug for Agents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agents").field("alpn", &self.alpn.escape_ascii().to_string()).finish_non_exhaustive()
    }
}

impl Acceptor {
    /// How QUIC is answered: TLS 1.3, visitors' certificates and tickets, nothing before the handshake is done (RFC 9001 §9.2). One answer does
    /// for all names, so that nobody is asked for a certificate: visitors of hosts that ask are refused, and come by TCP.
    ///
    /// # Errors
    /// The TLS library refuses the configuration.
    pub fn quic(&self, certificates: Arc<Certificates>, agents: Option<Agents>) -> Result<ServerConfig, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        // What was begun over TCP is not taken up here, nor the other way: it may have been begun otherwise.
        let tickets = self.tickets().under(b"quic".to_vec());
        let mut alpn = vec![http3::ALPN.to_vec()];
        alpn.extend(agents.as_ref().map(|agents| agents.alpn.clone()));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(ByProtocol { certificates, agents }));
        config.alpn_protocols = alpn;
        config.ticketer = tickets;
        Ok(config)
    }
}

#[derive(Debug)]
struct ByProtocol {
    certificates: Arc<Certificates>,
    agents: Option<Agents>,
}

impl ResolvesServerCert for ByProtocol {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let asks_for = |wanted: &[u8]| hello.alpn().is_some_and(|mut offered| offered.any(|protocol| protocol == wanted));
        if let Some(agents) = self.agents.as_ref().filter(|agents| asks_for(&agents.alpn)) {
            return agents.certificates.resolve(hello);
        }
        let name = hello.server_name()?.to_ascii_lowercase();
        // A visitor that is refused here comes by TCP.
        if !self.certificates.takes_http3(&name) {
            return None;
        }
        self.certificates.find(&name)
    }
}
