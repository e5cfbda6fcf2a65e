//! `POST /tunnel`: a quick tunnel (tunnel-protocol §9.7).

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use poterne_model::{AccountId, Name, TunnelId};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::Envelope;

/// Longest answer a client reads, in bytes. Ours take half a kilobyte.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What an agent needs to run the tunnel. `Debug` hides the secret.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuickTunnel {
    /// The tunnel.
    pub id: TunnelId,
    /// Its name; its hostname's first label here.
    #[serde(default)]
    pub name: String,
    /// Where visitors reach it, without a scheme.
    pub hostname: Name,
    /// The account, as the agent's wire says it. Servers of others may send any text.
    pub account_tag: String,
    /// The secret in standard base64.
    secret: String,
    /// Ours: where to connect and whom to trust. Stock agents pass over it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p: Option<Edges>,
}

/// The edges and the pin, in the form they have in a token.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edges {
    /// `host:port` of each edge.
    pub e: Vec<String>,
    /// SHA-256 of the tunnel CA's SubjectPublicKeyInfo, in standard base64.
    pub k: String,
}

/// Why an answer is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuickAnswerError {
    /// The server refused, in its own words.
    #[error("the quick-tunnel service refused: {0}")]
    Refused(String),
    /// It is not a quick-tunnel service.
    #[error("the answer is not one of a quick-tunnel service ({0}): check the --quick-service address")]
    Malformed(String),
}

impl QuickTunnel {
    /// An answer with this secret.
    pub fn new(id: TunnelId, name: String, hostname: Name, account: AccountId, secret: &[u8], p: Option<Edges>) -> Self {
        Self { id, name, hostname, account_tag: account.to_string(), secret: BASE64_STANDARD.encode(secret), p }
    }

    /// The secret's bytes; keep them out of logs.
    pub fn secret(&self) -> Result<Zeroizing<Vec<u8>>, QuickAnswerError> {
        let decoded = BASE64_STANDARD.decode(&self.secret);
        decoded.map(Zeroizing::new).map_err(|_| QuickAnswerError::Malformed("the secret is not base64".into()))
    }
}

impl Edges {
    /// Of these edges and this pin.
    pub fn new(edges: Vec<String>, pin: &[u8; 32]) -> Self {
        Self { e: edges, k: BASE64_STANDARD.encode(pin) }
    }

    /// The pin's bytes; none when it is not the base64 of 32 bytes.
    pub fn pin(&self) -> Option<[u8; 32]> {
        BASE64_STANDARD.decode(&self.k).ok()?.try_into().ok()
    }
}

impl fmt::Debug for QuickTunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuickTunnel").field("id", &self.id).field("hostname", &self.hostname).finish_non_exhaustive()
    }
}

impl Drop for QuickTunnel {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.secret);
    }
}

/// Reads the body of an answer to `POST /tunnel`; its status says nothing (tunnel-protocol §9.7).
pub fn parse_quick_answer(body: &[u8]) -> Result<QuickTunnel, QuickAnswerError> {
    if body.len() > ANSWER_BYTES_MAX {
        return Err(QuickAnswerError::Malformed(format!("it has more than {ANSWER_BYTES_MAX} bytes")));
    }
    let envelope: Envelope<QuickTunnel> =
        serde_json::from_slice(body).map_err(|error| QuickAnswerError::Malformed(error.to_string()))?;
    match envelope.result {
        Some(tunnel) if envelope.success => Ok(tunnel),
        _ => {
            let texts: Vec<String> =
                envelope.errors.iter().map(|error| format!("{} (code {})", error.message, error.code)).collect();
            let text = if texts.is_empty() { "it gave no reason".to_owned() } else { texts.join("; ") };
            Err(QuickAnswerError::Refused(text.chars().filter(|c| !c.is_control()).take(500).collect()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> QuickTunnel {
        let hostname = Name::parse("abc.quick.example.org").unwrap();
        let edges = Edges::new(vec!["edge.example.org:7844".into()], &[7; 32]);
        QuickTunnel::new(
            TunnelId::from_bytes([1; 16]),
            "abc".into(),
            hostname,
            AccountId::from_bytes([2; 16]),
            &[9; 32],
            Some(edges),
        )
    }

    #[test]
    fn an_answer_survives_the_journey_and_hides_its_secret() {
        let body = serde_json::to_vec(&Envelope::success(answer())).unwrap();
        let read = parse_quick_answer(&body).unwrap();
        assert_eq!(read, answer());
        assert_eq!(**read.secret().unwrap(), [9; 32]);
        assert_eq!(read.p.as_ref().unwrap().pin(), Some([7; 32]));
        assert!(!format!("{read:?}").contains("CQkJ"));
    }

    #[test]
    fn the_reference_answer_is_read() {
        let body = br#"{"success":true,"result":{"id":"3d539f97-cd3a-4d8e-833b-65e9099c7a8d","name":"n","hostname":"abc.example.org","account_tag":"any text","secret":"AAAA"},"errors":[]}"#;
        let read = parse_quick_answer(body).unwrap();
        assert_eq!((read.hostname.as_str(), read.account_tag.as_str(), read.p.clone()), ("abc.example.org", "any text", None));
    }

    #[test]
    fn a_refusal_is_told_and_nonsense_is_named() {
        let refused = serde_json::to_vec(&Envelope::no_route("/tunnel")).unwrap();
        assert!(matches!(parse_quick_answer(&refused), Err(QuickAnswerError::Refused(text)) if text.contains("7003")));
        for nonsense in [&b"<html>"[..], b"", b"[]", &vec![b' '; ANSWER_BYTES_MAX + 1]] {
            assert!(matches!(parse_quick_answer(nonsense), Err(QuickAnswerError::Malformed(_))));
        }
    }
}
