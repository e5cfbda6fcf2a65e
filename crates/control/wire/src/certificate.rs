//! `cert.pem`: who asks the API, for which account and zone, and (ours) at which node (api-v4 §6.5, tunnel-protocol §9.3).
//!
//! The stock agent reads what it knows of the JSON and takes no notice of `CERTIFICATE` blocks, so both agents read the same file.

use pem::{EncodeConfig, LineEnding, Pem};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The one block that says something to every agent.
const LABEL: &str = "ARGO TUNNEL TOKEN";
/// Longest file read, in bytes: a chain of authorities fits.
pub const CERTIFICATE_BYTES_MAX: usize = 256 * 1024;

/// What a `cert.pem` says. Whoever has it may do what its token may: nothing here shows it.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct LoginCertificate {
    /// The zone whose names `route dns` may lead.
    #[zeroize(skip)]
    pub zone: String,
    /// The account whose tunnels are meant.
    #[zeroize(skip)]
    pub account: String,
    /// A bearer token of the API.
    pub token: String,
    /// The API's base, as `https://node.example.net/client/v4`; absent in files that Poterne did not write.
    #[zeroize(skip)]
    pub api: Option<String>,
    /// PEM of the authorities that vouch for the node, where they are not the web's.
    #[zeroize(skip)]
    pub authorities: Option<String>,
}

/// Why a file is no `cert.pem`. Never shows its content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not a PEM file.
    #[error("it is not PEM ({0})")]
    NotPem(String),
    /// PEM of something else.
    #[error("it has a block {0:?}, which does not belong there")]
    Block(String),
    /// The block is missing, or there twice.
    #[error("it has {0} blocks {LABEL:?} where one belongs")]
    Blocks(usize),
    /// The block's JSON.
    #[error("its {LABEL:?} block is not the JSON it must be ({0})")]
    Json(String),
    /// A member that every verb needs.
    #[error("its {0} is empty")]
    Missing(&'static str),
    /// More than any such file has.
    #[error("it is longer than {CERTIFICATE_BYTES_MAX} bytes")]
    TooLong,
}

#[derive(Serialize, Deserialize)]
struct Content {
    #[serde(rename = "zoneID", default)]
    zone: String,
    #[serde(rename = "accountID", default)]
    account: String,
    #[serde(rename = "apiToken", default)]
    token: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    poterne: Option<Node>,
}

#[derive(Serialize, Deserialize)]
struct Node {
    api: String,
}

impl LoginCertificate {
    /// Reads the file's content.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, CertificateError> {
        if text.len() > CERTIFICATE_BYTES_MAX {
            return Err(CertificateError::TooLong);
        }
        let blocks = pem::parse_many(text).map_err(|error| CertificateError::NotPem(error.to_string()))?;
        let known = [LABEL, "CERTIFICATE", "PRIVATE KEY"];
        if let Some(other) = blocks.iter().find(|block| !known.contains(&block.tag())) {
            return Err(CertificateError::Block(other.tag().chars().take(64).collect()));
        }
        let mut contents = blocks.iter().filter(|block| block.tag() == LABEL);
        let (Some(block), None) = (contents.next(), contents.next()) else {
            return Err(CertificateError::Blocks(blocks.iter().filter(|block| block.tag() == LABEL).count()));
        };
        // The parser's words would repeat what it met, which may be the token.
        let wrong = |error: serde_json::Error| CertificateError::Json(format!("column {}", error.column()));
        let Content { zone, account, token, poterne } = serde_json::from_slice(block.contents()).map_err(wrong)?;
        for (value, name) in [(&zone, "zoneID"), (&account, "accountID"), (&token, "apiToken")] {
            if value.is_empty() {
                return Err(CertificateError::Missing(name));
            }
        }
        let api = poterne.map(|node| node.api);
        // Files of the hosted service may hold certificates that are no authorities.
        let authorities = blocks.iter().filter(|block| api.is_some() && block.tag() == "CERTIFICATE");
        let authorities: String = authorities.map(encode).collect();
        Ok(Self { zone, account, token, api, authorities: Some(authorities).filter(|text| !text.is_empty()) })
    }

    /// The file's content.
    pub fn encode(&self) -> String {
        let content = Content {
            zone: self.zone.clone(),
            account: self.account.clone(),
            token: self.token.clone(),
            poterne: self.api.clone().map(|api| Node { api }),
        };
        let json = serde_json::to_vec(&content).expect("strings serialise");
        let authorities = self.authorities.as_deref().map(pem::parse_many).and_then(Result::ok).unwrap_or_default();
        let authorities = authorities.iter().filter(|block| block.tag() == "CERTIFICATE").map(encode);
        std::iter::once(encode(&Pem::new(LABEL, json))).chain(authorities).collect()
    }
}

fn encode(block: &Pem) -> String {
    pem::encode_config(block, EncodeConfig::new().set_line_ending(LineEnding::LF))
}

impl std::fmt::Debug for LoginCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginCertificate").field("zone", &self.zone).field("account", &self.account).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate() -> LoginCertificate {
        LoginCertificate {
            zone: "0b".repeat(16),
            account: "0a".repeat(16),
            token: "s3cret".into(),
            api: Some("https://node.example.net/client/v4".into()),
            authorities: Some(encode(&Pem::new("CERTIFICATE", vec![1, 2, 3]))),
        }
    }

    fn file(json: &str) -> String {
        encode(&Pem::new(LABEL, json))
    }

    #[test]
    fn what_is_written_is_read_and_nothing_secret_is_shown() {
        let written = certificate();
        assert_eq!(LoginCertificate::parse(&written.encode()), Ok(written.clone()));
        assert!(!format!("{written:?}").contains("s3cret"));
        let mut stock = written;
        (stock.api, stock.authorities) = (None, None);
        assert_eq!(LoginCertificate::parse(&stock.encode()), Ok(stock.clone()));
        assert_eq!(stock.encode().matches("-----BEGIN").count(), 1);
    }

    #[test]
    fn authorities_count_only_beside_a_node() {
        let json = r#"{"zoneID":"z","accountID":"a","apiToken":"t","endpoint":""}"#;
        let text = file(json) + &encode(&Pem::new("CERTIFICATE", vec![1])) + &encode(&Pem::new("PRIVATE KEY", vec![2]));
        let read = LoginCertificate::parse(&text).unwrap();
        assert_eq!((read.api.clone(), read.authorities.clone()), (None, None));
    }

    #[test]
    fn what_is_wrong_is_named_without_its_content() {
        let told = |text: &str| LoginCertificate::parse(text).unwrap_err();
        assert_eq!(told("nothing"), CertificateError::Blocks(0));
        assert_eq!(told(&file("{}").repeat(2)), CertificateError::Blocks(2));
        assert_eq!(told(&encode(&Pem::new("RSA PRIVATE KEY", vec![1]))), CertificateError::Block("RSA PRIVATE KEY".into()));
        assert_eq!(told(&file(r#"{"zoneID":"z","apiToken":"t"}"#)), CertificateError::Missing("accountID"));
        assert!(!told(&file(r#"{"apiToken":["s3cret"]}"#)).to_string().contains("s3cret"));
        assert_eq!(told(&"x".repeat(CERTIFICATE_BYTES_MAX + 1)), CertificateError::TooLong);
        assert!(matches!(told("-----BEGIN X-----\n!\n-----END X-----\n"), CertificateError::NotPem(_)));
    }
}
