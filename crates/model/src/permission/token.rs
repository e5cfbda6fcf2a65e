//! An API token, without its secret.

use serde::{Deserialize, Serialize};

use super::Terms;
use crate::{Timestamp, TokenId, word::words};

/// Longest name, in characters.
pub const NAME_CHARS_MAX: usize = 120;

words! {
    /// Whether a token can be used.
    pub enum TokenStatus {
        /// It can, within its terms.
        Active = "active",
        /// Its owner turned it off.
        Disabled = "disabled",
        /// Its time is over.
        Expired = "expired",
    }
}

/// A token. Its secret is shown once and kept as a digest, elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiToken {
    /// Its id.
    pub id: TokenId,
    /// For people.
    pub name: String,
    /// Turned off: it gives nothing.
    pub disabled: bool,
    /// What it may do, from where and when.
    pub terms: Terms,
    /// When it, or its latest secret, was made.
    pub issued_on: Timestamp,
    /// When it was last changed.
    pub modified_on: Timestamp,
    /// When it was last used; none: never.
    pub last_used_on: Option<Timestamp>,
}

impl ApiToken {
    /// Whether it can be used now; it may still not be from where it is.
    pub fn status(&self, now: Timestamp) -> TokenStatus {
        if self.terms.expires_on.is_some_and(|end| end <= now) {
            TokenStatus::Expired
        } else if self.disabled {
            TokenStatus::Disabled
        } else {
            TokenStatus::Active
        }
    }
}
