//! Certificates of an authority that nobody knows yet, as files.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use poterne_keys::{CaSpec, CertificateKey, LocalCa};

/// Where they are.
#[derive(Debug, Clone)]
pub struct Files {
    /// The chain, leaf first.
    pub chain: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authority.
    pub authority: PathBuf,
}

/// An authority that vouches for clients.
pub struct Authority(LocalCa);

impl Authority {
    /// A new one.
    pub fn new(name: &str) -> Self {
        Self(LocalCa::generate(&CaSpec { name: name.to_owned(), permitted: Vec::new() }, SystemTime::now()).unwrap())
    }

    /// Its certificate.
    pub fn pem(&self) -> &str {
        self.0.certificate_pem()
    }

    /// A client's certificate of this common name, and its key.
    pub fn client(&self, name: &str) -> (String, String) {
        let leaf = self.0.issue_client(name, SystemTime::now(), None).unwrap();
        (pem("CERTIFICATE", &leaf.chain[0]), pem("PRIVATE KEY", leaf.key.secret_der()))
    }
}

/// A request for a certificate, and its key.
pub fn request() -> (String, String) {
    let key = CertificateKey::generate().unwrap();
    let request = key.request(&["whatever.test".to_owned()]).unwrap();
    (pem("CERTIFICATE REQUEST", &request), pem("PRIVATE KEY", key.secret().expose()))
}

fn pem(label: &str, der: &[u8]) -> String {
    // OpenSSL reads no longer lines.
    let lines: String = der.chunks(48).map(|bytes| STANDARD.encode(bytes) + "\n").collect();
    format!("-----BEGIN {label}-----\n{lines}-----END {label}-----\n")
}

/// Writes a certificate of a new authority, to the same files each time.
pub fn write(dir: &Path, name: &str) -> Files {
    let ca = LocalCa::generate(&CaSpec { name: "nobody knows".to_owned(), permitted: Vec::new() }, SystemTime::now()).unwrap();
    let leaf = ca.issue(&[name.to_owned()], SystemTime::now(), None).unwrap();
    let files = Files { chain: dir.join("origin.pem"), key: dir.join("origin.key"), authority: dir.join("origin-authority.pem") };
    fs::write(&files.chain, leaf.chain.iter().map(|der| pem("CERTIFICATE", der)).collect::<String>()).unwrap();
    fs::write(&files.key, pem("PRIVATE KEY", leaf.key.secret_der())).unwrap();
    fs::write(&files.authority, ca.certificate_pem()).unwrap();
    files
}
