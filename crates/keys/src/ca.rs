//! Local certificate authorities: the tunnel CA, which agents pin, and the visitors' CA of a demo or a private zone.
//!
//! ECDSA P-256 throughout: what every client accepts, stock agents included.

use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256, PublicKeyData, SerialNumber,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::{KeyFileError, NodeKey, Purpose, Request, Secret, random_bytes, read_private_file, sha256, write_private_file};

/// Life of a CA. Long, because agents pin it; it is replaced by announcing the next pin first.
const CA_LIFE: Duration = Duration::from_secs(10 * 365 * 86_400);

/// How far into the past validity begins, for clients whose clock is slow.
const SKEW: Duration = Duration::from_secs(86_400);

/// A CA within this time of its end should be replaced.
const CA_RENEWAL: Duration = Duration::from_secs(365 * 86_400);

/// Longest life of a leaf that Apple's and Chrome's verifiers accept from a local CA is 825 days; this is the default here.
const LEAF_LIFE: Duration = Duration::from_secs(90 * 86_400);

const PEM_KEY_LABEL: &str = "POTERNE WRAPPED KEY";

/// What a CA to be made is.
#[derive(Debug, Clone)]
pub struct CaSpec {
    /// Its common name, which a person reads in a list of trusted authorities; also what its wrapped key is bound to.
    pub name: String,
    /// DNS subtrees it may certify, itself included (`localhost` allows `a.b.localhost`); empty: any name and any address.
    /// Whoever trusts a constrained CA risks no other name, even if its key leaks (RFC 5280 §4.2.1.10).
    pub permitted: Vec<String>,
}

/// Why a CA or certificate could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// Its file.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The certificate machinery refused.
    #[error("certificate of {subject}: {error}")]
    Certificate {
        /// For whom.
        subject: String,
        /// Why.
        error: rcgen::Error,
    },
    /// A name outside what the CA may certify.
    #[error("{ca} may certify names under {permitted} only, not {name}")]
    NotPermitted {
        /// The CA's name.
        ca: String,
        /// Its subtrees.
        permitted: String,
        /// The name asked for.
        name: String,
    },
}

/// A certificate with its key, ready for a listener.
#[derive(Debug)]
pub struct Leaf {
    /// The leaf, then the CA: pinning agents need the CA sent.
    pub chain: Vec<CertificateDer<'static>>,
    /// PKCS#8.
    pub key: PrivateKeyDer<'static>,
    /// End of validity.
    pub not_after: SystemTime,
    /// When to replace it: two thirds into its life.
    pub renew_at: SystemTime,
}

impl Clone for Leaf {
    fn clone(&self) -> Self {
        let Self { chain, key, not_after, renew_at } = self;
        Self { chain: chain.clone(), key: key.clone_key(), not_after: *not_after, renew_at: *renew_at }
    }
}

/// A certificate for a key that is not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// It, as PEM.
    pub pem: String,
    /// What its authority knows it by.
    pub serial: [u8; 16],
    /// End of validity.
    pub not_after: SystemTime,
}

/// One by which whoever has the key shows who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedClient {
    /// It.
    pub signed: Signed,
    /// Its key's identifier, as it stands in it (RFC 5280 §4.2.1.2).
    pub ski: Vec<u8>,
    /// SHA-256 of all of it.
    pub fingerprint: [u8; 32],
}

/// A certificate authority of this node.
pub struct LocalCa {
    name: String,
    permitted: Vec<String>,
    certificate: CertificateDer<'static>,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
    not_after: SystemTime,
}

impl LocalCa {
    /// Makes a CA, for ten years.
    pub fn generate(spec: &CaSpec, now: SystemTime) -> Result<Self, CaError> {
        Self::generate_for(spec, now, CA_LIFE)
    }

    /// Makes a CA that is good for so long.
    pub fn generate_for(spec: &CaSpec, now: SystemTime, life: Duration) -> Result<Self, CaError> {
        let wrong = |error| CaError::Certificate { subject: spec.name.clone(), error };
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(wrong)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished_name(&spec.name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.serial_number = Some(serial());
        params.not_before = whole_seconds(now - SKEW).into();
        params.not_after = whole_seconds(now + life).into();
        if !spec.permitted.is_empty() {
            // Absent kinds of name are unconstrained: addresses must be excluded by name.
            let all = [CidrSubnet::V4([0; 4], [0; 4]), CidrSubnet::V6([0; 16], [0; 16])];
            params.name_constraints = Some(NameConstraints {
                permitted_subtrees: spec.permitted.iter().cloned().map(GeneralSubtree::DnsName).collect(),
                excluded_subtrees: all.into_iter().map(GeneralSubtree::IpAddress).collect(),
            });
        }
        let certificate = params.self_signed(&key).map_err(wrong)?;
        Self::assemble(spec, certificate.der().clone(), certificate.pem(), key)
    }

    /// Reads the CA kept at `path` (mode 0600, its key wrapped by `node_key`), or makes and keeps one.
    pub fn load_or_create(path: &Path, node_key: &NodeKey, spec: &CaSpec, now: SystemTime) -> Result<Self, CaError> {
        Self::load_or_create_for(path, node_key, spec, now, CA_LIFE)
    }

    /// The same; one that is made is good for so long.
    pub fn load_or_create_for(
        path: &Path,
        node_key: &NodeKey,
        spec: &CaSpec,
        now: SystemTime,
        life: Duration,
    ) -> Result<Self, CaError> {
        if let Some(text) = read_private_file(path)? {
            return Self::parse(&text, path, node_key, spec);
        }
        let ca = Self::generate_for(spec, now, life)?;
        match write_private_file(path, &ca.text(node_key)) {
            // Another process was faster: its CA is the one.
            Err(KeyFileError::Io { error, .. }) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Self::load_or_create_for(path, node_key, spec, now, life)
            }
            written => Ok(written.map(|()| ca)?),
        }
    }

    /// A certificate for these DNS names and addresses, from a day before `now` until `life` after (default 90 days, and never
    /// longer than the CA).
    pub fn issue(&self, names: &[String], now: SystemTime, life: Option<Duration>) -> Result<Leaf, CaError> {
        let subject = names.first().cloned().unwrap_or_default();
        let wrong = |error| CaError::Certificate { subject: subject.clone(), error };
        if let Some(name) = names.iter().find(|name| !self.permits(name)) {
            let permitted = self.permitted.join(", ");
            return Err(CaError::NotPermitted { ca: self.name.clone(), permitted, name: name.clone() });
        }
        let params = CertificateParams::new(names).map_err(wrong)?;
        self.leaf(params, &subject, ExtendedKeyUsagePurpose::ServerAuth, now, life)
    }

    /// A certificate by which somebody shows who it is (`clientAuth`), under this common name; as [`Self::issue`].
    pub fn issue_client(&self, name: &str, now: SystemTime, life: Option<Duration>) -> Result<Leaf, CaError> {
        self.leaf(CertificateParams::default(), name, ExtendedKeyUsagePurpose::ClientAuth, now, life)
    }

    /// A certificate for somebody else's key (its SubjectPublicKeyInfo is in the request), for these names, until `life` after `now` and never
    /// longer than the CA.
    pub fn sign(&self, request: &Request, names: &[String], now: SystemTime, life: Duration) -> Result<Signed, CaError> {
        let subject = names.first().cloned().unwrap_or_default();
        let wrong = |error| CaError::Certificate { subject: subject.clone(), error };
        let serial = random_serial();
        let params = CertificateParams::new(names).map_err(wrong)?;
        let (mut params, not_after) = self.dated(params, &subject, ExtendedKeyUsagePurpose::ServerAuth, now, life);
        params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let certificate = params.signed_by(request.public_key(), &self.issuer).map_err(wrong)?;
        Ok(Signed { pem: certificate.pem(), serial, not_after })
    }

    /// A certificate by which the holder of somebody else's key shows who it is (`clientAuth`): whom it names stands in the request. Until `life`
    /// after `now` and never longer than the CA.
    pub fn sign_client(&self, request: &Request, now: SystemTime, life: Duration) -> Result<SignedClient, CaError> {
        let subject = request.subject();
        let named = subject.common_name.clone().unwrap_or_default();
        let wrong = |error| CaError::Certificate { subject: named.clone(), error };
        let serial = random_serial();
        let (mut params, not_after) =
            self.dated(CertificateParams::default(), &named, ExtendedKeyUsagePurpose::ClientAuth, now, life);
        params.distinguished_name = subject.distinguished_name();
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        // It says then that it is no authority, and what its key is called.
        params.is_ca = IsCa::ExplicitNoCa;
        let ski = params.key_identifier(request.public_key());
        let certificate = params.signed_by(request.public_key(), &self.issuer).map_err(wrong)?;
        let fingerprint = sha256(certificate.der());
        Ok(SignedClient { signed: Signed { pem: certificate.pem(), serial, not_after }, ski, fingerprint })
    }

    /// The same CA again, of its certificate in PEM form and its key (PKCS#8 DER, [`Self::secret`]).
    pub fn restore(spec: &CaSpec, pem: &str, secret: &Secret) -> Result<Self, CaError> {
        let wrong = |error| CaError::Certificate { subject: spec.name.clone(), error };
        let key = PrivatePkcs8KeyDer::from(secret.expose());
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ECDSA_P256_SHA256).map_err(wrong)?;
        let certificate: CertificateDer<'static> = rustls_pki_types::pem::PemObject::from_pem_slice(pem.as_bytes())
            .map_err(|_| wrong(rcgen::Error::CouldNotParseCertificate))?;
        Self::assemble(spec, certificate, pem.to_owned(), key)
    }

    /// Its key (PKCS#8 DER), to be sealed.
    pub fn secret(&self) -> Secret {
        Secret::new(self.issuer.key().serialize_der())
    }

    /// A certificate for a key made for it.
    fn leaf(
        &self,
        params: CertificateParams,
        subject: &str,
        purpose: ExtendedKeyUsagePurpose,
        now: SystemTime,
        life: Option<Duration>,
    ) -> Result<Leaf, CaError> {
        let wrong = |error| CaError::Certificate { subject: subject.to_owned(), error };
        let life = life.unwrap_or(LEAF_LIFE);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(wrong)?;
        let (params, not_after) = self.dated(params, subject, purpose, now, life);
        let certificate = params.signed_by(&key, &self.issuer).map_err(wrong)?;
        Ok(Leaf {
            chain: vec![certificate.der().clone(), self.certificate.clone()],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            not_after,
            renew_at: now + life * 2 / 3,
        })
    }

    /// What is said of every leaf, beside whom it names; and when it ends.
    fn dated(
        &self,
        mut params: CertificateParams,
        subject: &str,
        purpose: ExtendedKeyUsagePurpose,
        now: SystemTime,
        life: Duration,
    ) -> (CertificateParams, SystemTime) {
        let not_after = whole_seconds((now + life).min(self.not_after));
        // The common name is bounded at 64 characters (RFC 5280 appendix A.1), and nothing reads it where names are given.
        params.distinguished_name = distinguished_name(&subject.chars().take(64).collect::<String>());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        params.serial_number = Some(serial());
        params.use_authority_key_identifier_extension = true;
        params.not_before = whole_seconds(now - SKEW).into();
        params.not_after = not_after.into();
        (params, not_after)
    }

    /// The CA's certificate as PEM, for `ca.pem`.
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// The CA's certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The pin: SHA-256 of the SubjectPublicKeyInfo.
    pub fn spki_sha256(&self) -> [u8; 32] {
        sha256(&self.issuer.key().subject_public_key_info())
    }

    /// End of validity.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// Whether the next CA should be announced by now.
    pub fn renewal_due(&self, now: SystemTime) -> bool {
        now + CA_RENEWAL > self.not_after
    }

    fn permits(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let within =
            |subtree: &String| name.strip_suffix(subtree.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        self.permitted.is_empty() || self.permitted.iter().any(within)
    }

    fn text(&self, node_key: &NodeKey) -> Secret {
        use base64::{Engine, prelude::BASE64_STANDARD};
        let key = Secret::new(self.issuer.key().serialize_der());
        let wrapped = BASE64_STANDARD.encode(node_key.seal(Purpose::CaKey, self.name.as_bytes(), key.expose()));
        let lines: Vec<&str> = wrapped.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        let wrapped = lines.join("\n");
        let text = format!("{}-----BEGIN {PEM_KEY_LABEL}-----\n{wrapped}\n-----END {PEM_KEY_LABEL}-----\n", self.pem);
        Secret::new(text.into_bytes())
    }

    fn parse(text: &Secret, path: &Path, node_key: &NodeKey, spec: &CaSpec) -> Result<Self, CaError> {
        use base64::{Engine, prelude::BASE64_STANDARD};
        let malformed = || KeyFileError::Malformed { path: path.to_owned(), what: "local certificate authority" };
        let read = || {
            let text = std::str::from_utf8(text.expose()).ok()?;
            let (pem, rest) = text.split_once(&format!("-----BEGIN {PEM_KEY_LABEL}-----"))?;
            let body: String = rest.split_once("-----END")?.0.split_whitespace().collect();
            Some((pem.to_owned(), BASE64_STANDARD.decode(body).ok()?))
        };
        let (pem, wrapped) = read().ok_or_else(malformed)?;
        let opened = node_key.open(Purpose::CaKey, spec.name.as_bytes(), &wrapped);
        let key = opened.map_err(|error| KeyFileError::Wrapped { path: path.to_owned(), error })?;
        let key = PrivatePkcs8KeyDer::from(key.expose());
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ECDSA_P256_SHA256).map_err(|_| malformed())?;
        let certificate: CertificateDer<'static> =
            rustls_pki_types::pem::PemObject::from_pem_slice(pem.as_bytes()).map_err(|_| malformed())?;
        Self::assemble(spec, certificate, pem, key)
    }

    fn assemble(spec: &CaSpec, certificate: CertificateDer<'static>, pem: String, key: KeyPair) -> Result<Self, CaError> {
        let wrong = |error| CaError::Certificate { subject: spec.name.clone(), error };
        let (_, parsed) =
            x509_parser::parse_x509_certificate(&certificate).map_err(|_| wrong(rcgen::Error::CouldNotParseCertificate))?;
        let not_after = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or(0);
        let permitted = permitted_names(&parsed);
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(wrong)?;
        let not_after = UNIX_EPOCH + Duration::from_secs(not_after);
        Ok(Self { name: spec.name.clone(), permitted, certificate, pem, issuer, not_after })
    }
}

/// What the certificate itself says, which is what verifiers go by.
fn permitted_names(certificate: &x509_parser::certificate::X509Certificate<'_>) -> Vec<String> {
    let constraints =
        certificate.name_constraints().ok().flatten().and_then(|extension| extension.value.permitted_subtrees.as_ref());
    let names = constraints.into_iter().flatten().filter_map(|subtree| match &subtree.base {
        x509_parser::extensions::GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    names.collect()
}

fn distinguished_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// 126 random bits: positive, and of at most 20 octets (RFC 5280 §4.1.2.2).
fn serial() -> SerialNumber {
    SerialNumber::from_slice(&random_serial())
}

fn random_serial() -> [u8; 16] {
    let mut bytes: [u8; 16] = random_bytes();
    bytes[0] &= 0x7f;
    // Not 0 either, so that what stands in the certificate has as many octets as this.
    bytes[0] |= 0x40;
    bytes
}

/// Certificates count in seconds.
fn whole_seconds(time: SystemTime) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    fn demo() -> CaSpec {
        CaSpec { name: "Poterne demo visitors' CA".into(), permitted: vec!["localhost".into()] }
    }

    #[test]
    fn a_leaf_verifies_under_its_ca_for_its_names_and_its_time() {
        let ca = LocalCa::generate(&CaSpec { name: "tunnel CA".into(), permitted: Vec::new() }, now()).unwrap();
        let names = ["quic.cftunnel.com".to_owned(), "127.0.0.1".to_owned()];
        let leaf = ca.issue(&names, now(), None).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&leaf.chain[0]).unwrap();
        let (_, parent) = x509_parser::parse_x509_certificate(&leaf.chain[1]).unwrap();
        assert_eq!(parsed.issuer(), parent.subject());
        assert_eq!(sha256(parent.public_key().raw), ca.spki_sha256());
        let sans = &parsed.subject_alternative_name().unwrap().unwrap().value.general_names;
        assert_eq!(sans.len(), 2);
        assert_eq!(UNIX_EPOCH + Duration::from_secs(parsed.validity().not_after.timestamp() as u64), now() + LEAF_LIFE);
        assert_eq!((leaf.not_after, leaf.renew_at), (now() + LEAF_LIFE, now() + LEAF_LIFE * 2 / 3));
        let long = ca.issue(&names, now(), Some(CA_LIFE * 2)).unwrap();
        assert_eq!(long.not_after, ca.not_after());
        assert!(!ca.renewal_due(now()) && ca.renewal_due(now() + CA_LIFE - CA_RENEWAL / 2));
    }

    #[test]
    fn who_is_issued_a_clients_certificate_is_no_server() {
        let ca = LocalCa::generate(&CaSpec { name: "pulls".into(), permitted: Vec::new() }, now()).unwrap();
        let leaf = ca.issue_client("site.test", now(), None).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&leaf.chain[0]).unwrap();
        let usage = parsed.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.client_auth && !usage.server_auth);
        assert_eq!(parsed.subject().to_string(), "CN=site.test");
        assert_eq!(leaf.chain[1], *ca.certificate());
    }

    #[test]
    fn a_client_is_called_what_its_request_says_by_an_authority_that_was_kept() {
        let spec = CaSpec { name: "Visitors of site.test".into(), permitted: Vec::new() };
        let first = LocalCa::generate(&spec, now()).unwrap();
        let ca = LocalCa::restore(&spec, first.certificate_pem(), &first.secret()).unwrap();
        assert_eq!((ca.certificate(), ca.not_after()), (first.certificate(), first.not_after()));
        let request = Request::parse(include_str!("example/rsa2048.csr")).unwrap();
        let made = ca.sign_client(&request, now(), Duration::from_secs(7 * 86_400)).unwrap();
        let der = pem::parse(&made.signed.pem).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(der.contents()).unwrap();
        let name = parsed.subject().iter_common_name().next().map(|name| name.as_str().unwrap().to_owned());
        assert_eq!(name, request.subject().common_name);
        assert_eq!(parsed.tbs_certificate.raw_serial(), made.signed.serial);
        let usage = parsed.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.client_auth && !usage.server_auth && !parsed.is_ca());
        let told = parsed.iter_extensions().find_map(|extension| match extension.parsed_extension() {
            x509_parser::extensions::ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
            _ => None,
        });
        assert_eq!((told, sha256(der.contents())), (Some(made.ski), made.fingerprint));
        parsed.verify_signature(Some(x509_parser::parse_x509_certificate(ca.certificate()).unwrap().1.public_key())).unwrap();
    }

    #[test]
    fn a_request_is_signed_for_the_names_that_are_said_and_no_others() {
        let ca = LocalCa::generate(&CaSpec { name: "origins".into(), permitted: Vec::new() }, now()).unwrap();
        let key = crate::CertificateKey::generate().unwrap();
        let asked = key.request(&["evil.test".into()]).unwrap();
        let pem = pem::encode(&pem::Pem::new("CERTIFICATE REQUEST", asked));
        let request = Request::parse(&pem).unwrap();
        assert!(!request.is_rsa());
        let life = Duration::from_secs(7 * 86_400);
        let signed = ca.sign(&request, &["site.test".into(), "*.site.test".into()], now(), life).unwrap();
        let der: CertificateDer<'static> = rustls_pki_types::pem::PemObject::from_pem_slice(signed.pem.as_bytes()).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
        assert_eq!(parsed.public_key().raw, key.public_key());
        assert_eq!(parsed.tbs_certificate.raw_serial(), signed.serial);
        let names = &parsed.subject_alternative_name().unwrap().unwrap().value.general_names;
        assert!(names.len() == 2 && !names.iter().any(|name| name.to_string().contains("evil")));
        assert_eq!(signed.not_after, now() + life);
        let long = ca.sign(&request, &["site.test".into()], now(), CA_LIFE * 2).unwrap();
        assert_eq!(long.not_after, ca.not_after());
    }

    #[test]
    fn a_constrained_ca_says_so_and_certifies_nothing_else() {
        let ca = LocalCa::generate(&demo(), now()).unwrap();
        ca.issue(&["localhost".into(), "*.poterne.localhost".into()], now(), None).unwrap();
        for name in ["example.com", "notlocalhost", "127.0.0.1"] {
            let error = ca.issue(&[name.into()], now(), None).unwrap_err().to_string();
            assert!(error.contains("localhost only"), "{error}");
        }
        let (_, parsed) = x509_parser::parse_x509_certificate(ca.certificate()).unwrap();
        let constraints = parsed.name_constraints().unwrap().unwrap();
        assert!(constraints.critical);
        assert_eq!(constraints.value.excluded_subtrees.as_ref().unwrap().len(), 2);
    }

    #[test]
    fn a_ca_is_kept_wrapped_and_read_with_the_same_node_key_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("visitors.ca");
        let node_key = NodeKey::generate();
        let ca = LocalCa::load_or_create(&path, &node_key, &demo(), now()).unwrap();
        let again = LocalCa::load_or_create(&path, &node_key, &demo(), now()).unwrap();
        assert_eq!(ca.spki_sha256(), again.spki_sha256());
        assert_eq!(ca.certificate(), again.certificate());
        assert!(again.issue(&["example.com".into()], now(), None).is_err(), "its constraints are read back");
        let leaf = again.issue(&["a.localhost".into()], now(), None).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&leaf.chain[0]).unwrap();
        let (_, parent) = x509_parser::parse_x509_certificate(ca.certificate()).unwrap();
        assert_eq!(parsed.issuer(), parent.subject());
        let error = LocalCa::load_or_create(&path, &NodeKey::generate(), &demo(), now()).err().unwrap();
        assert!(matches!(error, CaError::File(KeyFileError::Wrapped { .. })), "{error}");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("PRIVATE KEY"));
    }
}
