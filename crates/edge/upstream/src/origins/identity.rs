//! Who the edge says it is, to origins that ask (edge-behaviour §7.9): by a host's own certificate or its zone's, and never another's.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use poterne_model::ZoneId;
use rustls::{
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer},
    sign::{CertifiedKey, SingleCertAndKey},
};

/// What is shown to origins.
#[derive(Debug, Clone)]
pub struct Identity(Arc<CertifiedKey>);

impl Identity {
    /// A chain, leaf first, and the leaf's key.
    ///
    /// # Errors
    /// They do not belong together, or the key is of a kind that is not used; in words.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, String> {
        let key = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|error| error.to_string())?;
        Ok(Self(Arc::new(key)))
    }

    pub(super) fn resolver(&self) -> Arc<SingleCertAndKey> {
        Arc::new(SingleCertAndKey::from(Arc::clone(&self.0)))
    }

    fn leaf(&self) -> &[u8] {
        self.0.cert.first().map_or(&[], AsRef::as_ref)
    }
}

/// Two are the same where their certificates are: a connection that was made by one is good for the other.
impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.leaf() == other.leaf()
    }
}

impl Eq for Identity {}

impl Hash for Identity {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Its last octets are a signature's: no two are alike.
        let leaf = self.leaf();
        leaf[leaf.len().saturating_sub(16)..].hash(state);
    }
}

/// Whose certificate is shown.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Shown {
    /// The zone's.
    OfZone,
    /// A host's of the zone.
    OfHost(Arc<str>),
}

/// Whoever has the certificates. Handed in by the program.
pub trait Identities: Send + Sync + 'static {
    /// What origins are shown.
    ///
    /// # Errors
    /// There is nothing that could be shown, in words.
    fn of(&self, zone: ZoneId, shown: &Shown) -> Result<Identity, String>;
}
