//! Key pairs, and what of them stands in records.

use std::fmt;

use aws_lc_rs::{
    digest,
    encoding::AsBigEndian,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
        UnparsedPublicKey,
    },
};
use zeroize::Zeroizing;

/// Octets of a private key, of either algorithm.
pub const SECRET_OCTETS: usize = 32;

/// Octets of a signature, of either algorithm.
pub const SIGNATURE_OCTETS: usize = 64;

/// Flags of a key that signs a zone's records (RFC 4034 §2.1.1).
pub const ZONE_FLAGS: u16 = 256;

/// Flags of a key that signs the keys, and that the parent's DS names (RFC 4034 §2.1.1: a secure entry point).
pub const ENTRY_FLAGS: u16 = 257;

/// The number of SHA-256 among digests of keys (RFC 4509).
pub const DIGEST_SHA_256: u8 = 2;

/// The CDS record that asks the parent to take the DS away (RFC 8078 §4).
pub const CDS_DELETE: [u8; 5] = [0, 0, 0, 0, 0];

/// The CDNSKEY record that asks for the same.
pub const CDNSKEY_DELETE: [u8; 5] = [0, 0, 3, 0, 0];

/// `ECPrivateKey` (RFC 5915) of P-256 without its public part: what stands before and after the 32 octets.
const DER_BEFORE: [u8; 7] = [0x30, 0x31, 0x02, 0x01, 0x01, 0x04, 0x20];
const DER_AFTER: [u8; 12] = [0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// How a zone is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256 (RFC 6605): what every validator knows.
    #[default]
    EcdsaP256Sha256,
    /// Ed25519 (RFC 8080): quicker here, and not known to every registry.
    Ed25519,
}

/// Why there is no key or no signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// An algorithm that is not among ours.
    #[error("DNSSEC algorithm {0} is not one that zones are signed with here: 13 and 15 are")]
    Algorithm(u8),
    /// Octets that are no private key of the algorithm.
    #[error("the octets are no private key of a zone")]
    Secret,
    /// The library failed: no random numbers, or no memory.
    #[error("the cryptographic library refused")]
    Library,
}

impl Algorithm {
    /// IANA's number.
    pub const fn number(self) -> u8 {
        match self {
            Self::EcdsaP256Sha256 => 13,
            Self::Ed25519 => 15,
        }
    }

    /// IANA's mnemonic.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EcdsaP256Sha256 => "ECDSAP256SHA256",
            Self::Ed25519 => "ED25519",
        }
    }
}

impl TryFrom<u8> for Algorithm {
    type Error = KeyError;

    fn try_from(number: u8) -> Result<Self, KeyError> {
        match number {
            13 => Ok(Self::EcdsaP256Sha256),
            15 => Ok(Self::Ed25519),
            other => Err(KeyError::Algorithm(other)),
        }
    }
}

/// A key that signs.
pub struct KeyPair(Pair);

enum Pair {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl KeyPair {
    /// A new one, and the private key to keep: it can be had only here.
    ///
    /// # Errors
    /// [`KeyError::Library`].
    pub fn generate(algorithm: Algorithm) -> Result<(Self, Zeroizing<Vec<u8>>), KeyError> {
        let failed = |_| KeyError::Library;
        match algorithm {
            Algorithm::EcdsaP256Sha256 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?;
                let secret = pair.private_key().as_be_bytes().map_err(failed)?.as_ref().to_vec();
                Ok((Self(Pair::P256(pair)), Zeroizing::new(secret)))
            }
            Algorithm::Ed25519 => {
                let pair = Ed25519KeyPair::generate().map_err(failed)?;
                let secret = pair.seed().map_err(failed)?.as_be_bytes().map_err(failed)?.as_ref().to_vec();
                Ok((Self(Pair::Ed25519(pair)), Zeroizing::new(secret)))
            }
        }
    }

    /// The pair of a private key, as [`KeyPair::generate`] gave it: the number in big-endian order, or the seed.
    ///
    /// # Errors
    /// [`KeyError::Secret`].
    pub fn of_secret(algorithm: Algorithm, secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() != SECRET_OCTETS {
            return Err(KeyError::Secret);
        }
        let pair = match algorithm {
            Algorithm::EcdsaP256Sha256 => {
                let der = Zeroizing::new([&DER_BEFORE[..], secret, &DER_AFTER].concat());
                EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, &der).map(Pair::P256)
            }
            Algorithm::Ed25519 => Ed25519KeyPair::from_seed_unchecked(secret).map(Pair::Ed25519),
        };
        pair.map(Self).map_err(|_| KeyError::Secret)
    }

    /// How it signs.
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            Pair::P256(_) => Algorithm::EcdsaP256Sha256,
            Pair::Ed25519(_) => Algorithm::Ed25519,
        }
    }

    /// The public key as a DNSKEY record holds it: the point without its first octet (RFC 6605 §4), or the 32 octets (RFC 8080 §3).
    pub fn public(&self) -> &[u8] {
        match &self.0 {
            Pair::P256(pair) => pair.public_key().as_ref().get(1..).unwrap_or_default(),
            Pair::Ed25519(pair) => pair.public_key().as_ref(),
        }
    }

    /// Signs octets.
    ///
    /// # Errors
    /// [`KeyError::Library`].
    pub fn sign(&self, message: &[u8]) -> Result<[u8; SIGNATURE_OCTETS], KeyError> {
        let signature = match &self.0 {
            Pair::P256(pair) => pair.sign(&SystemRandom::new(), message),
            Pair::Ed25519(pair) => pair.try_sign(message),
        };
        let signature = signature.map_err(|_| KeyError::Library)?;
        signature.as_ref().try_into().map_err(|_| KeyError::Library)
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({}, …)", self.algorithm().as_str())
    }
}

/// Whether the key that a DNSKEY record holds made this signature.
pub fn verifies(algorithm: Algorithm, public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    match algorithm {
        Algorithm::EcdsaP256Sha256 => {
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, [&[4][..], public].concat()).verify(message, signature).is_ok()
        }
        Algorithm::Ed25519 => UnparsedPublicKey::new(&ED25519, public).verify(message, signature).is_ok(),
    }
}

/// The data of a DNSKEY record (RFC 4034 §2.1), and of a CDNSKEY record (RFC 7344 §3.2).
pub fn dnskey(flags: u16, algorithm: Algorithm, public: &[u8]) -> Vec<u8> {
    let mut data = Vec::with_capacity(4 + public.len());
    data.extend(flags.to_be_bytes());
    data.extend([3, algorithm.number()]);
    data.extend(public);
    data
}

/// The tag of the key that a DNSKEY record's data holds (RFC 4034, appendix B).
pub fn key_tag(dnskey: &[u8]) -> u16 {
    let sum: u32 =
        dnskey.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or_default())).sum();
    let [_, _, high, low] = (sum + (sum >> 16)).to_be_bytes();
    u16::from_be_bytes([high, low])
}

/// The data of a DS record (RFC 4034 §5.1, digest 2), and of a CDS record (RFC 7344 §3.1). `apex` is the zone's name as labels, in lower
/// case.
pub fn ds(apex: &[u8], dnskey: &[u8]) -> Vec<u8> {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(apex);
    context.update(dnskey);
    let mut data = Vec::with_capacity(36);
    data.extend(key_tag(dnskey).to_be_bytes());
    data.extend([dnskey.get(3).copied().unwrap_or_default(), DIGEST_SHA_256]);
    data.extend(context.finish().as_ref());
    data
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vectors::{octets, wire};

    /// RFC 6605 §6.1.
    #[test]
    fn the_keys_of_rfc_6605_are_read() {
        let secret = octets("GU6SnQ/Ou+xC5RumuIUIuJZteXT2z0O/ok1s38Et6mQ=");
        let public = octets("GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==");
        let pair = KeyPair::of_secret(Algorithm::EcdsaP256Sha256, &secret).unwrap();
        assert_eq!(pair.public(), public);
        let dnskey = dnskey(ENTRY_FLAGS, Algorithm::EcdsaP256Sha256, pair.public());
        assert_eq!(key_tag(&dnskey), 55648);
        let digest = "b4c8c1fe2e7477127b27115656ad6256f424625bf5c1e2770ce6d6e37df61d17";
        assert_eq!(hex::encode(ds(&wire("example.net"), &dnskey)), format!("d9600d02{digest}"));
    }

    /// RFC 8080 §6.1.
    #[test]
    fn the_keys_of_rfc_8080_are_read() {
        for (secret, public, tag, digest) in [
            (
                "ODIyNjAzODQ2MjgwODAxMjI2NDUxOTAyMDQxNDIyNjI=",
                "l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=",
                3613,
                "3aa5ab37efce57f737fc1627013fee07bdf241bd10f3b1964ab55c78e79a304b",
            ),
            (
                "DSSF3o0s0f+ElWzj9E/Osxw8hLpk55chkmx0LYN5WiY=",
                "zPnZ/QwEe7S8C5SPz2OfS5RR40ATk2/rYnE9xHIEijs=",
                35217,
                "401781b934e392de492ec77ae2e15d70f6575a1c0bc59c5275c04ebe80c6614c",
            ),
        ] {
            let pair = KeyPair::of_secret(Algorithm::Ed25519, &octets(secret)).unwrap();
            assert_eq!(pair.public(), octets(public));
            let dnskey = dnskey(ENTRY_FLAGS, Algorithm::Ed25519, pair.public());
            assert_eq!(key_tag(&dnskey), tag);
            let data = ds(&wire("example.com"), &dnskey);
            assert_eq!(hex::encode(&data[4..]), digest);
            assert_eq!(data[..4], [tag.to_be_bytes()[0], tag.to_be_bytes()[1], 15, 2]);
        }
    }

    #[test]
    fn a_new_key_signs_and_comes_back_from_its_secret() {
        for algorithm in [Algorithm::EcdsaP256Sha256, Algorithm::Ed25519] {
            let (pair, secret) = KeyPair::generate(algorithm).unwrap();
            assert_eq!((pair.algorithm(), secret.len()), (algorithm, SECRET_OCTETS));
            let again = KeyPair::of_secret(algorithm, &secret).unwrap();
            assert_eq!(again.public(), pair.public());
            let signature = again.sign(b"hello").unwrap();
            assert!(verifies(algorithm, pair.public(), b"hello", &signature));
            assert!(!verifies(algorithm, pair.public(), b"hell", &signature));
            assert!(!verifies(algorithm, &[], b"hello", &signature) && !verifies(algorithm, pair.public(), b"hello", &[]));
            assert_eq!(Algorithm::try_from(algorithm.number()), Ok(algorithm));
        }
        assert_eq!(KeyPair::of_secret(Algorithm::EcdsaP256Sha256, &[0; 32]).unwrap_err(), KeyError::Secret);
        assert_eq!(KeyPair::of_secret(Algorithm::Ed25519, &[0; 31]).unwrap_err(), KeyError::Secret);
        assert_eq!(Algorithm::try_from(8), Err(KeyError::Algorithm(8)));
    }

    proptest! {
        /// Any data of a DNSKEY record: our tag is the one another reader finds.
        #[test]
        fn tags_are_those_of_another_reader(flags in any::<u16>(), public in prop::collection::vec(any::<u8>(), 1..80)) {
            let data = dnskey(flags, Algorithm::EcdsaP256Sha256, &public);
            let theirs = domain::rdata::Dnskey::new(flags, 3, domain::base::iana::SecurityAlgorithm::ECDSAP256SHA256, public).unwrap();
            prop_assert_eq!(key_tag(&data), theirs.key_tag());
        }
    }
}
