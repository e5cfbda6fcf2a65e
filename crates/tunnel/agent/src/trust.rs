//! How the agent knows its edge: a pinned authority, a file of authorities, or the web's.
//!
//! A tunnel token of Poterne carries the SHA-256 of the tunnel CA's SubjectPublicKeyInfo. The edge sends that CA in its chain;
//! [`PinnedAuthority`] looks for it there, takes it as the *only* root, and then verifies the leaf as rustls always does: the
//! pin replaces the list of roots, never the verification. Names are the stock agent's: `quic.cftunnel.com` and
//! `h2.cftunnel.com`, whatever address was dialled.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// Whom the agent accepts as its edge.
#[derive(Debug, Clone)]
pub enum Trust {
    /// Authorities whose SubjectPublicKeyInfo has one of these SHA-256 digests. Two during a rotation; never empty.
    Pins(Vec<[u8; 32]>),
    /// Only the authorities of this PEM file (`--cacert`). Read again at each start, not at each connection.
    CaFile(PathBuf),
    /// Only the authorities of this PEM text.
    CaPem(String),
    /// The authorities this machine trusts for the web.
    WebPki,
    /// These, and those of this PEM text.
    WebPkiAnd(String),
}

/// Trust that could not be built; always the operator's to repair.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file could not be read.
    #[error("cannot read the CA file {path}: {reason}; check the path given by --cacert or TUNNEL_CACERT", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system or the parser said.
        reason: String,
    },
    /// Readable, but it holds no certificate.
    #[error("{origin} holds no PEM certificate; it must have at least one BEGIN CERTIFICATE block")]
    Empty {
        /// File or text.
        origin: String,
    },
    /// No system authority could be loaded.
    #[error("this machine has no trusted certificate authority ({0}); install ca-certificates or give --cacert")]
    NoSystemRoots(String),
    /// rustls refused the parts.
    #[error("cannot prepare TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// webpki refused the roots.
    #[error("cannot prepare certificate verification: {0}")]
    Verifier(#[from] rustls::client::VerifierBuilderError),
}

/// The cryptography used everywhere in the agent. Post-quantum only: X25519MLKEM768 and nothing else is offered.
pub(crate) fn provider(post_quantum_only: bool) -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    if post_quantum_only {
        provider.kx_groups = vec![aws_lc_rs::kx_group::X25519MLKEM768];
    }
    Arc::new(provider)
}

impl Trust {
    /// A TLS client that trusts this and nothing else.
    ///
    /// `tls13_only` is for QUIC (RFC 9001 §4.2); over TCP, 1.2 stays possible as with the stock agent.
    pub fn client_config(&self, post_quantum_only: bool, tls13_only: bool) -> Result<ClientConfig, TrustError> {
        let provider = provider(post_quantum_only);
        let verifier: Arc<dyn ServerCertVerifier> = match self {
            Self::Pins(pins) => Arc::new(PinnedAuthority { pins: pins.clone(), provider: provider.clone() }),
            Self::CaFile(path) => {
                let pem = std::fs::read(path)
                    .map_err(|error| TrustError::Unreadable { path: path.clone(), reason: error.to_string() })?;
                verifier(roots_from_pem(&pem, &path.display().to_string())?, &provider)?
            }
            Self::CaPem(pem) => verifier(roots_from_pem(pem.as_bytes(), "the given CA text")?, &provider)?,
            Self::WebPki => verifier(system_roots()?, &provider)?,
            Self::WebPkiAnd(pem) => {
                let mut roots = roots_from_pem(pem.as_bytes(), "the given CA text")?;
                // A machine without any trusts those of the text alone.
                roots.extend(system_roots().map_or_else(|_| Vec::new(), |system| system.roots));
                verifier(roots, &provider)?
            }
        };
        let versions: &[_] = if tls13_only { &[&rustls::version::TLS13] } else { rustls::ALL_VERSIONS };
        Ok(ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth())
    }
}

/// The authorities of this machine.
pub(crate) fn system_roots() -> Result<RootCertStore, TrustError> {
    let loaded = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(loaded.certs);
    if roots.is_empty() {
        let reason = loaded.errors.first().map_or_else(|| "none found".to_owned(), ToString::to_string);
        return Err(TrustError::NoSystemRoots(reason));
    }
    Ok(roots)
}

/// Authorities from PEM text; other blocks are skipped.
pub(crate) fn roots_from_pem(pem: &[u8], origin: &str) -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate =
            certificate.map_err(|error| TrustError::Unreadable { path: PathBuf::from(origin), reason: error.to_string() })?;
        roots.add(certificate)?;
    }
    if roots.is_empty() { Err(TrustError::Empty { origin: origin.to_owned() }) } else { Ok(roots) }
}

fn verifier(roots: RootCertStore, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, TrustError> {
    Ok(WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build()?)
}

/// Verifies the leaf against the one certificate of the chain whose key is pinned.
#[derive(Debug)]
struct PinnedAuthority {
    pins: Vec<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

impl PinnedAuthority {
    /// Compared in constant time; the digests are not secret, the habit is cheap.
    fn is_pinned(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else { return false };
        let digest: [u8; 32] = Sha256::digest(parsed.tbs_certificate.subject_pki.raw).into();
        let none = Choice::from(0);
        self.pins.iter().fold(none, |found, pin| found | pin.as_slice().ct_eq(digest.as_slice())).into()
    }
}

impl ServerCertVerifier for PinnedAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // The leaf itself is never taken as root: a pin names an authority.
        let authority = intermediates.iter().find(|certificate| self.is_pinned(certificate)).ok_or_else(|| {
            rustls::Error::General(
                "the edge did not present the authority pinned in the tunnel token; \
                 either this is not your edge or its CA was replaced: fetch the token again"
                    .to_owned(),
            )
        })?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    use super::*;

    struct Authority {
        issuer: Issuer<'static, KeyPair>,
        certificate: CertificateDer<'static>,
        pin: [u8; 32],
    }

    fn authority() -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().der().clone();
        let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).unwrap();
        let pin = Sha256::digest(parsed.tbs_certificate.subject_pki.raw).into();
        Authority { issuer: Issuer::new(params, key), certificate, pin }
    }

    fn leaf(authority: &Authority, name: &str) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &authority.issuer).unwrap().der().clone()
    }

    fn verify(pin: [u8; 32], chain: &[CertificateDer<'static>], name: &str) -> Result<(), rustls::Error> {
        let verifier = PinnedAuthority { pins: vec![[0; 32], pin], provider: provider(false) };
        let name = ServerName::try_from(name.to_owned()).unwrap();
        verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], UnixTime::now()).map(drop)
    }

    #[test]
    fn the_pinned_authority_vouches_for_its_leaf_alone() {
        let (ours, theirs) = (authority(), authority());
        let good = leaf(&ours, "quic.cftunnel.com");
        assert_eq!(verify(ours.pin, &[good.clone(), ours.certificate.clone()], "quic.cftunnel.com"), Ok(()));
        // A leaf of another authority, with the pinned one merely shown beside it.
        let forged = leaf(&theirs, "quic.cftunnel.com");
        assert!(verify(ours.pin, &[forged.clone(), ours.certificate.clone()], "quic.cftunnel.com").is_err());
        assert!(verify(ours.pin, &[forged, theirs.certificate.clone()], "quic.cftunnel.com").is_err());
        // The right authority, the wrong name; the authority left out of the chain.
        assert!(verify(ours.pin, &[good.clone(), ours.certificate.clone()], "h2.cftunnel.com").is_err());
        assert!(verify(ours.pin, &[good], "quic.cftunnel.com").is_err());
    }

    #[test]
    fn a_ca_file_without_certificates_says_so() {
        let error = Trust::CaPem("nothing here".into()).client_config(false, true).unwrap_err();
        assert!(error.to_string().contains("holds no PEM certificate"), "{error}");
        let error = Trust::CaFile("/nowhere/ca.pem".into()).client_config(false, true).unwrap_err();
        assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
    }
}
