//! The certificate that an authority is shown in a handshake for `acme-tls/1` (RFC 8737 §3).

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::{crypto::CryptoProvider, sign::CertifiedKey};
use rustls_pki_types::PrivatePkcs8KeyDer;

/// What ALPN calls it.
pub(crate) const PROTOCOL: &[u8] = b"acme-tls/1";

/// Made for one handshake, with a key of its own: it vouches for nothing, and nobody but the authority asks for it.
pub(crate) fn certificate(name: &str, digest: &[u8; 32], provider: &CryptoProvider) -> Result<CertifiedKey, String> {
    let wrong = |error: rcgen::Error| error.to_string();
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(wrong)?;
    let mut params = CertificateParams::new([name.to_owned()]).map_err(wrong)?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key).map_err(wrong)?;
    let secret = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let key = provider.key_provider.load_private_key(secret).map_err(|error| error.to_string())?;
    // Not by `from_der`, which reads the certificate as a verifier does, and is to know no such critical extension.
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}
