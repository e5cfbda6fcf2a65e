//! ES256 signatures (RFC 7518 §3.4): what management tokens are signed with, since their readers know no other.
//!
//! The private key is not kept: it is derived from the node key at each start, so that there is nothing to wrap, to back up or to
//! lose beside it, and whoever rotates the node key rotates it too. Tokens live for an hour.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey},
};
use zeroize::Zeroizing;

use crate::NodeKey;

/// `ECPrivateKey` (RFC 5915) of P-256 without its public part: what stands before and after the 32 bytes.
const DER_BEFORE: [u8; 7] = [0x30, 0x31, 0x02, 0x01, 0x01, 0x04, 0x20];
const DER_AFTER: [u8; 12] = [0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// A key that signs.
pub struct SigningKey(EcdsaKeyPair);

impl SigningKey {
    /// The node's key for `label`, which must be no other use's.
    pub fn derive(node_key: &NodeKey, label: &str) -> Self {
        // One number in 2³² is no private key of the curve: then the next is taken.
        let key = (0u32..8).find_map(|number| {
            let secret = node_key.derive(&format!("{label} {number}"));
            let der = Zeroizing::new([&DER_BEFORE[..], secret.expose(), &DER_AFTER].concat());
            EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, &der).ok()
        });
        Self(key.expect("eight numbers of 2^-32 each"))
    }

    /// The public key, an uncompressed point (65 bytes).
    pub fn public(&self) -> Vec<u8> {
        self.0.public_key().as_ref().to_vec()
    }

    /// Signs.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signature = self.0.sign(&SystemRandom::new(), message).expect("a system that has random numbers can sign");
        signature.as_ref().try_into().expect("two numbers of 32 bytes")
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

/// Whether one of these public keys signed the message.
pub fn es256_verifies<K: AsRef<[u8]>>(keys: &[K], message: &[u8], signature: &[u8]) -> bool {
    keys.iter().any(|key| UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key).verify(message, signature).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derived_key_is_the_same_again_and_signs_for_itself_alone() {
        let node = NodeKey::generate();
        let key = SigningKey::derive(&node, "test 1");
        let public = key.public();
        assert_eq!((public.len(), public[0]), (65, 4));
        assert_eq!(SigningKey::derive(&node, "test 1").public(), public);
        let others = [SigningKey::derive(&node, "test 2").public(), SigningKey::derive(&NodeKey::generate(), "test 1").public()];
        let mut signature = key.sign(b"hello");
        assert!(es256_verifies(&[&others[0], &public], b"hello", &signature));
        assert!(!es256_verifies(&others, b"hello", &signature) && !es256_verifies(&[&public], b"hell", &signature));
        assert!(!es256_verifies::<Vec<u8>>(&[], b"hello", &signature));
        assert!(!es256_verifies(&[b"no point"], b"hello", &signature));
        signature[40] ^= 1;
        assert!(!es256_verifies(&[&public], b"hello", &signature));
        assert!(!es256_verifies(&[&public], b"hello", &signature[..63]));
    }

    #[test]
    fn the_public_key_is_the_private_ones() {
        // RFC 6979, A.2.5: the key pair of its P-256 vectors.
        let private = [
            0xc9, 0xaf, 0xa9, 0xd8, 0x45, 0xba, 0x75, 0x16, 0x6b, 0x5c, 0x21, 0x57, 0x67, 0xb1, 0xd6, 0x93, 0x4e, 0x50, 0xc3,
            0xdb, 0x36, 0xe8, 0x9b, 0x12, 0x7b, 0x8a, 0x62, 0x2b, 0x12, 0x0f, 0x67, 0x21,
        ];
        let der = [&DER_BEFORE[..], &private, &DER_AFTER].concat();
        let key = SigningKey(EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, &der).unwrap());
        assert_eq!(key.public()[..5], [4, 0x60, 0xfe, 0xd4, 0xba]);
    }
}
