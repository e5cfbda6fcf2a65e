//! What a certificate says of itself: read from strangers' bytes, so all of it is checked.

use poterne_model::Name;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use x509_parser::{
    certificate::X509Certificate,
    extensions::{GeneralName, ParsedExtension},
};

use crate::window;

/// Longest chain in PEM form that is read, in bytes, and most certificates in it.
pub const CHAIN_BYTES_MAX: usize = 256 * 1024;
/// See [`CHAIN_BYTES_MAX`].
pub const CHAIN_LENGTH_MAX: usize = 10;

/// The extension by which a certificate asks for stapling (RFC 7633).
const TLS_FEATURE: &str = "1.3.6.1.5.5.7.1.24";

/// A chain and what its first certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// DER, leaf first.
    pub chain: Vec<Vec<u8>>,
    /// The names it is for; what is no name of a host is not among them.
    pub names: Vec<Name>,
    /// Who issued it, by organization, else by common name.
    pub issuer: String,
    /// What it is signed with, as the API has it: `ECDSAWithSHA256`, `SHA256WithRSA`.
    pub signature: String,
    /// From when it is good, in seconds since the Unix epoch.
    pub not_before: i64,
    /// Until when.
    pub not_after: i64,
    /// What its authority knows it by (RFC 9773 §4.1).
    pub ari: Option<String>,
    /// Whether it is to be used only with a word of its authority's at hand (RFC 7633), which this node does not ask for.
    pub must_staple: bool,
    /// Its public key (SubjectPublicKeyInfo, DER).
    pub public_key: Vec<u8>,
}

impl Leaf {
    /// Reads a chain in PEM form, leaf first.
    ///
    /// # Errors
    /// It is none, or is not one chain, in words.
    pub fn parse(pem: &str) -> Result<Self, String> {
        Self::of_pem(pem, true)
    }

    fn of_pem(pem: &str, names_hosts: bool) -> Result<Self, String> {
        if pem.len() > CHAIN_BYTES_MAX {
            return Err(format!("it is longer than {CHAIN_BYTES_MAX} bytes"));
        }
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|error| format!("it is not PEM: {error}"))?;
        Self::of_certificates(chain.into_iter().map(|der| der.to_vec()).collect(), names_hosts)
    }

    /// The same of a certificate that need be for no host: a client's.
    ///
    /// # Errors
    /// See [`Leaf::parse`].
    pub fn parse_any(pem: &str) -> Result<Self, String> {
        Self::of_pem(pem, false)
    }

    /// Reads a chain in DER form, leaf first.
    ///
    /// # Errors
    /// See [`Leaf::parse`].
    pub fn of_chain(chain: Vec<Vec<u8>>) -> Result<Self, String> {
        Self::of_certificates(chain, true)
    }

    fn of_certificates(chain: Vec<Vec<u8>>, names_hosts: bool) -> Result<Self, String> {
        if chain.is_empty() || chain.len() > CHAIN_LENGTH_MAX {
            return Err(format!("it holds {} certificates; 1 to {CHAIN_LENGTH_MAX} are taken", chain.len()));
        }
        let mut parsed = Vec::with_capacity(chain.len());
        for (place, der) in chain.iter().enumerate() {
            let (rest, certificate) = x509_parser::parse_x509_certificate(der)
                .map_err(|error| format!("certificate {} of the chain does not parse: {error}", place + 1))?;
            if !rest.is_empty() {
                return Err(format!("certificate {} of the chain has {} bytes too many", place + 1, rest.len()));
            }
            parsed.push(certificate);
        }
        for (place, pair) in parsed.windows(2).enumerate() {
            if pair[0].issuer() != pair[1].subject() {
                return Err(format!(
                    "certificate {} of the chain was issued by {:?}, and the next one is {:?}: write the leaf first, then who issued it",
                    place + 1,
                    pair[0].issuer().to_string(),
                    pair[1].subject().to_string()
                ));
            }
        }
        let leaf = read(&parsed[0])?;
        if names_hosts && leaf.names.is_empty() {
            return Err("it names no host (subjectAltName)".to_owned());
        }
        Ok(Self { chain, ..leaf })
    }
}

fn read(certificate: &X509Certificate<'_>) -> Result<Leaf, String> {
    let san = certificate.subject_alternative_name().map_err(|error| format!("its names do not parse: {error}"))?;
    let names = san.iter().flat_map(|san| &san.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) => Name::parse(name).ok(),
        _ => None,
    });
    let mut names: Vec<Name> = names.collect();
    names.sort();
    names.dedup();
    let issuer = certificate.issuer();
    let said = issuer.iter_organization().chain(issuer.iter_common_name()).find_map(|attribute| attribute.as_str().ok());
    let key = certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(found) => found.key_identifier.as_ref().map(|id| id.0),
        _ => None,
    });
    Ok(Leaf {
        chain: Vec::new(),
        names,
        issuer: said.unwrap_or_default().chars().take(200).collect(),
        signature: signature(&certificate.signature_algorithm.algorithm.to_id_string()),
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
        ari: key.map(|key| window::certificate_id(key, certificate.tbs_certificate.raw_serial())),
        must_staple: certificate.iter_extensions().any(|extension| extension.oid.to_id_string() == TLS_FEATURE),
        public_key: certificate.public_key().raw.to_vec(),
    })
}

/// A signature's algorithm as the API calls it.
pub(crate) fn signature(oid: &str) -> String {
    match oid {
        "1.2.840.10045.4.3.2" => "ECDSAWithSHA256",
        "1.2.840.10045.4.3.3" => "ECDSAWithSHA384",
        "1.2.840.10045.4.3.4" => "ECDSAWithSHA512",
        "1.2.840.113549.1.1.11" => "SHA256WithRSA",
        "1.2.840.113549.1.1.12" => "SHA384WithRSA",
        "1.2.840.113549.1.1.13" => "SHA512WithRSA",
        "1.3.101.112" => "Ed25519",
        other => other,
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair};

    use super::*;

    fn chain(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
        let (root_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.distinguished_name.push(DnType::OrganizationName, "Test CA");
        let root_certificate = root.self_signed(&root_key).unwrap();
        let issuer = Issuer::new(root, root_key);
        let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        params.use_authority_key_identifier_extension = true;
        change(&mut params);
        (params.signed_by(&key, &issuer).unwrap().pem(), root_certificate.pem())
    }

    #[test]
    fn a_chain_says_what_it_is_for() {
        let (leaf, root) = chain(&["www.example.com", "*.Example.com", "www.example.com", "192.0.2.1"], |_| {});
        let read = Leaf::parse(&(leaf.clone() + &root)).unwrap();
        assert_eq!(read.names.iter().map(Name::as_str).collect::<Vec<_>>(), ["*.example.com", "www.example.com"]);
        assert_eq!((read.issuer.as_str(), read.signature.as_str(), read.chain.len()), ("Test CA", "ECDSAWithSHA256", 2));
        assert!(read.not_before < read.not_after && !read.must_staple);
        assert!(read.ari.is_some_and(|ari| ari.split('.').count() == 2));
        let swapped = Leaf::parse(&(root + &leaf)).unwrap_err();
        assert!(swapped.contains("names no host") || swapped.contains("leaf first"), "{swapped}");
    }

    #[test]
    fn what_is_no_certificate_of_a_host_is_refused() {
        for wrong in ["", "text", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(Leaf::parse(wrong).is_err(), "{wrong:?}");
        }
        let (leaf, _) = chain(&["192.0.2.1"], |_| {});
        assert!(Leaf::parse(&leaf).unwrap_err().contains("names no host"));
        let (leaf, _) = chain(&["a.example.com"], |_| {});
        assert!(Leaf::parse(&leaf.repeat(11)).is_err());
        assert!(Leaf::parse(&leaf.repeat(2)).unwrap_err().contains("leaf first"), "it did not issue itself");
        let (leaf, _) = chain(&["a.example.com"], |params| {
            // RFC 7633: status_request, and nothing else.
            params
                .custom_extensions
                .push(CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 24], vec![0x30, 3, 2, 1, 5]));
        });
        assert!(Leaf::parse(&leaf).unwrap().must_staple);
    }
}
