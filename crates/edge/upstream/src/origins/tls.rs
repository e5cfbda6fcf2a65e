//! TLS towards origins: what is asked of their certificates, and sessions that are taken up again, a zone's own.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use poterne_origin::AnyCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        Resumption, VerifierBuilderError, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{Certificate, Identity};
use crate::OriginError;

/// Sessions of a zone's origins that are remembered, for each of the two ways of looking at certificates.
const SESSIONS_MAX: usize = 256;

/// Whether a certificate of this serial number is good no more.
pub type Revoked = dyn Fn(&[u8]) -> bool + Send + Sync;

/// TLS could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// rustls refused the parts.
    #[error("cannot prepare TLS towards origins: {0}")]
    Tls(#[from] rustls::Error),
    /// webpki refused the roots.
    #[error("cannot prepare the verification of origins' certificates: {0}")]
    Verifier(#[from] VerifierBuilderError),
}

/// What all zones have in common.
pub(super) struct Clients {
    any: ClientConfig,
    /// None: nobody is known who could vouch for a certificate, and none is accepted.
    verified: Option<(ClientConfig, Arc<WebPkiServerVerifier>)>,
    revoked: Option<Arc<Revoked>>,
}

impl Clients {
    /// `roots`: who vouches for origins' certificates.
    pub(super) fn new(roots: RootCertStore) -> Result<Self, SetupError> {
        let provider: Arc<CryptoProvider> = Arc::new(aws_lc_rs::default_provider());
        let client = |verifier: Arc<dyn ServerCertVerifier>| {
            let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
            let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            Ok::<_, SetupError>(config)
        };
        let mut verified = None;
        if !roots.is_empty() {
            let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()?;
            verified = Some((client(Arc::<WebPkiServerVerifier>::clone(&authorities))?, authorities));
        }
        Ok(Self { any: client(Arc::new(AnyCertificate(Arc::clone(&provider))))?, verified, revoked: None })
    }
}

impl Clients {
    /// The same, asking this of each certificate that was verified.
    pub(super) fn revoking(self, revoked: Arc<Revoked>) -> Self {
        Self { revoked: Some(revoked), ..self }
    }

    /// Whether a certificate of this serial number, which was verified once, is believed still; none: nothing was asked of it.
    pub(super) fn believes(&self, serial: Option<&Serial>) -> bool {
        match (&self.revoked, serial) {
            (Some(revoked), Some(serial)) => !revoked(&serial[..]),
            _ => true,
        }
    }
}

/// A zone's clients: a session that one zone began is never taken up by another, nor one of unverified certificates by a verified one, nor one
/// that was begun as somebody else.
#[derive(Debug, Default)]
pub(super) struct ZoneTls(Mutex<Vec<ZoneClient>>);

/// As what it goes, and for whom.
type ZoneClient = (Certificate, Option<Identity>, Arc<ClientConfig>);

/// A zone's clients of now, of before its certificate was renewed, and of those hosts with a certificate of their own that are visited most.
const CLIENTS_MAX: usize = 16;

impl ZoneTls {
    fn client(&self, named: &Named, shared: &ClientConfig) -> Arc<ClientConfig> {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found =
            clients.iter().find(|(certificate, identity, _)| *certificate == named.certificate && *identity == named.identity);
        if let Some((.., client)) = found {
            return Arc::clone(client);
        }
        let mut client = shared.clone();
        client.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
        if let Some(identity) = &named.identity {
            client.client_auth_cert_resolver = identity.resolver();
        }
        let client = Arc::new(client);
        if clients.len() >= CLIENTS_MAX {
            clients.remove(0);
        }
        clients.push((named.certificate, named.identity.clone(), Arc::clone(&client)));
        client
    }
}

/// Whom a certificate may be for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Named {
    /// The visitor's host: what is asked for (SNI).
    pub(super) host: Arc<str>,
    /// The name that the record leads to, which will do as well.
    pub(super) target: Option<Arc<str>>,
    /// What is asked of it.
    pub(super) certificate: Certificate,
    /// Whether HTTP/2 is offered.
    pub(super) http2: bool,
    /// Who the edge says it is, where the zone wants that.
    pub(super) identity: Option<Identity>,
}

/// A certificate's serial number, as it stands there.
pub(super) type Serial = Box<[u8]>;

/// A TLS connection.
pub(super) struct Secured {
    pub(super) stream: TlsStream<TcpStream>,
    /// Of the certificate, where it was verified: it may be revoked while the connection lives.
    pub(super) serial: Option<Serial>,
}

/// Makes a connection a TLS connection.
///
/// # Errors
/// The handshake fails, or the certificate is not accepted.
pub(super) async fn handshake(clients: &Clients, zone: &ZoneTls, named: &Named, stream: TcpStream) -> Result<Secured, Refused> {
    let mut config = match named.certificate {
        Certificate::Any => zone.client(named, &clients.any),
        Certificate::Verified => {
            let none = || Refused::Certificate("this node knows no certificate authority; install ca-certificates".to_owned());
            let (config, authorities) = clients.verified.as_ref().ok_or_else(none)?;
            let config = zone.client(named, config);
            match named.target.as_deref().and_then(|target| ServerName::try_from(target.to_owned()).ok()) {
                None => config,
                // Sessions are taken up with the same verifier alone: these never are.
                Some(target) => {
                    let mut config = ClientConfig::clone(&config);
                    let either = EitherName { authorities: Arc::clone(authorities), target };
                    config.dangerous().set_certificate_verifier(Arc::new(either));
                    Arc::new(config)
                }
            }
        }
    };
    if !named.http2 {
        // Where a WebSocket is to be, or the zone wants no HTTP/2. Sessions are the same.
        Arc::make_mut(&mut config).alpn_protocols = vec![b"http/1.1".to_vec()];
    }
    let name = ServerName::try_from(named.host.to_string())
        .map_err(|_| Refused::Handshake(format!("{:?} cannot be a TLS server name", named.host)))?;
    let connected = TlsConnector::from(config).connect(name, stream).await;
    let stream = connected.map_err(|error| Refused::of(&error, named.certificate))?;
    // Asked here, and not where it is verified: a session that is taken up again is not verified anew.
    let leaf =
        stream.get_ref().1.peer_certificates().and_then(<[_]>::first).filter(|_| named.certificate == Certificate::Verified);
    // It was read by a verifier before.
    let parsed = leaf.and_then(|leaf| x509_parser::parse_x509_certificate(leaf).ok());
    let serial: Option<Serial> = parsed.map(|(_, parsed)| parsed.tbs_certificate.raw_serial().into());
    if !clients.believes(serial.as_ref()) {
        return Err(Refused::Certificate("it was revoked".to_owned()));
    }
    Ok(Secured { stream, serial })
}

/// Why there is no TLS.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Handshake(String),
    Certificate(String),
}

impl Refused {
    fn of(error: &io::Error, asked: Certificate) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(why)) if asked == Certificate::Verified => Self::Certificate(why.to_string()),
            Some(error) => Self::Handshake(error.to_string()),
            None if error.kind() == io::ErrorKind::UnexpectedEof => Self::Handshake("it closed the connection".to_owned()),
            None => Self::Handshake(error.to_string()),
        }
    }

    /// As it is told, of an origin.
    pub(super) fn at(self, origin: impl ToString) -> OriginError {
        match self {
            Self::Handshake(why) => OriginError::Handshake(origin.to_string(), why),
            Self::Certificate(why) => OriginError::Certificate(origin.to_string(), why),
        }
    }
}

/// Accepts a certificate for the host asked for, or for the name that its record leads to (edge-behaviour §2.7).
#[derive(Debug)]
struct EitherName {
    authorities: Arc<WebPkiServerVerifier>,
    target: ServerName<'static>,
}

impl ServerCertVerifier for EitherName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use CertificateError::{NotValidForName, NotValidForNameContext};
        match self.authorities.verify_server_cert(certificate, chain, host, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) => {
                self.authorities.verify_server_cert(certificate, chain, &self.target, ocsp, now)
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}
