//! Secret bytes, their digests, and where random ones come from.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

/// Bytes nobody should see: wiped when dropped, absent from `Debug`, not `Display` at all.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// `length` random bytes from the system.
    pub fn random(length: usize) -> Self {
        let mut bytes = Zeroizing::new(vec![0; length]);
        fill(&mut bytes);
        Self(bytes)
    }

    /// The bytes; keep the borrow short and out of logs.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// SHA-256 of the bytes.
    pub fn digest(&self) -> [u8; 32] {
        sha256(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl From<Vec<u8>> for Secret {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(bytes)
    }
}

/// SHA-256 (FIPS 180-4). Enough for random tokens; never for passwords.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Whether `secret` has one of these digests. Takes the same time whichever it is, and if it is none: all are compared, whole.
pub fn digest_matches(digests: &[[u8; 32]], secret: &[u8]) -> bool {
    let digest = sha256(secret);
    digests.iter().fold(Choice::from(0), |found, other| found | digest.ct_eq(other)).into()
}

/// Random bytes from the system, for ids and nonces.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}

/// An API token's text: `prefix`, then 40 characters out of 32, that is 200 random bits. 40 is what the hosted service's have, and what
/// Terraform's provider asks of a token in its configuration (api-v4 §1.2).
pub fn random_token(prefix: &str) -> String {
    format!("{prefix}{}", base32(&random_bytes::<25>()))
}

/// A label nobody guesses, fit for DNS: `length` characters of five random bits each. 16 make 80 bits.
pub fn random_name(length: usize) -> String {
    let mut bytes = vec![0; length];
    fill(&mut bytes);
    bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])).collect()
}

/// Without `i`, `l`, `o` and `u`, which are misread or make words; as in Crockford's base 32, in lower case.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

fn base32(bytes: &[u8]) -> String {
    let (mut bits, mut count, mut text) = (0u32, 0, String::new());
    for byte in bytes {
        bits = bits << 8 | u32::from(*byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            text.push(char::from(ALPHABET[(bits >> count & 31) as usize]));
        }
    }
    text
}

fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("a system without random numbers can keep no secret; it cannot go on");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed_and_its_digest_is_sha_256() {
        let secret = Secret::new(b"abc".to_vec());
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        // FIPS 180-4, example B.1.
        assert_eq!(secret.digest()[..4], [0xba, 0x78, 0x16, 0xbf]);
    }

    #[test]
    fn any_one_of_the_digests_matches_and_no_other() {
        let digests = [sha256(b"old"), sha256(b"new")];
        assert!(digest_matches(&digests, b"old") && digest_matches(&digests, b"new"));
        assert!(!digest_matches(&digests, b"ne") && !digest_matches(&[], b"new"));
    }

    #[test]
    fn tokens_and_names_differ_and_keep_to_their_alphabet() {
        let token = random_token("pot_");
        assert_eq!(token.len(), 4 + 40);
        assert_ne!(token, random_token("pot_"));
        let name = random_name(16);
        assert!(name.len() == 16 && name.bytes().all(|c| ALPHABET.contains(&c)));
        assert_ne!(Secret::random(32).expose(), Secret::random(32).expose());
    }
}
