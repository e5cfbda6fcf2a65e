//! Passwords: which are taken, and what is kept of them.
//!
//! argon2id (RFC 9106) with 19 MiB, two passes and one lane: the first choice of the OWASP password storage page, and what a machine
//! with 512 MB can do twice at once beside everything else ([`super::gate`]). A hash made with less is made anew when its password is
//! shown next. Two ways of writing the same letters are one password (NFC, as RFC 8265 has it).

use argon2::{
    Algorithm, Argon2, Params, PasswordHash, PasswordHasher as _, PasswordVerifier as _, Version, password_hash::SaltString,
};
use poterne_keys::random_bytes;
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use crate::AppError;

/// Fewest and most bytes of a password.
pub const PASSWORD_BYTES: std::ops::RangeInclusive<usize> = 8..=1024;

/// Memory in KiB, passes and lanes.
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);

/// Those that everybody tries first, of eight characters and more.
const COMMONEST: &str = include_str!("commonest.txt");

/// A password as it is hashed; wiped when dropped, and not printed.
pub(crate) struct Password(Zeroizing<String>);

impl Password {
    /// One that is shown. Whatever is too long to be one is cut: it is wrong all the same.
    pub(crate) fn shown(text: &str) -> Self {
        Self(Zeroizing::new(text.chars().take(*PASSWORD_BYTES.end()).nfc().collect()))
    }

    /// One that somebody chose.
    ///
    /// # Errors
    /// It is too short, too long, or what everybody tries first.
    pub(crate) fn chosen(text: &str, email: &str) -> Result<Self, AppError> {
        let wrong = |why: String| Err(AppError::Invalid { what: "password", why });
        if !PASSWORD_BYTES.contains(&text.len()) {
            let (least, most) = (PASSWORD_BYTES.start(), PASSWORD_BYTES.end());
            return wrong(format!("it has {} bytes: choose one of {least} to {most}; a few words make a good one", text.len()));
        }
        let plain = text.to_lowercase();
        let local = email.split('@').next().unwrap_or(email);
        if is_common(&plain) || plain == email || plain == local {
            return wrong("it is among those that are tried first: choose another; a few words make a good one".into());
        }
        Ok(Self::shown(text))
    }

    /// What is kept of it. Takes some 20 ms and 19 MiB.
    pub(crate) fn hash(&self) -> Result<String, AppError> {
        let salt = SaltString::encode_b64(&random_bytes::<16>()).map_err(hashing)?;
        Ok(hasher()?.hash_password(self.0.as_bytes(), &salt).map_err(hashing)?.to_string())
    }

    /// Whether it is the one that `kept` was made of. Without one as much work is done as with one, so that the time tells nothing.
    pub(crate) fn is_of(&self, kept: Option<&str>) -> Result<bool, AppError> {
        let Some(kept) = kept else {
            self.hash()?;
            return Ok(false);
        };
        let kept = PasswordHash::new(kept).map_err(hashing)?;
        match hasher()?.verify_password(self.0.as_bytes(), &kept) {
            Ok(()) => Ok(true),
            Err(argon2::password_hash::Error::Password) => Ok(false),
            Err(error) => Err(hashing(error)),
        }
    }
}

/// Whether what is kept was made with less than is asked for today.
pub(crate) fn is_weak(kept: &str) -> bool {
    let params = PasswordHash::new(kept).ok().filter(|hash| hash.algorithm == Algorithm::Argon2id.ident());
    let params = params.and_then(|hash| Params::try_from(&hash).ok());
    params.is_none_or(|params| params.m_cost() < COST.0 || params.t_cost() < COST.1)
}

fn is_common(plain: &str) -> bool {
    COMMONEST.lines().any(|common| common == plain)
}

fn hasher() -> Result<Argon2<'static>, AppError> {
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, None).map_err(|error| AppError::Hashing(error.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hashing(error: argon2::password_hash::Error) -> AppError {
    AppError::Hashing(error.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_password_is_known_again_and_no_other_is() {
        let kept = Password::chosen("correct horse", "a@example.com").unwrap().hash().unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        assert!(Password::shown("correct horse").is_of(Some(&kept)).unwrap());
        assert!(!Password::shown("correct horsf").is_of(Some(&kept)).unwrap());
        assert!(!Password::shown("correct horse").is_of(None).unwrap());
        assert!(Password::shown("x").is_of(Some("not a hash")).is_err(), "damage is not a wrong password");
        assert!(!is_weak(&kept));
    }

    #[test]
    fn two_ways_of_writing_the_same_are_one_password() {
        let kept = Password::chosen("caf\u{e9} au lait", "a@example.com").unwrap().hash().unwrap();
        assert!(Password::shown("cafe\u{301} au lait").is_of(Some(&kept)).unwrap());
    }

    #[test]
    fn hashes_of_former_times_are_weak_and_still_open() {
        let old = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(8, 1, 1, None).unwrap());
        let salt = SaltString::encode_b64(&[7; 16]).unwrap();
        let kept = old.hash_password(b"correct horse", &salt).unwrap().to_string();
        assert!(is_weak(&kept) && is_weak("$argon2i$v=19$m=65536,t=3,p=1$c2FsdHNhbHQ$aGFzaGhhc2g") && is_weak("x"));
        assert!(Password::shown("correct horse").is_of(Some(&kept)).unwrap());
    }

    #[test]
    fn what_is_tried_first_is_refused_and_nothing_else_is_asked() {
        let chosen = |text: &str| Password::chosen(text, "ada.lovelace@example.com").is_ok();
        for refused in ["", "1234567", "password", "PassWord", "12345678", "ada.lovelace@example.com", "ADA.LOVELACE"] {
            assert!(!chosen(refused), "{refused}");
        }
        assert!(!chosen(&"x".repeat(1025)) && chosen(&"x".repeat(1024)));
        assert!(chosen("aaaaaaab") && chosen("        ") && chosen("ééééé"), "no rules of composition");
        for common in COMMONEST.lines() {
            assert!(common.len() >= *PASSWORD_BYTES.start() && common == common.to_lowercase(), "{common:?} is never met");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,50}|.{0,50}") {
            let _ = Password::chosen(&text, &text);
            let _ = is_weak(&text);
        }
    }
}
