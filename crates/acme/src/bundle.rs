//! Certificates of authorities that somebody brings, in one text: strangers' bytes, all of which is checked.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::certificate::X509Certificate;

use crate::leaf;

/// Longest text that is read, in bytes, and most certificates in it.
pub const BUNDLE_BYTES_MAX: usize = 64 * 1024;
/// See [`BUNDLE_BYTES_MAX`].
pub const BUNDLE_LENGTH_MAX: usize = 10;

/// Some authorities' certificates, and what the first says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// All of them in PEM form, and nothing else that the text had: people paste keys too.
    pub pem: String,
    /// Who issued the first: its distinguished name.
    pub issuer: String,
    /// What it is signed with, as the API has it.
    pub signature: String,
    /// Its serial number, decimal.
    pub serial: String,
    /// Until when it is good, in seconds since the Unix epoch.
    pub not_after: i64,
}

impl Bundle {
    /// Reads one.
    ///
    /// # Errors
    /// It holds none, or one that is no authority's, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let all = ders(text)?;
        let (mut first, mut pem) = (None, String::new());
        for (place, der) in all.iter().enumerate() {
            let number = place + 1;
            let certificate = parsed(number, der)?;
            if !certificate.is_ca() {
                let subject = certificate.subject().to_string();
                return Err(format!(
                    "certificate {number} of it, {subject:.200}, is no authority's (basicConstraints CA): bring the certificate of who issues"
                ));
            }
            first.get_or_insert_with(|| Self {
                pem: String::new(),
                issuer: certificate.issuer().to_string().chars().take(200).collect(),
                signature: leaf::signature(&certificate.signature_algorithm.algorithm.to_id_string()),
                serial: certificate.tbs_certificate.serial.to_string(),
                not_after: certificate.validity().not_after.timestamp(),
            });
            pem.push_str(&in_pem(der));
        }
        first.map(|first| Self { pem, ..first }).ok_or_else(|| "it holds no certificate".to_owned())
    }
}

/// Some certificates, of authorities or not: all of them in PEM form, and nothing else that the text had.
///
/// # Errors
/// It holds none, or one that cannot be read, in words.
pub fn certificates(text: &str) -> Result<String, String> {
    let mut pem = String::new();
    for (place, der) in ders(text)?.iter().enumerate() {
        parsed(place + 1, der)?;
        pem.push_str(&in_pem(der));
    }
    Ok(pem)
}

fn ders(text: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    if text.len() > BUNDLE_BYTES_MAX {
        return Err(format!("it is longer than {BUNDLE_BYTES_MAX} bytes"));
    }
    let all: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| format!("it is not PEM: {error}"))?;
    if all.is_empty() || all.len() > BUNDLE_LENGTH_MAX {
        return Err(format!("it holds {} certificates; 1 to {BUNDLE_LENGTH_MAX} are taken", all.len()));
    }
    Ok(all)
}

fn parsed<'d>(number: usize, der: &'d CertificateDer<'_>) -> Result<X509Certificate<'d>, String> {
    let (rest, certificate) = x509_parser::parse_x509_certificate(der)
        .map_err(|error| format!("certificate {number} of it does not parse: {error}"))?;
    if rest.is_empty() { Ok(certificate) } else { Err(format!("certificate {number} of it has {} bytes too many", rest.len())) }
}

/// RFC 7468 §2: 64 characters a line.
fn in_pem(der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, SerialNumber};

    use super::*;

    fn certificate(is_ca: IsCa) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "visitors");
        params.serial_number = Some(SerialNumber::from_slice(&[1, 0]));
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        params.is_ca = is_ca;
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn an_authority_is_read_and_nothing_else_is_kept() {
        let (one, key) = certificate(IsCa::Ca(BasicConstraints::Unconstrained));
        let (other, _) = certificate(IsCa::Ca(BasicConstraints::Constrained(0)));
        let bundle = Bundle::parse(&format!("some words\n{one}{key}{other}")).unwrap();
        assert_eq!((&*bundle.issuer, &*bundle.serial, bundle.not_after), ("CN=visitors", "256", 1_893_456_000));
        assert_eq!(bundle.signature, "ECDSAWithSHA256");
        let (own, own_key) = certificate(IsCa::ExplicitNoCa);
        let kept = certificates(&format!("{own_key}{own}{one}")).unwrap();
        assert!(!kept.contains("PRIVATE") && kept.matches("BEGIN CERTIFICATE").count() == 2);
        assert!(!bundle.pem.contains("PRIVATE") && bundle.pem.matches("BEGIN CERTIFICATE").count() == 2);
        assert_eq!(Bundle::parse(&bundle.pem).unwrap(), bundle, "what is kept is read again");
    }

    #[test]
    fn what_is_no_authority_is_refused() {
        let refused = |text: &str| Bundle::parse(text).unwrap_err();
        let (one, key) = certificate(IsCa::Ca(BasicConstraints::Unconstrained));
        assert!(refused(&certificate(IsCa::ExplicitNoCa).0).contains("no authority's"));
        assert!(refused("").contains("0 certificates") && refused(&key).contains("0 certificates"));
        assert!(refused(&one.repeat(BUNDLE_LENGTH_MAX + 1)).contains("11 certificates"));
        assert!(refused(&"x".repeat(BUNDLE_BYTES_MAX + 1)).contains("longer"));
        let damaged = one.replacen("MII", "MIJ", 1);
        assert!(Bundle::parse(&damaged).is_err());
        assert!(certificates(&key).is_err() && certificates(&damaged).is_err());
    }
}
