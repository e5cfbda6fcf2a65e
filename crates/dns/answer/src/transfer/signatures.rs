//! The signatures that a version of a zone was given with, so that the next one says what changed alone (RFC 1995) and not that each
//! signature did: which went must be told as it was.
//!
//! A signature is found by what it is over and the key that made it, so that a version shares those of what it has in common with the one
//! before. What was given can be made again from its snapshot and these; nothing else of it is kept.

use std::{collections::HashMap, sync::Arc};

use poterne_dns_sign::{Signature, rrsig::TRANSFER_SECS};

/// Most signatures of a version that are remembered: some 20,000 names. Of larger zones none are, and they are given whole each time.
pub const SIGNATURES_MAX: usize = 60_000;

/// How old a signature may be that is given once more, in seconds: it holds for two weeks then still, as long as a copy may stand for
/// itself (a week until the next version, and another until whoever does not get it stops answering).
pub const REUSED_SECS: u32 = TRANSFER_SECS - 14 * 86_400 - 86_400;

/// Signatures by the digest of what they are over ([`crate::Signer`]).
#[derive(Debug, Default)]
pub struct Signatures {
    of: HashMap<u128, Arc<Signature>>,
    /// Of more than [`SIGNATURES_MAX`], none.
    is_too_large: bool,
}

impl Signatures {
    /// How many.
    pub fn len(&self) -> usize {
        self.of.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Whether the zone had more than are remembered.
    pub fn is_too_large(&self) -> bool {
        self.is_too_large
    }

    pub(super) fn get(&self, digest: u128) -> Option<&Arc<Signature>> {
        self.of.get(&digest)
    }

    pub(super) fn put(&mut self, digest: u128, signature: Arc<Signature>) {
        if self.of.len() >= SIGNATURES_MAX {
            (self.of, self.is_too_large) = (HashMap::new(), true);
        }
        if !self.is_too_large {
            self.of.insert(digest, signature);
        }
    }
}

/// Whether a signature may be given once more at `now_secs`.
pub(super) fn is_fresh(signature: &Signature, now_secs: u32) -> bool {
    signature.validity.holds(now_secs) && now_secs.wrapping_sub(signature.validity.made_at()) <= REUSED_SECS
}
