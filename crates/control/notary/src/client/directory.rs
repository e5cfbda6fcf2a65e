//! What an authority's directory says (RFC 8555 §7.1.1), as far as the client library does not tell it.

use std::collections::BTreeMap;

use poterne_acme::{Culprit, Trouble};
use serde::Deserialize;

use super::transport::{Transport, TransportError};

/// Most names of an authority that are believed.
const IDENTITIES_MAX: usize = 20;

/// A directory.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Directory {
    /// Where it says when to renew (RFC 9773 §3).
    pub(crate) renewal_info: Option<String>,
    pub(crate) meta: Meta,
}

/// What it says of itself.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Meta {
    /// What CAA records call it.
    caa_identities: Vec<String>,
    /// Whether an account must be bound to one elsewhere.
    pub(crate) external_account_required: bool,
    /// Its profiles.
    pub(crate) profiles: BTreeMap<String, String>,
}

impl Directory {
    /// Gets it.
    pub(crate) async fn fetch(transport: &Transport, url: &str) -> Result<Self, TransportError> {
        let response = transport.get(url).await?;
        if !response.status().is_success() {
            return Err(TransportError::Status { status: response.status() });
        }
        serde_json::from_slice(response.body()).map_err(|error| TransportError::Directory(error.to_string()))
    }

    /// What CAA records call the authority, as it says.
    pub(crate) fn issuers(&self) -> Vec<String> {
        // They end in the zones of users: no more than names.
        let is_name = |name: &&String| {
            (1..=253).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
        };
        self.meta.caa_identities.iter().filter(is_name).take(IDENTITIES_MAX).cloned().collect()
    }

    /// The profile, where it has that.
    pub(crate) fn profile<'p>(&self, wanted: Option<&'p str>) -> Result<Option<&'p str>, Trouble> {
        match wanted {
            Some(name) if !self.meta.profiles.contains_key(name) => {
                let known: Vec<&str> = self.meta.profiles.keys().map(String::as_str).take(20).collect();
                let why = format!(
                    "the authority has no profile {name:?}; it has {}",
                    if known.is_empty() { "none".to_owned() } else { known.join(", ") }
                );
                Err(Trouble::new(Culprit::Refused, why))
            }
            wanted => Ok(wanted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_read_as_far_as_it_goes() {
        let text = r#"{"newNonce":"x","renewalInfo":"https://ca.test/ari","meta":{"caaIdentities":["ca.test","a b\" c",""],
            "profiles":{"shortlived":"about six days"},"termsOfService":"y"}}"#;
        let read: Directory = serde_json::from_str(text).unwrap();
        assert_eq!((read.issuers(), read.renewal_info.as_deref()), (vec!["ca.test".to_owned()], Some("https://ca.test/ari")));
        assert_eq!(read.profile(Some("shortlived")), Ok(Some("shortlived")));
        assert!(read.profile(Some("long")).unwrap_err().detail.contains("it has shortlived"));
        let bare: Directory = serde_json::from_str("{}").unwrap();
        assert!(bare.issuers().is_empty() && bare.profile(None) == Ok(None) && !bare.meta.external_account_required);
    }
}
