//! Tunnel tokens and credentials files. Whoever holds one can run the tunnel: nothing here shows a secret.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use poterne_model::TunnelId;
use serde::{Deserialize, Serialize};

/// Longest token or credentials file accepted, in bytes.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// Secret bytes: wiped when dropped, never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(zeroize::Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(zeroize::Zeroizing::new(bytes))
    }

    /// The bytes, for the wire or for a digest; compare digests in constant time, not these.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Our addition to a token: where the edges are, and how to know them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poterne {
    /// `host:port`, host names preferred.
    pub edges: Vec<String>,
    /// SHA-256 of the tunnel CA's SubjectPublicKeyInfo.
    pub pin: [u8; 32],
}

/// Everything an agent needs to run a tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelToken {
    /// Account tag, as the edge knows it.
    pub account: String,
    /// The tunnel.
    pub tunnel: TunnelId,
    /// At least 32 random bytes.
    pub secret: Secret,
    /// Region of the stock service; kept when re-encoded.
    pub endpoint: Option<String>,
    /// Ours; stock agents ignore it.
    pub poterne: Option<Poterne>,
}

/// Why a token or credentials file is refused. Never shows its content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not base64 of the JSON.
    #[error("the tunnel token is malformed ({0}): copy it again whole, as `poterne tunnel token NAME` prints it")]
    Token(&'static str),
    /// Not the JSON.
    #[error("the credentials are malformed ({0}): create them again, or run with a token")]
    Credentials(String),
}

#[derive(Serialize, Deserialize)]
struct TokenJson {
    a: String,
    t: TunnelId,
    s: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    e: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    p: Option<PoterneJson>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct PoterneJson {
    e: Vec<String>,
    k: String,
}

#[derive(Serialize, Deserialize)]
struct CredentialsJson {
    #[serde(rename = "AccountTag")]
    account: String,
    #[serde(rename = "TunnelSecret")]
    secret: String,
    #[serde(rename = "TunnelID")]
    tunnel: TunnelId,
    #[serde(rename = "Endpoint", default)]
    endpoint: String,
    #[serde(rename = "Poterne", default, skip_serializing_if = "Option::is_none")]
    poterne: Option<PoterneJson>,
}

impl From<&Poterne> for PoterneJson {
    fn from(poterne: &Poterne) -> Self {
        Self { e: poterne.edges.clone(), k: BASE64_STANDARD.encode(poterne.pin) }
    }
}

impl TryFrom<PoterneJson> for Poterne {
    type Error = &'static str;
    fn try_from(json: PoterneJson) -> Result<Self, &'static str> {
        let pin =
            BASE64_STANDARD.decode(json.k).ok().and_then(|pin| pin.try_into().ok()).ok_or("its pin is not 32 bytes of base64")?;
        Ok(Self { edges: json.e, pin })
    }
}

impl TunnelToken {
    /// Reads a token; white space around it is ignored.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Token("it is longer than 16 KiB"));
        }
        let json = BASE64_STANDARD.decode(text).map_err(|_| TokenError::Token("it is not base64"))?;
        let json: TokenJson = serde_json::from_slice(&json).map_err(|_| TokenError::Token("it does not hold a, t and s"))?;
        let secret = BASE64_STANDARD.decode(&json.s).map_err(|_| TokenError::Token("its secret is not base64"))?;
        let poterne = json.p.map(Poterne::try_from).transpose().map_err(TokenError::Token)?;
        Ok(Self { account: json.a, tunnel: json.t, secret: Secret::new(secret), endpoint: json.e, poterne })
    }

    /// The text form.
    pub fn encode(&self) -> String {
        let json = TokenJson {
            a: self.account.clone(),
            t: self.tunnel,
            s: BASE64_STANDARD.encode(self.secret.expose()),
            e: self.endpoint.clone(),
            p: self.poterne.as_ref().map(PoterneJson::from),
        };
        BASE64_STANDARD.encode(serde_json::to_vec(&json).expect("strings serialise"))
    }
}

/// The credentials file (`<tunnel id>.json`): same content, other names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials(pub TunnelToken);

impl Credentials {
    /// Reads the file's content.
    pub fn parse(json: &[u8]) -> Result<Self, TokenError> {
        let wrong = |why: String| TokenError::Credentials(why);
        if json.len() > TOKEN_BYTES_MAX {
            return Err(wrong("they are longer than 16 KiB".into()));
        }
        let json: CredentialsJson = serde_json::from_slice(json).map_err(|e| wrong(e.to_string()))?;
        let secret = BASE64_STANDARD.decode(&json.secret).map_err(|_| wrong("TunnelSecret is not base64".into()))?;
        let poterne = json.poterne.map(Poterne::try_from).transpose().map_err(|why| wrong(why.into()))?;
        let endpoint = (!json.endpoint.is_empty()).then_some(json.endpoint);
        Ok(Self(TunnelToken { account: json.account, tunnel: json.tunnel, secret: Secret::new(secret), endpoint, poterne }))
    }

    /// The file's content.
    pub fn encode(&self) -> Vec<u8> {
        let token = &self.0;
        serde_json::to_vec(&CredentialsJson {
            account: token.account.clone(),
            secret: BASE64_STANDARD.encode(token.secret.expose()),
            tunnel: token.tunnel,
            endpoint: token.endpoint.clone().unwrap_or_default(),
            poterne: token.poterne.as_ref().map(PoterneJson::from),
        })
        .expect("strings serialise")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &str = "eyJhIjoiMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYiLCJ0IjoiM2Q1MzlmOTctY2QzYS00ZDhlLTgzM2ItNjVlOTA5OWM3YThkIiwicyI6IkFBRUNBd1FGQmdjSUNRb0xEQTBPRHhBUkVoTVVGUllYR0JrYUd4d2RIaDg9In0=";

    #[test]
    fn the_recorded_token_is_read_and_written() {
        let mut token = TunnelToken::parse(RECORDED).unwrap();
        assert_eq!(token.account, "0123456789abcdef0123456789abcdef");
        assert_eq!(token.secret.expose(), (0..32).collect::<Vec<u8>>());
        assert_eq!(token.encode(), RECORDED);
        token.poterne = Some(Poterne { edges: vec!["edge.example.net:7844".into()], pin: [7; 32] });
        assert_eq!(TunnelToken::parse(&format!("  {}\n", token.encode())).unwrap(), token);
        assert!(!format!("{token:?}").contains("[0, 1"), "a secret is never shown");
    }

    #[test]
    fn broken_tokens_are_refused_without_showing_them() {
        for wrong in ["", "eyJ", "bm90IGpzb24=", &"A".repeat(20_000)] {
            let text = TunnelToken::parse(wrong).unwrap_err().to_string();
            assert!(text.contains("copy it again"), "{text}");
        }
    }

    #[test]
    fn credentials_files_are_read_and_written() {
        let json = br#"{"AccountTag":"x","TunnelSecret":"AAEC","TunnelID":"3d539f97-cd3a-4d8e-833b-65e9099c7a8d","Endpoint":""}"#;
        let credentials = Credentials::parse(json).unwrap();
        assert_eq!(credentials.0.secret.expose(), [0, 1, 2]);
        assert_eq!(Credentials::parse(&credentials.encode()).unwrap(), credentials);
        assert!(Credentials::parse(b"{}").unwrap_err().to_string().contains("AccountTag"));
    }
}
