//! Visitors' certificates (edge-behaviour §7.9): hosts whose zone says so ask for one in the handshake, which goes on without, and with one
//! that nobody vouches for. What was shown is judged afterwards, by the authorities that the host names; what follows from that the zone's
//! rules decide.
//!
//! A session that is taken up again brings along what was shown when it was begun, and that is judged anew.

use std::{fmt, sync::Arc};

use poterne_model::{CertificateId, ClientAuth, ShownCertificate};
use poterne_snapshot::VisitorAuthority;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme,
    crypto::CryptoProvider,
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::shown;

/// Longest list of authorities' names that is sent in a handshake, in bytes. Where it would be longer none is sent, which means that any
/// certificate is welcome (RFC 8446 §4.2.4).
const HINTS_BYTES_MAX: usize = 8 * 1024;

/// What is asked of visitors of a host, ready to be used.
pub(crate) struct Asked {
    /// How they are answered.
    pub(crate) config: Arc<ServerConfig>,
    judges: Arc<Judges>,
}

/// Those who vouch.
pub(crate) struct Judges {
    ids: Box<[CertificateId]>,
    /// None of them: its certificates are not understood, and it vouches for nobody.
    verifiers: Vec<(CertificateId, Arc<dyn ClientCertVerifier>)>,
}

impl Judges {
    /// These authorities, whose ids rise.
    pub(crate) fn new(authorities: &[&VisitorAuthority], provider: &Arc<CryptoProvider>) -> Arc<Self> {
        let verifier = |authority: &&VisitorAuthority| {
            let mut roots = RootCertStore::empty();
            for certificate in &authority.certificates {
                if let Err(error) = roots.add(CertificateDer::from(certificate.as_ref())) {
                    tracing::warn!(id = %authority.id, %error, "a certificate of an authority for visitors is not understood");
                }
            }
            let built = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
            Some((authority.id, built.ok()?))
        };
        let ids = authorities.iter().map(|authority| authority.id).collect();
        Arc::new(Self { ids, verifiers: authorities.iter().filter_map(verifier).collect() })
    }

    /// What was shown, leaf first, and who vouches for it now.
    fn judge(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Option<ShownCertificate> {
        let (leaf, others) = chain.split_first()?;
        let mut shown = shown::read(leaf);
        if !shown.der.is_empty() {
            let vouches =
                |(_, verifier): &&(_, Arc<dyn ClientCertVerifier>)| verifier.verify_client_cert(leaf, others, now).is_ok();
            shown.verified_by = self.verifiers.iter().find(vouches).map(|(id, _)| *id);
        }
        Some(shown)
    }
}

impl Asked {
    pub(crate) fn new(judges: Arc<Judges>, config: ServerConfig) -> Self {
        Self { config: Arc::new(config), judges }
    }

    /// What came of it, of the chain that the session has.
    pub(crate) fn answered(&self, chain: Option<&[CertificateDer<'_>]>, now: UnixTime) -> ClientAuth {
        let shown = chain.and_then(|chain| self.judges.judge(chain, now)).map(Box::new);
        ClientAuth { asked: self.judges.ids.clone(), shown }
    }
}

/// Asks, and takes whatever is shown: only that the visitor has its key is looked at here.
pub(crate) struct Asking {
    hints: Vec<DistinguishedName>,
    provider: Arc<CryptoProvider>,
}

impl Asking {
    pub(crate) fn new(judges: &Judges, provider: Arc<CryptoProvider>) -> Arc<Self> {
        let hints: Vec<DistinguishedName> =
            judges.verifiers.iter().flat_map(|(_, verifier)| verifier.root_hint_subjects().to_vec()).collect();
        let bytes: usize = hints.iter().map(|name| name.as_ref().len() + 2).sum();
        Arc::new(Self { hints: if bytes <= HINTS_BYTES_MAX { hints } else { Vec::new() }, provider })
    }
}

impl ClientCertVerifier for Asking {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl fmt::Debug for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asking").field("hints", &self.hints.len()).finish_non_exhaustive()
    }
}
