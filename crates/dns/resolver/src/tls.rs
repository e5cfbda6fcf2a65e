//! Zones that come over TLS (XoT, RFC 9103): TLS 1.3 alone (§7.2), ALPN `dot` offered, and a certificate that is for the name that was given
//! (strict, §9.3.2), is one that was given, or is not looked at (opportunistic, §9.3.1). A server that does not speak it is not asked in clear.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, LazyLock},
};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// What is offered (RFC 7858, RFC 9103 §7.1).
const ALPN: &[u8] = b"dot";

/// Whom this machine believes, read when it is first asked for.
static MACHINE: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Arc::new(roots)
});

/// Why there can be no TLS with a server.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The name is none that a certificate could be for.
    #[error("{0:?} cannot be a TLS server name")]
    Name(String),
    /// What was given as certificates is none.
    #[error("the certificates it is known by cannot be read")]
    Certificates,
    /// There is nobody to vouch for it.
    #[error("this machine knows no certificate authority: install ca-certificates, or give the peer a `ca`")]
    Nobody,
    /// rustls refuses the parts.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

/// How one server is spoken to over TLS. Clones share the sessions that are taken up again.
#[derive(Debug, Clone)]
pub struct PeerTls {
    config: Arc<ClientConfig>,
    /// The name that is asked for; none: the server's address.
    name: Option<ServerName<'static>>,
}

impl PeerTls {
    /// Whose certificate is for `name`, or is vouched for by, or is, one of `ca` (PEM). With neither any certificate will do; with a name
    /// alone, the authorities of this machine vouch for it.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn new(name: Option<&str>, ca: Option<&str>, verify: bool) -> Result<Self, TlsError> {
        let parsed = |name: &str| ServerName::try_from(name.to_owned()).map_err(|_| TlsError::Name(name.to_owned()));
        let name = name.map(parsed).transpose()?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let certificate = match (verify, ca) {
            (false, _) => Certificate::Any,
            (true, None) if name.is_none() => return Err(TlsError::Nobody),
            (true, None) => Certificate::of(Vec::new(), Arc::clone(&MACHINE), true, &provider)?,
            (true, Some(pem)) => {
                let given: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
                let given = given.ok().filter(|given| !given.is_empty()).ok_or(TlsError::Certificates)?;
                let mut roots = RootCertStore::empty();
                // A certificate that no authority could have need be none.
                roots.add_parsable_certificates(given.iter().cloned());
                Certificate::of(given, Arc::new(roots), name.is_some(), &provider)?
            }
        };
        let verifier = Arc::new(Verifier { certificate, provider: Arc::clone(&provider) });
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13])?;
        let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self { config: Arc::new(config), name })
    }

    /// Speaks TLS over a connection to that server.
    pub(crate) async fn over(&self, stream: TcpStream, server: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        let name = self.name.clone().unwrap_or_else(|| ServerName::IpAddress(server.ip().into()));
        let connected = TlsConnector::from(Arc::clone(&self.config)).connect(name, stream).await;
        connected.map_err(|error| io::Error::new(error.kind(), format!("TLS with it fails: {error}")))
    }
}

/// What is asked of a certificate.
#[derive(Debug)]
enum Certificate {
    /// Nothing.
    Any,
    /// That it is one of these, or that somebody vouches for it and the name.
    One { of: Vec<CertificateDer<'static>>, vouched: Option<Arc<WebPkiServerVerifier>> },
}

impl Certificate {
    /// Without a name nobody can vouch for it.
    fn of(
        of: Vec<CertificateDer<'static>>,
        roots: Arc<RootCertStore>,
        is_named: bool,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        if roots.is_empty() && of.is_empty() {
            return Err(TlsError::Nobody);
        }
        let vouched = (is_named && !roots.is_empty()).then(|| {
            let built = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider)).build();
            built.map_err(|error| rustls::Error::General(error.to_string()))
        });
        Ok(Self::One { of, vouched: vouched.transpose()? })
    }
}

#[derive(Debug)]
struct Verifier {
    certificate: Certificate,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.certificate {
            Certificate::Any => Ok(ServerCertVerified::assertion()),
            // Whoever gave it meant this one, however it was made and whatever name it is for.
            Certificate::One { of, .. } if of.iter().any(|one| one == certificate) => Ok(ServerCertVerified::assertion()),
            Certificate::One { vouched: Some(vouched), .. } => vouched.verify_server_cert(certificate, chain, name, ocsp, now),
            Certificate::One { vouched: None, .. } => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("zones come over TLS 1.3 alone".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
