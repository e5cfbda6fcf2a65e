//! Management tokens: compact JWS (RFC 7515 §3.1) of JWT claims (RFC 7519), signed with ES256 (RFC 7518 §3.4) and nothing else.
//!
//! The stock agent reads `tun` and `actor` and checks no signature; the edge checks everything. What a token is for stands in `res`.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use super::Path;

/// Longest token read, in bytes; ours have about 500.
pub const TOKEN_BYTES_MAX: usize = 4096;
/// Bytes of an ES256 signature: r and s.
pub const SIGNATURE_BYTES: usize = 64;
/// Of every token.
const HEADER: &str = r#"{"alg":"ES256","typ":"JWT"}"#;

/// What a token may be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// The agent's log, as it is written.
    Logs,
    /// All of the service, diagnostics among it.
    Admin,
    /// Which connector this is.
    HostDetails,
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Logs, Self::Admin, Self::HostDetails];

    /// Its word in `res`, and in the API's path.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Admin => "admin",
            Self::HostDetails => "host_details",
        }
    }

    /// The one of that word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|resource| resource.as_str() == word)
    }
}

/// A word that is none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a management token is for logs, admin or host_details")]
pub struct ResourceError;

impl std::str::FromStr for Resource {
    type Err = ResourceError;

    fn from_str(word: &str) -> Result<Self, ResourceError> {
        Self::of_word(word).ok_or(ResourceError)
    }
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Of which tunnel.
    pub tun: Tunnel,
    /// For whom.
    pub actor: Actor,
    /// What it is for; empty in tokens of an issuer that does not say.
    #[serde(default)]
    pub res: Vec<String>,
    /// When it was made, in seconds since the Unix epoch.
    #[serde(default)]
    pub iat: u64,
    /// When it ends.
    #[serde(default)]
    pub exp: u64,
    /// By whom: for Poterne's tokens the management hostname, with its port unless that is 443.
    #[serde(default)]
    pub iss: String,
}

/// The tunnel of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tunnel {
    /// Its id.
    pub id: String,
    /// Its account's.
    pub account_tag: String,
}

/// Whom a token is for: of two sessions of one actor the later takes over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Which; of a person, a token, or the operator.
    pub id: String,
    /// Of a vendor's support: never so here.
    #[serde(default)]
    pub support: bool,
}

/// A token taken apart; its signature is not checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token<'a> {
    /// What it says.
    pub claims: Claims,
    /// The bytes that are signed.
    pub signed: &'a [u8],
    /// ES256 over them.
    pub signature: [u8; SIGNATURE_BYTES],
}

/// Not a management token. The text is never shown: it may be a good one with a letter too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than [`TOKEN_BYTES_MAX`].
    #[error("the access token is longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    /// Not three parts in base64url.
    #[error("the access token is not of three parts in base64url")]
    Form,
    /// Another algorithm, none among them.
    #[error("the access token is not signed with ES256")]
    Algorithm,
    /// A claim is missing.
    #[error("the access token lacks what it must say of its tunnel and its actor")]
    Claims,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
}

impl<'a> Token<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &'a str) -> Result<Self, TokenError> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(TokenError::Form)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Form)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Form);
        let (header, claims, signature) = (decode(header)?, decode(claims)?, decode(signature)?);
        let header: Header = serde_json::from_slice(&header).map_err(|_| TokenError::Form)?;
        if header.alg != "ES256" {
            return Err(TokenError::Algorithm);
        }
        let signature = signature.try_into().map_err(|_| TokenError::Form)?;
        let claims: Claims = serde_json::from_slice(&claims).map_err(|_| TokenError::Claims)?;
        if claims.tun.id.is_empty() || claims.tun.account_tag.is_empty() || claims.actor.id.is_empty() {
            return Err(TokenError::Claims);
        }
        Ok(Self { claims, signed: signed.as_bytes(), signature })
    }
}

impl Claims {
    /// What a token for these resources says in `res`. Whoever may do something may ask whether the agent is there.
    pub fn words(resources: &[Resource]) -> Vec<String> {
        let mut words: Vec<&str> = resources.iter().map(|resource| resource.as_str()).collect();
        words.push("ping");
        words.sort_unstable();
        words.dedup();
        words.into_iter().map(str::to_owned).collect()
    }

    /// Whether a request for this path may be made with it.
    pub fn allows(&self, path: Path) -> bool {
        let has = |word: &str| self.res.iter().any(|found| found == word);
        has(Resource::Admin.as_str())
            || match path {
                Path::Ping => !self.res.is_empty(),
                Path::HostDetails => has(Resource::HostDetails.as_str()),
                Path::Logs => has(Resource::Logs.as_str()),
                Path::Other => false,
            }
    }

    /// The whole token; `sign` makes an ES256 signature of the bytes it is given.
    pub fn encode(&self, sign: impl FnOnce(&[u8]) -> [u8; SIGNATURE_BYTES]) -> String {
        let claims = serde_json::to_vec(self).expect("strings and numbers serialise");
        let mut token = format!("{}.{}", URL_SAFE_NO_PAD.encode(HEADER), URL_SAFE_NO_PAD.encode(claims));
        let signature = sign(token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(resources: &[Resource]) -> Claims {
        Claims {
            tun: Tunnel { id: "3d539f97-cd3a-4d8e-833b-65e9099c7a8d".into(), account_tag: "a".into() },
            actor: Actor { id: "operator".into(), support: false },
            res: Claims::words(resources),
            iat: 1,
            exp: 3601,
            iss: "management.test".into(),
        }
    }

    #[test]
    fn a_token_says_what_was_put_into_it() {
        let claims = claims(&[Resource::Logs]);
        assert_eq!(claims.res, ["logs", "ping"]);
        let mut signed = Vec::new();
        let text = claims.encode(|bytes| {
            signed.extend_from_slice(bytes);
            [7; SIGNATURE_BYTES]
        });
        let token = Token::parse(&text).unwrap();
        assert_eq!((&token.claims, token.signed, token.signature), (&claims, &signed[..], [7; SIGNATURE_BYTES]));
    }

    #[test]
    fn a_token_opens_what_it_is_for_and_no_more() {
        let opens = |resource| {
            let claims = claims(&[resource]);
            ["/ping", "/logs", "/host_details", "/metrics", "/logs/"].map(|path| claims.allows(Path::of(path)))
        };
        assert_eq!(opens(Resource::Logs), [true, true, false, false, false]);
        assert_eq!(opens(Resource::HostDetails), [true, false, true, false, false]);
        assert_eq!(opens(Resource::Admin), [true; 5]);
        let silent = Claims { res: Vec::new(), ..claims(&[]) };
        assert!(!silent.allows(Path::Ping), "what a token does not say it does not open");
    }

    #[test]
    fn what_is_no_token_is_refused_without_being_shown() {
        let sign = |_: &[u8]| [7; SIGNATURE_BYTES];
        let good = claims(&[]).encode(sign);
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let with_header = |header: &str| {
            let rest = good.split_once('.').unwrap().1;
            format!("{}.{rest}", part(header))
        };
        let nobody = Claims { actor: Actor { id: String::new(), support: false }, ..claims(&[]) }.encode(sign);
        for (wrong, error) in [
            (String::new(), TokenError::Form),
            ("a.b".into(), TokenError::Form),
            (good[..good.len() - 2].to_owned(), TokenError::Form),
            (format!("{good}="), TokenError::Form),
            ("x".repeat(TOKEN_BYTES_MAX + 1), TokenError::TooLong),
            (with_header(r#"{"alg":"none"}"#), TokenError::Algorithm),
            (with_header(r#"{"alg":"HS256"}"#), TokenError::Algorithm),
            (with_header("{}"), TokenError::Form),
            (nobody, TokenError::Claims),
        ] {
            assert_eq!(Token::parse(&wrong), Err(error), "{wrong}");
        }
    }
}
