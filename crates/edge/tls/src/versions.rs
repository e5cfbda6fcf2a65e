//! What is agreed on with visitors over TCP: versions, protocols and whether they are asked for a certificate, as the zone of the name that
//! they ask for wants them.
//!
//! Where no certificate is asked for there are as many configurations as there are ways to answer, whatever number of zones: all of them are
//! made at the start and shared. A visitor that has nothing in common with one is told so by an alert: `protocol_version`, or
//! `no_application_protocol` (RFC 8446 §6.2, RFC 7301 §3.2). Hosts that ask have one for each set of authorities, made when the first visitor
//! comes.

use std::{collections::HashMap, sync::Arc};

use poterne_edge_http::Negotiated;
use poterne_model::{
    CertificateId,
    setting::{EdgeSettings, TlsVersions},
};
use poterne_snapshot::ZoneHead;
use rustls::{
    CipherSuite, ProtocolVersion, ServerConfig, ServerConnection, SupportedProtocolVersion,
    crypto::CryptoProvider,
    server::{ResolvesServerCert, WebPkiClientVerifier, danger::ClientCertVerifier},
};

use crate::{
    Certificates,
    asking::{Asked, Asking, Judges},
    tickets::Tickets,
};

/// Configurations kept of hosts that ask for certificates; some ten KiB apiece.
const ASKING_MAX: usize = 1000;

/// By which versions, and whether with HTTP/2.
type Offer = (TlsVersions, bool);

/// How visitors are answered.
pub(crate) struct Visitors {
    configs: HashMap<Offer, Arc<ServerConfig>>,
    /// By whom those may be vouched for that are asked. What an id means never changes.
    asking: quick_cache::sync::Cache<(Offer, Box<[CertificateId]>), Arc<Asked>>,
    certificates: Arc<Certificates>,
    tickets: Arc<Tickets>,
    provider: Arc<CryptoProvider>,
}

/// How one is.
pub(crate) enum Answer {
    /// Whoever it is.
    Plain(Arc<ServerConfig>),
    /// Being asked who it is.
    Asked(Arc<Asked>),
}

impl Visitors {
    pub(crate) fn new(certificates: &Arc<Certificates>) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tickets = certificates.tickets();
        let offers = TlsVersions::ALL.into_iter().flat_map(|versions| [(versions, true), (versions, false)]);
        let plain = |offer: Offer| {
            let mut config = with_resolver(
                Arc::<Certificates>::clone(certificates),
                offer.0,
                protocols(offer),
                WebPkiClientVerifier::no_client_auth(),
            );
            config.ticketer = tickets.under(terms(offer, &[]));
            (offer, Arc::new(config))
        };
        Self {
            configs: offers.map(plain).collect(),
            asking: quick_cache::sync::Cache::new(ASKING_MAX),
            certificates: Arc::clone(certificates),
            tickets,
            provider,
        }
    }

    /// Visitors who ask for no name, or for one of the node's own.
    pub(crate) fn of_nobody(&self) -> Arc<ServerConfig> {
        let EdgeSettings { tls, http2, .. } = EdgeSettings::default();
        Arc::clone(&self.configs[&(tls, http2)])
    }

    /// Visitors of a zone's host.
    pub(crate) fn of(&self, zone: &ZoneHead, host: &str) -> Answer {
        let offer = (zone.edge.tls, zone.edge.http2);
        let ids = zone.asked_of(host);
        let Some(client) = zone.client.as_ref().filter(|_| !ids.is_empty()) else {
            return Answer::Plain(Arc::clone(&self.configs[&offer]));
        };
        let key = (offer, ids.into());
        if let Some(asked) = self.asking.get(&key) {
            return Answer::Asked(asked);
        }
        let authorities: Vec<_> = ids.iter().filter_map(|id| client.authority(*id)).collect();
        let judges = Judges::new(&authorities, &self.provider);
        let asking = Asking::new(&judges, Arc::clone(&self.provider));
        let mut config = with_resolver(Arc::<Certificates>::clone(&self.certificates), offer.0, protocols(offer), asking);
        config.ticketer = self.tickets.under(terms(offer, ids));
        let asked = Arc::new(Asked::new(judges, config));
        self.asking.insert(key, Arc::clone(&asked));
        Answer::Asked(asked)
    }
}

impl Answer {
    /// What the handshake goes by.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(match self {
            Self::Plain(config) => config,
            Self::Asked(asked) => &asked.config,
        })
    }
}

fn protocols((_, http2): Offer) -> Vec<Vec<u8>> {
    let protocols: &[&[u8]] = if http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
    protocols.iter().map(|protocol| protocol.to_vec()).collect()
}

/// What a session is begun under: it is not taken up under anything else.
fn terms((versions, http2): Offer, asked: &[CertificateId]) -> Vec<u8> {
    let versions = match versions {
        TlsVersions::Both => 0,
        TlsVersions::Only12 => 2,
        TlsVersions::Only13 => 3,
    };
    let mut terms = vec![b't', versions, u8::from(http2)];
    terms.extend(asked.iter().flat_map(|id| id.as_bytes()));
    terms
}

pub(crate) fn with_resolver(
    certificates: Arc<dyn ResolvesServerCert>,
    versions: TlsVersions,
    protocols: Vec<Vec<u8>>,
    clients: Arc<dyn ClientCertVerifier>,
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
        .with_client_cert_verifier(clients)
        .with_cert_resolver(certificates);
    config.alpn_protocols = protocols;
    config
}

/// What a handshake that is done agreed on.
pub(crate) fn told(session: &ServerConnection) -> Negotiated {
    let version = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        // Nothing else is offered.
        _ => "TLSv1.3",
    };
    Negotiated { version, cipher: session.negotiated_cipher_suite().and_then(|suite| name(suite.suite())) }
}

/// A cipher suite, as OpenSSL and BoringSSL call it.
fn name(suite: CipherSuite) -> Option<&'static str> {
    Some(match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "AEAD-AES128-GCM-SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "AEAD-AES256-GCM-SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "AEAD-CHACHA20-POLY1305-SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "ECDHE-ECDSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-ECDSA-CHACHA20-POLY1305",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "ECDHE-RSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "ECDHE-RSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-RSA-CHACHA20-POLY1305",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_that_is_offered_has_its_name() {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let names: std::collections::HashSet<_> =
            provider.cipher_suites.iter().map(|suite| name(suite.suite()).unwrap_or_else(|| panic!("{suite:?}"))).collect();
        assert_eq!(names.len(), provider.cipher_suites.len());
    }

    #[test]
    fn other_terms_are_other_terms() {
        let ids = [CertificateId::from_bytes([1; 16]), CertificateId::from_bytes([2; 16])];
        let offers = TlsVersions::ALL.into_iter().flat_map(|versions| [(versions, true), (versions, false)]);
        let all: Vec<Vec<u8>> =
            offers.flat_map(|offer| [&ids[..0], &ids[..1], &ids[1..], &ids].map(|ids| terms(offer, ids))).collect();
        assert_eq!(all.iter().collect::<std::collections::HashSet<_>>().len(), all.len());
    }
}
