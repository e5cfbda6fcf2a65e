//! Codes of authenticator applications (RFC 6238) and recovery codes. Pure: the instant and the seed are handed in.

use poterne_keys::{Secret, random_name, sha256};
use poterne_model::UserId;
use totp_rs::{Builder, Totp};

use crate::AppError;

/// Bytes of a seed, as RFC 4226 §4 R6 recommends.
pub(crate) const SEED_BYTES: usize = 20;

/// Recovery codes given at once.
pub(crate) const RECOVERY_CODES: usize = 10;

/// Characters of one, five random bits each.
const RECOVERY_CHARS: usize = 16;

/// What somebody types as their second factor.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// Six digits of an application.
    Digits(String),
    /// A recovery code, as its digest.
    Recovery([u8; 32]),
}

impl Typed {
    /// Reads it, leniently: spaces and hyphens say nothing.
    pub(crate) fn read(person: UserId, text: &str) -> Option<Self> {
        let plain: String = text.chars().filter(|c| !c.is_whitespace() && *c != '-').take(64).collect();
        let plain = plain.to_ascii_lowercase();
        match plain.len() {
            6 if plain.bytes().all(|byte| byte.is_ascii_digit()) => Some(Self::Digits(plain)),
            RECOVERY_CHARS if plain.is_ascii() => Some(Self::Recovery(recovery_digest(person, &plain))),
            _ => None,
        }
    }
}

/// An application's side: six digits, a new code every 30 seconds, one step early or late.
fn totp(seed: &Secret, issuer: &str, email: &str) -> Result<Totp, AppError> {
    // A colon would end the issuer in the URI.
    let plain = |text: &str| text.replace(':', " ");
    let builder = Builder::new().with_secret(totp_rs::Secret::new(seed.expose().into()));
    let builder = builder.with_account_name(plain(email)).with_issuer(Some(plain(issuer)));
    builder.build().map_err(|error| AppError::Hashing(error.to_string()))
}

/// The seed as people type it (base 32) and as applications scan it (`otpauth:`).
pub(crate) fn told(seed: &Secret, issuer: &str, email: &str) -> Result<(String, String), AppError> {
    let totp = totp(seed, issuer, email)?;
    let uri = totp.to_url().map_err(|error| AppError::Hashing(error.to_string()))?;
    Ok((totp.secret().to_base32(), uri))
}

/// The step that six digits are of, if it is now, the one before or the one after.
pub(crate) fn step(seed: &Secret, digits: &str, now_secs: i64) -> Result<Option<i64>, AppError> {
    let found = totp(seed, "", "-")?.check(digits, u64::try_from(now_secs).unwrap_or(0));
    Ok(found.and_then(|step| i64::try_from(step).ok()))
}

/// New recovery codes as they are shown, and their digests.
pub(crate) fn recovery_codes(person: UserId) -> (Vec<String>, Vec<[u8; 32]>) {
    let shown = |plain: &str| plain.as_bytes().chunks(4).map(String::from_utf8_lossy).collect::<Vec<_>>().join("-");
    let new = || {
        let plain = random_name(RECOVERY_CHARS);
        (shown(&plain), recovery_digest(person, &plain))
    };
    std::iter::repeat_with(new).take(RECOVERY_CODES).unzip()
}

/// 80 random bits need no slow hash; with the person in it, a table for one is none for another.
fn recovery_digest(person: UserId, plain: &str) -> [u8; 32] {
    sha256(&[b"recovery code", person.as_bytes().as_slice(), plain.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ADA: UserId = UserId::from_bytes([1; 16]);

    /// The seed of RFC 6238, appendix B.
    fn seed() -> Secret {
        Secret::new(b"12345678901234567890".to_vec())
    }

    #[test]
    fn codes_are_those_of_rfc_6238() {
        // Its eight digits, of which six are shown.
        for (secs, digits) in [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924"), (2_000_000_000, "279037")] {
            assert_eq!(step(&seed(), digits, secs).unwrap(), Some(secs / 30), "{secs}");
            assert_eq!(step(&seed(), digits, secs + 30).unwrap(), Some(secs / 30), "one step late");
            assert_eq!(step(&seed(), digits, secs - 30).unwrap(), Some(secs / 30), "one step early");
            assert_eq!(step(&seed(), digits, secs + 90).unwrap(), None);
        }
        assert_eq!(step(&seed(), "081804", -5).unwrap(), None, "no time before the first is asked for");
    }

    #[test]
    fn applications_are_told_whose_it_is() {
        let (typed, uri) = told(&seed(), "Poterne node.example.net", "a+b@example.com").unwrap();
        assert_eq!(typed, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert!(uri.starts_with("otpauth://totp/") && uri.contains(&format!("secret={typed}")), "{uri}");
        assert!(uri.contains("issuer=Poterne%20node.example.net"), "{uri}");
        assert!(told(&seed(), "a:b", "c:d@example.com").is_ok());
    }

    #[test]
    fn recovery_codes_are_read_as_people_type_them() {
        let (shown, digests) = recovery_codes(ADA);
        assert_eq!((shown.len(), digests.len()), (10, 10));
        assert!(shown.iter().all(|code| code.len() == 19));
        assert_eq!(digests.iter().collect::<std::collections::BTreeSet<_>>().len(), 10, "no two are equal");
        let typed = |text: &str| Typed::read(ADA, text);
        assert_eq!(typed(&shown[3]), Some(Typed::Recovery(digests[3])));
        assert_eq!(typed(&format!(" {} ", shown[3].replace('-', " ").to_uppercase())), Some(Typed::Recovery(digests[3])));
        assert_ne!(Typed::read(UserId::from_bytes([2; 16]), &shown[3]), Some(Typed::Recovery(digests[3])));
        assert_eq!(typed("123 456"), Some(Typed::Digits("123456".into())));
        assert_eq!((typed("12345"), typed("12345a"), typed("")), (None, None, None));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,80}|.{0,80}", secs: i64) {
            let _ = Typed::read(ADA, &text);
            let _ = step(&seed(), &text, secs);
        }
    }
}
