//! TLS of QUIC connections. On a visitors' port agents come too: one answer must do for both until ALPN has told who it is.
//!
//! Whether a visitor is asked for a certificate hangs on the name that is meant, and the TLS library is to know it when a session begins,
//! before any name is known. So a session here first reads the ClientHello by itself ([`crate::client_hello`]), and is then what the name
//! asks for: nearly always the one that asks nobody. Whatever is not understood is left to the library. Should that ever let a visitor of a host
//! that asks in unasked, no request of the host is answered there (421, as with any connection that was made for others).

use std::{any::Any, fmt, sync::Arc};

use poterne_edge_http::http3;
use poterne_model::{CertificateId, ClientAuth};
use quinn_proto::{
    ConnectionId, Side, TransportError,
    crypto::{
        ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey, ServerConfig as QuicConfig, Session, UnsupportedVersion,
        rustls::{HandshakeData, QuicServerConfig},
    },
    transport_parameters::TransportParameters,
};
use rustls::{
    ServerConfig,
    crypto::CryptoProvider,
    server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::{
    Acceptor, Certificates,
    asking::{Asked, Asking, Judges},
    client_hello::{self, Seen},
    tickets::Tickets,
};

/// Configurations kept of hosts that ask for certificates; some ten KiB apiece.
const ASKING_MAX: usize = 1000;

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
    /// How QUIC is answered: TLS 1.3, visitors' certificates and tickets, nothing before the handshake is done (RFC 9001 §9.2), and visitors asked for a
    /// certificate where their host wants one. What was agreed on is [`Told`] as the connection's handshake data.
    ///
    /// # Errors
    /// The TLS library refuses the configuration.
    pub fn quic(&self, certificates: Arc<Certificates>, agents: Option<Agents>) -> Result<Arc<dyn QuicConfig>, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut alpn = vec![http3::ALPN.to_vec()];
        alpn.extend(agents.as_ref().map(|agents| agents.alpn.clone()));
        let (tickets, agents_alpn) = (self.tickets(), agents.as_ref().map(|agents| agents.alpn.clone()));
        let resolver = Arc::new(ByProtocol { certificates: Arc::clone(&certificates), agents });
        let plain = config(&provider, resolver, &tickets, alpn, WebPkiClientVerifier::no_client_auth(), &[])?;
        let asking = quick_cache::sync::Cache::new(ASKING_MAX);
        Ok(Arc::new(ByName { plain: over_quic(Arc::new(plain)), asking, certificates, agents_alpn, tickets, provider }))
    }
}

fn config(
    provider: &Arc<CryptoProvider>,
    certificates: Arc<dyn ResolvesServerCert>,
    tickets: &Arc<Tickets>,
    alpn: Vec<Vec<u8>>,
    clients: Arc<dyn ClientCertVerifier>,
    asked: &[CertificateId],
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(certificates);
    config.alpn_protocols = alpn;
    // What was begun over TCP is not taken up here, nor the other way, nor under other terms: it may have been begun otherwise.
    let mut terms = b"quic".to_vec();
    terms.extend(asked.iter().flat_map(|id| id.as_bytes()));
    config.ticketer = tickets.under(terms);
    Ok(config)
}

fn over_quic(config: Arc<ServerConfig>) -> Arc<QuicServerConfig> {
    Arc::new(QuicServerConfig::try_from(config).expect("the provider has the suite of initial packets (RFC 9001 §5.2)"))
}

/// What a handshake agreed on.
pub struct Told {
    /// What is spoken.
    pub protocol: Option<Vec<u8>>,
    /// The name that was asked for, as the client wrote it.
    pub server_name: Option<String>,
    asked: Option<Arc<Asked>>,
}

impl Told {
    /// What became of asking for a certificate, of what the connection tells of its peer; none: nobody was asked.
    pub fn client(&self, identity: Option<Box<dyn Any>>) -> Option<Arc<ClientAuth>> {
        let asked = self.asked.as_ref()?;
        let chain = identity.and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok());
        Some(Arc::new(asked.answered(chain.as_deref().map(Vec::as_slice), UnixTime::now())))
    }
}

/// How visitors are answered, each as whom they mean wants it.
struct ByName {
    plain: Arc<QuicServerConfig>,
    /// By whom those may be vouched for that are asked. What an id means never changes.
    asking: quick_cache::sync::Cache<Box<[CertificateId]>, Asks>,
    certificates: Arc<Certificates>,
    agents_alpn: Option<Vec<u8>>,
    tickets: Arc<Tickets>,
    provider: Arc<CryptoProvider>,
}

#[derive(Clone)]
struct Asks {
    config: Arc<QuicServerConfig>,
    asked: Arc<Asked>,
}

impl ByName {
    /// How visitors of a host are asked; none: they are not.
    fn of(&self, name: &str) -> Option<Asks> {
        self.certificates.with_zone(name, |zone| {
            let zone = zone?;
            let ids = zone.asked_of(name);
            let client = zone.client.as_ref().filter(|_| !ids.is_empty())?;
            if let Some(asks) = self.asking.get(ids) {
                return Some(asks);
            }
            let authorities: Vec<_> = ids.iter().filter_map(|id| client.authority(*id)).collect();
            let judges = Judges::new(&authorities, &self.provider);
            let asking = Asking::new(&judges, Arc::clone(&self.provider));
            let resolver = Arc::new(ByProtocol { certificates: Arc::clone(&self.certificates), agents: None });
            let alpn = vec![http3::ALPN.to_vec()];
            let config = config(&self.provider, resolver, &self.tickets, alpn, asking, ids);
            let asked = Asked::new(judges, config.expect("the provider has suites of TLS 1.3"));
            let asks = Asks { config: over_quic(Arc::clone(&asked.config)), asked: Arc::new(asked) };
            self.asking.insert(ids.into(), asks.clone());
            Some(asks)
        })
    }
}

impl QuicConfig for ByName {
    fn initial_keys(&self, version: u32, dst_cid: &ConnectionId) -> Result<Keys, UnsupportedVersion> {
        self.plain.initial_keys(version, dst_cid)
    }

    fn retry_tag(&self, version: u32, orig_dst_cid: &ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.plain.retry_tag(version, orig_dst_cid, packet)
    }

    fn start_session(self: Arc<Self>, version: u32, params: &TransportParameters) -> Box<dyn Session> {
        let inner = Arc::clone(&self.plain).start_session(version, params);
        Box::new(Handshake { inner, hello: Some(Vec::new()), asked: None, version, params: *params, by_name: self })
    }
}

/// A session that is not decided before its ClientHello is whole.
struct Handshake {
    /// That of whoever asks nobody, until then.
    inner: Box<dyn Session>,
    /// What came of the ClientHello; none: it is decided.
    hello: Option<Vec<u8>>,
    asked: Option<Arc<Asked>>,
    version: u32,
    params: TransportParameters,
    by_name: Arc<ByName>,
}

impl Handshake {
    /// Whom a ClientHello means is asked as it wants to be.
    fn decide(&mut self, hello: &[u8]) {
        let Seen::Whole(wanted) = client_hello::seen(hello) else { return };
        let is_agent = self.by_name.agents_alpn.as_deref().is_some_and(|alpn| wanted.protocols.contains(&alpn));
        let name = wanted.name.filter(|_| !is_agent).map(str::to_ascii_lowercase);
        if let Some(asks) = name.and_then(|name| self.by_name.of(&name)) {
            self.inner = asks.config.start_session(self.version, &self.params);
            self.asked = Some(asks.asked);
        }
    }
}

impl Session for Handshake {
    fn initial_keys(&self, dst_cid: &ConnectionId, side: Side) -> Keys {
        self.inner.initial_keys(dst_cid, side)
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        let HandshakeData { protocol, server_name, .. } = *self.inner.handshake_data()?.downcast::<HandshakeData>().ok()?;
        Some(Box::new(Told { protocol, server_name, asked: self.asked.clone() }))
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        self.inner.peer_identity()
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        self.inner.early_crypto()
    }

    fn early_data_accepted(&self) -> Option<bool> {
        self.inner.early_data_accepted()
    }

    fn is_handshaking(&self) -> bool {
        self.inner.is_handshaking()
    }

    fn read_handshake(&mut self, bytes: &[u8]) -> Result<bool, TransportError> {
        let Some(mut hello) = self.hello.take() else { return self.inner.read_handshake(bytes) };
        hello.extend_from_slice(bytes);
        if hello.len() <= client_hello::BYTES_MAX && client_hello::seen(&hello) == Seen::Part {
            self.hello = Some(hello);
            return Ok(false);
        }
        self.decide(&hello);
        self.inner.read_handshake(&hello)
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        self.inner.transport_parameters()
    }

    fn write_handshake(&mut self, bytes: &mut Vec<u8>) -> Option<Keys> {
        self.inner.write_handshake(bytes)
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        self.inner.next_1rtt_keys()
    }

    fn is_valid_retry(&self, orig_dst_cid: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
        self.inner.is_valid_retry(orig_dst_cid, header, payload)
    }

    fn export_keying_material(&self, output: &mut [u8], label: &[u8], context: &[u8]) -> Result<(), ExportKeyingMaterialError> {
        self.inner.export_keying_material(output, label, context)
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
