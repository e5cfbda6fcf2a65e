//! Envelope encryption: sealed bytes say which key sealed them, and open only as what they were sealed as.
//!
//! ```text
//! sealed = version (1 byte) ‖ key id (8) ‖ nonce (12) ‖ ChaCha20-Poly1305 ciphertext and tag (RFC 8439)
//! associated data = the first nine bytes ‖ purpose ‖ 0 ‖ id of the thing
//! ```
//!
//! The purpose and the id in the associated data keep whoever can write to the store from moving one tunnel's secret to
//! another, or a certificate's key to where a secret belongs. Nonces are random: at 2³² seals under one key the chance of a
//! repetition is 2⁻³³; a data key is replaced long before.

use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit,
    aead::{Aead, Payload},
};
use zeroize::Zeroizing;

use crate::{Secret, random_bytes, sha256};

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 1 + 8;
const NONCE_BYTES: usize = 12;

/// Names a key without telling anything of it.
pub type KeyId = [u8; 8];

/// What sealed bytes are; part of what is authenticated. Each kind is born here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A data key under the node key.
    DataKey,
    /// A tunnel's secret.
    TunnelSecret,
    /// A certificate's private key.
    CertificateKey,
    /// A local CA's private key.
    CaKey,
    /// The seed of an authenticator application.
    TotpSeed,
    /// What a notice tells, while it waits to be sent.
    Notice,
    /// What a webhook's receiver knows a notice's sender by.
    WebhookSecret,
    /// A key that signs a zone.
    ZoneKey,
    /// What name servers make cookies with.
    CookieSecret,
    /// A secret that is shared with another name server.
    TsigKey,
    /// An account with a certificate authority.
    AcmeAccount,
    /// A key of session tickets.
    TicketKey,
    /// A visitor's TLS session, in a ticket that the visitor keeps.
    SessionTicket,
}

/// Why sealed bytes did not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Too short, or of another version.
    #[error("sealed bytes are damaged or of a later version of Poterne")]
    Format,
    /// Sealed by a key that is not here.
    #[error("sealed under key {}, which this node does not have: restore the node key that belongs to this state", hex(.0))]
    UnknownKey(KeyId),
    /// Not authentic, or not what it is taken for.
    #[error("sealed bytes were changed, or are not the {0:?} they are taken for")]
    Forged(Purpose),
}

/// A key that seals. Used as data key; [`crate::NodeKey`] holds one too.
#[derive(Clone)]
pub struct DataKey {
    id: KeyId,
    bytes: Zeroizing<[u8; 32]>,
}

/// The data keys of a store: new things are sealed with the last, all of them open.
#[derive(Clone)]
pub struct KeyRing {
    keys: Vec<DataKey>,
}

impl Purpose {
    const fn label(self) -> &'static str {
        match self {
            Self::DataKey => "data-key",
            Self::TunnelSecret => "tunnel-secret",
            Self::CertificateKey => "certificate-key",
            Self::CaKey => "ca-key",
            Self::TotpSeed => "totp-seed",
            Self::Notice => "notice",
            Self::WebhookSecret => "webhook-secret",
            Self::ZoneKey => "zone-key",
            Self::CookieSecret => "cookie-secret",
            Self::TsigKey => "tsig-key",
            Self::AcmeAccount => "acme-account",
            Self::TicketKey => "ticket-key",
            Self::SessionTicket => "session-ticket",
        }
    }
}

impl DataKey {
    /// A new random one.
    pub fn generate() -> Self {
        Self::from_bytes(random_bytes())
    }

    /// The key of these octets, which are random.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        let digest = sha256(&[b"poterne key id".as_slice(), &bytes].concat());
        let id = *digest.first_chunk().expect("32 bytes have a first eight");
        Self { id, bytes: Zeroizing::new(bytes) }
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// The key's name, as written before what it seals.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Seals `plain` as the `purpose` of the thing called `subject`.
    pub fn seal(&self, purpose: Purpose, subject: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::with_capacity(HEADER_BYTES + NONCE_BYTES + plain.len() + 16);
        sealed.push(VERSION);
        sealed.extend_from_slice(&self.id);
        let nonce: [u8; NONCE_BYTES] = random_bytes();
        let aad = associated_data(&sealed, purpose, subject);
        let cipher = ChaCha20Poly1305::new((&*self.bytes).into());
        let body = cipher.encrypt((&nonce).into(), Payload { msg: plain, aad: &aad });
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&body.expect("secrets are far shorter than the cipher's 256 GiB"));
        sealed
    }

    /// Opens what [`DataKey::seal`] made with the same purpose and subject.
    pub fn open(&self, purpose: Purpose, subject: &[u8], sealed: &[u8]) -> Result<Secret, EnvelopeError> {
        let id = key_id(sealed)?;
        if id != self.id {
            return Err(EnvelopeError::UnknownKey(id));
        }
        let (header, rest) = sealed.split_at(HEADER_BYTES);
        let (nonce, body) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(EnvelopeError::Format)?;
        let aad = associated_data(header, purpose, subject);
        let cipher = ChaCha20Poly1305::new((&*self.bytes).into());
        let plain = cipher.decrypt(nonce.into(), Payload { msg: body, aad: &aad });
        plain.map(Secret::new).map_err(|_| EnvelopeError::Forged(purpose))
    }
}

impl KeyRing {
    /// The keys, oldest first; none if there is no key to seal with.
    pub fn new(keys: Vec<DataKey>) -> Option<Self> {
        (!keys.is_empty()).then_some(Self { keys })
    }

    /// Seals with the newest key.
    pub fn seal(&self, purpose: Purpose, subject: &[u8], plain: &[u8]) -> Vec<u8> {
        self.keys.last().expect("a ring has a key").seal(purpose, subject, plain)
    }

    /// Opens with whichever key sealed.
    pub fn open(&self, purpose: Purpose, subject: &[u8], sealed: &[u8]) -> Result<Secret, EnvelopeError> {
        let id = key_id(sealed)?;
        let key = self.keys.iter().find(|key| key.id == id).ok_or(EnvelopeError::UnknownKey(id))?;
        key.open(purpose, subject, sealed)
    }

    /// The same thing under the newest key; none when it already is. For rotation, at leisure.
    pub fn reseal(&self, purpose: Purpose, subject: &[u8], sealed: &[u8]) -> Result<Option<Vec<u8>>, EnvelopeError> {
        if key_id(sealed)? == self.keys.last().expect("a ring has a key").id {
            return Ok(None);
        }
        let plain = self.open(purpose, subject, sealed)?;
        Ok(Some(self.seal(purpose, subject, plain.expose())))
    }
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DataKey({})", hex(&self.id))
    }
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.keys).finish()
    }
}

fn key_id(sealed: &[u8]) -> Result<KeyId, EnvelopeError> {
    match sealed.split_first() {
        Some((&VERSION, rest)) => rest.first_chunk().copied().ok_or(EnvelopeError::Format),
        _ => Err(EnvelopeError::Format),
    }
}

fn associated_data(header: &[u8], purpose: Purpose, subject: &[u8]) -> Vec<u8> {
    [header, purpose.label().as_bytes(), &[0], subject].concat()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_sealed_as_one_thing_opens_as_nothing_else() {
        let key = DataKey::generate();
        let sealed = key.seal(Purpose::TunnelSecret, b"tunnel 1", b"hush");
        assert_eq!(key.open(Purpose::TunnelSecret, b"tunnel 1", &sealed).unwrap().expose(), b"hush");
        assert!(matches!(key.open(Purpose::TunnelSecret, b"tunnel 2", &sealed), Err(EnvelopeError::Forged(_))));
        assert!(matches!(key.open(Purpose::CaKey, b"tunnel 1", &sealed), Err(EnvelopeError::Forged(_))));
        assert!(!sealed.windows(4).any(|window| window == b"hush"));
        assert_ne!(sealed, key.seal(Purpose::TunnelSecret, b"tunnel 1", b"hush"), "each seal has its own nonce");
    }

    #[test]
    fn a_ring_opens_the_old_and_reseals_it_under_the_new() {
        let (old, new) = (DataKey::generate(), DataKey::generate());
        let sealed = old.seal(Purpose::TunnelSecret, b"t", b"hush");
        let ring = KeyRing::new(vec![old, new.clone()]).unwrap();
        let resealed = ring.reseal(Purpose::TunnelSecret, b"t", &sealed).unwrap().unwrap();
        assert_eq!(new.open(Purpose::TunnelSecret, b"t", &resealed).unwrap().expose(), b"hush");
        assert_eq!(ring.reseal(Purpose::TunnelSecret, b"t", &resealed).unwrap(), None);
        let alone = KeyRing::new(vec![new]).unwrap();
        assert!(matches!(alone.open(Purpose::TunnelSecret, b"t", &sealed), Err(EnvelopeError::UnknownKey(_))));
        assert!(KeyRing::new(Vec::new()).is_none());
    }

    proptest! {
        #[test]
        fn no_changed_byte_goes_unnoticed(at in any::<prop::sample::Index>(), flip in 1u8..) {
            let key = DataKey::from_bytes([7; 32]);
            let mut sealed = key.seal(Purpose::TunnelSecret, b"t", b"hush");
            let at = at.index(sealed.len());
            sealed[at] ^= flip;
            prop_assert!(key.open(Purpose::TunnelSecret, b"t", &sealed).is_err());
            prop_assert!(key.open(Purpose::TunnelSecret, b"t", &sealed[..at]).is_err());
        }
    }
}
