//! What is agreed on with visitors over TCP: versions and protocols, as the zone of the name that they ask for wants them.
//!
//! There are as many configurations as there are ways to answer, whatever number of zones: all of them are made at the start and shared. A
//! visitor that has nothing in common with one is told so by an alert: `protocol_version`, or `no_application_protocol` (RFC 8446 §6.2, RFC
//! 7301 §3.2).

use std::{collections::HashMap, sync::Arc};

use poterne_model::setting::{EdgeSettings, TlsVersions};
use rustls::{
    ServerConfig, SupportedProtocolVersion,
    server::{ProducesTickets, ResolvesServerCert},
};

use crate::Certificates;

/// How visitors are answered: by which versions, and whether with HTTP/2.
pub(crate) struct Visitors {
    configs: HashMap<(TlsVersions, bool), Arc<ServerConfig>>,
    ticketer: Arc<dyn ProducesTickets>,
}

impl Visitors {
    pub(crate) fn new(certificates: &Arc<Certificates>) -> Self {
        let ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().inspect_err(|error| {
            // Without tickets, visitors only pay a whole handshake each time.
            tracing::warn!(%error, "TLS sessions cannot be resumed: no randomness for tickets");
        });
        let answer = |versions, http2| {
            let protocols: &[&[u8]] = if http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
            let protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            let mut config = with_resolver(Arc::<Certificates>::clone(certificates), versions, protocols);
            // One key for all: a session is of its version's cipher suites, and is not taken up with another's.
            if let Ok(ticketer) = &ticketer {
                config.ticketer = Arc::clone(ticketer);
            }
            ((versions, http2), Arc::new(config))
        };
        let configs: HashMap<_, _> =
            TlsVersions::ALL.into_iter().flat_map(|versions| [answer(versions, true), answer(versions, false)]).collect();
        let ticketer = configs[&(TlsVersions::Both, true)].ticketer.clone();
        Self { configs, ticketer }
    }

    /// Visitors of a zone.
    pub(crate) fn of(&self, settings: &EdgeSettings) -> Arc<ServerConfig> {
        Arc::clone(&self.configs[&(settings.tls, settings.http2)])
    }

    /// What makes sessions resumable.
    pub(crate) fn ticketer(&self) -> Arc<dyn ProducesTickets> {
        Arc::clone(&self.ticketer)
    }
}

pub(crate) fn with_resolver(
    certificates: Arc<dyn ResolvesServerCert>,
    versions: TlsVersions,
    protocols: Vec<Vec<u8>>,
) -> ServerConfig {
    let versions: &[&SupportedProtocolVersion] = match versions {
        TlsVersions::Both => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersions::Only12 => &[&rustls::version::TLS12],
        TlsVersions::Only13 => &[&rustls::version::TLS13],
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("the provider has suites for both versions")
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = protocols;
    config
}
