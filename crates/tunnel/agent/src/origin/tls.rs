//! TLS towards local services.

use std::sync::Arc;

use poterne_origin::AnyCertificate;
use rustls::ClientConfig;

use crate::trust::{self, TrustError};

/// A client for one rule: `caPool` adds authorities to this machine's, `noTLSVerify` takes any certificate.
pub(crate) fn client_config(ca_pool: &str, verify: bool, http2: bool) -> Result<Arc<ClientConfig>, TrustError> {
    let provider = trust::provider(false);
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let mut config = if verify {
        let mut roots = trust::system_roots();
        if !ca_pool.is_empty() {
            let pem = std::fs::read(ca_pool)
                .map_err(|error| TrustError::Unreadable { path: ca_pool.into(), reason: error.to_string() })?;
            let extra = trust::roots_from_pem(&pem, ca_pool)?;
            // A machine without any authority of its own still trusts the one it is given.
            match &mut roots {
                Ok(roots) => roots.roots.extend(extra.roots),
                Err(_) => roots = Ok(extra),
            }
        }
        builder.with_root_certificates(roots?).with_no_client_auth()
    } else {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider))).with_no_client_auth()
    };
    config.alpn_protocols = if http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
    Ok(Arc::new(config))
}
