//! Requests for certificates (PKCS#10, RFC 2986) that somebody sends.

use rcgen::{DistinguishedName, DnType, SubjectPublicKeyInfo};
use serde::{Deserialize, Serialize};
use x509_parser::{
    certification_request::X509CertificationRequest,
    prelude::FromDer as _,
    public_key::PublicKey,
    x509::{AttributeTypeAndValue, X509Name},
};

/// Longest request in PEM form that is read, in bytes: one of an RSA key of 8192 bits takes a third of it.
const PEM_BYTES_MAX: usize = 16 * 1024;

/// A request whose signature was found to be its key's. What it says beside its key nobody needs to believe; visitors'
/// certificates repeat whom it names.
pub struct Request {
    key: SubjectPublicKeyInfo,
    is_rsa: bool,
    subject: RequestSubject,
}

/// Whom a request names, each at most 64 characters (RFC 5280 appendix A.1), and the first where there are several.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestSubject {
    /// CN.
    pub common_name: Option<String>,
    /// O.
    pub organization: Option<String>,
    /// OU.
    pub organizational_unit: Option<String>,
    /// L.
    pub location: Option<String>,
    /// ST.
    pub state: Option<String>,
    /// C, two letters.
    pub country: Option<String>,
}

impl RequestSubject {
    fn of(name: &X509Name<'_>) -> Self {
        fn first<'a, 'b: 'a>(mut all: impl Iterator<Item = &'a AttributeTypeAndValue<'b>>) -> Option<String> {
            let text = all.find_map(|attribute| attribute.as_str().ok()).map(str::trim)?;
            let text: String = text.chars().filter(|c| !c.is_control()).take(64).collect();
            Some(text).filter(|text| !text.is_empty())
        }
        let is_code = |code: &String| code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_alphabetic());
        Self {
            common_name: first(name.iter_common_name()),
            organization: first(name.iter_organization()),
            organizational_unit: first(name.iter_organizational_unit()),
            location: first(name.iter_locality()),
            state: first(name.iter_state_or_province()),
            country: first(name.iter_country()).filter(is_code),
        }
    }

    pub(crate) fn distinguished_name(&self) -> DistinguishedName {
        let mut name = DistinguishedName::new();
        for (kind, value) in [
            (DnType::CountryName, &self.country),
            (DnType::StateOrProvinceName, &self.state),
            (DnType::LocalityName, &self.location),
            (DnType::OrganizationName, &self.organization),
            (DnType::OrganizationalUnitName, &self.organizational_unit),
            (DnType::CommonName, &self.common_name),
        ] {
            if let Some(value) = value {
                name.push(kind, value.as_str());
            }
        }
        name
    }
}

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// It is none.
    #[error("it is no certificate signing request in PEM form (BEGIN CERTIFICATE REQUEST), or is not signed by its own key: {0}")]
    Malformed(String),
    /// Its key is of a kind that is not used.
    #[error("its key is RSA of {0} bits: 2048 to 8192 are taken")]
    Bits(usize),
}

impl Request {
    /// Reads one.
    ///
    /// # Errors
    /// It is none, or its key is not one to be used.
    pub fn parse(pem: &str) -> Result<Self, RequestError> {
        if pem.len() > PEM_BYTES_MAX {
            return Err(RequestError::Malformed(format!("it is longer than {PEM_BYTES_MAX} bytes")));
        }
        let malformed = |why: &str| RequestError::Malformed(why.to_owned());
        let block = pem::parse(pem).map_err(|error| RequestError::Malformed(error.to_string()))?;
        let (rest, request) =
            X509CertificationRequest::from_der(block.contents()).map_err(|_| malformed("its content does not parse"))?;
        let public = &request.certification_request_info.subject_pki;
        let is_rsa = match public.parsed() {
            Ok(PublicKey::RSA(key)) => {
                // Measured before it is used: what is too short cannot be verified, and what is too long takes its time.
                let bits = key.key_size();
                if !(2048..=8192).contains(&bits) {
                    return Err(RequestError::Bits(bits));
                }
                true
            }
            _ => false,
        };
        if !rest.is_empty() || request.verify_signature().is_err() {
            return Err(malformed("its signature is not its key's"));
        }
        let key = SubjectPublicKeyInfo::from_der(public.raw)
            .map_err(|_| malformed("its key is neither RSA nor on P-256, P-384 or Ed25519"))?;
        Ok(Self { key, is_rsa, subject: RequestSubject::of(&request.certification_request_info.subject) })
    }

    /// Whether its key is RSA; else it is on an elliptic curve.
    pub fn is_rsa(&self) -> bool {
        self.is_rsa
    }

    /// Whom it names.
    pub fn subject(&self) -> &RequestSubject {
        &self.subject
    }

    pub(crate) fn public_key(&self) -> &SubjectPublicKeyInfo {
        &self.key
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Request(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with `openssl req -new -newkey rsa:1024`, whose key nobody has any more.
    const SHORT: &str = include_str!("example/rsa1024.csr");
    const RSA: &str = include_str!("example/rsa2048.csr");

    #[test]
    fn a_key_that_is_too_short_is_not_certified() {
        assert!(Request::parse(RSA).unwrap().is_rsa());
        assert!(matches!(Request::parse(SHORT), Err(RequestError::Bits(1024))), "{:?}", Request::parse(SHORT));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let changed = RSA.replacen("MII", "MIJ", 1);
        for text in
            ["", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", &changed, &"x".repeat(20_000)]
        {
            assert!(matches!(Request::parse(text), Err(RequestError::Malformed(_))), "{text:.40}");
        }
    }
}
