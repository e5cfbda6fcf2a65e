//! Keys of certificates that somebody else issues: made here, or brought.

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject as _};

use crate::Secret;

/// Longest key in PEM form that is read, in bytes: RSA of 8192 bits takes less.
const PEM_BYTES_MAX: usize = 16 * 1024;

/// A certificate's key.
pub struct CertificateKey(KeyPair);

/// Why a key cannot be used. Never shows any of it.
#[derive(Debug, thiserror::Error)]
pub enum CertificateKeyError {
    /// It is none.
    #[error("it is no private key in PEM form that is not encrypted (PKCS#8, or an RSA or EC key)")]
    Pem,
    /// Of a kind that is not used.
    #[error("it is neither RSA of 2048 bits or more nor ECDSA over P-256 or P-384")]
    Kind,
    /// The machinery refused.
    #[error("a key or request could not be made: {0}")]
    Made(rcgen::Error),
}

impl CertificateKey {
    /// A new one: ECDSA over P-256.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn generate() -> Result<Self, CertificateKeyError> {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map(Self).map_err(CertificateKeyError::Made)
    }

    /// Reads one that somebody brought.
    ///
    /// # Errors
    /// It is none, or of a kind that is not used.
    pub fn parse(pem: &str) -> Result<Self, CertificateKeyError> {
        if pem.len() > PEM_BYTES_MAX {
            return Err(CertificateKeyError::Pem);
        }
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| CertificateKeyError::Pem)?;
        KeyPair::try_from(&der).map(Self).map_err(|_| CertificateKeyError::Kind)
    }

    /// PKCS#8, DER.
    pub fn secret(&self) -> Secret {
        Secret::new(self.0.serialize_der())
    }

    /// Its public part (SubjectPublicKeyInfo, DER).
    pub fn public_key(&self) -> Vec<u8> {
        self.0.subject_public_key_info()
    }

    /// A request for a certificate for these names (PKCS#10, DER), and for nothing else: authorities take the names from there alone.
    ///
    /// # Errors
    /// A name is none.
    pub fn request(&self, names: &[String]) -> Result<Vec<u8>, CertificateKeyError> {
        let mut params = CertificateParams::new(names).map_err(CertificateKeyError::Made)?;
        params.distinguished_name = DistinguishedName::new();
        Ok(params.serialize_request(&self.0).map_err(CertificateKeyError::Made)?.der().to_vec())
    }
}

impl std::fmt::Debug for CertificateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CertificateKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_same_when_it_is_read_again() {
        let key = CertificateKey::generate().unwrap();
        let pem = KeyPair::try_from(key.secret().expose()).unwrap().serialize_pem();
        assert_eq!(CertificateKey::parse(&pem).unwrap().public_key(), key.public_key());
        assert_ne!(CertificateKey::generate().unwrap().public_key(), key.public_key());
        assert_eq!(format!("{key:?}"), "CertificateKey(…)");
    }

    #[test]
    fn what_is_no_key_is_not_shown() {
        for wrong in
            ["", "text", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", &"x".repeat(PEM_BYTES_MAX + 1)]
        {
            let error = CertificateKey::parse(wrong).unwrap_err().to_string();
            assert!(!error.contains("AAAA"), "{error}");
        }
    }

    #[test]
    fn a_request_is_for_its_names_alone() {
        let key = CertificateKey::generate().unwrap();
        let der = key.request(&["*.example.com".into(), "example.com".into()]).unwrap();
        use x509_parser::prelude::FromDer as _;
        let (_, request) = x509_parser::certification_request::X509CertificationRequest::from_der(&der).unwrap();
        assert_eq!(request.certification_request_info.subject.iter().count(), 0);
        assert_eq!(request.certification_request_info.subject_pki.raw, key.public_key());
        let named = request.requested_extensions().unwrap().any(|extension| format!("{extension:?}").contains("*.example.com"));
        assert!(named);
    }
}
